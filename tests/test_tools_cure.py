"""The cure: what loses most is named, and what is proposed does what it says."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import LayerOptions, Options, parse_schedule
from signfire.gen.design.folding import Folding
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.tools import api, cure, knobs, tables, verdict

SAMPLES = np.random.default_rng(0).uniform(0, 1, (200, 8))
FINE = Options(steps=8, weight_bits=8, input_steps=8)


def network(*, shortcut: bool = False) -> Network:
    rng = np.random.default_rng(2)

    def layer(name, function, n_out, **sources):
        projections = tuple(
            Projection(source=source, map=Dense(weights, (weights.shape[1],)))
            for source, weights in sources.items()
        )
        operand = Operand(projections=projections, bias=rng.normal(0, 0.2, n_out))
        return Population(name=name, shape=(n_out,), function=function, operands=(operand,))

    def drawn(n_out, n_in):
        return rng.normal(0, 1.5 * n_in**-0.5, (n_out, n_in))

    own = {"input": drawn(12, 8)} if shortcut else {}
    return Network(
        name="net",
        populations=(
            Population(name="input", shape=(8,), function="input"),
            layer("fc1", "relu", 12, input=drawn(12, 8)),
            layer("fc2", "relu", 12, fc1=drawn(12, 12), **own),
            layer("fc3", "readout", 4, fc2=drawn(4, 12)),
        ),
    )


def found(options: Options, accept: float = 1.0) -> cure.Cure:
    chosen = verdict.split(len(SAMPLES), network(), options)
    return cure.find(network(), SAMPLES, chosen, options, accept, {})


# -- knobs -------------------------------------------------------------------------------------


def test_every_steps_and_weights_are_a_knob():
    options = replace(FINE, layers={"fc2": LayerOptions(steps=3)})

    every = knobs.knobs(network(), SAMPLES, options)

    assert [(k.family, k.populations, k.now) for k in every] == [
        ("input", ("input",), 8),
        ("steps", ("fc1",), 8),
        ("steps", ("fc2",), 3),
        ("weights", ("fc1",), 8),
        ("weights", ("fc2",), 8),
        ("weights", ("fc3",), 8),
    ]
    assert every[2].finer == (4, 5, 6, 7, 8, 9, 10) and every[3].finer == ()
    assert every[2].turned(options, 5).of("fc2").steps == 5


def test_what_is_summed_turns_together():
    every = knobs.knobs(network(shortcut=True), SAMPLES, FINE)

    assert [(k.populations, k.has_input) for k in every if k.family != "weights"] == [
        (("fc1",), True),
        (("fc2",), False),
    ]
    turned = every[0].turned(FINE, 5)
    assert (turned.of("fc1").steps, turned.of_input.steps) == (5, 5)


def test_overlapped_populations_have_one_number_of_steps():
    paper = parse_schedule("exponential:0.15,0.95")
    options = Options(firing="overlapped", schedule=paper, steps=16)

    first = knobs.knobs(network(), SAMPLES, options)[0]

    assert first.populations == () and first.finer == (24, 32, 48, 64)
    assert first.turned(options, 32).steps == 32


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (lambda o, every: knobs.raised(o, [k for k in every if k.family == "weights"], 2),
         ["--weight-bits", "6"]),
        (lambda o, every: knobs.raised(o, [k for k in every if k.family == "steps"], 1),
         ["--steps", "5"]),
        (lambda o, every: knobs.raised(o, [every[0]], 3), ["--input-steps", "6"]),
        (lambda o, every: knobs.raised(o, [every[4]], 1), ["--layer", "fc2:weight_bits=5"]),
    ],
)  # fmt: skip
def test_words_are_those_of_the_command_line(turn, said):
    options = Options(input_steps=3)
    every = knobs.knobs(network(), SAMPLES, options)

    assert knobs.words(network(), SAMPLES, options, turn(options, every)) == said


def test_effort_by_hand():
    options = Options(steps=4, weight_bits=5, input_steps=3, layers={"fc2": LayerOptions(steps=2)})

    spent = knobs.effort(network(), options)

    assert spent == knobs.Effort(
        steps=12 * 8 * 3 + 12 * 12 * 4 + 4 * 12 * 2, bits=5 * (96 + 144 + 48)
    )


# -- what loses most ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said", "words"),
    [
        (replace(FINE, input_steps=2), "the steps of the input", "--input-steps"),
        (replace(FINE, layers={"fc2": LayerOptions(weight_bits=2)}), "the weights of 'fc2'",
         "--layer fc2:weight_bits="),
        (replace(FINE, layers={"fc1": LayerOptions(steps=2)}), "the steps of 'fc1'",
         "--layer fc1:steps="),
    ],
)  # fmt: skip
def test_what_was_made_coarse_is_found_and_cured(options, said, words):
    result = found(options)

    assert result.worst is not None and result.worst.said == said
    assert " ".join(result.words).startswith(words)
    assert result.judged is not None and result.judged.found.loss <= 1
    assert result.judged.design.hash == calibrate(network(), SAMPLES, result.options).hash


def test_what_nothing_cures_is_said():
    knobs_at_their_ends = replace(FINE, steps=10, input_steps=10, weight_bits=8)

    result = found(knobs_at_their_ends, accept=0)

    assert result.options is None and result.judged is None
    lines = cure.sentences(result, 0, None)
    assert lines[0].endswith("; no finer steps and weights that were tried bring any of it back")


def test_what_helps_and_is_no_cure_is_said_with_what_it_leaves():
    clipped = LayerOptions(clip=1.0)  # which no steps and no bits make good for
    coarse = replace(FINE, layers={"fc1": clipped, "fc2": LayerOptions(weight_bits=2)})
    before = verdict.judge(
        network(), SAMPLES, verdict.split(len(SAMPLES), network(), coarse),
        lambda x: calibrate(network(), x, coarse),
    ).found.loss  # fmt: skip

    result = found(coarse, accept=0)

    assert result.judged is not None and 0 < result.judged.found.loss < before
    lines = cure.sentences(result, 0, None)
    left = f"{result.judged.found.loss:.2f}"
    assert lines[-1] == (
        f"{' '.join(result.words)} would leave {left} %, the least of all steps and bits that were "
        f"tried"
    )


def test_what_loses_no_less_than_the_conversion_is_no_help():
    coarse = replace(FINE, layers={"fc2": LayerOptions(weight_bits=2)})
    parts = verdict.split(len(SAMPLES), network(), coarse)

    result = cure.find(network(), SAMPLES, parts, coarse, 0, {}, lost=0.0)

    assert result.options is None and result.judged is None


def test_conversion_says_what_loses_most_and_what_its_cure_costs(monkeypatch, tmp_path):
    monkeypatch.setattr(api, "loaded", lambda model, x, **_: (network(), None))
    data = api.Dataset(path="memory", x=SAMPLES, y=None)
    coarse = replace(FINE, input_steps=2)

    design = api.convert(None, data, coarse).design
    calm = api.convert(None, data, coarse, accept=100).design

    kept = design.provenance["verdict"]["cure"]
    assert calm.hash == design.hash and "cure" not in calm.provenance["verdict"]
    assert kept["worst"] == {"family": "input", "of": ("input",)}
    before, after = kept["costs"]
    assert before["latency_cycles"] < after["latency_cycles"]
    lines = tables.of_conversion(design, tmp_path / "d.npz")
    assert lines[-2] == "more than 1 % is lost: the steps of the input lose most"
    assert lines[-1].startswith("--input-steps ") and "by the estimate for ulx3s-25f" in lines[-1]


def test_designs_of_other_steps_keep_their_lanes():
    folding = {"fc1": Folding(pe=3, simd=4, unroll=4), "fc2": Folding(pe=4, unroll=2)}
    folding["fc3"] = Folding(simd=2, unroll=4)
    design = calibrate(network(), SAMPLES, FINE).with_folding(folding)
    other = calibrate(network(), SAMPLES, replace(FINE, steps=6, input_steps=3))

    folded = api.refolded(other, design)

    assert folded["fc1"].folding == Folding(pe=3, simd=4, unroll=3)
    assert folded["fc2"].folding == Folding(pe=4, unroll=2)
    assert folded["fc3"].folding == Folding(simd=2, unroll=3)


def test_settings_that_the_integers_cannot_hold_are_passed_over(monkeypatch):
    def narrow(network, samples, options, **shared):
        if options.of("fc1").steps > 4:
            raise ValueError("one unit would be worth too many of the others")
        return calibrate(network, samples, options, **shared)

    options = replace(FINE, layers={"fc1": LayerOptions(steps=2)})
    assert cure_of(options) > 4
    monkeypatch.setattr(cure, "calibrate", narrow)

    assert cure_of(options) <= 4


def cure_of(options: Options) -> int:
    """Return T of fc1 by the cure of an option that loses too much there, 0 where there is none."""
    options = found(options, accept=0.2).options
    return 0 if options is None else options.of("fc1").steps
