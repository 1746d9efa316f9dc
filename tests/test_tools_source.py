"""The float model of a design: what of it may run, and what is said where it is another."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from signfire.gen.convert.options import Options
from signfire.gen.design.design import Design
from signfire.tools import api, cli, console
from signfire.tools.source import Named, read, source_of, state_digest

pytestmark = pytest.mark.usefixtures("undrawn")

MODEL = """
from pathlib import Path

from torch import nn

Path(__file__).with_name("ran").touch()


def net():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
"""
STUDIES = {
    "analyse": ["--settled", "4", "--overlapped", "8", "--rate", "8"],
    "robustness": ["--noise", "0", "--flips", "0", "--baseline-steps", "0"],
}


def train(path: Path, seed: int) -> None:
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    torch.save(net.state_dict(), path)


@pytest.fixture
def signfire(converted, monkeypatch, capfd):
    """Run a command in the folder of the model; return status, JSON object and standard error."""
    monkeypatch.chdir(converted)

    def run(*args: object) -> tuple[int, dict, str]:
        status = console.run_program(cli.cli, "signfire", [*map(str, args), "--json"])
        out, err = capfd.readouterr()
        return status, json.loads(out), err

    return run


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """Convert a model of three files, once."""
    folder, rng = tmp_path_factory.mktemp("original"), np.random.default_rng(0)
    np.savez(
        folder / "data.npz",
        x=rng.random((60, 6)).astype(np.float32),
        y=rng.integers(0, 3, 60),
    )
    (folder / "m.py").write_text(MODEL)
    train(folder / "w.pth", 0)
    options = ["--weights", "w.pth", "--calibrate", "data.npz", "-o", "d.npz"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert 0 == console.run_program(cli.cli, "signfire", ["convert", "m.py:net", *options])
    shutil.copy(folder / "data.npz", folder / "test.npz")
    return folder


@pytest.fixture
def converted(original, tmp_path_factory) -> Iterator[Path]:
    """Return the folder with the model and its design, as if it had not run; restored after."""
    kept = tmp_path_factory.mktemp("kept")
    shutil.copytree(original, kept, dirs_exist_ok=True)
    (original / "ran").unlink()
    yield original
    shutil.rmtree(original)
    shutil.copytree(kept, original)


def report(signfire, *options: object) -> dict:
    words = ["--no-bulk", "--cycle-samples", 0, "--over-steps", "2,4", "-o", "r", *options]
    status, record, _ = signfire("report", "d.npz", "--data", "test.npz", *words)
    assert status == 0
    return record["accuracy"]


def test_the_model_that_was_converted_is_read_again(signfire, converted) -> None:
    accuracy = report(signfire)

    assert accuracy["float"] is not None and len(accuracy["over_steps"]) == 2
    assert "" == accuracy["float_missing"] and [] == accuracy["float_differs"]
    assert (converted / "ran").exists()
    page = (converted / "r" / "report.html").read_text()
    assert "No float figures" not in page and "not of the model" not in page


def retrained(folder: Path) -> str:
    train(folder / "w.pth", 1)
    return "the weights file"


def edited(folder: Path) -> str:
    (folder / "m.py").write_text(MODEL + "\n# other code\n")
    return "the model file"


def recalibrated(folder: Path) -> str:
    np.savez(folder / "data.npz", x=np.ones((60, 6), np.float32))
    return "the calibration file"


@pytest.mark.parametrize("change", [retrained, edited, recalibrated])
def test_a_file_that_changed_since_has_no_float_figures_and_is_told(
    signfire, converted, change
) -> None:
    before = report(signfire)["float"]
    (converted / "ran").unlink()
    word = change(converted)

    accuracy = report(signfire)

    assert before is not None and accuracy["float"] is None and accuracy["over_steps"] == []
    assert "is not what 'net' was converted from: its SHA-256 is" in accuracy["float_missing"]
    assert word in accuracy["float_missing"]
    assert not (converted / "ran").exists()
    page = (converted / "r" / "report.html").read_text()
    assert f"No float figures: the float model is not at hand: {word}" in page
    for command, options in STUDIES.items():
        status, record, _ = signfire(command, "d.npz", "--data", "test.npz", *options, "-o", "s")
        assert status == 2 and word in record["error"] and "convert again" in record["error"]
        assert not (converted / "ran").exists() and not (converted / "s").exists()


def test_a_file_that_the_user_names_is_read_and_told_to_be_another(signfire, converted) -> None:
    edited(converted), retrained(converted)
    named = ["--model", "m.py:net", "--weights", "w.pth"]

    accuracy = report(signfire, *named)

    assert accuracy["float"] is not None and (converted / "ran").exists()
    assert 2 == len(accuracy["float_differs"])
    page = (converted / "r" / "report.html").read_text()
    assert "Float figures are not of the model that was converted: the model file" in page
    assert "another float network" in page
    for command, options in STUDIES.items():
        words = ["--data", "test.npz", *options, *named, "-o", "s"]
        status, record, _ = signfire(command, "d.npz", *words)
        assert status == 0 and 2 == len(record["float_differs"])
        name = {"analyse": "analysis"}.get(command, command)
        page = (converted / "s" / f"{name}.html").read_text()
        assert "float figures are not of the model that was converted" in page
        assert 2 == len(json.loads((converted / "s" / f"{name}.json").read_text())["float_differs"])


def test_naming_one_file_does_not_excuse_another(converted) -> None:
    edited(converted), retrained(converted)
    design = Design.load(converted / "d.npz")

    with pytest.raises(ValueError, match=r"^the weights file .* name it with --weights\)$"):
        source_of(design, Named(spec=str(converted / "m.py:net")))
    with pytest.raises(ValueError, match=r"^the model file .* name it with --model\)$"):
        source_of(design, Named(weights=str(converted / "w.pth")))


def test_what_the_user_names_is_there_or_the_command_ends(signfire, converted) -> None:
    for named in (
        ["--model", "nope.py:net"],
        ["--model", "m.py:nope"],
        ["--weights", "nope.pth"],
        ["--calibrate", "nope.npz"],
        ["--model", "m.py"],
    ):
        words = ["--data", "test.npz", "--no-bulk", "--cycle-samples", 0, "-o", "r", *named]
        status, record, err = signfire("report", "d.npz", *words)
        assert status == 2 and "internal error" not in err, (named, record)


def with_model(design: Design, path: Path, change) -> None:
    """Save a design with another record of its model; the hash does not cover it."""
    record = dict(design.provenance["model"])
    change(record)
    object.__setattr__(design, "provenance", {**design.provenance, "model": record})
    design.save(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("sha256"),
        lambda record: record.update(sha256={}),
        lambda record: record.update(sha256="all"),
        lambda record: record["sha256"].update(model=None),
        lambda record: record["sha256"].update(model="0" * 64),
        lambda record: record.update(spec="evil.py:net"),
        lambda record: record.update(spec="./evil.py:net"),
        lambda record: record.update(spec=3),
        lambda record: record.update(spec=None),
        lambda record: record.update(weights=["w.pth"]),
        lambda record: record.pop("spec"),
        lambda record: record.clear(),
    ],
)
def test_a_design_does_not_choose_the_code_that_runs(signfire, converted, change) -> None:
    (converted / "evil.py").write_text(MODEL + "\n# evil\n")
    with_model(Design.load(converted / "d.npz"), converted / "d.npz", change)

    accuracy = report(signfire)
    for command, options in STUDIES.items():
        status, record, err = signfire(command, "d.npz", "--data", "test.npz", *options)
        assert status == 2 and "internal error" not in err, record

    assert accuracy["float"] is None and accuracy["float_missing"]
    assert not (converted / "ran").exists()


def test_weights_that_a_factory_makes_up_are_told(signfire, converted) -> None:
    words = ["m.py:net", "--calibrate", "data.npz", "-o", "d.npz"]
    status, _, err = signfire("convert", *words)

    warning = (
        "warning: without --weights the weights are those that m.py:net gives its model: random, "
        "unless it loads some itself\n"
    )
    assert status == 0 and warning in err
    assert (
        "m.py:net gives other weights than those that 'net' was"
        in report(signfire)["float_missing"]
    )
    for command, options in STUDIES.items():
        status, record, _ = signfire(command, "d.npz", "--data", "test.npz", *options)
        assert status == 2 and "they are random, or loaded by the model file" in record["error"]


def test_with_weights_and_through_the_functions_nothing_is_warned_of(
    signfire, converted, capfd
) -> None:
    words = ["m.py:net", "--weights", "w.pth", "--calibrate", "data.npz", "-o", "d.npz"]
    assert "warning" not in signfire("convert", *words)[2]

    model = api.Model(spec="m.py:net", weights=None, calibrate="data.npz")
    api.convert(model, options=Options())
    assert "" == capfd.readouterr().err


def test_a_program_has_its_weights_in_its_file(signfire, converted) -> None:
    torch.manual_seed(3)
    net = torch.nn.Linear(6, 3)
    program = torch.export.export(net, (torch.ones(2, 6),))
    torch.export.save(program, converted / "p.pt2")
    status, _, err = signfire("convert", "p.pt2", "--calibrate", "data.npz", "-o", "d.npz")

    assert status == 0 and "warning" not in err
    assert read(Design.load(converted / "d.npz")).differs == ()
    with torch.no_grad():
        net.weight += 1
    torch.export.save(torch.export.export(net, (torch.ones(2, 6),)), converted / "p.pt2")
    assert "the model file" in report(signfire)["float_missing"]


def test_a_layer_may_have_any_name() -> None:
    net = torch.nn.Sequential()
    net.add_module("\udcff", torch.nn.Linear(2, 2))

    assert 64 == len(state_digest(net))


def test_arguments_of_the_factory_are_kept_with_the_design(signfire, converted) -> None:
    (converted / "m.py").write_text(
        MODEL.replace("def net():", "def net(width):\n    assert width")
    )
    options = ["--weights", "w.pth", "--calibrate", "data.npz", "-o", "d.npz"]

    assert 0 != signfire("convert", "m.py:net", *options)[0]
    assert 0 == signfire("convert", "m.py:net", "--arg", "width=8", *options)[0]

    design = Design.load(converted / "d.npz")
    assert ("width=8",) == source_of(design).model.arguments
    assert () == read(design).differs
    assert ("width=9",) == source_of(design, Named(arguments=("width=9",))).model.arguments
