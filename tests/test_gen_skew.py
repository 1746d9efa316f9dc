"""Lines that joins hold: by hand, and enough where one less stands still."""

import pytest

from signfire.gen.core.skew import lines_ahead
from signfire.gen.design.reading import WHOLE_SAMPLE
from signfire.gen.model.maps import Band

ROWS = 9
EACH = tuple(Band(windows=4, needs=i + 1, frees=i + 1) for i in range(ROWS))  # one pixel high
THREE = tuple(  # three pixels high, padded
    Band(windows=4, needs=min(i + 2, ROWS), frees=ROWS if i == ROWS - 1 else i) for i in range(ROWS)
)


def test_a_chain_holds_what_its_windows_hold_alone():
    # three lines under a window, and the next; one line, and the next; a sample, and the next
    assert ((4,), (2,), (18,)) == lines_ahead(
        (((0, THREE),), ((1, EACH),), ((2, (Band(windows=1, needs=ROWS, frees=ROWS),)),))
    )


def test_a_residual_block_by_hand():
    layers = (((0, THREE),), ((1, THREE),), ((1, EACH), (2, THREE)), ((3, WHOLE_SAMPLE),))

    # While row i of the sum is read, line i + 2 of the inner layer may be on its way in (its
    # windows need i + 1). That one is made of lines up to i + 3 of the first layer, while which
    # line i + 4 begins: five of i, i + 1 .. i + 4.
    assert ((4,), (4,), (5, 4), (2,)) == lines_ahead(layers)


@pytest.mark.parametrize("between", [0, 1, 5])
def test_a_sample_waits_for_as_many_samples_as_there_are_layers_between(between):
    chain = tuple(((n, WHOLE_SAMPLE),) for n in range(between + 1))

    *_, (short, long) = lines_ahead((*chain, ((0, WHOLE_SAMPLE), (between + 1, WHOLE_SAMPLE))))

    assert (between + 3, 2) == (short, long)
