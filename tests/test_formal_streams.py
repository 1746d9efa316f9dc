"""Streams neither drop nor double nor reorder a word, whoever stalls: proofs by z3.

Each test states how deep it goes: by induction a property holds for ever; by bounded model check
(bmc) in all runs of so many cycles after reset.
"""

import pytest
from amaranth.asserts import AnyConst
from amaranth.hdl import (
    Array,
    Assert,
    Assume,
    Cat,
    DomainRenamer,
    EnableInserter,
    Module,
    Mux,
    Signal,
)

from signfire.boards import crossing
from signfire.hdl import encoder, integrator, readout, sequencer, slip, train_buffer
from signfire.hdl.delay import delayed
from signfire.hdl.requantise import ceil_shift
from signfire.hdl.words import buffer_depth
from signfire.sim.formal import Opened, OpenRam, prove


def holds_back(m: Module, port) -> None:
    """Assume that the sender of a stream keeps to what it offers until it is taken."""
    waits = delayed(m, port.valid & ~port.ready, 1, name="waits")
    before = delayed(m, port.payload, 1, name="before")
    same = (
        port.payload.as_value() == before.as_value()
        if hasattr(before, "as_value")
        else (port.payload == before)
    )
    m.d.comb += Assume(~waits | port.valid & same)


# -- SLIP


class Line(slip.wiring.Component):
    """A SLIP encoder, a line that stalls, and a decoder."""

    def __init__(self, source) -> None:
        self.source = source
        super().__init__(
            {
                "sent": slip.In(slip.stream.Signature(slip.SENT)),
                "received": slip.Out(slip.stream.Signature(slip.RECEIVED)),
                "stalled": slip.In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.encoder = encoder = self.source.SlipEncoder()
        m.submodules.decoder = decoder = self.source.SlipDecoder()
        slip.wiring.connect(m, slip.wiring.flipped(self.sent), encoder.items)
        slip.wiring.connect(m, decoder.items, slip.wiring.flipped(self.received))
        m.d.comb += [
            decoder.encoded.payload.eq(encoder.encoded.payload),
            decoder.encoded.valid.eq(encoder.encoded.valid & ~self.stalled),
            encoder.encoded.ready.eq(decoder.encoded.ready & ~self.stalled),
        ]
        return m


def line_property(line) -> Module:
    """Say that what enters the encoder leaves the decoder, in the same cycle."""
    m = Module()
    m.submodules.dut = dut = Opened(line)
    sent, received = line.sent, line.received
    holds_back(m, sent)
    moves = sent.valid & sent.ready
    m.d.comb += [
        Assert(moves == (received.valid & received.ready)),
        Assert(~moves | (sent.payload.end == received.payload.end)),
        Assert(~moves | sent.payload.end | (sent.payload.byte == received.payload.byte)),
        Assert(~moves | ~received.payload.broken),
        # What makes the proof carry: both ends know whether an escape is under way.
        Assert(dut.signal("encoder.escaped") == dut.signal("decoder.$signal")),
        Assert(~dut.signal("decoder.broken")),
    ]
    escaping = dut.signal("encoder.escaped")
    special = (sent.payload.byte == slip.END) | (sent.payload.byte == slip.ESC)
    m.d.comb += Assert(~escaping | sent.valid & special & ~sent.payload.end)
    return m


def test_what_enters_a_slip_encoder_leaves_the_decoder(tmp_path):
    """Induction, 2 cycles; every byte, every stall."""
    line = Line(slip)

    proof = prove(line_property(line), tmp_path, component=line, depth=2, induction=True)

    assert () == proof.failed


SLIP_FAULTS = {
    "ESC is not escaped": ("item.byte == END, item.byte == ESC", "item.byte == END, Const(0)"),
    "the escape forgets a stall": (
        "with m.If(self.encoded.valid & self.encoded.ready):\n            m.d.sync += escaped.eq(f",
        "with m.If(self.encoded.valid):\n            m.d.sync += escaped.eq(f",
    ),
    "codes exchanged": ("Mux(is_end, ESC_END, ESC_ESC)", "Mux(is_end, ESC_ESC, ESC_END)"),
    "an end is escaped": ("first_of_two = ~item.end & ", "first_of_two = "),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("fault", SLIP_FAULTS)
def test_a_slip_codec_with_a_fault_is_refuted(fault, mutated, tmp_path):
    copy = mutated(slip, SLIP_FAULTS[fault], ("import Module, Mux", "import Const, Module, Mux"))
    line = Line(copy)

    proof = prove(line_property(line), tmp_path, component=line, depth=5, induction=False)

    assert () != proof.failed


# -- trains between layers


def gather_property(gather) -> Module:
    """Say that a row comes out as its words came in: every bit, plane by plane."""
    m = Module()
    m.submodules.dut = dut = Opened(gather)
    simd, lanes, unroll, steps = gather.simd, gather.lanes, gather.unroll, gather.steps
    parts, planes = simd // lanes, steps // unroll
    watched = AnyConst(range(simd))
    part, plane = Signal(range(parts + 1)), Signal(range(planes))
    kept = Signal(steps)
    trains = gather.trains
    m.d.comb += [
        Assume(watched < simd),
        # A row is taken plane by plane, and the last of them is told.
        Assume(~(gather.valid & gather.take) | (gather.last == (plane == planes - 1))),
    ]
    holds_back(m, trains)
    enters, leaves = trains.valid & trains.ready, gather.valid & gather.take & gather.last
    with m.If(gather.valid & gather.take):
        m.d.sync += plane.eq(Mux(gather.last, 0, plane + 1))
    before = Mux(leaves, 0, part)
    m.d.sync += part.eq(before + enters)
    own_word = Array(n // lanes for n in range(simd))[watched]
    own_lane = Array(n % lanes for n in range(simd))[watched]
    with m.If(enters & (before == own_word)):
        m.d.sync += kept.eq(Array(trains.payload[lane] for lane in range(lanes))[own_lane])
    bits = Array(Cat(gather.plane[u * simd + n] for u in range(unroll)) for n in range(simd))[
        watched
    ]
    due = (kept >> (plane * unroll))[:unroll]
    place = (simd - (part - own_word) * lanes + own_lane).as_unsigned()[: simd.bit_length()]
    row = Array(dut.signal(f"train_{n}") for n in range(simd))[place]
    m.d.comb += [
        Assert(gather.valid == (part == parts)),
        Assert(~gather.valid | (bits == due)),
        # What makes the proof carry.
        Assert((part <= parts) & (plane < planes) & ((part == parts) | (plane == 0))),
        Assert((part <= own_word) | (row == kept >> (plane * unroll))),
    ]
    if parts > 1:
        counter = dut.signal("$signal", width=(parts - 1).bit_length())
        m.d.comb += Assert(counter == Mux(part == parts, 0, part))
    return m


GATHERS = [(1, 2, 1, 1), (6, 2, 1, 2), (4, 4, 2, 1), (3, 3, 3, 1), (4, 4, 2, 4)]


@pytest.mark.few(3)
@pytest.mark.parametrize(("simd", "steps", "unroll", "lanes"), GATHERS)
def test_a_row_is_gathered_without_loss(simd, steps, unroll, lanes, tmp_path):
    """Induction, 2 cycles."""
    dut = train_buffer.Gather(simd=simd, steps=steps, unroll=unroll, lanes=lanes)

    proof = prove(gather_property(dut), tmp_path, component=dut, depth=2, induction=True)

    assert () == proof.failed


GATHER_FAULTS = {
    "a word enters a full row": ("~self.valid | leave)", "1)"),
    "lanes exchanged": (
        "*row[self.lanes :], *self.trains.payload",
        "*self.trains.payload, *row[self.lanes :]",
    ),
    "planes the other way": ("train >> self.unroll", "train << self.unroll"),
    "a stalled word counts": (
        "enter.eq(self.trains.valid & self.trains.ready)",
        "enter.eq(self.trains.valid)",
    ),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("fault", GATHER_FAULTS)
def test_a_gather_with_a_fault_is_refuted(fault, mutated, tmp_path):
    copy = mutated(train_buffer, GATHER_FAULTS[fault])
    dut = copy.Gather(simd=6, steps=2, unroll=1, lanes=2)

    proof = prove(gather_property(dut), tmp_path, component=dut, depth=8, induction=False)

    assert () != proof.failed


def buffer_property(buffer) -> Module:
    """Say of any word of any bank: it is stored in its turn, once, and read as it was stored.

    Planes are stored row by row, bank by bank, never over one that is still to be read, and a
    full bank gives what was stored in it since it was last released.
    """
    m = Module()
    m.submodules.dut = dut = Opened(buffer)
    rows, planes, banks = buffer.rows, buffer.planes, buffer.banks
    own_row, own_plane = AnyConst(range(rows)), AnyConst(range(planes))
    own_bank = AnyConst(range(banks))
    row, plane = Signal(range(rows)), Signal(range(planes))
    bank, reading, held = Signal(range(banks)), Signal(range(banks)), Signal(range(banks + 1))
    kept, seen = Signal(len(buffer.events.as_value())), Signal()
    m.d.comb += [
        Assume((own_row < rows) & (own_plane < planes) & (own_bank < banks)),
        Assume(~buffer.release | buffer.full),
        Assume((buffer.row < rows) & (buffer.plane < planes)),
    ]
    stores = dut.signal("gather.valid") & (held != banks)
    stored = stores & (plane == planes - 1) & (row == rows - 1)
    with m.If(stores):
        m.d.sync += plane.eq(Mux(plane == planes - 1, 0, plane + 1))
        with m.If(plane == planes - 1):
            m.d.sync += row.eq(Mux(row == rows - 1, 0, row + 1))
        with m.If((row == own_row) & (plane == own_plane) & (bank == own_bank)):
            m.d.sync += [kept.eq(dut.signal("gather.plane")), seen.eq(1)]
    with m.If(stored):
        m.d.sync += bank.eq(Mux(bank == banks - 1, 0, bank + 1))
    with m.If(buffer.release):
        m.d.sync += reading.eq(Mux(reading == banks - 1, 0, reading + 1))
        with m.If(reading == own_bank):
            m.d.sync += seen.eq(0)
    m.d.sync += held.eq(held + stored - buffer.release)

    here = (buffer.row == own_row) & (buffer.plane == own_plane)
    asked = buffer.full & (reading == own_bank) & here
    told = delayed(m, kept, 1, name="told")
    full_banks = (own_bank + banks - reading).as_unsigned() % banks < held
    passed = (bank == own_bank) & ((row > own_row) | (row == own_row) & (plane > own_plane))
    depth = buffer_depth(banks=banks, rows=rows, planes=planes)
    words = Array(dut.signal(f"ram.row_{n}") for n in range(depth))
    m.d.comb += [
        Assert(~delayed(m, asked, 1, name="asked") | (buffer.events.as_value() == told)),
        Assert(buffer.full == (held != 0)),
        Assert(~asked | seen),
        Assert(dut.signal("take") == (held != banks)),
        Assert(dut.signal("last") == (plane == planes - 1)),
        # What makes the proof carry.
        Assert((row < rows) & (plane < planes) & (bank < banks) & (reading < banks)),
        Assert((held <= banks) & (bank == (reading + held) % banks)),
        Assert(dut.signal("held") == held),
        Assert(dut.signal("write_address") == Cat(row, plane, bank)),
        Assert(dut.signal("read_address") == Cat(buffer.row, buffer.plane, reading)),
        Assert((held != banks) | (row == 0) & (plane == 0)),
        Assert(seen == full_banks | passed & (held != banks)),
        Assert(~seen | (words[Cat(own_row, own_plane, own_bank)] == kept)),
    ]
    return m


BUFFERS = [(4, 1, 2, 1, 1, 2), (4, 2, 2, 2, 1, 2), (3, 1, 3, 1, 1, 3), (2, 2, 1, 1, 2, 2)]


@pytest.fixture
def open_memory(monkeypatch):
    """Memories whose words a property may read."""
    monkeypatch.setattr(train_buffer, "Ram", OpenRam)


@pytest.mark.few(3)
@pytest.mark.parametrize(("size", "simd", "steps", "unroll", "lanes", "banks"), BUFFERS)
def test_a_train_buffer_neither_drops_nor_doubles_nor_reorders(
    size, simd, steps, unroll, lanes, banks, tmp_path, open_memory
):
    """Induction, 3 cycles."""
    dut = train_buffer.TrainBuffer(
        size=size, simd=simd, steps=steps, unroll=unroll, lanes=lanes, banks=banks
    )

    proof = prove(buffer_property(dut), tmp_path, component=dut, depth=3, induction=True)

    assert () == proof.failed


BUFFER_FAULTS = {
    "it writes into a full bank": ("gather.take.eq(held != self.banks)", "gather.take.eq(1)"),
    "banks read out of turn": (
        "reading.eq(Mux(reading == self.banks - 1, 0, reading + 1))",
        "reading.eq(reading)",
    ),
    "a sample counts twice": (
        "held + stored - self.release",
        "held + ram.write_enable - self.release",
    ),
    "rows exchanged": (
        "ram.write_address.eq(Cat(row, plane, bank))",
        "ram.write_address.eq(Cat(~row, plane, bank))",
    ),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("fault", BUFFER_FAULTS)
def test_a_train_buffer_with_a_fault_is_refuted(fault, mutated, tmp_path):
    copy = mutated(train_buffer, BUFFER_FAULTS[fault])
    copy.Ram = OpenRam
    dut = copy.TrainBuffer(size=2, simd=1, steps=2, unroll=1, lanes=1)

    proof = prove(buffer_property(dut), tmp_path, component=dut, depth=18, induction=False)

    assert () != proof.failed


# -- in and out of the core


def encoder_property(dut) -> Module:
    """Every raw value gives the train of its F, in order, and nothing else comes."""
    m = Module()
    m.submodules.dut = dut
    samples, trains = dut.samples, dut.trains
    holds_back(m, samples)
    raw, value = samples.payload[0], dut.rest
    target = ceil_shift(raw * dut.multiplier, dut.shift)
    events = []
    for eta in dut.eta:
        events.append(value < target)
        value = Mux(events[-1], value + eta, value - eta)
    enters, leaves = samples.valid & samples.ready, trains.valid & trains.ready
    older, newer = Signal(len(dut.eta)), Signal(len(dut.eta))
    held = Signal(range(3))
    m.d.sync += held.eq(held + enters - leaves)
    with m.If(leaves):
        m.d.sync += older.eq(newer)
    with m.If(enters):
        m.d.sync += newer.eq(Cat(events))
        with m.If((held == 0) | (held == 1) & leaves):
            m.d.sync += older.eq(Cat(events))
    m.d.comb += [
        Assert(held <= 2),
        Assert(~trains.valid | (held != 0) & (trains.payload[0] == older)),
    ]
    return m


ENCODER = {
    "lanes": 1,
    "low": 0,
    "high": 15,
    "multiplier": 13,
    "shift": 3,
    "rest": 7,
    "eta": (4, 2, 1),
}


def test_an_encoder_gives_the_train_of_every_raw_value_in_order(tmp_path):
    """Bmc, 14 cycles: four words."""
    dut = encoder.Encoder(**ENCODER)

    proof = prove(encoder_property(dut), tmp_path, component=dut, depth=14, induction=False)

    assert () == proof.failed


ENCODER_FAULTS = {
    "a stall loses a word": (
        "with m.If(self.samples.ready):\n            m.d.sync += valid",
        "with m.If(1):\n            m.d.sync += valid",
    ),
    "a word twice": (
        "m.d.sync += valid.eq(self.samples.valid)",
        "m.d.sync += valid.eq(valid | self.samples.valid)",
    ),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("fault", ENCODER_FAULTS)
def test_an_encoder_with_a_fault_is_refuted(fault, mutated, tmp_path):
    dut = mutated(encoder, ENCODER_FAULTS[fault]).Encoder(**ENCODER)

    proof = prove(encoder_property(dut), tmp_path, component=dut, depth=14, induction=False)

    assert () != proof.failed


def drain_property(drain) -> Module:
    """Group i of a tile leaves i·pace cycles behind the first, as it was loaded, and none else."""
    m = Module()
    m.submodules.dut = dut = Opened(drain)
    groups, pace, lanes = drain.pe // drain.lanes, drain.pace, drain.lanes
    last = (groups - 1) * pace
    age = Signal(range(groups * pace + 1), init=groups * pace)  # cycles since group 0
    kept = Signal.like(drain.results)
    m.d.comb += Assume(~drain.load | (age >= groups * pace - 1))
    m.d.sync += age.eq(Mux(drain.load, 0, Mux(age < groups * pace, age + 1, age)))
    with m.If(drain.load):
        m.d.sync += kept.eq(drain.results)
    due = Array(int(n % pace == 0 and n <= last) for n in range(groups * pace + 1))[age]
    number = Array(min(n // pace, groups - 1) for n in range(groups * pace + 1))[age]
    width = lanes * drain.width
    m.d.comb += [
        Assert(drain.valid == due),
        Assert(~drain.valid | (Cat(drain.group) == kept.as_value().word_select(number, width))),
        # What makes the proof carry.
        Assert(age <= groups * pace),
    ]
    idle = age >= last + pace - 1
    held, left = (
        dut.signal("held"),
        Array(groups - 1 - min(n // pace, groups - 1) for n in range(groups * pace + 1))[age],
    )
    m.d.comb += Assert(idle | (held == kept.as_value() >> (number * width)))
    if groups > 1:
        m.d.comb += Assert(dut.signal("$signal") == left)
    if pace > 1:
        wait = Array(
            max(0, pace - 1 - n % pace) if n < groups * pace else 0
            for n in range(groups * pace + 1)
        )[age]
        m.d.comb += Assert(dut.signal("wait") == wait)
    return m


@pytest.mark.few(3)
@pytest.mark.parametrize(("pe", "lanes", "pace"), [(1, 1, 1), (6, 2, 3), (4, 2, 1), (3, 1, 2)])
def test_a_drain_hands_out_every_group_once_and_in_order(pe, lanes, pace, tmp_path):
    """Induction, 2 cycles."""
    dut = integrator.Drain(pe=pe, lanes=lanes, width=3, pace=pace)

    proof = prove(drain_property(dut), tmp_path, component=dut, depth=2, induction=True)

    assert () == proof.failed


DRAIN_FAULTS = {
    "a group too few": ("left.eq(groups - 1)", "left.eq(groups - 2)"),
    "shifted by one result": ("held >> (self.lanes * self.width)", "held >> self.width"),
    "too early": (
        "wait.eq(self.pace - 1),\n                self.valid.eq(1),\n            ]\n        return",
        "wait.eq(0),\n                self.valid.eq(1),\n            ]\n        return",
    ),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("fault", DRAIN_FAULTS)
def test_a_drain_with_a_fault_is_refuted(fault, mutated, tmp_path):
    dut = mutated(integrator, DRAIN_FAULTS[fault]).Drain(pe=6, lanes=2, width=3, pace=3)

    proof = prove(drain_property(dut), tmp_path, component=dut, depth=10, induction=False)

    assert () != proof.failed


def readout_property(dut) -> Module:
    """Every logit leaves once, in order, the last with the index of the first maximum."""
    m = Module()
    m.submodules.dut = dut
    latency, outputs = dut.LATENCY, dut.outputs
    index, best, label = Signal(range(outputs)), Signal.like(dut.logit), Signal(range(outputs))
    recent = delayed(m, dut.valid, 1, name="recent")
    m.d.comb += Assume(~(dut.valid & recent))
    better = (index == 0) | (dut.logit > best)
    winner = Mux(better, index, label)
    with m.If(dut.valid):
        m.d.sync += [
            index.eq(Mux(index == outputs - 1, 0, index + 1)),
            best.eq(Mux(better, dut.logit, best)),
            label.eq(winner),
        ]
    result = dut.result
    m.d.comb += Assert(dut.result_valid == delayed(m, dut.valid, latency, name="valid"))
    for seen, expected, name in (
        (result.logit, dut.logit, "logit"),
        (result.last, index == outputs - 1, "last"),
        (result.label, winner, "winner"),
    ):
        m.d.comb += Assert(~dut.result_valid | (seen == delayed(m, expected, latency, name=name)))
    return m


def test_a_readout_gives_every_logit_once_and_the_first_maximum(tmp_path):
    """Bmc, 16 cycles: two samples."""
    dut = readout.Readout(logit_width=4, outputs=3)

    proof = prove(readout_property(dut), tmp_path, component=dut, depth=16, induction=False)

    assert () == proof.failed


READOUT_FAULTS = {
    "the last maximum": ("inverse_best)[-1] == 0", "inverse_best + 1)[-1] == 0"),
    "the best of the sample before": ("a_first.eq(index == 0)", "a_first.eq(0)"),
    "the end a logit early": ("a_index == self.outputs - 1", "a_index == self.outputs - 2"),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("fault", READOUT_FAULTS)
def test_a_readout_with_a_fault_is_refuted(fault, mutated, tmp_path):
    dut = mutated(readout, READOUT_FAULTS[fault]).Readout(logit_width=4, outputs=3)

    proof = prove(readout_property(dut), tmp_path, component=dut, depth=16, induction=False)

    assert () != proof.failed


# -- order of a layer


def order_property(dut) -> Module:
    """Words, planes and tiles come one after the other, each once; a sample is released once."""
    m = Module()
    m.submodules.dut = opened = Opened(dut)
    tile, plane, cycle = (
        Signal(range(dut.tiles)),
        Signal(range(dut.planes)),
        Signal(range(dut.period)),
    )
    started = Signal()
    last_cycle, last_plane = cycle == dut.period - 1, plane == dut.planes - 1
    last_tile = tile == dut.tiles - 1
    may = dut.credit & (dut.full | (tile != 0))
    run = started | may
    with m.If(run):
        m.d.sync += [cycle.eq(Mux(last_cycle, 0, cycle + 1)), started.eq(1)]
        with m.If(last_cycle):
            m.d.sync += plane.eq(Mux(last_plane, 0, plane + 1))
            with m.If(last_plane):
                m.d.sync += [tile.eq(Mux(last_tile, 0, tile + 1)), started.eq(0)]
    reads = run & (cycle < dut.words)
    m.d.comb += [
        Assert(dut.valid == reads),
        Assert(dut.begin == may & ~started),
        Assert(~reads | (dut.tile == tile) & (dut.plane == plane) & (dut.word == cycle)),
        Assert(~reads | (dut.address == tile * dut.words + cycle)),
        Assert(dut.release == reads & (cycle == dut.words - 1) & last_plane & last_tile),
        Assert(~reads | (dut.first_word == (cycle == 0)) & (dut.first_plane == (plane == 0))),
        Assert(
            ~reads | (dut.last_word == (cycle == dut.words - 1)) & (dut.last_plane == last_plane)
        ),
        # What makes the proof carry.
        Assert((tile < dut.tiles) & (plane < dut.planes) & (cycle < dut.period)),
        Assert((dut.tile == tile) & (dut.plane == plane)),
        Assert(started | (cycle == 0) & (plane == 0)),
        Assert(opened.signal("$signal", registered=True) == ~started),
        Assert(opened.signal("cycle") == cycle),
        Assert(opened.signal("base") == tile * dut.words),
    ]
    read = Mux(cycle < dut.words, cycle, dut.words)
    m.d.comb += Assert(dut.address == (tile * dut.words + read)[: len(dut.address)])
    return m


ORDERS = [(2, 2, 2, 2), (2, 3, 2, 2), (3, 2, 2, 4), (4, 2, 3, 3)]


@pytest.mark.few(3)
@pytest.mark.parametrize(("tiles", "planes", "words", "period"), ORDERS)
def test_a_layer_reads_every_word_once_and_in_order(tiles, planes, words, period, tmp_path):
    """Induction, 2 cycles."""
    dut = sequencer.Sequencer(tiles=tiles, planes=planes, words=words, period=period)

    proof = prove(order_property(dut), tmp_path, component=dut, depth=2, induction=True)

    assert () == proof.failed


ORDER_FAULTS = {
    "it begins without credit": ("may = self.credit & (", "may = ("),
    "a plane too few": (
        "m.d.sync += [\n                    self.plane.eq(Mux(self.last_plane, 0, self.plane + 1))",
        "m.d.sync += [\n                    self.plane.eq(Mux(self.last_plane, 0, self.plane + 2))",
    ),
    "weights of the wrong tile": (
        "following = Mux(last_tile, 0, base + self.rows)",
        "following = Mux(last_tile, 0, base + 1)",
    ),
    "released with every tile": (
        "self.last_plane & (self.tile == self.tiles - 1)",
        "self.last_plane",
    ),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("fault", ORDER_FAULTS)
def test_a_sequencer_with_a_fault_is_refuted(fault, mutated, tmp_path):
    dut = mutated(sequencer, ORDER_FAULTS[fault]).Sequencer(tiles=2, planes=3, words=2, period=2)

    proof = prove(order_property(dut), tmp_path, component=dut, depth=20, induction=False)

    assert () != proof.failed


# -- between clocks


class AnyClocks(crossing.wiring.Component):
    """A crossing whose two clocks tick whenever they want, together, too."""

    i: crossing.In(crossing.stream.Signature(8))
    o: crossing.Out(crossing.stream.Signature(8))
    source_ticks: crossing.In(1)
    target_ticks: crossing.In(1)

    def __init__(self, source) -> None:
        self.crossing = source.ByteCrossing(source="source", target="target")
        super().__init__()

    def elaborate(self, platform) -> Module:
        m = Module()
        ticks = {"source": self.source_ticks, "target": self.target_ticks}
        m.submodules.crossing = DomainRenamer({"source": "sync", "target": "sync"})(
            EnableInserter(ticks)(self.crossing)
        )
        crossing.wiring.connect(m, crossing.wiring.flipped(self.i), self.crossing.i)
        crossing.wiring.connect(m, self.crossing.o, crossing.wiring.flipped(self.o))
        return m


def crossing_property(dut) -> Module:
    """Say that a byte leaves once, as it entered, before the next one enters."""
    m = Module()
    m.submodules.dut = dut
    enters = dut.i.valid & dut.i.ready & dut.source_ticks
    leaves = dut.o.valid & dut.o.ready & dut.target_ticks
    held, byte = Signal(2), Signal(8)
    m.d.sync += held.eq(held + enters - leaves)
    with m.If(enters):
        m.d.sync += byte.eq(dut.i.payload)
    m.d.comb += [
        Assert(~enters | (held == 0)),
        Assert(~dut.o.valid | (held == 1) & (dut.o.payload == byte)),
    ]
    return m


def test_a_byte_crosses_between_any_two_clocks_once(tmp_path):
    """Bmc, 24 ticks in any order: synchronisers without metastability."""
    dut = AnyClocks(crossing)

    proof = prove(crossing_property(dut), tmp_path, component=dut, depth=24, induction=False)

    assert () == proof.failed


CROSSING_FAULTS = {
    "it does not wait": ("self.i.ready.eq(request == taken_seen)", "self.i.ready.eq(1)"),
    "the request does not turn": ("request.eq(~request)", "request.eq(1)"),
    "taken without being asked": (
        "with m.If(self.o.valid & self.o.ready)",
        "with m.If(self.o.ready)",
    ),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("fault", CROSSING_FAULTS)
def test_a_crossing_with_a_fault_is_refuted(fault, mutated, tmp_path):
    dut = AnyClocks(mutated(crossing, CROSSING_FAULTS[fault]))

    proof = prove(crossing_property(dut), tmp_path, component=dut, depth=24, induction=False)

    assert () != proof.failed
