"""What a kind of linear map states of itself."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np

from .places import WindowPlaces
from .planes import Layout, Planes


class LinearMap(ABC):
    """A linear map from one population to an operand; its numbers may be floats or integers.

    Members
    -------
    in_shape, out_shape : tuple of int, without the batch axis
    channels : number of output channels; each has one quantisation scale. The channel axis is the
        first of ``out_shape``.
    weights : (channels, fan_in) what is quantised
    kind : its name in a Design
    groups : channels fall into so many equal runs, each with patches of its own
    convolves : the weights slide over planes
    fixed : the coefficients are plain factors (a sum, a mean), not trained weights
    """

    kind = ""
    convolves = False
    fixed = False
    groups = 1
    in_shape: tuple[int, ...]

    @property
    @abstractmethod
    def out_shape(self) -> tuple[int, ...]:
        """Of the result, without the batch axis."""

    @property
    def channels(self) -> int:
        return self.out_shape[0]

    @property
    @abstractmethod
    def weights(self) -> np.ndarray:
        """(channels, fan_in) what is quantised."""

    @abstractmethod
    def with_weights(self, weights: np.ndarray) -> Self:
        """Return the same map with other ``weights``, (channels, fan_in)."""

    @abstractmethod
    def apply(self, x: np.ndarray) -> np.ndarray:
        """Map a batch: (n, *in_shape) to (n, *out_shape)."""

    def summed(self, x: np.ndarray) -> np.ndarray:
        """Return :meth:`apply` of whole floats, whose sums are exact in whatever order.

        ``x`` and ``weights`` are of one type, in which no sum of terms is rounded. A kind may lay
        the result out in another order of memory.
        """
        return self.apply(x)

    def among(self, inputs: np.ndarray) -> "LinearMap | None":
        """Return the map of some elements of the source, given side by side, all others being 0.

        Parameters
        ----------
        inputs
            (k,) their numbers, int64.

        Returns
        -------
        LinearMap
            ``None`` where the elements have places, as of every kind that does not say otherwise.
        """
        return None

    @abstractmethod
    def patches(self, x: np.ndarray) -> np.ndarray:
        """Return (groups, rows, fan_in): every vector of ``x`` that meets the weights of a group.

        Rows run over samples, then over positions of ``out_shape``.
        """

    @property
    def sees(self) -> Layout | None:
        """How the source is seen as planes; ``None`` where its neurons have no place."""
        return None

    @property
    def places(self) -> WindowPlaces | None:
        """Where its windows lie; ``None`` where it reads whole samples."""
        return None

    @property
    def out_planes(self) -> Planes | None:
        """(channels, height, width) of the result; ``None`` where it reads no windows."""
        return None

    @classmethod
    def gathered(
        cls,
        index: np.ndarray,
        scale: np.ndarray,
        out: Planes,
        in_shape: tuple[int, ...],
        layout: Layout,
    ) -> "LinearMap | None":
        """Return the elements y_i = scale_i x_index(i) as a map of this kind.

        Parameters
        ----------
        index, scale
            (n_out,) int64 and float64; index -1 stands for 0.
        out
            Shape of the result, (channels, height, width).
        in_shape, layout
            Of the source, and how it is seen as planes.

        Returns
        -------
        LinearMap
            ``None`` where the elements are none, as of every kind that does not say otherwise.
        """
        return None

    def followed(
        self,
        outer: "LinearMap",
        merged: Callable[["LinearMap", "LinearMap"], "LinearMap"],
    ) -> "LinearMap | None":
        """Return outer(self(x)) as one map, where this kind takes in what reads its planes.

        Parameters
        ----------
        outer
            Reads the planes that this map gives.
        merged
            Makes one map of an outer and an inner one, or raises.

        Returns
        -------
        LinearMap
            ``None`` where the kind takes in nothing.
        """
        return None

    @property
    def apart(self) -> bool:
        """Whether each output channel reads one channel of the source: depthwise, pooling."""
        return False

    @property
    def picked(self) -> bool:
        """Whether each output channel reads one channel, and not that of its own number."""
        return False

    @property
    def runs(self) -> int:
        """Runs of channels, of which outputs read one each; 1 where each reads its own."""
        return 1

    @property
    def repeats(self) -> int:
        """Inputs that share each weight, one after the other: the pixels of a sum."""
        return 1

    @property
    def padded(self) -> bool:
        """Whether it reads beyond the planes."""
        return False

    @property
    def known(self) -> np.ndarray:
        """(channels,) bool, whether a channel reads anything."""
        return np.ones(self.channels, bool)

    @property
    def parallel_inputs(self) -> tuple[int, str]:
        """Inputs of an output that may be read at a time, or a divisor of them, and their name."""
        return self.weights.shape[1], "inputs"

    def columns(self, *, is_input: bool) -> np.ndarray:
        """Return the columns of ``weights`` in the order in which the inputs come, int64.

        ``is_input`` says that the source is the input, whose samples enter in their own order;
        others come in :func:`.planes.raster_order`.
        """
        return np.arange(self.weights.shape[1])

    @abstractmethod
    def first(self, outputs: int) -> "LinearMap":
        """Return a map of the first output channels alone."""

    def reading(self, in_shape: tuple[int, ...], layout: Layout) -> "LinearMap | None":
        """Return the map that reads the same planes in another order.

        Parameters
        ----------
        in_shape
            Of the source in the other order; in its order now, channels come first.
        layout
            How the source is seen as planes then.

        Returns
        -------
        LinearMap
            ``None`` where there is no such map.
        """
        return None

    @property
    def gain(self) -> np.ndarray:
        """(channels,) the greatest magnitude of an output where no input exceeds 1."""
        return np.abs(self.weights).sum(axis=1)

    @property
    @abstractmethod
    def sources_of_weights(self) -> np.ndarray:
        """(channels, fan_in) channel of the source population that each weight is for."""

    def parameters(self) -> dict[str, Any]:
        """Numbers beside ``weights`` that rebuild the map: JSON values."""
        return {}

    @classmethod
    @abstractmethod
    def rebuild(cls, weights: np.ndarray, parameters: Mapping[str, Any]) -> Self:
        """Undo ``weights`` and ``parameters``."""
