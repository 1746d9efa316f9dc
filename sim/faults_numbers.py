"""Numbers of a Design with one bit flipped, in the saved file or in a ROM, and what golden says.

The golden model is the judge here: it is run with the faulty number, and knows no hardware.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..gen.codes import SpikeCode
from ..gen.design import Design, DesignOperand, DesignPopulation, bits_for
from ..gen.plan import LayerPlan
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
        (output, input) of a weight, (channel,) of bias and factor, (step,) of eta; else empty.
    """

    kind: str
    layer: str
    index: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.layer}{''.join(f'[{i}]' for i in self.index)}"

    def read(self, design: Design) -> int:
        """Return the number."""
        population = design[self.layer]
        if self.kind == "weight":
            return int(next(population.sources).map.weights[self.index])
        if self.kind == "bias":
            return int(_bias(population).flat[self.index[0]])
        if self.kind == "factor":
            return int(population.operands[0].multiplier[self.index])
        if self.kind == "shift":
            return population.operands[0].shift
        if self.kind == "input factor":
            return design.input_format.multiplier
        if self.kind == "input shift":
            return design.input_format.shift
        code = _code(population)
        return code.rest if self.kind == "rest" else code.eta[self.index[0]]

    def bits(self, design: Design) -> int:
        """Return how many bits the number has, or one more where it has no fixed width."""
        if self.kind == "weight":
            return next(design[self.layer].sources).weight_bits
        if self.kind == "bias":
            bias = _bias(design[self.layer])
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
        return replace(population, operands=(operand, *population.operands[1:]))

    def _put_code(self, code: SpikeCode, value: int) -> SpikeCode:
        if self.kind == "rest":
            return replace(code, rest=value)
        step = self.index[0]
        return replace(code, eta=(*code.eta[:step], value, *code.eta[step + 1 :]))

    def _put_operand(self, population: DesignPopulation, value: int) -> DesignOperand:
        operand = population.operands[0]
        if self.kind == "shift":
            return replace(operand, shift=value)
        if self.kind == "factor":
            multiplier = operand.multiplier.copy()
            multiplier[self.index] = value
            return replace(operand, multiplier=multiplier)
        if self.kind == "bias":
            bias = _bias(population).copy()
            bias.flat[self.index[0]] = value
            return replace(operand, bias=bias)
        projection = operand.projections[0]
        weights = projection.map.weights.copy()
        weights[self.index] = value
        changed = replace(projection, map=projection.map.with_weights(weights))
        return replace(operand, projections=(changed, *operand.projections[1:]))


def _bias(population: DesignPopulation) -> np.ndarray:
    return np.broadcast_to(population.operands[0].bias, population.shape)


def _code(population: DesignPopulation) -> SpikeCode:
    if population.code is None:
        raise ValueError(f"{population.name!r} is the read-out and has no code")
    return population.code


def numbers(design: Design) -> dict[str, list[Number]]:
    """Return all numbers of a Design of dense layers, by kind."""
    found: dict[str, list[Number]] = {}

    def add(kind: str, layer: str, *index: int) -> None:
        found.setdefault(kind, []).append(Number(kind=kind, layer=layer, index=index))

    for population in design.populations:
        name = population.name
        if population.code is not None:
            add("rest", name)
            for t in range(population.code.steps):
                add("eta", name, t)
        if not population.operands:
            continue
        outputs, inputs = next(population.sources).map.weights.shape
        for i in range(outputs):
            add("bias", name, i)
            for j in range(inputs):
                add("weight", name, i, j)
        if population.code is not None:
            add("shift", name)
            for i in range(len(population.operands[0].multiplier)):
                add("factor", name, i)
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
        entry["operands"][0]["shift"] ^= 1 << bit
    else:
        operand = entry["operands"][0]
        key = {
            "weight": operand["projections"][0]["weights"],
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


def weight_at(plan: LayerPlan, address: int, bit: int) -> tuple[Number, int]:
    """Return the weight that a bit of the weight ROM belongs to, and the bit in the weight.

    Word tile·words + w holds pe x simd weights, output-major, columns in the order of the reading.
    """
    tile, word = divmod(address, plan.weight_words)
    place, bit = divmod(bit, plan.weight_bits)
    output, column = divmod(place, plan.folding.simd)
    column = int(plan.columns[word * plan.folding.simd + column])
    index = (tile * plan.folding.pe + output, column)
    return Number(kind="weight", layer=plan.name, index=index), bit


def flip(value: int, bit: int, bits: int, *, signed: bool) -> int:
    """Flip one bit of a number of ``bits`` bits, two's complement where ``signed``."""
    flipped = (value & ((1 << bits) - 1)) ^ 1 << bit
    return flipped - (1 << bits) if signed and flipped >> (bits - 1) else flipped


@dataclass(frozen=True, kw_only=True)
class RomFault:
    """A bit of a ROM that holds numbers of the Design.

    ``value`` is what the number becomes.
    """

    number: Number
    value: int

    def applied(self, design: Design) -> Design | None:
        """Return the Design that answers as the faulty hardware does, ``None`` if there is none.

        The ROM word alone is wrong. What the generator derived from the number is as it was: the
        bias that settled firing has folded with Σ W, which here takes back what the golden model
        would add. In overlapped firing Σ W enters every step, and no Design is like that.
        """
        population = design[self.number.layer]
        if self.number.kind == "weight":
            if design.firing != "settled":
                return None
            source = _code(design[next(population.sources).source])
            change = self.value - self.number.read(design)
            bias = Number(kind="bias", layer=self.number.layer, index=self.number.index[:1])
            folded = bias.read(design) - (source.rest - source.total) * change
            design = bias.put(design, folded)
        return self.number.put(design, self.value)


def fits(plan: LayerPlan, faulty: Design) -> bool:
    """Whether a layer with faulty numbers stays within the widths that it was built with.

    Beyond them the hardware wraps round, and the golden model, which knows no widths, does not.
    """
    population = faulty[plan.name]
    bound = faulty.integrator_bound(population)
    wanted = replace(plan, population=population, x_bound=bound)
    return (
        wanted.x_width <= plan.x_width
        and wanted.total_width <= plan.total_width
        and (plan.is_readout or _reach(wanted) <= _reach(plan))
    )


def _reach(plan: LayerPlan) -> int:
    return plan.requantised_range[1].bit_length()


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
