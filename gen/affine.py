"""Affine values: what stands between two populations while a model is read.

Everything linear in a model (layers, normalisation, scaling, reshapes, sums) is folded into
value = bias + Σ_k form_k(population_k), with forms that stay sparse as long as they can.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

LARGEST_MATRIX = 2**27  # elements (1 GiB of float64); what needs more was not meant to be dense


@dataclass(frozen=True, eq=False)
class Gather:
    """y_i = scale_i x_index(i): a permutation, a selection or a scaling of elements.

    Parameters
    ----------
    index
        (n_out,) int64, each in 0..n_in-1.
    scale
        (n_out,) float64.
    n_in
        Number of source elements.
    """

    index: np.ndarray
    scale: np.ndarray
    n_in: int

    @property
    def n_out(self) -> int:
        return len(self.index)

    def dense(self) -> "Matrix":
        """Return the same form as a matrix.

        Raises
        ------
        ValueError
            If the matrix would be unreasonably large.
        """
        check_size(self.n_out, self.n_in)
        matrix = np.zeros((self.n_out, self.n_in))
        matrix[np.arange(self.n_out), self.index] = self.scale
        return Matrix(matrix)


@dataclass(frozen=True, eq=False)
class Matrix:
    """y = W x; W : (n_out, n_in) float64."""

    matrix: np.ndarray

    @property
    def n_in(self) -> int:
        return self.matrix.shape[1]

    @property
    def n_out(self) -> int:
        return self.matrix.shape[0]

    def dense(self) -> "Matrix":
        return self


Form = Gather | Matrix


def check_size(n_out: int, n_in: int) -> None:
    """Refuse a matrix of more than :data:`LARGEST_MATRIX` elements."""
    if n_out * n_in > LARGEST_MATRIX:
        raise ValueError(
            f"a dense matrix of {n_out} x {n_in} is too large (at most {LARGEST_MATRIX} elements)"
        )


def scaling(scale: np.ndarray) -> Gather:
    """y_i = scale_i x_i."""
    return Gather(np.arange(scale.size), scale.astype(np.float64), scale.size)


def selection(index: np.ndarray, n_in: int) -> Gather:
    """y_i = x_index(i), ``index`` of any shape."""
    return Gather(index.ravel(), np.ones(index.size), n_in)


def compose(outer: Form, inner: Form) -> Form:
    """Return outer(inner(x))."""
    if isinstance(outer, Gather):
        if isinstance(inner, Gather):
            scale = outer.scale * inner.scale[outer.index]
            return Gather(inner.index[outer.index], scale, inner.n_in)
        return Matrix(outer.scale[:, None] * inner.matrix[outer.index])
    if isinstance(inner, Gather):
        check_size(outer.n_out, inner.n_in)
        columns = np.zeros((inner.n_in, outer.n_out))
        np.add.at(columns, inner.index, (outer.matrix * inner.scale).T)
        return Matrix(columns.T)
    return Matrix(outer.matrix @ inner.matrix)


def total(a: Form, b: Form) -> Form:
    """Return a(x) + b(x)."""
    if isinstance(a, Gather) and isinstance(b, Gather) and np.array_equal(a.index, b.index):
        return replace(a, scale=a.scale + b.scale)
    return Matrix(a.dense().matrix + b.dense().matrix)


def applied(form: Form, x: np.ndarray) -> np.ndarray:
    """Return form(x) of one vector, (n_in,) to (n_out,)."""
    if isinstance(form, Gather):
        return form.scale * x[form.index]
    return form.matrix @ x


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine:
    """bias + Σ form_k(population_k), for one sample.

    Parameters
    ----------
    shape
        Without the batch axis; the elements are in C order.
    terms
        Form by population name.
    bias
        (size,) float64.
    origin
        The user's name of the last layer with weights on the way here; empty if there is none.
    """

    shape: tuple[int, ...]
    terms: Mapping[str, Form]
    bias: np.ndarray
    origin: str = ""

    @classmethod
    def of(cls, population: str, shape: tuple[int, ...], origin: str = "") -> "Affine":
        """Return the population itself."""
        size = int(np.prod(shape))
        form = selection(np.arange(size), size)
        return cls(shape=shape, terms={population: form}, bias=np.zeros(size), origin=origin)

    @property
    def size(self) -> int:
        return len(self.bias)

    def through(self, form: Form, shape: tuple[int, ...], origin: str = "") -> "Affine":
        """Return form(self), seen as ``shape``."""
        return Affine(
            shape=shape,
            terms={name: compose(form, term) for name, term in self.terms.items()},
            bias=applied(form, self.bias),
            origin=origin or self.origin,
        )

    def scaled(self, scale: np.ndarray) -> "Affine":
        """Return scale·self; ``scale`` broadcasts to the shape."""
        return self.through(scaling(np.broadcast_to(scale, self.shape).ravel()), self.shape)

    def shifted(self, shift: np.ndarray) -> "Affine":
        """Return self + shift; ``shift`` broadcasts to the shape."""
        return replace(self, bias=self.bias + np.broadcast_to(shift, self.shape).ravel())

    def reshaped(self, shape: tuple[int, ...]) -> "Affine":
        return replace(self, shape=shape)

    def rearranged(self, index: np.ndarray) -> "Affine":
        """Return self with element ``index[...]`` at each place; the result has index's shape."""
        return self.through(selection(index, self.size), index.shape)

    def broadcast(self, shape: tuple[int, ...]) -> "Affine":
        if shape == self.shape:
            return self
        return self.rearranged(np.broadcast_to(self.places, shape))

    def plus(self, other: "Affine") -> "Affine":
        """Return self + other, both of the same shape."""
        terms = dict(self.terms)
        for name, form in other.terms.items():
            terms[name] = total(terms[name], form) if name in terms else form
        origin = self.origin or other.origin
        return replace(self, terms=terms, bias=self.bias + other.bias, origin=origin)

    @property
    def places(self) -> np.ndarray:
        """Each element's own number, in the shape; what a permutation permutes."""
        return np.arange(self.size).reshape(self.shape)
