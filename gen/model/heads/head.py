"""The head of a network: its outputs by name, each of a kind."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from .classes import Classes, is_one_hot
from .labels import Labels
from .output import Figures, Output
from .pixels import Pixels
from .reconstruction import Reconstruction
from .threshold import Threshold
from .values import Values

KINDS: dict[str, type[Output]] = {
    kind.kind: kind for kind in (Classes, Threshold, Labels, Values, Reconstruction, Pixels)
}


def output_of(kind: str, **settings: Any) -> Output:
    """Return an output of a kind by its name.

    Raises
    ------
    ValueError
        If there is no such kind, or the output's shape is none of it.
    """
    if kind not in KINDS:
        raise ValueError(f"an output is one of {', '.join(KINDS)}, not {kind!r}")
    return KINDS[kind](**settings)


def guessed(shape: tuple[int, ...], kind: str = "", **settings: Any) -> Output:
    """Return an output of the kind that its shape and its link suggest, if not of a ``kind``.

    Planes beside other outputs are values, as a detector's are.
    """
    link, size = settings.get("link", ""), int(np.prod(shape))
    known = "softmax" in link or settings.get("decides", False)
    if kind:
        known = False
    elif size == 1:
        kind = "threshold"
    elif max(shape) < size:
        kind = "values" if settings.get("name") and not known else "pixels"
    else:
        kind = "labels" if link in ("sigmoid", "log_sigmoid") else "classes"
    return output_of(kind, shape=shape, guessed=not known, **settings)


def recast(output: Output, kind: str) -> Output:
    """Return an output that is of another kind, and not guessed."""
    if kind not in KINDS:
        raise ValueError(f"an output is one of {', '.join(KINDS)}, not {kind!r}")
    if kind == output.kind:
        return replace(output, guessed=False)
    kept: dict[str, Any] = {each.name: getattr(output, each.name) for each in fields(Output)}
    kept["guessed"] = False
    return KINDS[kind](**kept)


def fitting(output: Output, labels: np.ndarray) -> Output:
    """Return an output whose kind was guessed as labels say that it is.

    Fractions are values; 0 and 1 for each logit are labels; a class for each pixel is one.
    """
    if not output.guessed or not len(labels):
        return output
    kind = _kind_of(output, labels)
    return output if kind is None or KINDS[kind].unfit(output.shape) else recast(output, kind)


def _kind_of(output: Output, labels: np.ndarray) -> str | None:
    numbers = labels.dtype.kind in "biuf"
    if not numbers or output.kind == Reconstruction.kind:
        return None
    one_each = labels.size == len(labels)
    whole = labels.dtype.kind != "f" or bool((labels == np.rint(labels)).all())
    two = whole and len(np.unique(labels)) <= 2
    if output.size == 1:
        if not one_each:
            return None
        return Threshold.kind if two else Values.kind
    planes = max(output.shape) < output.size
    if one_each:
        return None if planes else Classes.kind
    if labels.size == len(labels) * output.size:
        binary = whole and labels.min() >= 0 and labels.max() <= 1
        if planes:
            return Pixels.kind if binary and output.shape[output.axis] == 1 else Values.kind
        if binary and output.kind == Classes.kind and is_one_hot(labels):
            return Classes.kind
        return Labels.kind if binary else Values.kind
    places = output.size // output.shape[output.axis]
    return Pixels.kind if planes and labels.size == len(labels) * places else None


@dataclass(frozen=True, kw_only=True)
class Head:
    """The outputs of a network.

    Parameters
    ----------
    outputs
        In the order of ``forward``; runs of logits may be the same, where it returns one value in
        two forms.
    """

    outputs: tuple[Output, ...]

    def __post_init__(self) -> None:
        if not self.outputs:
            raise ValueError("a network needs an output")
        names = [output.name for output in self.outputs]
        if len(set(names)) != len(names):
            raise ValueError("two outputs have one name")

    def __iter__(self) -> Iterator[Output]:
        return iter(self.outputs)

    def __getitem__(self, name: str) -> Output:
        found = next((output for output in self.outputs if output.name == name), None)
        if found is None:
            names = ", ".join(repr(output.name) for output in self.outputs)
            raise ValueError(f"there is no output {name!r}; there are {names}")
        return found

    @property
    def size(self) -> int:
        """Logits that the outputs reach over."""
        return max(output.start + output.size for output in self.outputs)

    @property
    def is_single(self) -> bool:
        return len(self.outputs) == 1

    @property
    def chief(self) -> Output:
        """The output that figures speak of where there is room for one: the first that decides."""
        deciding = (o for o in self.outputs if not isinstance(o, Values))
        return next(deciding, self.outputs[0])

    def said(self) -> str:
        """Return in a few words what the network gives."""
        if self.is_single:
            return self.outputs[0].said()
        return "; ".join(f"{output.name}: {output.said()}" for output in self.outputs)

    def part(self, values: np.ndarray, output: Output) -> np.ndarray:
        """Return the values of one output, (n, *its shape), out of (n, logits)."""
        rows = values.reshape(len(values), -1)
        return rows[:, output.start : output.start + output.size].reshape(-1, *output.shape)

    def with_output(self, output: Output) -> "Head":
        """Return the head with another output of the same name."""
        self[output.name]
        return Head(outputs=tuple(output if o.name == output.name else o for o in self.outputs))

    def agreement(
        self, values: np.ndarray, others: np.ndarray, given: np.ndarray | None = None
    ) -> Figures:
        """Return how far two networks say the same, by output where there are several.

        Parameters
        ----------
        values, others
            (n, logits) in real numbers.
        given
            (n, ...) samples in real numbers, for reconstructions.
        """
        found = {
            o.name: o.agreement(self.part(values, o), self.part(others, o), given) for o in self
        }
        return found[self.outputs[0].name] if self.is_single else found

    # -- one file --------------------------------------------------------------------------------

    def record(self) -> list[dict[str, Any]]:
        """Return the head as JSON values."""
        return [output.record() for output in self.outputs]

    @classmethod
    def of_record(cls, records: Sequence[Mapping[str, Any]]) -> "Head":
        """Return the head of JSON values.

        Raises
        ------
        TypeError, ValueError
            Where they are no head.
        """
        found = []
        for record in records:
            if not isinstance(record, dict) or record.get("kind") not in KINDS:
                raise ValueError(f"there is no such kind of output: {record!r:.80}")
            found.append(KINDS[record["kind"]].of_record(record))
        return cls(outputs=tuple(found))


def default_head(shape: tuple[int, ...]) -> Head:
    """Return the head of a read-out of which nothing else is known."""
    return Head(outputs=(guessed(shape),))
