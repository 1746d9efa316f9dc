"""The bench of models and data that did not arrive counts what ran, and knows its tests."""

import ast
from pathlib import Path

import pytest

from signfire.tools import bench_cases

TESTS = Path(__file__).parent
SAID = """
PASSED tests/test_gen_torch_deviation.py::test_the_deviation_of_a_dead_channel_is_0
PASSED tests/test_gen_inputs.py::test_a[one - two]
FAILED tests/test_gen_states.py::test_b[x] - AssertionError: no - not at all
ERROR tests/test_gen_pixels.py - ImportError
"""


def test_outcomes_are_read_by_name() -> None:
    assert bench_cases.read(SAID) == {
        "test_gen_torch_deviation::test_the_deviation_of_a_dead_channel_is_0": True,
        "test_gen_inputs::test_a[one - two]": True,
        "test_gen_states::test_b[x]": False,
        "test_gen_pixels::": False,
    }


@pytest.mark.parametrize(
    ("case", "held"),
    [
        ("the deviation of a dead channel", True),
        ("several inputs", True),
        ("containers of weights, wrappers, safetensors, arguments", False),  # one failed
        ("channels chosen by a buffer", False),  # none ran
    ],
)
def test_a_case_holds_where_its_tests_ran_and_passed(case: str, held: bool) -> None:
    assert bench_cases.holds(case, bench_cases.read(SAID)) is held


def test_every_test_that_proves_a_case_is_there() -> None:
    for case, tests in bench_cases.CASES.items():
        for test in tests:
            module, _, name = test.partition("::")
            tree = ast.parse((TESTS / f"{module}.py").read_text())
            names = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
            assert not name or name in names, f"{case}: {test}"
