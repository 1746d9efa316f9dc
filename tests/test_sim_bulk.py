"""The bulk check passes where RTL and models agree, and sees faults in words and cycles."""

from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest

from signfire.gen.core.core import Core, core_timing, to_verilog
from signfire.gen.design.folding import Folding
from signfire.sim import bulk, verilator
from signfire.sim.bulk import pack, run_bulk
from signfire.sim.specimens.chains import random_design, random_windows

pytestmark = pytest.mark.usefixtures("quick_compilation")

FOLDING = {
    "input": Folding(pe=2),
    "fc1": Folding(pe=3, simd=4, unroll=2),
    "fc2": Folding(pe=2, simd=3),
}
RAW = np.random.default_rng(1).integers(0, 256, (40, 8))
DESIGN = random_design(seed=5, folding=FOLDING)


@pytest.fixture(scope="module")
def verilog():
    return to_verilog(Core(DESIGN, "ecp5"), bulk.TOP)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """One folder, so that equal RTL is compiled once."""
    return tmp_path_factory.mktemp("bulk")


@pytest.fixture
def run(verilog, directory):
    """Run the RTL of DESIGN, against the expectation of another design if one is given."""

    def run(design=DESIGN, **options):
        return run_bulk(design, RAW, directory, **{"verilog": verilog} | options)

    return run


def changed(design, layer, **changes):
    """Return the design with other attributes of one population."""
    return replace(
        design,
        populations=tuple(
            replace(p, **changes) if p.name == layer else p for p in design.populations
        ),
    )


@pytest.mark.parametrize(
    ("options", "folding", "technology"),
    [
        (
            {"sizes": (36, 12, 6, 5), "input_range": (-7, 8), "code": "centred"},
            {
                "input": Folding(pe=18),  # a raw word of 90 bits
                "fc1": Folding(pe=4, simd=18, unroll=2),
                "fc2": Folding(pe=3, simd=4, unroll=4),
                "fc3": Folding(pe=5, simd=2),
            },
            "gowin",
        ),
        (
            {"schedule": "exponential", "code": "centred", "firing": "overlapped", "steps": 6},
            {"input": Folding(pe=4), "fc1": Folding(pe=2, simd=4), "fc2": Folding(pe=2, simd=2)},
            "ice40-hx",
        ),
        (
            {"schedule": "inverse", "code": "offset", "sizes": (9, 1)},
            {"input": Folding(pe=1), "fc1": Folding()},
            "ice40-up",
        ),
        (
            {"sizes": (36, 12, 6, 5), "input_range": (-7, 8), "code": "offset"},
            {
                "input": Folding(pe=4),
                "fc1": Folding(pe=6, simd=12, synapse="multiply"),
                "fc2": Folding(pe=3, simd=4, synapse="multiply-lut"),
                "fc3": Folding(pe=5, simd=2),
            },
            "ecp5",
        ),
    ],
    ids=["signed-wide", "overlapped", "weighted-readout-alone", "multiplying"],
)
def test_every_word_and_its_cycle_are_as_expected(tmp_path, options, folding, technology):
    design = random_design(seed=7, folding=folding, **options)
    fmt = design.input_format
    raw = np.random.default_rng(2).integers(fmt.low, fmt.high + 1, (25, design.input.size))

    free = run_bulk(design, raw, tmp_path, technology=technology)
    stalled = run_bulk(design, raw, tmp_path, technology=technology, stalls=(0.3, 0.6), seed=4)

    assert free.mismatches == stalled.mismatches == ()
    assert free.words == 25 * design.readout.size
    assert free.labels.tolist() == bulk.golden.run(design, raw).labels.tolist()
    assert len(list(tmp_path.glob("bulk-*"))) == 1  # the model served twice


def test_stalls_take_time_and_change_no_word(run):
    free = run()
    stalled = run(stalls=(0.5, 0.5), seed=3)

    assert free.passed and stalled.passed
    assert stalled.cycles > free.cycles


def test_a_reset_in_the_middle_leaves_nothing_behind(run):
    free = run()

    for reset_at in (0, 5, 41, 64, 203):
        again = run(reset_at=reset_at)

        assert again.mismatches == ()
        assert again.cycles == free.cycles + reset_at + 1


def test_a_reset_that_does_not_reach_the_core_is_seen(run, verilog):
    assert verilog.count("  if (rst)") > 10
    deaf = verilog.replace("  if (rst)", "  if (1'b0)")

    assert run(verilog=deaf).passed  # initial values alone serve once
    assert not run(verilog=deaf, reset_at=41).passed


def test_a_weight_bit_is_seen_and_named(run):
    operand = DESIGN["fc2"].operands[0]
    weights = operand.projections[0].map.weights.copy()
    weights[2, 1] ^= 1
    projection = operand.projections[0]
    faulty = replace(
        operand, projections=(replace(projection, map=projection.map.with_weights(weights)),)
    )

    result = run(changed(DESIGN, "fc2", operands=(faulty,)))

    logits = [m for m in result.mismatches if m.what == "logit"]
    assert {(m.layer, m.neuron) for m in logits} == {("fc2", 2)}
    assert all(abs(m.expected - m.got) <= DESIGN["fc1"].code.high for m in logits)
    assert str(logits[0]).startswith(f"layer fc2, sample {logits[0].sample}, neuron 2, cycle ")


def test_a_step_size_is_seen(run):
    code = DESIGN["fc1"].code
    faulty = changed(DESIGN, "fc1", code=replace(code, eta=(8, 4, 2, 2)))

    result = run(faulty, timing=core_timing(DESIGN, "ecp5"))

    assert {m.layer for m in result.mismatches} == {"fc2"}
    assert "logit" in {m.what for m in result.mismatches}


def test_a_wrong_class_is_seen(run, monkeypatch):
    truth = bulk.golden.run

    def wrong(design, raw):
        answer = truth(design, raw)
        answer.labels[17] ^= 1
        return answer

    monkeypatch.setattr(bulk.golden, "run", wrong)
    found = run().mismatches

    assert [(m.what, m.sample, m.neuron) for m in found] == [("label", 17, None)]
    assert found[0].expected == found[0].got ^ 1


def test_a_cycle_is_seen(run):
    timing = core_timing(DESIGN, "ecp5")
    late = replace(timing.layers[1], result=timing.layers[1].result + 1)

    result = run(timing=replace(timing, layers=(timing.layers[0], late)))

    assert {m.what for m in result.mismatches} == {"cycle"}
    assert result.mismatches[0].expected == result.mismatches[0].got + 1
    assert result.differing >= len(result.mismatches) == bulk.MOST_MISMATCHES


def test_a_core_that_hangs_is_found_and_left(run, verilog):
    driver, wire = ".results_valid(results_valid)", "  wire results_valid;"
    assert verilog.count(driver) == 1  # in the top module, which stands first
    silent = verilog.replace(driver, ".results_valid()").replace(
        wire, "  wire results_valid = 1'b0;", 1
    )

    result = run(verilog=silent)

    assert result.differing == result.words == 160
    assert result.mismatches[0].got is None
    assert set(result.labels.tolist()) == {-1}
    assert (result.mismatches[0].sample, result.mismatches[0].neuron) == (0, 0)


def test_words_too_many_are_seen():
    expected = bulk.Words(**{name: np.arange(4) for name in ("logit", "label", "last", "cycle")})
    got = bulk.Words(**{name: np.arange(5) for name in ("logit", "label", "last", "cycle")})

    (found,) = bulk.compare(DESIGN, expected, got, 9)

    assert (found.expected, found.got, found.cycle) == (None, 4, 4)


def test_lanes_lie_side_by_side_across_words():
    words = pack(np.array([[1, -2, 3], [-1, 0, 0]]), 15)

    first = 1 | (2**15 - 2) << 15 | 3 << 30
    assert words.tolist() == [[first & 0xFFFFFFFF, first >> 32], [0x7FFF, 0]]


def test_an_interrupted_compilation_leaves_no_model(tmp_path, verilog, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(verilator.subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bulk.compiled(f"{verilog}// {uuid4()}", tmp_path)  # no model was compiled before

    assert [path.name for path in tmp_path.iterdir()] == ["bulk.log"]


def test_verilog_that_does_not_compile_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match=r"^Verilator could not compile the core; see .*log$"):
        bulk.compiled("module broken(", tmp_path)


def test_a_missing_system_program_is_named(monkeypatch):
    monkeypatch.setattr(verilator.shutil, "which", lambda name: None if name == "g++" else name)

    with pytest.raises(ValueError, match=r"must have g\+\+, which is missing \(install it"):
        verilator.require_programs()


@pytest.mark.parametrize(
    ("raw", "options", "message"),
    [
        (RAW[:0], {}, "the bulk check needs at least one sample"),
        (RAW, {"stalls": (0.0, 1.0)}, r"stalls must lie in 0 up to 1, not 0.0 and 1.0"),
        (RAW[:1], {"reset_at": 100_000}, r"a reset must fall into the run, cycles 0 to \d+, not"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, raw, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        run_bulk(DESIGN, raw, tmp_path, **options)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.3, 0.4)])
@pytest.mark.parametrize("synapse", ["events", "multiply"])
def test_windows_answer_every_sample_on_its_cycle(directory, stalls, synapse):
    design = random_windows(
        layers=(
            {"conv": 4, "window": (3, 3), "padding": (1, 1, 1, 1), "stride": (2, 2)},
            {"conv": 6, "window": (2, 2)},
            {"dense": 3},
        ),
        folding={
            "conv1": Folding(pe=2),
            "conv2": Folding(pe=3, simd=4),
            "dense3": Folding(pe=3, simd=6),
        },
    ).with_synapse(synapse)
    raw = np.random.default_rng(3).integers(0, 256, (60, 42))

    result = run_bulk(design, raw, directory, technology="ice40-up", stalls=stalls)

    assert result.passed
    assert (60, 180) == (result.samples, result.words)


@pytest.mark.parametrize(
    "options",
    [
        {"function": "gelu", "code": "offset"},
        {"function": "leaky_relu", "code": "offset"},
        {"function": "abs"},
        {"limit": 7},
        {"function": "silu", "firing": "overlapped", "schedule": "exponential", "code": "centred"},
    ],
    ids=lambda options: options.get("function", "limit"),
)
def test_other_functions_than_relu_are_equal(options, tmp_path):
    design = random_design(seed=4, folding=FOLDING | {"fc1": Folding(pe=3, simd=4)}, **options)

    result = run_bulk(design, RAW, tmp_path, stalls=(0.2, 0.3))

    assert result.passed
    assert result.samples == len(RAW)


def test_a_wrong_entry_of_a_table_is_seen(tmp_path):
    folding = FOLDING | {"fc1": Folding(pe=3, simd=4)}
    design = random_design(seed=4, folding=folding, function="gelu", code="offset")
    table = design["fc1"].table
    seen = design["fc1"].code.settle(table.entries)
    wrong = replace(table, entries=np.where(seen == np.median(seen), table.entries + 2, seen))
    other = changed(design, "fc1", table=wrong)

    result = run_bulk(other, RAW, tmp_path, verilog=to_verilog(Core(design, "ecp5"), bulk.TOP))

    assert not result.passed


@pytest.mark.parametrize(("cycles", "expected"), [(1, {}), (10**9, verilator.HURRY)])
def test_what_runs_for_long_is_compiled_well(tmp_path, monkeypatch, cycles, expected):
    seen = []

    def compiled(text, directory, *, optimisation):
        seen.append(dict(optimisation))
        raise KeyboardInterrupt

    monkeypatch.setattr(bulk, "WELL_COMPILED_CYCLES", cycles)
    monkeypatch.setattr(bulk, "compiled", compiled)
    with pytest.raises(KeyboardInterrupt):
        bulk.run_bulk(DESIGN, RAW, tmp_path)

    assert seen == [expected]
