"""The baseline on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from signfire.gen.design.design import Design
from signfire.tools import cli, console

TOOLS = Path(__file__).resolve().parents[1] / "tools"


@pytest.fixture
def signfire(capfd):
    """Run a command; return exit status and the JSON object that it prints."""

    def run(*args: object) -> tuple[int, dict]:
        status = console.run_program(cli.cli, "signfire", [str(a) for a in (*args, "--json")])
        return status, json.loads(capfd.readouterr()[0])

    return run


def test_integrate_and_fire_is_converted_evaluated_and_generated(signfire, tmp_path):
    images = np.load(TOOLS / "mnist_example.npz")
    np.savez(tmp_path / "data.npz", x=images["x"][:100], y=images["y"][:100])
    model = [f"{TOOLS}/mnist_mlp.py:mlp32", "--weights", f"{TOOLS}/mnist_mlp32.pth"]
    calibrate = ["--calibrate", f"{TOOLS}/mnist_calibrate.npz", "--samples", 60]
    out = tmp_path / "if.npz"

    status, said = signfire(
        "convert", *model, *calibrate, "--dynamics", "if", "--steps", 32, "--percentile", 99.9,
        "--weight-bits", 8, "-o", out,
    )  # fmt: skip
    evaluated = signfire("evaluate", out, "--data", tmp_path / "data.npz")
    fold = "input:pe=14; fc1:pe=8,simd=14; fc2:pe=2,simd=4"
    generated = signfire(
        "generate", out, "-o", tmp_path / "core", "--fold", fold, "--board", "ulx3s-25f"
    )

    assert status == 0 and Design.load(out).dynamics == "if"
    assert [layer["code"] for layer in said["layers"]] == ["rate", "rate", None]
    assert evaluated[0] == 0 and evaluated[1]["accuracy"]["golden"] >= 0.9
    assert 0 < evaluated[1]["activity"]["fc1"] < 0.5
    assert generated[0] == 0
    (manifest,) = (tmp_path / "core").glob("*.json")
    layers = json.loads(manifest.read_text())["layers"]
    assert [layer["code"] and layer["code"]["kind"] for layer in layers] == ["rate", "rate", None]


def test_steps_of_a_layer_of_its_own_are_refused_for_integrate_and_fire(signfire, tmp_path):
    status, said = signfire(
        "convert", f"{TOOLS}/mnist_mlp.py:mlp32", "--weights", f"{TOOLS}/mnist_mlp32.pth",
        "--calibrate", f"{TOOLS}/mnist_calibrate.npz", "--dynamics", "if", "--steps", 32,
        "--layer", "fc1:steps=4", "-o", tmp_path / "d.npz",
    )  # fmt: skip

    assert status == 2 and not (tmp_path / "d.npz").exists()
    assert said["error"].startswith("overlapped firing needs one T for all populations, but fc1")
