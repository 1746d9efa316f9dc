"""Paper: the conventions of its authors' code, in the place of ours.

Neurons fire overlapped from v0 = 0, with the authors' step sizes in real numbers: η(0) is 0.15 of
nothing but 1. The input is taken as it is. Every ReLU is divided by the greatest value that it had
in calibration, neuron by neuron, and multiplied by it behind; no other function is. The authors
compare some functions strictly, so that a tie sends an event, and others not.
"""

# Ref: H. Oh, Y. Lee, "Sign Gradient Descent-based Neuronal Dynamics: ANN-to-SNN Conversion
# Beyond ReLU Network", ICML 2024, arXiv 2407.01645, and its code, github.com/snuhcs/snn_signgd.

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np

from ..design.population import INPUT_MULTIPLIER_LIMIT, InputFormat
from ..model.codes import ETA_RESOLUTION, Schedule, SpikeCode, integer_steps
from ..model.network import INPUT, Network, Population
from ..model.ties import DOWN, UP
from .equalise import equalise, turns
from .options import AUTO, PAPER_SCHEDULE, LayerSettings, Options

ETA0 = 0.15  # of a schedule that does not say it
STRICT = (
    INPUT,
    "max",
    "gelu",
    "gelu_tanh",
    "leaky_relu",
    "abs",
    "divide",
    "divide_root",
)  # functions of which a tie sends an event
SCALED = ("relu",)  # functions whose neurons have a scale each
LEAST_SCALE = 1e-5  # of a neuron that has one: below, it is 1
MOST_RAW = 1 << 20  # raw values that are looked at one by one
RESOLUTIONS = 64  # that are tried for step sizes
FLOAT_BITS = 53  # of the mantissa of float64


def ties_of(function: str) -> str:
    """Return what the authors' neurons of a function do where v = f."""
    return UP if function in STRICT else DOWN


def as_paper(options: Options, steps: int) -> Options:
    """Return options for a Design like one of the paper's, which has its codes already."""
    return replace(
        options,
        paper=True,
        firing="overlapped",
        dynamics="signgd",
        steps=steps,
        schedule=PAPER_SCHEDULE,
        input_steps=None,
        input_schedule=None,
        code=AUTO,
        input_code=None,
        equalise=None,
        layers={},
    )


# -- codes ---------------------------------------------------------------------------------------


def paper_code(settings: LayerSettings) -> SpikeCode:
    """Return the code of step sizes in real numbers, η(0) = eta0 and v0 = 0.

    The unit has so few bits that float64 holds every membrane exactly: what is a tie in integers
    is a tie in the authors' code too, and not what rounding makes of it. It is rounded down, by
    less than 1e-10 of itself.
    """
    schedule, steps = settings.schedule, settings.steps
    eta = paper_steps(schedule, steps)
    unit = (ETA0 if schedule.eta0 is None else schedule.eta0) / eta[0]
    mantissa, exponent = math.frexp(unit)
    bits = FLOAT_BITS - sum(eta).bit_length()
    unit = math.ldexp(math.floor(math.ldexp(mantissa, bits)), exponent - bits)
    return SpikeCode(eta=eta, rest=0, unit=unit, kind="centred", schedule=schedule.kind)


def paper_steps(schedule: Schedule, steps: int) -> tuple[int, ...]:
    """Return η(t) in integers, of a neuron without input that does not come back to 0 exactly.

    In real numbers it never does where γ is a fraction like 0.95; rounded at 1024 steps to the
    greatest it would, at t = 16, and ties would be as common as silent neurons. So of the
    resolutions from there on the first serves at which it does not, else that at which it does
    least often.
    """
    eta = integer_steps(schedule, steps)
    if schedule.kind not in ("exponential", "inverse") or schedule.gamma == 1:
        return eta
    relative = schedule.relative(steps)
    resolutions = range(ETA_RESOLUTION, ETA_RESOLUTION + RESOLUTIONS)
    rounded = (np.maximum(1, np.floor(relative * finest + 0.5)) for finest in resolutions)
    return min((tuple(int(step) for step in each) for each in rounded), key=returns)


def returns(eta: tuple[int, ...]) -> int:
    """Return how often the membrane of a neuron whose target is 0 comes back to it."""
    v, count = 0, 0
    for step in eta[:-1]:
        v += step if v < 0 else -step
        count += v == 0
    return count


# -- the input -----------------------------------------------------------------------------------


def paper_input(
    ends: tuple[int, int, float], settings: LayerSettings
) -> tuple[InputFormat, SpikeCode]:
    """Return format and code of an input that is not rescaled.

    Parameters
    ----------
    ends
        Least and greatest raw value, and the real value of one raw step.
    settings
        Of the input.

    Raises
    ------
    ValueError
        For raw values of more than 20 bits.
    """
    low, high, scale = ends
    if high - low >= MOST_RAW:
        raise ValueError(
            f"the paper's input takes raw values of 20 bits, not {low}..{high} (give floats, "
            f"of which input_bits says the bits)"
        )
    code = paper_code(settings)
    multiplier, shift = exact_factor(low, high, scale, code.unit)
    fmt = InputFormat(low=low, high=high, scale=scale, multiplier=multiplier, shift=shift)
    return fmt, code


def exact_factor(low: int, high: int, scale: float, unit: float) -> tuple[int, int]:
    """Return M and the least S of which p·M / 2^S lies between the same whole numbers as x / unit.

    x is p·scale in float64, for every p in low..high.

    Raises
    ------
    ValueError
        Where 32 bits of M do not suffice.
    """
    raw = np.arange(low, high + 1, dtype=np.int64)
    one = Fraction(unit)
    wanted = np.array([Fraction(x) // one for x in (raw * scale).tolist()], dtype=np.int64)
    for shift in range(1, 63):
        multiplier = math.ceil(Fraction(scale) / one * 2**shift)
        if multiplier >= INPUT_MULTIPLIER_LIMIT:
            break
        if np.array_equal(raw * multiplier >> shift, wanted):
            return multiplier, shift
    raise ValueError(
        f"raw steps of {scale:g} cannot be told apart in units of {unit:g} by a factor of 32 bits "
        f"(take fewer input_bits)"
    )


# -- scales --------------------------------------------------------------------------------------


def scaled(
    network: Network, outputs: Mapping[str, np.ndarray], percentile: float
) -> tuple[Network, dict[str, np.ndarray]]:
    """Divide every ReLU by its greatest value, and multiply by it behind.

    Neurons that share weights, pixels of a plane, share the scale too. So do all channels where
    what reads them takes something else for channels.

    Parameters
    ----------
    network
        Left as it is.
    outputs
        Of the float network for the calibration samples, by population name.
    percentile
        Of what a neuron says, taken for its greatest value.

    Returns
    -------
    network, factors
        The same function of the input; (channels,) scale by population name.
    """
    turned = {q.source for p in network.populations for q in p.sources if turns(q.map)}

    def greatest(population: Population) -> np.ndarray:
        channels = population.shape[0]
        seen = np.moveaxis(outputs[population.name], 1, 0).reshape(channels, -1)
        if population.name in turned:
            seen = np.broadcast_to(seen.reshape(1, -1), (channels, seen.size))
        found = np.percentile(seen, percentile, axis=1)
        return np.where(found > LEAST_SCALE, found, 1.0)

    return equalise(network, greatest, functions=SCALED, level=False, turned=True)
