"""States: the user's weights, out of the files and containers that training code writes.

Nothing that comes out of a file is run.
"""

import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeGuard

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ..design.archive import BadArchive, crc_fault
from .messages import advice_of, in_one_line, silence

ZIP = b"PK\x03\x04"  # begins a zip file
SAVE = "save it with torch.save(model.state_dict(), path)"
# What torch.compile and the wrappers for several devices put before the names of what they wrap.
WRAPPERS = re.compile(r"(?<![^.])(_orig_mod|module)\.")


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict without running code from the file.

    A file is what ``torch.save`` or safetensors wrote: tensors by name, or a dictionary that holds
    one such state dict beside other things (``{"model": ...}``, ``{"model_state_dict": ...,
    "optimizer_state_dict": ...}``, ``{"state_dict": ...}``).
    """
    if not path.is_file():
        raise ValueError(f"there is no weights file {path}")
    state = states_of(read_torch(path) if path.suffix != ".safetensors" else read_safe(path), path)
    for name, tensor in state.items():
        check_tensor(name, tensor, path)
    return state


def read_torch(path: Path) -> object:
    """Return what ``torch.save`` wrote, tensors and plain containers alone."""
    try:
        refuse_damage(path)
        with silence():
            return torch.load(path, map_location="cpu", weights_only=True)
    except BadArchive as fault:
        raise ValueError(f"{path} is damaged: {fault}") from fault
    except Exception as error:
        if isinstance(error, pickle.UnpicklingError) or advice_of(error):
            raise ValueError(
                f"{path} holds more than tensors, or no tensors at all, and is not loaded ({SAVE})"
            ) from error
        raise ValueError(f"{path} is not a weights file: {in_one_line(error)}") from error


def read_safe(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file."""
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is not a safetensors file: {in_one_line(error)}") from error


def states_of(content: object, path: Path) -> dict[str, torch.Tensor]:
    """Return the state dict that a file's content is, or the only one that it holds."""
    if is_state(content):
        return content
    if isinstance(content, dict):
        held = {key: value for key, value in content.items() if is_state(value) and value}
        if len(held) == 1:
            return next(iter(held.values()))
        if held:
            first = next(iter(held))
            raise ValueError(
                f"{path} holds {len(held)} state dicts, {', '.join(map(str, held))} (save one with "
                f"torch.save(checkpoint[{first!r}], path))"
            )
    raise ValueError(f"{path} is not a state dict of tensors ({SAVE})")


def is_state(content: object) -> TypeGuard[dict[str, torch.Tensor]]:
    """Whether something is a dictionary of nothing but tensors."""
    return isinstance(content, dict) and all(isinstance(v, torch.Tensor) for v in content.values())


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
            f"({SAVE})"
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
    """Load ``state`` into ``model``; every name, shape and kind of number must fit.

    Names may be those of a wrapper, see :func:`renamed`.
    """
    own = model.state_dict()
    state = renamed(state, own)
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


def renamed(
    state: dict[str, torch.Tensor], own: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return tensors by the model's own names, where a wrapper wrote others before them.

    ``_orig_mod.`` of torch.compile and ``module.`` of DataParallel may stand before any part of a
    name; and all names of the file, or all of the model, may begin with those of modules around it:
    ``model.`` of a Lightning module. Where that does not make the names equal, they stay.
    """
    if set(own) <= set(state):
        return state
    ours = {bare(name): name for name in own}
    theirs = {bare(name): tensor for name, tensor in state.items()}
    if len(ours) < len(own) or len(theirs) < len(state):
        return state  # two names that only the wrapper tells from each other
    needed = {name for name in ours if not name.endswith("num_batches_tracked")}
    for prefix in prefixes(theirs):
        cut = {name.removeprefix(prefix): tensor for name, tensor in theirs.items()}
        if needed <= set(cut) <= set(ours):
            return {ours[name]: tensor for name, tensor in cut.items()}
    for prefix in prefixes(needed):
        longer = {prefix + name: tensor for name, tensor in theirs.items()}
        if needed <= set(longer) <= set(ours):
            return {ours[name]: tensor for name, tensor in longer.items()}
    return state


def bare(name: str) -> str:
    """Return a tensor's name without what wrappers of any depth put before it."""
    return WRAPPERS.sub("", name)


def prefixes(names: Iterable[str]) -> Iterator[str]:
    """Yield what all names begin with, whole modules from none on: ``""``, ``a.``, ``a.b.``."""
    yield ""
    parts = [name.split(".")[:-1] for name in names]
    prefix = ""
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            return
        prefix += f"{level[0]}."
        yield prefix


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
