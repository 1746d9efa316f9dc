"""What one output of a network states of itself."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np

from .links import AMONG, LINKS, ONE_BY_ONE, logit_of
from .measures import deviation

Figures = dict[str, Any]  # JSON values by name; a share lies in 0..1, None where it is not defined
Answers = dict[str, np.ndarray]  # by name, a row a sample


@dataclass(frozen=True, kw_only=True)
class Output(ABC):
    """An output of the model: a run of the read-out's logits, and what they mean.

    Parameters
    ----------
    shape
        Of the values that the logits stand for, without the batch axis; elements in C order.
    name
        The key or index that ``forward`` returns it under; empty where it is the only one.
    start
        Of its logits among those of the read-out.
    link
        Function of the values that ``forward`` ends in, a key of :data:`.links.LINKS`; the host
        computes it.
    axis
        Of ``shape``, over which a softmax or an argmax goes.
    decides
        ``forward`` ends in the decision itself: an argmax, or a comparison.
    top
        ``forward`` returns so many of the best along ``axis``, the best first: their values, or
        their places where it ``decides``; 0 for all.
    names
        Of the classes, or of the values.
    guessed
        The kind was not said but guessed; labels may say that it is another, see :meth:`fitting`.
    """

    kind: ClassVar[str]
    chief: ClassVar[str]  # of the figures, the one by which designs are compared
    shape: tuple[int, ...]
    name: str = ""
    start: int = 0
    link: str = ""
    axis: int = 0
    decides: bool = False
    top: int = 0
    names: tuple[str, ...] = ()
    guessed: bool = False

    def __post_init__(self) -> None:
        if self.link not in LINKS:
            raise ValueError(f"there is no link {self.link!r} ({', '.join(filter(None, LINKS))})")
        if not 0 <= self.axis < max(1, len(self.shape)):
            raise ValueError(f"an output of shape {self.shape} has no axis {self.axis}")
        most = self.shape[self.axis] if self.shape else 1
        if not 0 <= self.top <= most:
            raise ValueError(f"{self.what} has no best {self.top} of {most}")
        wanted = self.named
        if self.names and wanted is not None and len(self.names) != wanted:
            raise ValueError(
                f"{self.what} has {wanted} {self.names_of}, and {len(self.names)} names were given"
            )
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"two {self.names_of} of {self.what} have one name")
        reason = self.unfit(self.shape)
        if reason:
            raise ValueError(f"{self.what} {reason}")

    # -- what it is ------------------------------------------------------------------------------

    names_of: ClassVar[str] = "classes"

    @property
    def what(self) -> str:
        """The output in words."""
        return f"the output {self.name!r}" if self.name else "the output"

    @property
    def size(self) -> int:
        """Number of logits."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def named(self) -> int | None:
        """How many names there must be; ``None`` for any number."""
        return None

    @classmethod
    @abstractmethod
    def unfit(cls, shape: tuple[int, ...]) -> str:
        """Return why an output of this shape is none of the kind, "" where it may be one."""

    @abstractmethod
    def said(self) -> str:
        """Return in a few words what the output gives."""

    # -- what the host makes of logits -----------------------------------------------------------

    def returned(self, values: np.ndarray) -> np.ndarray:
        """Return what ``forward`` returns before it decides, (n, *shape), of real ``values``.

        Where it returns the ``top`` best alone, there are so many along the axis.
        """
        found = self.linked(values)
        if not self.top or self.decides or not self.shape:
            return found
        best = -np.sort(-found, axis=self.axis + 1)
        return best.take(range(self.top), self.axis + 1)

    def linked(self, values: np.ndarray) -> np.ndarray:
        """Return what the link makes of real ``values``, (n, *shape)."""
        return LINKS[self.link](values, self.axis + 1)

    @property
    def is_probability(self) -> bool:
        return self.link in AMONG or self.link in ONE_BY_ONE

    def probabilities(self, values: np.ndarray) -> np.ndarray:
        """Return probabilities, (n, *shape) in 0..1, where the link makes some."""
        found = self.linked(values)
        return np.exp(found) if self.link.startswith("log_") else found

    @abstractmethod
    def answers(self, values: np.ndarray, given: np.ndarray | None = None) -> Answers:
        """Return what a user asks for.

        Parameters
        ----------
        values
            (n, *shape) float64, what the logits stand for in real numbers.
        given
            (n, ...) the samples in real numbers; only a reconstruction looks at them.

        Returns
        -------
        dict
            ``label`` where it decides; ``probability``, ``output`` or ``value``, ``score``,
            ``error``.
        """

    def decisions(self, values: np.ndarray, given: np.ndarray | None = None) -> np.ndarray | None:
        """Return the decisions, (n, ...) int64; ``None`` for a kind that decides nothing."""
        return self.answers(values, given).get("label")

    def decided(self, values: np.ndarray) -> np.ndarray:
        """Return the numbers by which ``forward`` says what it decides."""
        found = self.decisions(values)
        assert found is not None, "what decides has decisions"
        return found

    def with_threshold(self, value: float) -> Self:
        """Return the output with a threshold of what ``forward`` returns."""
        raise self.without_threshold()

    def without_threshold(self) -> ValueError:
        """Return the refusal of a threshold."""
        return ValueError(f"{self.what} gives {self.said()}, for which there is no threshold")

    # -- against what is true --------------------------------------------------------------------

    @abstractmethod
    def truth(self, labels: np.ndarray, network: str) -> np.ndarray:
        """Return labels, checked, in the shape that :meth:`figures` takes.

        Raises
        ------
        ValueError
            With what labels of this kind are.
        """

    @abstractmethod
    def figures(
        self, values: np.ndarray, truth: np.ndarray, given: np.ndarray | None = None
    ) -> Figures:
        """Return what fits the kind of how right the answers are; the chief one first."""

    def without_labels(self, values: np.ndarray, given: np.ndarray | None = None) -> Figures:
        """Return what can be said of the answers without labels."""
        label = self.decisions(values, given)
        if label is None or label.ndim != 1:
            return {}
        return {"answers": np.bincount(label, minlength=self.named or 2).tolist()}

    # -- against another network -----------------------------------------------------------------

    def disagreement(
        self, values: np.ndarray, others: np.ndarray, given: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Return of each sample the share of decisions that differ, (n,) in 0..1.

        ``None`` where nothing is decided.

        Parameters
        ----------
        values, others
            (n, *shape) of two networks, of integers and of floats for instance.
        """
        own, other = self.decisions(values, given), self.decisions(others, given)
        if own is None or other is None:
            return None
        return (own != other).reshape(len(own), -1).mean(axis=1)

    def agreement(
        self, values: np.ndarray, others: np.ndarray, given: np.ndarray | None = None
    ) -> Figures:
        """Return how far two networks say the same: ``agreement``, or figures of a deviation."""
        apart = self.disagreement(values, others, given)
        found: Figures = {}
        if apart is not None:
            found["agreement"] = 1 - float(apart.mean()) if len(apart) else None
        if apart is None:
            found |= deviation(self.returned(values), self.returned(others))
        return found

    # -- one file --------------------------------------------------------------------------------

    def record(self) -> dict[str, Any]:
        """Return the output as JSON values."""
        found: dict[str, Any] = {"kind": self.kind}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "shape" or value != each.default:
                found[each.name] = list(value) if isinstance(value, tuple) else value
        return found

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Output":
        """Return the output of JSON values.

        Raises
        ------
        TypeError, ValueError
            Where one is not of the kind that its field takes.
        """
        known = {each.name: each for each in fields(cls)}
        given: dict[str, Any] = {}
        for key, value in record.items():
            if key == "kind":
                continue
            if key not in known:
                raise ValueError(f"an output of kind {cls.kind} has no {key!r}")
            given[key] = _read(key, value, known[key].default)
        return cls(**given)


def _read(key: str, value: Any, default: Any) -> Any:
    """Return a value of a record as its field takes it."""
    if key == "shape":
        if not isinstance(value, list) or any(type(n) is not int or n < 0 for n in value):
            raise TypeError(f"a shape is a list of whole numbers, not {value!r}")
        return tuple(value)
    if isinstance(default, tuple):
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise TypeError(f"{key} of an output is a list of words, not {value!r}")
        return tuple(value)
    if isinstance(default, bool):
        wanted: tuple[type, ...] = (bool,)
    elif isinstance(default, str):
        wanted = (str,)
    elif isinstance(default, int):
        wanted = (int,)
    else:
        wanted = (float, int)
    if type(value) not in wanted and not (value is None and default is None):
        raise TypeError(f"{key} of an output is no {wanted[0].__name__}: {value!r}")
    if float in wanted and value is not None and not np.isfinite(value):
        raise ValueError(f"{key} of an output must be finite, not {value!r}")
    return value


def logit_threshold(output: Output, value: float) -> float:
    """Return the threshold of the logit for one of what ``forward`` returns."""
    try:
        return logit_of(value, output.link)
    except ValueError as fault:
        raise ValueError(f"no threshold {value:g} of {output.what}: {fault}") from None


def whole(labels: np.ndarray, what: str) -> np.ndarray:
    """Return labels as int64, or raise; floats must be whole numbers."""
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all() or (labels != np.rint(labels)).any():
            raise ValueError(f"labels must be {what}, whole numbers, and some are not")
    elif labels.dtype.kind not in "biu":
        raise ValueError(f"labels must be {what}, not {labels.dtype}")
    return labels.astype(np.int64)


def ends(labels: np.ndarray) -> str:
    """Return ``1..10``, the least and the greatest label."""
    return f"{labels.min()}..{labels.max()}"
