"""Sparse and dense forms compose and add as their matrices do."""

from itertools import product

import numpy as np
import pytest

from signfire.gen.front.affine import (
    Affine,
    Form,
    Gather,
    Matrix,
    applied,
    compose,
    scaling,
    selection,
    total,
)

RANDOM = np.random.default_rng(5)
SIZE = 6
FORMS: dict[str, Form] = {
    "permutation": selection(RANDOM.permutation(SIZE), SIZE),
    "selection with repeats": Gather(np.array([3, 3, 0, 5, 0, 3]), RANDOM.normal(size=SIZE), SIZE),
    "scaling": scaling(RANDOM.normal(size=SIZE)),
    "matrix": Matrix(RANDOM.normal(size=(SIZE, SIZE))),
}
PAIRS = list(product(FORMS, FORMS))


@pytest.mark.parametrize("name", FORMS)
def test_form_does_what_its_matrix_does(name: str) -> None:
    x = RANDOM.normal(size=SIZE)

    np.testing.assert_allclose(applied(FORMS[name], x), FORMS[name].dense().matrix @ x)


@pytest.mark.parametrize(("outer", "inner"), PAIRS)
def test_composition_is_the_product_of_the_matrices(outer: str, inner: str) -> None:
    a, b = FORMS[outer], FORMS[inner]

    np.testing.assert_allclose(compose(a, b).dense().matrix, a.dense().matrix @ b.dense().matrix)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_total_is_the_sum_of_the_matrices(left: str, right: str) -> None:
    a, b = FORMS[left], FORMS[right]

    np.testing.assert_allclose(
        total(a, b, apart=False).dense().matrix, a.dense().matrix + b.dense().matrix
    )


def test_permutations_and_scales_stay_sparse() -> None:
    form = compose(FORMS["scaling"], compose(FORMS["permutation"], FORMS["scaling"]))

    assert isinstance(total(form, form, apart=False), Gather)


def test_affine_value_follows_scale_shift_and_broadcast() -> None:
    x = RANDOM.normal(size=(2, 3))
    scale, shift = RANDOM.normal(size=(2, 1)), RANDOM.normal(size=3)

    value = Affine.of("p", (2, 3)).scaled(scale).shifted(shift).broadcast((4, 2, 3))

    got = value.bias + applied(value.terms["p"], x.ravel())
    np.testing.assert_allclose(
        got.reshape(value.shape), np.broadcast_to(x * scale + shift, (4, 2, 3))
    )


def test_matrix_of_unreasonable_size_is_refused() -> None:
    wide = scaling(np.ones(20_000))

    with pytest.raises(
        ValueError,
        match=r"^a dense matrix of 20000 x 20000 is too large \(at most 134217728 elements\)$",
    ):
        wide.dense()
