"""The registry of operators: one module reads each, and it is found by its name."""

import pytest

from signfire.gen.front.graph import Handlers
from signfire.gen.front.operators import MODULES, OPERATORS, together


def test_every_module_of_the_registry_reads_operators() -> None:
    for module in MODULES:
        assert module.handles
        assert all(OPERATORS[name] is handler for name, handler in module.handles.items())


def test_an_operator_that_two_modules_read_is_refused() -> None:
    one, other = Handlers(), Handlers()
    one("relu", "relu6")(len)
    other("gelu", "relu6")(repr)

    with pytest.raises(ValueError, match=r"^two modules read the operator 'relu6'$"):
        together(one, other)
    assert together(one, {"gelu": repr}) == {"relu": len, "relu6": len, "gelu": repr}
