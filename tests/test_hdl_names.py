"""Names that leave the hardware: legal ones, and what becomes of the others."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from signfire.hdl.names import (
    is_legal,
    legal_ports,
    port_name,
    with_single_underscores,
)


def component(**members):
    class Some(wiring.Component):
        def __init__(self):
            super().__init__(members)

        def elaborate(self, platform):
            return Module()

    return Some()


@pytest.mark.parametrize(
    "name", ["a", "clk", "samples_payload", "layer_0_x", "x1", "Word", "d_1_e"]
)
def test_names_that_both_languages_take(name):
    assert is_legal(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "_a",
        "a_",
        "a__b",
        "1a",
        "a-b",
        "a.b",
        "a$",
        "é",
        "a b",
        "label",
        "Signal",
        "REG",
        "wire",
    ],
)
def test_names_that_one_of_them_refuses(name):
    """An underscore at an end, two in a row, other signs; keywords, VHDL's in any case."""
    assert not is_legal(name)


def test_a_port_is_called_by_its_path():
    assert "samples_payload" == port_name("samples", "payload")
    assert "trains_0_valid" == port_name("trains", 0, "valid")


def test_ports_of_streams_are_legal():
    found = legal_ports(component(samples=In(stream.Signature(8)), seen_x=Out(1)))

    assert {"samples_payload", "samples_valid", "samples_ready", "seen_x"} == found


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"label": Out(1)},
            "a port must have a name that Verilog and VHDL take, not 'label'",
        ),
        (
            {"a__b": Out(1)},
            "a port must have a name that Verilog and VHDL take, not 'a__b'",
        ),
        (
            {"A_valid": In(1), "a": Out(stream.Signature(1))},
            "ports must differ in their names, and a.valid and A_valid would both be 'a_valid'",
        ),
        (
            {"clk": In(1)},
            "ports must differ in their names, and clk and the clock would both be 'clk'",
        ),
    ],
)
def test_ports_that_cannot_be_are_refused(members, message):
    with pytest.raises(ValueError) as error:
        legal_ports(component(**members))

    assert message == str(error.value)


VERILOG = """module \\top.a (x__y);
  input x__y; wire \\x__z[1] ;
  initial $display("a__b", x__y);
endmodule
module b(x_y);
endmodule
"""


def test_names_lose_their_second_underscores_and_strings_keep_them():
    expected = VERILOG.replace("x__y", "x_y").replace("x__z", "x_z")

    assert expected == with_single_underscores(VERILOG)


def test_a_name_that_would_be_that_of_another_signal_stays():
    both = VERILOG.replace("input x__y;", "input x__y; wire x_y;")

    assert both.replace("x__z", "x_z") == with_single_underscores(both)


def test_two_names_that_would_become_one_do_not():
    text = "module a (b__c, b___c);\nendmodule\n"

    found = with_single_underscores(text)

    assert 2 == len(set(found.removeprefix("module a (").split(")")[0].split(", ")))
