"""Calibration: from a Network and sample data to a Design in integers.

Populations are converted in order, each against the float network, with what the integers before
it really say as its input. So an error made early is seen, and partly made good, later.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from ..design.design import DYNAMICS, FIRINGS, Design
from ..design.pixels import pixel_after_pixel
from ..design.population import MULTIPLIER_LIMIT, DesignOperand, DesignPopulation, InputFormat
from ..model.codes import CODES, MAX_LEAK, MAX_STEPS, Schedule, SpikeCode, fire, make_code, moved
from ..model.functions import UNARY, make_table, slope_below
from ..model.maps import Conv, Window
from ..model.network import INPUT, MAX, READOUT, Network, Operand, Population, evaluate
from ..model.samples import check_magnitudes
from ..model.several import SEVERAL, make_comparison
from . import rate, widths
from .equalise import equalise
from .operand import by_channel, convert_operand
from .quantise import grid

AUTO = "auto"
ROUNDINGS = ("feedback", "nearest", "plain")
WEIGHT_BITS = range(2, 9)
CLIPS = np.linspace(0.2, 1.0, 41)  # fractions of the greatest activation that the search tries
CLIP_SAMPLE = 200_000  # activations that the search looks at
INPUT_CLIPS = (0.5, 1.3)  # bounds of the input's range, in fractions of the range of the samples
ADDER_WORTH = 1.2  # one adder more in the input encoder must take off a sixth of the error
BATCH = 512  # samples held as trains at a time
CALIBRATION_VALUES = 2**25  # neurons times samples: 256 MiB for each of what is kept of them
ROUNDING = 1e-6  # of a step: a limit that is a step's value up to float precision is that step
SLOPE_BITS = 6  # of LeakyReLU's factors beside the bits of the code
PLANES_INPUT_STEPS = 8
FEWEST_SAMPLES = 16  # however large the network


@dataclass(frozen=True, kw_only=True)
class LayerOptions:
    """What one layer does otherwise than :class:`Options` says; ``None`` leaves it so.

    ``clip`` is the greatest real value that the layer's neurons express, in place of the search.
    """

    steps: int | None = None
    weight_bits: int | None = None
    code: str | None = None
    schedule: Schedule | None = None
    clip: float | None = None


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a Network becomes a Design.

    Parameters
    ----------
    firing
        ``settled`` or ``overlapped``; integrate-and-fire neurons know only the latter.
    dynamics
        ``signgd``; or ``if``, ``lif``: integrate-and-fire neurons, see
        :mod:`signfire.gen.convert.rate`.
        They have no schedule and a code of their own.
    leak
        Of ``lif``: 1 - 2^-leak of a membrane is left after a step, 1..15.
    steps
        T of the layers, 1..256.
    weight_bits
        2..8.
    budget_bits
        Mean bits of a weight, 2..8: each layer then takes the width from 2 to 8 that its measured
        sensitivity earns it, and ``weight_bits`` means nothing. ``None`` for one width.
    schedule
        Step sizes. With an ``eta0`` the activation's scale is the percentile below, as in the
        paper; without, the range of values is searched for the least squared error.
    code
        ``silent``, ``offset``, ``centred``, or ``auto``: centred in overlapped firing, where what
        was sent before the inputs settled must be taken back; else silent where no output is
        negative, and offset where one may be.
    input_steps
        T of the input; ``None`` is ``steps`` in overlapped firing, where all T are equal, and else
        2, or 8 with a binary schedule before convolutions, whose few weights a pixel need it whole.
    input_schedule, input_code
        Of the input; ``None`` is as the layers, of a ``list`` its first ``input_steps`` numbers.
    input_bits
        Bits of one raw value, for float samples; integer samples keep their own range.
    input_percentile
        Of the magnitudes of float samples: the input reaches so far, and what lies beyond is taken
        for the end. Below 100 where few values lie far from all others, as in the logarithm of
        silence.
    percentile
        Of the activations, taken for their scale where the schedule has an ``eta0``, and for the
        threshold of integrate-and-fire neurons.
    rounding
        ``feedback`` lets later weights make up for the rounding of earlier ones, ``nearest``
        does not. ``plain`` does not look at what the integers before say either, for weights or
        bias: the quick conversion of a search.
    bias_correction
        Take up the mean error of each channel in its bias.
    equalise
        How far the channels of a population move to a unit of their own (see
        :mod:`signfire.gen.convert.equalise`): 0 not at all, 1 all the way, which serves the
        activations but spreads the weights behind them. ``None`` is 0 for networks without
        convolutions, else what the weights can bear: 1 from 7 bits on, 1/2 below.
    multiplier_bits
        Bits of the requantisation factors M, 4..16; more are used where a scale needs them.
    samples
        Calibration samples used at most, drawn by ``seed`` where more are given. Of a network with
        many neurons fewer are used, so that memory suffices.
    layers
        Exceptions by layer name.
    """

    firing: str = "settled"
    dynamics: str = "signgd"
    leak: int = 4
    steps: int = 4
    weight_bits: int = 4
    budget_bits: float | None = None
    schedule: Schedule = field(default_factory=Schedule)
    code: str = AUTO
    input_steps: int | None = None
    input_schedule: Schedule | None = None
    input_code: str | None = None
    input_bits: int = 8
    input_percentile: float = 100.0
    percentile: float = 100.0
    rounding: str = "feedback"
    bias_correction: bool = True
    equalise: float | None = None
    multiplier_bits: int = 8
    samples: int = 5000
    seed: int = 0
    layers: Mapping[str, LayerOptions] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.firing not in FIRINGS:
            raise ValueError(f"firing must be {' or '.join(FIRINGS)}, not {self.firing!r}")
        if self.dynamics not in DYNAMICS:
            raise ValueError(f"dynamics must be {', '.join(DYNAMICS)}, not {self.dynamics!r}")
        if self.rounding not in ROUNDINGS:
            raise ValueError(
                f"rounding must be one of {', '.join(ROUNDINGS)}, not {self.rounding!r}"
            )
        _check_range("input_bits", self.input_bits, 1, 16)
        _check_range("multiplier_bits", self.multiplier_bits, 4, 16)
        _check_range("leak", self.leak, 1, MAX_LEAK)
        _check_range("percentile", self.percentile, 50, 100)
        _check_range("input_percentile", self.input_percentile, 50, 100)
        if self.budget_bits is not None:
            _check_range("budget_bits", self.budget_bits, WEIGHT_BITS[0], WEIGHT_BITS[-1])
        if self.equalise is not None:
            _check_range("equalise", self.equalise, 0, 1)
        _check_range("samples", self.samples, 1, None)
        _check_layer("", self.steps, self.weight_bits, self.code)
        if self.input_steps is not None:
            _check_range("input_steps", self.input_steps, 1, MAX_STEPS)
        if self.input_code is not None:
            _check_layer("input ", 1, 2, self.input_code)
        for name, layer in self.layers.items():
            _check_layer(f"{name}: ", layer.steps, layer.weight_bits, layer.code)
            if layer.clip is not None and not layer.clip > 0:
                raise ValueError(f"{name}: clip must be positive, not {layer.clip}")
        if self.firing == "overlapped" or self.dynamics != "signgd":
            self._check_overlapped()

    def _check_overlapped(self) -> None:
        given = {name: layer.steps for name, layer in self.layers.items()}
        for name, steps in {"the input": self.input_steps, **given}.items():
            if steps is not None and steps != self.steps:
                raise ValueError(
                    f"overlapped firing needs one T for all populations, but {name} has {steps} "
                    f"and the layers {self.steps} (leave it out, or use settled firing)"
                )

    def of(self, name: str) -> LayerOptions:
        """Return the options of a layer, none of them ``None`` but ``clip``."""
        own = self.layers.get(name, LayerOptions())
        return LayerOptions(
            steps=self.steps if own.steps is None else own.steps,
            weight_bits=self.weight_bits if own.weight_bits is None else own.weight_bits,
            code=self._code(own.code),
            schedule=self.schedule if own.schedule is None else own.schedule,
            clip=own.clip,
        )

    def _code(self, own: str | None) -> str:
        code = self.code if own is None else own
        return "centred" if code == AUTO and self.firing == "overlapped" else code

    @property
    def of_input(self) -> LayerOptions:
        """The options of the input; ``weight_bits`` means nothing there."""
        steps = self.input_steps
        if steps is None:
            steps = 2 if self.firing == "settled" else self.steps
        schedule = self.input_schedule
        if schedule is None:
            schedule = self.schedule
            if schedule.kind == "list":
                schedule = replace(schedule, values=schedule.values[:steps])
        return LayerOptions(
            steps=steps,
            code=self._code(self.input_code),
            schedule=schedule,
        )


def _check_range(what: str, value: float, low: float, high: float | None) -> None:
    if value < low or (high is not None and value > high):
        rule = f"be at least {low}" if high is None else f"lie in {low}..{high}"
        raise ValueError(f"{what} must {rule}, not {value}")


def _check_layer(where: str, steps: int | None, weight_bits: int | None, code: str | None) -> None:
    if steps is not None:
        _check_range(f"{where}steps", steps, 1, MAX_STEPS)
    if weight_bits is not None:
        _check_range(f"{where}weight_bits", weight_bits, WEIGHT_BITS[0], WEIGHT_BITS[-1])
    if code is not None and code not in (*CODES, AUTO):
        raise ValueError(f"{where}code must be one of {', '.join((*CODES, AUTO))}, not {code!r}")


# -- options as words --------------------------------------------------------------------------


def parse_schedule(text: str) -> Schedule:
    """Read a schedule as the command line writes it.

    ``binary``, ``exponential:0.15,0.95`` (eta0, gamma), ``inverse:0.5``, ``constant:0.1`` (eta0)
    or ``list:8,4,2,1``; the numbers of the three in the middle may be left out, eta0 alone too
    (``exponential:,0.9``), and a list may have one (``list@0.2:8,4,2,1``).
    """
    kind, _, rest = text.partition(":")
    kind, _, first = kind.partition("@") if kind.startswith("list@") else (kind, "", "")
    free = kind == "exponential" and rest.startswith(",")
    try:
        numbers = tuple(float(word) for word in rest[free:].split(",")) if rest else ()
        eta0 = float(first) if first else None
    except ValueError:
        raise ValueError(f"a schedule's numbers are separated by commas, not {rest!r}") from None
    most = {"binary": 0, "exponential": 2, "inverse": 1, "constant": 1}.get(kind)
    if most is not None and len(numbers) > most:
        raise ValueError(f"{kind} takes at most {most} numbers, not {len(numbers)} ({text})")
    if kind == "list":
        return Schedule(kind=kind, eta0=eta0, values=numbers)
    if free and len(numbers) == 1:
        return Schedule(kind=kind, gamma=numbers[0])
    if len(numbers) == 2:
        return Schedule(kind=kind, eta0=numbers[0], gamma=numbers[1])
    return Schedule(kind=kind, eta0=numbers[0] if numbers else None)


LAYER_WORDS: dict[str, Callable[[str], object]] = {
    "steps": int,
    "weight_bits": int,
    "code": str,
    "schedule": parse_schedule,
    "clip": float,
}


def parse_layer(text: str) -> tuple[str, LayerOptions]:
    """Read ``fc1:steps=6,weight_bits=8``, one layer's exceptions, into name and options."""
    name, colon, rest = text.partition(":")
    words: list[str] = []
    for word in rest.split(","):
        if "=" in word or not words:
            words.append(word)
        else:
            words[-1] += f",{word}"  # a comma inside a schedule
    if not name or not colon or any("=" not in word for word in words):
        raise ValueError(f"options of a layer read like fc1:steps=6,weight_bits=8, not {text!r}")
    values: dict[str, object] = {}
    for key, _, value in (word.partition("=") for word in words):
        if key not in LAYER_WORDS:
            raise ValueError(
                f"a layer has the options {', '.join(LAYER_WORDS)}, not {key!r} ({text})"
            )
        reader = LAYER_WORDS[key]
        try:
            values[key] = reader(value)
        except ValueError:
            if reader is parse_schedule:
                raise
            number = "a whole number" if reader is int else "a number"
            raise ValueError(f"{key} of {name} must be {number}, not {value!r}") from None
    return name, LayerOptions(**values)


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


def choose_input(raw: np.ndarray, fmt: tuple[int, int, float], options: LayerOptions):
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
    kind = options.code
    if kind == AUTO:
        kind = "silent" if low >= 0 else "offset"

    def code_for(fraction: float) -> SpikeCode:
        return make_code(
            kind=kind,
            schedule=options.schedule,
            steps=options.steps,
            low=low * fraction,
            high=high * fraction,
        )

    wanted = code_for(1.0)
    values, counts = np.unique(raw, return_counts=True)
    free = options.schedule.eta0 is None
    bounds = INPUT_CLIPS if free else (0.9, 1.1)
    best: tuple[float, InputFormat, SpikeCode] | None = None
    for factor in sparse_factors():
        first = int(np.floor(np.log2(factor * wanted.unit * bounds[0])))
        for shift in range(first, first + 3):
            unit = 2.0**shift / factor  # in raw steps
            fraction = unit / wanted.unit
            multiplier = factor << max(0, 1 - shift)
            if not bounds[0] <= fraction <= bounds[1] or multiplier >= MULTIPLIER_LIMIT:
                continue
            candidate = replace(code_for(fraction), unit=unit * scale)
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
    assert best is not None  # 1·2^S alone lies within every factor of two
    return best[1:]


# -- a layer's code ----------------------------------------------------------------------------


def choose_code(activations: np.ndarray, kind: str, options: LayerOptions, percentile: float):
    """Return the spike code for float ``activations``, of any shape.

    The range is ``options.clip`` where given; the activations' percentile where the schedule has
    an ``eta0``; else the fraction of the greatest activation that leaves the least squared error.
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
        return code_for(scale / max(high, -low) if scale > 0 else 1.0)
    seen = activations.reshape(-1)
    if seen.size > CLIP_SAMPLE:
        seen = seen[np.random.default_rng(0).integers(0, seen.size, CLIP_SAMPLE)]
    codes = [code_for(fraction) for fraction in CLIPS]
    return min(codes, key=lambda code: float(((quantised(code, seen) - seen) ** 2).mean()))


def quantised(code: SpikeCode, targets: np.ndarray) -> np.ndarray:
    """Return the real values that ``code`` settles at for real ``targets``."""
    return code.settle(np.ceil(targets / code.unit)) * code.unit


# -- the integers that stand so far ------------------------------------------------------------


class Converted:
    """The populations converted so far, and what they say for the calibration samples.

    Members
    -------
    populations : list of DesignPopulation, the input first
    values : by name, (n, *shape) float64 integers v(T)
    """

    def __init__(
        self, firing: str, fmt: InputFormat, population: DesignPopulation, raw: np.ndarray
    ) -> None:
        self.firing = firing
        self.encoded = -(-raw * fmt.multiplier >> fmt.shift)  # F = ceil(p·M / 2^S)
        self.populations: list[DesignPopulation] = []
        self.values: dict[str, np.ndarray] = {}
        self.trains: dict[str, dict[tuple[int, int], np.ndarray]] = {}  # by first sample and step
        self.append(population)

    def suppose(self, population: DesignPopulation, exact: np.ndarray) -> None:
        """Add a population that is supposed to say what the float network says."""
        self.populations.append(population)
        if population.code is not None:
            self.values[population.name] = exact / population.code.unit

    def append(self, population: DesignPopulation) -> None:
        self.populations.append(population)
        if population.code is None:
            return
        if self.firing == "settled":
            target = self._target(population, self.values, self.encoded)
            self.values[population.name] = population.code.settle(target).astype(np.float64)
        else:
            self.values[population.name] = self._overlap(population)

    def integrators(
        self, population: DesignPopulation, values: Mapping[str, np.ndarray]
    ) -> list[np.ndarray]:
        """X = B + Σ W·v of each operand, (n, *shape) float64 integers."""
        found = []
        for operand in population.operands:
            x = sum((p.map.apply(values[p.source]) for p in operand.projections), operand.bias)
            found.append(sum((product.apply(values) for product in operand.products), x))
        return found

    def _target(self, population, values, encoded) -> np.ndarray:
        if population.function == INPUT:
            return encoded.reshape(len(encoded), *population.shape)
        requantised = [
            np.ceil(x * factors_of(operand, x, population.shape))
            for operand, x in zip(
                population.operands, self.integrators(population, values), strict=True
            )
        ]
        if population.table is not None:
            return population.table(requantised[0])
        if population.comparison is not None:
            integers = [f.astype(np.int64) for f in requantised]
            return SEVERAL[population.function].target(*integers, population.comparison.fraction)
        if population.operands[0].below is not None:
            return requantised[0]
        return evaluate(population.function, requantised, population.limit)

    def _overlap(self, population: DesignPopulation) -> np.ndarray:
        """v(T) in overlapped firing, where every source is on the move; its events are kept."""
        sources = {
            p.source: next(q for q in self.populations if q.name == p.source)
            for p in population.sources
        }
        trains = self.trains[population.name] = {}
        code, parts = population.code, []
        for start in range(0, len(self.encoded), BATCH):
            encoded = self.encoded[start : start + BATCH]
            n = len(encoded)
            values = {
                name: np.full((n, *p.shape), float(p.code.rest)) for name, p in sources.items()
            }
            v = np.full((n, *population.shape), float(code.rest))
            for t in range(code.steps):
                for name, p in sources.items():
                    sent = np.unpackbits(self.trains[name][start, t], count=values[name].size)
                    event = sent.reshape(values[name].shape)
                    values[name] = moved(values[name], event, p.code.eta[t])
                event, v = fire(v, self._target(population, values, encoded), code.eta[t])
                trains[start, t] = np.packbits(event)
            parts.append(v)
        return np.concatenate(parts)


def factors_of(operand: DesignOperand, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return M/2^S for every integrator X."""
    factors = by_channel(operand.multiplier / 2**operand.shift, shape)
    if operand.below is None:
        return factors
    return np.where(x < 0, by_channel(operand.below / 2**operand.shift, shape), factors)


# -- the whole network -------------------------------------------------------------------------


Seen = tuple[np.ndarray, dict[str, np.ndarray], dict[str, list[np.ndarray]]]


def forward(network: Network, samples: np.ndarray, options: Options) -> Seen:
    """Return the samples that a calibration takes, and the float outputs and operands for them.

    They lie within the range that the input is to reach over.
    """
    samples = _check_samples(network, samples)
    most = min(options.samples, max(FEWEST_SAMPLES, CALIBRATION_VALUES // network.size))
    if len(samples) > most:
        rng = np.random.default_rng(options.seed)
        samples = samples[np.sort(rng.choice(len(samples), most, replace=False))]
    if options.input_percentile < 100 and np.issubdtype(samples.dtype, np.floating):
        reach = np.percentile(np.abs(samples), options.input_percentile)
        samples = np.clip(samples, -reach, reach)
    return samples, *network.forward(samples)


def calibrate(
    network: Network,
    samples: np.ndarray,
    options: Options | None = None,
    like: Design | None = None,
    seen: "Seen | None" = None,
) -> Design:
    """Convert a Network to a Design on sample data.

    Parameters
    ----------
    network
        What is computed.
    samples
        (n, *input shape) or anything that reshapes to it, integers or floats, as the network
        takes them.
    options
        Codes, widths and searches.
    like
        Design of the same layers whose input format, codes, shifts and widths of weights and
        factors are taken over, so that the new one fits into hardware made for it (see
        :mod:`.shape`). Options then decide about rounding and bias alone.
    seen
        What :func:`forward` returned for the same network and samples, where several conversions
        share it.

    Returns
    -------
    Design
        Not folded yet. ``provenance["layers"]`` tells of every layer its steps, widths, the real
        value of its range and of zero, and its signal-to-noise ratio against the float network.

    Raises
    ------
    TypeError, ValueError
        For samples or options that do not fit the network.
    """
    options = asked = options or Options()
    _check_names(network, options)
    _check_products(network, options.firing)
    unsaid = options.input_steps is None and options.of_input.schedule.kind == "binary"
    settled = options.firing == "settled" and options.dynamics == "signgd"
    if unsaid and settled and has_planes(network):
        options = replace(options, input_steps=PLANES_INPUT_STEPS)
    samples, outputs, operands = seen or forward(network, samples, options)
    outputs, operands = dict(outputs), dict(operands)
    if options.dynamics != "signgd":
        if like is not None:
            raise ValueError("a design of integrate-and-fire neurons is made like no other one")
        options = with_widths(network, samples, options)
        raw = raw_range(samples, options.input_bits)
        fmt, populations = rate.convert(network, raw, outputs, operands, options)
        return Design(
            name=network.name,
            firing="overlapped",
            dynamics=options.dynamics,
            input_format=fmt,
            populations=populations,
            provenance={
                "calibration_samples": len(samples),
                "options": asdict(asked),
                "layers": [_summary(p) for p in populations],
            },
        )
    if like is not None:
        _check_like(network, like)
        options = replace(options, weight_bits=widest_weights(like), budget_bits=None)
    network, outputs, operands = equalised(network, outputs, operands, options)
    if like is not None:
        fmt, code = like.input_format, like.input.code
        raw = np.clip(np.rint(samples / fmt.scale), fmt.low, fmt.high).astype(np.int64)
    else:
        options = with_widths(network, samples, options)
        low, high, scale = raw_range(samples, options.input_bits)
        if network.input.step is not None:  # the range that the model was trained with
            scale = network.input.step
            low, high = round(network.input.low / scale), round(network.input.limit / scale)
        raw = np.clip(np.rint(samples / scale), low, high).astype(np.int64)
        fmt, code = choose_input(raw, (low, high, scale), options.of_input)
    name, shape = network.input.name, network.input.shape
    first = DesignPopulation(name=name, shape=shape, function=INPUT, code=code)
    converted = Converted(options.firing if like is None else like.firing, fmt, first, raw)
    layers = [_report(first, outputs[name], converted.values[name] * code.unit)]
    for population in network.populations[1:]:
        exact = operands[population.name]
        integers = convert_population(
            network,
            population,
            exact,
            outputs[population.name],
            converted,
            options,
            None if like is None else like[population.name],
        )
        if options.rounding == "plain":
            converted.suppose(integers, outputs[population.name])
            layers.append(_summary(integers))
            continue
        converted.append(integers)
        sums = converted.integrators(integers, converted.values)
        seen = sums[0] * by_channel(integers.operands[0].scale, integers.shape)
        layers.append(_report(integers, exact[0], seen))
    design = Design(
        name=network.name,
        firing=converted.firing,
        input_format=fmt,
        populations=tuple(converted.populations),
        provenance={
            "calibration_samples": len(samples),
            "options": asdict(asked),
            "layers": layers,
        },
    )
    return pixel_after_pixel(design)


def has_planes(network: Network) -> bool:
    """Whether a network has convolutions."""
    return any(isinstance(p.map, Conv) for q in network.populations for p in q.sources)


def widest_weights(design: Design) -> int:
    """Return the bits of the widest trained weights of a Design."""
    return max(q.weight_bits for p in design.populations for q in p.sources if not q.map.fixed)


def equalised(
    network: Network,
    outputs: dict[str, np.ndarray],
    operands: dict[str, list[np.ndarray]],
    options: Options,
) -> tuple[Network, dict[str, np.ndarray], dict[str, list[np.ndarray]]]:
    """Equalise a network, and what its populations say for the samples with it."""
    strength = options.equalise
    if strength is None:
        bits = options.weight_bits if options.budget_bits is None else options.budget_bits
        strength = (1.0 if bits >= 7 else 0.5) * has_planes(network)
    if not strength:
        return network, outputs, operands

    def units(population: Population) -> np.ndarray | None:
        own = options.of(population.name)
        readers = [p for q in network.populations for p in q.sources if p.source == population.name]
        if own.clip is not None or any(trained_step(p.map) for p in readers):
            return None  # the range is given in the network's own numbers, or the weights are
        kind = _kind(network, population, own)
        seen = np.moveaxis(outputs[population.name], 1, 0).reshape(population.shape[0], -1)
        return np.array(
            [
                choose_code(channel, kind, own, options.percentile).unit if channel.any() else 0.0
                for channel in seen
            ]
        )

    network, factors = equalise(network, units, strength=float(strength))
    for name, factor in factors.items():
        per_channel = by_channel(factor, network[name].shape)
        outputs[name] = outputs[name] / per_channel
        operands[name] = [x / per_channel for x in operands[name]]
    return network, outputs, operands


def with_widths(network: Network, samples: np.ndarray, options: Options) -> Options:
    """Return options with the width of each layer, where a budget asks for that."""
    if options.budget_bits is None:
        return options
    feedback = options.rounding == "feedback"
    given = {
        name: own.weight_bits for name, own in options.layers.items() if own.weight_bits is not None
    }
    chosen = widths.choose(
        widths.measure(network, samples, feedback=feedback), options.budget_bits, given
    )
    layers = {
        name: replace(options.layers.get(name, LayerOptions()), weight_bits=bits)
        for name, bits in chosen.items()
    }
    return replace(options, budget_bits=None, layers={**options.layers, **layers})


def trained_step(linear) -> bool:
    """Whether weights lie on a grid that they share with what they were trained for."""
    return not linear.fixed and not linear.apart and grid(linear.weights) is not None


def _kind(network: Network, population: Population, own: LayerOptions) -> str:
    if own.code != AUTO:
        return own.code
    return "silent" if never_negative(network, population) else "offset"


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
        kind = _kind(network, population, own)
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
                like=held,
                weight_bits=options.of(population.name).weight_bits,
                multiplier_bits=multiplier_bits,
                unit=unit,
                centred=comparison is not None,
                settled=converted.firing == "settled",
                slope=slope,
                feedback=options.rounding == "feedback",
                blind=options.rounding == "plain",
                bias_correction=options.bias_correction
                and options.rounding != "plain"
                and same is None,
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


def noise_db(exact: np.ndarray, seen: np.ndarray) -> float | None:
    """Return the signal-to-quantisation-noise ratio in dB, ``None`` where one of them is zero."""
    if np.isneginf(exact).any():  # an operand that is left out says nothing
        exact, seen = exact[~np.isneginf(exact)], seen[~np.isneginf(exact)]
    signal, noise = float((exact**2).mean()), float(((seen - exact) ** 2).mean())
    return round(10 * float(np.log10(signal / noise)), 2) if signal > 0 and noise > 0 else None


def _report(population: DesignPopulation, exact: np.ndarray, seen: np.ndarray) -> dict[str, object]:
    """Return what the report says of a layer, as JSON values.

    ``sqnr_db`` compares the operand (of the input, its output) with the float network's.
    """
    return {**_summary(population), "sqnr_db": noise_db(exact, seen)}


def _summary(population: DesignPopulation) -> dict[str, object]:
    code, table = population.code, population.table
    return {
        "name": population.name,
        "function": population.function,
        "weight_bits": max(
            (p.weight_bits for p in population.sources if not p.map.fixed), default=None
        ),
        "steps": None if code is None else code.steps,
        "code": None if code is None else code.kind,
        "schedule": None if code is None else code.schedule,
        "unit": None if code is None else code.unit,
        "clip": None if code is None else code.high * code.unit,
        "zero": None if code is None else code.zero * code.unit,
        "sqnr_db": None,
        "table": None
        if table is None
        else {
            "entries": len(table.entries),
            "domain": list(table.domain),
            "error_levels": round(table.error, 3),
            "bound_levels": round(table.bound, 3),
        },
    }


def _check_names(network: Network, options: Options) -> None:
    layers = [p.name for p in network.populations[1:]]
    for name, own in options.layers.items():
        if name not in layers:
            raise ValueError(
                f"there is no layer {name!r} to set options for; there are {', '.join(layers)}"
            )
        if name == network.readout.name and own != LayerOptions(weight_bits=own.weight_bits):
            raise ValueError(
                f"the read-out {name!r} does not fire, so weight_bits is its only option"
            )


def _check_products(network: Network, firing: str) -> None:
    """Refuse products of trains that have not settled."""
    for population in network.populations:
        if firing != "settled" and any(operand.products for operand in population.operands):
            raise ValueError(
                f"{population.name!r} sums products of trains, for which firing must be settled"
            )


def _check_like(network: Network, like: Design) -> None:
    """Refuse a Design of other layers."""

    def listed(populations) -> str:
        return ", ".join(
            f"{p.name} {'x'.join(map(str, p.shape))} {p.function}" for p in populations
        )

    first = replace(like.input, shape=like.sample_shape)
    wanted, given = listed((first, *like.populations[1:])), listed(network.populations)
    if wanted != given:
        raise ValueError(
            f"a model like the design {like.name!r} must have its layers, {wanted}, not {given}"
        )


def _check_samples(network: Network, samples: np.ndarray) -> np.ndarray:
    """Return the samples as (n, *input shape), or raise."""
    samples = np.asarray(samples)
    shape, size = network.input.shape, network.input.size
    if not (samples.dtype == bool or np.issubdtype(samples.dtype, np.number)):
        raise TypeError(f"calibration samples must be numbers, not {samples.dtype}")
    if samples.ndim < 1 or len(samples) == 0:
        raise ValueError("calibration needs at least one sample, and the set is empty")
    if int(np.prod(samples.shape[1:])) != size:
        raise ValueError(
            f"a calibration sample needs {size} values (shape {shape}), not shape "
            f"{samples.shape[1:]}"
        )
    check_magnitudes(samples)
    return samples.reshape(len(samples), *shape)
