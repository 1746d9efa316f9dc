"""Kinds of pixel at the border, the plan's constants for them, and what they cost."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.core.core import Core
from signfire.gen.core.plans import no_hardware, plan_layers
from signfire.gen.core.shape import differences
from signfire.gen.design.border import MOST_BIASES, border_of
from signfire.gen.design.folding import Folding as F
from signfire.gen.layers.cost import border_cost, integrators_cost
from signfire.gen.model.codes import SpikeCode
from signfire.gen.model.maps import Conv, Layout
from signfire.gen.readers.reader import Reader
from signfire.gen.technology import find_technology
from signfire.sim.specimens.chains import behind_means, random_windows

WIDE = {"window": (3, 3), "padding": (1, 1, 1, 1)}
FOLD = {"conv1": F(pe=2), "conv2": F(pe=2, simd=2), "dense3": F(pe=3)}
LAYERS = ({"conv": 4, **WIDE}, {"conv": 2, **WIDE, "stride": (2, 2)}, {"dense": 3})
ZERO = SpikeCode(eta=(2, 1), rest=3, unit=1.0)
NO_ZERO = SpikeCode(eta=(2, 1), rest=0, unit=1.0, kind="centred")


def conv(size, **settings) -> Conv:
    layout = Layout(planes=(1, *size))
    kernel = np.ones((2, 1, *settings.pop("window", (3, 3))), np.int64)
    return Conv(in_shape=(1, *size), layout=layout, kernel=kernel, **settings)


def made(**settings):
    return random_windows(layers=LAYERS, folding=FOLD, **settings)


def plans(design):
    return plan_layers(design, find_technology("ecp5"))[1]


def test_kinds_by_hand():
    linear = conv((4, 5), padding=(1, 1, 1, 1))
    bias = np.arange(2)[:, None, None] + linear.apply(np.full((1, 1, 4, 5), 7))[0]

    border = border_of(bias, (2, 4, 5), [(linear, ZERO)])

    assert ((0, 1, 1, 2), (0, 1, 1, 1, 2)) == (border.rows, border.columns)
    assert (9, (3, 3)) == (border.count, border.kinds)
    assert [0, 1, 4, 5, 6, 9, 15, 16, 19] == border.examples.tolist()
    assert border.tells(bias.reshape(2, -1))
    assert [7 * n for n in (4, 6, 4, 6, 9, 6, 4, 6, 4)] == border.by_kind(bias.reshape(2, -1))[
        :, 0
    ].tolist()


@pytest.mark.parametrize(
    ("settings", "rows", "columns"),
    [
        ({"padding": (0, 0, 0, 0)}, (0, 0, 0), (0, 0, 0, 0)),
        ({"padding": (1, 0, 0, 2)}, (0, 1, 1, 1), (0, 0, 0, 0, 1, 2)),
        ({"padding": (1, 1, 1, 1), "stride": (2, 2)}, (0, 1, 2), (0, 1, 1)),
        ({"padding": (2, 2, 2, 2), "window": (5, 5)}, (0, 1, 2, 3, 4), (0, 1, 2, 2, 3, 4)),
        ({"padding": (-1, 0, 2, 0), "window": (1, 3)}, (0, 0, 0, 0), (0, 1, 2, 2, 2, 2)),
    ],
)
def test_without_a_code_for_0_kinds_follow_from_what_windows_lack(settings, rows, columns):
    linear = conv((5, 6), **settings)

    border = border_of(np.zeros((2, 1, 1)), linear.out_shape, [(linear, NO_ZERO)])

    assert (rows, columns) == (border.rows, border.columns)
    assert 1 == border_of(np.zeros((2, 1, 1)), linear.out_shape, [(linear, ZERO)]).count


def test_a_single_odd_pixel_makes_four_kinds():
    bias = np.zeros((2, 4, 5), np.int64)
    bias[1, 2, 3] = 1

    border = border_of(bias, (2, 4, 5), [])

    assert ((0, 0, 1, 0), (0, 0, 0, 1, 0), 4) == (border.rows, border.columns, border.count)
    assert border.tells(bias.reshape(2, -1))
    bias[0, 0, 0] = 1
    assert not border.tells(bias.reshape(2, -1))


def test_constants_lie_kind_after_kind():
    design = behind_means(made())
    first, second, last = plans(design)

    bias = design["conv1"].operands[0].bias.reshape(4, -1)
    assert [9, 6, 1] == [plan.border.count for plan in (first, second, last)]
    assert first.bias.tolist() == [bias[:, k].tolist() for k in first.border.examples]
    assert [9 * 4 // first.lanes, 6 * 2 // second.lanes] == [
        plan.constant_words for plan in (first, second)
    ]


def test_what_stands_beyond_the_planes_is_taken_off_where_it_is_not_0():
    design = made(code="centred", steps=2)
    code = design["conv1"].code
    assert (-3, 0, -1) == (code.low, code.rest, code.zero)  # it says -3, -1, 1 and 3

    _, second, _ = plans(design)

    kernel = second.population.operands[0].projections[0].map.kernel
    top_left, beside, *_ = second.border.examples  # the first lacks a line above and one column
    assert (0, 1, 6) == (top_left, beside, second.border.count)
    missed = kernel.sum(axis=(1, 2, 3)) - kernel[:, :, 1:, 1:].sum(axis=(1, 2, 3))
    above = kernel[:, :, 0].sum(axis=(1, 2))
    assert missed.any() and above.any()
    assert (second.bias[0] + missed).tolist() == second.start[0].tolist()
    assert (second.bias[1] + above).tolist() == second.start[1].tolist()


def test_more_biases_than_a_memory_should_hold_are_refused():
    design = made(shape=(182, 182))
    operand = design["conv1"].operands[0]
    bias = np.random.default_rng(0).integers(-9, 9, (4, 182, 182))
    design = with_operand(design, "conv1", replace(operand, bias=bias))

    assert no_hardware(design) == (
        "there is no RTL for this network: 'conv1' has 33124 kinds of pixel by their biases, which "
        f"makes 132496 biases, and {MOST_BIASES} are the most (the golden model runs it: use "
        "signfire evaluate)"
    )


def with_operand(design, name, operand):
    return replace(
        design,
        populations=tuple(
            replace(p, operands=(operand,)) if p.name == name else p for p in design.populations
        ),
    )


def test_other_biases_of_the_same_kinds_fit_and_others_do_not():
    shape = behind_means(made())
    operand = shape["conv1"].operands[0]
    other = with_operand(shape, "conv1", replace(operand, bias=operand.bias // 2))
    bias = operand.bias.copy()
    bias[0, 3, 3] += 1
    odd = with_operand(shape, "conv1", replace(operand, bias=bias))

    assert [] == list(differences(shape, other, "ecp5"))
    assert [
        "biases of 'conv1' must be the same at all pixels of a kind, of which its hardware knows 9"
    ] == list(differences(shape, odd, "ecp5"))
    (first, *_) = differences(made(), shape, "ecp5")
    assert first.endswith("at all pixels of a kind, of which its hardware knows 1")


def test_the_estimate_prices_the_memory_that_the_rtl_has():
    plain, normal = made(), behind_means(made())
    (first, *_), (bordered, *_) = plans(plain), plans(normal)
    rom = Core(normal, "ecp5").layers[0].integrator.rom

    assert (len(rom.content), rom.width) == (bordered.constant_words, bordered.constant_width)
    assert 0 == border_cost(first).lut < border_cost(bordered).lut
    assert integrators_cost(first).lut < integrators_cost(bordered).lut


def test_a_reader_knows_nothing_beyond_whole_samples():
    design = made(code="centred", steps=2)
    dense = plans(design)[2].readers[0]

    assert isinstance(dense, Reader)
    assert np.array_equal(dense.beyond_planes, np.zeros((3, 1)))
