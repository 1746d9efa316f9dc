"""Which faults a campaign plants: every site of a kind as likely, kinds in turn, all by seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.lib import data

from ..gen.core.core import Core
from ..gen.design.design import Design
from .faults_netlist import Memory, Netlist, Site
from .faults_numbers import Number, RomFault, WeightRom, bias_at, flip, numbers

WIRE_MODES = ("stuck-at-0", "stuck-at-1", "inverted")
KINDS = (
    "file",
    "weight",
    "bias",
    "factor",
    "eta",
    "constant",
    *WIRE_MODES,
    "register upset",
    "memory upset",
)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault of a campaign; equal seeds give equal faults.

    Parameters
    ----------
    id
        Its place in the campaign, whatever the count.
    kind
        One of :data:`KINDS`.
    where
        For people: the site.
    site
        In the netlist; ``None`` for the file.
    number, bit
        Of a fault in the file.
    cycle
        In which a register or a word is flipped; ``None`` for what lasts.
    """

    id: int
    kind: str
    where: str
    site: Site | None = None
    number: Number | None = None
    bit: int = 0
    cycle: int | None = None


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """Bits of every word of a memory."""

    memory: Memory
    bits: tuple[int, ...]

    @property
    def sites(self) -> int:
        return self.memory.depth * len(self.bits)


class Sampler:
    """Draw faults from the sites of a core.

    Parameters
    ----------
    core
        What the netlist was made from.
    netlist
        Of the core.
    seed
        Fault k depends on the seed and k alone.
    cycles
        Registers and words are flipped in one of the cycles 1..cycles-1.
    """

    def __init__(self, core: Core, netlist: Netlist, *, seed: int, cycles: int) -> None:
        self.core, self.netlist = core, netlist
        self.design: Design = core.design
        self.seed, self.cycles = seed, cycles

    def faults(self, count: int) -> list[Fault]:
        """Draw the faults 0..count-1; a kind without a site is left out."""
        kinds = [kind for kind in KINDS if self._sites(kind)]
        return [self._draw(i, kinds[i % len(kinds)]) for i in range(count)]

    def _sites(self, kind: str) -> int:
        """Return how many sites a kind has."""
        if kind == "file":
            return len(self._numbers)
        if kind in self._nets:
            return len(self._nets[kind])
        return sum(columns.sites for columns in self._columns[kind])

    def _draw(self, index: int, kind: str) -> Fault:
        rng = np.random.default_rng([self.seed, index])
        if kind == "file":
            return self._in_file(index, rng)
        at = int(rng.integers(self._sites(kind)))
        site = self._nets[kind][at] if kind in self._nets else self._in_memory(kind, at)
        cycle = int(rng.integers(1, self.cycles)) if kind.endswith("upset") else None
        rom = self.rom_fault(kind, site)
        where = site.name if rom is None else f"{rom.number}, {site.name}"
        return Fault(id=index, kind=kind, where=where, site=site, cycle=cycle)

    def _in_file(self, index: int, rng: np.random.Generator) -> Fault:
        """Draw a number of the saved Design; the kinds of numbers are equally likely."""
        kinds = sorted(self._numbers)
        chosen = self._numbers[kinds[rng.integers(len(kinds))]]
        number = chosen[rng.integers(len(chosen))]
        bit = int(rng.integers(number.bits(self.design)))
        where = f"{number}, bit {bit} of the saved number"
        return Fault(id=index, kind="file", where=where, number=number, bit=bit)

    def _in_memory(self, kind: str, at: int) -> Site:
        for columns in self._columns[kind]:
            if at < columns.sites:
                address, column = divmod(at, len(columns.bits))
                return memory_site(columns.memory, address, columns.bits[column])
            at -= columns.sites
        raise IndexError(f"{kind} has no site {at}")

    @cached_property
    def _numbers(self) -> dict[str, list[Number]]:
        return numbers(self.design)

    @cached_property
    def _nets(self) -> dict[str, Sequence[Site]]:
        netlist = self.netlist
        nets: dict[str, Sequence[Site]] = dict.fromkeys(WIRE_MODES, netlist.wires)
        return nets | {"constant": netlist.constants, "register upset": netlist.registers}

    @cached_property
    def _columns(self) -> dict[str, list[_Columns]]:
        found: dict[str, list[_Columns]] = {kind: [] for kind in KINDS}
        for memory in self.netlist.memories:
            by_kind: dict[str, list[int]] = {}
            for bit in range(memory.width):
                by_kind.setdefault(self._kind_of(memory, bit), []).append(bit)
            for kind, bits in by_kind.items():
                found[kind].append(_Columns(memory=memory, bits=tuple(bits)))
        return found

    def _kind_of(self, memory: Memory, bit: int) -> str:
        """Return the kind of a fault in a bit of a memory's words."""
        if memory.written:
            return "memory upset"
        if memory.role == "layer constant":
            return "factor" if self._field(memory, bit).name == "factor" else "bias"
        return memory.role

    # -- the numbers that ROMs hold ------------------------------------------------------------

    def rom_fault(self, kind: str, site: Site) -> RomFault | None:
        """Return the number of the Design that a bit of a ROM belongs to, if it is one."""
        if kind not in ("weight", "bias", "factor", "eta"):
            return None
        memory = next(m for m in self.netlist.memories if m.name == site.cell)
        if kind == "weight":
            return self._weight_fault(memory, site)
        if kind == "eta":
            return self._eta_fault(memory, site)
        return self._constant_fault(memory, site)

    @cached_property
    def _weight_roms(self) -> dict[int, WeightRom]:
        """By layer, as they are asked for."""
        return {}

    def _weight_fault(self, memory: Memory, site: Site) -> RomFault | None:
        layer = layer_index(memory)
        plan = self.core.plans[layer]
        if layer not in self._weight_roms:
            self._weight_roms[layer] = WeightRom(plan)
        field = self._weight_roms[layer].field(site.address, site.bit)
        number, bits, bit = field.number, field.width, site.bit - field.offset
        weight = 0 if number is None else number.read(self.design)
        word = memory.content[site.address] >> field.offset & ((1 << bits) - 1)
        after = flip(word, bit, bits, signed=True)
        before = flip(after, bit, bits, signed=True)
        # Outputs that share a multiplier lend each other one; it moves by what the field does.
        if weight - before not in (range(2) if plan.packed > 1 else range(1)):
            raise ValueError(f"{number} is {weight}, but {site.name} belongs to a {before}")
        if number is None:
            return None
        return RomFault(number=number, value=weight + after - before, copies=field.copies)

    def _eta_fault(self, memory: Memory, site: Site) -> RomFault | None:
        if "etas" in memory.name:
            return None  # the copy that the next layer weighs with: no number of a neuron
        at = 0 if memory.name.startswith("encoder") else 1 + layer_index(memory)
        number = Number(kind="eta", layer=self.design.populations[at].name, index=(site.address,))
        value = flip(number.read(self.design), site.bit, memory.width, signed=False)
        return RomFault(number=number, value=value)

    def _constant_fault(self, memory: Memory, site: Site) -> RomFault | None:
        field = self._field(memory, site.bit)
        if field.name == "row":
            return None  # Σ W is derived from the weights: no number of its own
        plan = self.core.layers[layer_index(memory)].plan
        kind, output = divmod(site.address * plan.lanes + field.lane, plan.outputs)
        stored = memory.content[site.address] >> field.offset & ((1 << field.width) - 1)
        bit = site.bit - field.offset
        if field.name == "factor":
            number = Number(kind="factor", layer=plan.name, index=(output,))
            value = flip(stored, bit, field.width, signed=False)
            return RomFault(number=number, value=value, copies=plan.border.count)
        # The ROM holds the bias with constants folded in, which a flipped bit moves by as much.
        number = bias_at(plan, kind, output)
        after = flip(stored, bit, field.width, signed=True)
        before = flip(after, bit, field.width, signed=True)
        value = number.read(self.design) + after - before
        pixels = tuple(np.flatnonzero(plan.border.of_pixels == kind).tolist())
        return RomFault(number=number, value=value, pixels=pixels if plan.border.count > 1 else ())

    def _field(self, memory: Memory, bit: int) -> "_Field":
        """Return the field that a bit of a layer's constants belongs to."""
        lanes = self.core.layers[layer_index(memory)].integrator.constants
        for lane in range(lanes.length):
            start = lanes[lane].offset
            constant = lanes[lane].shape
            assert isinstance(constant, data.StructLayout)
            for name, field in constant:
                if 0 <= bit - start - field.offset < field.width:
                    return _Field(
                        name=name, lane=lane, offset=start + field.offset, width=field.width
                    )
        raise ValueError(f"bit {bit} of {memory.name} belongs to no constant of the layer")


@dataclass(frozen=True, kw_only=True)
class _Field:
    """A constant of one lane in a word of the ROM."""

    name: str
    lane: int
    offset: int
    width: int


def layer_index(memory: Memory) -> int:
    """Return which layer a memory lies in."""
    return int(memory.name.split(".")[0].removeprefix("layer_"))


def memory_site(memory: Memory, address: int, bit: int) -> Site:
    """Return a bit of a word of a memory."""
    name = f"{memory.name}[{address}][{bit}]"
    return Site(name=name, cell=memory.name, port="", bit=bit, address=address)
