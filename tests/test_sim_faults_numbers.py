"""Numbers with a flipped bit: where they lie, what the file says of them, what golden says."""

import numpy as np
import pytest

from signfire.gen.core.plans import plan_layers
from signfire.gen.design.border import pixel_biases
from signfire.gen.design.design import Design
from signfire.gen.design.folding import Folding
from signfire.gen.layers.maximum.plan import MaximumPlan
from signfire.gen.layers.rtl import weight_rom
from signfire.gen.technology import find_technology
from signfire.sim import golden
from signfire.sim.faults_numbers import (
    Judge,
    Number,
    RomFault,
    WeightRom,
    bias_at,
    corrupt,
    flip,
    load_refuses,
    numbers,
)
from signfire.sim.specimens.chains import behind_means, random_design, random_windows
from signfire.sim.specimens.joins import EVERYTHING, random_joins


@pytest.mark.parametrize(
    ("value", "bit", "bits", "signed", "flipped"),
    [
        (0, 3, 4, True, -8),
        (-8, 3, 4, True, 0),
        (-1, 0, 4, True, -2),
        (7, 3, 4, True, -1),
        (5, 0, 3, False, 4),
        (0, 15, 16, False, 32768),
    ],
)
def test_a_flipped_bit_is_that_of_twos_complement(value, bit, bits, signed, flipped) -> None:
    assert flip(value, bit, bits, signed=signed) == flipped
    assert flip(flipped, bit, bits, signed=signed) == value


FOLDED = {
    "dense": random_design(
        folding={"fc1": Folding(pe=3, simd=4), "fc2": Folding(pe=2, simd=3)}, weight_bits=3
    ),
    "joins by identity, 1x1 and slice": random_joins(
        folding={
            "first": Folding(pe=4),
            "inner1": Folding(pe=4, simd=2),
            "join1": Folding(pe=2, simd=2),
            "inner2": Folding(pe=3, simd=4),
            "join2": Folding(pe=6, simd=2),
            "inner3": Folding(pe=2, simd=6),
            "join3": Folding(pe=4, simd=4),
            "out": Folding(pe=3, simd=8),
        }
    ),
    "joins of dense and pooled": random_joins(
        layers=EVERYTHING, folding={name: Folding() for name in EVERYTHING}
    ),
    "depthwise and sums": random_windows(
        shape=(6, 5, 2),
        layers=(
            {"depthwise": True, "window": (3, 2), "padding": (1, 1, 0, 1)},
            {"pool": (2, 2), "stride": (2, 2)},
            {"pooled": 3},
        ),
        folding={"depthwise1": Folding(pe=2), "pool2": Folding(), "pooled3": Folding(simd=2)},
    ),
}
UNUSED = {"joins by identity, 1x1 and slice": 2, "joins of dense and pooled": 1}  # they read -1


@pytest.mark.parametrize("name", FOLDED)
def test_every_bit_of_the_weight_rom_belongs_to_the_weight_it_shows(name) -> None:
    design = FOLDED[name]
    _, plans = plan_layers(design, find_technology("ecp5"))
    places: dict[Number, int] = {}
    copies: dict[Number, int] = {}

    for plan in plans:
        if isinstance(plan, MaximumPlan):
            continue
        rom = WeightRom(plan)
        places |= dict.fromkeys(rom.numbers, 0)
        for address, word in enumerate(weight_rom(plan).content):
            at = 0
            while at < plan.word_bits:
                field = rom.field(address, at)
                bits = range(at, at + field.width)
                assert all(rom.field(address, bit) == field for bit in bits)
                value = 0 if field.number is None else field.number.read(design)
                assert word >> at & ((1 << field.width) - 1) == value & ((1 << field.width) - 1)
                if field.number is not None:
                    places[field.number] += 1
                    copies[field.number] = field.copies
                at = bits.stop

    unused = [number for number, count in places.items() if not count]
    assert len(unused) == UNUSED.get(name, 0)
    assert copies == {number: count for number, count in places.items() if count}
    assert (max(copies.values()) > 1) is (name == "joins of dense and pooled")


def test_a_number_that_is_put_is_read_again_and_no_other_changes(make_design) -> None:
    design = make_design()
    all_numbers = [number for kind in numbers(design).values() for number in kind]
    before = {number: number.read(design) for number in all_numbers}

    for number in all_numbers[:: len(all_numbers) // 40]:
        value = before[number] + (1 if before[number] < 7 else -1)
        changed = number.put(design, value)
        assert {n: n.read(changed) for n in all_numbers} == {**before, number: value}


def test_numbers_of_branches_and_operands_are_told_apart(tmp_path, monkeypatch) -> None:
    design = FOLDED["joins of dense and pooled"]
    found = numbers(design)
    before = {number: number.read(design) for kind in found.values() for number in kind}
    sound, damaged = tmp_path / "sound.npz", tmp_path / "damaged.npz"
    design.save(sound)
    monkeypatch.setattr(Design, "hash", design.hash)  # a loader that believes every file

    assert len(before) == sum(map(len, found.values()))
    for number in (
        Number(kind="weight", layer="sum", index=(1, 1)),
        Number(kind="weight", layer="sum", index=(2, 0), branch=1),
        Number(kind="bias", layer="sum", index=(1,)),
        Number(kind="weight", layer="greatest", index=(2, 0), operand=3),
        Number(kind="bias", layer="greatest", index=(11,), operand=1),
        Number(kind="factor", layer="greatest", index=(1,), operand=2),
        Number(kind="shift", layer="greatest", operand=3),
        Number(kind="weight", layer="out", index=(2, 1), branch=1),
    ):
        value = before[number] ^ 1
        corrupt(sound, damaged, number, 0)
        for changed in (number.put(design, value), Design.load(damaged)):
            assert {n: n.read(changed) for n in before} == {**before, number: value}, number
    assert str(number) == "weight out branch 1[2][1]"


def test_all_kinds_of_numbers_are_there(make_design) -> None:
    found = {kind: len(each) for kind, each in numbers(make_design(sizes=(8, 6, 4))).items()}

    assert found == {
        "rest": 2,
        "eta": 2 + 4,
        "bias": 6 + 4,
        "weight": 48 + 24,
        "shift": 1,
        "factor": 6,
        "input factor": 1,
        "input shift": 1,
    }


@pytest.mark.parametrize(
    "kind", ["rest", "eta", "bias", "weight", "shift", "factor", "input factor", "input shift"]
)
def test_a_flipped_bit_in_the_file_is_refused(make_design, tmp_path, kind) -> None:
    design = make_design(code="offset")
    sound, damaged = tmp_path / "sound.npz", tmp_path / "damaged.npz"
    design.save(sound)
    assert load_refuses(sound) is None

    for number in numbers(design)[kind][::5]:
        for bit in range(number.bits(design)):
            corrupt(sound, damaged, number, bit)
            assert load_refuses(damaged) is not None, f"{number}, bit {bit}"


def test_what_the_file_is_given_is_the_flipped_number(make_design, tmp_path, monkeypatch) -> None:
    design = make_design()
    sound, damaged = tmp_path / "sound.npz", tmp_path / "damaged.npz"
    design.save(sound)
    # A loader that believes every file shows what is in it.
    original = Design.__dict__["hash"]
    header_hash = design.hash
    for number, bit in (
        (Number(kind="weight", layer="fc1", index=(2, 3)), 0),
        (Number(kind="bias", layer="fc2", index=(1,)), 2),
        (Number(kind="factor", layer="fc1", index=(4,)), 1),
        (Number(kind="rest", layer="fc1"), 0),
    ):
        corrupt(sound, damaged, number, bit)
        with monkeypatch.context() as patch:
            patch.setattr(Design, "hash", header_hash)
            loaded = Design.load(damaged)
        assert number.read(loaded) == number.read(design) ^ 1 << bit
    assert Design.__dict__["hash"] is original


@pytest.mark.parametrize("code", ["silent", "offset", "centred"])
def test_a_weight_in_rom_does_not_move_what_was_folded_into_the_bias(make_design, code) -> None:
    design = make_design(code=code)
    number = Number(kind="weight", layer="fc1", index=(2, 5))
    change = -3 if number.read(design) > 0 else 3

    faulty = RomFault(number=number, value=number.read(design) + change).applied(design)

    # X = folded bias + 2 Σ η W e, and only W has changed: by 2·change·Σ η e of input 5.
    raw = np.random.default_rng(3).integers(0, 256, (20, 8))
    for sample in raw:
        sound, wrong = golden.trace(design, sample), golden.trace(faulty, sample)
        sent = sound.populations["input"].events[:, 5] @ np.array(design.input.code.eta)
        moved = (
            wrong.populations["fc1"].integrators[0][-1]
            - (sound.populations["fc1"].integrators[0][-1])
        )
        assert moved.tolist() == [0, 0, 2 * change * sent, 0, 0, 0]


def test_a_weight_in_rom_of_a_second_branch_moves_what_it_meets_alone() -> None:
    design = random_joins(shape=(4, 4), layers=EVERYTHING, code="offset")
    number = Number(kind="weight", layer="sum", index=(2, 0), branch=1)
    change = -3 if number.read(design) > 0 else 3

    faulty = RomFault(number=number, value=number.read(design) + change).applied(design)

    raw = np.random.default_rng(3).integers(0, 256, (5, 16))
    eta = np.array(design["first"].code.eta)
    for sample in raw:
        sound, wrong = golden.trace(design, sample), golden.trace(faulty, sample)
        sent = eta @ sound.populations["first"].events[:, :16]  # of channel 0
        moved = wrong.populations["sum"].integrators[0][-1]
        moved = (moved - sound.populations["sum"].integrators[0][-1]).reshape(3, 16)
        assert not moved[:2].any() and moved[2].tolist() == (2 * change * sent).tolist()
    copied = RomFault(number=number, value=0, copies=2)
    assert copied.applied(design) is None  # one copy of several is faulty, and no Design is so


def test_no_design_stands_for_a_weight_in_rom_of_overlapped_firing(make_design) -> None:
    design = make_design(firing="overlapped", code="centred")
    number = Number(kind="weight", layer="fc1", index=(0, 0))

    assert RomFault(number=number, value=0).applied(design) is None


def test_the_judge_tells_events_from_answers(make_design) -> None:
    design = make_design()
    judge = Judge(design, np.random.default_rng(4).integers(0, 256, (5, 8)))
    logit = Number(kind="bias", layer="fc2", index=(0,))
    hidden = Number(kind="bias", layer="fc1", index=(0,))

    assert judge.changes(design) == (False, False)
    assert judge.changes(logit.put(design, logit.read(design) + 1)) == (False, True)
    assert judge.changes(hidden.put(design, 10_000))[0]
    assert judge.changes(logit.put(design, logit.read(design) + 1), ["fc1"]) == (False, False)


WIDE = {"window": (3, 3), "padding": (1, 1, 1, 1)}
BORDERED = behind_means(  # no code of it says 0, and all biases differ at the border
    random_windows(
        shape=(4, 5),
        layers=(
            {"conv": 2, **WIDE},
            {"depthwise": True, "window": (3, 2), "padding": (1, 0, 2, 1), "stride": (2, 1)},
            {"pool": (2, 2), "padding": (1, 0, 0, 1)},
            {"dense": 2},
        ),
        code="centred",
        folding={name: Folding() for name in ("conv1", "depthwise2", "pool3", "dense4")},
    )
)


def folded_bias(design: Design, layer: str) -> np.ndarray:
    """Return what the hardware of BORDERED holds of a layer of another Design."""
    _, plans = plan_layers(design, find_technology("ecp5"), BORDERED)
    return next(plan.folded_bias for plan in plans if plan.name == layer)


@pytest.mark.parametrize("layer", ["conv1", "depthwise2", "pool3", "dense4"])
def test_a_weight_in_rom_moves_no_bias_of_any_kind_of_pixel(layer) -> None:
    weights = [n for n in numbers(BORDERED)["weight"] if n.layer == layer]
    for number in weights[:: max(1, len(weights) // 12)]:
        value = number.read(BORDERED) + (-2 if number.read(BORDERED) > 0 else 2)

        faulty = RomFault(number=number, value=value).applied(BORDERED)

        assert value == number.read(faulty)
        assert folded_bias(faulty, layer).tolist() == folded_bias(BORDERED, layer).tolist()


@pytest.mark.parametrize("layer", ["conv1", "depthwise2", "pool3", "dense4"])
def test_a_bias_in_rom_moves_the_pixels_of_its_kind_alone(layer) -> None:
    _, plans = plan_layers(BORDERED, find_technology("ecp5"))
    plan = next(plan for plan in plans if plan.name == layer)
    before = folded_bias(BORDERED, layer)
    for kind, output in np.ndindex(plan.border.count, plan.outputs):
        number = bias_at(plan, kind, output)
        pixels = np.flatnonzero(plan.border.of_pixels == kind) if plan.border.count > 1 else ()

        faulty = RomFault(
            number=number, value=number.read(BORDERED) + 5, pixels=tuple(pixels)
        ).applied(BORDERED)

        moved = np.zeros_like(before)
        moved[kind, output] = 5
        assert folded_bias(faulty, layer).tolist() == (before + moved).tolist()
        bias = faulty[layer].operands[0].bias
        assert plan.border.tells(pixel_biases(bias, faulty[layer].shape))
