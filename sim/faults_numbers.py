"""Numbers of a Design with one bit flipped, in the saved file or in a ROM, and what golden says.

The golden model is the judge here: it is run with the faulty number, and knows no hardware.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..gen.design.design import Design
from ..gen.design.population import DesignOperand, DesignPopulation, DesignProjection, bits_for
from ..gen.layers.plan import LayerPlan
from ..gen.model.codes import SpikeCode
from . import golden

FACTOR_BITS = 16  # requantisation factors are unsigned, at most so wide


@dataclass(frozen=True, kw_only=True)
class Number:
    """One integer of a Design.

    Parameters
    ----------
    kind
        ``weight``, ``bias``, ``factor``, ``shift``, ``eta``, ``rest``, ``input factor`` or
        ``input shift``.
    layer
        Name of the population.
    index
        (channel, column) of a weight, (channel,) of a factor, (place,) of a bias in the array that
        holds them, (step,) of eta; else empty.
    operand
        Which of the population's, where it has several: those of a maximum.
    branch
        Which projection of the operand, where a sum has several.
    """

    kind: str
    layer: str
    index: tuple[int, ...] = ()
    operand: int = 0
    branch: int = 0

    def __str__(self) -> str:
        place = f" operand {self.operand}" if self.operand else ""
        place += f" branch {self.branch}" if self.branch else ""
        return f"{self.kind} {self.layer}{place}{''.join(f'[{i}]' for i in self.index)}"

    def read(self, design: Design) -> int:
        """Return the number."""
        population = design[self.layer]
        if self.kind == "weight":
            return int(self.projection(design).map.weights[self.index])
        if self.kind == "bias":
            return int(_biases(population, self.operand).flat[self.index[0]])
        if self.kind == "factor":
            return int(population.operands[self.operand].multiplier[self.index])
        if self.kind == "shift":
            return population.operands[self.operand].shift
        if self.kind == "input factor":
            return design.input_format.multiplier
        if self.kind == "input shift":
            return design.input_format.shift
        code = _code(population)
        return code.rest if self.kind == "rest" else code.eta[self.index[0]]

    def projection(self, design: Design) -> DesignProjection:
        """Return the one that a weight belongs to."""
        return design[self.layer].operands[self.operand].projections[self.branch]

    def bits(self, design: Design) -> int:
        """Return how many bits the number has, or one more where it has no fixed width."""
        if self.kind == "weight":
            return self.projection(design).weight_bits
        if self.kind == "bias":
            bias = _biases(design[self.layer], self.operand)
            return bits_for(int(bias.min()), int(bias.max()))
        if self.kind in ("factor", "input factor"):
            return FACTOR_BITS
        return abs(self.read(design)).bit_length() + 1

    def put(self, design: Design, value: int) -> Design:
        """Return the Design with another value there, unfolded.

        Raises
        ------
        ValueError
            If the Design refuses it.
        """
        if self.kind.startswith("input "):
            name = {"input factor": "multiplier", "input shift": "shift"}[self.kind]
            faulty = replace(design, input_format=replace(design.input_format, **{name: value}))
        else:
            faulty = design
        return replace(
            faulty,
            populations=tuple(
                replace(self._put(p, value) if p.name == self.layer else p, folding=None)
                for p in faulty.populations
            ),
        )

    def _put(self, population: DesignPopulation, value: int) -> DesignPopulation:
        if self.kind.startswith("input "):
            return population
        if self.kind in ("eta", "rest"):
            return replace(population, code=self._put_code(_code(population), value))
        operand = self._put_operand(population, value)
        return replace(population, operands=_with(population.operands, self.operand, operand))

    def _put_code(self, code: SpikeCode, value: int) -> SpikeCode:
        if self.kind == "rest":
            return replace(code, rest=value)
        return replace(code, eta=_with(code.eta, self.index[0], value))

    def _put_operand(self, population: DesignPopulation, value: int) -> DesignOperand:
        operand = population.operands[self.operand]
        if self.kind == "shift":
            return replace(operand, shift=value)
        if self.kind == "factor":
            multiplier = operand.multiplier.copy()
            multiplier[self.index] = value
            return replace(operand, multiplier=multiplier)
        if self.kind == "bias":
            bias = _biases(population, self.operand).copy()
            bias.flat[self.index[0]] = value
            return replace(operand, bias=bias)
        projection = operand.projections[self.branch]
        weights = projection.map.weights.copy()
        weights[self.index] = value
        changed = replace(projection, map=projection.map.with_weights(weights))
        return replace(operand, projections=_with(operand.projections, self.branch, changed))


def _with(items: tuple, place: int, item: object) -> tuple:
    """Return ``items`` with another one at a place."""
    return (*items[:place], item, *items[place + 1 :])


def _biases(population: DesignPopulation, operand: int) -> np.ndarray:
    """Return the biases of an operand, at least one for each channel."""
    bias, shape = population.operands[operand].bias, population.shape
    each = (shape[0], *[1] * (len(shape) - 1))
    return np.broadcast_to(bias, np.broadcast_shapes(bias.shape, each))


def _code(population: DesignPopulation) -> SpikeCode:
    if population.code is None:
        raise ValueError(f"{population.name!r} is the read-out and has no code")
    return population.spike_code


def _with_channel_moved(
    design: Design, layer: str, channel: int, change: int | np.ndarray
) -> Design:
    """Return the Design with the biases of one channel moved, unfolded.

    ``change`` is one number, or one for each pixel.
    """

    def moved(population: DesignPopulation) -> DesignPopulation:
        if population.name != layer:
            return replace(population, folding=None)
        bias = _biases(population, 0)
        bias = np.broadcast_to(
            bias, (len(bias), *np.broadcast_shapes(bias.shape[1:], np.shape(change)))
        )
        bias = bias.copy()
        bias[channel] += change
        operand = replace(population.operands[0], bias=bias)
        return replace(population, operands=(operand, *population.operands[1:]), folding=None)

    return replace(design, populations=tuple(map(moved, design.populations)))


def numbers(design: Design) -> dict[str, list[Number]]:
    """Return all numbers of a Design, by kind."""
    found: dict[str, list[Number]] = {}

    def add(kind: str, layer: str, *index: int, **place: int) -> None:
        found.setdefault(kind, []).append(Number(kind=kind, layer=layer, index=index, **place))

    for population in design.populations:
        name = population.name
        if population.code is not None:
            add("rest", name)
            for t in range(population.code.steps):
                add("eta", name, t)
        for k, operand in enumerate(population.operands):
            for i in range(_biases(population, k).size):
                add("bias", name, i, operand=k)
            for branch, projection in enumerate(operand.projections):
                for i, j in np.ndindex(projection.map.weights.shape):
                    add("weight", name, i, j, operand=k, branch=branch)
            if population.code is not None:
                add("shift", name, operand=k)
                for i in range(len(operand.multiplier)):
                    add("factor", name, i, operand=k)
    add("input factor", design.input.name)
    add("input shift", design.input.name)
    return found


# -- the saved file ----------------------------------------------------------------------------


def corrupt(source: Path, target: Path, number: Number, bit: int) -> None:
    """Copy a saved Design, one bit of one number flipped; the zip's own checksums are right."""
    with np.load(source, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(arrays["design"].tobytes().decode())
    entry = next(p for p in header["populations"] if p["name"] == number.layer)
    if number.kind.startswith("input "):
        key = {"input factor": "multiplier", "input shift": "shift"}[number.kind]
        header["input"][key] ^= 1 << bit
    elif number.kind == "rest":
        entry["code"]["rest"] ^= 1 << bit
    elif number.kind == "eta":
        entry["code"]["eta"][number.index[0]] ^= 1 << bit
    elif number.kind == "shift":
        entry["operands"][number.operand]["shift"] ^= 1 << bit
    else:
        operand = entry["operands"][number.operand]
        key = {
            "weight": operand["projections"][number.branch]["weights"],
            "bias": operand["bias"],
            "factor": operand["multiplier"],
        }[number.kind]
        array = arrays[key].copy()
        flat = array.size == 1 or number.kind != "weight"
        place = (0 if array.size == 1 else number.index[0],) if flat else number.index
        (array.reshape(-1) if flat else array)[place] ^= 1 << bit
        arrays[key] = array
    arrays["design"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(target, **arrays)


def load_refuses(path: Path) -> str | None:
    """Return why signfire refuses a Design's file, ``None`` where it takes it."""
    try:
        Design.load(path)
    except ValueError as reason:
        return str(reason)
    return None


# -- ROMs --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class WeightField:
    """Bits of a word of the weight ROM that hold one weight.

    Parameters
    ----------
    number
        ``None`` where no weight of the Design stands: beside inputs of an output's own, and of
        channels that read none.
    offset, width
        Its bits in the word.
    copies
        Fields that hold the same number: a join reads a sum of pixels with a weight for each.
    """

    number: Number | None
    offset: int
    width: int
    copies: int


class WeightRom:
    """Which weight each bit of a layer's weight ROM belongs to.

    The layer is laid out anew with its weights' own numbers in place of their values, so what the
    readers and the folding do to weights needs not be said twice.
    """

    def __init__(self, plan: LayerPlan) -> None:
        self.plan = plan
        self.numbers: list[Number] = []  # number k stands for the k-th, counted from 1
        readers = []
        for branch, reader in enumerate(plan.readers):
            shape = reader.held_map.weights.shape
            first = len(self.numbers) + 1
            self.numbers += [
                Number(kind="weight", layer=plan.name, index=index, branch=branch)
                for index in np.ndindex(shape)
            ]
            own = np.arange(first, len(self.numbers) + 1).reshape(shape)
            readers.append(replace(reader, held_map=reader.held_map.with_weights(own)))
        rows = replace(plan, readers=tuple(readers)).weight_rows
        self.rows = rows.reshape(-1, *rows.shape[2:])  # (words, pe, simd)
        self.copies = np.bincount(self.rows.ravel(), minlength=len(self.numbers) + 1)

    def field(self, address: int, bit: int) -> WeightField:
        """Return the field that a bit of a word belongs to."""
        first, others = self.plan.first_bits, self.plan.weight_bits
        output, at = divmod(bit, first + (self.plan.folding.simd - 1) * others)
        column = 0 if at < first else 1 + (at - first) // others
        start = first + (column - 1) * others if column else 0
        known = int(self.rows[address, output, column])
        return WeightField(
            number=self.numbers[known - 1] if known else None,
            offset=bit - at + start,
            width=others if column else first,
            copies=int(self.copies[known]),
        )


def bias_at(plan: LayerPlan, kind: int, output: int) -> Number:
    """Return the bias of an output at the first pixel of a kind, see :class:`.border.Border`."""
    biases = _biases(plan.held, 0)
    each = biases.size // len(biases)
    place = output * each + (int(plan.border.examples[kind]) if each > 1 else 0)
    return Number(kind="bias", layer=plan.name, index=(place,))


def flip(value: int, bit: int, bits: int, *, signed: bool) -> int:
    """Flip one bit of a number of ``bits`` bits, two's complement where ``signed``."""
    flipped = (value & ((1 << bits) - 1)) ^ 1 << bit
    return flipped - (1 << bits) if signed and flipped >> (bits - 1) else flipped


@dataclass(frozen=True, kw_only=True)
class RomFault:
    """A bit of a ROM that holds numbers of the Design.

    ``value`` is what the number becomes; ``copies`` are the places in the ROM that hold it, one of
    which is faulty. A bias is faulty at ``pixels`` alone, in raster order, which share the word;
    without any, at all pixels.
    """

    number: Number
    value: int
    copies: int = 1
    pixels: tuple[int, ...] = ()

    def applied(self, design: Design) -> Design | None:
        """Return the Design that answers as the faulty hardware does, ``None`` if there is none.

        The ROM word alone is wrong. What the generator derived from the number is as it was: the
        bias that settled firing has folded with Σ W, which here takes back what the golden model
        would add. In overlapped firing Σ W enters every step, and no Design is like that. Nor is
        one where a copy of a weight or of a factor differs from the others.
        """
        if self.copies > 1:
            return None
        if self.number.kind == "bias":
            return self._with_bias(design)
        if self.number.kind == "weight":
            if design.firing != "settled":
                return None
            moved = self._taken_back(design)
            design = _with_channel_moved(design, self.number.layer, self.number.index[0], moved)
        return self.number.put(design, self.value)

    def _with_bias(self, design: Design) -> Design:
        population = design[self.number.layer]
        biases = _biases(population, 0)
        change = np.array(self.value - self.number.read(design))
        if self.pixels:
            faulty = np.zeros(population.shape[1:], np.int64)
            faulty.flat[list(self.pixels)] = 1
            change = change * faulty
        channel = self.number.index[0] // (biases.size // len(biases))
        return _with_channel_moved(design, self.number.layer, channel, change)

    def _taken_back(self, design: Design) -> int | np.ndarray:
        """Return what a weight's change would do to the folded bias, taken back: by pixel.

        That holds (rest - Ση) Σ W, and takes off z Σ W of what lies beyond the planes, where
        neurons send z for 0.
        """
        projection = self.number.projection(design)
        source, linear = _code(design[projection.source]), projection.map
        change = self.value - self.number.read(design)
        whole = change * linear.repeats
        moved = -(source.rest - source.total) * whole
        if source.zero == 0:
            return moved
        alone = np.zeros_like(linear.weights)
        alone[self.number.index] = change
        within = linear.with_weights(alone).apply(np.ones((1, *linear.in_shape), np.int64))
        return moved + source.zero * (whole - within[0][self.number.index[0]])


def fits(plan: LayerPlan, faulty: Design) -> bool:
    """Whether a layer with faulty numbers stays within the widths that it was built with.

    Beyond them the hardware wraps round, and the golden model, which knows no widths, does not.
    """
    population = faulty[plan.name]
    bound = faulty.integrator_bound(population)
    return plan.holds(replace(plan, population=population, x_bound=bound))


def eta_fits(design: Design, fault: RomFault) -> bool:
    """Whether neurons with a faulty step stay within the widths that they were built with.

    Settled neurons hold v - f(x), which passes 0 by one step at most; overlapped ones hold v.
    """
    eta = _code(design[fault.number.layer]).eta
    if design.firing == "settled":
        return fault.value <= max(eta)
    return fault.value <= eta[fault.number.index[0]]


# -- judge -------------------------------------------------------------------------------------


class Judge:
    """The golden model on the sample set: it says which events and answers a number changes.

    Parameters
    ----------
    design
        Without a fault.
    raw
        (samples, input size) integers p.
    """

    def __init__(self, design: Design, raw: np.ndarray) -> None:
        self.raw = raw
        self.traces = [golden.trace(design, sample) for sample in raw]

    def changes(self, faulty: Design, layers: Sequence[str] | None = None) -> tuple[bool, bool]:
        """Return whether any event changes, and whether any logit or class does.

        With ``layers`` only their events are judged, and no answers: what stands behind them would
        take the faulty number for something that the hardware does not.
        """
        events = answers = False
        for events_here, answers_here in self._by_sample(faulty, layers):
            events, answers = events or events_here, answers or answers_here
        return events, answers

    def _by_sample(
        self, faulty: Design, layers: Sequence[str] | None
    ) -> Iterator[tuple[bool, bool]]:
        for sample, known in zip(self.raw, self.traces, strict=True):
            seen = golden.trace(faulty, sample)
            names = known.populations if layers is None else layers
            events = any(
                not np.array_equal(seen.populations[n].events, known.populations[n].events)
                for n in names
            )
            yield events, layers is None and not np.array_equal(seen.logits, known.logits)
