"""PLL settings: never above the target, within the limits of the oscillator."""

from fractions import Fraction

import pytest

from signfire.boards.pll import fastest_setting

GW1NR = "GW1NR-LV9QN88PC6/I5"
GW2A = "GW2A-LV18PG256C8/I7"
# (family, part, reference MHz, VCO MHz, phase detector MHz): limits from the data sheets
PLLS = [
    ("ice40", "", 12, (533, 1066), (10, 133)),
    ("ecp5", "", 25, (400, 800), (3.125, 400)),
    ("ecp5", "", 48, (400, 800), (3.125, 400)),
    ("gowin", GW1NR, 27, (400, 1200), (3, 400)),
    ("gowin", GW2A, 27, (500, 1250), (3, 500)),
]
REFERENCE_DIVIDER = {"ice40": ("DIVR", 1), "ecp5": ("CLKI_DIV", 0), "gowin": ("IDIV_SEL", 1)}


@pytest.mark.parametrize(("family", "part", "input_mhz", "vco_mhz", "detector_mhz"), PLLS)
@pytest.mark.parametrize("target_hz", [17_000_000, 39_999_999, 61_234_000, 100_000_000])
def test_setting_stays_below_the_target_and_within_the_limits(
    family, part, input_mhz, vco_mhz, detector_mhz, target_hz
) -> None:
    input_hz = input_mhz * 1_000_000

    setting = fastest_setting(family=family, input_hz=input_hz, target_hz=target_hz, part=part)

    name, offset = REFERENCE_DIVIDER[family]
    detector = Fraction(input_mhz, setting.parameters[name] + offset)
    assert 0.93 * target_hz < setting.clock_hz <= target_hz
    assert vco_mhz[0] <= setting.vco_hz / 1_000_000 <= vco_mhz[1]
    assert detector_mhz[0] <= detector <= detector_mhz[1]


@pytest.mark.parametrize(
    ("family", "part", "input_hz", "target_hz", "clock_hz", "parameters"),
    [
        ("ice40", "", 12_000_000, 39_800_000, 39_750_000, {"DIVR": 0, "DIVF": 52, "DIVQ": 4}),
        ("ecp5", "", 25_000_000, 100_000_000, 100_000_000, {"CLKI_DIV": 1, "CLKFB_DIV": 4}),
        ("gowin", GW1NR, 27_000_000, 54_000_000, 54_000_000, {"IDIV_SEL": 0, "FBDIV_SEL": 1}),
    ],
)
def test_setting_by_hand(family, part, input_hz, target_hz, clock_hz, parameters) -> None:
    setting = fastest_setting(family=family, input_hz=input_hz, target_hz=target_hz, part=part)

    assert clock_hz == setting.clock_hz
    assert parameters.items() <= setting.parameters.items()


def test_nearest_setting_above_the_target_is_passed_over() -> None:
    """12 MHz * 61 / 16 = 45.75 MHz lies nearest to 45.7 MHz, and above it."""
    setting = fastest_setting(family="ice40", input_hz=12_000_000, target_hz=45_700_000)

    assert 45_000_000 == setting.clock_hz


def test_target_below_the_range_of_the_pll_is_refused() -> None:
    with pytest.raises(ValueError) as error:
        fastest_setting(family="ice40", input_hz=12_000_000, target_hz=15_000_000)

    assert "the ice40 PLL cannot make a clock of at most 15.000 MHz from 12.000 MHz" == str(
        error.value
    )


def test_clock_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="clocks must be positive, not 12000000 and 0 Hz"):
        fastest_setting(family="ice40", input_hz=12_000_000, target_hz=0)
