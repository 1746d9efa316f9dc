"""Options: how a Network becomes a Design, as numbers and as words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..design.design import DYNAMICS, FIRINGS
from ..model.codes import CODES, MAX_LEAK, MAX_STEPS, Schedule, check_steps
from ..model.ties import TIES

AUTO = "auto"
ONE, EACH = "one", "each"
INPUT_SCALES = (AUTO, ONE, EACH)
ROUNDINGS = ("feedback", "nearest", "plain")
WEIGHT_BITS = range(2, 9)
STEPS, WEIGHT_WIDTH = 4, 4  # where nothing is said, and nothing was trained


@dataclass(frozen=True, kw_only=True)
class LayerOptions:
    """What one layer does otherwise than :class:`Options` says; ``None`` leaves it so.

    ``clip`` is the greatest real value that the layer's neurons express, in place of the search;
    its channels then keep one range. ``reach`` is by how much the range that the search finds, or
    the percentile, is stretched.
    """

    steps: int | None = None
    weight_bits: int | None = None
    code: str | None = None
    schedule: Schedule | None = None
    clip: float | None = None
    reach: float | None = None


@dataclass(frozen=True, kw_only=True)
class LayerSettings:
    """What is asked of one layer, or of the input, with nothing left open but ``clip``.

    ``weight_bits`` mean nothing for the input.
    """

    steps: int
    weight_bits: int
    code: str
    schedule: Schedule
    clip: float | None = None
    reach: float = 1.0


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
        T of the layers, 1..256; with the binary schedule, whose step sizes double, 1..16. ``None``
        is 4, and for a layer that was trained with quantisation as many as its levels take.
    weight_bits
        2..8; ``None`` is 4, and for weights that were trained with quantisation as many as they
        take.
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
        T of the input; ``None`` is ``steps`` in overlapped firing, where all T are equal, and that
        of the layers that the input is summed with. Else :mod:`signfire.tools.input_steps` measures
        how many are needed; a calibration by itself takes 2, or 8 with a binary schedule before
        convolutions.
    input_schedule, input_code
        Of the input; ``None`` is as the layers, of a ``list`` its first ``input_steps`` numbers.
    input_bits
        Bits of one raw value, for float samples; integer samples keep their own range.
    input_scales
        ``one`` scale for the whole input; ``each`` feature, or channel of planes, its own scale and
        offset; or ``auto``: each where the first layers' predicted error is then less than half
        (see :mod:`signfire.gen.convert.features`).
    input_percentile
        Of the magnitudes of float samples: the input reaches so far, and what lies beyond is taken
        for the end. Below 100 where few values lie far from all others, as in the logarithm of
        silence. Features in a row that may have ranges of their own, some of them with far larger
        numbers, are looked at one by one: of each, so many of its values, from the middle on.
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
        Bits of the requantisation factors M, 4..32; more, up to 16, are used where a scale needs
        them, and for scales that were trained. From 17 on trained scales that are no powers of two
        are met the closer, by multipliers of several DSP blocks.
    ties
        What neurons do where they are exactly between two levels, ``down``, ``up`` or ``even``;
        ``None`` is down, or what the training did.
    samples
        Calibration samples used at most, drawn by ``seed`` where more are given. Of a network with
        many neurons fewer are used, so that memory suffices.
    paper
        The conventions of the paper's authors in the place of ours, see
        :mod:`signfire.gen.convert.paper`: overlapped firing from v0 = 0, step sizes in real
        numbers, the input as it is, a scale for every ReLU, strict ties. :func:`paper_options` says
        the rest of what they use.
    layers
        Exceptions by layer name.
    """

    firing: str = "settled"
    dynamics: str = "signgd"
    leak: int = 4
    steps: int | None = None
    weight_bits: int | None = None
    budget_bits: float | None = None
    schedule: Schedule = field(default_factory=Schedule)
    code: str = AUTO
    input_steps: int | None = None
    input_schedule: Schedule | None = None
    input_code: str | None = None
    input_bits: int = 8
    input_scales: str = AUTO
    input_percentile: float = 100.0
    percentile: float = 100.0
    rounding: str = "feedback"
    bias_correction: bool = True
    equalise: float | None = None
    multiplier_bits: int = 8
    ties: str | None = None
    samples: int = 5000
    seed: int = 0
    paper: bool = False
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
        if self.input_scales not in INPUT_SCALES:
            raise ValueError(
                f"input_scales must be one of {', '.join(INPUT_SCALES)}, not {self.input_scales!r}"
            )
        _check_range("input_bits", self.input_bits, 1, 16)
        _check_range("multiplier_bits", self.multiplier_bits, 4, 32)
        if self.ties is not None and self.ties not in TIES:
            raise ValueError(f"ties must be {', '.join(TIES)}, not {self.ties!r}")
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
            if layer.reach is not None and not 0 < layer.reach < float("inf"):
                raise ValueError(f"{name}: reach must be positive, not {layer.reach}")
            if None not in (layer.clip, layer.reach):
                raise ValueError(
                    f"{name}: clip says how far the neurons reach: leave out clip or reach"
                )
        if self.firing == "overlapped" or self.dynamics != "signgd":
            self._check_overlapped()
        if self.paper:
            self._check_paper()
        if self.dynamics == "signgd":
            self._check_steps()

    def _check_steps(self) -> None:
        """Refuse a T that the schedule of a population does not reach."""
        check_steps("steps", self.schedule, self.layer_steps)
        check_steps("input_steps", self.of_input.schedule, self.of_input.steps)
        for name in self.layers:
            check_steps(f"{name}: steps", self.of(name).schedule, self.of(name).steps)

    def _check_overlapped(self) -> None:
        given = {name: layer.steps for name, layer in self.layers.items()}
        for name, steps in {"the input": self.input_steps, **given}.items():
            if steps is not None and steps != self.layer_steps:
                raise ValueError(
                    f"overlapped firing needs one T for all populations, but {name} has {steps} "
                    f"and the layers {self.layer_steps} (leave it out, or use settled firing)"
                )

    def _check_paper(self) -> None:
        """Refuse what the paper's neurons do not do."""
        codes = {"code": self.code, "input_code": self.input_code}
        codes |= {f"code of {name}": layer.code for name, layer in self.layers.items()}
        wanted = {"firing": "overlapped", "dynamics": "signgd"} | dict.fromkeys(codes, "centred")
        given = {"firing": self.firing, "dynamics": self.dynamics} | codes
        for what, value in given.items():
            if value not in (wanted[what], AUTO, None):
                raise ValueError(
                    f"the paper's {what} is {wanted[what]}, not {value} (leave one of both out)"
                )
        if self.input_scales == EACH:
            raise ValueError("the paper takes the input as it is (leave input_scales out)")
        if self.equalise:
            raise ValueError("the paper scales every ReLU by its own value (leave equalise out)")
        for name, layer in self.layers.items():
            for key, given in {"clip": layer.clip, "reach": layer.reach}.items():
                if given is not None:
                    raise ValueError(
                        f"the paper takes the greatest value of {name!r} for its scale (leave "
                        f"{key} out)"
                    )

    @property
    def layer_steps(self) -> int:
        """T of the layers of which nothing else is said."""
        return STEPS if self.steps is None else self.steps

    @property
    def layer_bits(self) -> int:
        """Bits of the weights of which nothing else is said."""
        return WEIGHT_WIDTH if self.weight_bits is None else self.weight_bits

    def of(self, name: str) -> LayerSettings:
        """Return what is asked of a layer."""
        own = self.layers.get(name, LayerOptions())
        return LayerSettings(
            steps=self.layer_steps if own.steps is None else own.steps,
            weight_bits=self.layer_bits if own.weight_bits is None else own.weight_bits,
            code=self._code(own.code),
            schedule=self.schedule if own.schedule is None else own.schedule,
            clip=own.clip,
            reach=1.0 if own.reach is None else own.reach,
        )

    def _code(self, own: str | None) -> str:
        code = self.code if own is None else own
        return "centred" if code == AUTO and self.firing == "overlapped" else code

    @property
    def of_input(self) -> LayerSettings:
        """What is asked of the input."""
        steps = self.input_steps
        if steps is None:
            steps = 2 if self.firing == "settled" else self.layer_steps
        schedule = self.input_schedule
        if schedule is None:
            schedule = self.schedule
            if schedule.kind == "list":
                schedule = replace(schedule, values=schedule.values[:steps])
        return LayerSettings(
            steps=steps,
            weight_bits=self.layer_bits,
            code=self._code(self.input_code),
            schedule=schedule,
        )


def _check_range(what: str, value: float, low: float, high: float | None) -> None:
    if not value >= low or (high is not None and not value <= high):
        rule = f"be at least {low}" if high is None else f"lie in {low}..{high}"
        raise ValueError(f"{what} must {rule}, not {value}")


def _check_layer(where: str, steps: int | None, weight_bits: int | None, code: str | None) -> None:
    if steps is not None:
        _check_range(f"{where}steps", steps, 1, MAX_STEPS)
    if weight_bits is not None:
        _check_range(f"{where}weight_bits", weight_bits, WEIGHT_BITS[0], WEIGHT_BITS[-1])
    if code is not None and code not in (*CODES, AUTO):
        raise ValueError(f"{where}code must be one of {', '.join((*CODES, AUTO))}, not {code!r}")


PAPER_SCHEDULE = Schedule(kind="exponential", eta0=0.15, gamma=0.95)
PAPER_STEPS = 32


def paper_options(**settings: Any) -> Options:
    """Return the options with which the paper's authors run their code; ``settings`` change them.

    T = 32, η(t) = 0.15·0.95^t, overlapped firing, v0 = 0.
    """
    usual = {"firing": "overlapped", "schedule": PAPER_SCHEDULE, "steps": PAPER_STEPS}
    return Options(**usual | {"code": "centred", "paper": True} | settings)


# -- as words ------------------------------------------------------------------------------------


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
    "reach": float,
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
    values: dict[str, Any] = {}
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
