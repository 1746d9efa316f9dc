"""What is told of a design in lines: what padding leaves, and which cycles samples take."""

from pathlib import Path

from signfire.sim.specimens.chains import behind_means, random_windows
from signfire.tools.tables import border_notes, of_report

WIDE = {"window": (3, 3), "padding": (1, 1, 1, 1)}
LAYERS = ({"conv": 4, **WIDE}, {"conv": 2, **WIDE}, {"dense": 3})


def steps(design, name: str) -> str:
    """Return half a unit of a layer's integrators in steps of its membrane, as notes say it."""
    operand = design[name].operands[0]
    return f"{operand.multiplier.max() / 2 ** (operand.shift + 1):.2g}"


def test_padding_of_0_is_not_mentioned() -> None:
    assert [] == border_notes(random_windows(layers=LAYERS))


def test_padding_behind_a_normalisation_is_told_with_its_error() -> None:
    design = behind_means(random_windows(layers=LAYERS))

    assert border_notes(design) == [
        f"the padding of {name!r} stands for values other than 0: they are in the biases of its "
        f"border pixels (9 kinds of pixel), off by at most {steps(design, name)} steps of its "
        f"membrane"
        for name in ("conv1", "conv2")
    ]


def test_padding_that_a_code_cannot_say_is_told_with_its_error() -> None:
    design = random_windows(layers=LAYERS, code="centred")

    assert border_notes(design) == [
        "the padding of 'conv2' is 0, which the code of 'conv1' cannot say: what it says is taken "
        f"off in the biases of its border pixels (9 kinds of pixel), off by at most "
        f"{steps(design, 'conv2')} steps of its membrane"
    ]


def test_cycles_that_depend_on_the_sample_are_told_on_average_at_worst_and_for_all() -> None:
    cycles = {"latency": 764, "interval": 512}
    spread = {"samples": 2000, "latency": 601.88, "worst_latency": 658, "interval": 374.7}
    record = {"accuracy": {"golden": None}, "checks": {}, "link": None, "energy": None}
    record |= {"bound": None, "limit": None, "board": "icebreaker", "clock_hz": 40e6}
    record |= {"latency_s": 764 / 40e6, "throughput_per_s": 40e6 / 374.7}

    plain = of_report(record | {"cycles": cycles}, Path("report.html"))
    told = of_report(record | {"cycles": cycles | {"spread": spread}}, Path("report.html"))

    assert plain[:2] == [
        "latency 764 cycles, interval 512",
        "on icebreaker at 40.0 MHz: 19.1 µs, 107 ksamples/s",
    ]
    assert told[:2] == [
        "latency 764 cycles, interval 512 at most; of 2,000 samples 602 and 375 on average, "
        "658 at worst",
        "on icebreaker at 40.0 MHz: 19.1 µs (15.0 µs on average), 107 ksamples/s",
    ]
