"""Where a Design's float model comes from, and whether it is still what was converted.

A Design keeps the paths of its model file, weights and calibration samples with the SHA-256 of each
and of the weights in memory. A model file is code, and a Design may come from anybody: so it is run
only where the user names it in that command, or where its content is what the Design says was
converted. The Design's own word for it shows no more than that the file on this machine is the one
that was converted.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..gen.design.design import Design
from ..gen.model.heads import Head
from .dataset import Dataset
from .dataset import load as load_data

if TYPE_CHECKING:  # torch takes its time to import
    from torch import nn
    from torch.export import ExportedProgram

    from ..gen.model.network import Network

CHUNK = 1 << 20
FILES = {"spec": "model", "weights": "weights", "calibrate": "calibration"}  # field -> its word
OPTIONS = {"spec": "--model", "weights": "--weights", "calibrate": "--calibrate"}


@dataclass(frozen=True, kw_only=True)
class Model:
    """Where a float model comes from, so that it can be read again.

    Parameters
    ----------
    spec
        ``file.py:factory`` or a ``.pt2`` program.
    weights
        State dict, ``None`` for a program, or where the factory gives its own.
    calibrate
        File or folder of the samples it was calibrated on; ``inputs`` and ``labels``, the arrays or
        columns in it, and ``white``, what the brightest pixel of its images becomes: see
        :func:`signfire.tools.dataset.load`.
    arguments
        Of the factory, ``name=value`` words.
    shape
        Of a sample, where the file holds flat ones; empty for what it holds.
    groups
        Which samples belong together, see :func:`signfire.tools.dataset.load`.
    """

    spec: str
    weights: str | None
    calibrate: str
    inputs: str = "x"
    labels: str | None = None
    white: int = 1
    arguments: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    groups: str | None = None

    @property
    def absolute(self) -> "Model":
        """The same with absolute paths, which a Design can keep."""
        file, colon, factory = self.spec.rpartition(":") if ".py:" in self.spec else ("", "", "")
        spec = f"{Path(file).resolve()}:{factory}" if colon else str(Path(self.spec).resolve())
        return replace(
            self,
            spec=spec,
            weights=None if self.weights is None else str(Path(self.weights).resolve()),
            calibrate=str(Path(self.calibrate).resolve()),
        )

    def samples(self, *, need_labels: bool | None = False, head: Head | None = None) -> Dataset:
        """Read the calibration samples, with labels as :func:`.dataset.load` says."""
        found = load_data(
            self.calibrate,
            inputs=self.inputs,
            labels=self.labels,
            need_labels=need_labels,
            head=head,
            white=self.white,
            groups=self.groups,
        )
        return found.shaped(self.shape) if self.shape else found

    @property
    def name(self) -> str:
        """The factory's or the program's name."""
        _, colon, factory = self.spec.rpartition(".py:")
        return factory if colon else Path(self.spec).stem

    @property
    def gives_own_weights(self) -> bool:
        """Whether the weights are those that a factory gives, random unless it loads some."""
        return self.weights is None and not self.spec.endswith(".pt2")

    def file(self, field: str) -> Path | None:
        """Return the file of ``spec``, ``weights`` or ``calibrate``, if there is one."""
        path = getattr(self, field)
        if field == "spec" and ".py:" in path:
            path = path.rpartition(":")[0]
        return None if path is None else Path(path)

    def record(self, module: "nn.Module | ExportedProgram") -> dict[str, Any]:
        """Return what a Design keeps of the model that was loaded: paths and digests."""
        digests = {
            word: None if (path := self.file(field)) is None else file_digest(path)
            for field, word in FILES.items()
        }
        return vars(self.absolute) | {"sha256": digests | {"state": state_digest(module)}}


@dataclass(frozen=True, kw_only=True)
class Named:
    """What the user named in this command, in place of what a Design keeps; ``None``: nothing."""

    spec: str | None = None
    weights: str | None = None
    calibrate: str | None = None
    arguments: tuple[str, ...] | None = None


NOTHING_NAMED = Named()


@dataclass(frozen=True, kw_only=True)
class Source:
    """A float model that may be read, and what of it is not what the Design was converted from.

    Parameters
    ----------
    model
        Where it lies.
    digests
        By word of :data:`FILES`, the SHA-256 of each file as it is now; ``None`` for none.
    state
        SHA-256 of the weights that were converted, ``None`` where that is not known.
    differs
        A sentence on each difference; empty where it is the model that was converted.
    """

    model: Model
    digests: Mapping[str, str | None]
    state: str | None
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FloatModel:
    """A float network that was read again, and its calibration samples; see :class:`Source`."""

    network: "Network"
    calibrate: Dataset
    differs: tuple[str, ...]


def source_of(design: Design, named: Named = NOTHING_NAMED) -> Source:
    """Return where a Design's float model lies.

    Raises
    ------
    ValueError
        If that is not known, a file is missing, or one that the user did not name is not what was
        converted.
    """
    kept = design.provenance.get("model")
    if not isinstance(kept, Mapping):
        if named.spec is None or named.calibrate is None:
            raise ValueError(
                f"{design.name!r} was not converted from a model file (name one with --model, and "
                f"samples with --calibrate)"
            )
        kept = {}
    known = kept.get("sha256")
    known = known if isinstance(known, Mapping) else {}
    keys = ("spec", "weights", "calibrate", "inputs", "labels", "groups")
    fields = {key: kept.get(key) for key in keys}
    if any(not isinstance(value, str | None) for value in fields.values()):
        raise ValueError(f"{design.name!r} does not say which files it was converted from")
    words = kept.get("arguments") or ()
    if not isinstance(words, list | tuple) or any(not isinstance(word, str) for word in words):
        raise ValueError(f"{design.name!r} does not say what its factory was called with")
    named_words = named.arguments if named.arguments is not None else tuple(words)
    fields |= {
        key: value for key, value in vars(named).items() if value is not None and key != "arguments"
    }
    for key in ("spec", "calibrate"):
        if not fields[key]:
            raise ValueError(
                f"{design.name!r} does not say which {FILES[key]} file it was converted from (name "
                f"it with {OPTIONS[key]})"
            )
    if str(fields["spec"]).endswith(".pt2"):
        fields["weights"] = None
    white = 255 if kept.get("white") == 255 else 1
    model = Model(
        **{**fields, "inputs": fields["inputs"] or "x", "white": white}, arguments=named_words
    )
    digests, differs = {}, []
    for field, word in FILES.items():
        path = model.file(field)
        digests[word] = None
        if path is None and known.get(word) is None:
            continue
        said = _difference(design, word, path, known.get(word))
        if path is not None:
            digests[word] = file_digest(path)
        if said is None:
            continue
        if getattr(named, field) is None:
            raise ValueError(f"{said} (convert again, or name it with {OPTIONS[field]})")
        differs.append(said)
    state = known.get("state")
    return Source(
        model=model,
        digests=digests,
        state=state if isinstance(state, str) else None,
        differs=tuple(differs),
    )


def _difference(design: Design, word: str, path: Path | None, known: object) -> str | None:
    """Say how a file is not what was converted; ``None`` where it is."""
    if path is None:
        return f"{design.name!r} was converted with a {word} file, and there is none now"
    if not path.exists():
        raise ValueError(f"there is no {word} file {path}")
    if known is None:
        return f"{design.name!r} does not say what its {word} file {path} held"
    found = file_digest(path)
    if found == known:
        return None
    return (
        f"the {word} file {path} is not what {design.name!r} was converted from: its SHA-256 is "
        f"{found[:12]}, not {str(known)[:12]}"
    )


def read(design: Design, named: Named = NOTHING_NAMED) -> FloatModel:
    """Read the float network that a Design was converted from, and its calibration samples.

    Raises
    ------
    ValueError
        As :func:`source_of`; or if the factory gives other weights than it gave.
    """
    return read_source(design, source_of(design, named), named)


def read_source(design: Design, source: Source, named: Named = NOTHING_NAMED) -> FloatModel:
    """Read the float network and the samples of a source, see :func:`read`."""
    from ..gen.front.export import import_network

    model, differs = source.model, source.differs
    samples = model.samples()
    if not samples.parts and samples.x[0].size == prod(design.sample_shape):
        samples = samples.shaped(design.sample_shape)
    module = load(model)
    if not differs and source.state != state_digest(module):
        said = (
            f"{model.spec} gives other weights than those that {design.name!r} was converted from: "
            f"they are random, or loaded by the model file itself"
        )
        if named.spec is None:
            raise ValueError(f"{said} (convert with --weights, or name it with --model)")
        differs = (said,)
    network = import_network(module, samples.x, name=design.name, inputs=samples.parts)
    return FloatModel(network=network, calibrate=samples, differs=differs)


def load(model: Model) -> "nn.Module | ExportedProgram":
    """Load a model; a Python file is run."""
    from ..gen.front.loading import load_model, parse_arguments

    return load_model(model.spec, model.weights, parse_arguments(model.arguments))


def not_converted(differs: Sequence[str]) -> list[str]:
    """Say that figures of a float model are not of the one that was converted; empty if they are.

    Of that model there are no figures then.
    """
    if not differs:
        return []
    return [f"float figures are not of the model that was converted: {'; '.join(differs)}"]


# -- digests -----------------------------------------------------------------------------------


def file_digest(path: Path) -> str:
    """Return SHA-256 of a file's content, 64 hex digits; of a folder, of its files and names."""
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path).as_posix()} {file_digest(file)} ".encode())
        return digest.hexdigest()
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            digest.update(part)
    return digest.hexdigest()


def state_digest(module: "nn.Module | ExportedProgram") -> str:
    """Return SHA-256 of a model's parameters and buffers, 64 hex digits."""
    import torch
    from torch.export import ExportedProgram

    if isinstance(module, ExportedProgram):
        found = {**module.state_dict, **module.constants}
    else:
        found = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    digest = hashlib.sha256()
    for name in sorted(found):
        tensor = found[name]
        digest.update(f"{name!a} {type(tensor).__name__} ".encode())
        if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided:
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)} {tensor.device.type} ".encode())
            if not tensor.is_meta and not tensor.is_quantized:
                values = tensor.detach().cpu().contiguous().reshape(-1)
                digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
