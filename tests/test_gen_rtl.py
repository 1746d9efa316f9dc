"""Whole cores in Amaranth's simulator against the golden model, integrator by integrator."""

import re
from itertools import pairwise, product

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from signfire.gen.core.core import Core, core_timing, plain_names, to_verilog
from signfire.gen.design.folding import Folding as F
from signfire.gen.layers.cycles import first_logit, predict, steady
from signfire.gen.layers.rtl import weight_rom
from signfire.gen.model.codes import Schedule
from signfire.gen.technology import TECHNOLOGIES
from signfire.hdl.multiplier_array import stored_weights
from signfire.sim import golden

LIST = Schedule(kind="list", values=(7, 3, 4, 1))
TIMES = {"synapse": "multiply"}
DESIGNS = {  # arguments of random_design, technology
    "one layer": (dict(sizes=(6, 5), folding={"fc1": F(pe=5, simd=2)}), "ecp5"),
    "pe and simd 1": (dict(folding={"fc1": F(), "fc2": F()}), "ecp5"),
    "pe and simd all, unroll T": (
        dict(
            input_steps=3,
            folding={
                "input": F(pe=8),
                "fc1": F(pe=6, simd=8, unroll=3),
                "fc2": F(pe=4, simd=6, unroll=4),
            },
        ),
        "ecp5",
    ),
    "three layers, T differs": (
        dict(
            sizes=(6, 4, 6, 3),
            steps=(3, 5),
            input_steps=2,
            folding={
                "input": F(pe=3),
                "fc1": F(pe=2, simd=6, unroll=2),
                "fc2": F(pe=6, simd=2),
                "fc3": F(pe=1, simd=3),
            },
        ),
        "ice40-up",
    ),
    "offset code, signed input": (
        dict(code="offset", input_range=(-128, 127), folding={"fc1": F(pe=3, simd=4), "fc2": F()}),
        "ecp5",
    ),
    "centred code, signed input, 8-bit weights": (
        dict(
            code="centred",
            input_range=(-7, 3),
            weight_bits=8,
            folding={"fc1": F(pe=2, simd=2, unroll=2), "fc2": F(pe=2, simd=3)},
        ),
        "gowin",
    ),
    "multipliers in LUTs": (dict(folding={"fc1": F(pe=2, simd=2), "fc2": F(pe=4)}), "ice40-hx"),
    "multipliers in the place of events": (
        dict(folding={"fc1": F(pe=6, simd=8, **TIMES), "fc2": F(pe=4, simd=3, **TIMES)}),
        "ice40-up",
    ),
    "multipliers beside events, an output each": (
        dict(
            code="centred",
            input_range=(-7, 3),
            weight_bits=8,
            folding={"fc1": F(pe=3, simd=2), "fc2": F(pe=1, simd=3, **TIMES)},
        ),
        "gowin",
    ),
    "products of LUTs": (
        dict(
            folding={
                "fc1": F(pe=2, simd=4, **TIMES),
                "fc2": F(pe=2, simd=2, synapse="multiply-lut"),
            }
        ),
        "ice40-hx",
    ),
    "exponential, settled": (
        dict(schedule="exponential", code="offset", folding={"fc1": F(pe=2, simd=4), "fc2": F()}),
        "ecp5",
    ),
    "inverse, settled, multipliers in LUTs": (
        dict(schedule="inverse", steps=5, folding={"fc1": F(pe=6, simd=8), "fc2": F(pe=2)}),
        "ice40-hx",
    ),
    "constant, settled": (
        dict(schedule="constant", steps=6, folding={"fc1": F(pe=3), "fc2": F(pe=4, simd=2)}),
        "ice40-up",
    ),
    "list, settled": (
        dict(schedule=LIST, input_steps=4, folding={"fc1": F(pe=1, simd=8), "fc2": F(simd=6)}),
        "ecp5",
    ),
    "exponential, overlapped, centred": (
        dict(
            firing="overlapped",
            schedule="exponential",
            code="centred",
            steps=16,
            folding={"fc1": F(pe=2, simd=4), "fc2": F(pe=2, simd=2)},
        ),
        "ecp5",
    ),
    "binary, overlapped, silent": (
        dict(firing="overlapped", steps=5, folding={"fc1": F(pe=6, simd=8), "fc2": F(simd=2)}),
        "ice40-hx",
    ),
    "inverse, overlapped, offset, three layers": (
        dict(
            firing="overlapped",
            schedule="inverse",
            code="offset",
            steps=4,
            sizes=(4, 6, 4, 2),
            input_range=(-8, 7),
            folding={"fc1": F(pe=6, simd=2), "fc2": F(pe=1, simd=6), "fc3": F(pe=2, simd=4)},
        ),
        "ice40-up",
    ),
    "constant, overlapped": (
        dict(firing="overlapped", schedule="constant", steps=3, folding={"fc1": F(), "fc2": F()}),
        "gowin",
    ),
}
SWEEP = [  # foldings of 8-6-4: pe, simd, unroll of each layer, input lanes
    (F(pe=pe1, simd=simd1, unroll=unroll1), F(pe=pe2, simd=simd2, unroll=unroll2), lanes)
    for pe1, simd1, unroll1 in [(1, 1, 1), (2, 8, 2), (3, 4, 1), (6, 8, 1), (6, 8, 2), (1, 8, 2)]
    for pe2, simd2, unroll2 in [(1, 1, 1), (4, 6, 4), (2, 3, 2), (4, 6, 1)]
    for lanes in (1, simd1)
]


WIDE = {"window": (3, 3), "padding": (1, 1, 1, 1)}
CONV = {"conv": 4, **WIDE}
DEPTHWISE = {"depthwise": True, **WIDE}
WINDOWS = {  # arguments of random_windows, technology
    "one by one": (
        dict(folding={"conv1": F(), "pool2": F(), "dense3": F()}),
        "ecp5",
    ),
    "lanes and steps in parallel": (
        dict(
            folding={
                "conv1": F(pe=2, unroll=2),
                "pool2": F(pe=4, unroll=3),
                "dense3": F(pe=3, simd=6),
            }
        ),
        "ice40-up",
    ),
    "multipliers": (
        dict(
            layers=(CONV, DEPTHWISE, {"pool": (2, 2)}, {"conv": 6, "window": (1, 1)}, {"dense": 3}),
            code="offset",
            input_range=(-20, 20),
            folding={
                "conv1": F(pe=4, **TIMES),
                "depthwise2": F(pe=2, **TIMES),
                "pool3": F(pe=2, **TIMES),
                "conv4": F(pe=6, simd=2, **TIMES),
                "dense5": F(pe=1, simd=3, **TIMES),
            },
        ),
        "ecp5",
    ),
    "strides, depthwise, one pixel, mean": (
        dict(
            layers=(
                {**CONV, "stride": (2, 2)},
                DEPTHWISE,
                {"conv": 6, "window": (1, 1)},
                {"pooled": 3},
            ),
            folding={
                "conv1": F(pe=2),
                "depthwise2": F(pe=2),
                "conv3": F(pe=3, simd=2),
                "pooled4": F(pe=3, simd=3),
            },
        ),
        "gowin",
    ),
    "groups": (
        dict(
            shape=(4, 4),
            code="offset",
            layers=(
                {"conv": 8, "window": (2, 2)},
                {"conv": 6, "groups": 2, **WIDE},
                {"conv": 6, "groups": 3, "window": (2, 1)},
                {"conv": 12, "groups": 6, "window": (1, 2)},
                {"dense": 3},
            ),
            folding={
                "conv1": F(pe=4),
                "conv2": F(simd=2, unroll=3),  # two words of a pixel, three tiles that share them
                "conv3": F(pe=2, simd=2, **TIMES),
                "conv4": F(),
                "dense5": F(pe=3, simd=4),
            },
        ),
        "ecp5",
    ),
    "three signed planes, offset code": (
        dict(
            shape=(6, 5, 3),
            code="offset",
            input_range=(-20, 20),
            layers=(CONV, DEPTHWISE, {"dense": 3}),
            folding={
                "input": F(pe=3),
                "conv1": F(pe=4, simd=3),
                "depthwise2": F(pe=4, unroll=3),
                "dense3": F(pe=1, simd=4),
            },
        ),
        "ecp5",
    ),
    "windows of any shape": (
        dict(
            shape=(9, 11),
            layers=(
                {"conv": 2, "window": (1, 1), "stride": (2, 2)},
                {"conv": 4, "window": (2, 3), "padding": (0, 2, 3, -1), "stride": (1, 2)},
                {"pool": (4, 2)},
                {"dense": 3},
            ),
            folding={
                "conv1": F(pe=2),
                "conv2": F(pe=2, simd=2),
                "pool3": F(pe=4),
                "dense4": F(pe=3, simd=4),
            },
        ),
        "ice40-hx",
    ),
    "signals": (
        dict(
            shape=(1, 20),
            layers=(
                {"conv": 4, "window": (1, 5), "padding": (0, 0, 2, 2)},
                {"conv": 4, "window": (1, 3), "stride": (1, 2)},
                {"dense": 3},
            ),
            folding={
                "conv1": F(pe=2),
                "conv2": F(pe=2, simd=2),
                "dense3": F(pe=3, simd=4),
            },
        ),
        "ecp5",
    ),
}
ORDER = [(p, i, j) for p in (0, 2) for i in (0, 1) for j in (2, 3)]  # of a word of 4 x 2 weights
ALL = {name: ("make_design", *rest) for name, rest in DESIGNS.items()}
ALL |= {f"windows, {name}": ("make_windows", *rest) for name, rest in WINDOWS.items()}


@pytest.fixture
def made(request):
    """Return the function that makes the Design of a name in :data:`ALL`, and its technology."""

    def make(name: str):
        fixture, arguments, technology = ALL[name]
        return request.getfixturevalue(fixture)(**arguments), technology

    return make


def samples(design, count: int, seed: int = 0) -> np.ndarray:
    """Raw samples, the first at the low end of the range and the second at the high end."""
    fmt = design.input_format
    raw = np.random.default_rng(seed).integers(fmt.low, fmt.high + 1, (count, design.input.size))
    raw[:1], raw[1:2] = fmt.low, fmt.high
    return raw


def answers(design, raw: np.ndarray) -> list[dict]:
    """Return the words that the golden model expects at the results, without other labels."""
    result = golden.run(design, raw)
    return [
        {"logit": int(logit), "last": int(i == len(logits) - 1)}
        | ({"label": int(label)} if i == len(logits) - 1 else {})
        for logits, label in zip(result.logits, result.labels, strict=True)
        for i, logit in enumerate(logits)
    ]


def without_open_labels(results: list[dict]) -> list[dict]:
    """Drop the labels that stand before the last logit, which mean nothing yet."""
    return [
        word if word["last"] else {key: word[key] for key in ("logit", "last")} for word in results
    ]


def inner_values(core: Core, traces: list[golden.Trace]) -> dict:
    """Return what the observation ports show, in order, by (port, layer)."""
    values = {}
    for n, layer in enumerate(core.layers):
        plan = layer.plan
        pe, lanes = plan.folding.pe, plan.lanes
        for port in ("x",) if plan.kind == "readout" else ("x", "target", "fire"):
            values[port, n] = []
        for trace in traces:
            seen, apart = trace.populations[plan.name], plan.windows
            for window, tile in product(range(plan.windows), range(plan.tiles)):
                groups = [
                    slice(first * apart + window, (first + lanes) * apart, apart)
                    for first in range(tile * pe, (tile + 1) * pe, lanes)
                ]
                x = seen.integrators[0][1:] if plan.weighted else seen.integrators[0][-1:]
                values["x", n] += [(row[g].tolist(),) for row in x for g in groups]
                if plan.kind == "readout":
                    continue
                steps = range(len(seen.events))
                settled = [(t, g) for g in groups for t in steps]
                overlapped = [(t, g) for t in steps for g in groups]
                fired = overlapped if plan.overlapped else settled
                stands = overlapped if plan.overlapped else [(0, g) for g in groups]
                values["target", n] += [(seen.targets[t, g].tolist(),) for t, g in stands]
                values["fire", n] += [
                    (
                        seen.membranes[t, g].tolist(),
                        sum(int(bit) << i for i, bit in enumerate(seen.events[t, g])),
                    )
                    for t, g in fired
                ]
    return values


@pytest.fixture(scope="module", params=ALL)
def name(request):
    """One design after the other: its simulator serves all tests of it."""
    return request.param


def test_every_integrator_target_membrane_and_logit_is_the_golden_models(
    made, run_core, core_of, name
):
    design, technology = made(name)
    raw = samples(design, 3)
    if name.startswith("windows"):
        raw = raw[1:]  # planes are many words already
    core = core_of(design, technology)

    run = run_core(core, raw)

    assert answers(design, raw) == without_open_labels(run.results)
    expected = inner_values(core, [golden.trace(design, sample) for sample in raw])
    for place, values in expected.items():
        # a later sample is not under way: the run ends with the last logit
        assert values == run.values[place][: len(values)], place
        assert len(values) == len(run.values[place]), place


def test_stalls_at_both_ends_change_no_answer(made, run_core, core_of, name):
    design, technology = made(name)
    count = 2 if name.startswith("windows") else 3  # planes are many words already
    raw = samples(design, count, seed=1)
    core = core_of(design, technology)
    rng = np.random.default_rng(len(name))
    gaps = (rng.geometric(0.5, raw.size // core.lanes) - 1).tolist()
    ready = rng.random(6000) < 0.5
    ready[: predict(core_timing(design, technology), count, gaps=gaps).layers[-1].taken[-1]] = False

    # the sink wakes up when every sample would have been answered: all that can fill up is full
    run = run_core(core, raw, gaps=gaps, ready=ready.tolist())

    assert answers(design, raw) == without_open_labels(run.results)


@pytest.mark.parametrize(
    "name",
    [
        "three layers, T differs",
        "exponential, overlapped, centred",
        "windows, strides, depthwise, one pixel, mean",
    ],
)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_reset_in_the_middle_leaves_a_clean_state(made, run_core, core_of, name, share):
    design, technology = made(name)
    raw = samples(design, 2, seed=2)
    core = core_of(design, technology)
    timing = core_timing(design, technology)
    latency, _ = steady(timing)
    at = int(share * latency)

    run = run_core(core, raw, reset_at=at)

    assert answers(design, raw) == without_open_labels(run.results)
    # the answer comes when it would have come, had the core just been switched on
    taken = run.moved["taken", len(core.layers) - 1]
    assert at + 1 + first_logit(timing) == taken[0]
    assert at + 1 + latency == taken[design.readout.size - 1]


@pytest.mark.parametrize("firing", ["settled", "overlapped"])
def test_the_steady_interval_is_that_of_the_slowest_stage(make_design, firing):
    steps = {"settled": 2, "overlapped": 4}[firing]
    for first, second, lanes in SWEEP:
        if firing == "overlapped" and max(first.unroll, second.unroll) > 1:
            continue
        folding = {"input": F(pe=lanes), "fc1": first, "fc2": second}
        design = make_design(firing=firing, folding=folding, input_steps=steps)
        core = Core(design)

        _, interval = steady(core_timing(design, "ecp5"))

        encoding = core.input_plan.interval
        assert interval == max(encoding, *(plan.interval for plan in core.plans)), folding


def test_samples_follow_each_other_without_a_bubble(make_design, run_core):
    design = make_design(folding={"input": F(pe=4), "fc1": F(pe=2, simd=4), "fc2": F(pe=2, simd=2)})
    core = Core(design)
    raw = samples(design, 6)

    run = run_core(core, raw)

    slowest = max(range(2), key=lambda n: core.plans[n].interval)
    plan = core.plans[slowest]
    begins = run.moved["begins", slowest]
    assert [plan.tile_cycles] * (6 * plan.tiles - 1) == [b - a for a, b in pairwise(begins)]


def test_equal_logits_give_the_first_label(make_design, run_core):
    design = make_design(sizes=(2, 3), folding={"fc1": F(simd=2)})
    operand = design.readout.operands[0]
    operand.projections[0].map.weights[:] = 0
    operand.bias[:] = [4, 9, 9]

    run = run_core(Core(design), samples(design, 1))

    assert {"logit": 9, "label": 1, "last": 1} == run.results[-1]


@pytest.mark.parametrize("technology", TECHNOLOGIES)
@pytest.mark.parametrize("name", ALL)
def test_latency_is_read_off_the_components(made, name, technology):
    design, _ = made(name)

    for layer in Core(design, technology).layers:
        latency = layer.latency

        parts = (layer.weights, layer.synapses, layer.accumulator)
        assert sum(part.LATENCY for part in parts) == latency.total
        assert (layer.drain.LATENCY, layer.integrator.LATENCY) == (latency.drain, latency.x)
        if layer.plan.kind != "readout":
            tail = layer.tail
            assert tail.requantiser.LATENCY == latency.target
            assert tail.neurons.LATENCY == latency.result


def test_weights_lie_output_by_output_in_words_of_a_tile(make_design):
    design = make_design(sizes=(4, 4), folding={"fc1": F(pe=2, simd=2)}, weight_bits=4)
    plan = Core(design).plans[0]
    w = plan.weights

    rom = weight_rom(plan)

    assert (4, 16) == (len(rom.content), rom.width)
    # tile 1, word 0: outputs 2 and 3, inputs 0 and 1
    fields = [int(w[2, 0]), int(w[2, 1]), int(w[3, 0]), int(w[3, 1])]
    assert sum((f & 15) << (4 * i) for i, f in enumerate(fields)) == rom.content[2]


def test_weights_that_share_a_multiplier_lend_each_other(make_design):
    folding = {"fc1": F(pe=4, simd=2, **TIMES)}
    design = make_design(sizes=(4, 4), folding=folding, weight_bits=4, seed=3)
    plan = Core(design, "ecp5").plans[0]
    w = plan.weights

    rom = weight_rom(plan)

    assert (2, 32, 2) == (len(rom.content), rom.width, plan.packed)
    # word 1: outputs 0 and 1 share, 2 and 3 do; of each the inputs 2 and 3
    fields = [stored_weights([w[p, j], w[p + 1, j]])[i] for p, i, j in ORDER]
    assert sum((int(f) & 15) << (4 * i) for i, f in enumerate(fields)) == rom.content[1]
    assert fields != [w[p + i, j] for p, i, j in ORDER]  # some are less one


def test_kernels_lie_pixel_by_pixel_in_words_of_a_tile(make_windows):
    layers = ({"conv": 4, "window": (1, 3)}, {"dense": 2})
    folding = {"conv1": F(pe=2, simd=2), "dense2": F()}
    design = make_windows(shape=(1, 4, 2), layers=layers, folding=folding)
    kernel = next(design["conv1"].sources).map.kernel

    rom = weight_rom(Core(design).plans[0])

    assert (2 * 3, 2 * 2 * 4) == (len(rom.content), rom.width)
    # tile 1, word 2: outputs 2 and 3, both channels of the third pixel
    fields = [int(kernel[o, c, 0, 2]) for o in (2, 3) for c in (0, 1)]
    assert sum((f & 15) << (4 * i) for i, f in enumerate(fields)) == rom.content[3 + 2]


def test_ports_are_the_documented_streams(make_design):
    design = make_design(
        sizes=(4, 3), folding={"input": F(pe=2), "fc1": F(simd=4)}, input_range=(-4, 9)
    )
    core = Core(design)

    text = to_verilog(core, name="core")

    assert core.raw_shape.signed and 5 == core.raw_shape.width
    width = core.result_layout.size
    assert "module core(" in text
    assert "input [9:0] samples_payload;" in text
    assert f"output [{width - 1}:0] results_payload;" in text
    for port in ("samples_valid", "samples_ready", "results_valid", "results_ready"):
        assert f"put {port};" in text


def test_observed_signals_have_no_double_underscores(make_design):
    """Verilator writes the second of two underscores as a number."""
    design = make_design(sizes=(6, 4, 3), folding={"fc1": F(pe=2), "fc2": F(simd=2)})

    names = set(re.findall(r"[\w$]+", to_verilog(Core(design))))

    observed = {"seen_total", "seen_x", "seen_membrane", "results_payload", "trains_0_valid"}
    assert observed <= names
    assert not {name.replace("_", "__", 1) for name in observed} & names


class Named(wiring.Component):
    """Ports of a stream, and others; a signal of the name ``inner``."""

    def __init__(self, members, inner="free"):
        super().__init__({"word": Out(stream.Signature(1)), **members})
        self.inner = inner

    def elaborate(self, platform):
        m = Module()
        kept = Signal(name=self.inner)
        m.d.sync += kept.eq(~kept)
        m.d.comb += self.word.valid.eq(kept)
        return m


def test_two_ports_of_one_name_are_refused():
    with pytest.raises(ValueError) as error:
        to_verilog(Named({"word_valid": In(1)}))

    assert (
        "ports must differ in their names, and word_valid and word.valid would both be "
        "'word_valid'" == str(error.value)
    )


def test_a_port_whose_name_a_signal_has_is_refused():
    with pytest.raises(ValueError) as error:
        to_verilog(Named({}, inner="word_valid"))

    assert "ports must differ from signals in their names, not 'word_valid'" == str(error.value)


def test_no_name_can_be_taken_for_a_bit(make_design):
    assert plain_names("wire [2:0] \\a.b[3] ;") == "wire [2:0] \\a.b(3) ;"
    text = to_verilog(Core(make_design(sizes=(4, 3), folding={"fc1": F(simd=4)})))

    assert re.search(r"\\\S+\(0\) ", text)
    assert not re.search(r"\\\S*\[", text)


def test_the_same_design_gives_the_same_netlist(make_design):
    arguments, technology = DESIGNS["three layers, T differs"]

    first, second = (
        rtlil.convert(Core(make_design(**arguments), technology), emit_src=False) for _ in range(2)
    )

    assert first == second
