"""What is told of a design in lines: where padding is no raw 0, and which error that leaves."""

from signfire.sim.specimens.chains import behind_means, random_windows
from signfire.tools.tables import border_notes

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
