"""Packing of samples: what is sent fires the same trains, in as few bits as that takes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signfire.gen.design.linkformat import Identity, SampleFormat, rate_trains
from signfire.gen.design.population import InputFormat
from signfire.gen.model.codes import CODES, SCHEDULES, Schedule, make_code
from signfire.sim.specimens.chains import random_design
from signfire.sim.specimens.rate import as_rate


def targets(form: InputFormat, raw: np.ndarray) -> np.ndarray:
    return np.array([-((-int(p) * form.multiplier) // 2**form.shift) for p in raw.flat])


@st.composite
def inputs(draw):
    low = draw(st.integers(-300, 0))
    high = draw(st.integers(1, 300))
    kind = draw(st.sampled_from([c for c in CODES if low == 0 or c != "silent"]))
    schedule = draw(st.sampled_from([s for s in SCHEDULES if s != "list"]))
    steps = draw(st.integers(1, 9))
    code = make_code(kind=kind, schedule=Schedule(kind=schedule), steps=steps, low=low, high=high)
    form = InputFormat(
        low=low,
        high=high,
        scale=1.0,
        multiplier=draw(st.integers(1, 65535)),
        shift=draw(st.integers(1, 16)),
    )
    return form, code


@given(inputs(), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_the_hardware_fires_the_trains_of_the_sample(given_input, elements, seed):
    form, code = given_input
    link = SampleFormat.of_input(elements, form, code)
    raw = np.random.default_rng(seed).integers(form.low, form.high + 1, (3, elements))

    packed = link.pack(raw)
    expanded = link.unpack(packed)

    assert (3, link.byte_count) == packed.shape
    expected = code.trains(targets(form, raw))
    assert np.array_equal(expected, code.trains(targets(form, expanded)))
    assert (np.abs(expanded) <= np.abs(raw)).all()
    if link.table is None:
        assert np.array_equal(raw, expanded)


@given(inputs())
def test_no_bit_is_sent_that_tells_nothing(given_input):
    form, code = given_input
    every = np.arange(form.low, form.high + 1)
    different = len(np.unique(code.trains(targets(form, every)), axis=0))

    link = SampleFormat.of_input(1, form, code)

    assert min(form.bits, max(1, (different - 1).bit_length())) == link.code_bits


def test_a_pixel_of_two_steps_takes_two_bits():
    code = make_code(kind="silent", schedule=Schedule(), steps=2, low=0, high=255)
    form = InputFormat(low=0, high=255, scale=1.0, multiplier=96, shift=12)  # F = ceil(3p/128)

    link = SampleFormat.of_input(5, form, code)

    # eta 2, 1 and rest 3: the trains of F <= 1, 2..3, 4..5, 6 are 00, 01, 10, 11 from e(0) on,
    # values 0, 2, 4, 6.
    assert (2, (0, 43, 129, 214)) == (link.code_bits, link.first)
    assert (0, 43, 129, 214) == link.table
    assert [[0b11_10_01_00, 0b11]] == link.pack(np.array([[42, 128, 129, 214, 255]])).tolist()


def test_raw_integers_that_differ_to_the_network_go_as_they_are():
    code = make_code(kind="offset", schedule=Schedule(), steps=8, low=-4, high=3)
    form = InputFormat(low=-4, high=3, scale=1.0, multiplier=32768, shift=9)

    link = SampleFormat.of_input(3, form, code)

    assert (3, None) == (link.code_bits, link.table)
    assert [[0b00_111_100, 0]] == (link.pack(np.array([[-4, -1, 0]])).tolist())


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.zeros((1, 4), int), "a raw sample has 3 integers, not an array of shape (1, 4)"),
        (np.full((1, 3), 9), "raw samples must lie in 0..7, not 9..9"),
    ],
)
def test_samples_that_do_not_fit_are_refused(raw, message):
    code = make_code(kind="silent", schedule=Schedule(), steps=2, low=0, high=7)
    form = InputFormat(low=0, high=7, scale=1.0, multiplier=1, shift=1)
    link = SampleFormat.of_input(3, form, code)

    with pytest.raises(ValueError) as refusal:
        link.pack(raw)

    assert message == str(refusal.value)


IDENTITY = Identity(
    link_version=1,
    design_hash="0123456789abcdef" * 4,
    elements=784,
    raw_bits=8,
    raw_signed=False,
    code_bits=2,
    lanes=4,
    outputs=10,
    logit_bits=18,
    clock_hz=48_000_000,
    latency_cycles=1234,
    interval_cycles=999,
    name="mnist ü",
)


def test_an_identity_survives_its_record():
    assert IDENTITY == Identity.from_bytes(IDENTITY.to_bytes())
    assert IDENTITY == Identity.from_bytes(IDENTITY.to_bytes() + b"later")


@pytest.mark.parametrize("size", [0, 1, 57, len(IDENTITY.to_bytes()) - 1])
def test_a_cut_identity_is_refused(size):
    with pytest.raises(ValueError, match=f"identity is cut: {size} bytes"):
        Identity.from_bytes(IDENTITY.to_bytes()[:size])


@pytest.mark.parametrize(("low", "high", "steps"), [(0, 255, 8), (-128, 127, 5), (0, 3, 9)])
def test_a_code_of_a_rate_input_gives_back_a_raw_integer_of_the_same_train(low, high, steps):
    design = as_rate(random_design(sizes=(3, 2), input_range=(low, high)), steps=steps)
    raw = np.arange(low, high + 1).repeat(3).reshape(-1, 3)
    link = SampleFormat.of(design)

    got = link.unpack(link.pack(raw))

    trains = [rate_trains(each[:, 0] - low, high - low, steps) for each in (raw, got)]
    assert (trains[0] == trains[1]).all()
    different = len(np.unique(trains[0], axis=0))
    assert link.code_bits == max(1, (different - 1).bit_length())
