"""Ranges: how samples and activations are told apart in integers."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..design.population import MULTIPLIER_LIMIT, InputFormat
from ..model.codes import SpikeCode, make_code
from .options import AUTO, LayerSettings

CLIPS = np.linspace(0.2, 1.0, 41)  # fractions of the greatest activation that the search tries
CLIP_SAMPLE = 200_000  # activations that the search looks at
INPUT_CLIPS = (0.5, 1.3)  # bounds of the input's range, in fractions of the range of the samples
ADDER_WORTH = 1.2  # one adder more in the input encoder must take off a sixth of the error


# -- the input ---------------------------------------------------------------------------------


def raw_range(samples: np.ndarray, input_bits: int) -> tuple[int, int, float]:
    """Return (least raw value, greatest raw value, real value of one raw step).

    8-bit integers keep the range of their type, wider ones the powers of two that hold what was
    seen; floats that are multiples of one step keep it where 2^``input_bits`` steps hold all; other
    floats lie on a grid of ``input_bits`` bits that just holds what was seen.
    """
    if samples.dtype == bool:
        return 0, 1, 1.0
    low, high = samples.min(), samples.max()
    if np.issubdtype(samples.dtype, np.integer):
        if samples.dtype.itemsize == 1:
            info = np.iinfo(samples.dtype)
            return int(info.min), int(info.max), 1.0
        reach = max(int(high), -int(low) - 1, 1).bit_length()
        return -(2**reach) if low < 0 else 0, 2**reach - 1, 1.0
    step = common_step(samples, 2**input_bits) if low < 0 else None
    if step is not None:
        return round(float(low) / step), max(1, round(float(high) / step)), step
    if low >= 0:
        top = 2**input_bits - 1
        return 0, top, float(high) / top if high > 0 else 1.0
    top = max(1, 2 ** (input_bits - 1) - 1)
    return -top - 1, top, max(float(high) / top, float(-low) / (top + 1))


def common_step(samples: np.ndarray, levels: int) -> float | None:
    """Return the step that all floats are multiples of, if fewer than ``levels`` reach over them.

    Integers that were scaled and shifted by whole steps, as (q - 83)·0.585, are such floats.
    """
    seen = np.unique(samples).astype(np.float64)
    distances = np.diff(seen)
    if not len(distances) or len(seen) > levels:
        return None
    reach = seen[-1] - seen[0]
    precision = 4 * np.finfo(samples.dtype).eps * np.abs(seen).max()
    least = distances[distances > 16 * precision].min(initial=reach)
    step = reach / round(reach / least)
    multiples = np.rint(seen / step)
    exact = np.abs(multiples * step - seen).max() <= 8 * precision
    return float(step) if exact and reach / step < levels else None


def sparse_factors(most: int = 3, bits: int = 7) -> list[int]:
    """Odd factors below 2^bits with at most ``most`` bits set: multiplying takes few adders."""
    return [m for m in range(1, 1 << bits, 2) if m.bit_count() <= most]


def choose_input(raw: np.ndarray, fmt: tuple[int, int, float], options: LayerSettings):
    """Choose code and format of the input population.

    Parameters
    ----------
    raw
        Raw samples, integers of any shape.
    fmt
        As :func:`raw_range` gives it.
    options
        Of the input.

    Returns
    -------
    InputFormat, SpikeCode
        unit = scale·2^S/M exactly. Without an ``eta0`` the pair of M and S that leaves the least
        squared error, else the one nearest to the unit that ``eta0`` asks for.
    """
    low, high, scale = fmt
    wanted = input_code(fmt, options)
    values, counts = np.unique(raw, return_counts=True)
    free = options.schedule.eta0 is None
    best: tuple[float, InputFormat, SpikeCode] | None = None
    for factor, shift, fraction in input_factors(wanted.unit, free=free):
        unit = 2.0**shift / factor  # in raw steps
        candidate = replace(input_code(fmt, options, fraction), unit=unit * scale)
        multiplier = factor << max(0, 1 - shift)
        encoder = InputFormat(
            low=low, high=high, scale=scale, multiplier=multiplier, shift=max(1, shift)
        )
        target = -(-values * multiplier >> encoder.shift)  # ceil
        error = counts @ (candidate.settle(target) * unit - values) ** 2 / counts.sum()
        rank = float(error) * ADDER_WORTH ** factor.bit_count()
        if not free:
            rank = abs(np.log(fraction))
        if best is None or rank < best[0]:
            best = rank, encoder, candidate
    if best is None:
        check_input_steps(fmt, options)
    assert best is not None, "where there is a factor, it was tried"
    return best[1:]


def input_code(fmt: tuple[int, int, float], options: LayerSettings, fraction: float = 1.0):
    """Return the code that reaches over a fraction of the raw range; its unit is in raw steps."""
    low, high, _ = fmt
    kind = options.code
    if kind == AUTO:
        kind = "silent" if low >= 0 else "offset"
    return make_code(
        kind=kind,
        schedule=options.schedule,
        steps=options.steps,
        low=low * fraction,
        high=high * fraction,
    )


def input_factors(wanted: float, *, free: bool) -> Iterator[tuple[int, int, float]]:
    """Yield odd factor, shift and 2^shift / factor over the ``wanted`` unit, of units near it.

    Those alone that 16 bits of M express.
    """
    bounds = INPUT_CLIPS if free else (0.9, 1.1)
    for factor in sparse_factors():
        first = int(np.floor(np.log2(factor * wanted * bounds[0])))
        for shift in range(first, first + 3):
            fraction = 2.0**shift / factor / wanted
            if bounds[0] <= fraction <= bounds[1] and factor << max(0, 1 - shift) < (
                MULTIPLIER_LIMIT
            ):
                yield factor, shift, fraction


def check_input_steps(fmt: tuple[int, int, float], options: LayerSettings) -> None:
    """Refuse a T for which no factor M of 16 bits tells the raw values apart as finely.

    Raises
    ------
    ValueError
        Naming the greatest T that can be had.
    """

    def reached(steps: int) -> bool:
        schedule = options.schedule
        if schedule.kind == "list":
            schedule = replace(schedule, values=schedule.values[:steps])
        unit = input_code(fmt, replace(options, steps=steps, schedule=schedule)).unit
        return any(input_factors(unit, free=schedule.eta0 is None))

    if reached(options.steps):
        return
    low, high, _ = fmt
    most = next((t for t in range(options.steps - 1, 0, -1) if reached(t)), 0)
    rule = f"may be at most {most}" if most else "has step sizes too fine"
    raise ValueError(
        f"T of the input {rule} for raw values {low}..{high}, which factors of 16 bits tell apart, "
        f"not {options.steps}"
    )


# -- a layer's code ----------------------------------------------------------------------------


def choose_code(activations: np.ndarray, kind: str, options: LayerSettings, percentile: float):
    """Return the spike code for float ``activations``, of any shape.

    The range is ``options.clip`` where given; the activations' percentile where the schedule has
    an ``eta0``; else the fraction of the greatest activation that leaves the least squared error.
    Both of the latter are stretched by ``options.reach``.
    """
    low, high = min(0.0, float(activations.min())), max(0.0, float(activations.max()))
    if low == high:
        high = 1.0  # neurons that never fire still need a unit

    def code_for(fraction: float) -> SpikeCode:
        return make_code(
            kind=kind,
            schedule=options.schedule,
            steps=options.steps,
            low=0.0 if kind == "silent" else low * fraction,
            high=high * fraction,
        )

    if options.clip is not None:
        return code_for(options.clip / max(high, -low))
    if options.schedule.eta0 is not None:
        scale = float(np.percentile(np.abs(activations), percentile))
        return code_for(options.reach * (scale / max(high, -low) if scale > 0 else 1.0))
    seen = activations.reshape(-1)
    if seen.size > CLIP_SAMPLE:
        seen = seen[np.random.default_rng(0).integers(0, seen.size, CLIP_SAMPLE)]
    codes = {fraction: code_for(fraction) for fraction in CLIPS}
    found = min(codes, key=lambda f: float(((quantised(codes[f], seen) - seen) ** 2).mean()))
    return codes[found] if options.reach == 1 else code_for(options.reach * found)


def quantised(code: SpikeCode, targets: np.ndarray) -> np.ndarray:
    """Return the real values that ``code`` settles at for real ``targets``."""
    return code.settle(np.ceil(targets / code.unit)) * code.unit
