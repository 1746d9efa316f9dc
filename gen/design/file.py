"""File: a Design as one ``.npz`` of a JSON text and plain integer arrays, never a pickle."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from ..model.codes import RateCode, SpikeCode
from ..model.functions import FunctionTable
from ..model.maps import MAPS
from ..model.products import Product
from ..model.several import Comparison
from ..model.ties import DOWN
from .activity import Activity
from .archive import Archive, in_words
from .folding import AUTO, EVENTS, Folding
from .population import DesignOperand, DesignPopulation, DesignProjection

FORMAT_VERSION = 1
HEADER = "design"  # array of a file that holds the JSON text

Header = dict[str, Any]  # JSON values
Arrays = Mapping[str, np.ndarray]
Content = tuple[Header, dict[str, np.ndarray]]


class Stored(Protocol):
    """What is kept in a file.

    Members
    -------
    hash : str, :func:`digest` of its content
    """

    @cached_property
    def hash(self) -> str: ...

    def content(self) -> Content: ...


S = TypeVar("S", bound=Stored)


# -- writing -----------------------------------------------------------------------------------


class Keeper:
    """Integer arrays by key, in the place of which JSON values hold the keys."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def __call__(self, key: str, array: np.ndarray, dtype: type | np.dtype = np.int64) -> str:
        self.arrays[key] = np.ascontiguousarray(array.astype(dtype))
        return key


def content(facts: Header, populations: tuple[DesignPopulation, ...]) -> Content:
    """Return the JSON values and the integer arrays of a Design.

    Parameters
    ----------
    facts
        What stands beside the populations.
    """
    keep = Keeper()
    records = [_population(p, f"p{i}", keep) for i, p in enumerate(populations)]
    return {"format": FORMAT_VERSION, "populations": records} | facts, keep.arrays


def _population(population: DesignPopulation, key: str, keep: Keeper) -> Header:
    p, code = population, population.code
    record: Header = {
        "name": p.name,
        "shape": list(p.shape),
        "function": p.function,
        "code": None if code is None else dict(vars(code)),
        "operands": [_operand(op, f"{key}_o{j}", keep) for j, op in enumerate(p.operands)],
    }
    if isinstance(code, SpikeCode):
        record["code"]["eta"] = list(code.eta)
    if p.limit is not None:
        record["limit"] = p.limit
    if p.ties != DOWN:
        record["ties"] = p.ties
    if p.threshold is not None:
        record["threshold"] = keep(f"{key}_threshold", p.threshold)
    if p.comparison is not None:
        record["comparison"] = vars(p.comparison)
    if p.table is not None:
        record["table"] = vars(p.table) | {"entries": keep(f"{key}_table", p.table.entries)}
    return record


def _operand(operand: DesignOperand, key: str, keep: Keeper) -> Header:
    record: Header = {
        "bias": keep(f"{key}_bias", operand.bias),
        "scale": keep(f"{key}_scale", operand.scale, np.float64),
        "multiplier": keep(f"{key}_m", operand.multiplier),
        "shift": operand.shift,
        "projections": [
            {
                "source": q.source,
                "kind": q.map.kind,
                "parameters": q.map.parameters(),
                "weight_bits": q.weight_bits,
                "weights": keep(f"{key}_q{k}", q.map.weights),
            }
            for k, q in enumerate(operand.projections)
        ],
    }
    if operand.below is not None:
        record["below"] = keep(f"{key}_below", operand.below)
    if operand.products:
        record["products"] = [
            {
                "source": q.source,
                "other": q.other,
                "left": keep(f"{key}_left{k}", q.left, q.left.dtype),
                "right": keep(f"{key}_right{k}", q.right, q.right.dtype),
            }
            for k, q in enumerate(operand.products)
        ]
    return record


def digest(header: Header, arrays: Arrays) -> str:
    """Return the SHA-256 over a content, 64 hex digits."""
    found = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for key in sorted(arrays):
        found.update(f"{key} {arrays[key].dtype.str} {arrays[key].shape}".encode())
        found.update(arrays[key].tobytes())
    return found.hexdigest()


def write(path: Path, header: Header, arrays: Arrays) -> None:
    """Write a file, which appears whole or not at all."""
    text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            named: dict[str, Any] = {HEADER: text, **arrays}
            np.savez_compressed(file, **named)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


# -- reading -----------------------------------------------------------------------------------


def read(path: Path, build: Callable[[Header, Arrays], S]) -> S:
    """Read a file and ``build`` what it holds.

    Raises
    ------
    ValueError
        If the file is not a Design, is damaged, or is of another format version.
    """
    design, damaged = None, False
    try:
        with Archive(path) as file:
            if HEADER not in file:
                raise ValueError(f"it has no array {HEADER!r}")
            header = json.loads(file[HEADER].tobytes().decode())
            version = header["format"]
            if version == FORMAT_VERSION:
                design = build(header, file)
                for key, array in design.content()[1].items():
                    if file.header(key).dtype != array.dtype:
                        kind = file.header(key).dtype
                        raise ValueError(f"its array {key!r} is {kind}, not {array.dtype}")
                damaged = design.hash != header["hash"]
    except FileNotFoundError:
        raise ValueError(f"there is no design file {path}") from None
    except KeyError as e:
        raise ValueError(f"{path} is not a signfire design (it lacks {e})") from e
    except Exception as e:  # what zip, JSON and a Design raise on damage has no common base
        raise ValueError(f"{path} is not a signfire design ({in_words(e)})") from e
    if design is None:
        raise ValueError(
            f"{path} has design format {version}, this signfire reads {FORMAT_VERSION} "
            f"(run signfire convert again)"
        )
    if damaged:
        raise ValueError(f"{path} is damaged: its content does not match its hash")
    return design


def populations_of(header: Header, arrays: Arrays) -> tuple[DesignPopulation, ...]:
    """Return the populations of a content, with their foldings and places."""
    return tuple(
        DesignPopulation(
            name=p["name"],
            shape=tuple(p["shape"]),
            function=p["function"],
            code=None if p["code"] is None else _code_of(p["code"]),
            operands=tuple(_operand_of(op, arrays) for op in p["operands"]),
            folding=_folding_of(header["folding"].get(p["name"])),
            place=_text(header["places"].get(p["name"], "")),
            limit=p.get("limit"),
            table=_table_of(p["table"], arrays) if "table" in p else None,
            threshold=arrays[p["threshold"]] if "threshold" in p else None,
            comparison=Comparison(**p["comparison"]) if "comparison" in p else None,
            ties=_text(p.get("ties", DOWN)),
        )
        for p in header["populations"]
    )


def _operand_of(record: Header, arrays: Arrays) -> DesignOperand:
    return DesignOperand(
        bias=arrays[record["bias"]],
        scale=arrays[record["scale"]],
        multiplier=arrays[record["multiplier"]],
        shift=record["shift"],
        below=arrays[record["below"]] if "below" in record else None,
        products=tuple(
            Product(**q | {"left": arrays[q["left"]], "right": arrays[q["right"]]})
            for q in record.get("products", ())
        ),
        projections=tuple(
            DesignProjection(
                source=q["source"],
                weight_bits=q["weight_bits"],
                map=MAPS[q["kind"]].rebuild(arrays[q["weights"]], q["parameters"]),
            )
            for q in record["projections"]
        ),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _folding_of(header: dict | None) -> Folding | None:
    if header is None:
        return None
    synapse = _text(header.get("synapse", EVENTS))
    skips = header.get("skips", False)
    rom = _text(header.get("rom", AUTO))
    words = ("synapse", "skips", "rom")
    numbers = {key: value for key, value in header.items() if key not in words}
    if any(type(value) is not int for value in numbers.values()) or type(skips) is not bool:
        raise TypeError(f"a folding is whole numbers, not {header}")
    return Folding(**numbers, synapse=synapse, skips=skips, rom=rom)


def activities_of(
    keys: object, arrays: Arrays, populations: tuple[DesignPopulation, ...]
) -> Mapping[str, Activity]:
    """Return what was counted of the trains of populations, by the keys of its arrays."""
    if not isinstance(keys, dict):
        raise TypeError("its activity is no object")
    found = {p.name: p for p in populations if p.code is not None and p.name in keys}
    if set(found) != set(keys):
        raise ValueError("its activity is of populations that it has not")
    tables = {name: arrays[keys[name]] for name in found}
    for name, table in tables.items():
        if table.dtype != np.int64:
            raise ValueError(f"its array {keys[name]!r} is {table.dtype}, not int64")
    return {
        name: Activity(size=p.size, steps=p.train_code.steps, table=tables[name])
        for name, p in found.items()
    }


def provenance_of(record: object) -> Mapping[str, Any]:
    """Return what stands beside the hash, with the kinds of values that its readers rely on."""
    if not isinstance(record, dict):
        raise TypeError("its provenance is no object")
    model, options, layers = (record.get(key) for key in ("model", "options", "layers"))
    if not all(value is None or isinstance(value, dict) for value in (model, options)):
        raise TypeError("model and options of its provenance are objects")
    rows = [] if layers is None else layers
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows
    ):
        raise TypeError("layers of its provenance are objects with a name")
    _text(record.get("command", ""))
    return record


def _code_of(header: Header) -> SpikeCode | RateCode:
    if "theta" in header:
        return RateCode(**header)
    fields: Header = header | {"eta": tuple(header["eta"])}
    return SpikeCode(**fields)


def _table_of(header: Header, arrays: Arrays) -> FunctionTable:
    fields: Header = header | {"entries": arrays[header["entries"]]}
    return FunctionTable(**fields)
