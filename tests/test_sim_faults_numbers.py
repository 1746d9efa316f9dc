"""Numbers with a flipped bit: where they lie, what the file says of them, what golden says."""

import numpy as np
import pytest

from signfire.gen.design import Design, Folding
from signfire.gen.plan import find_technology, plan_layers
from signfire.gen.rtl import weight_rom
from signfire.sim import golden
from signfire.sim.faults_numbers import (
    Judge,
    Number,
    RomFault,
    corrupt,
    flip,
    load_refuses,
    numbers,
    weight_at,
)


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


def test_every_bit_of_the_weight_rom_belongs_to_the_weight_it_shows(make_design) -> None:
    folding = {"fc1": Folding(pe=3, simd=4), "fc2": Folding(pe=2, simd=3)}
    design = make_design(folding=folding, weight_bits=3)
    _, plans = plan_layers(design, find_technology("ecp5"))

    for plan in plans:
        seen: dict[Number, int] = {}
        for address, word in enumerate(weight_rom(plan).content):
            for bit in range(plan.folding.pe * plan.folding.simd * plan.weight_bits):
                number, at = weight_at(plan, address, bit)
                seen[number] = seen.get(number, 0) | (word >> bit & 1) << at
        assert len(seen) == plan.weights.size
        for number, stored in seen.items():
            assert stored == number.read(design) & 7


def test_a_number_that_is_put_is_read_again_and_no_other_changes(make_design) -> None:
    design = make_design()
    all_numbers = [number for kind in numbers(design).values() for number in kind]
    before = {number: number.read(design) for number in all_numbers}

    for number in all_numbers[:: len(all_numbers) // 40]:
        value = before[number] + (1 if before[number] < 7 else -1)
        changed = number.put(design, value)
        assert {n: n.read(changed) for n in all_numbers} == {**before, number: value}


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
