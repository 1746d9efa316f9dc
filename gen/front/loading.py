"""Loading: the user's model and weights, without running anything that comes out of a data file."""

import importlib.util
import io
import json
import pickle
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.export import ExportedProgram

from ..design.archive import BadArchive, crc_fault
from .messages import advice_of, in_one_line, silence
from .refusals import Refusal, UnsupportedModel

ZIP = b"PK\x03\x04"  # begins a zip file
ATEN = re.compile(r"torch\.ops\.aten\.\w+\.\w+|_operator\.\w+")
PLAIN_SIZE = re.compile(  # Mul(Integer(2), Symbol('s7', integer=True)) or 2*s7: no other call
    r"((Symbol|Integer|Add|Mul)\(|'\w+'|\w+=True|-?\d+|, |\))*|\w+( ?[-+*] ?\w+)*"
)
PROGRAM_FILE = re.compile(
    r"models/model\.json|data/(weights|constants)/((weight|tensor)_\d+|model_\w+_config\.json)"
    r"|data/sample_inputs/model\.pt|(\.data/)?[a-z_]+|extra/[^/]+"
)


def load_model(spec: str, weights: Path | str | None = None) -> nn.Module | ExportedProgram:
    """Load a model as the command line names it.

    Parameters
    ----------
    spec
        ``path/to/file.py:factory``, where the factory takes no arguments and returns an
        ``nn.Module`` (a Module class does), or the path of a ``.pt2`` program.
        The Python file is run; nothing that is run comes out of a data file.
    weights
        State dict, loaded with ``weights_only``; also accepted under the key ``state_dict``.

    Raises
    ------
    ValueError
        With one line that says what is wrong with which file.
    """
    if spec.endswith(".pt2"):
        if weights is not None:
            raise ValueError(f"{spec} is a program with weights of its own: leave out {weights}")
        return load_program(Path(spec))
    file, colon, factory = spec.rpartition(":")
    if not colon or not file.endswith(".py") or not factory.isidentifier():
        raise ValueError(
            f"a model is named as path/to/file.py:factory or path/to/program.pt2, not {spec!r}"
        )
    model = build_module(Path(file), factory)
    if weights is not None:
        fill(model, load_state(Path(weights)), Path(weights))
    return model


def build_module(path: Path, factory: str) -> nn.Module:
    """Run the user's file and call ``factory`` in it."""
    if not path.is_file():
        raise ValueError(f"there is no model file {path}")
    source = import_file(path)
    make = getattr(source, factory, None)
    if isinstance(make, nn.Module):
        return make
    if not callable(make):
        callables = sorted(
            name
            for name, thing in vars(source).items()
            if callable(thing) and getattr(thing, "__module__", "") == source.__name__
        )
        known = f" (it has {', '.join(callables)})" if callables else ""
        raise ValueError(f"{path} has no factory {factory!r}{known}")
    try:
        model = make()
    except (Exception, SystemExit) as error:
        raise ValueError(f"{factory}() of {path} fails: {in_one_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"{factory}() of {path} must return an nn.Module, not {type(model).__name__}"
        )
    return model


def import_file(path: Path):
    """Import a Python file by path; modules beside it can be imported from it."""
    name = f"signfire_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.modules[name] = module  # dataclasses and torch.export look the module up
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ValueError(f"{path} cannot be imported: {in_one_line(error)}") from error
    finally:
        sys.path.remove(folder)
    return module


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict without running code from the file."""
    if not path.is_file():
        raise ValueError(f"there is no weights file {path}")
    try:
        refuse_damage(path)
        with silence():
            state = torch.load(path, map_location="cpu", weights_only=True)
    except BadArchive as fault:
        raise ValueError(f"{path} is damaged: {fault}") from fault
    except Exception as error:
        if isinstance(error, pickle.UnpicklingError) or advice_of(error):
            raise ValueError(
                f"{path} holds more than tensors, or no tensors at all, and is not loaded "
                "(save it with torch.save(model.state_dict(), path))"
            ) from error
        raise ValueError(f"{path} is not a weights file: {in_one_line(error)}") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ValueError(
            f"{path} is not a state dict of tensors "
            "(save it with torch.save(model.state_dict(), path))"
        )
    for name, tensor in state.items():
        check_tensor(name, tensor, path)
    return state


def refuse_damage(path: Path) -> None:
    """Raise BadArchive where a record of a zip file is not what was written; torch does not look.

    Files that are no zip file have no CRC: what torch wrote before its version 1.6.
    """
    with path.open("rb") as file:
        if file.read(len(ZIP)) != ZIP:
            return
    record = crc_fault(path)
    if record is not None:
        raise BadArchive(f"the CRC of its record {record!r} is wrong (copy or save it again)")


def check_tensor(name: object, tensor: torch.Tensor, path: Path) -> None:
    """Refuse a tensor of a state dict that holds no plain numbers, or has no name.

    Raises
    ------
    ValueError
        With what it is, and what to save in its place.
    """
    if not isinstance(name, str):
        raise ValueError(
            f"{path} is not a state dict: it names a tensor {name!r}, a {type(name).__name__} "
            "(save it with torch.save(model.state_dict(), path))"
        )
    kinds = (
        (tensor.is_meta, "without values, on the meta device", "load it on the CPU first"),
        (tensor.is_quantized, "quantised", "save tensor.dequantize()"),
        (tensor.is_nested, "nested", "save each of its parts"),
        (tensor.layout != torch.strided, "sparse", "save tensor.to_dense()"),
        (tensor.device.type != "cpu", f"on {tensor.device.type}", "save tensor.cpu()"),
    )
    for found, what, remedy in kinds:
        if found:
            raise ValueError(f"{name!r} of {path} is a tensor {what}, not plain ({remedy})")


def fill(model: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Load ``state`` into ``model``; every name, shape and kind of number must fit."""
    own = model.state_dict()
    # a counter that old files lack and that nothing computed here depends on
    counters = {n: own[n] for n in own if n.endswith("num_batches_tracked") and n not in state}
    state = state | counters
    problems = []
    for what, names in (
        ("lacks", [n for n in own if n not in state]),
        ("has but the model has not", [n for n in state if n not in own]),
        ("has in another shape", [n for n in own if n in state and own[n].shape != state[n].shape]),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            problems.append(f"{what} {', '.join(names[:3])}{more}")
    if problems:
        raise ValueError(f"{path} does not fit the model: it {'; it '.join(problems)}")
    for name, tensor in state.items():
        check_kind(f"{name} of {path}", tensor, own[name])
    model.load_state_dict(state)


def check_kind(what: str, tensor: torch.Tensor, own: torch.Tensor) -> None:
    """Refuse numbers that are of another kind than the model's, which a cast would change.

    A cast takes the imaginary parts away, rounds floats for integers, and takes the steps of
    integers for their values, though their scale stands elsewhere.
    """
    kind, wanted = kind_of(tensor), kind_of(own)
    if kind != wanted:
        way_out = "dequantise them" if kind == "integer" else "save what the model computes with"
        raise ValueError(f"{what} must be {wanted} numbers, not {kind} ones ({way_out})")


def kind_of(tensor: torch.Tensor) -> str:
    """Return ``floating-point``, ``integer``, ``boolean`` or ``complex``."""
    if tensor.is_floating_point():
        return "floating-point"
    if tensor.is_complex():
        return "complex"
    return "boolean" if tensor.dtype == torch.bool else "integer"


def load_program(path: Path) -> ExportedProgram:
    """Load a ``.pt2`` program, after a look that no part of it could run code."""
    if not path.is_file():
        raise ValueError(f"there is no program file {path}")
    try:
        refuse_damage(path)
        check_archive(path)
        with silence():
            return torch.export.load(path)
    except UnsupportedModel:
        raise
    except ValueError as error:
        raise ValueError(f"{path} is not loaded: {error}") from error
    except Exception as error:
        raise ValueError(f"{path} cannot be loaded as a program: {in_one_line(error)}") from error


def check_archive(path: Path) -> None:
    """Refuse a ``.pt2`` archive whose loading could unpickle, look up or evaluate something.

    `torch.export.load` unpickles tensors and objects that the archive marks so, sample inputs and
    files of old formats, looks operators up by name in all of torch, and evaluates the text of
    symbolic sizes. So only the files and the texts of a plain program are let through.

    Raises
    ------
    ValueError
        With what the archive holds; :class:`UnsupportedModel` for operators from outside aten.
    """
    contents = read_archive(path)
    strangers = []
    for entry in (entry for content in contents for entry in json_objects(content)):
        if entry.get("use_pickle"):
            raise ValueError("it holds pickled objects, which could run code")
        if "path_name" in entry and not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
            raise ValueError(f"it holds an object {entry['path_name']!r} that is no tensor")
        if "expr_str" in entry and not PLAIN_SIZE.fullmatch(entry["expr_str"]):
            raise ValueError(f"it holds the size {entry['expr_str']!r}, which could run code")
        if "as_operator" in entry:
            strangers.append(Refusal(str(entry["as_operator"])))
        if {"inputs", "target"} <= entry.keys() and not ATEN.fullmatch(entry["target"]):
            strangers.append(Refusal(entry["target"].removeprefix("torch.ops.")))
    if strangers:
        raise UnsupportedModel(strangers)


def read_archive(path: Path) -> list[object]:
    """Return the JSON contents of an archive that holds nothing but a plain program."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
            if len({name.lower() for name in archive.namelist()}) != len(names):
                raise ValueError("it holds two files of one name")
            for name in names:
                if not PROGRAM_FILE.fullmatch(name):
                    raise ValueError(f"it holds {name!r}, which is no part of a plain program")
            if "models/model.json" not in names:
                raise ValueError("it holds no model (write it with torch.export.save)")
            for full, name in zip(archive.namelist(), names, strict=True):
                if name.endswith(".pt"):
                    torch.load(io.BytesIO(archive.read(full)), weights_only=True)
            return [
                json.loads(archive.read(full))
                for full, name in zip(archive.namelist(), names, strict=True)
                if name.endswith(".json")
            ]
    except (zipfile.BadZipFile, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError("it is not a .pt2 archive (write it with torch.export.save)") from error
    except pickle.UnpicklingError as error:
        raise ValueError("its sample inputs are no plain tensors and could run code") from error


def json_objects(content: object) -> Iterator[dict]:
    """Yield every JSON object, at any depth."""
    children: list[object] = []
    if isinstance(content, dict):
        yield content
        children = list(content.values())
    elif isinstance(content, list):
        children = content
    for child in children:
        yield from json_objects(child)
