"""Neuron functions against torch, and their tables against the functions, over whole domains."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from signfire.gen.model import functions
from signfire.gen.model.codes import Schedule, make_code
from signfire.gen.model.functions import (
    UNARY,
    FunctionTable,
    make_table,
    register_neuron,
    slope_below,
)

X = np.concatenate([np.linspace(-9, 9, 401), [0.0, -0.0, 1e-9, -40.0, 25.0]])
TORCH = {
    "gelu": (F.gelu, ()),
    "gelu_tanh": (lambda x: F.gelu(x, approximate="tanh"), ()),
    "silu": (F.silu, ()),
    "sigmoid": (torch.sigmoid, ()),
    "tanh": (torch.tanh, ()),
    "hardswish": (F.hardswish, ()),
    "elu": (lambda x: F.elu(x, 0.7), (0.7, 1.0, 1.0)),
    "softplus": (lambda x: F.softplus(x, 2, 10), (2.0, 10.0)),
    "square": (torch.square, ()),
    "exp": (torch.exp, ()),
    "clamp": (lambda x: x.clamp(-2, 3), (-2.0, 3.0)),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), (0.2,)),
    "abs": (torch.abs, ()),
}
PARAMETERS = {name: parameters for name, (_, parameters) in TORCH.items()}


def code_of(name: str, steps: int, seen: tuple[float, float], clip: float = 0.9):
    """Return a code whose ends cut off a little of what the function makes of ``seen``."""
    y = UNARY[name](np.linspace(*seen, 1001), PARAMETERS[name])
    kind = "silent" if UNARY[name].nonnegative else "offset"
    low = 0.0 if kind == "silent" else min(0.0, float(y.min()))
    return make_code(
        kind=kind, schedule=Schedule(), steps=steps, low=low * clip, high=float(y.max()) * clip
    )


@pytest.fixture
def register():
    """:func:`register_neuron`, undone at the end."""
    yield register_neuron
    for name in set(UNARY) - functions.BUILT_IN:
        del UNARY[name]


def test_every_function_stands_beside_torch():
    assert set(TORCH) == functions.BUILT_IN


@pytest.mark.parametrize("name", TORCH)
def test_functions_compute_what_torch_does(name):
    function, parameters = TORCH[name]

    wanted = function(torch.from_numpy(X)).numpy()

    np.testing.assert_allclose(UNARY[name](X, parameters), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", TORCH)
def test_what_is_said_to_be_never_negative_is_not(name):
    values = UNARY[name](X, PARAMETERS[name])

    assert UNARY[name].nonnegative == bool((values >= 0).all())


@pytest.mark.parametrize("seen", [(-4.0, 4.0), (-8.0, 2.0), (-0.7, 1.1)], ids=str)
@pytest.mark.parametrize("steps", [4, 5, 6, 7, 8])
@pytest.mark.parametrize("name", TORCH)
def test_settled_neurons_err_by_half_a_level_and_half_an_input_step(name, steps, seen):
    """Over the whole domain, at points of its own: both ends of every input step are among them."""
    code = code_of(name, steps, seen)
    unary, parameters = UNARY[name], PARAMETERS[name]
    table = make_table(unary, parameters, code, seen)
    low, high = table.domain
    first = table.first
    f = np.repeat(np.arange(first + 1, table.last), 21)
    within = np.tile(np.linspace(-1, 0, 21), len(table.entries) - 2)
    within[::21] += 1e-7  # the lower end belongs to the step below
    x = (f + within) * table.unit
    assert np.array_equal(np.ceil(np.round(x / table.unit, 9)), f)

    real = np.clip(unary(x, parameters), code.low * code.unit, code.high * code.unit)
    settled = code.settle(table(f)) * code.unit
    level = 2 * code.unit
    error = np.abs(settled - real) / level
    slope = np.abs(np.diff(real)).max() / (table.unit / 20)

    assert math.isclose(low, x[0], abs_tol=table.unit)
    assert math.isclose(high, x[-1], abs_tol=1e-9)
    assert error.max() <= 0.5 + table.unit / 2 * slope / level + 1e-6
    assert error.max() <= table.error * 1.02 + 1e-6  # what the table states of itself
    assert table.error <= table.bound <= 0.8
    assert len(table.entries) <= functions.MOST_ENTRIES


@pytest.mark.parametrize("steps", [4, 8])
@pytest.mark.parametrize("name", TORCH)
def test_beyond_the_domain_the_value_is_the_limit(name, steps):
    seen = (-30.0, 30.0) if name not in ("exp", "square") else (-9.0, 3.0)
    code = code_of(name, steps, seen, clip=0.1)
    unary, parameters = UNARY[name], PARAMETERS[name]
    table = make_table(unary, parameters, code, seen)
    x = np.array([seen[0], table.domain[0], table.domain[1] + 1e-9, seen[1]])

    real = np.clip(unary(x, parameters) / code.unit, code.low, code.high)
    values = code.settle(table(np.array([-(10**9), table.first, table.last, 10**9])))

    assert (np.abs(values - real) <= 1 + functions.FLAT).all()
    assert values[0] == values[1]
    assert values[2] == values[3]


@pytest.mark.parametrize("name", ["gelu", "silu", "tanh", "elu", "hardswish", "square", "clamp"])
@pytest.mark.parametrize("steps", [4, 6, 8])
def test_zero_stays_zero(name, steps):
    code = code_of(name, steps, (-4.0, 4.0))
    table = make_table(UNARY[name], PARAMETERS[name], code, (-4.0, 4.0))

    assert code.settle(table(np.array([0]))).tolist() == [0]


def test_a_table_is_no_larger_than_a_quarter_of_a_level_asks():
    """A slope of 1 needs a step of a unit, half a level: twice the levels and the two ends."""
    code = make_code(kind="offset", schedule=Schedule(), steps=4, low=-1, high=1)

    table = make_table(UNARY["clamp"], (-1.0, 1.0), code, (-5.0, 5.0))

    assert len(table.entries) == 64
    assert table.unit < code.unit < 2 * table.unit * (64 - 3) / (32 - 3)


def test_constant_functions_take_the_smallest_table():
    code = make_code(kind="silent", schedule=Schedule(), steps=4, low=0, high=1)

    table = make_table(UNARY["exp"], (), code, (5.0, 9.0))

    assert len(table.entries) == functions.LEAST_ENTRIES
    assert set(table(np.array([-99, 0, 99])).tolist()) == {code.high + 1}


def test_lookup_by_hand():
    table = FunctionTable(first=-2, entries=np.array([5, 6, 7, 8]), unit=0.5, error=0.5, bound=0.5)

    assert table(np.array([-9, -2, -1, 0, 1, 2])).tolist() == [5, 5, 6, 7, 8, 8]
    assert table.domain == (-1.0, 0.0)


@pytest.mark.parametrize(
    ("function", "parameters", "slope"),
    [
        ("abs", (), -1.0),
        ("leaky_relu", (), 0.01),
        ("leaky_relu", (0.25,), 0.25),
        ("leaky_relu", (1.5,), None),
        ("leaky_relu", (-0.1,), None),
        ("gelu", (), None),
        ("relu", (), None),
    ],
)
def test_what_the_sign_decides_needs_no_table(function, parameters, slope):
    assert slope == slope_below(function, parameters)


def test_registered_functions_are_named_as_torch_names_them(register):
    register(torch.sin, np.sin, domain=(-1, 1))
    register("erf", functions._erf)
    register(torch.nn.Mish, lambda x: x * np.tanh(np.logaddexp(0, x)))

    assert UNARY["sin"](np.array([-9.0, 0.5, 9.0])) == pytest.approx(np.sin([-1, 0.5, 1]))
    assert UNARY["erf"](np.array([0.5])) == pytest.approx([math.erf(0.5)])
    assert "mish" in UNARY


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("gelu", np.tanh), {}, "gelu is a neuron function already"),
        (("relu", np.tanh), {}, "relu is a neuron function already"),
        (("", np.tanh), {}, "a neuron function is named by torch's function, not ''"),
        (
            ("sin", np.sin),
            {"domain": (1, 1)},
            "the domain of sin must reach from below to above, not (1, 1)",
        ),
        (
            ("cumsum", np.cumsum),
            {},
            "cumsum must work on each element: it makes shape (6,) of (2, 3)",
        ),
        (
            ("softmax", lambda x: np.exp(x) / np.exp(x).sum()),
            {},
            "softmax must work on each element by itself",
        ),
        (
            ("sin", np.sin),
            {"nonnegative": True},
            f"sin was said to be never below 0, and is {-math.sin(1):g}",
        ),
        (
            ("log", np.log),
            {},
            "log has no value at -1 (register it with a domain that leaves this out)",
        ),
    ],
)
def test_what_cannot_be_registered_is_refused(register, arguments, options, message):
    with pytest.raises(ValueError) as caught:
        register(*arguments, **options)

    assert message == str(caught.value)
    assert arguments[0] not in set(UNARY) - functions.BUILT_IN


def test_wrong_entries_are_measured(register):
    """The stated error would show a table that is wrong."""
    code = code_of("gelu", 5, (-4.0, 4.0))
    table = make_table(UNARY["gelu"], (), code, (-4.0, 4.0))
    wrong = table.entries.copy()
    wrong[40] += 4

    error, bound = functions.measured(UNARY["gelu"], (), code, table.first, wrong, table.unit)

    assert error > bound == table.bound
