"""Delay lines for the control bits that travel beside a pipeline."""

from typing import overload

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data


@overload
def delayed(
    m: Module, value: Value, cycles: int, *, name: str, reset_less: bool = False
) -> Value: ...


@overload
def delayed(
    m: Module, value: data.View, cycles: int, *, name: str, reset_less: bool = False
) -> data.View: ...


def delayed(m: Module, value, cycles: int, *, name: str, reset_less: bool = False):
    """Return ``value`` of ``cycles`` clock cycles ago, through registers called ``name_<n>``.

    Control bits keep their reset, so that a reset empties the pipeline; data may do without.
    """
    for n in range(cycles):
        register = Signal.like(value, name=f"{name}_{n + 1}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value
