"""Analysis and robustness: numbers that others can check, and pages that hold them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.model.codes import Schedule
from signfire.gen.model.maps import Conv, Dense, Layout
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.sim import golden
from signfire.tools import analysis, api, cli, console, robustness
from signfire.tools.analysis import PAPER, function_error

TOOLS = Path(__file__).resolve().parents[1] / "tools"


def network(function: str = "relu") -> Network:
    rng = np.random.default_rng(2)

    def dense(name, kind, source, n_in, n_out):
        linear = Dense(rng.normal(0, 2 * n_in**-0.5, (n_out, n_in)), (n_in,))
        operand = Operand(
            projections=(Projection(source=source, map=linear),), bias=rng.normal(0, 0.2, n_out)
        )
        return Population(name=name, shape=(n_out,), function=kind, operands=(operand,))

    return Network(
        name="net",
        populations=(
            Population(name="input", shape=(8,), function="input"),
            dense("fc1", function, "input", 8, 16),
            dense("fc2", "readout", "fc1", 16, 4),
        ),
    )


@pytest.fixture(scope="module")
def data() -> api.Dataset:
    x = np.random.default_rng(0).uniform(0, 1, (120, 8))
    return api.Dataset(path="memory", x=x, y=network().answers(x).argmax(axis=1))


@pytest.fixture(scope="module")
def record(data):
    design = calibrate(network(), data.x, Options(weight_bits=8, steps=5, input_steps=6))
    question = analysis.Question(settled=(3, 6), overlapped=(8, 48), rate=(8, 64), traced=2)
    found, sections = analysis.analyse(design, network(), data.x, data, question)
    return design, found, sections


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        (
            {"settled": (4, 64)},
            "--settled: steps must lie in 1..16 with the binary schedule, whose step sizes double, "
            "not 64 (more steps take another schedule, like exponential:0.15,0.95)",
        ),
        ({"overlapped": (8, 300)}, "--overlapped: steps must lie in 1..256, not 300"),
        ({"rate": (500,)}, "--rate: steps must lie in 1..256, not 500"),
    ],
)
def test_steps_that_cannot_be_are_refused_before_any_work(data, question, sentence):
    design = calibrate(network(), data.x, Options())

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        analysis.analyse(
            design, network(), data.x, data, analysis.Question(**question), progress=pytest.fail
        )


# -- functions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [3, 5, 8])
def test_settled_binary_errs_by_half_a_level_at_worst(steps):
    worst, rms = function_error(
        lambda x: np.maximum(x, 0), -1, 1, steps, Schedule(), "auto", "settled"
    )

    level = 1 / (2**steps - 1)
    assert level / 4 < worst <= level / 2 + 1e-9
    # evenly within half a level over the half where x > 0, nothing below
    assert rms == pytest.approx(level / 24**0.5, rel=0.15)


def test_binary_cannot_follow_an_operand_that_moves_as_the_papers_schedule_can():
    f = np.tanh

    binary, _ = function_error(f, -2, 2, 16, Schedule(), "auto", "overlapped")
    paper, _ = function_error(f, -2, 2, 64, PAPER, "centred", "overlapped")

    assert paper < 0.05 < binary


def test_errors_are_those_of_neurons_in_a_network():
    """One neuron behind an input, by the golden model, errs as the formula says."""
    linear = Dense(np.ones((1, 1)), (1,))
    operand = Operand(projections=(Projection(source="input", map=linear),), bias=np.zeros(1))
    relu = Population(name="fc1", shape=(1,), function="relu", operands=(operand,))
    out = replace(
        relu,
        name="out",
        function="readout",
        operands=(replace(operand, projections=(Projection(source="fc1", map=linear),)),),
    )
    first = Population(name="input", shape=(1,), function="input")
    net = Network(name="one", populations=(first, relu, out))
    x = np.linspace(0, 1, 256)[:, None]
    options = Options(
        weight_bits=8, firing="overlapped", steps=24, schedule=PAPER, bias_correction=False
    )
    design = calibrate(net, x, options)

    logits = golden.run(design, design.raw_samples(x)).logits
    seen = logits * design.readout.operands[0].scale
    rms = float(np.sqrt(((seen - x) ** 2).mean()))

    _, expected = function_error(
        lambda x: np.maximum(x, 0), 0, 1, 24, PAPER, "centred", "overlapped"
    )
    assert rms == pytest.approx(expected, rel=0.25)


# -- the record --------------------------------------------------------------------------------


def test_every_neuron_function_is_looked_at_for_every_schedule(record):
    _, found, _ = record

    curves = found["functions"]["relu"]["curves"]
    assert {(c["firing"], c["schedule"]) for c in curves.values()} == {
        (firing, name) for firing in ("settled", "overlapped") for name in analysis.SCHEDULES
    }


def test_accuracy_is_that_of_designs_converted_for_that_many_steps(record, data):
    design, found, _ = record
    accuracy = found["accuracy"]

    assert accuracy["float"] == 1.0
    options = replace(api.options_of(design), steps=3)
    three = api.evaluate(calibrate(network(), data.x, options), data).accuracy
    assert accuracy["settled"][0] == {"steps": 3, "accuracy": three}
    paper = analysis.overlapped_as(options, 48)
    assert accuracy["overlapped"][1] == {
        "steps": 48,
        "accuracy": api.evaluate(calibrate(network(), data.x, paper), data).accuracy,
    }
    assert accuracy["if"][0]["accuracy"] < accuracy["if"][1]["accuracy"]


def test_membranes_are_those_of_the_trace(record, data):
    design, found, _ = record
    trace = golden.trace(design, design.raw_samples(data.x[:1])[0])
    kept = found["membranes"]["settled"]["fc1"]

    unit = design["fc1"].code.unit
    for neuron, v, f in zip(kept["neurons"], kept["v"], kept["f"], strict=True):
        one = trace.populations["fc1"]
        assert v.tolist() == (one.membranes[:, neuron] * unit).tolist()
        assert f.tolist() == (one.targets[:, neuron] * unit).tolist()


def test_events_add_up_to_what_evaluate_counts(record, data):
    design, found, _ = record
    shares = found["events"]["settled"]

    counted = api.evaluate(design, data.first(2)).activity
    for name, row in shares.items():
        assert np.mean(row) == pytest.approx(counted[name])
        assert len(row) == design[name].code.steps


def test_baseline_is_left_out_where_a_function_is_no_relu(data):
    design = calibrate(network("tanh"), data.x, Options(weight_bits=8, steps=5))
    question = analysis.Question(settled=(4,), overlapped=(8,), rate=(8,), traced=1)

    found, sections = analysis.analyse(design, network("tanh"), data.x, data, question)

    assert "if" not in found["accuracy"] and "tanh" in found["functions"]
    assert next(s.title for s in sections) == "Accuracy over T"


# -- robustness --------------------------------------------------------------------------------


def test_noise_is_of_the_deviation_that_was_asked_for(data):
    design = calibrate(network(), data.x, Options(steps=5))
    x = np.full((4000, 8), 0.5)

    fmt = design.input_format
    seen = robustness.noisy(design, x, 0.1, seed=0)

    assert seen.std() == pytest.approx(0.1 * 255 * fmt.scale, rel=0.03)
    assert (robustness.noisy(design, x, 0.1, seed=0) == seen).all()
    clean = robustness.noisy(design, x, 0, seed=0)
    assert (design.raw_samples(clean) == design.raw_samples(x)).all()
    assert robustness.noisy(design, x, 3, seed=0).max() == fmt.high * fmt.scale


def test_all_forms_see_the_same_planes_whatever_order_they_take_them_in():
    """Signgd takes planes pixel after pixel, integrate-and-fire neurons channel after channel."""
    rng = np.random.default_rng(4)
    shape = (3, 4, 5)
    linear = Conv(
        in_shape=shape,
        layout=Layout(planes=shape),
        kernel=rng.normal(0, 0.5, (4, 3, 3, 3)),
        padding=(1, 1, 1, 1),
    )
    operand = Operand(
        projections=(Projection(source="input", map=linear),), bias=np.zeros((4, 1, 1))
    )
    inner = Population(name="conv", shape=linear.out_shape, function="relu", operands=(operand,))
    dense = Dense(rng.normal(0, 0.5, (5, inner.size)), inner.shape)
    last = Operand(projections=(Projection(source="conv", map=dense),), bias=np.zeros(5))
    net = Network(
        name="planes",
        populations=(
            Population(name="input", shape=shape, function="input"),
            inner,
            Population(name="out", shape=(5,), function="readout", operands=(last,)),
        ),
    )
    x = rng.uniform(0, 1, (60, *shape))
    data = api.Dataset(path="memory", x=x, y=net.answers(x).argmax(axis=1))
    designs = {
        "settled": calibrate(net, x, Options(weight_bits=8, steps=8)),
        "rate": calibrate(net, x, Options(weight_bits=8, steps=200, dynamics="if")),
    }

    found = robustness.measure(designs, net, data, noise=(0, 0.05), flips=(0,))

    assert designs["settled"].channels_first
    for name in ("float", *designs):
        assert min(found["noise"][name]) > 0.75
        assert found["flips"][name][0] > 0.9


def test_accuracy_falls_with_noise_and_flips_for_all_forms(data):
    designs = {
        "settled": calibrate(network(), data.x, Options(weight_bits=8, steps=6, input_steps=8)),
        "rate": calibrate(network(), data.x, Options(weight_bits=8, steps=64, dynamics="if")),
    }

    found = robustness.measure(designs, network(), data, noise=(0, 0.6), flips=(0, 0.45), seed=3)

    clean = {name: api.evaluate(d, data).accuracy for name, d in designs.items()}
    for name in designs:
        for kind in ("noise", "flips"):
            assert found[kind][name][0] == clean[name]
            assert found[kind][name][1] < 0.8 * clean[name]
    assert found["noise"]["float"][1] < 0.8
    assert found["flips"]["float"][0] == found["flips"]["float"][1] > 0.95


def test_designs_of_other_inputs_are_refused(data):
    designs = {
        "a": calibrate(network(), data.x, Options(steps=5)),
        "b": calibrate(network(), data.x * 2, Options(steps=5)),
    }
    with pytest.raises(ValueError, match="designs that are compared must take the same raw sampl"):
        robustness.measure(designs, network(), data)


def test_noise_below_nothing_is_refused(data):
    design = calibrate(network(), data.x, Options(steps=5))
    with pytest.raises(ValueError, match=re.escape("times the input's range, not -1")):
        robustness.noisy(design, data.x, -1, 0)


# -- verbs -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a folder with a design of the example, and 60 labelled images."""
    folder = tmp_path_factory.mktemp("study")
    images = np.load(TOOLS / "mnist_example.npz")
    np.savez(folder / "data.npz", x=images["x"][:60], y=images["y"][:60])
    model = api.Model(
        spec=f"{TOOLS}/mnist_mlp.py:mlp32",
        weights=f"{TOOLS}/mnist_mlp32.pth",
        calibrate=f"{TOOLS}/mnist_calibrate.npz",
    )
    api.convert(model, options=Options(weight_bits=8, samples=60)).design.save(folder / "d.npz")
    return folder


def run(capfd, *args) -> tuple[int, dict]:
    status = console.run_program(cli.cli, "signfire", [str(a) for a in (*args, "--json")])
    return status, json.loads(capfd.readouterr()[0])


def test_analyse_writes_page_and_numbers(files, capfd):
    status, said = run(
        capfd, "analyse", files / "d.npz", "--data", files / "data.npz", "--settled", "3",
        "--overlapped", "8,12", "--rate", "8", "-o", files / "page"
    )  # fmt: skip

    numbers = json.loads((files / "page" / "analysis.json").read_text())
    page = (files / "page" / "analysis.html").read_text()
    assert status == 0 and said["accuracy"] == numbers["accuracy"]
    assert {"functions", "accuracy", "membranes", "events"} <= set(numbers)
    assert page.count("<svg") == 1 + 2 + 2 + 3  # accuracy, errors, membranes, events
    assert f"{100 * numbers['accuracy']['settled'][0]['accuracy']:.1f} %" in page


def test_robustness_writes_page_and_numbers(files, capfd):
    status, said = run(
        capfd, "robustness", files / "d.npz", "--data", files / "data.npz", "--noise", "0,0.2",
        "--flips", "0,0.05", "--baseline-steps", "16", "-o", files / "page"
    )  # fmt: skip

    assert status == 0
    assert set(said["noise"]) == {"deviations", "float", "golden", "integrate-and-fire, T = 16"}
    assert len(said["flips"]["golden"]) == 2
    assert (files / "page" / "robustness.html").read_text().count("<svg") == 2


def test_noise_that_is_no_number_is_refused(files, capfd):
    status, said = run(
        capfd, "robustness", files / "d.npz", "--data", files / "data.npz", "--noise", "much"
    )

    assert status == 2
    assert said == {"error": "--noise takes numbers like 0,0.1,0.5, not 'much'"}
