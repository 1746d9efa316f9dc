"""Calibration: from a Network and sample data to a Design in integers.

Populations are converted in order, each against the float network, with what the integers before
it really say as its input. So an error made early is seen, and partly made good, later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from ..design.calibrated import Calibrated
from ..design.design import Design
from ..design.features import Features
from ..design.pixels import pixel_after_pixel
from ..design.population import DesignPopulation, InputFormat
from ..model.codes import Schedule, SpikeCode
from ..model.network import INPUT, MAX, Network, Population, Projection
from ..model.samples import check_magnitudes
from ..model.ties import DOWN
from . import rate, widths
from .converted import Converted
from .equalise import equalise
from .features import choose_features, may_differ, reading_steps
from .operand import by_channel
from .options import LayerOptions, LayerSettings, Options
from .paper import as_paper, paper_input, scaled, ties_of
from .population import (
    code_kind,
    convert_population,
    is_trained,
    passed_on,
    trained_code,
    trained_levels,
    trained_steps,
)
from .quantise import grid
from .ranges import check_input_steps, choose_code, choose_input, raw_range
from .summary import report, summary

CROWDED = 2.0  # times more values of one feature than of all that a magnitude may leave out ...
SURE = 3.0  # ... and so many standard deviations of a count, which may be chance
CALIBRATION_VALUES = 2**25  # neurons times samples: 256 MiB for each of what is kept of them
PLANES_INPUT_STEPS = 8
FEWEST_SAMPLES = 16  # however large the network


@dataclass(frozen=True, kw_only=True, eq=False)
class Room:
    """What lets numbers fit into the registers of hardware that was made for others.

    Parameters
    ----------
    least
        By population, of each operand, (channels,) scales that none of its own may be below.
    coarser
        By population, how many times a unit of its neurons is to be worth what suits them.
    """

    least: Mapping[str, Sequence[np.ndarray]] = field(default_factory=dict)
    coarser: Mapping[str, float] = field(default_factory=dict)


Seen = tuple[np.ndarray, dict[str, np.ndarray], dict[str, list[np.ndarray]]]
Units = dict[tuple[object, ...], np.ndarray]  # by population and what is asked of its channels


def forward(network: Network, samples: np.ndarray, options: Options) -> Seen:
    """Return the samples that a calibration takes, and the float outputs and operands for them.

    They lie within the range that the input is to reach over.
    """
    samples = _check_samples(network, samples)
    samples = samples[drawn(len(samples), network, options)]
    if options.input_percentile < 100 and np.issubdtype(samples.dtype, np.floating):
        features = samples.ndim == 2 and may_differ(network, samples, options)
        samples = within(samples, options.input_percentile, features=features)
    return samples, *network.forward(samples)


def within(samples: np.ndarray, percentile: float, *, features: bool) -> np.ndarray:
    """Return samples, taken for the end of the range where they lie far out.

    Parameters
    ----------
    samples
        (n, ...) floats.
    percentile
        Share of the values in per cent that stay as they are.
    features
        Each of the columns, (n, columns), may have a range of its own. Where one magnitude for all
        would leave out far too many values of one of them, the range lies in the middle of
        the values of each; a column that is one number more often than not keeps all of them.
    """
    reach = np.percentile(np.abs(samples), percentile)
    beyond = np.count_nonzero(np.abs(samples) > reach, axis=0)
    fair = len(samples) * (1 - percentile / 100)
    if not features or beyond.max() <= CROWDED * fair + SURE * fair**0.5:
        return np.clip(samples, -reach, reach)
    ends = [50 - percentile / 2, 50, 50 + percentile / 2]
    low, middle, high = np.percentile(samples, ends, axis=0)
    rare = (samples == middle).mean(axis=0) > 0.5
    low, high = (np.where(rare, end, own) for end, own in ((-np.inf, low), (np.inf, high)))
    return np.clip(samples, low, high)


def most_samples(network: Network, options: Options) -> int:
    """Return how many samples a calibration takes at most."""
    return min(options.samples, max(FEWEST_SAMPLES, CALIBRATION_VALUES // network.size))


def drawn(count: int, network: Network, options: Options) -> np.ndarray:
    """Return which of ``count`` samples a calibration takes, ascending indices."""
    most = most_samples(network, options)
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(options.seed).choice(count, most, replace=False))


def calibrate(
    network: Network,
    samples: np.ndarray,
    options: Options | None = None,
    like: Design | None = None,
    seen: Seen | None = None,
    room: Room | None = None,
    units: Units | None = None,
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
        :mod:`signfire.gen.core.shape`). Options then decide about rounding and bias alone.
    room
        What ``like`` has to hold beside that.
    seen
        What :func:`forward` returned for the same network and samples, where several conversions
        share it.
    units
        What channels need for their unit, where several conversions of the same network and samples
        share it; filled as they come.

    Returns
    -------
    Design
        Not folded yet. ``provenance["layers"]`` tells of every layer its steps, widths, the real
        value of its range and of zero, and its signal-to-noise ratio against the float network;
        ``provenance["calibrated"]`` of the range of the samples, see
        :mod:`signfire.gen.design.calibrated`.

    Raises
    ------
    TypeError, ValueError
        For samples or options that do not fit the network.
    """
    asked = options or Options()
    _check_names(network, asked)
    _check_products(network, asked.firing)
    options = _with_input_steps(network, as_trained(network, asked))
    if seen is None and like is None and options.dynamics == "signgd":
        checked = _check_samples(network, samples)
        if network.input.step is None and not options.paper:
            check_input_steps(raw_range_of(network, checked, options), options.of_input)
    samples, outputs, operands = seen or forward(network, samples, options)
    outputs, operands = dict(outputs), dict(operands)
    provenance = {"calibration_samples": len(samples), "options": asdict(asked)}
    if options.dynamics != "signgd" and like is not None:
        raise ValueError("a design of integrate-and-fire neurons is made like no other one")
    if like is None:
        features = choose_features(network, samples, options)
    else:
        features = like.input_format.features
    shape = None if features is None else features.shape
    provenance["calibrated"] = Calibrated.of(samples, shape).record()
    if features is not None:
        network, samples = reading_steps(network, features), features.steps(samples)
        outputs[network.input.name] = samples
    if options.dynamics != "signgd":
        options = with_widths(network, samples, options)
        raw = raw_range_of(network, samples, options, features)
        fmt, populations = rate.convert(network, raw, outputs, operands, options)
        fmt = replace(fmt, features=features)
        return Design(
            name=network.name,
            firing="overlapped",
            dynamics=options.dynamics,
            input_format=fmt,
            populations=populations,
            outputs=network.outputs,
            inputs=network.inputs,
            provenance=provenance | {"layers": [summary(p) for p in populations]},
        )
    if like is not None:
        _check_like(network, like)
        options = replace(options, weight_bits=widest_weights(like), budget_bits=None)
        if dict(like.provenance.get("options") or {}).get("paper"):  # its scales are the paper's
            options = as_paper(options, like.input.spike_code.steps)
    network, outputs, operands = equalised(network, outputs, operands, options, units)
    room = room or Room()
    if like is not None:
        network, outputs, operands = in_units_of(network, outputs, operands, options, like, room)
    if like is None:
        options = with_widths(network, samples, options)
        raw, fmt, code = _input(network, samples, options, features)
    else:
        fmt, code = like.input_format, like.input.spike_code
        raw = np.clip(np.rint(samples / fmt.scale), fmt.low, fmt.high).astype(np.int64)
    name, shape = network.input.name, network.input.shape
    ties = ties_of(INPUT) if options.paper else options.ties or DOWN
    if like is not None:
        ties = like.input.ties
    first = DesignPopulation(name=name, shape=shape, function=INPUT, code=code, ties=ties)
    converted = Converted(options.firing if like is None else like.firing, fmt, first, raw)
    layers = [report(first, outputs[name], converted.values[name] * code.unit)]
    if options.paper:
        layers[0]["seen"] = float(np.abs(outputs[name]).max())
    for population in network.populations[1:]:
        # What the float network says is dropped behind the layer that it is compared with.
        exact, said = operands.pop(population.name), outputs.pop(population.name)
        integers = convert_population(
            network,
            population,
            exact,
            said,
            converted,
            options,
            None if like is None else like[population.name],
            room.least.get(population.name),
        )
        if options.rounding == "plain":
            converted.suppose(integers, said)
            layers.append(summary(integers))
        else:
            converted.append(integers)
            sums = converted.integrators(integers, converted.values)
            real = sums[0] * by_channel(integers.operands[0].scale, integers.shape)
            layers.append(report(integers, exact[0], real) | converted.counted(integers, sums[0]))
            if is_trained(network, population) and is_exact(network, population):
                levels = np.rint(said / integers.spike_code.unit)
                unlike = float((converted.values[population.name] != levels).mean())
                layers[-1]["unlike"] = unlike
        if options.paper and population is not network.readout:
            layers[-1]["seen"] = float(np.abs(said).max())
    design = Design(
        name=network.name,
        firing=converted.firing,
        input_format=fmt,
        populations=tuple(converted.populations),
        outputs=network.outputs,
        inputs=network.inputs,
        provenance=provenance | {"layers": layers},
    )
    return pixel_after_pixel(design)


def is_exact(network: Network, population: Population) -> bool:
    """Whether all that a population sums was trained with quantisation: weights and sources."""
    return all(
        (q.map.fixed or q.common is not None) and is_trained(network, network[q.source])
        for q in population.sources
    )


def as_trained(network: Network, options: Options) -> Options:
    """Return options with the T that the levels of the training take where none was asked for.

    Populations that one operand sums take one T, that of the most levels.
    """
    settled = options.firing == "settled" and options.dynamics == "signgd"
    if not settled or options.schedule.kind != "binary":
        return options
    trained = {p.name for p in network.populations if p.step is not None}
    first = spoken_codes(network, options)
    free = {
        p.name
        for p in network.populations[1:-1]
        if options.steps is None and options.layers.get(p.name, LayerOptions()).steps is None
    }
    if options.input_steps is None and options.of_input.schedule.kind == "binary":
        free.add(network.input.name)
    steps = {
        p.name: trained_steps(p)
        if p.name in trained & free
        else options.of_input.steps
        if p is network.input
        else options.of(p.name).steps
        for p in network.populations[:-1]
    }
    sums = [
        {first[q.source] for q in operand.projections}
        for p in network.populations
        for operand in p.operands
    ]
    for _ in sums:  # until the greatest T has reached all that meet it
        for together in sums:
            if together & trained:
                most = max(steps[name] for name in together)
                steps |= {name: most for name in together & free}
    layers = dict(options.layers)
    for name in free - {network.input.name}:
        if steps[name] != options.of(name).steps:
            layers[name] = replace(layers.get(name, LayerOptions()), steps=steps[name])
    own = network.input.name
    if own in free and steps[own] != options.of_input.steps:
        options = replace(options, input_steps=steps[own])
    return replace(options, layers=layers)


def spoken_codes(network: Network, options: Options) -> dict[str, str]:
    """Return whose code each population speaks: its own, or that of what a maximum passes on."""
    first: dict[str, str] = {}
    for p in network.populations:
        passed = passed_on(network, p) if p.name not in options.layers else None
        first[p.name] = p.name if passed is None else first[passed]
    return first


def _with_input_steps(network: Network, options: Options) -> Options:
    """Return options with the T that an input takes beside others, or of planes, where unsaid."""
    unsaid = options.input_steps is None and options.of_input.schedule.kind == "binary"
    if not unsaid or options.firing != "settled" or options.dynamics != "signgd":
        return options
    beside = steps_beside_input(network, options)
    if beside is not None:
        return replace(options, input_steps=beside)
    return replace(options, input_steps=PLANES_INPUT_STEPS) if has_planes(network) else options


def steps_beside_input(network: Network, options: Options) -> int | None:
    """Return the T that the input needs, so that hardware can sum it with other populations.

    A sum of trains takes one step of each at a time. ``None`` where the input is summed with no
    others, or with some of different T.
    """
    first = spoken_codes(network, options)
    own = network.input.name
    found = {
        options.of(name).steps
        for p in network.populations
        for operand in p.operands
        if own in (read := {first[q.source] for q in operand.projections})
        for name in read - {own}
    }
    return found.pop() if len(found) == 1 else None


def _input(
    network: Network, samples: np.ndarray, options: Options, features: Features | None
) -> tuple[np.ndarray, InputFormat, SpikeCode]:
    """Return raw samples, and the input's format and code."""
    low, high, scale = ends = raw_range_of(network, samples, options, features)
    raw = np.clip(np.rint(samples / scale), low, high).astype(np.int64)
    if options.paper:
        return raw, *paper_input(ends, options.of_input)
    trained = network.input.step is not None
    code = trained_code(network.input, options.of_input) if trained else None
    if code is not None:  # one raw step is two units of v
        return raw, InputFormat(low=low, high=high, scale=scale, multiplier=4, shift=1), code
    fmt, code = choose_input(raw, ends, options.of_input)
    return raw, replace(fmt, features=features), code


def raw_range_of(
    network: Network, samples: np.ndarray, options: Options, features: Features | None = None
) -> tuple[int, int, float]:
    """Return least and greatest raw value of a network's input, and the real value of one step.

    With ``features``, samples are steps of their ranges.
    """
    own = network.input
    if features is not None:
        return 0, 2**options.input_bits - 1, 1.0
    if own.step is None:
        return raw_range(samples, options.input_bits)
    return *trained_levels(own), own.step  # that the model was trained with


def has_planes(network: Network) -> bool:
    """Whether a network has convolutions."""
    return any(p.map.convolves for q in network.populations for p in q.sources)


def widest_weights(design: Design) -> int:
    """Return the bits of the widest trained weights of a Design."""
    return max(q.weight_bits for p in design.populations for q in p.sources if not q.map.fixed)


def equalised(
    network: Network,
    outputs: dict[str, np.ndarray],
    operands: dict[str, list[np.ndarray]],
    options: Options,
    known: Units | None = None,
) -> tuple[Network, dict[str, np.ndarray], dict[str, list[np.ndarray]]]:
    """Equalise a network, and what its populations say for the samples with it.

    ``known`` holds the units of channels that were looked for before, see :func:`calibrate`.
    """
    known = {} if known is None else known
    if options.paper:
        return _moved(outputs, operands, *scaled(network, outputs, options.percentile))
    strength = options.equalise
    if strength is None:
        bits = options.layer_bits if options.budget_bits is None else options.budget_bits
        strength = (1.0 if bits >= 7 else 0.5) * has_planes(network)
    if not strength:
        return network, outputs, operands

    def units(population: Population) -> np.ndarray | None:
        own = replace(options.of(population.name), reach=1.0)  # which all channels share
        readers = [p for q in network.populations for p in q.sources if p.source == population.name]
        if own.clip is not None or any(trained_step(p) for p in readers):
            return None  # the range is given in the network's own numbers, or the weights are
        kind = code_kind(network, population, own)
        key = population.name, kind, own.steps, own.schedule, options.percentile
        if key not in known:
            seen = np.moveaxis(outputs[population.name], 1, 0).reshape(population.shape[0], -1)
            known[key] = np.array(
                [
                    choose_code(each, kind, own, options.percentile).unit if each.any() else 0.0
                    for each in seen
                ]
            )
        return known[key]

    return _moved(outputs, operands, *equalise(network, units, strength=float(strength)))


def in_units_of(
    network: Network,
    outputs: dict[str, np.ndarray],
    operands: dict[str, list[np.ndarray]],
    options: Options,
    like: Design,
    room: Room,
) -> tuple[Network, dict[str, np.ndarray], dict[str, list[np.ndarray]]]:
    """Rescale populations, so that the units of a Design's codes suit what they say.

    A retrained layer may reach twice as far. Where its function allows it, it is divided by what
    the ranges differ by, and the weights behind it are multiplied; see :mod:`.equalise`.
    """

    def is_free(name: str) -> bool:
        """Whether weights that are rounded anyway read a population, through maxima or not."""
        return all(
            is_free(p.name) if p.function == MAX else not (q.map.fixed or trained_step(q))
            for p in network.populations
            for q in p.sources
            if q.source == name
        )

    def units(population: Population) -> np.ndarray | None:
        code, said = like[population.name].code, outputs[population.name]
        if not isinstance(code, SpikeCode) or not code.is_binary or population.step is not None:
            return None
        if not said.any() or not is_free(population.name):
            return None
        own = LayerSettings(
            steps=code.steps, weight_bits=options.layer_bits, code=code.kind, schedule=Schedule()
        )
        unit = choose_code(said, code.kind, own, options.percentile).unit
        factor = unit / code.unit * room.coarser.get(population.name, 1.0)
        return np.full(population.shape[0], factor)

    return _moved(outputs, operands, *equalise(network, units, level=False, turned=True))


def _moved(
    outputs: dict[str, np.ndarray],
    operands: dict[str, list[np.ndarray]],
    network: Network,
    factors: Mapping[str, np.ndarray],
) -> tuple[Network, dict[str, np.ndarray], dict[str, list[np.ndarray]]]:
    """Return a rescaled network, and what its populations say."""
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


def trained_step(projection: Projection) -> bool:
    """Whether weights lie on a grid that they share with what they were trained for."""
    linear = projection.map
    if projection.common is not None:
        return True
    return not linear.fixed and not linear.apart and grid(linear.weights) is not None


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
