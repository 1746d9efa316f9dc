"""Verdict: what a conversion loses against the float network, on samples that it did not see.

No labels are needed: the answers of the golden model are compared with the float network's, and no
more accuracy can be lost than answers differ. Which samples judge depends on how many there are:

``left over``
    The calibration takes only some of many: those that it leaves judge.
``kept back``
    A fifth is kept from the calibration.
``in turn``
    There are few, and the calibration takes them all. They are dealt into parts, and each part is
    answered by a conversion that has seen the others alone. The figure is that of designs like the
    one that is written.
``seen``
    There are too few even for that: the samples judge that were calibrated on.

Samples may belong together, as windows of one recording do. Then whole groups judge, and nothing of
them calibrates; where there are enough of them a fifth of the groups is kept back, else they are
dealt. The interval is that of so many groups: samples of a group that err together count as fewer.
"""

# Ref: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA
# 22 (1927), for the interval of a share. L. Kish, "Survey Sampling" (1965), for what groups of m do
# to it: 1 + (m - 1) times the correlation within a group.

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..gen.convert.calibrate import drawn, most_samples
from ..gen.convert.options import Options
from ..gen.design.calibrated import UnlikeCalibration
from ..gen.design.design import Design
from ..gen.model.heads import Classes, Output, Pixels, Reconstruction
from ..gen.model.heads.links import sigmoid, softmax
from ..gen.model.heads.measures import deviation
from ..gen.model.network import Network
from ..sim import golden

LEFT_OVER, KEPT_BACK, IN_TURN, SEEN = "left over", "kept back", "in turn", "seen"
Convert = Callable[[np.ndarray], Design]  # from calibration samples to integers
FEWEST_LEFT = 200  # samples that a calibration leaves, to judge by them alone
FEWEST_SPLIT = 1000  # of so many samples a fifth may be kept back
KEPT = 5  # one in so many
MOST_JUDGES = 1000
FEWEST_JUDGES = 100  # however large the network
JUDGED_VALUES = 2**25  # neurons times samples
PARTS, PARTS_OF_LARGE = 4, 2
LARGE = 2**15  # neurons of a network whose conversion takes its time
FEWEST_IN_TURN = 8
FEWEST_GROUPS = 25  # of so many groups a fifth may be kept back
SURER = 2.0  # times as sure as it says, of the accuracy that a float network may lose
RARER = 0.05  # share of the samples on the rarer side of a threshold that was guessed
Z95 = 1.959964  # standard deviations on either side: 95 %
RESAMPLES = 1000
PAIRINGS = 16  # of errors with samples
PAIRED_VALUES = 2**22  # outputs times pairings that are looked at


# -- which samples judge -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Which samples calibrate and which judge.

    Parameters
    ----------
    how
        See the head of the module.
    base
        Indices of the samples that the design is calibrated on.
    judges
        Indices of those that judge.
    parts
        Of ``in turn``: the judges, dealt; empty otherwise.
    groups
        (n,) the group of each sample, of those that judge and of all others; ``None`` where each
        stands alone.
    """

    how: str
    base: np.ndarray
    judges: np.ndarray
    parts: tuple[np.ndarray, ...] = ()
    groups: np.ndarray | None = None

    def without(self, part: np.ndarray) -> np.ndarray:
        """Return those that calibrate where a part judges: none of its groups."""
        if self.groups is None:
            return np.setdiff1d(self.base, part)
        return self.base[~np.isin(self.groups[self.base], self.groups[part])]

    def groups_of(self, judges: np.ndarray) -> np.ndarray | None:
        """Return the groups of judges."""
        return None if self.groups is None else self.groups[judges]


def split(
    count: int, network: Network, options: Options, groups: np.ndarray | None = None
) -> Split:
    """Say which of ``count`` samples calibrate and which judge; the same for the same numbers.

    Parameters
    ----------
    groups
        (count,) int64, which samples belong together; ``None`` where each stands alone.

    Raises
    ------
    ValueError
        If all samples are of one group.
    """
    if groups is not None:
        return _split_groups(groups, network, options)
    every = np.arange(count)
    taken = drawn(count, network, options)
    most = min(MOST_JUDGES, max(FEWEST_JUDGES, JUDGED_VALUES // network.size))
    shuffled = np.random.default_rng(options.seed + 1).permutation(count)
    left = np.setdiff1d(every, taken)
    if len(left) >= FEWEST_LEFT:
        return Split(how=LEFT_OVER, base=every, judges=np.sort(_first(shuffled, left, most)))
    if count >= FEWEST_SPLIT and most_samples(network, options) >= count:
        kept = np.sort(shuffled[: min(most, count // KEPT)])
        return Split(how=KEPT_BACK, base=np.setdiff1d(every, kept), judges=kept)
    if count < FEWEST_IN_TURN:
        return Split(how=SEEN, base=every, judges=every)
    parts = PARTS if network.size < LARGE else PARTS_OF_LARGE
    judges = shuffled[:most]
    return Split(
        how=IN_TURN,
        base=every,
        judges=np.sort(judges),
        parts=tuple(np.sort(judges[k::parts]) for k in range(parts)),
    )


def _split_groups(groups: np.ndarray, network: Network, options: Options) -> Split:
    """Say which groups calibrate and which judge."""
    count, every = len(groups), np.arange(len(groups))
    names, group = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            "all samples are of one group, and what judges must be of another one than what "
            "calibrates (leave out --groups)"
        )
    most = min(MOST_JUDGES, max(FEWEST_JUDGES, JUDGED_VALUES // network.size))
    rng = np.random.default_rng(options.seed + 1)
    shuffled, place = rng.permutation(count), rng.permutation(len(names))[group]
    if count >= FEWEST_SPLIT and len(names) >= FEWEST_GROUPS:
        kept = place < len(names) // KEPT
        judges = np.sort(_first(shuffled, every[kept], most))
        return Split(how=KEPT_BACK, base=every[~kept], judges=judges, groups=group)
    parts = min(PARTS if network.size < LARGE else PARTS_OF_LARGE, len(names))
    judges = np.sort(shuffled[:most])
    dealt = [judges[place[judges] % parts == k] for k in range(parts)]
    return Split(
        how=IN_TURN,
        base=every,
        judges=judges,
        parts=tuple(part for part in dealt if len(part)),
        groups=group,
    )


def _first(order: np.ndarray, among: np.ndarray, most: int) -> np.ndarray:
    """Return the first of an order that are among others."""
    return order[np.isin(order, among)][:most]


# -- how far two networks say the same ---------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far the integers say what the float network says.

    Members
    -------
    samples : how many were compared, and ``groups``, how many groups of them where some belong
        together
    differing : mean share of the decisions that differ, 0..1; ``None`` where values are wanted
    agreement : 1 less that, with ``low`` and ``high``, its 95 % interval
    rmse, rmse_low, rmse_high : root mean square error of the outputs, in their own unit
    r2, correlation : of the outputs, ``None`` where they do not vary
    points, points_error : accuracy that is expected to be lost, in points, and its standard error;
        see :func:`paired`
    """

    samples: int
    differing: float | None
    low: float | None
    high: float | None
    rmse: float
    rmse_low: float
    rmse_high: float
    r2: float | None
    correlation: float | None
    points: float
    points_error: float
    groups: int | None = None

    @property
    def agreement(self) -> float | None:
        return None if self.differing is None else 1 - self.differing

    @property
    def loss(self) -> float:
        """Answers of a hundred that differ; of values, the variance that is not explained, in %."""
        if self.differing is not None:
            return 100 * self.differing
        return 0.0 if self.r2 is None else 100 * max(0.0, 1 - self.r2)


def wilson(share: float, samples: float) -> tuple[float, float]:
    """Return the 95 % interval of a share of so many samples."""
    if not samples:
        return 0.0, 1.0
    spread = Z95**2 / samples
    middle = (share + spread / 2) / (1 + spread)
    half = Z95 / (1 + spread) * np.sqrt(share * (1 - share) / samples + spread / (4 * samples))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def worth(values: np.ndarray, groups: np.ndarray) -> float:
    """Return as how many samples those count that belong to groups, and so err together.

    Parameters
    ----------
    values
        (n,) of each sample, and ``groups`` its group.
    """
    names, group = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group).astype(float)
    count, many = len(values), len(names)
    means = np.bincount(group, weights=values) / sizes
    between = (sizes * (means - values.mean()) ** 2).sum() / max(1, many - 1)
    within = ((values - means[group]) ** 2).sum() / max(1, count - many)
    size = (count - (sizes**2).sum() / count) / max(1, many - 1)
    whole = between + (size - 1) * within
    alike = float(np.clip((between - within) / whole, 0, 1)) if whole > 0 else 0.0
    return count / (1 + (size - 1) * alike)


def rmse_interval(squared: np.ndarray, groups: np.ndarray | None) -> tuple[float, float]:
    """Return the 95 % interval of the root of the mean of squared errors, (n,), by resampling.

    Groups are drawn whole. So few of them, G, vary less than they should: the interval is as much
    wider as Student's t of G - 1 is wider than a normal one, and by sqrt(G / (G - 1)).
    """
    each = np.arange(len(squared)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums, sizes = np.bincount(each, weights=squared), np.bincount(each)
    many = len(sums)
    rng = np.random.default_rng(0)
    again = rng.multinomial(many, np.full(many, 1 / many), RESAMPLES)
    ends = np.percentile(np.sqrt(again @ sums / (again @ sizes)), [2.5, 97.5])
    middle = float(np.sqrt(squared.mean()))
    wider = 1.0 if groups is None else student(many - 1) / Z95 * np.sqrt(many / max(1, many - 1))
    low, high = middle + wider * (ends - middle)
    return max(0.0, float(low)), float(high)


def student(freedom: int) -> float:
    """Return how many standard deviations on either side are 95 % of Student's t.

    By the expansion of Cornish and Fisher: 0.3 % too few at 4 degrees of freedom.
    """
    z, n = Z95, max(1, freedom)
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def compare(
    network: Network,
    exact: np.ndarray,
    said: np.ndarray,
    given: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> Agreement:
    """Compare real outputs of the float network and of the integers, see :func:`differing`.

    ``groups``, (n,), says which samples belong together.
    """
    apart = differing(network, exact, said, given)
    share = None if apart is None else float(apart.mean())
    count = float(len(exact))
    if apart is not None and groups is not None:
        count = worth(apart, groups)
    low, high = (None, None) if share is None else wilson(1 - share, count)
    squared = ((said - exact) ** 2).mean(axis=1)
    deviates = deviation(said, exact)
    lost = paired(network, exact, said, given)
    points = 100 * max(0.0, 1 - (deviates["r2"] or 0.0)) if lost is None else float(lost.mean())
    ends = rmse_interval(squared, groups)
    return Agreement(
        samples=len(exact),
        differing=share,
        low=low,
        high=high,
        rmse=float(np.sqrt(squared.mean())),
        rmse_low=ends[0],
        rmse_high=ends[1],
        r2=deviates["r2"],
        correlation=deviates["correlation"],
        points=points,
        points_error=0.0 if lost is None else float(lost.std() / len(lost) ** 0.5),
        groups=None if groups is None else len(np.unique(groups)),
    )


def differing(
    network: Network, exact: np.ndarray, said: np.ndarray, given: np.ndarray | None = None
) -> np.ndarray | None:
    """Return of each sample the share of decisions that differ, (n,) in 0..1.

    Of several outputs that decide it is the one that differs most; ``None`` where none decides.

    Parameters
    ----------
    exact, said
        (n, logits) of the float network and of the integers, in real numbers.
    given
        (n, ...) samples, by which a reconstruction is known where nothing says that it is one.
    """
    head, apart = network.head, []
    for output in head:
        own, other = head.part(exact, output), head.part(said, output)
        if decides(output, own, given):
            found = output.disagreement(other, own, given)
            apart += [] if found is None else [found]
    return np.max(apart, axis=0) if apart else None


def expected(
    network: Network, exact: np.ndarray, said: np.ndarray, given: np.ndarray | None = None
) -> np.ndarray | None:
    """Return of each sample the accuracy that is expected to be lost, (n,) in points.

    A decision that differs is not a right one that is lost: the float network wavers most where
    decisions change. It counts by how much surer the float network is of its own than of the
    other: the difference of their probabilities, of logits taken :data:`SURER` times, since
    networks that were trained with smoothed labels or noise know more than they say. ``None`` where
    nothing decides.
    """
    lost = []
    for output in network.head:
        own, other = network.head.part(exact, output), network.head.part(said, output)
        if decides(output, own, given):
            lost.append(100 * _surer(output, own, other, given))
    return np.max(lost, axis=0) if lost else None


def paired(
    network: Network, exact: np.ndarray, said: np.ndarray, given: np.ndarray | None = None
) -> np.ndarray | None:
    """Return of each sample the accuracy that is expected to be lost, (n,) in points.

    Few samples waver, and whether the error of one of them falls in its own direction is chance.
    So the errors of other samples are added to each too: the mean of up to :data:`PAIRINGS` of
    errors with samples, that of each with its own among them. ``None`` where nothing decides.
    """
    count = int(np.clip(PAIRED_VALUES // max(1, exact.size), 1, min(PAIRINGS, len(exact))))
    turns = np.unique(np.linspace(0, len(exact), count, endpoint=False).astype(int))
    every = []
    for turn in turns:
        found = expected(network, exact, exact + np.roll(said - exact, turn, axis=0), given)
        if found is None:
            return None
        every.append(found)
    return np.mean(every, axis=0)


def _surer(
    output: Output, own: np.ndarray, other: np.ndarray, given: np.ndarray | None
) -> np.ndarray:
    """Return by how much surer the first network is of its decisions, mean of each sample."""
    axis = output.axis + 1
    if output.kind == Classes.kind or (output.kind == Pixels.kind and own.shape[axis] > 1):
        share = softmax(SURER * own, axis)
        pairs = (np.expand_dims(x.argmax(axis), axis) for x in (own, other))
        first, second = (np.take_along_axis(share, k, axis) for k in pairs)
        return (first - second).reshape(len(own), -1).mean(axis=1)
    threshold = getattr(output, "threshold", None)
    if output.kind == Reconstruction.kind or threshold is None:
        found = output.disagreement(other, own, given)
        return np.zeros(len(own)) if found is None else found
    sure = np.abs(2 * sigmoid(SURER * (own - threshold)) - 1)
    unlike = (own > threshold) != (other > threshold)
    return (sure * unlike).reshape(len(own), -1).mean(axis=1)


def decides(output: Output, exact: np.ndarray, given: np.ndarray | None = None) -> bool:
    """Whether an output decides, of which the float network says ``exact``, (n, *its shape).

    Where its kind was guessed: not if it resembles the sample, or if nearly all samples lie on one
    side of its threshold.
    """
    if not output.guessed:
        return True
    if output.size == 1:
        share = float((exact > 0).mean())
        return RARER <= share <= 1 - RARER
    if given is None or given.size != exact.size:
        return True
    r2 = deviation(exact, given)["r2"]
    return r2 is None or r2 <= 0


def outputs(design: Design, samples: np.ndarray) -> np.ndarray:
    """Return what the golden model says for samples, real numbers, (n, outputs) float64.

    Whether they are like those that calibrated the design is not told: what that costs is measured.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnlikeCalibration)
        raw = design.raw_samples(samples)
    return design.values(golden.run(design, raw).logits)


# -- judging -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A design and how it was judged."""

    design: Design
    how: str
    found: Agreement


def judge(
    network: Network,
    samples: np.ndarray,
    chosen: Split,
    convert: Convert,
    progress: Callable[[str], None] = lambda said: None,
) -> Judged:
    """Convert, and measure what that loses on the samples that judge.

    Parameters
    ----------
    network
        In floats.
    samples
        (n, ...) all that there are.
    chosen
        Which of them calibrate and which judge.
    convert
        From calibration samples to a design.
    """
    design = convert(samples[chosen.base])
    if not chosen.parts:
        judges = samples[chosen.judges]
        progress(f"comparing {len(judges)} answers")
        exact, said = network.answers(judges), outputs(design, judges)
        found = compare(network, exact, said, judges, chosen.groups_of(chosen.judges))
        return Judged(design=design, how=chosen.how, found=found)
    floats, integers = [], []
    for number, part in enumerate(chosen.parts, 1):
        progress(f"judging part {number} of {len(chosen.parts)}")
        floats.append(network.answers(samples[part]))
        integers.append(outputs(convert(samples[chosen.without(part)]), samples[part]))
    judges = np.concatenate(chosen.parts)
    exact, said = np.concatenate(floats), np.concatenate(integers)
    found = compare(network, exact, said, samples[judges], chosen.groups_of(judges))
    return Judged(design=design, how=chosen.how, found=found)


HOW = {
    LEFT_OVER: "that the calibration left over",
    KEPT_BACK: "kept back from the calibration",
    IN_TURN: "each answered by a conversion that had not seen it",
    SEEN: "the very ones that it was calibrated on: give more for a figure to rely on",
}


def sentence(how: str, found: Agreement) -> str:
    """Return the figure in words."""
    comma = "," if how in (IN_TURN, SEEN) else ""
    of = "" if found.groups is None else f" of {found.groups:,} groups"
    samples = f"{found.samples:,} samples{of}{comma} {HOW[how]}"
    if found.differing is None:
        explained = "" if found.r2 is None else f", r2 {found.r2:.4f}, correlation "
        explained += "" if found.correlation is None else f"{found.correlation:.4f}"
        return (
            f"the outputs differ from the float network's by {found.rmse:.4g}, root mean square "
            f"(95 % interval {found.rmse_low:.4g} to {found.rmse_high:.4g}){explained}; {samples}"
        )
    low, high = (100 * end for end in (found.low or 0.0, found.high or 0.0))
    return (
        f"{100 * (1 - found.differing):.2f} % of the answers are the float network's (95 % "
        f"interval {low:.2f} to {high:.2f}); {samples}"
    )


def record(how: str, found: Agreement) -> dict[str, Any]:
    """Return the verdict as JSON values."""
    return {"how": how, **vars(found), "agreement": found.agreement, "said": sentence(how, found)}


def said_of(design: Design) -> list[str]:
    """Return the verdict that a design's file keeps, in words; nothing where there is none."""
    kept = design.provenance.get("verdict")
    if not isinstance(kept, dict):
        return []
    cure = kept.get("cure")
    more = cure.get("said") if isinstance(cure, dict) else None
    said = [kept.get("said"), *(more if isinstance(more, list) else [])]
    return said if all(isinstance(line, str) for line in said) else []
