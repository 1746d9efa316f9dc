"""The generated files: what the manifest and the Verilog's first comment say, and the example."""

import json
import subprocess
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest

from signfire.gen.design.features import Features
from signfire.gen.design.folding import Folding
from signfire.gen.model.heads import Head, Threshold
from signfire.hdl.names import is_legal
from signfire.sim import golden
from signfire.sim.bulk import pack
from signfire.sim.specimens.chains import random_design
from signfire.sim.verilator import COMPILE_FLAGS, environment
from signfire.tools.embed import generate

DESIGN = random_design(
    sizes=(12, 8, 4),
    steps=3,
    folding={
        "input": Folding(pe=3),
        "fc1": Folding(pe=4, simd=3),
        "fc2": Folding(pe=2, simd=2),
    },
)
RAW = np.random.default_rng(2).integers(0, 256, (8, 12))

# Offers the words that are its arguments, pausing before every third, and prints the classes.
MAIN = """
#include <cstdio>
#include <cstdlib>
#include "Vexample.h"
#include "verilated.h"
double sc_time_stamp() { return 0; }
int main(int argc, char** argv) {
    VerilatedContext context;
    Vexample top{&context};
    auto edge = [&] { top.clk = 1; top.eval(); top.clk = 0; top.eval(); };
    top.clk = 0, top.rst = 1, top.word_valid = 0;
    top.eval();
    edge();
    top.rst = 0;
    int next = 1;
    for (int cycle = 0; cycle < 5000; ++cycle) {
        top.word_valid = next < argc && (next % 3 || cycle % 2);
        if (top.word_valid) top.word = std::strtoul(argv[next], nullptr, 10);
        top.eval();
        const bool taken = top.word_valid && top.word_ready;
        edge();
        next += taken;
        if (top.class_valid) std::printf("%d\\n", top.class_index);
    }
}
"""


@pytest.fixture(scope="module")
def embedding(tmp_path_factory):
    return generate(DESIGN, tmp_path_factory.mktemp("core"), technology="ice40-up", module="net")


def classes_of_example(embedding, lanes: int) -> list[int]:
    """Compile the example, offer it the samples, and return the classes that it prints."""
    folder = embedding.verilog.parent
    (folder / "main.cpp").write_text(MAIN)
    command = ["verilator", "--cc", "--exe", "--build", *COMPILE_FLAGS, "--prefix", "Vexample"]
    command += ["--top-module", embedding.example.stem]
    command += [embedding.verilog.name, embedding.example.name, "main.cpp"]
    hurry = environment(**dict.fromkeys(("OPT_FAST", "OPT_SLOW", "OPT_GLOBAL"), "-O0"))
    done = subprocess.run(command, cwd=folder, env=hurry, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    words = pack(RAW.reshape(-1, lanes), DESIGN.input_format.bits).reshape(-1)

    ran = subprocess.run(
        [folder / "obj_dir" / "Vexample", *map(str, words)], capture_output=True, text=True
    )
    return [int(line) for line in ran.stdout.split()]


def test_the_example_gives_the_classes_of_the_golden_model(embedding):
    expected = golden.run(DESIGN, RAW).labels.tolist()

    assert len(set(expected)) > 1
    assert classes_of_example(embedding, lanes=3) == expected


def test_where_all_logits_are_a_word_the_example_takes_the_class_of_the_last(tmp_path):
    all_at_once = Folding(synapse="logic")
    design = DESIGN.with_folding({"fc2": all_at_once})

    found = generate(design, tmp_path, module="wide")

    results = found.content["results"]
    assert (results["lanes"], results["words_per_sample"]) == (4, 1)
    assert results["ports"][0]["width"] == 4 * results["lane_width"]
    assert results["order"].startswith("4 logits a word, lane 0 first")
    assert "1 word a sample, 4 logits a word, " in found.verilog.read_text()
    assert classes_of_example(found, lanes=3) == golden.run(DESIGN, RAW).labels.tolist()


def test_the_manifest_describes_every_layer(embedding):
    found = json.loads(embedding.manifest.read_text())

    assert found["signfire"] == version("signfire")
    assert (found["technology"], found["firing"]) == ("ice40-up", "settled")
    assert [layer["name"] for layer in found["layers"]] == ["input", "fc1", "fc2"]
    hidden, readout = found["layers"][1:]
    code = DESIGN["fc1"].code
    assert hidden == {
        "name": "fc1",
        "function": "relu",
        "shape": [8],
        "neurons": 8,
        "fan_in": 12,
        "weight_bits": 4,
        "steps": 3,
        "code": {
            "kind": "silent",
            "schedule": "binary",
            "eta": list(code.eta),
            "rest": code.rest,
            "unit": code.unit,
        },
        "folding": {"pe": 4, "simd": 3, "unroll": 1, "synapse": "events"},
    }
    assert (readout["code"], readout["steps"]) == (None, None)


def test_lanes_lie_side_by_side_the_first_lowest(embedding):
    samples = embedding.content["samples"]

    assert (3, 8, [0, 8, 16]) == tuple(samples[f"lane{n}"] for n in ("s", "_width", "_offsets"))
    assert 24 == samples["ports"][0]["width"]


def test_the_manifest_says_in_words_and_in_code_how_real_values_are_encoded(tmp_path):
    rng = np.random.default_rng(0)
    scales = np.where(np.arange(12) == 5, 0, rng.uniform(1e-4, 9, 12))
    features = Features.of(scales, rng.normal(size=12))
    fmt = replace(DESIGN.input_format, features=features)
    design = replace(DESIGN, input_format=fmt)
    x = fmt.real(rng.uniform(-20, 280, (40, 12)))

    found = generate(design, tmp_path)

    samples = found.content["samples"]
    numbers = {name: np.array(samples[name]) for name in ("scale", "offset")}
    limits = {name: samples[name] for name in ("low", "high")}
    coded = eval(samples["encode_python"], {"numpy": np}, {"x": x, **numbers, **limits})
    moves = np.arange(12) != 5  # what a constant becomes meets weights of 0
    assert np.array_equal(design.raw_samples(x)[:, moves], coded[:, moves])
    assert samples["encode"].startswith("element = (x - offset) / scale of a real value x")
    assert "(x - offset) / scale to nearest" in found.verilog.read_text()
    assert "lrint((x[i] - offset[i]) / scale[i])" in found.example.read_text()


def test_where_elements_are_the_samples_themselves_there_is_no_word_of_a_scale(embedding):
    assert (1.0, 0.0) == tuple(embedding.content["samples"][n] for n in ("scale", "offset"))
    assert "scale" not in embedding.verilog.read_text() + embedding.example.read_text()


def test_the_verilog_says_first_how_it_is_used(embedding):
    lines = embedding.verilog.read_text().split("\n")
    comment = "\n".join(lines[: next(i for i, line in enumerate(lines) if line[:2] != "//")])
    content = embedding.content
    logit, label, _ = (field["width"] for field in content["results"]["fields"])

    assert comment.startswith("// net: spiking network random0, 12-8-4, settled firing.\n")
    assert f"// Design {DESIGN.hash}\n" in comment
    assert "4 words a sample of 12 elements in C order, 3 a word;" in comment
    assert "payload[15:8]  element 1 of the word" in comment
    assert f"payload[{logit - 1}:0]  logit, signed" in comment
    assert f"payload[{logit + label - 1}:{logit}]  label, the class" in comment
    assert f"latency   {content['latency_cycles']} cycles" in comment
    assert f"interval  {content['interval_cycles']} cycles" in comment
    assert max(map(len, comment.split("\n"))) <= 100


@pytest.mark.parametrize("name", ["net__core", "_net", "net_", "2nets", "entity", "Module", "a-b"])
def test_a_module_whose_name_verilog_or_vhdl_refuses_is_refused(name, tmp_path):
    with pytest.raises(ValueError) as error:
        generate(DESIGN, tmp_path, module=name)

    assert str(error.value) == (
        "the module needs a name that Verilog and VHDL take, of letters, digits and single _ "
        f"between them, a letter first and no keyword, not {name!r}"
    )
    assert list(tmp_path.iterdir()) == []


def test_ports_of_the_manifest_are_those_of_the_verilog_and_legal_in_vhdl(embedding):
    text = embedding.verilog.read_text()
    head = text[text.index("module net(") :]
    named = head[: head.index(";")].removeprefix("module net(").rstrip(")").split(", ")

    ports = [port for way in ("samples", "results") for port in embedding.content[way]["ports"]]

    assert sorted(named) == sorted(["clk", "rst", *(port["name"] for port in ports)])
    assert all(is_legal(name) for name in named)
    example = embedding.example.read_text()
    assert all(f".{name}(" in example for name in named)


@pytest.mark.parametrize("threshold", [-0.31, 0.0, 0.2])
def test_the_manifest_says_above_which_logit_it_is_yes(make_design, tmp_path, threshold) -> None:
    design = make_design(sizes=(12, 8, 1), folding={"fc1": Folding(), "fc2": Folding()})
    output = Threshold(shape=(1,), threshold=threshold * design.readout.operands[0].scale[0] * 100)
    design = design.with_head(Head(outputs=(output,)))

    (said,) = generate(design, tmp_path).content["results"]["outputs"]

    logits = np.arange(-50, 50)[:, None]
    yes = output.decisions(design.values(logits))
    assert yes is not None and said["kind"] == "threshold"
    assert said["worth"] == [pytest.approx(design.readout.operands[0].scale[0])]
    assert (logits[:, 0] > said["yes_above"]).astype(int).tolist() == yes.tolist()
