"""Files that a user may give by mistake, or an enemy by intent: one line, whatever reads them."""

import json
import os
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

from signfire.gen.design import archive
from signfire.tools import analysis, api, array_file, cli, console, dataset, robustness, watch

TOOLS = Path(__file__).resolve().parents[1] / "tools"


@pytest.fixture
def design(tmp_path, make_design):
    """Save a random design of 12 inputs and 4 classes."""
    found = make_design(sizes=(12, 8, 4))
    found.save(tmp_path / "design.npz")
    return found


@pytest.fixture
def refused(tmp_path, monkeypatch, capfd):
    """Run a command that must be refused; return its one line, having seen nothing written."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object, json_too: bool = False) -> str:
        before = sorted(tmp_path.rglob("*"))
        words = [str(a) for a in args]
        status = console.run_program(cli.cli, "signfire", [*words, "--json"])
        out, err = capfd.readouterr()
        assert status == console.USER, err
        message = json.loads(out)["error"]
        assert f"signfire: {console.visible(message)}\n" == err
        assert before == sorted(tmp_path.rglob("*"))
        return message

    return run


def good() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {"x": rng.integers(0, 256, (20, 12), dtype=np.uint8), "y": rng.integers(0, 4, 20)}


def npy(array: np.ndarray) -> bytes:
    file = BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


def header(text: str, values: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """Return an array file of this header."""
    size = 2 if version == b"\x01\x00" else 4
    return b"\x93NUMPY" + version + len(text).to_bytes(size, "little") + text.encode() + values


def lie(shape: str, values: bytes = bytes(240), descr: str = "'|u1'") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n", values)


def write(path: Path, members: dict[str, bytes], **settings) -> Path:
    with zipfile.ZipFile(path, "w", **settings) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def with_x(content: bytes):
    return lambda path: write(path, {"x.npy": content, "y.npy": npy(good()["y"])})


def with_arrays(**arrays):
    return lambda path: np.savez(path, **{**good(), **arrays})


def cut(path: Path) -> None:
    np.savez(path, **good())
    path.write_bytes(path.read_bytes()[:-40])


def flipped(path: Path) -> None:
    np.savez(path, **good())
    data = bytearray(path.read_bytes())
    at = data.index(good()["x"].tobytes()) + 7
    data[at] ^= 1
    path.write_bytes(bytes(data))


def twice(path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "w") as file:
        for _ in range(2):
            file.writestr("x.npy", npy(good()["x"]))


def bomb(path: Path) -> None:
    """Hold 240 MB in 0.24 MB, and fewer labels."""
    shape = (2 * 10**7, 12)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("y.npy", npy(good()["y"]))
        with file.open("x.npy", "w", force_zip64=True) as member:
            member.write(lie(str(shape), b""))
            for _ in range(12):
                member.write(bytes(2 * 10**7))


BAD_DATA = {
    "nothing": (
        lambda path: path.write_bytes(b""),
        "plain arrays: it is no zip file",
    ),
    "text": (lambda path: path.write_text("1,2,3\n"), "is not an .npz file of plain arrays"),
    "a pickle": (lambda path: path.write_bytes(b"\x80\x04K\x01."), "is not an .npz file of plain"),
    "one array": (lambda path: path.write_bytes(npy(good()["x"])), "holds a single array"),
    "cut short": (cut, "is not an .npz file of plain arrays"),
    "a flipped bit": (flipped, "'x' is damaged (Bad CRC-32"),
    "two of one name": (twice, "it holds two arrays 'x'"),
    "a claim of 10^12 samples": (with_x(lie("(1000000000000, 12)")), "claims shape (1000000000000"),
    "a claim beyond all": (with_x(lie("(9" + "9" * 40 + ", 12)")), "'x' claims shape (99"),
    "a claim of too few": (with_x(lie("(19, 12)")), "which is 228 bytes, and holds 240 bytes"),
    "no array": (
        lambda path: write(path, {"x": b"some text", "y.npy": npy(good()["y"])}),
        "'x' is no array (its name does not end in .npy)",
    ),
    "text for an array": (with_x(b"some text"), "'x' is no array"),
    "an empty member": (with_x(b""), "'x' is no array"),
    "a header that is code": (with_x(header("__import__('os').abort()\n")), "'x' is no array"),
    "a header of brackets": (with_x(header("(" * 9000 + "\n")), "'x' is no array"),
    "a long header": (with_x(header(" " * 20000 + "\n")), "'x' is no array"),
    "a strange version": (with_x(header("{}\n", version=b"\x09\x00")), "'x' is no array"),
    "a shape of floats": (with_x(lie("(20.0, 12)")), "'x' is no array"),
    "a shape of truths": (with_x(lie("(True, 240)")), "'x' is no array"),
    "a negative shape": (with_x(lie("(-20, -12)")), "'x' is no array"),
    "an unknown type": (with_x(lie("(20, 12)", descr="'|q9'")), "'x' is no array"),
    "objects": (
        with_x(npy(np.array([[{}] * 12] * 20, dtype=object))),
        "'x' is no array (it holds Python objects, which could run code)",
    ),
    "records": (with_arrays(x=np.zeros(20, [("a", "f4"), ("b", "i4")])), "and no numbers"),
    "words": (with_arrays(x=np.full((20, 12), "a")), "'x' of {path} must hold numbers, not <U1"),
    "dates": (with_arrays(x=np.zeros((20, 12), "M8[s]")), "must hold numbers, not datetime64[s]"),
    "complex numbers": (with_arrays(x=np.zeros((20, 12), complex)), "must hold numbers, not comp"),
    "empty strings": (with_arrays(x=np.zeros((20, 12), "S0")), "numbers"),
    "no samples": (with_arrays(x=np.zeros((0, 12)), y=np.zeros(0, int)), "with n >= 1"),
    "one number": (with_arrays(x=np.array(3.0)), "must hold samples in rows"),
    "a vector": (with_arrays(x=np.zeros(20)), "must hold samples in rows"),
    "no values": (with_arrays(x=np.zeros((20, 0))), "a sample needs 12 values"),
    "too great": (with_arrays(x=np.full((20, 12), 256)), "samples must lie in 0..255, not 256..2"),
    "far too great": (with_arrays(x=np.full((20, 12), 2**64 - 1, np.uint64)), "must lie in 0..255"),
    "another shape": (with_arrays(x=np.zeros((20, 13))), "a sample needs 12 values"),
    "NaN": (with_arrays(x=np.full((20, 12), np.nan)), "must be finite"),
    "infinity": (with_arrays(x=np.full((20, 12), -np.inf, np.float16)), "must be finite"),
    "a negative label": (with_arrays(y=np.full(20, -1)), "labels must lie in 0..3"),
    "labels from 1": (with_arrays(y=np.r_[4, 1:5, 1:5, 1:5, 1:5, 1:4]), "not 1..4"),
    "huge labels": (with_arrays(y=np.full(20, 2**64 - 1, np.uint64)), "labels must lie in 0..3"),
    "labels that are floats": (with_arrays(y=np.zeros(20)), "must be a vector of integer classes"),
    "one label": (with_arrays(y=np.array(1)), "has 20 samples but no labels in 'y'"),
    "too few labels": (with_arrays(y=np.zeros(19, int)), "20 samples but 19 labels"),
    "packed by bzip2": (
        lambda path: write(path, {"x.npy": npy(good()["x"])}, compression=zipfile.ZIP_BZIP2),
        "packed as no .npz file is",
    ),
}
DATA_COMMANDS = {
    "evaluate": [],
    "simulate": ["-o", "out"],
    "report": ["-o", "out"],
    "build": ["--board", "icebreaker", "-o", "out"],
    "analyse": ["-o", "out"],
    "robustness": ["-o", "out"],
    "faults": ["-o", "out"],
    "infer": ["--port", "/dev/nothing"],
    "infer ": ["--port", "/dev/nothing", "--watch"],
}


@pytest.mark.parametrize("kind", BAD_DATA)
@pytest.mark.parametrize("command", DATA_COMMANDS)
def test_a_data_file_that_is_none_is_one_line(refused, design, tmp_path, command, kind) -> None:
    make, said = BAD_DATA[kind]
    path = tmp_path / "data.npz"
    make(path)
    message = refused(
        command.strip(), "design.npz", "--data", path, "--labels", "y", *DATA_COMMANDS[command]
    )

    assert said.format(path=path) in message
    assert "internal error" not in message and "\n" not in message


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_a_file_that_holds_more_than_the_memory_is_refused_unread(
    refused, design, tmp_path, monkeypatch, command
) -> None:
    path = tmp_path / "data.npz"
    big = np.zeros((4000, 12), np.uint8)
    np.savez_compressed(path, x=big, y=np.zeros(4000, int))
    monkeypatch.setattr(archive, "free_memory", lambda: 17 * 12 * 3000)
    unread = type("Unread", (archive.Archive,), {"read": None})
    monkeypatch.setattr(array_file, "Archive", unread)

    message = refused(command, "design.npz", "--data", path, *DATA_COMMANDS[command])

    assert (
        f"'x' of {path}, 4,000 samples of 12 values, needs 816.0 kB of memory, and 612.0 kB are "
        f"free (take fewer samples: --samples N where a command has it, or a smaller file)"
    ) == message


def test_of_a_file_larger_than_the_memory_the_first_samples_are_read(
    design, tmp_path, monkeypatch, capfd
) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x=np.tile(good()["x"], (200, 1)), y=np.tile(good()["y"], 200))
    monkeypatch.setattr(archive, "free_memory", lambda: 17 * 12 * 3000)

    args = ["evaluate", str(tmp_path / "design.npz"), "--data", str(path), "--samples", "20"]
    status = console.run_program(cli.cli, "signfire", [*args, "--json"])

    assert status == 0 and json.loads(capfd.readouterr().out)["accuracy"]["samples"] == 20


def test_what_a_bomb_claims_is_refused_by_its_header(refused, design, tmp_path) -> None:
    path = tmp_path / "data.npz"
    bomb(path)

    assert path.stat().st_size < 3e5
    message = refused("evaluate", "design.npz", "--data", path)
    assert f"{path} has 20000000 samples but 20 labels in 'y'" == message


def test_functions_refuse_labels_that_are_no_class_as_evaluate_does(design) -> None:
    data = dataset.Dataset(path="data", x=good()["x"], y=good()["y"] + 1)
    verbs = (
        lambda: api.evaluate(design, data),
        lambda: api.infer(design, "/dev/nothing", data),
        lambda: robustness.measure({"golden": design}, None, data),
        lambda: analysis.analyse(design, None, data.x, data),
        lambda: next(watch.of_data(design, data)),
    )

    for verb in verbs:
        with pytest.raises(ValueError, match=r"^labels must lie in 0\.\.3, the 4 outputs of '"):
            verb()


# -- designs -----------------------------------------------------------------------------------


def edited(path: Path, change) -> None:
    """Save a design again with its JSON text changed, arrays and the recorded hash kept."""
    with np.load(path) as file:
        arrays = dict(file)
    text = json.loads(arrays.pop("design").tobytes())
    changed = change(text)
    raw = changed if isinstance(changed, bytes) else json.dumps(changed or text).encode()
    np.savez(path, design=np.frombuffer(raw, np.uint8), **arrays)


def without(*keys):
    def change(text):
        for key in keys:
            del text[key]

    return change


def setting(value, *keys):
    def change(text):
        place = text
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


BAD_DESIGNS = {
    "no hash": (without("hash"), "is not a signfire design (it lacks 'hash')"),
    "no format": (without("format"), "is not a signfire design (it lacks 'format')"),
    "no places": (without("places"), "is not a signfire design (it lacks 'places')"),
    "no provenance": (without("provenance"), "is not a signfire design (it lacks 'provenance')"),
    "no populations": (without("populations"), "it lacks 'populations'"),
    "a NUL in its name": (setting("a\0b", "name"), "must be printable"),
    "a path for a name": (setting("../x", "name"), "must hold no /"),
    "a number for a name": (setting(3, "name"), "is a word, not int"),
    "another hash": (setting("0" * 64, "hash"), "its content does not match its hash"),
    "a number for a hash": (setting(0, "hash"), "its content does not match its hash"),
    "another format": (setting(99, "format"), "has design format 99"),
    "a list for a format": (setting([], "format"), "has design format []"),
    "words for populations": (setting("abc", "populations"), "is not a signfire design"),
    "null for a population": (setting(None, "populations", 1), "is not a signfire design"),
    "a float for a folding": (
        setting({"fc1": {"pe": 2.0}}, "folding"),
        "a folding is whole numbers",
    ),
    "words for a folding": (setting({"fc1": {"pe": "2"}}, "folding"), "a folding is whole numbers"),
    "an unknown folding": (setting({"fc1": {"lanes": 2}}, "folding"), "is not a signfire design"),
    "a number for a place": (setting({"fc1": 3}, "places"), "3 is no text"),
    "a list for its provenance": (setting([], "provenance"), "its provenance is no object"),
    "a word for a model": (setting("m", "provenance", "model"), "of its provenance are objects"),
    "a word for layers": (setting("m", "provenance", "layers"), "objects with a name"),
    "no name of a layer": (setting([{}], "provenance", "layers"), "objects with a name"),
    "a number for a command": (setting(1, "provenance", "command"), "1 is no text"),
    "an unknown array": (setting("p9", "populations", 1, "operands", 0, "bias"), "it lacks 'p9'"),
    "a list for an array": (
        setting([], "populations", 1, "operands", 0, "bias"),
        "is not a signfire design",
    ),
    "a negative shape": (setting([-8], "populations", 1, "shape"), "is not a signfire design"),
    "a float for a shift": (
        setting(1e300, "populations", 1, "operands", 0, "shift"),
        "design",
    ),
    "a list": (lambda text: [text], "is not a signfire design"),
    "no JSON": (lambda text: b"{", "is not a signfire design"),
    "no text": (lambda text: b"\xff\xfe", "is not a signfire design"),
    "many brackets": (lambda text: b"[" * 100_000, "is not a signfire design"),
}
DESIGN_COMMANDS = {
    "evaluate": ["--data", "data.npz"],
    "generate": ["-o", "out"],
    "fold": ["--board", "icebreaker"],
    "simulate": ["--data", "data.npz", "-o", "out"],
    "report": ["--data", "data.npz", "-o", "out"],
    "build": ["--board", "icebreaker", "-o", "out"],
    "analyse": ["--data", "data.npz", "-o", "out"],
    "robustness": ["--data", "data.npz", "-o", "out"],
    "faults": ["--data", "data.npz", "-o", "out"],
    "compare": ["--board", "ulx3s-25f"],
    "infer": ["--data", "data.npz", "--port", "/dev/nothing"],
    "board-sim": ["--board", "icebreaker", "-o", "out"],
}


@pytest.mark.parametrize("kind", BAD_DESIGNS)
def test_a_design_that_is_none_is_one_line(refused, design, tmp_path, kind) -> None:
    change, said = BAD_DESIGNS[kind]
    np.savez(tmp_path / "data.npz", **good())
    edited(tmp_path / "design.npz", change)

    for command, options in DESIGN_COMMANDS.items():
        message = refused(command, "design.npz", *options)
        assert said in message and message.startswith("design.npz "), command
        assert "\n" not in message


@pytest.mark.parametrize("kind", ["float64", "int32", ">i8", "bool"])
def test_arrays_of_a_design_have_the_type_that_was_written(refused, design, tmp_path, kind) -> None:
    path = tmp_path / "design.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["p1_o0_bias"] = (arrays["p1_o0_bias"] + 0.25).astype(kind)
    np.savez(path, **arrays)

    message = refused("evaluate", path, "--data", "none.npz")

    assert "damaged" in message or "is not a signfire design" in message


@pytest.mark.parametrize("kind", ["cut short", "two of one name", "text", "nothing", "one array"])
def test_a_file_that_is_no_archive_is_no_design(refused, tmp_path, kind) -> None:
    BAD_DATA[kind][0](tmp_path / "design.npz")

    for command, options in DESIGN_COMMANDS.items():
        assert "design.npz is not a signfire design" in refused(command, "design.npz", *options)


def test_a_folder_for_a_file_is_one_line(refused, design, tmp_path) -> None:
    assert "Is a directory" in refused("evaluate", tmp_path, "--data", "none.npz")
    assert "has neither images" in refused("evaluate", "design.npz", "--data", tmp_path)


# -- weights and models ------------------------------------------------------------------------


MODEL = """
from torch import nn

def net():
    return nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))
"""


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(12, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
    return net.state_dict()


def weights(name: str, make):
    def save(path: Path) -> None:
        found = state()
        found[name] = make(found[name])
        torch.save(found, path)

    return save


def flipped_weight(path: Path) -> None:
    torch.save(state(), path)
    data = bytearray(path.read_bytes())
    at = data.index(state()["0.weight"].numpy().tobytes()) + 3
    data[at] ^= 0x40
    path.write_bytes(bytes(data))


W, B = "0.weight", "0.bias"
BAD_WEIGHTS = {
    "a flipped bit": (flipped_weight, "is damaged: the CRC of its record 'w/data/0' is wrong"),
    "cut short": (
        lambda path: (torch.save(state(), path), path.write_bytes(path.read_bytes()[:-100])),
        "is damaged: it is no whole zip file",
    ),
    "sparse": (weights(W, torch.Tensor.to_sparse), "is a tensor sparse, not plain"),
    "sparse by rows": (weights(W, torch.Tensor.to_sparse_csr), "is a tensor sparse, not plain"),
    "quantised": (
        weights(W, lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8)),
        "is a tensor quantised, not plain (save tensor.dequantize())",
    ),
    "quantised by channel": (
        weights(
            W,
            lambda w: torch.quantize_per_channel(
                w, torch.full((8,), 0.1), torch.zeros(8, dtype=torch.int64), 0, torch.qint8
            ),
        ),
        "is a tensor quantised, not plain",
    ),
    "meta": (weights(W, lambda w: w.to("meta")), "on the meta device, not plain"),
    "nested": (
        weights(W, lambda w: torch.nested.nested_tensor([w[0], w[1]])),
        "is a tensor nested, not plain",
    ),
    "integer keys": (
        lambda path: torch.save(dict(enumerate(state().values())), path),
        "it names a tensor 0, a int",
    ),
    "keys of bytes": (
        lambda path: torch.save({b"a": state()[W]}, path),
        "it names a tensor b'a', a bytes",
    ),
    "a list": (lambda path: torch.save(list(state().values()), path), "is not a state dict"),
    "one tensor": (lambda path: torch.save(state()[W], path), "is not a state dict of tensors"),
    "a number": (lambda path: torch.save({W: 3}, path), "is not a state dict of tensors"),
    "a module": (lambda path: torch.save(torch.nn.Linear(2, 2), path), "holds more than tensors"),
    "an archive of arrays": (lambda path: np.savez(path.open("wb"), **good()), "weights file"),
    "nothing": (lambda path: path.write_bytes(b""), "is not a weights file"),
    "text": (lambda path: path.write_text("weights"), "holds more than tensors, or no tensors"),
    "NaN": (weights(W, lambda w: w * float("nan")), "finite"),
    "infinity": (weights(B, lambda b: b + float("inf")), "finite"),
    "another shape": (weights(W, lambda w: w.T.contiguous()), "does not fit the model"),
    "no numbers": (weights(W, lambda w: w[:0]), "does not fit the model"),
}


@pytest.mark.parametrize("kind", BAD_WEIGHTS)
@pytest.mark.parametrize("command", ["convert", "tune-schedule"])
def test_a_weights_file_that_is_none_is_one_line(refused, tmp_path, command, kind) -> None:
    make, said = BAD_WEIGHTS[kind]
    (tmp_path / "m.py").write_text(MODEL)
    np.savez(tmp_path / "data.npz", **good())
    make(tmp_path / "w.pth")

    options = ["--weights", "w.pth", "--calibrate", "data.npz", "-o", "out.npz"]
    message = refused(command, "m.py:net", *options)

    assert said in message and "\n" not in message


@pytest.mark.parametrize("value", [1e-310, 1e-45, 1e300, float("nan"), float("-inf")])
@pytest.mark.parametrize("command", ["convert", "tune-schedule"])
def test_samples_that_no_32_bit_float_holds_do_not_calibrate(
    refused, tmp_path, command, value
) -> None:
    (tmp_path / "m.py").write_text(MODEL)
    torch.save(state(), tmp_path / "w.pth")
    np.savez(tmp_path / "data.npz", x=np.full((20, 12), value))

    options = ["--weights", "w.pth", "--calibrate", "data.npz", "-o", "out.npz"]
    message = refused(command, "m.py:net", *options)

    if np.isfinite(value):
        assert message.startswith("calibration samples must ")
    else:
        said = f"samples must be finite: data.npz holds {value} at row 0, value 0 (counted from 0)"
        assert message.startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys; sys.exit(3)", "m.py cannot be imported: SystemExit: 3"),
        ("def net(: pass", "m.py cannot be imported: SyntaxError"),
        ("def net():\n    raise SystemExit", "net() of m.py fails: SystemExit"),
        ("def net():\n    return 3", "net() of m.py must return an nn.Module, not int"),
        ("def net(x):\n    return x", "net() of m.py needs x (give --arg x=VALUE, or a default)"),
        ("\0", "m.py cannot be imported"),
    ],
)
def test_a_model_file_that_fails_is_one_line(refused, tmp_path, text, said) -> None:
    (tmp_path / "m.py").write_text(text)
    np.savez(tmp_path / "data.npz", **good())

    message = refused("convert", "m.py:net", "--calibrate", "data.npz", "-o", "out.npz")

    assert said in message


MANY = "9" * 5000
CONVERT = ["convert", "m.py:net", "--weights", "w.pth", "--calibrate", "data.npz", "-o", "out.npz"]
STUDY = ["--data", "data.npz", "-o", "out"]
BAD_OPTIONS = [
    *([*CONVERT, option, "nan"] for option in (
        "--percentile", "--input-percentile", "--equalise", "--steps", "--weight-bits",
    )),
    [*CONVERT, "--weight-bits", "auto", "--budget-bits", "nan"],
    [*CONVERT, "--weight-bits", MANY],
    [*CONVERT, "--weight-bits", "²"],
    [*CONVERT, "--steps", MANY],
    [*CONVERT, "--schedule", "exponential:1e-310,0.5", "--firing", "overlapped"],
    [*CONVERT, "--schedule", "list:1e-310,1e-311,1,1"],
    [*CONVERT, "--schedule", "inverse:1e300"],
    [*CONVERT, "--fold", f"0:pe={MANY}"],
    [*CONVERT, "--fold", "0:pe=²"],
    [*CONVERT, "--layer", f"0:steps={MANY}"],
    [*CONVERT, "--name", ""],
    [*CONVERT, "-o", "."],
    ["tune-schedule", *CONVERT[1:], "--seed", "-1"],
    ["tune-schedule", *CONVERT[1:], "--seed", MANY],
    ["tune-schedule", *CONVERT[1:], "--loss", "nan"],
    ["fold", "design.npz", "--board", "icebreaker", "-o", "."],
    ["analyse", "design.npz", *STUDY, "--settled", "²"],
    ["analyse", "design.npz", *STUDY, "--overlapped", MANY],
    ["robustness", "design.npz", *STUDY, "--seed", "-1"],
    ["robustness", "design.npz", *STUDY, "--noise", "nan"],
    ["robustness", "design.npz", *STUDY, "--flips", "0,inf"],
    ["simulate", "design.npz", *STUDY, "--stalls", "nan"],
    ["simulate", "design.npz", *STUDY, "--seed", MANY],
    ["build", "design.npz", "--board", "icebreaker", "-o", "out", "--frequency", "inf"],
    ["build", "design.npz", "--board", "icebreaker", "-o", "out", "--seeds", "1,²"],
    ["faults", "design.npz", *STUDY, "--seed", "-1"],
    ["status", "--port", "/dev/nothing", "--every", "nan"],
]  # fmt: skip


@pytest.mark.parametrize("words", BAD_OPTIONS, ids=lambda words: " ".join(words)[:90])
def test_an_option_that_is_no_such_number_or_word_is_one_line(
    refused, design, tmp_path, words
) -> None:
    (tmp_path / "m.py").write_text(MODEL)
    torch.save(state(), tmp_path / "w.pth")
    np.savez(tmp_path / "data.npz", **good())

    assert len(refused(*words).replace(MANY, "")) < 250


def test_a_flipped_bit_of_a_program_is_seen(refused, tmp_path) -> None:
    np.savez(tmp_path / "data.npz", x=np.ones((20, 12), np.float32))
    net = torch.nn.Linear(12, 4)
    torch.export.save(torch.export.export(net, (torch.ones(2, 12),)), tmp_path / "p.pt2")
    data = bytearray((tmp_path / "p.pt2").read_bytes())
    data[data.index(net.weight.detach().numpy().tobytes()) + 3] ^= 0x40
    (tmp_path / "p.pt2").write_bytes(bytes(data))

    message = refused("convert", "p.pt2", "--calibrate", "data.npz", "-o", "out.npz")

    assert message.startswith("p.pt2 is not loaded: the CRC of its record ")


def test_a_path_that_is_no_text_is_printed(refused, design, tmp_path) -> None:
    odd = Path(os.fsdecode(bytes(tmp_path) + b"/[red]\xff\x1b.npz"))

    message = refused("evaluate", "design.npz", "--data", odd)

    assert message.endswith("/[red]\udcff\x1b.npz")
