"""Loading: the user's model, without running anything that comes out of a data file."""

import ast
import importlib.util
import inspect
import io
import json
import pickle
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from .messages import in_one_line, silence
from .refusals import Refusal, UnsupportedModel
from .states import fill, load_state, refuse_damage

ATEN = re.compile(r"torch\.ops\.aten\.\w+\.\w+|_operator\.\w+")
QUANTISED = re.compile(  # of torchao's convert_pt2e; torch has them once their module is imported
    r"torch\.ops\.quantized_decomposed\.(de)?quantize_per_(tensor|channel)\.\w+"
)
QUANTISED_MODULE = "torch.ao.quantization.fx._decomposed"
PLAIN_SIZE = re.compile(  # Mul(Integer(2), Symbol('s7', integer=True)) or 2*s7: no other call
    r"((Symbol|Integer|Add|Mul)\(|'\w+'|\w+=True|-?\d+|, |\))*|\w+( ?[-+*] ?\w+)*"
)
PROGRAM_FILE = re.compile(
    r"models/model\.json|data/(weights|constants)/((weight|tensor)_\d+|model_\w+_config\.json)"
    r"|data/sample_inputs/model\.pt|(\.data/)?[a-z_]+|extra/[^/]+"
)


def load_model(
    spec: str, weights: Path | str | None = None, arguments: Mapping[str, Any] | None = None
) -> nn.Module | ExportedProgram:
    """Load a model as the command line names it.

    Parameters
    ----------
    spec
        ``path/to/file.py:factory``, where the factory returns an ``nn.Module`` (a Module class
        does) or an exported program, or the path of a ``.pt2`` program.
        The Python file is run; nothing that is run comes out of a data file.
    weights
        State dict, see :func:`.states.load_state`.
    arguments
        Of the factory, by name.

    Raises
    ------
    ValueError
        With one line that says what is wrong with which file.
    """
    arguments = arguments or {}
    if spec.endswith(".pt2"):
        if weights is not None:
            raise ValueError(f"{spec} is a program with weights of its own: leave out {weights}")
        if arguments:
            raise ValueError(
                f"{spec} is a program, which takes no arguments: leave out {', '.join(arguments)}"
            )
        return load_program(Path(spec))
    file, colon, factory = spec.rpartition(":")
    if not colon or not file.endswith(".py") or not factory.isidentifier():
        raise ValueError(
            f"a model is named as path/to/file.py:factory or path/to/program.pt2, not {spec!r}"
        )
    model = build_module(Path(file), factory, arguments)
    if weights is not None:
        if isinstance(model, ExportedProgram):
            raise ValueError(
                f"{factory}() of {file} gives a program with weights of its own: leave out "
                f"{weights}"
            )
        fill(model, load_state(Path(weights)), Path(weights))
    return model


def build_module(
    path: Path, factory: str, arguments: Mapping[str, Any]
) -> nn.Module | ExportedProgram:
    """Run the user's file and call ``factory`` in it."""
    if not path.is_file():
        raise ValueError(f"there is no model file {path}")
    source = import_file(path)
    make = getattr(source, factory, None)
    if isinstance(make, nn.Module):
        if arguments:
            raise ValueError(
                f"{factory} of {path} is a model, which takes no arguments: leave out "
                f"{', '.join(arguments)}"
            )
        return make
    if not callable(make):
        callables = sorted(
            name
            for name, thing in vars(source).items()
            if callable(thing) and getattr(thing, "__module__", "") == source.__name__
        )
        known = f" (it has {', '.join(callables)})" if callables else ""
        raise ValueError(f"{path} has no factory {factory!r}{known}")
    check_arguments(f"{factory}() of {path}", make, arguments)
    try:
        model = make(**arguments)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{factory}() of {path} fails: {in_one_line(error)}") from error
    if not isinstance(model, nn.Module | ExportedProgram):
        raise ValueError(
            f"{factory}() of {path} must return an nn.Module, not {type(model).__name__}"
        )
    return model


def check_arguments(what: str, make: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that a factory has not, and name those that it needs.

    Raises
    ------
    ValueError
        With the arguments that there are.
    """
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):  # of what is written in C
        return
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = {p.name: p for p in signature.parameters.values() if p.kind in kinds}
    every = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values())
    strangers = [] if every else [name for name in arguments if name not in known]
    if strangers:
        listed = f"it has {', '.join(known)}" if known else "it has none"
        raise ValueError(f"{what} has no argument {strangers[0]!r} ({listed})")
    missing = [n for n, p in known.items() if p.default is p.empty and n not in arguments]
    if missing:
        raise ValueError(
            f"{what} needs {', '.join(missing)} (give --arg {missing[0]}=VALUE, or a default)"
        )


def parse_arguments(words: Iterable[str]) -> dict[str, Any]:
    """Read ``name=value`` words; a value is a Python literal, else text as it stands.

    Raises
    ------
    ValueError
        For a word of another form, or a name that is given twice.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name.isidentifier():
            raise ValueError(f"an argument of a factory reads like width=32, not {word!r}")
        if name in found:
            raise ValueError(f"the argument {name!r} of the factory is given twice")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            found[name] = value
    return found


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
        if not {"inputs", "target"} <= entry.keys() or ATEN.fullmatch(entry["target"]):
            continue
        if QUANTISED.fullmatch(entry["target"]):
            importlib.import_module(QUANTISED_MODULE)
        else:
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
