"""Rearranging: what moves, repeats, joins or leaves out elements."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from .affine import Affine
from .graph import Call, Constant, Handlers, Root, Value, as_float64
from .refusals import Refused

handles = Handlers()


@handles("alias", "clone", "contiguous", "detach", "lift_fresh_copy", "lift_fresh", "identity")
def unchanged(call: Call) -> Value:
    return call.affine("self" if "self" in call.arguments else "input")


@handles("to", "_to_copy", "type_as")
def converted(call: Call) -> Value:
    if not call.node.meta["val"].dtype.is_floating_point:
        raise Refused("conversion to integers rounds")
    return call.affine("self")


@handles("dropout", "feature_dropout", "alpha_dropout", "native_dropout")
def dropout(call: Call) -> Value:
    if call["train"]:
        raise Refused("it drops in eval mode too, pass training=self.training")
    return call.affine("input")


@handles(
    "view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as"
)
def reshaped(call: Call) -> Value:
    """Keep the elements in C order; the batch axis stays in front, so a sample keeps its own."""
    if isinstance(call["self"], Root):
        return replace(call["self"], value=call["self"].value.reshaped(call.features))
    value = call.affine("self").reshaped(call.features)
    call.builder.note_layout(value)
    return value


@handles("permute", "transpose", "t", "swapaxes", "movedim", "numpy_T", "mT", "adjoint")
@handles("slice", "select", "narrow", "flip", "roll", "index_select", "expand", "repeat")
@handles("pixel_shuffle", "pixel_unshuffle", "channel_shuffle")
@handles("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d")
@handles("replication_pad2d", "unbind", "split", "split_with_sizes", "chunk")
@handles("index", "gather", "take_along_dim")
def rearranged(call: Call) -> Value:
    """Apply the same operator to the elements' numbers, and gather by the result."""
    first = next(iter(call.arguments))
    x = call.affine(first)
    fill = call.arguments.get("value") or 0
    numbers = torch.from_numpy(x.places + 1.0).unsqueeze(0)
    resolved = list(call.graph.resolve(call.node.args))
    marked = [numbers, *(plainly(call, value) for value in resolved[1:])]
    keywords = {
        key: plainly(call, value) for key, value in call.graph.resolve(call.node.kwargs).items()
    }
    if "value" in call.arguments and fill:  # the number 0 marks what padding adds
        if len(marked) > 3:
            marked[3] = 0.0
        elif len(marked) == 3 and call.name == "constant_pad_nd":
            marked[2] = 0.0
        keywords |= {"value": 0.0} if "value" in keywords else {}
    target: Any = call.node.target  # an overload of torch's
    try:
        moved = target(*marked, **keywords)
    except (IndexError, RuntimeError) as error:  # of one sample it takes more than that one
        raise Refused("the batch axis must stay the first") from error
    shapes = call.node.meta["val"]
    several = isinstance(moved, list | tuple)
    results = []
    for part, value in zip(
        moved if several else [moved], shapes if several else [shapes], strict=True
    ):
        features = tuple(int(n) for n in value.shape[1:])
        if str(part.shape[0]) == str(call.graph.batch):  # sizes in the graph are the batch's
            part = part[:1]
        if tuple(part.shape) != (1, *features) or str(value.shape[0]) != str(call.graph.batch):
            raise Refused("the batch axis must stay the first")
        index = part[0].numpy().astype(np.int64) - 1
        result = x.rearranged(index)
        if fill:
            result = result.shifted(np.where(index < 0, float(fill), 0.0))
        call.builder.note_layout(result)
        results.append(result)
    return tuple(results) if several else results[0]


def plainly(call: Call, value: Value) -> Value:
    """Return an argument as torch takes it: indices that are constants as tensors, for one sample.

    Raises
    ------
    Refused
        For indices that depend on the input, or differ from sample to sample.
    """
    if isinstance(value, list | tuple):
        return [plainly(call, each) for each in value]
    if isinstance(value, Affine):
        raise Refused("indices that depend on the input")
    if not isinstance(value, Constant):
        return value
    index = value.tensor
    if call.name in ("gather", "take_along_dim"):  # whose indices have the batch axis too
        if not (index == index[:1]).all():
            raise Refused("indices must be the same for every sample")
        index = index[:1]
    return index


@handles("cat", "concatenate", "stack")
def concatenated(call: Call) -> Value:
    """Sum the parts, each with zeros where the others stand."""
    given = call["tensors"]
    parts = [part if isinstance(part, Constant) else call.as_affine(part) for part in given]
    axis = int(call["dim"])
    shapes = [
        tuple(part.tensor.shape[1:]) if isinstance(part, Constant) else part.shape for part in parts
    ]
    target: Any = call.node.target  # an overload of torch's
    result, constants = None, np.zeros(call.features)
    for k, part in enumerate(parts):
        pieces = [torch.zeros(1, *shape) for shape in shapes]
        size = int(np.prod(shapes[k]))
        pieces[k] = torch.arange(1, size + 1, dtype=torch.float64).reshape(1, *shapes[k])
        moved = target(pieces, axis)
        if tuple(moved.shape) != (1, *call.features):
            raise Refused("the batch axis must stay the first")
        index = moved[0].numpy().astype(np.int64) - 1
        if isinstance(part, Constant):
            value = as_float64(part.tensor)
            if not (value == value[:1]).all():
                raise Refused("a constant must be the same for every sample")
            constants += np.where(index >= 0, value[0].ravel()[index], 0.0)
        else:
            placed = part.rearranged(index)
            result = placed if result is None else result.plus(placed)
    assert result is not None, "a part depends on the input"
    return result.shifted(constants)


@handles("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")
def filled(call: Call) -> Value:
    """Make a constant of a shape that was taken from a value."""
    name = call.name
    fill = call["fill_value"] if "full" in name else float("ones" in name)
    return Constant(torch.full((1, *call.features), float(fill)))
