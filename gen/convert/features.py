"""Features: whether each input feature, or channel, has a range of its own, and which.

An input population has one unit. Where features have very different ranges (milliseconds beside
megapascals), or where a model standardises them itself, one unit for all leaves nothing of those
with small ones. So the host may give each feature j a scale a_j and an offset c_j,

    x_j = c_j + a_j p_j        Σ_j w_ij x_j = Σ_j w_ij c_j + Σ_j (w_ij a_j) p_j

and what a_j and c_j do goes into the columns of the weights and into the biases: the network then
reads p. Hardware does not know of it. Elements that share a weight, as the pixels of a plane do,
share a scale.

The squared error that an operand i is about to make is predicted for both ways,

    Σ_j w_ij² e_j + δ_i²/12 Σ_j var(p_j),    δ_i = max_j |w_ij| a_j / (2^(bits-1) - 1)

with e_j the error of what the input's T can say of feature j. One scale without offsets stays where
nothing else is predicted to leave 1/:data:`WORTH` of its error. Else each feature gets a range of
its own; or all get the same range, which leaves out what lies far away, where it would be hardly
worse. Images keep one scale: their pixels share a range, and weights on dark borders are no larger
than others. Measured on MNIST, Fashion-MNIST, CIFAR-10, steel surfaces and vibrations, ranges for
each leave 1/1.3 of the error at the most; on tables of features that the model standardises 1/5 to
10^-6, on tables standardised outside 1/1.4 or, with rare features, 1/12.

A feature's range is the one of least predicted error: it leaves out what lies far from all else,
where saying that too would cost the other features their weights' resolution. A feature that never
changes is a constant, and its weights are taken off.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..design.features import Features
from ..model.maps import LinearMap
from ..model.network import MAX, Network, Operand, Population, Projection
from .options import AUTO, ONE, Options
from .quantise import GRID_EVIDENCE, grid

WORTH = 2.0  # times less error are worth other ranges than a scale for all
APART = 1.3  # times less are worth a range for each feature, in place of one for all
PLAIN = (0.5, 0.75, 1.0)  # of the greatest values: what one scale may reach over
VALUES = 512  # of a feature that a range is chosen on
TAILS = (0.0, 0.002, 0.01, 0.03)  # shares of the values that a range may leave out at either end
SHRUNK = (0.5, 0.25, 0.125, 0.0625, 0.03125)  # of the range of all values: for the rarest features
CAPS = 2.0 ** -np.arange(0, 6, 0.5)  # of the strongest column: what no column is to pass
CONSTANT = 1e-9  # of a feature's magnitude: what changes less is rounding


@dataclass(frozen=True, kw_only=True, eq=False)
class Reader:
    """A projection that reads the input.

    Parameters
    ----------
    map
        In floats.
    bits
        Of its weights; 16 where they are plain factors.
    shared
        One scale for all of its rows, as of the read-out.
    """

    map: LinearMap
    bits: int
    shared: bool

    @property
    def channels(self) -> np.ndarray:
        """(n,) int64, the channel of each element of the input: one number, one weight."""
        size = int(np.prod(self.map.in_shape))
        layout = self.map.sees
        if layout is None:
            return np.arange(size)
        found = np.empty(size, np.int64)
        places = layout.seen(np.arange(size)[None])[0]
        found[places] = np.arange(len(places))[:, None, None]
        return found

    def per_weight(self, numbers: np.ndarray) -> np.ndarray:
        """Return of each weight, (channels, fan_in), the number of the element that it reads."""
        if self.map.sees is None:
            return np.broadcast_to(numbers, self.map.weights.shape)
        first = np.unique(self.channels, return_index=True)[1]
        return numbers[first][self.map.sources_of_weights]


def readers_of(network: Network, options: Options) -> list[Reader]:
    """Return the projections that read the input."""
    name = network.input.name
    return [
        Reader(
            map=q.map,
            bits=16 if q.map.fixed else options.of(p.name).weight_bits,
            shared=p is network.readout,
        )
        for p in network.populations[1:]
        for q in p.sources
        if q.source == name
    ]


def may_differ(network: Network, samples: np.ndarray, options: Options) -> bool:
    """Whether features may have ranges of their own, whatever they are.

    Not where the input's range was trained, weights lie on a trained grid, a product or a maximum
    meets the input's own values, or a border would need biases that the neurons do not have.
    """
    name = network.input.name
    if options.paper or options.input_scales == ONE:
        return False
    if network.input.step is not None or samples.dtype == bool:
        return False
    for population in network.populations[1:]:
        for operand in population.operands:
            if any(name in (q.source, q.other) for q in operand.products):
                return False
            for q in operand.projections:
                if q.source != name:
                    continue
                if on_trained_grid(q) or population.function == MAX:
                    return False
                if options.dynamics != "signgd" and q.map.padded:
                    return False
    return True


def on_trained_grid(projection: Projection) -> bool:
    """Whether weights were trained with quantisation; a row with one weight alone tells nothing."""
    linear, weights = projection.map, projection.map.weights
    if linear.fixed or linear.apart:
        return False
    told = np.maximum(np.count_nonzero(weights, axis=1) - 1, 0).sum()
    if projection.common is None and told < GRID_EVIDENCE:
        return False
    return grid(weights, common=projection.common) is not None


def groups_of(readers: list[Reader]) -> np.ndarray:
    """Return the number of the group of each element of the input, (n,) int64 from 0.

    Elements of a group share a weight in some reader, and so a scale.
    """
    group = np.arange(len(readers[0].channels))
    while True:
        before = group
        for channels in (reader.channels for reader in readers):
            least = np.full(channels.max() + 1, len(group))
            np.minimum.at(least, channels, group)
            group = least[channels]
        if np.array_equal(group, before):
            return np.unique(group, return_inverse=True)[1]


# -- ranges ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What the groups of features are like in the samples.

    Members
    -------
    values : (values, groups) float64, some of each
    low, high : (groups,) ends of all
    """

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, samples: np.ndarray, group: np.ndarray) -> "Seen":
        """Look at (n, size) samples."""
        count = int(group.max()) + 1
        low, high = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(low, group, samples.min(axis=0).astype(np.float64))
        np.maximum.at(high, group, samples.max(axis=0).astype(np.float64))
        rng = np.random.default_rng(0)
        few = min(VALUES, len(samples) * len(group) // count)
        order = np.argsort(group, kind="stable")
        ends = np.searchsorted(group[order], np.arange(count + 1))
        if few == len(samples) and count == len(group):
            return cls(values=samples[:, order].astype(np.float64), low=low, high=high)
        element = rng.integers(ends[:-1], ends[1:], (few, count))
        rows = rng.integers(0, len(samples), (few, count))
        return cls(values=samples[rows, order[element]].astype(np.float64), low=low, high=high)

    @property
    def constant(self) -> np.ndarray:
        """(groups,) bool, whether a group's values are all the same."""
        least = CONSTANT * np.maximum(np.abs(self.low), np.abs(self.high))
        return self.high - self.low <= least

    @property
    def pooled(self) -> "Seen":
        """All groups as a single one, whose range reaches to 0."""
        return Seen(
            values=self.values.reshape(-1, 1),
            low=np.array([min(0.0, self.low.min())]),
            high=np.array([max(0.0, self.high.max())]),
        )

    def candidates(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield ranges for all groups, low and high (groups,) each."""
        yield self.low, self.high
        tails = np.quantile(self.values, [*TAILS, *(1 - t for t in reversed(TAILS))], axis=0)
        for low in (self.low, *tails[1 : len(TAILS)]):
            for high in (*tails[len(TAILS) : -1], self.high):
                yield low, np.maximum(low, high)
        span, mean = self.high - self.low, self.values.mean(axis=0)
        for fraction in SHRUNK:
            part = fraction * span
            yield self.low, self.low + part
            yield self.high - part, self.high
            middle = np.clip(mean - part / 2, self.low, self.high - part)
            yield middle, middle + part


def said(values: np.ndarray, low: np.ndarray, high: np.ndarray, levels: int) -> np.ndarray:
    """Return what ``levels`` values from low to high say of ``values``, (values, groups)."""
    step = np.where(high > low, high - low, 1.0) / (levels - 1)
    return low + step * np.clip(np.rint((values - low) / step), 0, levels - 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """Ranges of all groups, and what they leave.

    Members
    -------
    low, high : (groups,) ends
    error : (groups,) mean squared error of what the input says
    spread : (groups,) variance of what it says, in squares of high - low
    """

    low: np.ndarray
    high: np.ndarray
    error: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, seen: Seen, low: np.ndarray, high: np.ndarray, levels: int) -> "Choice":
        found = said(seen.values, low, high, levels)
        span = np.where(high > low, high - low, 1.0)
        return cls(
            low=low,
            high=high,
            error=((seen.values - found) ** 2).mean(axis=0),
            spread=found.var(axis=0) / span**2,
        )

    @property
    def span(self) -> np.ndarray:
        return self.high - self.low


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """What the readers' weights make of the groups.

    Members
    -------
    readers : list of Reader
    power, greatest, count : by reader (rows, groups): Σ w² and max |w| of the weights that a row
        has for a group, and how many
    """

    readers: list[Reader]
    power: list[np.ndarray]
    greatest: list[np.ndarray]
    count: list[np.ndarray]

    @classmethod
    def of(cls, readers: list[Reader], group: np.ndarray) -> "Columns":
        power, greatest, count = [], [], []
        for reader in readers:
            weights = np.abs(reader.map.weights)
            where = np.arange(len(weights))[:, None], reader.per_weight(group)
            shape = len(weights), int(group.max()) + 1
            squares, tops, many = np.zeros(shape), np.zeros(shape), np.zeros(shape)
            np.add.at(squares, where, weights**2 * reader.map.repeats)
            np.maximum.at(tops, where, weights)
            np.add.at(many, where, reader.map.repeats)
            power.append(squares)
            greatest.append(tops)
            count.append(many)
        return cls(readers=readers, power=power, greatest=greatest, count=count)

    @property
    def strength(self) -> np.ndarray:
        """(groups,) greatest weight of all readers."""
        return np.max([top.max(axis=0) for top in self.greatest], axis=0)

    def without(self, groups: np.ndarray) -> "Columns":
        """Return the columns with no weights for ``groups``, (groups,) bool."""
        parts = {
            name: [np.where(groups, 0.0, part) for part in vars(self)[name]]
            for name in ("power", "greatest", "count")
        }
        return replace(self, **parts)

    def error(self, choice: Choice) -> float:
        """Return the squared error that all operands are predicted to have."""
        total = 0.0
        for k, reader in enumerate(self.readers):
            widest = (self.greatest[k] * choice.span).max(axis=1)
            widest = np.full_like(widest, widest.max()) if reader.shared else widest
            steps = widest / (2.0 ** (reader.bits - 1) - 1)
            rounded = steps**2 / 12 * (self.count[k] @ choice.spread)
            total += float((self.power[k] @ choice.error + rounded).sum())
        return total


def own_ranges(seen: Seen, columns: Columns, levels: int) -> Choice:
    """Return the range of each group that leaves the least predicted error of all operands.

    For each strength that no column is to pass, a group takes the range of least error of its own
    that keeps within; where none does, the narrowest.
    """
    tried = [Choice.of(seen, low, high, levels) for low, high in seen.candidates()]
    together = {name: np.stack([vars(choice)[name] for choice in tried]) for name in vars(tried[0])}
    spans = together["high"] - together["low"]
    strengths = columns.strength * spans
    groups = np.arange(spans.shape[1])
    found = []
    for cap in CAPS * strengths[0].max():
        fits = strengths <= cap * (1 + 1e-9)
        errors = np.where(fits, together["error"], np.inf)
        best = np.where(fits.any(axis=0), errors.argmin(axis=0), spans.argmin(axis=0))
        found.append(Choice(**{name: rows[best, groups] for name, rows in together.items()}))
    return min(found, key=columns.error)


def same_for_all(seen: Seen, ends: tuple[np.ndarray, np.ndarray], levels: int) -> Choice:
    """Return one range, (1,) its ends, for all groups."""
    low, high = (np.full(seen.low.shape, end[0]) for end in ends)
    return Choice.of(seen, low, high, levels)


def shared_range(seen: Seen, columns: Columns, levels: int) -> Choice:
    """Return the range that leaves the least predicted error where all groups share it."""
    choices = [same_for_all(seen, ends, levels) for ends in seen.pooled.candidates()]
    return min(choices, key=columns.error)


def plain_error(seen: Seen, columns: Columns, levels: int) -> float:
    """Return the predicted error of one scale without an offset, as the search of it finds it."""
    low, high = seen.pooled.low, seen.pooled.high
    return min(
        columns.error(same_for_all(seen, (part * low, part * high), levels)) for part in PLAIN
    )


def choose_features(network: Network, samples: np.ndarray, options: Options) -> Features | None:
    """Return the scale and the offset of each feature; ``None`` where one scale serves all.

    Parameters
    ----------
    network
        As it reads real values.
    samples
        (n, *input shape) integers or floats.
    options
        ``input_scales`` says whether features have their own; widths and T of the input are those
        that errors are predicted for.
    """
    if not may_differ(network, samples, options):
        return None
    readers = readers_of(network, options)
    group = groups_of(readers)
    flat = samples.reshape(len(samples), -1)
    seen = Seen.of(flat, group)
    columns, constant = Columns.of(readers, group), seen.constant
    levels = 2 ** min(options.of_input.steps, options.input_bits)
    if constant.all():
        return None
    moving = columns.without(constant)
    choice = own_ranges(seen, moving, levels)
    if options.input_scales == AUTO:
        shared = shared_range(seen, columns, levels)
        own, same = moving.error(choice), columns.error(shared)
        if not min(own, same) * WORTH < plain_error(seen, columns, levels):
            return None
        if not own * APART < same:
            choice, constant = shared, np.zeros_like(constant)
    top = 2**options.input_bits - 1
    scales = np.where(constant, 0.0, choice.span / top)
    shape = network.input.shape
    return Features.of(scales[group].reshape(shape), choice.low[group].reshape(shape))


# -- the network that reads p --------------------------------------------------------------------


def reading_steps(network: Network, features: Features) -> Network:
    """Return the network that reads p, where the given one reads x = offset + scale·p."""
    name, shape = network.input.name, network.input.shape
    scale = np.broadcast_to(features.scale, shape).ravel()
    offset = np.broadcast_to(features.offset, shape)

    def operand(population: Population, old: Operand) -> Operand:
        projections, constant = [], np.zeros(1)
        for q in old.projections:
            if q.source == name:
                constant = constant + q.map.apply(offset[None])[0]
                own = Reader(map=q.map, bits=0, shared=False).per_weight(scale)
                q = replace(q, map=q.map.with_weights(q.map.weights * own), common=None)
            projections.append(q)
        bias = per_channel(old.bias + constant, constant, population.shape)
        return replace(old, projections=tuple(projections), bias=bias)

    populations = tuple(
        replace(p, operands=tuple(operand(p, old) for old in p.operands))
        for p in network.populations
    )
    return replace(network, populations=populations)


def per_channel(bias: np.ndarray, added: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a bias with one number a channel where its pixels differ by rounding alone."""
    if bias.ndim < 2 or bias.shape[1:] == (1,) * (bias.ndim - 1):
        return bias
    first = bias.reshape(len(bias), -1)[:, 0].reshape(-1, *[1] * (len(shape) - 1))
    noise = 1e-12 * max(1e-300, float(np.abs(added).max()))
    return first if np.abs(bias - first).max() <= noise else bias
