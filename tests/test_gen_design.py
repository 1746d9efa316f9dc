"""Design: one file that comes back whole or not at all, and numbers that are checked."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.design.design import Design
from signfire.gen.design.folding import Folding
from signfire.gen.design.population import DesignOperand, InputFormat, bits_for
from signfire.gen.model.functions import UNARY
from signfire.gen.model.maps import Dense
from signfire.sim.specimens.chains import random_design


def with_operand(design: Design, name: str, **changes) -> Design:
    """Return the same Design with other numbers in the only operand of ``name``."""
    operand: DesignOperand = replace(design[name].operands[0], **changes)
    return replace(
        design,
        populations=tuple(
            replace(p, operands=(operand,)) if p.name == name else p for p in design.populations
        ),
    )


@pytest.mark.parametrize("firing", ["settled", "overlapped"])
def test_saved_design_comes_back_equal(make_design, tmp_path, firing):
    folding = {"fc1": Folding(pe=3, simd=4), "fc2": Folding(pe=2, simd=6)}
    design = make_design(
        seed=5, firing=firing, code="offset", schedule="exponential", folding=folding
    )
    design = replace(design, provenance={"samples": 12, "layers": [{"name": "fc1"}]})

    design.save(tmp_path / "design.npz")
    loaded = Design.load(tmp_path / "design.npz")

    assert loaded.hash == design.hash
    for p, q in zip(design.populations, loaded.populations, strict=True):
        assert (p.name, p.shape, p.function, p.code, p.folding) == (
            (q.name, q.shape, q.function, q.code, q.folding)
        )
        for a, b in zip(p.operands, q.operands, strict=True):
            assert next(iter(a.projections)).weight_bits == next(iter(b.projections)).weight_bits
            assert np.array_equal(a.projections[0].map.weights, b.projections[0].map.weights)
            assert np.array_equal(a.bias, b.bias) and a.shift == b.shift
            assert np.array_equal(a.multiplier, b.multiplier) and np.array_equal(a.scale, b.scale)
    assert loaded.provenance == design.provenance
    assert (loaded.firing, loaded.input_format) == (design.firing, design.input_format)


def test_hash_tells_every_number_and_neither_folding_nor_provenance(make_design):
    design = make_design(seed=1)
    operand = design["fc1"].operands[0]
    weights = operand.projections[0].map.weights.copy()
    weights[2, 3] = 0 if weights[2, 3] else 1
    projection = replace(operand.projections[0], map=Dense(weights, (8,)))
    code = design["fc1"].code
    changed = [
        with_operand(design, "fc1", projections=(projection,)),
        with_operand(design, "fc1", bias=operand.bias + 1),
        with_operand(design, "fc1", multiplier=operand.multiplier + 1),
        with_operand(design, "fc1", shift=operand.shift + 1),
        replace(design, input_format=replace(design.input_format, multiplier=1)),
        replace(
            design,
            populations=(
                design.input,
                replace(design["fc1"], code=replace(code, rest=code.rest + 1)),
                design.readout,
            ),
        ),
    ]

    assert len({design.hash, *(other.hash for other in changed)}) == 1 + len(changed)
    assert design.with_folding({"fc1": Folding(pe=2)}).hash == design.hash
    assert replace(design, provenance={"a": 1}).hash == design.hash


def test_damaged_file_never_loads_as_something_else(make_design, tmp_path):
    design = make_design(seed=2)
    path = tmp_path / "design.npz"
    design.save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        broken = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken[: rng.integers(len(whole))] if rng.random() < 0.2 else broken)
        try:
            assert Design.load(path).hash == design.hash
        except ValueError as error:
            refused += 1
            assert str(path) in str(error)

    assert refused > 100


@pytest.mark.parametrize("what", ["weight", "header", "hash"])
def test_a_file_whose_content_is_not_that_of_its_hash_is_damaged(make_design, tmp_path, what):
    """Every part of such a file is well formed, and its CRCs are right."""
    path = tmp_path / "design.npz"
    make_design().save(path)
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(arrays["design"].tobytes())
    if what == "weight":
        key = "p1_o0_q0"  # weights of the first projection
        arrays[key] = arrays[key].copy()
        arrays[key].flat[0] += 1 if arrays[key].flat[0] <= 0 else -1
    elif what == "header":
        header["populations"][1]["operands"][0]["shift"] += 1
    else:
        header["hash"] = "0" * 64
    arrays["design"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez_compressed(path, **arrays)

    with pytest.raises(ValueError) as error:
        Design.load(path)

    assert f"{path} is damaged: its content does not match its hash" == str(error.value)


def test_file_of_another_format_is_refused(make_design, tmp_path, monkeypatch):
    path = tmp_path / "design.npz"
    monkeypatch.setattr("signfire.gen.design.file.FORMAT_VERSION", 7)
    make_design().save(path)
    monkeypatch.undo()

    sentence = f"{path} has design format 7, this signfire reads 1 (run signfire convert again)"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Design.load(path)


def test_file_that_is_no_design_is_refused_by_name(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("hello")

    for name in ("data.npz", "array.npy", "text.npz"):
        with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path / name))} is not a sign"):
            Design.load(tmp_path / name)
    missing = tmp_path / "none.npz"
    with pytest.raises(ValueError, match=f"^there is no design file {re.escape(str(missing))}$"):
        Design.load(missing)


def test_failed_save_leaves_the_old_file(make_design, tmp_path):
    make_design(seed=1).save(tmp_path / "design.npz")
    broken = replace(make_design(seed=2), provenance={"no JSON": object()})

    with pytest.raises(TypeError):
        broken.save(tmp_path / "design.npz")

    assert Design.load(tmp_path / "design.npz").hash == make_design(seed=1).hash
    assert [path.name for path in tmp_path.iterdir()] == ["design.npz"]


def test_integrator_bound_is_reached_and_never_passed(make_design):
    design = make_design(seed=4, sizes=(3, 2, 2), code="offset", input_range=(-128, 127))
    operand = design["fc1"].operands[0]
    weights = operand.projections[0].map.weights

    bound = design.integrator_bound(design["fc1"])

    code = design.input.code
    reach = max(-code.low, code.high)
    sums = np.abs(operand.bias) + np.abs(weights).sum(axis=1) * reach
    assert bound == sums.max()


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [(0, 0, 1), (0, 1, 1), (0, 255, 8), (0, 256, 9), (-1, 0, 1), (-1, 1, 2), (-128, 127, 8),
     (-129, 0, 9), (-1, 128, 9)],
)  # fmt: skip
def test_bits_hold_the_range(low, high, bits):
    assert bits_for(low, high) == bits


def test_raw_samples_take_integers_as_they_are_and_round_and_clip_floats(make_design):
    design = make_design(sizes=(2, 2, 2))
    halves = replace(design, input_format=replace(design.input_format, scale=0.5))

    assert design.raw_samples(np.array([[0, 255]], np.uint8)).tolist() == [[0, 255]]
    assert halves.raw_samples(np.array([[0.2, 0.3]])).tolist() == [[0, 1]]
    assert halves.raw_samples(np.array([[-5.0, 500.0]])).tolist() == [[0, 255]]
    assert halves.raw_samples(np.array([[3, 100]])).tolist() == [[6, 200]]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda d: replace(d, firing="late"), "firing must be settled or overlapped, not 'late'"),
        (lambda d: replace(d, firing="overlapped"), "overlapped firing needs one T for all "
         "populations, not input 2, fc1 4"),
        (lambda d: with_operand(d, "fc1", shift=0), "requantisation factors of 'fc1' must lie in "
         "1..2^32 - 1 with a shift of at least 1, not 9..9 / 2^0"),
        (lambda d: with_operand(d, "fc1", multiplier=np.full(6, 2**32)), "requantisation factors "
         "of 'fc1' must lie in 1..2^32 - 1 with a shift of at least 1, not 4294967296..4294967296 "
         "/ 2^5"),
        (lambda d: with_operand(d, "fc1", projections=(
            replace(d["fc1"].operands[0].projections[0], weight_bits=3),)),
         "a weight of 'fc1' exceeds 3, the limit of 3 bits"),
        (lambda d: d.with_folding({"fc1": Folding(pe=4)}), "pe must divide the 6 outputs of "
         "'fc1', not 4 (use 2 or 3)"),
        (lambda d: d.with_folding({"fc1": Folding(simd=3)}), "simd must divide the 8 inputs of "
         "'fc1', not 3 (use 2 or 4)"),
        (lambda d: d.with_folding({"fc9": Folding()}), "there is no layer 'fc9' to fold; there "
         "are input, fc1, fc2"),
        (lambda d: d.raw_samples(np.array([[0] * 7 + [256]])), "samples must lie in 0..255, not "
         "0..256"),
        (lambda d: d.raw_samples(np.zeros((2, 3))), "a sample needs 8 values (shape (8,)), not "
         "shape (3,)"),
        (lambda d: d.raw_samples(np.full((2, 8), np.nan)), "samples must be finite; there is a "
         "NaN or an infinity among them"),
        (lambda d: InputFormat(low=-4, high=0, scale=1, multiplier=1, shift=1), "an input range "
         "must reach above 0, not -4..0"),
        (lambda d: InputFormat(low=0, high=4, scale=1, multiplier=1, shift=0), "input factor "
         "1/2^0 is out of range"),
    ],
)  # fmt: skip
def test_broken_rules_are_refused(make_design, make, sentence):
    design = make_design()
    design = with_operand(design, "fc1", multiplier=np.full(6, 9), shift=5)

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make(design)


# -- functions ---------------------------------------------------------------------------------


def gelu(**options) -> Design:
    return random_design(seed=2, function="gelu", code="offset", **options)


def with_population(design: Design, **changes) -> Design:
    """Return the same Design with another ``fc1``."""
    return replace(
        design,
        populations=tuple(
            replace(p, **changes) if p.name == "fc1" else p for p in design.populations
        ),
    )


@pytest.mark.parametrize("function", ["gelu", "leaky_relu", "abs"])
def test_functions_come_back_from_the_file(tmp_path, function):
    design = random_design(seed=2, function=function, code="offset")

    design.save(tmp_path / "design.npz")
    loaded = Design.load(tmp_path / "design.npz")

    assert loaded.hash == design.hash
    for p, q in zip(design.populations, loaded.populations, strict=True):
        assert (p.table is None) == (q.table is None)
        if p.table is not None:
            assert p.table.same(q.table)
            assert (p.table.unit, p.table.error, p.table.bound) == (
                (q.table.unit, q.table.error, q.table.bound)
            )
        for a, b in zip(p.operands, q.operands, strict=True):
            assert (a.below is None) == (b.below is None)
            assert a.below is None or np.array_equal(a.below, b.below)


def test_a_function_that_is_known_nowhere_lives_in_its_table(tmp_path, monkeypatch):
    monkeypatch.setitem(UNARY, "wave", UNARY["gelu"])
    design = with_population(gelu(), function="wave")
    design.save(tmp_path / "design.npz")
    monkeypatch.delitem(UNARY, "wave")

    loaded = Design.load(tmp_path / "design.npz")

    assert loaded["fc1"].function == "wave"
    assert loaded.hash == design.hash


def test_hash_tells_every_entry_and_every_factor():
    design, leaky = gelu(), random_design(seed=2, function="leaky_relu", code="offset")
    table = design["fc1"].table
    entries = table.entries.copy()
    entries[5] += 1
    below = leaky["fc1"].operands[0].below.copy()
    below[1] += 1

    found = [
        design.hash,
        with_population(design, table=replace(table, entries=entries)).hash,
        with_population(design, table=replace(table, first=table.first + 1)).hash,
        leaky.hash,
        with_operand(leaky, "fc1", below=below).hash,
    ]

    assert len(set(found)) == 5


def test_designs_of_relu_hash_as_before_there_were_functions():
    """What was written then is still read, and a build of it is still known."""
    header, arrays = random_design(seed=2).content()

    assert all("table" not in p for p in header["populations"])
    assert all("below" not in op for p in header["populations"] for op in p["operands"])
    assert not [key for key in arrays if key.endswith(("table", "below"))]


@pytest.mark.parametrize(
    ("function", "changes", "message"),
    [
        ("gelu", {"table": None}, "gelu of 'fc1' needs a table, or factors for X < 0"),
        ("gelu", {"function": "relu"}, "relu of 'fc1' needs neither table nor second factors"),
        (
            "abs",
            {"function": "linear"},
            "linear of 'fc1' needs neither table nor second factors",
        ),
        ("gelu", {"function": "wave", "table": None}, "there is no neuron function 'wave' (fc1)"),
    ],
)
def test_a_function_without_what_decides_it_is_refused(function, changes, message):
    design = random_design(seed=2, function=function, code="offset")

    with pytest.raises(ValueError) as caught:
        with_population(design, **changes)

    assert message == str(caught.value)


def test_numbers_of_functions_are_checked():
    design, leaky = gelu(), random_design(seed=2, function="leaky_relu", code="offset")
    table, code = design["fc1"].table, design["fc1"].code
    entries = table.entries.copy()
    entries[0] = code.low - 1

    message = (
        f"the table of 'fc1' must stay within {code.low}..{code.high + 1}, not "
        f"{code.low - 1}..{int(entries.max())}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        with_population(design, table=replace(table, entries=entries))
    with pytest.raises(ValueError, match=r"^the entries of a table are a power of two, not 3$"):
        replace(table, entries=entries[:3])
    with pytest.raises(
        ValueError,
        match=r"^factors for X < 0 of 'fc1' must lie in 0\.\.2\^32 - 1, or turn the others' sign$",
    ):
        with_operand(leaky, "fc1", below=-leaky["fc1"].operands[0].below)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, 0.5),
        ({"limit": 3}, 0.5),
        ({"function": "abs"}, 0.5),
        ({"schedule": "exponential"}, None),
    ],
)
def test_comparisons_err_by_half_a_level(options, error):
    assert random_design(seed=2, **options)["fc1"].error_levels == error


def test_a_rounded_second_factor_counts():
    leaky = random_design(seed=2, function="leaky_relu", code="offset")["fc1"]

    assert leaky.error_levels == 0.5 - leaky.code.low / 4 / leaky.operands[0].below.min()
    assert gelu()["fc1"].error_levels == gelu()["fc1"].table.error
    assert gelu().readout.error_levels is None


# -- multipliers in the place of events --------------------------------------------------------


def test_a_layer_that_multiplies_takes_all_steps_at_once():
    design = random_design(sizes=(8, 6, 4), input_steps=2, steps=4)

    folded = design.with_folding(
        {"fc1": Folding(pe=2, synapse="multiply"), "fc2": Folding(simd=3, synapse="multiply-lut")}
    )

    assert folded["fc1"].folding == Folding(pe=2, unroll=2, synapse="multiply")
    assert folded["fc2"].folding == Folding(simd=3, unroll=4, synapse="multiply-lut")
    assert folded.hash == design.hash


def test_multipliers_take_the_place_of_events_and_give_it_back():
    events = {"input": Folding(pe=2), "fc1": Folding(pe=2, simd=4, unroll=2), "fc2": Folding(pe=4)}
    design = random_design(sizes=(8, 6, 4), input_steps=2, steps=4, folding=events)

    multiplying = design.with_synapse("multiply")

    assert [p.folding for p in multiplying.populations] == [
        Folding(pe=2),
        Folding(pe=2, simd=4, unroll=2, synapse="multiply"),
        Folding(pe=4, unroll=4, synapse="multiply"),
    ]
    assert multiplying.with_synapse("multiply") == multiplying
    assert design.with_synapse("events") == design
    assert [p.folding.unroll for p in multiplying.with_synapse("events").populations] == [1, 1, 1]


def test_multipliers_are_saved_with_the_folding(tmp_path):
    design = random_design(folding={"fc1": Folding(synapse="multiply"), "fc2": Folding()})

    design.save(tmp_path / "design.npz")

    assert Design.load(tmp_path / "design.npz")["fc1"].folding == design["fc1"].folding


@pytest.mark.parametrize(
    ("options", "folding", "message"),
    [
        (
            {"firing": "overlapped"},
            Folding(synapse="multiply"),
            "'fc1' cannot multiply: only with settled firing and a binary schedule is a train a "
            "number as it stands (leave it at synapse=events)",
        ),
        (
            {"schedule": "inverse", "input_steps": 3},
            Folding(synapse="multiply-lut"),
            "'fc1' cannot multiply: only with settled firing and a binary schedule is a train a "
            "number as it stands (leave it at synapse=events)",
        ),
        (
            {"input_steps": 4},
            Folding(unroll=2, synapse="multiply"),
            "'fc1' multiplies with all 4 input steps at once, not 2 (leave out unroll)",
        ),
        (
            {},
            Folding(synapse="divide"),
            "the synapse of 'fc1' is one of events, multiply, multiply-lut, logic, not 'divide'",
        ),
    ],
)
def test_multipliers_where_they_do_not_apply_are_refused(options, folding, message):
    design = random_design(**options)

    with pytest.raises(ValueError) as error:
        design.with_folding({"fc1": folding})

    assert str(error.value) == message


def test_a_synapse_of_no_known_kind_is_refused():
    with pytest.raises(ValueError) as error:
        random_design().with_synapse("divide")

    assert (
        str(error.value)
        == "a synapse is one of events, multiply, multiply-lut, logic, not 'divide'"
    )
