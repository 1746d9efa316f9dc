"""Upsampling: planes with more pixels than their source."""

from dataclasses import replace

import numpy as np

from .affine import Affine, Gather
from .graph import Call, Handlers, Value
from .rearranging import rearranged
from .refusals import Refused
from .windows import settled

handles = Handlers()


def gathering(call: Call) -> tuple[Call, Affine]:
    """Return the call on values of populations, none of which is computed, and these values."""
    name = next(iter(call.arguments))
    x = call.affine(name)
    if not all(isinstance(form, Gather) for form in x.terms.values()):
        x = settled(call, x)
    return replace(call, arguments={**call.arguments, name: x}), x


@handles("upsample_nearest1d", "upsample_nearest2d")
@handles("_upsample_nearest_exact1d", "_upsample_nearest_exact2d")
def nearest(call: Call) -> Value:
    """Repeat every pixel a whole number of times by axis, or leave pixels out in even steps."""
    before, after = call.affine(next(iter(call.arguments))).shape, call.features
    for n, m in zip(before[1:], after[1:], strict=True):
        if max(n, m) % min(n, m):
            raise Refused(
                f"only by whole factors, not from {'x'.join(map(str, before[1:]))} to "
                f"{'x'.join(map(str, after[1:]))} pixels (give a size that is a multiple)"
            )
    call, x = gathering(call)
    moved = rearranged(call)
    assert isinstance(moved, Affine)
    if all(m >= n for n, m in zip(before, after, strict=True)):
        places = x.places
        for axis in range(1, len(before)):
            places = places.repeat(after[axis] // before[axis], axis)
        even = x.rearranged(places)
        if not same(moved, even):
            raise Refused(
                "its scale_factor is no whole number, so that pixels stand for different areas "
                "(give a whole scale_factor, or size)"
            )
    return moved


def same(a: Affine, b: Affine) -> bool:
    """Whether two values gather the same elements."""
    return all(
        isinstance(form, Gather)
        and isinstance(other := b.terms[name], Gather)
        and np.array_equal(form.index, other.index)
        for name, form in a.terms.items()
    )


@handles("repeat_interleave")
def interleaved(call: Call) -> Value:
    call, _ = gathering(call)
    return rearranged(call)


@handles("upsample_linear1d", "upsample_bilinear2d", "_upsample_bilinear2d_aa")
@handles("upsample_bicubic2d", "_upsample_bicubic2d_aa")
def interpolated(call: Call) -> Value:
    raise Refused("only mode='nearest' is supported, by whole factors")
