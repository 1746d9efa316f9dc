"""A population in integers: its code, what decides its function, and its operands."""

from dataclasses import replace

import numpy as np

from ..design.population import DesignOperand, DesignPopulation
from ..model.codes import make_code
from ..model.functions import UNARY, make_table, slope_below
from ..model.maps import Window
from ..model.network import MAX, READOUT, Network, Operand, Population
from ..model.several import SEVERAL, make_comparison
from .converted import Converted
from .operand import Purpose, Rounding, convert_operand
from .options import AUTO, LayerOptions, Options
from .ranges import choose_code

ROUNDING = 1e-6  # of a step: a limit that is a step's value up to float precision is that step
SLOPE_BITS = 6  # of LeakyReLU's factors beside the bits of the code


def convert_population(
    network: Network,
    population: Population,
    exact: list[np.ndarray],
    activations: np.ndarray,
    converted: Converted,
    options: Options,
    like: DesignPopulation | None = None,
) -> DesignPopulation:
    """Choose the code of a population and quantise its operands.

    ``exact`` and ``activations`` are the operands and the output of the float network; the code of
    ``like`` is taken over, see :func:`calibrate`.
    """
    code, limit = (None, None) if like is None else (like.code, like.limit)
    same = passed_on(population) if population.name not in options.layers else None
    if population.function != READOUT and like is None:
        own = options.of(population.name)
        kind = code_kind(network, population, own)
        if population.step is not None and own.clip is None:
            code = make_code(
                kind=kind,
                schedule=own.schedule,
                steps=own.steps,
                low=population.low,
                high=population.limit,
            )
        else:
            code = choose_code(activations, kind, own, options.percentile)
        if same is not None:
            code = next(p.code for p in converted.populations if p.name == same)
        if population.limit is not None:
            limit = int(np.ceil(population.limit / code.unit - ROUNDING))
            if options.firing == "settled" and code.high <= limit:
                limit = None  # the code ends before
    slope = slope_below(population.function, population.parameters)
    table = None if like is None else like.table
    if population.function in UNARY and slope is None and like is None:
        ends = float(exact[0].min()), float(exact[0].max())
        table = make_table(UNARY[population.function], population.parameters, code, ends)
    comparison, units = None if like is None else like.comparison, [None] * len(exact)
    if table is not None:
        units = [table.unit]
    if population.function in SEVERAL:
        if like is None:
            try:
                comparison, units = make_comparison(SEVERAL[population.function], code, *exact)
            except ValueError as error:
                raise ValueError(f"{population.name!r}: {error}") from error
        else:
            units = [units_of(operand) for operand in like.operands]
    multiplier_bits = options.multiplier_bits
    if slope is not None and slope >= 0:  # the lesser slope needs as many bits as the code has
        multiplier_bits = min(16, max(multiplier_bits, code.total.bit_length() + SLOPE_BITS))
    rounding = Rounding.of(
        options,
        population.name,
        multiplier_bits=multiplier_bits,
        settled=converted.firing == "settled",
    )
    if same is not None:
        rounding = replace(rounding, bias_correction=False)
    alike = [None] * len(exact) if like is None else like.operands
    return DesignPopulation(
        name=population.name,
        shape=population.shape,
        function=population.function,
        code=code,
        operands=tuple(
            convert_operand(
                population,
                operand,
                x,
                code,
                converted,
                rounding,
                Purpose(unit=unit, slope=slope, centred=comparison is not None, like=held),
            )
            for operand, x, held, unit in zip(population.operands, exact, alike, units, strict=True)
        ),
        place=population.place,
        limit=limit,
        table=table,
        comparison=comparison,
    )


def units_of(operand: DesignOperand) -> float:
    """Return the real value of one unit of F."""
    return float(operand.scale[0] * 2**operand.shift / operand.multiplier[0])


def code_kind(network: Network, population: Population, own: LayerOptions) -> str:
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


def passed_on(population: Population) -> str | None:
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
    return sources.pop()
