"""Products against Python's, every cycle, in both kinds."""

import random

import pytest

from signfire.hdl.product import Product, product_latency

CORNERS = [  # x_width, factor_bits, x, factor, product
    (4, 3, -8, 7, -56),
    (4, 3, 7, 7, 49),
    (4, 3, -8, 0, 0),
    (16, 16, -32768, 65535, -2147450880),
    (16, 16, 32767, 65535, 2147385345),
    (1, 1, -1, 1, -1),
]


@pytest.mark.parametrize("kind", ["dsp", "lut"])
@pytest.mark.parametrize(("x_width", "factor_bits", "x", "factor", "product"), CORNERS)
def test_corners_are_exact(play, kind, x_width, factor_bits, x, factor, product):
    dut = Product(x_width=x_width, factor_bits=factor_bits, kind=kind)

    seen = play(dut, [{"x": x, "factor": factor}] * (dut.LATENCY + 1), ["product"])

    assert product == seen[-1]["product"]


@pytest.mark.parametrize(
    ("kind", "factor_bits", "latency"),
    [("dsp", 1, 1), ("dsp", 16, 1), ("lut", 1, 1), ("lut", 5, 4), ("lut", 16, 5)],
)
def test_latency_is_one_register_or_the_tree(kind, factor_bits, latency):
    assert latency == product_latency(kind=kind, factor_bits=factor_bits)


@pytest.mark.parametrize("kind", ["dsp", "lut"])
@pytest.mark.parametrize(("x_width", "factor_bits"), [(1, 1), (2, 9), (12, 5), (23, 16)])
def test_every_pair_is_multiplied_latency_cycles_later(play, kind, x_width, factor_bits):
    rng = random.Random(x_width)
    limit = 1 << (x_width - 1)
    pairs = [(rng.randint(-limit, limit - 1), rng.getrandbits(factor_bits)) for _ in range(60)]
    dut = Product(x_width=x_width, factor_bits=factor_bits, kind=kind)

    seen = play(dut, [{"x": x, "factor": factor} for x, factor in pairs], ["product"])

    assert dut.LATENCY == product_latency(kind=kind, factor_bits=factor_bits)
    expected = [x * factor for x, factor in pairs[: 60 - dut.LATENCY]]
    assert expected == [s["product"] for s in seen[dut.LATENCY :]]


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"^a multiplier is made of dsp or lut, not 'table'$"):
        Product(x_width=4, factor_bits=4, kind="table")
