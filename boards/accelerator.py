"""A Design as a board's application: the core behind the host link."""

from collections.abc import Sequence
from dataclasses import replace

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..gen.core.core import Core, core_timing
from ..gen.design.design import Design
from ..gen.design.linkformat import Identity, SampleFormat, identity_of
from ..gen.layers.cycles import first_logit, steady
from ..hdl.link import Link
from ..hdl.protocol import VERSION
from ..hdl.readout_at_once import OneByOne
from ..hdl.storage import Rom, Words
from .boards import Board
from .devices import ECP5, ICE40
from .strap import Strap
from .toolchain import distribution_version
from .top import Application

IDENTITY = "identity"  # the ROM of the record that the board answers with
PATIENCE = 8  # times the predicted cycles to the first logit, after which a core counts as dead


def technology_of(board: Board) -> str:
    """Return the hardware generator's name of a board's device family.

    Devices of vendor tools are generated like ECP5: multipliers, registered block RAM, LUT RAM.
    """
    if board.family == ICE40:
        return "ice40-up" if board.open_device.multipliers else "ice40-hx"
    return board.family or ECP5


def timeout_of(silence: int) -> int:
    """Return the cycles of silence after which the link gives up a core.

    A core that works is silent for at most ``silence`` cycles, those to its first logit (of planes,
    whose logits come line by line, those to the last one); the next power of two above
    :data:`PATIENCE` times that is taken.
    """
    return 1 << (PATIENCE * silence - 1).bit_length()


class Accelerator(wiring.Component):
    """The core of a design and its host link; see :class:`.top.Application` for the members.

    Parameters
    ----------
    design
        Folded, unless there is a shape.
    board
        Sets the technology, and whether the clock is still open: with a PLL it is set in the
        netlist after place-and-route, without one it is the oscillator.
    shape
        Folded Design that fixes all but what lies in the ROMs; ``None`` is ``design`` itself.
    """

    received: stream.Interface
    lost: Signal
    sent: stream.Interface
    alarm: Signal

    def __init__(self, design: Design, board: Board, shape: Design | None = None) -> None:
        self.design, self.board = design, board
        shape = shape or design
        technology = technology_of(board)
        timing = core_timing(shape, technology)
        latency, interval = steady(timing)
        planes = shape.readout.size > shape.readout.shape[0]
        timeout_cycles = timeout_of(latency if planes else first_logit(timing))
        self.core = Core(design, technology, shape)
        self.clock_is_open = board.builds_bitstream and board.has_pll
        identity = identity_of(
            shape,
            link_version=VERSION,
            lanes=self.core.lanes,
            logit_bits=self.core.result_layout["logit"].width,
            clock_hz=0 if self.clock_is_open else board.input_hz,
            latency_cycles=latency,
            interval_cycles=interval,
            timeout_cycles=timeout_cycles,
            version=distribution_version("signfire"),
        )
        self.identity = with_hash(identity, design)
        form = SampleFormat.of(shape)
        self.record = Rom(content=list(self.identity.to_bytes()), width=8)
        record: Words = self.record
        if self.clock_is_open:
            record = ClockedIdentity(self.record, clock_bytes(self.identity), family=board.family)
        self.link = Link(
            elements=form.elements,
            code_bits=form.code_bits,
            table=form.table,
            raw_shape=self.core.raw_shape,
            lanes=self.core.lanes,
            outputs=shape.readout.size,
            result_layout=self.core.result_layout,
            identity=record,
            timeout_cycles=timeout_cycles,
        )
        super().__init__(Application())

    @property
    def roms(self) -> dict[str, Rom]:
        """Every ROM whose content another Design of the same shape may replace, by name."""
        return {**self.core.roms, IDENTITY: self.record}

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.link = link = self.link
        m.submodules.core = ResetInserter(link.core_reset)(self.core)
        wiring.connect(m, wiring.flipped(self.received), link.rx)
        wiring.connect(m, link.tx, wiring.flipped(self.sent))
        wiring.connect(m, link.samples, self.core.samples)
        results = self.core.results
        if self.core.result_lanes > 1:
            m.submodules.one_by_one = one_by_one = OneByOne(
                layout=self.core.result_layout, lanes=self.core.result_lanes
            )
            wiring.connect(m, results, one_by_one.words)
            results = one_by_one.results
        wiring.connect(m, results, link.results)
        m.d.comb += [link.lost.eq(self.lost), self.alarm.eq(link.error)]
        return m


class ClockedIdentity(wiring.Component):
    """The identity record as a ROM whose clock is a strap; same ports and timing as ``Rom``.

    Parameters
    ----------
    rom
        The record; its clock does not matter.
    clock_bytes
        Where its clock lies, lowest byte first.
    family
        Of the device.
    """

    address: Signal
    data: Signal

    def __init__(self, rom: Rom, clock_bytes: Sequence[int], *, family: str) -> None:
        self.rom, self.content = rom, rom.content
        self.clock_bytes = clock_bytes
        self.family = family
        super().__init__({"address": In(self.rom.address.shape()), "data": Out(8)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.rom = rom = self.rom
        m.submodules.clock = clock = Strap(family=self.family, width=8 * len(self.clock_bytes))
        address = Signal.like(self.address)
        m.d.sync += address.eq(self.address)  # as late as the ROM
        m.d.comb += [rom.address.eq(self.address), self.data.eq(rom.data)]
        with m.Switch(address):
            for i, place in enumerate(self.clock_bytes):
                with m.Case(place):
                    m.d.comb += self.data.eq(clock.value.word_select(i, 8))
        return m


def with_hash(identity: Identity, design: Design) -> Identity:
    """Return the identity of a board whose memories hold ``design``."""
    return replace(identity, design_hash=design.hash)


def clock_bytes(identity: Identity) -> list[int]:
    """Return where the record of an identity holds its clock, lowest byte first."""
    records = [replace(identity, clock_hz=clock).to_bytes() for clock in (0, 2**32 - 1)]
    return [i for i, (a, b) in enumerate(zip(*records, strict=True)) if a != b]
