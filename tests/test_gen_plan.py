"""Plans against numbers worked out by hand, and against what the weights can reach."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import LayerOptions
from signfire.gen.core.plans import check_hardware, no_hardware, plan_layers
from signfire.gen.design.folding import Folding as F
from signfire.gen.layers.plan import FEEDBACK_CYCLES
from signfire.gen.layers.readout.plan import READOUT_PACE, ReadoutPlan
from signfire.gen.model.codes import Schedule
from signfire.gen.model.maps import Dense
from signfire.gen.technology import TECHNOLOGIES, find_technology
from signfire.sim import golden
from signfire.sim.specimens.chains import random_design, random_planes_network
from signfire.sim.specimens.pairs import random_pairs

FOLDING = {"input": F(pe=2), "fc1": F(pe=3, simd=4, unroll=2), "fc2": F(pe=2, simd=3)}


def plans(design, technology: str = "ecp5"):
    return plan_layers(design, find_technology(technology))


def test_loops_of_a_folding_by_hand(make_design):
    # 8 inputs of T=2, 6 neurons of T=4, 4 outputs
    entry, (first, second) = plans(make_design(folding=FOLDING))

    assert (4, 2) == (entry.words, entry.lanes)
    assert (2, 2, 1) == (first.tiles, first.words, first.planes)
    assert (2, 2, 4) == (second.tiles, second.words, second.planes)
    assert (2, 3) == (first.source_lanes, second.source_lanes)


@pytest.mark.parametrize(
    ("pe", "simd", "lanes", "period"),
    [
        (6, 8, 6, 4),  # one word a plane: 6 neurons at T=4 need all lanes, and still 4 cycles
        (6, 1, 3, 8),  # 8 words: 3 lanes drain two groups of T=4 meanwhile
        (2, 1, 1, 8),
        (1, 8, 1, 4),
    ],
)
def test_fewest_lanes_that_keep_pace_with_the_reading(make_design, pe, simd, lanes, period):
    folding = {"fc1": F(pe=pe, simd=simd, unroll=2), "fc2": F(simd=6)}

    _, (first, _) = plans(make_design(folding=folding))

    assert (lanes, period) == (first.lanes, first.period)
    written = 8  # words of a neuron each that a sample comes in, one a cycle
    assert first.interval == max(6 // pe * period, written)


def test_lanes_fill_the_words_of_the_next_layer(make_design):
    for simd in (1, 2, 3, 6):
        folding = {"fc1": F(pe=6, simd=8), "fc2": F(simd=simd)}

        _, (first, _) = plans(make_design(folding=folding))

        assert simd % first.lanes == 0


def test_the_readout_gives_a_logit_every_other_cycle(make_design):
    _, (only,) = plans(make_design(sizes=(4, 6), folding={"fc1": F(pe=6, simd=4, unroll=2)}))

    assert (1, READOUT_PACE, 6 * READOUT_PACE) == (only.lanes, only.pace, only.period)


@pytest.mark.parametrize("firing", ["settled", "overlapped"])
def test_a_weighted_group_does_not_return_before_its_feedback(make_design, firing):
    design = make_design(
        firing=firing,
        schedule="exponential",
        input_steps=4,
        folding={"fc1": F(pe=1, simd=8), "fc2": F(pe=1, simd=6)},
    )

    _, layers = plans(design)

    assert all(plan.weighted and plan.period >= FEEDBACK_CYCLES for plan in layers)


def test_the_fifo_holds_the_tile_that_begins_and_all_under_way(make_design):
    _, layers = plans(make_design(folding=FOLDING))

    for plan in layers:
        assert plan.fifo_depth % plan.groups == 0
        assert plan.fifo_depth >= 2 * plan.groups


@pytest.mark.parametrize("firing", ["settled", "overlapped"])
@pytest.mark.parametrize("code", ["silent", "offset", "centred"])
def test_widths_hold_every_integrator_and_sum_and_no_bit_is_spare(make_design, firing, code):
    design = make_design(
        firing=firing,
        code=code,
        steps=3,
        input_range=(-4, 4) if code != "silent" else (0, 9),
        input_steps=3,
        folding={"fc1": F(), "fc2": F()},
    )
    raw = np.random.default_rng(0).integers(0, 5, (20, 8))

    for plan in plans(design)[1]:
        low, high = plan.sum_range
        events = np.where(plan.weights > 0, 1, 0)
        assert high == (plan.weights * events).sum(axis=1).max()
        assert low == (plan.weights * (1 - events)).sum(axis=1).min()
        scale = 1 if plan.weighted else plan.source_code.total
        assert -(1 << (plan.total_width - 1)) <= low * scale
        assert high * scale < 1 << (plan.total_width - 1)
        assert max(-low * scale - 1, high * scale) >= 1 << (plan.total_width - 2)
        assert plan.x_bound < 1 << (plan.x_width - 1) <= 2 * plan.x_bound
        for sample in raw:
            trace = golden.trace(design, sample).populations[plan.name]
            assert np.abs(trace.integrators[0]).max() <= plan.x_bound
            if plan.kind != "readout":
                assert trace.targets.max() <= plan.target_range[1]


@pytest.mark.parametrize("code", ["silent", "offset", "centred"])
def test_folded_constants_stand_for_the_same_integrator(make_design, code):
    design = make_design(code=code, folding={"fc1": F(), "fc2": F()})
    raw = np.array([17, 0, 255, 3, 90, 200, 128, 64])
    trace = golden.trace(design, raw)

    for plan in plans(design)[1]:
        seen = trace.populations[plan.name].integrators[0]
        events = trace.populations[plan.source.name].events
        eta = np.array(plan.source_code.eta)
        assert plan.start.tolist() == [seen[0].tolist()]
        x = plan.folded_bias[0] + 2 * plan.weights @ (eta @ events)
        assert x.tolist() == seen[-1].tolist()


def test_the_silent_code_folds_to_the_bias_alone(make_design):
    _, layers = plans(make_design(code="silent", folding={"fc1": F(), "fc2": F()}))

    assert all((plan.folded_bias == plan.bias).all() for plan in layers)


def test_a_refolded_plan_is_the_plan_of_that_folding(make_design):
    design = make_design(folding=FOLDING)
    other = F(pe=6, simd=2, unroll=1)
    _, (first, _) = plans(design)

    refolded = first.refolded(other, source_lanes=1, simd=3)

    _, (wanted, _) = plans(design.with_folding({"input": F(pe=1), "fc1": other}))
    for name in ("lanes", "period", "interval", "fifo_depth", "words", "tiles", "source_lanes"):
        assert getattr(wanted, name) == getattr(refolded, name), name


@pytest.mark.parametrize(
    ("technology", "depth", "width", "blocks"),
    [
        ("ice40-up", 256, 16, 1),
        ("ice40-up", 257, 16, 2),
        ("ice40-up", 512, 8, 1),
        ("ice40-up", 100, 40, 3),
        ("ecp5", 512, 36, 1),
        ("ecp5", 1024, 18, 1),
        ("ecp5", 128, 3136, 88),
        ("gowin", 16384, 1, 1),
    ],
)
def test_blocks_by_hand(technology, depth, width, blocks):
    assert blocks == TECHNOLOGIES[technology].blocks(depth, width)


def test_small_memories_stay_out_of_block_ram():
    up, ecp5 = TECHNOLOGIES["ice40-up"], TECHNOLOGIES["ecp5"]

    assert ["logic", "block"] == [up.rom_style(16, 200), up.rom_style(784, 16)]
    assert ["logic", "block"] == [up.ram_style(4, 8), up.ram_style(64, 49)]
    assert ["distributed", "block"] == [ecp5.ram_style(16, 8), ecp5.ram_style(512, 36)]


def test_an_unknown_technology_is_refused():
    with pytest.raises(
        ValueError,
        match=r"^technology must be one of ice40-up, ice40-hx, ecp5, gowin, not 'asic'$",
    ):
        find_technology("asic")


def test_a_layer_without_folding_is_refused(make_design):
    design = make_design(folding={"fc1": F()})

    with pytest.raises(ValueError, match=r"^'fc2' has no folding \(give --fold, or --fold auto\)$"):
        check_hardware(design)


def test_a_layer_that_nobody_reads_is_refused(make_design):
    design = make_design(sizes=(4, 4, 3), folding={"fc1": F(), "fc2": F()})
    readout = design.readout
    projection = replace(
        readout.operands[0].projections[0], source="input", map=Dense(np.ones((3, 4), int), (4,))
    )
    operand = replace(readout.operands[0], projections=(projection,))
    skipping = replace(
        design, populations=(*design.populations[:-1], replace(readout, operands=(operand,)))
    )

    with pytest.raises(
        ValueError,
        match=r"^there is no RTL for this network: 'fc1' is read by no other \(the golden "
        r"model runs it: use signfire evaluate\)$",
    ):
        check_hardware(skipping)


def test_operands_that_there_is_no_hardware_for():
    design = random_pairs(layers={"pair": LayerOptions(schedule=Schedule(kind="constant"))})

    assert no_hardware(random_pairs()) is None
    assert no_hardware(design) == (
        "there is no RTL for this network: 'pair' has two operands, for which firing must be "
        "settled and the schedule binary (the golden model runs it: use signfire evaluate)"
    )


def test_the_second_operand_is_folded_as_far_as_it_divides():
    design = random_pairs(
        rows=(2, 2),
        layers={"second": LayerOptions(steps=6)},
        folding={
            "first": F(pe=8, simd=6),
            "second": F(pe=8, simd=8),
            "pair": F(pe=4, simd=4, unroll=4),
            "out": F(),
        },
    )
    _, (_, _, pair, _) = plans(design)

    first, second = pair.parts
    assert [(4, 4, 4), (1, 4, 3)] == [
        (p.folding.pe, p.folding.simd, p.folding.unroll) for p in (first, second)
    ]
    assert [(8, 2, 2, 1), (1, 1, 2, 2)] == [
        (p.outputs, p.tiles, p.words, p.planes) for p in (first, second)
    ]
    assert (8, 8) == (first.weights.shape[1], second.weights.shape[1])
    # neurons take T = 4 cycles a word, and 2 tiles of 4 outputs come as lanes that keep pace
    assert pair.interval == max(first.interval, 4 * 8 // pair.lanes * 4)
    assert second.interval == 4 * 2 * 2 < first.interval


def test_every_kind_of_map_without_two_operands_has_hardware():
    network = random_planes_network(seed=0, planes=(1, 7, 6))
    samples = np.random.default_rng(0).integers(0, 256, (9, *network.input.shape), np.uint8)
    design = calibrate(network, samples)

    assert design["mean"].function == "linear"
    assert no_hardware(design) is None


WINDOW = {"window": (3, 3), "padding": (1, 1, 1, 1)}


def test_planes_for_outputs_have_hardware(make_windows):
    design = make_windows(layers=({"conv": 4, **WINDOW}, {"pool": (2, 2)}))
    design = design.with_folding({p.name: F() for p in design.populations[1:]})

    _, (_, readout) = plans(design)

    assert no_hardware(design) is None
    assert readout.logits == 4 * 6 * 5


def test_a_board_has_no_more_outputs_than_its_record_holds(make_windows):
    design = make_windows(layers=({"conv": 4, **WINDOW}, {"pool": (2, 2)}))
    wide = replace(design.readout, shape=(4, 128, 129))

    assert ReadoutPlan.refuses(design, wide) == "has 66,048 outputs, and 65,535 are the most"


def test_loops_of_windows_by_hand(make_windows):
    # 7x6 pixels, 3x3 padded, 4 channels; then the means of 2x2; then 3x3x4 values to 3 outputs
    folding = {"conv1": F(pe=2), "pool2": F(pe=4), "dense3": F(pe=3, simd=6)}
    _, (conv, pool, dense) = plans(make_windows(folding=folding))

    assert (42, 2, 9, 9) == (conv.windows, conv.tiles, conv.words, conv.weight_words)
    assert (9, 1, 4, 1) == (pool.windows, pool.tiles, pool.words, pool.weight_words)
    assert (1, 1, 6, 6) == (dense.windows, dense.tiles, dense.words, dense.weight_words)
    readers = [p.readers[0] for p in (conv, pool, dense)]
    assert [(4, 6), (5, 6), (2, 6)] == [(r.lines, r.line_words) for r in readers]
    assert [1, 4, 6] == [r.word for r in readers]
    assert (42 * 2 * 2 * 9, 42) == (conv.interval, len(conv.order) // conv.outputs)


@pytest.mark.parametrize(
    ("technology", "bits", "steps", "pe", "packed"),
    [
        ("ecp5", 4, 2, 6, 3),  # fields of 6 bits: 6 + 6 + 4 of 18
        ("ecp5", 4, 2, 4, 2),  # two blocks either way, so two outputs each
        ("ecp5", 8, 8, 6, 1),
        ("ice40-up", 4, 4, 6, 2),  # 8 + 4 of 16
        ("ice40-up", 4, 2, 1, 0),  # 4 + 3 bits: Yosys takes LUTs below 11
        ("gowin", 4, 2, 6, 0),  # a factor below 4 bits goes to LUTs
        ("gowin", 4, 3, 6, 3),
        ("ice40-hx", 4, 4, 6, 0),  # has no blocks
    ],
)
def test_a_block_serves_as_many_outputs_as_lie_in_it(technology, bits, steps, pe, packed):
    design = random_design(sizes=(8, 12, 4), weight_bits=bits, input_steps=steps)
    folding = {"fc1": F(pe=pe, simd=2, synapse="multiply"), "fc2": F()}

    _, plans = plan_layers(design.with_folding(folding), TECHNOLOGIES[technology])

    assert [packed, 0] == [plan.packed for plan in plans]
