"""Where the oscillator and the serial line of a board meet the chip."""

from signfire.boards.boards import find_board
from signfire.boards.pins import package_pins, top_ports


def test_pins_are_those_of_the_board() -> None:
    assert {"clock": ("35", False), "rx": ("6", False), "tx": ("9", False)} == package_pins(
        find_board("icebreaker")
    )


def test_ports_are_named_as_amaranth_names_them() -> None:
    ports = top_ports(find_board("ulx3s-25f"))

    assert {"clk25_0__io", "uart_0__rx__io", "uart_0__tx__io"} == {p for p, _ in ports.values()}


def test_a_differential_clock_is_known_by_its_positive_pin() -> None:
    assert "clk100_0__p" == top_ports(find_board("versa-ecp5"))["clock"][0]


def test_a_reset_button_that_pulls_low_is_inverted() -> None:
    name, inverted = top_ports(find_board("versa-ecp5"))["reset"]

    assert ("rst_0__io", True) == (name, inverted)
