"""A board as Verilog for a simulator: its pins, and what gets a clock of its own."""

import re

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

from signfire.boards import board_model as made
from signfire.boards.boards import find_board
from signfire.boards.top import Application
from signfire.tools.board_sim import clock_setting


class Echo(wiring.Component):
    """Sends back what it receives."""

    def __init__(self):
        super().__init__(Application())

    def elaborate(self, platform):
        m = Module()
        wiring.connect(m, wiring.flipped(self.received), wiring.flipped(self.sent))
        return m


@pytest.fixture
def wrapper(monkeypatch):
    """Return a function that gives the module around the chip of a board, without yosys."""
    monkeypatch.setattr(made, "_verilog", lambda text: "")

    def make(name):
        board = find_board(name)
        model = made.board_model(Echo(), board, setting=clock_setting(board))
        return model, re.search(r"^module board\(.*?^endmodule", model.verilog, re.M | re.S)[0]

    return make


@pytest.mark.parametrize(
    ("name", "pins", "lights"),
    [
        ("icebreaker", ".clk12_0__io(oscillator)", "{~pin_1, ~pin_0}"),
        ("ulx3s-25f", ".clk25_0__io(oscillator)", "{pin_1, pin_0}"),
        ("versa-ecp5", ".clk100_0__p(oscillator)", "{~pin_1, ~pin_0}"),
        ("icesugar-nano", ".clk12_0__io(oscillator)", "{pin_0}"),
        ("tang-primer-20k", ".clk27_0__io(oscillator)", "{1'b0}"),
        ("arty-a7-35", ".clk100_0__io(oscillator)", "{pin_1, pin_0}"),
    ],
)
def test_pins_go_to_the_bench_and_a_lit_led_is_one(wrapper, name, pins, lights) -> None:
    model, text = wrapper(name)

    assert pins in text
    assert ".uart_0__rx__io(rx)" in text and ".uart_0__tx__io(tx)" in text
    assert f"assign lights = {lights};" in text
    assert len(model.lights) == lights.count("pin")


def test_a_reset_button_that_pulls_low_is_not_pressed(wrapper) -> None:
    assert ".rst_0__io(1'b1)" in wrapper("versa-ecp5")[1]


@pytest.mark.parametrize(
    ("name", "sync"), [("icebreaker", "core_clock"), ("arty-a7-35", "oscillator")]
)
def test_the_core_runs_on_the_pll_where_there_is_one(wrapper, name, sync) -> None:
    model, text = wrapper(name)

    assert f"wire sync = {sync};" in text
    assert (model.core_hz == model.input_hz) is (sync == "oscillator")


def test_a_strap_is_a_bit_of_the_number_and_other_tables_stay() -> None:
    strap = """\
    attribute \\keep 1
    attribute \\signfire_strap {n}
    cell \\SB_LUT4 \\lut_{n}
      parameter \\LUT_INIT 16'0000000000000000
"""
    other = "    cell \\SB_LUT4 \\mine\n      parameter \\LUT_INIT 16'0000000000000000\n"
    text = other + "".join(strap.format(n=n) for n in range(3)) + other

    tables = re.findall(r"16'(\d)\d{15}\n", made._set_straps(text, 0b110))

    assert tables == ["0", "0", "1", "1", "0"]


# -- a clock of its own ------------------------------------------------------------------------

PARENT = """\
module \\top (clk, other_clk);
  \\leaf  one (
    .clk({clock}),
    .a(x),
    .\\b$1 (\\y$2 )
  );
{more}endmodule

module \\leaf (clk, a, \\b$1 {ports});
  {way} clk;
  wire clk;
  input [3:0] a;
  wire [3:0] a;
  output \\b$1 ;
  wire \\b$1 ;
{extra}endmodule
"""


def leaf(clock="clk", more="", ports="", way="input", extra=""):
    text = PARENT.format(clock=clock, more=more, ports=ports, way=way, extra=extra)
    return made._instance(text, "leaf")


def test_an_instance_is_read_with_its_clock_nets_and_widths() -> None:
    found = leaf()

    assert (found.clock, found.inputs, found.outputs) == ("clk", [("x", 4)], [("\\y$2 ", 1)])


@pytest.mark.parametrize(
    "options",
    [
        {"clock": "other_clk"},
        {"way": "output"},  # it makes the clock
        {"more": "  \\leaf  two (\n    .clk(clk),\n    .a(x),\n    .\\b$1 (z)\n  );\n"},
        {"ports": ", board_clk", "extra": "  input board_clk;\n  wire board_clk;\n"},
    ],
)
def test_what_is_not_plainly_of_one_clock_keeps_it(options) -> None:
    assert leaf(**options) is None


def test_a_design_without_a_link_is_not_gated() -> None:
    assert made._gated("module \\signfire ();\nendmodule\n") == (
        "module \\signfire ();\nendmodule\n",
        0,
    )
