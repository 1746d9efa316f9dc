"""The table of boards: what is offered, and how a wrong name is answered."""

import re

import pytest
from amaranth_boards.colorlight_5a75b_r7_0 import Colorlight_5A75B_R70Platform

from signfire.boards.boards import OPEN_TOOLCHAINS, find_board, list_boards
from signfire.boards.devices import DEVICES

FULL_FLOW = {  # board -> (device, oscillator)
    "icebreaker": ("iCE40UP5K", 12_000_000),
    "ice40-hx8k-b-evn": ("iCE40HX8K", 12_000_000),
    "ulx3s-12f": ("LFE5U-12F", 25_000_000),
    "ulx3s-25f": ("LFE5U-25F", 25_000_000),
    "ulx3s-45f": ("LFE5U-45F", 25_000_000),
    "ulx3s-85f": ("LFE5U-85F", 25_000_000),
    "orangecrab-25f": ("LFE5U-25F", 48_000_000),
    "orangecrab-85f": ("LFE5U-85F", 48_000_000),
    "colorlight-5a-75b": ("LFE5U-25F", 25_000_000),
    "tang-nano-9k": ("GW1NR-9C", 27_000_000),
}


@pytest.mark.parametrize("name", FULL_FLOW)
def test_promised_board_is_built_in_full(name: str) -> None:
    board = find_board(name)

    assert board.builds_bitstream
    assert board.toolchain in OPEN_TOOLCHAINS
    assert FULL_FLOW[name] == (board.device.name, board.input_hz)


@pytest.mark.parametrize("board", list_boards(), ids=lambda b: b.name)
def test_every_board_has_a_uart_a_clock_and_a_typable_name(board) -> None:
    platform = board.platform()

    uart = platform.lookup("uart", 0)

    assert {"rx", "tx"} <= {subsignal.name for subsignal in uart.ios}
    assert board.input_hz >= 8 * board.baud or not board.builds_bitstream
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", board.name)


def test_board_names_are_unique_and_full_builds_come_first() -> None:
    boards = list_boards()

    assert len(boards) == len({board.name for board in boards})
    assert sorted(boards, key=lambda b: not b.builds_bitstream) == list(boards)
    assert {"Vivado", "Quartus", "Diamond"} <= {b.toolchain for b in boards}


def test_added_uart_uses_connector_pins_that_nothing_else_uses() -> None:
    platform = find_board("orangecrab-25f").platform()

    rx = platform.request("uart", 0, dir="-").rx

    assert "N17" == rx.io.metadata[0].name


def test_uart_of_the_colorlight_shares_its_pins_as_the_note_says() -> None:
    led = Colorlight_5A75B_R70Platform().lookup("led", 0)

    assert led.ios[0].names[0] in find_board("colorlight-5a-75b").uart_note


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "icebraker",
            "there is no board 'icebraker' (did you mean icebreaker or icesugar or icepi-zero?)",
        ),
        ("zzzz", "there is no board 'zzzz' (signfire boards lists them all)"),
        ("", "there is no board '' (signfire boards lists them all)"),
    ],
)
def test_unknown_board_is_answered_with_its_neighbours(name: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        find_board(name)

    assert message == str(error.value)


def test_name_is_found_however_it_is_written() -> None:
    assert find_board("Tang_Nano 9K") is find_board("tang-nano-9k")


def test_block_ram_of_the_devices_adds_up_to_the_data_sheets() -> None:
    kbit = {name: d.block_ram.count * d.block_ram.bits // 1024 for name, d in DEVICES.items()}

    assert 120 == kbit["iCE40UP5K"]
    assert (1008, 1944, 3744) == tuple(kbit[f"LFE5U-{s}F"] for s in (25, 45, 85))
    assert (468, 828) == (kbit["GW1NR-9C"], kbit["GW2A-18C"])


SPI_BOARDS = [board for board in list_boards() if board.spi_pins is not None]


def package_pins(platform, resource) -> set[str]:
    """Return the pins of a resource, by their names on the package."""
    found = set()
    for io in resource.ios:
        if hasattr(io, "ios"):
            found |= package_pins(platform, io)
        else:
            for pins in (io.p, io.n) if hasattr(io, "p") else (io,):
                found.update(pins.map_names(platform._conn_pins, resource))
    return found


@pytest.mark.parametrize("board", SPI_BOARDS, ids=lambda b: b.name)
def test_spi_pins_are_four_that_nothing_else_of_the_design_uses(board) -> None:
    platform = board.platform()

    pins = package_pins(platform, platform.lookup("spi_link", 0))

    assert 4 == len(pins)
    for (name, number), resource in platform.resources.items():
        if name in ("uart", "led", "rgb_led", platform.default_clk, platform.default_rst):
            assert not pins & package_pins(platform, resource), (name, number)


def test_every_family_has_boards_with_spi_and_the_promised_ones_are_among_them() -> None:
    names = {board.name for board in SPI_BOARDS}

    assert set(FULL_FLOW) - {"colorlight-5a-75b"} <= names
    assert {"ice40", "ecp5", "gowin"} <= {board.family for board in SPI_BOARDS}


def test_a_pmod_has_spi_in_the_order_of_its_standard() -> None:
    upper, lower = find_board("icestick").spi_pins, find_board("icebreaker").spi_pins

    assert ("1", "2", "3", "4") == (upper.cs, upper.copi, upper.cipo, upper.sck)
    assert ("7", "8", "9", "10") == (lower.cs, lower.copi, lower.cipo, lower.sck)
    assert "PMOD1A, lower row, pins 7 to 10" == lower.where
