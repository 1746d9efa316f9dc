"""What the outputs of a model are: what the user says, what labels say, what samples show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..gen.design.design import Design
from ..gen.model.heads import KINDS, Head, Output, Reconstruction, Threshold
from ..gen.model.heads.head import fitting, recast
from ..gen.model.heads.measures import best_threshold, deviation
from ..gen.model.network import Network
from ..sim import golden
from .dataset import Dataset

CHOSEN = "auto"  # a threshold that is chosen on labelled samples
HEALTHY = 99.0  # percentile of the errors of usual samples above which a sample is unusual
ALIKE = 0.5  # share of the variance of samples that a reconstruction explains at least
LOOKED_AT = 256  # samples that show whether an output is a reconstruction


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """What the user says of outputs, each by the output's name, "" for the only one.

    Parameters
    ----------
    kinds
        Keys of :data:`signfire.gen.model.heads.KINDS`.
    thresholds
        Of what ``forward`` returns, 0.5 behind a sigmoid for instance; or ``auto``: chosen on
        labelled calibration samples.
    classes
        Names of the classes.
    """

    kinds: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, float | str] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def parse_head(
    kinds: Sequence[str], thresholds: Sequence[str], classes: Sequence[str]
) -> HeadOptions:
    """Read ``values``, ``box=values``; ``0.4``, ``auto``, ``cls=0.4``; ``good,bad``."""

    def split(option: str, words: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for word in words:
            name, equals, value = word.partition("=")
            name, value = (name, value) if equals else ("", word)
            if name in found:
                raise ValueError(f"{option} is given twice for {name or 'the output'!r}")
            found[name] = value
        return found

    numbers: dict[str, float | str] = {}
    for name, word in split("--threshold", thresholds).items():
        try:
            numbers[name] = CHOSEN if word == CHOSEN else float(word)
        except ValueError:
            raise ValueError(f"--threshold takes a number or {CHOSEN}, not {word!r}") from None
        if word != CHOSEN and not np.isfinite(float(word)):
            raise ValueError(f"--threshold takes a finite number, not {word}")
    said = split("--head", kinds)
    for kind in said.values():
        if kind not in KINDS:
            raise ValueError(f"--head takes one of {', '.join(KINDS)}, not {kind!r}")
    return HeadOptions(
        kinds=said,
        thresholds=numbers,
        classes={
            name: tuple(part.strip() for part in words.split(","))
            for name, words in split("--classes", classes).items()
        },
    )


def _named(head: Head, said: Mapping[str, object], option: str) -> None:
    """Refuse options of outputs that there are not."""
    for name in said:
        if name == "" and not head.is_single:
            names = ", ".join(output.name for output in head)
            raise ValueError(f"{option} must name one of the outputs {names}: {option} NAME=...")
        if name != "":
            head[name]


def _of(said: Mapping[str, object], output: Output, head: Head) -> object | None:
    return said.get(output.name, said.get("") if head.is_single else None)


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A network whose outputs are settled, and what the user should know of that."""

    network: Network
    notes: tuple[str, ...]


def settle(network: Network, options: HeadOptions, data: Dataset) -> Settled:
    """Settle what the outputs of a network are, before it is converted.

    What the user says stands; else the labels of the calibration samples decide, where there are
    some, and an output that follows the sample is a reconstruction of it.
    """
    head, notes = network.head, []
    for said, option in (
        (options.kinds, "--head"),
        (options.thresholds, "--threshold"),
        (options.classes, "--classes"),
    ):
        _named(head, said, option)
    for output in network.head:
        kind = _of(options.kinds, output, head)
        found = output
        if isinstance(kind, str):
            found = recast(output, kind)
        elif output.guessed:
            found, note = _shown(network, output, data)
            notes += note
        head = head.with_output(_with_names(found, options, head, data, notes))
    for output in head:
        threshold = _of(options.thresholds, output, head)
        if isinstance(threshold, float):
            head = head.with_output(output.with_threshold(threshold))
    return Settled(network=replace(network, outputs=head.outputs), notes=tuple(notes))


def _shown(network: Network, output: Output, data: Dataset) -> tuple[Output, list[str]]:
    """Return an output as samples and labels show it, and what the user should know."""
    labels = data.labels_of(output)
    if output.size == network.input.size and not output.decides:
        some = data.x[:LOOKED_AT]
        values = network.head.part(network.answers(some), output)
        explained = deviation(output.returned(values), some)["r2"]
        if explained is not None and explained > ALIKE:
            return replace(recast(output, Reconstruction.kind), guessed=True), []
    if labels is None:
        return output, []
    found = fitting(output, labels)
    try:
        found.truth(labels, network.name)
    except ValueError as reason:
        return output, [f"labels of {data.path} are not used: {reason}"]
    return replace(found, guessed=False), []


def _with_names(
    output: Output, options: HeadOptions, head: Head, data: Dataset, notes: list[str]
) -> Output:
    said = _of(options.classes, output, head)
    if isinstance(said, tuple):
        return replace(output, names=said)
    if not data.names or output.start or output.kind in ("values", "reconstruction"):
        return output
    if output.named != len(data.names):
        notes.append(
            f"names of classes are not taken over: {data.path} names {len(data.names)}, and "
            f"{output.what} has {output.named}"
        )
        return output
    return replace(output, names=data.names)


def with_thresholds(design: Design, options: HeadOptions, data: Dataset) -> Design:
    """Return a design whose thresholds are chosen on what its integers answer.

    That of a reconstruction is the 99th percentile of the errors of usual samples, all that are
    not labelled 1.
    """
    head = design.head
    asked = [o for o in head if _of(options.thresholds, o, head) == CHOSEN]
    errors = [o for o in head if isinstance(o, Reconstruction) and o.threshold is None]
    if not asked and not errors:
        return design
    values = design.values(golden.run(design, design.raw_samples(data.x)).logits)
    for output in dict.fromkeys((*asked, *errors)):
        truth = None
        if data.labels_of(output) is not None:
            truth = data.truth(output, design.name)
        part = head.part(values, output)
        if isinstance(output, Reconstruction):
            found = output.errors(part, data.x)
            usual = found if truth is None or not (truth == 0).any() else found[truth == 0]
            threshold = float(np.percentile(usual, HEALTHY))
            head = head.with_output(replace(output, threshold=max(threshold, 1e-300)))
            continue
        if not isinstance(output, Threshold):
            raise ValueError(
                f"--threshold auto chooses between yes and no of one logit, and {output.what} "
                f"gives {output.said()}"
            )
        if truth is None:
            raise ValueError(
                f"--threshold auto needs labels 0 and 1 in {data.path} (array y, or --labels NAME)"
            )
        threshold = best_threshold(part.reshape(len(part)), truth == 1)
        head = head.with_output(replace(output, threshold=threshold))
    return design.with_head(head)


def rethresholded(design: Design, words: Sequence[str]) -> Design:
    """Return a design with thresholds as ``--threshold`` gives them, in place of its own."""
    said = parse_head((), words, ()).thresholds
    _named(design.head, said, "--threshold")
    head = design.head
    for output in head:
        threshold = _of(said, output, head)
        if isinstance(threshold, str):
            raise ValueError("--threshold auto needs labelled samples (signfire convert has it)")
        if threshold is not None:
            assert isinstance(threshold, float)
            head = head.with_output(output.with_threshold(threshold))
    return design.with_head(head)


def notes_of(head: Head) -> list[str]:
    """Return what a user should know of outputs: what was taken off, and what was guessed."""
    found = []
    for output in head:
        ends = [output.link] * bool(output.link) + ["the decision"] * output.decides
        gives = output.said()
        line = f"{output.what[0].upper()}{output.what[1:]} gives {gives}"
        if ends:
            line += f"; {' and '.join(ends)} at the end of forward is left to the host"
        if output.guessed and output.link not in ("softmax", "log_softmax"):
            others = [k for k in KINDS if k != output.kind and not KINDS[k].unfit(output.shape)]
            line += f" (a guess; --head {', '.join(others)} says otherwise)"
        found.append(line)
    return found
