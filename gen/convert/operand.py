"""One operand in integers: the weights and biases of all projections that meet in it.

Projections into one operand share a scale for each channel. Trained weights are searched and
rounded for the least error of the sum; fixed coefficients (identity, slices, pooling) are rounded
to nearest, with as many bits as that takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ..design.border import border_of
from ..design.population import MULTIPLIER_LIMIT, DesignOperand, DesignProjection, bits_for
from ..model.codes import RateCode, SpikeCode
from ..model.network import Operand, Population, Projection
from .options import LayerOptions, Options
from .quantise import FewInputs, QuantisedRows, Rounder, grid, quantise_rows, widest_scales

BIAS_REACH = 2.0**24  # units of X that the greatest bias of an operand is worth at most
IDLE_BIAS = 2.0**10  # units of X that the greatest bias of a read-out without weights is worth
IDLE_FINE = 16.0  # units of X in one of v, of neurons without weights
EXACT_BITS = 22  # of fixed coefficients between trained levels, at most
TRAINED_BITS = 16  # of the factors of trained scales, at least
SHARED_BITS = 12  # of weights that were trained with a step an output and share one scale
WIDEST = 8  # bits of a trained weight
PRECISION = 2.0**-23  # of 32-bit floats, twice over
WHOLE = 2.0**-21  # of a number: a product of 32-bit floats this near to a whole one is that
FIXED_LIMIT = 2**15 - 1  # greatest fixed coefficient: 16 bits
FIXED_FINE = 2**11 - 1  # greatest of an operand that has no others: 12 bits, an error of 1/4094
MOMENT_ROWS = 2**16  # input vectors that second moments are taken over, about
FEWEST_IMAGES = 32
MANY_WEIGHTS = 2**11  # of an output, from which few inputs are kept in place of their moments
PATCH_VALUES = 2**24  # elements of unfolded inputs held at a time


class Said(Protocol):
    """What populations say for the samples.

    Members
    -------
    values : by name, (n, *shape) float64
    """

    @property
    def values(self) -> Mapping[str, np.ndarray]: ...


class Sources(Said, Protocol):
    """What an operand reads: populations in integers and their values for the samples.

    Members
    -------
    populations : list of DesignPopulation
    values : by name, (n, *shape) float64 integers v(T)
    """

    populations: list


@dataclass(frozen=True, kw_only=True)
class Factors:
    """Scales s = M·unit/2^shift that a layer's requantisation can express, M in 1..top."""

    unit: float
    shift: int
    top: int

    @classmethod
    def reaching(cls, name: str, unit: float, greatest: float, bits: int) -> "Factors":
        """Return the finest factors of ``bits`` bits, else of 16, that reach ``greatest``."""
        for top in (2**bits - 1, max(2**bits, MULTIPLIER_LIMIT) - 1):
            shift = int(np.floor(np.log2(top * unit / greatest)))
            if shift >= 1:
                return cls(unit=unit, shift=shift, top=top)
        raise ValueError(
            f"one unit of the integrators of {name!r} would be worth {greatest / unit:.0f} units "
            f"of its membrane, and 32767 is the most (take more weight_bits or fewer steps)"
        )

    def multiplier(self, scale: np.ndarray) -> np.ndarray:
        """M of each scale, int64."""
        return np.clip(np.rint(scale / self.unit * 2**self.shift), 1, self.top).astype(np.int64)

    def reduced(self, scale: np.ndarray) -> "Factors":
        """Return factors without the bits that those of all ``scale`` lack at their end."""
        every = int(np.bitwise_or.reduce(self.multiplier(scale)))
        spare = min((every & -every).bit_length() - 1, self.shift - 1)
        return replace(self, shift=self.shift - spare, top=self.top >> spare)

    def snap(self, scale: np.ndarray) -> np.ndarray:
        return self.multiplier(scale) * (self.unit / 2**self.shift)


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """How the numbers of an operand are rounded.

    Parameters
    ----------
    weight_bits, multiplier_bits
        Of trained weights, and of the requantisation factors.
    as_trained
        Weights that were trained with quantisation take the bits of their training.
    feedback, bias_correction
        See :class:`signfire.gen.convert.options.Options`.
    blind
        Weigh all inputs alike, whatever meets the weights.
    settled
        The sources fire settled, so that one without a code for 0 errs there for ever.
    exact
        The sources say what they said in training, so that weights of the training make no error
        which a bias could take up.
    """

    weight_bits: int
    multiplier_bits: int
    as_trained: bool = False
    feedback: bool = True
    bias_correction: bool = True
    blind: bool = False
    settled: bool = False
    exact: bool = False

    @classmethod
    def of(
        cls,
        options: Options,
        name: str,
        *,
        multiplier_bits: int,
        settled: bool = False,
        exact: bool = False,
    ) -> "Rounding":
        """Return what ``options`` say of the layer called ``name``."""
        plain = options.rounding == "plain"
        own = options.layers.get(name, LayerOptions())
        return cls(
            weight_bits=options.of(name).weight_bits,
            as_trained=options.weight_bits is None and own.weight_bits is None,
            multiplier_bits=multiplier_bits,
            feedback=options.rounding == "feedback",
            bias_correction=options.bias_correction and not plain,
            blind=plain,
            settled=settled,
            exact=exact and settled,
        )


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """What an operand is for, beside being compared in the unit of the code.

    Parameters
    ----------
    unit
        Real value of one unit of F; ``None`` is that of the code.
    slope
        Of the function where X < 0, relative to that above; ``None`` is no other.
    centred
        Take half a unit of F off the bias, so that F, which is rounded up, is rounded to nearest.
    like
        Whose weight bits, shift and bits of factors are taken over.
    least
        (channels,) scales that none of its own may be below; ``None`` for any.
    """

    unit: float | None = None
    slope: float | None = None
    centred: bool = False
    like: DesignOperand | None = None
    least: np.ndarray | None = None


PLAIN = Purpose()


@dataclass(frozen=True, kw_only=True, eq=False)
class Beside:
    """Fixed coefficients that share the scales of trained weights.

    Parameters
    ----------
    rows
        (channels, n) float64 coefficients.
    powers
        (channels, n) second moment of what meets each.
    """

    rows: np.ndarray
    powers: np.ndarray

    @property
    def least_scale(self) -> float:
        """The least scale of which they take 16 bits."""
        return float(np.abs(self.rows).max()) / FIXED_LIMIT

    def error(self, scale: np.ndarray) -> np.ndarray:
        """Return the squared error that rounding to multiples of ``scale`` makes, (channels,)."""
        off = self.rows - np.rint(self.rows / scale[:, None]) * scale[:, None]
        return (off**2 * self.powers).sum(axis=1)


def by_channel(numbers: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return one number a channel so that it broadcasts to a population's shape."""
    return np.reshape(numbers, (-1, *[1] * (len(shape) - 1)))


def convert_operand(
    population: Population,
    operand: Operand,
    exact: np.ndarray,
    code: SpikeCode | RateCode | None,
    sources: Sources,
    rounding: Rounding,
    purpose: Purpose = PLAIN,
) -> DesignOperand:
    """Quantise weights and bias of one operand.

    Parameters
    ----------
    exact
        (n, *shape) the operand of the float network.
    code
        Of the population; ``None`` for the read-out.
    sources
        What the projections read.
    rounding, purpose
        How its numbers are rounded, and what for.
    """
    if purpose.unit is None and code is not None:
        purpose = replace(purpose, unit=code.unit)
    unit, like = purpose.unit, purpose.like
    if operand.products:
        return _of_products(population, operand, sources, unit, centred=purpose.centred)
    if like is not None:
        widths = [p.weight_bits for p in like.projections if not p.map.fixed]
        rounding = replace(rounding, weight_bits=widths[0]) if widths else rounding
    units = {p.name: p.code.unit for p in sources.populations}
    rows = [p.map.weights * units[p.source] for p in operand.projections]
    trained = [k for k, p in enumerate(operand.projections) if not p.map.fixed]
    fixed = [k for k, p in enumerate(operand.projections) if p.map.fixed]
    coefficients = np.concatenate([rows[k] for k in fixed], axis=1) if fixed else None
    greatest_bias = float(np.abs(operand.bias[np.isfinite(operand.bias)]).max(initial=0))
    if trained:
        beside = None
        if coefficients is not None:
            powers = [_power(operand.projections[k], sources) for k in fixed]
            beside = Beside(rows=coefficients, powers=np.concatenate(powers, axis=1))
        found, factors = _trained(
            population.name,
            greatest_bias,
            [operand.projections[k] for k in trained],
            np.concatenate([rows[k] for k in trained], axis=1),
            sources,
            beside,
            rounding,
            purpose,
        )
    else:
        assert coefficients is not None
        found, factors = _fixed(
            population.name,
            greatest_bias,
            coefficients,
            unit,
            multiplier_bits=max(TRAINED_BITS, rounding.multiplier_bits) if rounding.exact else None,
        )
    made: dict[int, DesignProjection] = {}
    start = 0
    for k in trained:
        stop = start + rows[k].shape[1]
        weights = found.weights[:, start:stop]
        own = found.as_trained and rounding.as_trained
        bits = width_of(weights) if own else rounding.weight_bits
        made[k] = _integers(operand.projections[k], weights, bits)
        start = stop
    for k in fixed:
        weights = np.rint(rows[k] / found.scale[:, None])
        made[k] = _integers(operand.projections[k], weights, None)
    projections = [made[k] for k in range(len(made))]
    scale = by_channel(found.scale, population.shape)
    nothing = np.isneginf(operand.bias)
    bias = np.where(nothing, 0.0, operand.bias)
    exact_sums = rounding.exact and (not trained or found.as_trained)
    if rounding.bias_correction and not exact_sums:
        seen = sum(p.map.apply(sources.values[p.source]) for p in projections) * scale
        some = np.broadcast_to(~nothing, exact.shape)
        missed = np.where(some, exact, 0.0) - bias - seen
        bias = bias + _mean_by_kind(missed, some, projections, sources, settled=rounding.settled)
    if purpose.centred:
        assert unit is not None, "neurons that round have a unit"
        bias = bias - unit / 2
    integers = np.rint(bias / scale).astype(np.int64)
    if exact_sums and unit is not None:
        integers = between_levels(bias / scale, unit / scale)
    if nothing.any():
        integers = np.where(nothing, integers + _least(projections, sources, population), integers)
    multiplier, shift = np.ones(population.shape[0], np.int64), 0
    if code is not None and factors is not None:  # the read-out has neither
        multiplier, shift = factors.multiplier(found.scale), factors.shift
    return DesignOperand(
        projections=tuple(projections),
        bias=integers,
        scale=found.scale,
        multiplier=multiplier,
        shift=shift,
        below=None
        if purpose.slope is None
        else np.rint(multiplier * purpose.slope).astype(np.int64),
    )


def _of_products(
    population: Population,
    operand: Operand,
    sources: Sources,
    unit: float | None,
    *,
    centred: bool,
) -> DesignOperand:
    """Return an operand of products, whose scale is the product of the units of its sources."""
    units = {p.name: p.code.unit for p in sources.populations}
    scales = {units[p.source] * units[p.other] for p in operand.products}
    if len(scales) > 1:
        raise ValueError(f"products of different units cannot be summed in {population.name!r}")
    scale = scales.pop()
    bias = operand.bias - (unit / 2 if centred and unit is not None else 0)
    each = np.full(population.shape[0], scale)
    factors = None if unit is None else Factors.reaching(population.name, unit, scale, 16)
    return DesignOperand(
        projections=(),
        products=operand.products,
        bias=np.rint(bias / scale).astype(np.int64),
        scale=each,
        multiplier=np.ones(len(each), np.int64) if factors is None else factors.multiplier(each),
        shift=0 if factors is None else factors.shift,
    )


def _least(
    projections: list[DesignProjection], sources: Sources, population: Population
) -> np.ndarray:
    """Return the least Σ W·value of each channel: what stands for an operand that is left out."""
    codes = {p.name: p.code for p in sources.populations}
    least = np.zeros(population.shape[0], np.int64)
    for p in projections:
        code, weights = codes[p.source], p.map.weights
        least += np.minimum(weights * code.low, weights * code.high).sum(axis=1)
    return by_channel(least, population.shape)


def _mean_by_kind(
    missed: np.ndarray,
    some: np.ndarray,
    projections: list[DesignProjection],
    sources: Sources,
    *,
    settled: bool,
) -> np.ndarray:
    """Return the mean of (n, *shape) by channel, where ``some`` says so, shaped as a bias.

    Where settled neurons cannot say 0, what they say for it is an error that every input of a
    window makes and that padding does not; so there the mean is that of the pixels whose windows
    lack the same. It is 0 where ``some`` is true at none of them.
    """
    codes = {p.name: p.code for p in sources.populations}
    shape = missed.shape[1:]
    border = border_of(np.zeros(1), shape, [(p.map, codes[p.source]) for p in projections])
    if border.count == 1 or not settled:
        around = (0, *range(2, missed.ndim))
        return by_channel(missed.mean(axis=around, where=some), shape)
    flat, some = (x.reshape(*x.shape[:2], -1) for x in (missed, some))
    means = np.zeros((shape[0], border.count))
    for kind in range(border.count):
        pixels = border.of_pixels == kind
        here = some[:, :, pixels]
        sums = flat[:, :, pixels].sum(axis=(0, 2), where=here)
        means[:, kind] = sums / np.maximum(1, here.sum(axis=(0, 2)))
    return means[:, border.of_pixels].reshape(shape)


def _integers(projection: Projection, weights: np.ndarray, bits: int | None) -> DesignProjection:
    weights = weights.astype(np.int64)
    if bits is None:
        bits = max(2, int(np.abs(weights).max(initial=0)).bit_length() + 1)
    integers = projection.map.with_weights(weights)
    return DesignProjection(source=projection.source, map=integers, weight_bits=bits)


# -- trained weights ---------------------------------------------------------------------------


def _trained(
    name: str,
    greatest_bias: float,
    projections: list[Projection],
    rows: np.ndarray,
    sources: Sources,
    beside: Beside | None,
    rounding: Rounding,
    purpose: Purpose,
) -> tuple[QuantisedRows, Factors | None]:
    """Search scales and integers of trained weights, (channels, fan_in) in ``rows``."""
    unit, like = purpose.unit, purpose.like
    limits = np.full(rows.shape[1], 2.0 ** (rounding.weight_bits - 1) - 1)
    common = projections[0].common if len(projections) == 1 else None
    steps = grid(rows, shared=unit is None, common=common)
    if unit is None and steps is None and like is None and rounding.as_trained:
        found = shared_by_all(rows, grid(rows, common=common))
        if found is not None and greatest_bias <= found.scale.min() * BIAS_REACH:
            return found, None
    if like is None and steps is not None:
        weights = np.rint(rows / steps[:, None]).astype(np.int64)
        bits, most = width_of(weights), WIDEST if rounding.as_trained else rounding.weight_bits
        if bits <= most and greatest_bias <= steps.min() * BIAS_REACH:
            if unit is not None:
                alone = ~weights.any(axis=1)
                steps[alone] = np.minimum(steps[alone], unit / IDLE_FINE)
            bits = max(TRAINED_BITS, rounding.multiplier_bits)
            return _taken_over(name, weights, steps, unit, bits)
    if rounding.blind:
        rounder = Rounder(np.eye(rows.shape[1]), feedback=rounding.feedback)
    else:
        rounder = rounder_for(
            projections, sources, centre=rounding.bias_correction, feedback=rounding.feedback
        )
    least = max(0.0 if beside is None else beside.least_scale, greatest_bias / BIAS_REACH)
    room = 0.0 if purpose.least is None else purpose.least
    idle = greatest_bias / IDLE_BIAS if unit is None else unit / IDLE_FINE
    error = None if beside is None else beside.error
    if unit is None:
        found = quantise_rows(
            rows,
            rounder,
            limits,
            snap=lambda scale: scale,
            shared=True,
            beside=error,
            least_scale=max(least, float(np.max(room))),
            idle=idle,
        )
        return found, None
    greatest = max(float(widest_scales(rows, limits, idle=idle).max()), least)
    if like is not None:
        top = 2 ** int(like.multiplier.max()).bit_length() - 1
        factors = Factors(unit=unit, shift=like.shift, top=top)
    else:
        factors = Factors.reaching(name, unit, greatest, rounding.multiplier_bits)
    if least:  # the snapped scale must not be smaller
        least += factors.unit / 2**factors.shift
    if purpose.least is not None:
        room = room + factors.unit / 2**factors.shift
    found = quantise_rows(
        rows,
        rounder,
        limits,
        snap=factors.snap,
        beside=error,
        least_scale=np.maximum(least, room),
        idle=idle,
    )
    return found, factors


def width_of(weights: np.ndarray) -> int:
    """Return the bits of the widest of the weights, -2^(b-1) among them; 2 at least."""
    return max(2, bits_for(min(int(weights.min(initial=0)), -1), int(weights.max(initial=0))))


def shared_by_all(rows: np.ndarray, steps: np.ndarray | None) -> QuantisedRows | None:
    """Return the integers of a read-out whose outputs were trained with a step each.

    Logits are compared, so that their scale is one. Where all steps are multiples of one, weights
    are whole at that, of 12 bits at most; else they are rounded at a scale that gives them 4 bits
    more than they had.

    Parameters
    ----------
    rows, steps
        (channels, fan_in) weights, and (channels,) their steps; ``None`` where they have none.
    """
    if steps is None:
        return None
    bits = min(SHARED_BITS, width_of(np.rint(rows / steps[:, None])) + 4)
    step = common_step(steps[rows.any(axis=1)], 2**SHARED_BITS)
    if step is None or width_of(np.rint(rows / step)) > SHARED_BITS:
        step = float(np.abs(rows).max()) / (2 ** (bits - 1) - 1)
    weights = np.rint(rows / step).astype(np.int64)
    return QuantisedRows(weights=weights, scale=np.full(len(rows), step), as_trained=True)


def between_levels(bias: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return whole biases B that leave every neuron at the level that the real ones leave it at.

    Neurons of trained levels compare Σ W·v + B with odd multiples of ``level``, and Σ W·v is even.
    Where ``level`` is whole, only the side counts on which a bias lies of the next number of its
    parity, so a B halfway serves for all of a side. Else B is the nearest.

    Parameters
    ----------
    bias
        Real biases in units of X, float64.
    level
        Half a trained step of the neurons, in units of X; broadcasts to ``bias``.

    Returns
    -------
    np.ndarray
        int64, of the shape of both.
    """
    bias, level = np.broadcast_arrays(bias, level)
    nearest = np.rint(bias)
    parity = np.rint(level) % 2
    plain = np.abs(level - np.rint(level)) <= WHOLE * level
    settled = np.abs(bias - nearest) <= PRECISION * np.maximum(1, np.abs(bias))
    settled &= nearest % 2 == parity
    halfway = 2 * np.floor((bias - parity) / 2) + parity + 1
    return np.where(plain & (level >= 0.5) & ~settled, halfway, nearest).astype(np.int64)


def _taken_over(
    name: str, weights: np.ndarray, steps: np.ndarray, unit: float | None, multiplier_bits: int
) -> tuple[QuantisedRows, Factors | None]:
    """Keep the integers and the scales that the weights were trained with."""
    if unit is None:
        return QuantisedRows(weights=weights, scale=steps, as_trained=True), None
    factors = Factors.reaching(name, unit, float(steps.max()), multiplier_bits).reduced(steps)
    return QuantisedRows(weights=weights, scale=factors.snap(steps), as_trained=True), factors


def moments(projections: list[Projection], sources: Said, *, centre: bool) -> np.ndarray:
    """Return the second moments of what meets the weights, (groups, fan_in, fan_in).

    ``centre`` takes them about the mean, which a bias can take up: that is no error of the weights.
    """
    groups = _common_groups([p.map.groups for p in projections], projections[0].map.channels)
    samples = len(sources.values[projections[0].source])
    pixels = int(np.prod(projections[0].map.out_shape[1:]))
    images = min(samples, max(FEWEST_IMAGES, MOMENT_ROWS // pixels)) if pixels > 1 else samples
    chosen = np.linspace(0, samples - 1, images).astype(int)
    fan_in = sum(p.map.weights.shape[1] for p in projections)
    batch = max(1, PATCH_VALUES // (pixels * fan_in * groups))

    def inputs():
        for start in range(0, images, batch):
            some = chosen[start : start + batch]
            parts = [p.map.patches(sources.values[p.source][some]) for p in projections]
            yield np.concatenate([np.repeat(x, groups // len(x), axis=0) for x in parts], axis=2)

    mean = np.zeros((groups, 1, fan_in))
    if centre:
        mean = sum(x.sum(axis=1, keepdims=True) for x in inputs()) / (images * pixels)
    total = np.zeros((groups, fan_in, fan_in))
    for x in inputs():
        x = x - mean
        total += x.swapaxes(1, 2) @ x
    return total / (images * pixels)


def rounder_for(
    projections: list[Projection], sources: Said, *, centre: bool, feedback: bool
) -> Rounder:
    """Return what rounds the weights of projections for the inputs that meet them.

    Of many weights and few inputs it knows the inputs themselves, as their second moments would
    take memory and time by the square and the cube of the weights.
    """
    fan_in = sum(p.map.weights.shape[1] for p in projections)
    samples = len(sources.values[projections[0].source])
    whole = all(p.map.out_shape[1:] == () and p.map.groups == 1 for p in projections)
    if whole and fan_in >= MANY_WEIGHTS and samples * 4 <= fan_in:
        met = np.concatenate(
            [p.map.patches(sources.values[p.source])[0] for p in projections], axis=1
        )
        return FewInputs(met - met.mean(axis=0) if centre else met, feedback=feedback)
    return Rounder(moments(projections, sources, centre=centre), feedback=feedback)


def _common_groups(groups: list[int], channels: int) -> int:
    """Return the fewest equal runs of channels whose inputs are the same in each."""
    common = int(np.lcm.reduce(groups))
    return common if channels % common == 0 else channels


# -- fixed coefficients ------------------------------------------------------------------------


def common_step(row: np.ndarray, most: int) -> float | None:
    """Return the step that all coefficients are multiples of, at most ``most`` of them."""
    sizes = np.unique(np.abs(row[row != 0]))
    if not len(sizes):
        return None
    least = sizes[-1] * WHOLE
    step = sizes[0]
    for size in sizes[1:]:
        rest = size
        while rest > least:
            step, rest = rest, step % rest
            if step - rest <= least:  # one step less a rounding error
                rest = 0.0
    fits = sizes[-1] / step <= most and np.abs(sizes / step - np.rint(sizes / step)).max() < 0.01
    return float(step) if fits else None


def _power(projection: Projection, sources: Sources) -> np.ndarray:
    """Return the second moment of what meets each coefficient, (channels, 1)."""
    values = sources.values[projection.source]
    some = values[:: max(1, len(values) // FEWEST_IMAGES)]
    return (projection.map.patches(some) ** 2).mean(axis=1)


def _fixed(
    name: str,
    greatest_bias: float,
    rows: np.ndarray,
    unit: float | None,
    *,
    multiplier_bits: int | None,
) -> tuple[QuantisedRows, Factors | None]:
    """Choose the scales of an operand of fixed coefficients alone; its ``weights`` stay unused.

    Coefficients of one magnitude become 1, exactly; others are worth up to 2047 units, or,
    where ``multiplier_bits`` are said, of sources as they were trained, whole multiples of a common
    step where there is one.
    """
    sizes = np.unique(np.abs(rows[rows != 0]))
    greatest = np.abs(rows).max(axis=1)
    idle = (greatest_bias / IDLE_BIAS if unit is None else unit / IDLE_FINE) or 1.0
    greatest = np.where(greatest == 0, greatest.max() or idle, greatest)
    even = len(sizes) == 1 or np.allclose(sizes, sizes[0], rtol=1e-12)
    scale = greatest if even else greatest / FIXED_FINE
    if multiplier_bits is not None and not even:
        limit = 2.0 ** (min(multiplier_bits, EXACT_BITS) - 1) - 1
        scale = np.array(
            [
                common_step(row, FIXED_LIMIT) or widest / limit
                for row, widest in zip(rows, greatest, strict=True)
            ]
        )
    if unit is None:
        return QuantisedRows(weights=rows, scale=np.full(len(rows), scale.max())), None
    factors = Factors.reaching(name, unit, float(scale.max()), multiplier_bits or 16)
    factors = factors.reduced(scale) if multiplier_bits is not None else factors
    return QuantisedRows(weights=rows, scale=factors.snap(scale)), factors
