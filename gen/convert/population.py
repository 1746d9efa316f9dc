"""A population in integers: its code, what decides its function, and its operands."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..design.population import DesignOperand, DesignPopulation
from ..model.codes import SpikeCode, integer_steps, make_code
from ..model.functions import UNARY, FunctionTable, make_table, slope_below
from ..model.maps import Window
from ..model.network import MAX, READOUT, Network, Operand, Population
from ..model.several import SEVERAL, Comparison, make_comparison
from ..model.ties import DOWN, EVEN, rounded
from .converted import Converted
from .operand import Purpose, Rounding, convert_operand
from .options import AUTO, LayerSettings, Options
from .paper import paper_code, ties_of
from .ranges import choose_code

ROUNDING = 1e-6  # of a step: a limit that is a step's value up to float precision is that step
SLOPE_BITS = 6  # of LeakyReLU's factors beside the bits of the code


@dataclass(frozen=True, kw_only=True)
class Neurons:
    """What decides when the neurons of a population send events.

    Parameters
    ----------
    code
        ``None`` of the read-out.
    limit, table, comparison
        See :class:`signfire.gen.design.population.DesignPopulation`.
    units
        Real value of one unit of F, by operand; ``None`` is that of the code.
    """

    code: SpikeCode | None
    limit: int | None = None
    table: FunctionTable | None = None
    comparison: Comparison | None = None
    units: tuple[float | None, ...]


def convert_population(
    network: Network,
    population: Population,
    exact: list[np.ndarray],
    activations: np.ndarray,
    converted: Converted,
    options: Options,
    like: DesignPopulation | None = None,
    least: Sequence[np.ndarray] | None = None,
) -> DesignPopulation:
    """Choose the code of a population and quantise its operands.

    ``exact`` and ``activations`` are the operands and the output of the float network; the code of
    ``like`` is taken over, and no scale of an operand is below its ``least``, see
    :func:`calibrate`.
    """
    same = passed_on(network, population) if population.name not in options.layers else None
    if like is None:
        code, ties = None, DOWN
        if population.function != READOUT:
            said = None if same is None else converted[same].spike_code
            code = said or _chosen_code(network, population, activations, options)
            ties = asked_ties(population.function, options)
        settled = options.firing == "settled"
        neurons = _neurons(population, code, exact, settled=settled, ties=ties)
        if options.ties is None and not options.paper:
            ties = trained_ties(population, neurons, options)
    else:
        neurons, ties = _taken_over(like), like.ties
    code, slope = neurons.code, slope_below(population.function, population.parameters)
    multiplier_bits = 16 if options.paper else options.multiplier_bits  # the finer, the fewer ties
    if code is not None and slope is not None and slope >= 0:
        # The lesser slope needs as many bits as the code has.
        multiplier_bits = max(multiplier_bits, min(16, code.total.bit_length() + SLOPE_BITS))
    rounding = Rounding.of(
        options,
        population.name,
        multiplier_bits=multiplier_bits,
        settled=converted.firing == "settled",
        exact=all(is_trained(network, network[p.source]) for p in population.sources),
    )
    if same is not None:
        rounding = replace(rounding, bias_correction=False)
    centred = neurons.comparison is not None and SEVERAL[population.function].nearest
    alike = [None] * len(exact) if like is None else like.operands
    scales = [None] * len(exact) if least is None else least
    purposes = [
        Purpose(unit=unit, slope=slope, centred=centred, like=held, least=bound)
        for unit, held, bound in zip(neurons.units, alike, scales, strict=True)
    ]
    return DesignPopulation(
        name=population.name,
        shape=population.shape,
        function=population.function,
        code=code,
        operands=tuple(
            convert_operand(population, operand, x, code, converted, rounding, purpose)
            for operand, x, purpose in zip(population.operands, exact, purposes, strict=True)
        ),
        place=population.place,
        limit=neurons.limit,
        table=neurons.table,
        comparison=neurons.comparison,
        ties=ties,
    )


def asked_ties(function: str, options: Options) -> str:
    """Return where ``options`` send neurons that are exactly between two levels, ``down`` unsaid.

    A quotient knows no even levels.
    """
    if options.paper:
        return ties_of(function)
    divides = function in SEVERAL and SEVERAL[function].divides
    return DOWN if options.ties is None or (divides and options.ties == EVEN) else options.ties


def trained_ties(population: Population, neurons: Neurons, options: Options) -> str:
    """Return where neurons went in training, where its levels are theirs and X alone decides."""
    code = neurons.code
    plain = neurons.table is None and population.function not in (MAX, *SEVERAL)
    if code is None or population.ties is None or not plain or options.firing != "settled":
        return DOWN
    return population.ties if code.is_binary and code.low % 2 == 0 else DOWN


def _chosen_code(
    network: Network, population: Population, activations: np.ndarray, options: Options
) -> SpikeCode:
    """Return the code that suits what a population says, or was trained to say."""
    own = options.of(population.name)
    if options.paper:
        return paper_code(own)
    kind = code_kind(network, population, own)
    if population.step is None or own.clip is not None:
        return choose_code(activations, kind, own, options.percentile)
    code = trained_code(population, own)
    if code is not None:
        return code
    assert population.low is not None and population.limit is not None, "a step has both ends"
    return make_code(
        kind=kind,
        schedule=own.schedule,
        steps=own.steps,
        low=population.low,
        high=population.limit,
    )


def trained_code(population: Population, own: LayerSettings) -> SpikeCode | None:
    """Return the code whose levels are those that a population was trained with.

    Its unit is half a step, its least value that of the training; what lies above the greatest is
    clamped, see :func:`_neurons`. ``None`` where T has fewer levels than the training, or another
    code was asked for.
    """
    if own.schedule.kind != "binary" or own.code not in (AUTO, "silent", "offset"):
        return None
    first, last = trained_levels(population)
    if last - first >= 2**own.steps or (own.code == "silent" and first < 0):
        return None
    assert population.step is not None, "levels have a step"
    eta = integer_steps(own.schedule, own.steps)
    return SpikeCode(
        eta=eta,
        rest=sum(eta) + 2 * first,
        unit=population.step / 2,
        kind="silent" if first == 0 else "offset",
        schedule=own.schedule.kind,
    )


def is_trained(network: Network, population: Population) -> bool:
    """Whether a population says multiples of a step that it was trained with."""
    if population.function == MAX and population.step is None:
        return all(is_trained(network, network[p.source]) for p in population.sources)
    return population.step is not None


def trained_levels(population: Population) -> tuple[int, int]:
    """Return the least and the greatest value of the training, in steps."""
    assert population.step is not None, "a population without a step has no levels"
    assert population.low is not None and population.limit is not None, "a step has both ends"
    return round(population.low / population.step), round(population.limit / population.step)


def trained_steps(population: Population) -> int:
    """Return T of as many levels as the training had, at least."""
    first, last = trained_levels(population)
    return max(1, (last - first).bit_length())


def _neurons(
    population: Population,
    code: SpikeCode | None,
    exact: list[np.ndarray],
    *,
    settled: bool,
    ties: str,
) -> Neurons:
    """Return what decides a population's function, for operands like those seen."""
    function, limit = population.function, None
    plain = (None,) * len(exact)
    if code is None:
        return Neurons(code=None, units=plain)
    if population.limit is not None:
        limit = int(rounded(np.array(population.limit / code.unit), ties, within=ROUNDING))
        if settled and code.high <= limit:
            limit = None  # the code ends before
    if function in UNARY and slope_below(function, population.parameters) is None:
        ends = float(exact[0].min()), float(exact[0].max())
        table = make_table(UNARY[function], population.parameters, code, ends, limit, ties)
        return Neurons(code=code, limit=limit, table=table, units=(table.unit,))
    if function not in SEVERAL:
        return Neurons(code=code, limit=limit, units=plain)
    try:
        comparison, units = make_comparison(SEVERAL[function], code, *exact)
    except ValueError as error:
        raise ValueError(f"{population.name!r}: {error}") from error
    return Neurons(code=code, limit=limit, comparison=comparison, units=units)


def _taken_over(like: DesignPopulation) -> Neurons:
    """Return what decides the neurons of a Design."""
    units: tuple[float | None, ...] = (None,) * len(like.operands)
    if like.table is not None:
        units = (like.table.unit,)
    elif like.comparison is not None:
        units = tuple(units_of(operand) for operand in like.operands)
    return Neurons(
        code=None if like.code is None else like.spike_code,
        limit=like.limit,
        table=like.table,
        comparison=like.comparison,
        units=units,
    )


def units_of(operand: DesignOperand) -> float:
    """Return the real value of one unit of F."""
    return float(operand.scale[0] * 2**operand.shift / operand.multiplier[0])


def code_kind(network: Network, population: Population, own: LayerSettings) -> str:
    if own.code != AUTO:
        return own.code
    return "silent" if never_negative(network, population) else "offset"


def never_negative(network: Network, population: Population) -> bool:
    """Whether what a population expresses cannot be below 0."""
    if population.function in UNARY:
        return UNARY[population.function].nonnegative
    if population.function in SEVERAL:
        return SEVERAL[population.function].never_negative(
            [bool((op.bias >= 0).all()) and _adds_up(network, op) for op in population.operands]
        )
    if population.function != MAX:
        return population.function == "relu"

    positive = [
        np.broadcast_to(operand.bias >= 0, population.shape) & _adds_up(network, operand)
        for operand in population.operands
    ]
    return bool(np.any(positive, axis=0).all())


def _adds_up(network: Network, operand: Operand) -> bool:
    """Whether the projections of an operand cannot sum up to less than 0."""
    return all(
        (p.map.weights >= 0).all() and never_negative(network, network[p.source])
        for p in operand.projections
    )


def passed_on(network: Network, population: Population) -> str | None:
    """Return the only source of a maximum over a source's own values, whose code says them all."""
    sources = {p.source for p in population.sources}
    plain = all(
        isinstance(p.map, Window) and p.map.window == (1, 1) and np.allclose(p.map.factor, 1)
        for p in population.sources
    )
    unbiased = not any(
        operand.bias[~np.isneginf(operand.bias)].any() for operand in population.operands
    )
    if population.function != MAX or len(sources) != 1 or not plain or not unbiased:
        return None
    source = sources.pop()
    other_levels = population.step is not None and population.step != network[source].step
    return None if other_levels else source
