"""Affine values: what stands between two populations while a model is read.

Everything linear in a model (layers, normalisation, scaling, reshapes, sums) is folded into
value = bias + Σ_k form_k(population_k), with forms that stay sparse as long as they can. What
cannot be folded without more weights than it has is :class:`Entangled`, and the graph then lets
the inner value become a population.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..model.maps import Layout, LinearMap, Pooled, Window
from .planes import Entangled, across, behind, merged, seeing

SMALL_MATRIX = 2**20  # elements of a matrix that stands for a convolution
LARGEST_MATRIX = 2**27  # elements (1 GiB of float64); what needs more was not meant to be dense


@dataclass(frozen=True, eq=False)
class Gather:
    """y_i = scale_i x_index(i): a permutation, a selection or a scaling of elements.

    Parameters
    ----------
    index
        (n_out,) int64, each in 0..n_in-1, or -1 for an element that is 0.
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
        known = np.flatnonzero(self.index >= 0)
        matrix[known, self.index[known]] = self.scale[known]
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


@dataclass(frozen=True, eq=False)
class Turned:
    """y = outer(inner(x)): elements of a map of planes in an order that no map has.

    It waits for another order to undo it; else ``inner`` becomes a population of its own.
    """

    outer: Gather
    inner: LinearMap

    @property
    def is_small(self) -> bool:
        """Whether its matrix has a bearable size."""
        return self.outer.n_out * int(np.prod(self.inner.in_shape)) <= SMALL_MATRIX

    def dense(self) -> Matrix:
        """Return the same form as a matrix."""
        n_in = int(np.prod(self.inner.in_shape))
        found = self.inner.apply(np.eye(n_in).reshape(n_in, *self.inner.in_shape))
        known = self.outer.scale * (self.outer.index >= 0)
        return Matrix((found.reshape(n_in, -1)[:, self.outer.index] * known).T)


@dataclass(frozen=True, eq=False)
class Sum:
    """y = Σ part(x), parts that stay apart: each becomes a projection of its own."""

    parts: tuple["Form", ...]


Form = Gather | Matrix | Sum | Turned | LinearMap  # of maps, those of planes


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


def compose(outer: Form, inner: Form, shape: tuple[int, ...] = ()) -> Form:
    """Return outer(inner(x)); ``shape`` is that of the result, where it is known.

    Raises
    ------
    Entangled
        Where that has no form, or one with more weights than both have.
    """
    if isinstance(inner, Sum):
        return Sum(tuple(compose(outer, part, shape) for part in inner.parts))
    if isinstance(outer, Sum):
        return Sum(tuple(compose(part, inner, shape) for part in outer.parts))
    if isinstance(inner, Turned):
        if isinstance(outer, LinearMap):
            raise Entangled("its argument is no slice, padding or order of planes that is known")
        return compose(compose(outer, inner.outer), inner.inner, shape)
    if isinstance(outer, Turned):
        return compose(outer.outer, compose(outer.inner, inner), shape)
    if isinstance(outer, LinearMap) or isinstance(inner, LinearMap):
        return _compose_planes(outer, inner, shape)
    if isinstance(outer, Gather):
        known = outer.index >= 0
        if isinstance(inner, Gather):
            scale = outer.scale * np.where(known, inner.scale[outer.index], 0)
            return Gather(np.where(known, inner.index[outer.index], -1), scale, inner.n_in)
        return Matrix((outer.scale * known)[:, None] * inner.matrix[outer.index])
    if isinstance(inner, Gather):
        check_size(outer.n_out, inner.n_in)
        known = np.flatnonzero(inner.index >= 0)
        columns = np.zeros((inner.n_in, outer.n_out))
        np.add.at(columns, inner.index[known], (outer.matrix * inner.scale).T[known])
        return Matrix(columns.T)
    return Matrix(outer.matrix @ inner.matrix)


def _compose_planes(
    outer: Gather | Matrix | LinearMap,
    inner: Gather | Matrix | LinearMap,
    shape: tuple[int, ...],
) -> Form:
    """Return outer(inner(x)) where one of them is a map of planes."""
    if not isinstance(inner, LinearMap):
        raise Entangled("planes of values that no layout describes")
    if isinstance(outer, LinearMap):
        return merged(seeing(outer, inner), inner)
    if isinstance(outer, Matrix):
        return behind(outer.matrix, inner)
    if np.array_equal(outer.index, np.arange(outer.n_in)) and (outer.scale == 1).all():
        return inner
    if isinstance(inner, Pooled):
        scale = np.where(outer.index >= 0, outer.scale, 0.0)
        return replace(inner, matrix=scale[:, None] * inner.matrix[outer.index])
    planes = [Layout.of(shape).planes] if 1 < len(shape) <= 3 else []
    layout = Layout.of(inner.out_shape)
    for out in [*planes, layout.planes]:
        if int(np.prod(out)) == outer.n_out:
            found = Window.gathered(outer.index, outer.scale, out, inner.out_shape, layout)
            if found is not None:
                try:
                    return merged(found, inner)
                except Entangled:
                    continue
    return Turned(outer, across(inner))


def summed(a: Gather | Matrix, b: Gather | Matrix) -> Gather | Matrix:
    """Return a(x) + b(x), a matrix unless they gather the same."""
    if isinstance(a, Gather) and isinstance(b, Gather) and np.array_equal(a.index, b.index):
        return replace(a, scale=a.scale + b.scale)
    return Matrix(a.dense().matrix + b.dense().matrix)


def total(a: Form, b: Form, *, apart: bool) -> Form:
    """Return a(x) + b(x); ``apart`` keeps what differs in kind as separate parts."""
    if isinstance(a, Gather) and isinstance(b, Gather) and np.array_equal(a.index, b.index):
        return replace(a, scale=a.scale + b.scale)
    if not apart and isinstance(a, Gather | Matrix) and isinstance(b, Gather | Matrix):
        return summed(a, b)
    parts = [part for form in (a, b) for part in (form.parts if isinstance(form, Sum) else (form,))]
    return Sum(tuple(parts))


def is_nothing(form: Form) -> bool:
    """Whether a form is 0 of everything."""
    return isinstance(form, Gather) and not form.scale.any()


def applied(form: Form, x: np.ndarray) -> np.ndarray:
    """Return form(x) of one vector, (n_in,) to (n_out,)."""
    if isinstance(form, Gather):
        return np.where(form.index >= 0, form.scale * x[form.index], 0.0)
    if isinstance(form, Matrix):
        return form.matrix @ x
    if isinstance(form, Sum):
        first, *others = form.parts
        return sum((applied(part, x) for part in others), applied(first, x))
    if isinstance(form, Turned):
        return applied(form.outer, applied(form.inner, x))
    return form.apply(x.reshape(1, *form.in_shape)).reshape(-1)


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
            terms={name: compose(form, term, shape) for name, term in self.terms.items()},
            bias=applied(form, self.bias),
            origin=origin or self.origin,
        )

    def scaled(self, scale: np.ndarray | np.float64) -> "Affine":
        """Return scale·self; ``scale`` broadcasts to the shape."""
        return self.through(scaling(np.broadcast_to(scale, self.shape).ravel()), self.shape)

    def shifted(self, shift: np.ndarray | np.float64) -> "Affine":
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
            known = terms.get(name)
            apart = len(self.shape) > 1
            terms[name] = form if known is None else total(known, form, apart=apart)
            if known is not None and is_nothing(terms[name]):  # as in x + (round(x) - x)
                del terms[name]
        origin = self.origin or other.origin
        return replace(self, terms=terms, bias=self.bias + other.bias, origin=origin)

    @property
    def places(self) -> np.ndarray:
        """Each element's own number, in the shape; what a permutation permutes."""
        return np.arange(self.size).reshape(self.shape)
