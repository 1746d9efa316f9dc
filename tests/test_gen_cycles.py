"""The cycle model against the RTL: every transfer on its cycle, with and without stalls."""

import numpy as np
import pytest

from signfire.gen.core.core import core_timing
from signfire.gen.core.plans import plan_layers
from signfire.gen.design.folding import Folding as F
from signfire.gen.layers.cycles import (
    CoreTiming,
    LayerTiming,
    first_logit,
    predict,
    result_cycles,
    steady,
    total_cycles,
    x_cycles,
)
from signfire.gen.model.codes import Schedule
from signfire.gen.model.maps import Band
from signfire.gen.readers.reader import ReaderTiming
from signfire.gen.technology import find_technology
from signfire.sim.activity import busy_of

DESIGNS = {  # arguments of random_design, technology
    "one by one": (dict(folding={"fc1": F(), "fc2": F()}), "ecp5"),
    "lanes": (
        dict(folding={"input": F(pe=2), "fc1": F(pe=3, simd=4), "fc2": F(pe=4, simd=3)}),
        "ecp5",
    ),
    "unrolled": (
        dict(folding={"fc1": F(pe=2, simd=4, unroll=2), "fc2": F(pe=2, simd=2, unroll=4)}),
        "ecp5",
    ),
    "everything at once": (
        dict(
            folding={
                "input": F(pe=8),
                "fc1": F(pe=6, simd=8, unroll=2),
                "fc2": F(pe=4, simd=6, unroll=4),
            }
        ),
        "ice40-up",
    ),
    "T differs": (
        dict(
            sizes=(6, 4, 4, 3),
            steps=(3, 5),
            input_steps=2,
            folding={"fc1": F(pe=4, simd=2), "fc2": F(pe=1, simd=2), "fc3": F(pe=3, simd=4)},
        ),
        "ecp5",
    ),
    "multipliers": (
        dict(
            folding={
                "input": F(pe=4),
                "fc1": F(pe=3, simd=4, synapse="multiply"),
                "fc2": F(pe=2, simd=2, synapse="multiply"),
            }
        ),
        "ice40-up",
    ),
    "multipliers of LUTs, then events": (
        dict(folding={"fc1": F(pe=3, simd=8, synapse="multiply-lut"), "fc2": F(pe=4, simd=3)}),
        "gowin",
    ),
    "one layer": (dict(sizes=(9, 5), folding={"fc1": F(pe=5, simd=3)}), "gowin"),
    "slow encoder": (
        dict(input_steps=6, folding={"fc1": F(pe=6, simd=8), "fc2": F(pe=4, simd=6)}),
        "ice40-hx",
    ),
    "signed": (
        dict(input_range=(-128, 127), code="offset", folding={"fc1": F(pe=1, simd=8), "fc2": F()}),
        "ecp5",
    ),
    "exponential, settled": (
        dict(schedule="exponential", folding={"fc1": F(pe=2, simd=4), "fc2": F(pe=4, simd=2)}),
        "ecp5",
    ),
    "inverse, multipliers in LUTs": (
        dict(schedule="inverse", steps=5, folding={"fc1": F(pe=3, simd=2), "fc2": F(simd=3)}),
        "ice40-hx",
    ),
    "overlapped, exponential": (
        dict(
            firing="overlapped",
            schedule="exponential",
            code="centred",
            steps=9,
            folding={"fc1": F(pe=2, simd=4), "fc2": F(pe=2, simd=2)},
        ),
        "ecp5",
    ),
    "overlapped, binary": (
        dict(firing="overlapped", steps=4, folding={"fc1": F(pe=6, simd=8), "fc2": F(simd=2)}),
        "ice40-up",
    ),
    "overlapped, list, multipliers in LUTs": (
        dict(
            firing="overlapped",
            schedule=Schedule(kind="list", values=(5, 3, 2)),
            steps=3,
            sizes=(4, 4, 6, 2),
            folding={"fc1": F(pe=4, simd=2), "fc2": F(pe=3, simd=4), "fc3": F(pe=2, simd=6)},
        ),
        "ice40-hx",
    ),
    "constant, one step": (
        dict(
            schedule="constant",
            steps=1,
            input_steps=1,
            folding={"fc1": F(pe=2, simd=8), "fc2": F(pe=4, simd=2)},
        ),
        "ecp5",
    ),
    "skipping, results slower than words": (
        dict(
            sizes=(12, 8, 4),
            folding={
                "input": F(pe=2),
                "fc1": F(pe=4, simd=2, unroll=2, skips=True),
                "fc2": F(pe=2, simd=4, skips=True),
            },
        ),
        "ecp5",
    ),
    "skipping, multipliers": (
        dict(
            folding={
                "fc1": F(pe=6, simd=2, synapse="multiply", skips=True),
                "fc2": F(pe=2, simd=1, synapse="multiply", skips=True),
            }
        ),
        "ice40-up",
    ),
    "skipping, several words at once": (
        dict(
            sizes=(24, 6, 4),
            folding={
                "input": F(pe=12),
                "fc1": F(pe=6, simd=4, skips=True),
                "fc2": F(pe=2, simd=3, unroll=4, skips=True),
            },
        ),
        "ecp5",
    ),
    "skipping, every step by itself": (
        dict(
            firing="overlapped",
            schedule="exponential",
            steps=3,
            folding={"fc1": F(pe=3, simd=1, skips=True), "fc2": F(pe=4, simd=2, skips=True)},
        ),
        "gowin",
    ),
}
CONV = {"conv": 4, "window": (3, 3), "padding": (1, 1, 1, 1)}
WINDOWS = {  # arguments of random_windows
    "one by one": dict(folding={"conv1": F(), "pool2": F(), "dense3": F()}),
    "faster than its source": dict(
        folding={"conv1": F(pe=4, unroll=2), "pool2": F(pe=4, unroll=3), "dense3": F(pe=3, simd=12)}
    ),
    "multipliers": dict(
        folding={
            "conv1": F(pe=4, synapse="multiply"),
            "pool2": F(pe=2),
            "dense3": F(pe=3, simd=4, synapse="multiply"),
        }
    ),
    "slower at each layer": dict(
        layers=(CONV, CONV, {"conv": 6, "window": (2, 2), "stride": (2, 2)}, {"pooled": 3}),
        folding={
            "conv1": F(pe=4, unroll=2),
            "conv2": F(pe=2, simd=4),
            "conv3": F(),
            "pooled4": F(pe=3, simd=2),
        },
    ),
    "depthwise, lines left over": dict(
        shape=(8, 5, 2),
        layers=(
            {"depthwise": True, "window": (3, 3), "padding": (2, 0, 1, 1), "stride": (2, 1)},
            {"conv": 2, "window": (1, 1), "stride": (3, 2)},
            {"dense": 3},
        ),
        folding={"input": F(pe=2), "depthwise1": F(pe=2), "conv2": F(pe=2), "dense3": F(simd=2)},
    ),
}
STALLS = {"free": (0.0, 0.0), "stalled": (0.3, 0.6)}  # how often source and sink pause


def check_transfers(core, run_core, seed: int, stalls: str) -> None:
    """Compare every transfer of a run with its prediction; many words of it are silent."""
    design, technology = core.design, core.technology
    count = 3 if len(design.input.shape) == 1 else 2  # planes are many words already
    rng = np.random.default_rng(seed)
    fmt = design.input_format
    raw = rng.integers(fmt.low, fmt.high + 1, (count, design.input.size))
    raw[rng.random(raw.shape) < 0.5] = max(0, fmt.low)
    source, sink = STALLS[stalls]
    gaps = (rng.geometric(1 - source, raw.size // core.lanes) - 1).tolist()
    ready = (rng.random(5000) >= sink).tolist()

    run = run_core(core, raw, gaps=gaps, ready=ready)

    predicted = predict(
        core_timing(design, technology),
        count,
        gaps=gaps,
        ready=lambda cycle: cycle >= len(ready) or ready[cycle],
        busy=busy_of(design, core.plans, raw),
    )
    for place in ("accepted", "targets", "encoded"):
        assert getattr(predicted, place) == run.moved[place], place
    for n, layer in enumerate(predicted.layers):
        for place in ("begins", "released", "pushed", "taken"):
            assert getattr(layer, place) == run.moved[place, n], (place, n)


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("name", DESIGNS)
def test_every_transfer_falls_on_its_predicted_cycle(make_design, run_core, core_of, name, stalls):
    arguments, technology = DESIGNS[name]

    check_transfers(core_of(make_design(**arguments), technology), run_core, len(name), stalls)


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("name", WINDOWS)
def test_every_transfer_of_windows_falls_on_its_predicted_cycle(
    make_windows, run_core, core_of, name, stalls
):
    check_transfers(core_of(make_windows(**WINDOWS[name]), "ecp5"), run_core, len(name), stalls)


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.seeds(quick=3, deep=24)  # the first three are of three kinds
def test_windows_of_any_shape_keep_their_cycles(make_windows, run_core, core_of, seed, stalls):
    rng = np.random.default_rng(seed)

    def sliding(kind, number, size, limit):
        window = tuple(int(min(n, k)) for n, k in zip(rng.integers(1, 4, 2), size, strict=True))
        stride = tuple(int(n) for n in rng.integers(1, 3, 2))
        padding = tuple(int(n) for n in rng.integers(0, 3, 4))
        settings = {"stride": stride, "padding": padding}
        after = [
            (size[k] + padding[2 * k] + padding[2 * k + 1] - window[k]) // stride[k] + 1
            for k in range(2)
        ]
        layer = {kind: window} if kind == "pool" else {kind: number, "window": window}
        return {**layer, **settings}, after

    first, size = sliding("conv", 2, (6, 5), 3)
    kind = ["conv", "pool", "depthwise"][seed % 3]
    second, _ = sliding(kind, 4 if kind == "conv" else True, size, 3)
    last = {"pooled": 2} if seed % 2 else {"dense": 2}
    folding = {
        "input": F(),
        "conv1": F(pe=int(rng.integers(1, 3))),
        f"{kind}2": F(pe=2, unroll=int(rng.choice([1, 3]))),
        f"{next(iter(last))}3": F(pe=int(rng.integers(1, 3)), simd=2),
    }
    design = make_windows(shape=(6, 5), layers=(first, second, last), seed=seed, folding=folding)

    check_transfers(core_of(design, "ice40-up"), run_core, seed, stalls)


@pytest.mark.parametrize("name", DESIGNS)
def test_the_interval_has_settled(make_design, name):
    arguments, technology = DESIGNS[name]
    timing = core_timing(make_design(**arguments), technology)

    latency, interval = steady(timing)

    later = predict(timing, 30)
    assert latency == later.latency(0)
    assert {interval} == set(later.intervals[-8:])


@pytest.mark.parametrize("name", [name for name in DESIGNS if name.startswith("skipping")])
def test_no_sample_takes_longer_than_one_without_silence(make_design, name):
    arguments, technology = DESIGNS[name]
    design = make_design(**arguments)
    timing = core_timing(design, technology)
    _, plans = plan_layers(design, find_technology(technology))
    fmt, size = design.input_format, design.input.size
    most = steady(timing)[0]

    def latency(raw: np.ndarray) -> int:
        return predict(timing, 1, busy=busy_of(design, plans, raw)).latency()

    found = [latency(np.full((1, size), p)) for p in (fmt.high, max(0, fmt.low))]

    assert max(found) <= most
    assert found[1] < most


def layer(**changes) -> LayerTiming:
    """One layer with round numbers: 2 tiles of 3 planes of 4 words in 5 cycles."""
    reader = dict(stream=0, rows=4, parts=2, banks=2, end=4)
    reader |= {
        key: changes.pop(key)
        for key in ("rows", "parts", "banks", "bands", "end", "writes")
        if key in changes
    }
    numbers = dict(
        name="fc",
        readers=(ReaderTiming(**reader),),
        planes=3,
        tiles=2,
        words=4,
        period=5,
        groups=2,
        pace=3,
        fifo_depth=8,
        total=10,
        drain=1,
        x=2,
        target=0,
        result=3,
        each_step=False,
        fire_offset=1,
        fire_steps=0,
    )
    return LayerTiming(**numbers | changes)


def test_a_tile_by_hand():
    spec = layer()

    # the last words of the planes are read in cycles 103, 108, 113; the totals stand 10 later
    ends = spec.ends(100, None, 0)
    assert [113, 118, 123] == total_cycles(spec, ends)
    # group 0 leaves the drain a cycle later, group 1 three cycles after it; X takes two
    assert [[126, 129]] == x_cycles(spec, ends)
    assert [129, 132] == result_cycles(spec, ends)
    assert [[116, 119], [121, 124], [126, 129]] == x_cycles(layer(each_step=True), ends)


def test_a_tile_that_skips_silent_words_by_hand():
    spec = layer(skips=True, rest=6)

    # two, one (of a silent step, a word of zeros) and three words
    assert (101, 102, 105) == spec.ends(100, [2, 0, 3], -6)
    # the results of the tile before leave until cycle 108, those of every step six cycles apart
    assert (101, 102, 108) == spec.ends(100, [2, 0, 3], 102)
    assert (103, 109, 115) == layer(skips=True, rest=6, each_step=True).ends(100, [2, 0, 3], 97)
    # no word is silent
    assert (103, 107, 111) == spec.ends(100, None, -6)
    assert 12 == spec.tile_cycles < layer(skips=True, rest=13).tile_cycles


def test_a_core_that_skips_silent_words_by_hand():
    timing = CoreTiming(input_words=8, input_steps=2, layers=(layer(skips=True, rest=6),))

    predicted = predict(timing, 2, busy={"fc": np.array([[[2, 0, 3]], [[4, 4, 4]]])})

    # the first sample is there in cycle 24, see below; its second tile begins behind the first
    assert [24, 30] == predicted.layers[0].begins[:2]
    assert [(25, 26, 29), (31, 32, 35)] == predicted.layers[0].ends[:2]
    assert 35 == predicted.layers[0].released[0]
    begin = predicted.layers[0].begins[2]
    assert [(begin + 3, begin + 7, begin + 11)] == predicted.layers[0].ends[2:3]


def test_a_core_by_hand():
    timing = CoreTiming(input_words=8, input_steps=2, layers=(layer(),))

    predicted = predict(timing, 1)

    # a raw word waits one cycle and fires for two; the next is taken as it starts to fire. Two
    # words are a row, which takes three planes to write: the third train waits a cycle for them
    assert [0, 1, 3, 5, 8] == predicted.accepted[:5]
    assert [1, 3, 5, 8, 10] == predicted.targets[:5]
    assert [3, 5, 8, 10, 13, 15, 18, 20] == predicted.encoded
    # the last row is written in cycles 21 to 23
    assert [24, 39] == predicted.layers[0].begins
    assert [39 + 2 * 5 + 3] == predicted.layers[0].released
    first = 24 + 2 * 5 + 3 + 10 + 1 + 2 + 3
    assert [first, first + 3, first + 15, first + 18] == predicted.layers[0].pushed
    assert first + 1 - 0 == predicted.first_logit() == first_logit(timing)
    assert first + 18 + 1 - 0 == predicted.latency() == steady(timing)[0]  # the class, as last
    assert first + 1 - predicted.accepted[7] == predicted.answer()


def test_trains_that_are_scattered_one_by_one_by_hand():
    # words of three trains, which take three cycles to write though a plane is all that is read
    spec = layer(rows=4, parts=1, writes=3, planes=1)
    timing = CoreTiming(input_words=4, input_steps=1, layers=(spec,))

    predicted = predict(timing, 1)

    # the encoder gives a word every other cycle, and the third waits for the second to be written
    assert [2, 5, 8, 11] == predicted.encoded
    assert [11 + 1 + 3, 11 + 1 + 3 + 5] == predicted.layers[0].begins


def test_windows_by_hand():
    # four lines of a word; pairs of lines, then the third with the fourth; two lines fit at a time
    bands = (Band(windows=2, needs=2, frees=1), Band(windows=1, needs=3, frees=4))
    spec = layer(rows=1, parts=1, planes=1, banks=4, bands=bands, end=2, tiles=1, words=2, period=2)
    timing = CoreTiming(input_words=4, input_steps=1, layers=(spec,))

    predicted = predict(timing, 1)

    # a word is encoded every other cycle and written in the next one
    assert [2, 3, 4, 5] == predicted.encoded
    # the second line is there from cycle 5 on, the third one from cycle 6
    assert [5, 7, 9] == predicted.layers[0].begins
    assert [6, 8, 10] == predicted.layers[0].released
    assert [8] == predicted.layers[0].freed[0][:1]


def test_gaps_count_from_the_transfer_before():
    timing = CoreTiming(input_words=8, input_steps=2, layers=(layer(),))

    predicted = predict(timing, 1, gaps=[4, 0, 0, 7, 0, 0, 0, 0])

    assert [4, 5, 7, 15, 16] == predicted.accepted[:5]


def test_a_sink_that_never_is_ready_for_a_while_holds_the_words_back():
    timing = CoreTiming(input_words=8, input_steps=2, layers=(layer(),))

    predicted = predict(timing, 1, ready=lambda cycle: cycle >= 300)

    assert [300, 301, 302, 303] == predicted.layers[0].taken
