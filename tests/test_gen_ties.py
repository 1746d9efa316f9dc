"""Ties: what a neuron does where its membrane says exactly what it should."""

import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from signfire.gen.convert.converted import Converted
from signfire.gen.design.design import Design
from signfire.gen.design.linkformat import SampleFormat
from signfire.gen.model.codes import SpikeCode
from signfire.gen.model.several import SEVERAL
from signfire.gen.model.ties import TIES, rounded, shifted
from signfire.sim import golden
from signfire.sim.specimens.chains import random_design
from signfire.sim.specimens.pairs import random_pairs


def fires(v: int, f: Fraction, ties: str) -> bool:
    """Whether v says less than f: the rule in words, of exact numbers."""
    if v != f:
        return v < f
    below = Fraction(v - 1, 2)  # level below a membrane of the binary schedule, in levels
    return {"down": False, "up": True, "even": below.denominator == 1 and below % 2 == 1}[ties]


def with_ties(design: Design, ties: str, name: str = "") -> Design:
    """Return a Design of which all populations that fire, or one, settle ties so."""
    return replace(
        design,
        populations=tuple(
            replace(p, ties=ties) if p.code is not None and name in ("", p.name) else p
            for p in design.populations
        ),
    )


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("shift", [0, 1, 3])
def test_target_tells_every_membrane_from_the_exact_number(ties, shift):
    numbers = np.arange(-50, 51)

    targets = shifted(numbers, shift, ties)

    for number, target in zip(numbers.tolist(), targets.tolist(), strict=True):
        f = Fraction(number, 2**shift)
        for v in range(-53, 54, 2):  # odd, as the membranes are that a binary neuron compares
            assert (v < target) == fires(v, f, ties), (v, f)
    assert targets.tolist() == rounded(numbers / 2**shift, ties).tolist()
    assert targets.tolist() == golden.requantise(numbers, 1, shift, ties).tolist()


def test_a_number_within_the_precision_of_a_whole_one_is_that():
    near = np.array([3 - 1e-12, 3 + 1e-12, 5 - 1e-12, 5 + 1e-12, 4.5])

    assert rounded(near, within=1e-9).tolist() == [3, 3, 5, 5, 5]
    assert rounded(near, "up", within=1e-9).tolist() == [4, 4, 6, 6, 5]
    assert rounded(near, "even", within=1e-9).tolist() == [4, 4, 5, 5, 5]


@pytest.mark.parametrize(
    ("ties", "values"),
    [
        ("down", [0, 0, 2, 2, 4, 4, 6]),
        ("up", [0, 2, 2, 4, 4, 6, 6]),
        ("even", [0, 0, 2, 4, 4, 4, 6]),
    ],
)
def test_binary_neurons_settle_ties_as_their_rule_says(ties, values):
    code = SpikeCode(eta=(2, 1), rest=3, unit=1.0)

    settled = code.settle(shifted(np.arange(7), 0, ties))

    assert settled.tolist() == values  # half way between 0 2 4 6: 0, 1, 2, 3 of a trained grid


@pytest.mark.parametrize(
    ("function", "ties"),
    [("divide", "up"), ("divide_root", "up"), ("multiply", "up"), ("multiply", "even")],
)
def test_target_of_two_operands_tells_ties(function, ties):
    f1, f2 = (grid.ravel() for grid in np.meshgrid(np.arange(-40, 41), np.arange(1, 26)))
    p = 1

    targets = SEVERAL[function].target(f1, f2, p, ties)

    for v in range(-21, 22, 2):
        if function == "multiply":
            less, tie = v * 2**p < f1 * f2, v * 2**p == f1 * f2
        elif function == "divide":
            less, tie = v * f2 * 2**p < f1, v * f2 * 2**p == f1
        else:
            signed = np.sign(v) * v * v * f2 * 4**p
            less, tie = signed < np.sign(f1) * f1 * f1, signed == np.sign(f1) * f1 * f1
        assert np.any(tie) or v not in (-1, 1, 3)
        event = less | (tie & fires(v, Fraction(v), ties))
        assert ((v < targets) == event).all(), v


@pytest.mark.parametrize("ties", ["up", "even"])
def test_both_forms_of_the_golden_model_settle_ties_alike(ties):
    design = with_ties(random_design(seed=3, steps=3, input_range=(-8, 7), code="offset"), ties)
    design = replace(design, input_format=replace(design.input_format, multiplier=1, shift=1))
    rng = np.random.default_rng(0)
    raw = rng.integers(-8, 8, (40, 8))

    fast = golden.run(design, raw)
    plain = golden.run(with_ties(design, "down"), raw)

    assert fast.logits.tolist() == [golden.trace(design, one).logits.tolist() for one in raw]
    assert (fast.logits != plain.logits).any()


def test_overlapped_neurons_send_an_event_on_a_tie_that_goes_up():
    design = random_design(seed=1, firing="overlapped", schedule="exponential", code="centred")
    up = with_ties(design, "up")
    raw = np.zeros(8, np.int64)

    plain, strict = (golden.trace(d, raw).populations["input"] for d in (design, up))

    assert not plain.events[0].any() and strict.events[0].all()  # v(0) = 0 says a zero pixel
    samples = np.array([raw, raw + 255])
    traced = [golden.trace(up, one).logits.tolist() for one in samples]
    assert golden.run(up, samples).logits.tolist() == traced


@pytest.mark.parametrize(
    ("firing", "ties"), [("settled", "even"), ("settled", "up"), ("overlapped", "up")]
)
def test_calibration_follows_the_rule_of_the_golden_model(firing, ties):
    design = random_design(seed=3, steps=3, input_range=(-8, 7), code="offset", firing=firing)
    design = with_ties(design, ties)
    design = replace(design, input_format=replace(design.input_format, multiplier=1, shift=1))
    raw = np.random.default_rng(2).integers(-8, 8, (20, 8))

    found = Converted(firing, design.input_format, design.input, raw)
    found.append(design["fc1"])

    for n, sample in enumerate(raw):
        traced = golden.trace(design, sample).populations
        for name in ("input", "fc1"):
            assert found.values[name][n].tolist() == traced[name].membranes[-1].tolist()


def test_host_link_takes_raw_values_of_one_train_for_one_by_the_rule():
    plain = random_design(input_range=(-100, 100), code="offset", input_steps=3)
    fmt = replace(plain.input_format, multiplier=1, shift=4)
    up = with_ties(replace(plain, input_format=fmt), "up")
    raw = np.arange(-100, 101)
    targets = golden.input_target(up, raw)

    table = SampleFormat.of(up).first

    trains = up.input.spike_code.trains(targets)
    starts = [
        int(p) for p, a, b in zip(raw[1:], trains, trains[1:], strict=False) if (a != b).any()
    ]
    assert list(table) == [-100, *starts]
    assert table != SampleFormat.of(with_ties(up, "down")).first


def test_ties_of_two_operands_reach_the_golden_model():
    pair = random_pairs(function="divide")["pair"]
    assert pair.comparison is not None
    fraction = pair.comparison.fraction
    quotients = [np.array([[-3, 3, 4]]) << fraction, np.array([[1, 1, 1]])]

    found = {ties: golden.target_of(replace(pair, ties=ties), quotients) for ties in ("down", "up")}

    assert found["down"].tolist() == [[-3, 3, 4]] and found["up"].tolist() == [[-2, 4, 5]]


def test_rule_stands_in_the_file_only_where_it_is_not_down(tmp_path):
    design = random_design(seed=4)
    up = with_ties(design, "up", "fc1")

    up.save(tmp_path / "up.npz")

    assert [p.ties for p in Design.load(tmp_path / "up.npz").populations] == ["down", "up", "down"]
    assert up.hash != design.hash
    assert all("ties" not in record for record in design.content()[0]["populations"])


def test_hash_of_a_design_whose_ties_go_down_is_what_it_was():
    found = random_design(seed=4).hash

    assert found == "9e60c09ec6b0929b33b7813853709c540836e9688d56b1c92c8566f880a49639"


@pytest.mark.parametrize(
    ("design", "ties", "name", "said"),
    [
        (random_design(), "odd", "fc1", "ties of 'fc1' must be down, up, even, not 'odd'"),
        (
            random_design(firing="overlapped"),
            "even",
            "fc1",
            "ties of 'fc1' go to even levels, for which firing must be settled, the schedule "
            "binary and 0 a level (take ties up or down)",
        ),
        (
            random_design(code="centred"),
            "even",
            "fc1",
            "ties of 'fc1' go to even levels, for which firing must be settled, the schedule "
            "binary and 0 a level (take ties up or down)",
        ),
        (
            random_pairs(function="divide"),
            "even",
            "pair",
            "divide of 'pair' has ties down or up, not even: no product says which level is even",
        ),
    ],
)
def test_rule_that_a_population_cannot_follow_is_refused(design, ties, name, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        with_ties(design, ties, name)


def test_read_out_has_no_ties():
    design = random_design()
    readout = replace(design.readout, ties="up")

    with pytest.raises(
        ValueError, match=r"^the read-out 'fc2' does not fire and has no ties, so not up$"
    ):
        replace(design, populations=(*design.populations[:-1], readout))
