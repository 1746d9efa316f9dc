"""A chip on its board: what has models, and bytes through its pins."""

from fractions import Fraction

import pytest

from signfire.sim import chip as module
from signfire.sim.chip import CELLS, Chip, cell_models, powered
from signfire.sim.verilator import HURRY

# A counter on the PLL's clock; its low bits go out as one byte, between two END bytes, once a byte
# has come in. Two cycles of the oscillator are a bit of the line.
ANSWER = """
module chip(input clock, input pll_clock, input rx, output tx, input reset);
  reg [15:0] count = 0, seen = 0;
  reg [31:0] shift = 32'hffffffff;
  reg [7:0] wait_for = 0;
  reg half = 0;
  always @(posedge pll_clock) count <= count + 1;
  always @(posedge clock) begin
    if (reset) shift <= 0;
    else if (wait_for == 0) begin
      if (!rx) begin wait_for <= 100; seen <= count; end
    end else begin
      wait_for <= wait_for - 1;
      half <= !half;
      if (wait_for == 70) shift <= {1'b1, 1'b1, 8'hc0, 1'b0, 1'b1, count[9:2] - seen[9:2], 1'b0,
                                    1'b1, 8'hc0, 1'b0, 1'b1};
      else if (half) shift <= {1'b1, shift[31:1]};
    end
  end
  assign tx = shift[0];
endmodule
"""


def chip(**changes) -> Chip:
    numbers = {"input_hz": 2_000_000, "clock_hz": Fraction(22_000_000, 3), "baud": 1_000_000}
    return Chip(
        **{"verilog": ANSWER, "top": "chip", "family": "ice40", "cells": {}, "tied": {"reset": 0}}
        | numbers
        | changes
    )


def test_the_plls_clock_has_its_exact_ratio_to_the_oscillators(tmp_path):
    with powered(chip(), tmp_path) as exchange:
        (before, passed, after), cycle = exchange(b"x")

    assert (0xC0, 0xC0) == (before, after)
    assert passed in (30 * 11 // 3 // 4, 30 * 11 // 3 // 4 + 1)  # of 30 cycles, in units of four
    assert cycle > 4096


@pytest.mark.parametrize(
    ("requests", "expected"),
    [(None, module.OPTIMISATION), (1, HURRY), (1000, module.OPTIMISATION)],
)
def test_a_chip_that_is_asked_for_long_is_compiled_well(tmp_path, monkeypatch, requests, expected):
    seen = []

    def compiled(program, directory):
        seen.append(program.optimisation)
        raise KeyboardInterrupt

    monkeypatch.setattr(module.verilator, "compiled", compiled)
    with pytest.raises(KeyboardInterrupt), powered(chip(), tmp_path, requests=requests):
        pass

    assert [expected] == seen


def test_a_chip_that_says_nothing_ends_the_patience(tmp_path):
    with powered(chip(tied={"reset": 1}), tmp_path, patience=500) as exchange:
        reply, cycle = exchange(b"xy")

    assert b"" == reply
    assert 4096 + 40 + 500 <= cycle <= 4096 + 40 + 502


@pytest.mark.parametrize(
    ("family", "cells"),
    [
        ("ice40", ("SB_IO", "SB_LUT4", "SB_RAM40_4K", "SB_MAC16")),
        ("ecp5", ("TRELLIS_IO", "LUT4", "CCU2C", "TRELLIS_FF", "DP16KD", "MULT18X18D")),
        ("gowin", ("LUT4", "MUX2_LUT8", "ALU", "SPX9", "SDPX9B", "MULT18X18", "RAM16SDP4")),
    ],
)
def test_the_cells_of_every_family_have_models(family, cells):
    models = cell_models(cells, family)

    assert (CELLS / "block_ram.v").resolve() in models.sources
    assert models.library.is_file()


def test_a_black_box_without_a_model_is_refused():
    with pytest.raises(ValueError, match="no simulation model of the gowin cell OSER4 "):
        cell_models(("LUT4", "OSER4"), "gowin")
