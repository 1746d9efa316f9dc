"""The cycle check passes where RTL and golden model agree, and sees every kind of fault."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.core.core import Core, core_timing
from signfire.gen.design.folding import Folding
from signfire.gen.technology import find_technology
from signfire.hdl.storage import RomsApart
from signfire.sim import cycle, golden
from signfire.sim.cycle import check_cycles
from signfire.sim.expect import expectation
from signfire.sim.specimens import chains as specimen
from signfire.sim.specimens.joins import random_joins

pytestmark = pytest.mark.usefixtures("quick_compilation")

FOLDING = {
    "input": Folding(pe=2),
    "fc1": Folding(pe=3, simd=4, unroll=2),
    "fc2": Folding(pe=2, simd=3, unroll=1),
}
RAW = np.random.default_rng(1).integers(0, 256, (3, 8))


def settled():
    return specimen.random_design(seed=5, folding=FOLDING)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """One folder, so that the RTL is compiled once for all faults."""
    return tmp_path_factory.mktemp("cycle")


def changed(design, layer, **changes):
    """Return the design with other attributes of one population."""
    return replace(
        design,
        populations=tuple(
            replace(p, **changes) if p.name == layer else p for p in design.populations
        ),
    )


@pytest.fixture(scope="module")
def check(directory):
    """Check the RTL of the design above against the expectation of another, or its own."""
    verilog = cycle.hardware(Core(settled(), "ecp5"))

    def check(design=None, **options):
        return check_cycles(design or settled(), RAW, directory, verilog=verilog, **options)

    return check


def test_every_word_stands_on_its_cycle(directory):
    result = check_cycles(settled(), RAW, directory)

    assert result.mismatches == ()
    assert result.samples == 3
    assert result.words == 144  # the input fires at once: raw words and trains are all of it


def test_roms_that_stand_apart_give_the_same_words(monkeypatch, tmp_path):
    """Large ROMs are written beside what Amaranth translates; here all of them are."""
    monkeypatch.setattr(RomsApart, "LARGE", 1)
    design = settled()
    core = Core(design, "ecp5")

    result = check_cycles(design, RAW, tmp_path, under_test=core)

    text = (tmp_path / f"{cycle.TOP}.v").read_text()
    assert text.count(f"module \\{cycle.TOP}.rom_") == len(core.roms)
    assert result.mismatches == ()
    assert result.words == 144


def test_random_stalls_at_both_ends_are_predicted(check):
    free = check()
    stalled = check(stalls=(0.5, 0.5), seed=3)

    assert stalled.mismatches == ()
    assert stalled.cycles > free.cycles


def test_a_weight_bit_is_seen_and_named(check):
    design = settled()
    operand = design["fc1"].operands[0]
    weights = operand.projections[0].map.weights.copy()
    weights[4, 1] ^= 1
    projection = operand.projections[0]
    faulty = replace(
        operand, projections=(replace(projection, map=projection.map.with_weights(weights)),)
    )

    found = check(changed(design, "fc1", operands=(faulty,))).mismatches

    assert found
    assert found[0].layer == "fc1"
    assert found[0].what == "sum"
    assert found[0].neuron == 4
    assert found[0].expected != found[0].got


def test_a_step_size_is_seen(check):
    design = settled()
    code = design["fc1"].code
    faulty = changed(design, "fc1", code=replace(code, eta=(8, 5, 2, 1)))

    found = check(faulty, timing=core_timing(settled(), "ecp5")).mismatches

    assert found
    assert {m.layer for m in found} <= {"fc1", "fc2"}
    assert "membrane" in {m.what for m in found}


def test_a_flipped_event_is_seen_on_its_step(check, monkeypatch):
    truth = expectation.trace

    def flipped(design, raw):
        seen = truth(design, raw)
        seen.populations["fc1"].events[2, 3] ^= True
        return seen

    monkeypatch.setattr(expectation, "trace", flipped)
    found = check().mismatches

    events = [m for m in found if m.what == "event"]
    assert {(m.layer, m.neuron, m.step) for m in events} == {("fc1", 3, 2)}
    assert len(events) == len(RAW)
    assert {m.what for m in found} == {"event", "train"}


def test_a_late_register_is_seen(check):
    timing = core_timing(settled(), "ecp5")
    late = replace(timing.layers[0], target=timing.layers[0].target + 1)

    found = check(timing=replace(timing, layers=(late, timing.layers[1]))).mismatches

    assert (found[0].layer, found[0].what) == ("fc1", "target")
    assert found[0].expected is None


def test_a_word_that_never_comes_is_seen(directory):
    raw = np.vstack([RAW, RAW[:1]])
    kept = expectation.expect(
        settled(), core_timing(settled(), "ecp5"), find_technology("ecp5"), raw
    )
    source = directory / f"{cycle.TOP}.v"
    assert source.exists()

    found, _, _ = cycle._simulate(
        replace(kept, raw_words=kept.raw_words[:-1]), source, directory, False, lambda _: None
    )

    assert [(kept.probes[i].what, got) for i, _, _, got in found if got is None]


@pytest.mark.parametrize(
    ("options", "waves"),
    [
        ({"schedule": "exponential", "code": "centred", "firing": "overlapped", "steps": 6}, True),
        ({"schedule": "inverse", "code": "offset"}, False),
    ],
    ids=["overlapped", "weighted"],
)
def test_other_firings_and_schedules_stand_on_their_cycles(tmp_path, options, waves):
    folding = {"fc1": Folding(pe=2, simd=4), "fc2": Folding(pe=2, simd=2)}
    design = specimen.random_design(seed=6, folding=folding, **options)

    result = check_cycles(
        design, RAW, tmp_path, technology="ice40-hx", stalls=(0.2, 0.3), waves=waves
    )

    assert result.mismatches == ()
    if waves:
        assert result.waves.read_text(errors="replace")[:200].startswith("$version")
    else:
        assert result.waves is None


def test_products_in_the_place_of_events_stand_on_their_cycles(tmp_path):
    folding = {"fc1": Folding(pe=6, simd=4), "fc2": Folding(pe=2, simd=3)}
    design = specimen.random_design(seed=6, folding=folding).with_synapse("multiply")

    result = check_cycles(design, RAW, tmp_path, technology="ecp5", stalls=(0.2, 0.3))

    assert result.mismatches == ()


def test_no_sample_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^the cycle check needs at least one sample$"):
        check_cycles(settled(), RAW[:0], tmp_path)


def test_a_system_without_a_compiler_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))

    with pytest.raises(ValueError, match=r"must have g\+\+, which is missing \(install"):
        check_cycles(settled(), RAW, tmp_path / "check")

    assert not (tmp_path / "check").exists()


# -- windows -----------------------------------------------------------------------------------

LAYERS = (
    {"conv": 4, "window": (3, 3), "padding": (1, 1, 1, 1)},
    {"depthwise": True, "window": (3, 2), "padding": (1, 1, 1, 0), "stride": (2, 2)},
    {"conv": 2, "window": (1, 1)},
    {"pooled": 3},
)
IMAGES = np.random.default_rng(2).integers(-20, 21, (2, 6 * 5 * 2))


def windows():
    """Return a chain whose padding sends events, for its code is an offset one."""
    return specimen.random_windows(
        shape=(6, 5, 2),
        layers=LAYERS,
        code="offset",
        input_range=(-20, 20),
        folding={
            "input": Folding(pe=2),
            "conv1": Folding(pe=2, simd=2),
            "depthwise2": Folding(pe=2, unroll=3),
            "conv3": Folding(pe=2, simd=2),
            "pooled4": Folding(pe=3, simd=2, unroll=3),
        },
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def of_windows() -> str:
    """Return the RTL of the design above, written once."""
    return cycle.hardware(Core(windows(), "ecp5"))


@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.4, 0.5)])
def test_every_word_of_windows_stands_on_its_cycle(images, of_windows, stalls):
    result = check_cycles(windows(), IMAGES, images, verilog=of_windows, stalls=stalls)

    assert result.mismatches == ()
    assert result.words > 1500


def test_a_weight_of_a_kernel_is_seen_and_named(images, of_windows):
    design = windows()
    operand = design["conv1"].operands[0]
    projection = operand.projections[0]
    kernel = projection.map.kernel.copy()
    kernel[3, 1, 2, 0] ^= 1
    faulty = replace(projection, map=replace(projection.map, kernel=kernel))
    other = changed(design, "conv1", operands=(replace(operand, projections=(faulty,)),))

    found = check_cycles(other, IMAGES, images, verilog=of_windows).mismatches

    assert found
    first = next(m for m in found if m.what == "sum")
    assert first.layer == "conv1"
    assert first.neuron // 30 == 3
    assert {m.neuron // 30 for m in found if m.layer == "conv1" and m.what == "sum"} == {3}


def test_a_window_that_waits_for_a_line_too_many_is_seen(images, of_windows):
    timing = core_timing(windows(), "ecp5")
    conv1 = timing.layers[0]
    first = replace(conv1.bands[0], needs=conv1.bands[0].needs + 1)
    reader = replace(conv1.readers[0], bands=(first, *conv1.bands[1:]))
    late = replace(conv1, readers=(reader,))

    timing = replace(timing, layers=(late, *timing.layers[1:]))
    found = check_cycles(windows(), IMAGES, images, verilog=of_windows, timing=timing).mismatches

    assert found
    assert found[0].layer == "conv1"


def column_to_the_right(walk):
    """Read every tap from the pixel beside its own."""
    top, left = walk.padding
    walk.padding = top, left - 1


def line_too_early(walk):
    """Give each line back a row of windows before the last one that reads it."""
    walk.releases = (*walk.releases[1:], walk.releases[0])
    walk.needs = (walk.needs[0], *(need - 1 for need in walk.needs[1:]))


@pytest.mark.parametrize("plant", [column_to_the_right, line_too_early])
def test_a_window_led_astray_is_seen_in_its_sums(images, plant):
    core = Core(windows(), "ecp5")
    plant(core.layers[0].readers[0].walk)

    found = check_cycles(windows(), IMAGES, images, under_test=core).mismatches

    sums = {m.layer for m in found if m.what == "sum"}
    assert "conv1" in sums


# -- joins -------------------------------------------------------------------------------------


def test_every_word_of_a_residual_network_stands_on_its_cycle_and_a_shortcut_is_seen(tmp_path):
    folding = {
        "input": Folding(pe=2),
        "first": Folding(pe=4, simd=2, unroll=3),
        "inner1": Folding(pe=4, simd=4),
        "join1": Folding(pe=4, simd=4),
        "inner2": Folding(pe=3, simd=4),
        "join2": Folding(pe=6, simd=2, unroll=3),
        "inner3": Folding(pe=2, simd=6),
        "join3": Folding(pe=4, simd=4),
        "out": Folding(pe=3, simd=8),
    }
    design = random_joins(shape=(4, 3, 2), code="offset", input_range=(-20, 20), folding=folding)
    images = IMAGES[:, :24]
    verilog = cycle.hardware(Core(design, "ecp5"))

    result = check_cycles(design, images, tmp_path, verilog=verilog, stalls=(0.2, 0.4))

    assert result.mismatches == ()
    assert result.words > 1000
    operand = design["join1"].operands[0]
    short = operand.projections[1]
    factor = short.map.factor.copy()
    factor[2] ^= 1
    faulty = replace(short, map=replace(short.map, factor=factor))
    operand = replace(operand, projections=(operand.projections[0], faulty))
    other = changed(design, "join1", operands=(operand,))
    found = check_cycles(other, images, tmp_path, verilog=verilog).mismatches
    assert found[0].layer == "join1"
    assert {m.neuron // 12 for m in found if m.layer == "join1" and m.what == "sum"} == {2}


@pytest.mark.parametrize(
    "options",
    [
        {"function": "gelu", "code": "offset"},
        {"function": "leaky_relu", "code": "offset"},
        {"limit": 7},
        {"function": "abs", "firing": "overlapped", "schedule": "exponential", "code": "offset"},
    ],
    ids=lambda options: options.get("function", "limit"),
)
def test_every_word_of_other_functions_stands_on_its_cycle(options, tmp_path):
    folding = FOLDING | {"fc1": Folding(pe=3, simd=4)}
    design = specimen.random_design(seed=5, folding=folding, **options)

    result = check_cycles(design, RAW, tmp_path, stalls=(0.2, 0.2))

    assert result.mismatches == ()


def test_another_entry_is_named_by_its_target(tmp_path):
    folding = FOLDING | {"fc1": Folding(pe=3, simd=4)}
    design = specimen.random_design(seed=5, folding=folding, function="gelu", code="offset")
    table = design["fc1"].table
    used = golden.trace(design, RAW[0]).populations["fc1"].requantised[0][0, 2]
    entries = table.entries.copy()
    entries[min(max(used - table.first, 0), len(entries) - 1)] -= 1
    other = changed(design, "fc1", table=replace(table, entries=entries))

    result = check_cycles(other, RAW, tmp_path, under_test=Core(design, "ecp5"))

    assert (result.mismatches[0].layer, result.mismatches[0].what) == ("fc1", "target")
