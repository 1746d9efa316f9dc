"""Knobs: what of a conversion may be finer or coarser, one by one, and what they are called.

The steps of the input, the steps of populations (those that one operand sums turn together, since
hardware takes one step of each at a time) and the bits of each population's weights. What a model
was trained with is no knob.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..gen.convert.calibrate import spoken_codes, trained_step
from ..gen.convert.options import WEIGHT_BITS, LayerOptions, Options
from ..gen.model.codes import MAX_STEPS, check_steps
from ..gen.model.network import Network
from . import input_steps

INPUT, STEPS, WEIGHTS = FAMILIES = ("input", "steps", "weights")
FINEST_STEPS = 10  # of settled populations, of a binary schedule
FEWEST_STEPS = 2
LONGER = (1.5, 2, 3, 4)  # times the T of overlapped firing, and of rate codes


@dataclass(frozen=True, kw_only=True)
class Knob:
    """One number of a conversion.

    Parameters
    ----------
    family
        One of :data:`FAMILIES`.
    populations
        Whose number it is; all of the conversion's where there is only one number.
    now
        The number as the options have it.
    values
        All that it may be, ascending.
    has_input
        Whether the input is one of the populations, and so has its T.
    """

    family: str
    populations: tuple[str, ...]
    now: int
    values: tuple[int, ...]
    has_input: bool = False

    @property
    def finer(self) -> tuple[int, ...]:
        """The values above the one that it has."""
        return tuple(value for value in self.values if value > self.now)

    @property
    def said(self) -> str:
        """What it is, in words."""
        if self.family == INPUT:
            return "the steps of the input"
        names = " and ".join(repr(name) for name in self.populations) or "all populations"
        return f"the {'steps' if self.family == STEPS else 'weights'} of {names}"

    def turned(self, options: Options, value: int) -> Options:
        """Return options with another value of it."""
        if self.family == INPUT:
            return replace(options, input_steps=value)
        if not self.populations:
            layers = {name: replace(own, steps=None) for name, own in options.layers.items()}
            return replace(options, steps=value, input_steps=None, layers=layers)
        key = "steps" if self.family == STEPS else "weight_bits"
        layers = dict(options.layers)
        for name in self.populations:
            layers[name] = replace(layers.get(name, LayerOptions()), **{key: value})
        input_steps = value if self.has_input else options.input_steps
        return replace(options, layers=layers, input_steps=input_steps)


def knobs(network: Network, samples: np.ndarray, options: Options) -> list[Knob]:
    """Return the knobs of a conversion, in the order of the populations."""
    found = [*_steps(network, samples, options)]
    if options.budget_bits is None:
        found += [
            Knob(
                family=WEIGHTS,
                populations=(p.name,),
                now=options.of(p.name).weight_bits,
                values=tuple(WEIGHT_BITS),
            )
            for p in network.populations
            if any(not q.map.fixed for q in p.sources)
            and not any(trained_step(q) for q in p.sources)
        ]
    return found


def _steps(network: Network, samples: np.ndarray, options: Options) -> Iterator[Knob]:
    if options.firing != "settled" or options.dynamics != "signgd":
        now = options.layer_steps
        longer = sorted({now, *(min(MAX_STEPS, round(now * factor)) for factor in LONGER)})
        values = tuple(t for t in longer if _can_be(options, t))
        yield Knob(family=STEPS, populations=(), now=now, values=values)
        return
    trained = {p.name for p in network.populations if p.step is not None}
    own = network.input.name
    for group in together(network, options):
        if trained & set(group):
            continue
        if group == (own,):
            values = tuple(input_steps.ladder(network, samples, options))
            now = options.of_input.steps
            yield Knob(family=INPUT, populations=group, now=now, values=values)
            continue
        names = tuple(name for name in group if name != own)
        if any(options.of(name).schedule.kind != "binary" for name in names):
            continue
        now = max(options.of(name).steps for name in names)
        values = tuple(range(FEWEST_STEPS, FINEST_STEPS + 1))
        yield Knob(family=STEPS, populations=names, now=now, values=values, has_input=own in group)


def _can_be(options: Options, steps: int) -> bool:
    if options.dynamics == "signgd":
        if options.schedule.kind == "list":
            return steps == options.layer_steps
        try:
            check_steps("steps", options.schedule, steps)
        except ValueError:
            return False
    return True


def together(network: Network, options: Options) -> list[tuple[str, ...]]:
    """Return the populations that choose a code, in groups of one T, in order."""
    speaks = spoken_codes(network, options)
    group = {name: name for name in speaks.values()}

    def root(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for p in network.populations:
        for operand in p.operands:
            first, *others = [root(speaks[q.source]) for q in operand.projections] or [""]
            for other in others:
                group[root(other)] = root(first)
    order = [p.name for p in network.populations[:-1] if speaks[p.name] == p.name]
    found: dict[str, list[str]] = {}
    for name in order:
        found.setdefault(root(name), []).append(name)
    return [tuple(names) for names in found.values()]


def finest(options: Options, chosen: Sequence[Knob]) -> Options:
    """Return options with knobs turned as far as they go."""
    for knob in chosen:
        if knob.finer:
            options = knob.turned(options, knob.finer[-1])
    return options


def raised(options: Options, chosen: Sequence[Knob], by: int) -> Options:
    """Return options with each knob turned up by so many of its values, as far as it goes."""
    for knob in chosen:
        if knob.finer:
            options = knob.turned(options, knob.finer[min(by, len(knob.finer)) - 1])
    return options


def words(network: Network, samples: np.ndarray, old: Options, new: Options) -> list[str]:
    """Return the options of ``signfire convert`` by which ``new`` differs from ``old``.

    Where all numbers of a family are raised alike, that is one option.
    """
    before, after = knobs(network, samples, old), knobs(network, samples, new)
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a.now != b.now]
    found: list[str] = []
    single: dict[str, list[str]] = {}
    for family, option, key in (
        (STEPS, "--steps", "steps"),
        (WEIGHTS, "--weight-bits", "weight_bits"),
    ):
        every = {b.now for b in after if b.family == family}
        changed = [b for _, b in pairs if b.family == family]
        plain = all(getattr(own, key) is None for own in old.layers.values())
        if changed and len(every) == 1 and plain:
            found += [option, str(every.pop())]
            continue
        for knob in changed:
            for name in knob.populations:
                single.setdefault(name, []).append(f"{key}={knob.now}")
    summed = [b for _, b in pairs if b.has_input and old.input_steps is not None]
    for knob in (*summed, *(b for _, b in pairs if b.family == INPUT)):
        found += ["--input-steps", str(knob.now)]
    if new.code != old.code:
        found += ["--code", new.code]
    if new.equalise != old.equalise:
        found += ["--equalise", f"{new.equalise:g}"]
    for name, own in new.layers.items():
        before_it = old.layers.get(name, LayerOptions())
        for key in ("clip", "reach"):
            value = getattr(own, key)
            if value is not None and value != getattr(before_it, key):
                single.setdefault(name, []).append(f"{key}={value:g}")
    for name, said in single.items():
        found += ["--layer", f"{name}:{','.join([*_kept(old, name, said), *said])}"]
    return found


def _kept(options: Options, name: str, words: Sequence[str]) -> list[str]:
    """Return what options say of a layer already, but for what ``words`` say anew."""
    own, anew = options.layers.get(name, LayerOptions()), {w.partition("=")[0] for w in words}
    kept = {"steps": own.steps, "weight_bits": own.weight_bits, "code": own.code}
    kept |= {"clip": own.clip, "reach": own.reach}
    return [f"{k}={v}" for k, v in kept.items() if v is not None and k not in anew]


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What a conversion costs before anything is folded.

    Members
    -------
    steps : synapses times steps of what they read: cycles of one lane for all
    bits : of all weights that are stored
    """

    steps: int
    bits: int

    @property
    def product(self) -> float:
        """Both in one number."""
        return float(self.steps) * max(1, self.bits)


def effort(network: Network, options: Options) -> Effort:
    """Return what a conversion costs, whose options say every T and width."""
    speaks = spoken_codes(network, options)
    steps = {name: options.of(name).steps for name in speaks}
    steps[network.input.name] = options.of_input.steps
    synapses = bits = 0
    for p in network.populations[1:]:
        width = options.budget_bits or options.of(p.name).weight_bits
        for q in p.sources:
            synapses += q.map.weights.shape[1] * p.size * steps[speaks[q.source]]
            bits += 0 if q.map.fixed else round(q.map.weights.size * width)
    return Effort(steps=synapses, bits=bits)
