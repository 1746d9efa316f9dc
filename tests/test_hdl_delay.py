"""Delay lines: so many cycles late, and emptied by a reset where they carry control."""

import random

import pytest
from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from signfire.hdl.delay import delayed


class Line(wiring.Component):
    """A delay line of its own."""

    value: In(signed(5))
    late: Out(signed(5))

    def __init__(self, cycles: int, reset_less: bool = False) -> None:
        self.cycles, self.reset_less = cycles, reset_less
        super().__init__()

    def elaborate(self, platform) -> Module:
        m = Module()
        late = delayed(m, self.value, self.cycles, name="line", reset_less=self.reset_less)
        m.d.comb += self.late.eq(late)
        return m


@pytest.mark.parametrize("cycles", [0, 1, 2, 7])
def test_a_value_returns_so_many_cycles_later_with_its_sign(play, cycles):
    rng = random.Random(cycles)
    values = [-16, 15, 0, -1] + [rng.randint(-16, 15) for _ in range(30)]

    seen = play(Line(cycles), [{"value": value} for value in values], ["late"])

    assert [0] * cycles + values[: len(values) - cycles] == [s["late"] for s in seen]


def test_reset_empties_a_line_of_control(play):
    seen = play(
        Line(3), [{"value": 9}] * 4 + [{"reset": 1}, {"reset": 0, "value": 0}] * 1, ["late"]
    )

    assert [9, 9, 0] == [s["late"] for s in seen[3:6]]


def test_reset_leaves_a_line_of_data_alone(play):
    line = Line(3, reset_less=True)

    seen = play(line, [{"value": 9}] * 4 + [{"reset": 1}, {"reset": 0, "value": 0}], ["late"])

    assert [9, 9, 9] == [s["late"] for s in seen[3:6]]
