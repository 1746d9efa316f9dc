"""Fitting: a model converted so that it fits into hardware made for another design.

A retrained model keeps the widths of the other one's registers. Where its sums or integrators would
pass them, the scale of those weights is made coarser by just as much, and where targets would, the
unit of the neurons is: that costs a few per cent of a level, in place of a refusal.
"""

from collections.abc import Callable

import numpy as np

from ..gen.convert.calibrate import Room, calibrate
from ..gen.convert.options import Options
from ..gen.core.shape import Crowd, crowds, differences
from ..gen.design.design import Design
from ..gen.design.folding import Folding
from ..gen.model.network import Network
from ..gen.technology import TECHNOLOGIES

TRIES = 12
SPARE = 1.003  # times as much room as is lacking: rounding may take some
COARSEST = 4.0  # times the unit that suits; the verdict says what that costs


def converted_like(
    network: Network,
    samples: np.ndarray,
    options: Options | None,
    like: Design,
    progress: Callable[[str], None] = lambda said: None,
) -> Design:
    """Convert like another Design, and fit the numbers into its registers.

    What cannot be made to fit is returned as it is, for :func:`signfire.gen.core.shape
    .refuse_unlike` to say why.
    """
    shape, technology = serial(like), TECHNOLOGIES["ecp5"]
    room = Room()
    design = calibrate(network, samples, options, like)
    for _ in range(TRIES):
        if not any(True for _ in differences(shape, design, technology)):
            break
        if [p.name for p in design.populations] != [p.name for p in shape.populations]:
            break
        wanted = more_room(room, design, like, crowds(shape, design, technology))
        if wanted is None:
            break
        progress("making room in the registers of the other design")
        room = wanted
        design = calibrate(network, samples, options, like, room=room)
    return design


def serial(design: Design) -> Design:
    """Return a Design folded, one lane a layer where it is not."""
    return design.with_folding({p.name: p.folding or Folding() for p in design.populations})


def more_room(room: Room, design: Design, like: Design, found: dict[str, Crowd]) -> Room | None:
    """Return the room that a Design lacks, ``None`` where more of it would not help.

    A scale is M units of the neurons over 2^S. Where M is as great as the other's bits hold, the
    unit grows.
    """
    least, coarser = dict(room.least), dict(room.coarser)
    for name, crowd in found.items():
        lacking = max(crowd.targets, *beyond_factors(design, like, name, crowd))
        if lacking > 1:
            coarser[name] = coarser.get(name, 1.0) * lacking * SPARE
        if any((each > 1).any() for each in crowd.operands):
            least[name] = [
                operand.scale * np.where(each > 1, each * SPARE, 1.0)
                for operand, each in zip(design[name].operands, crowd.operands, strict=True)
            ]
    same = least.keys() == room.least.keys() and coarser == room.coarser
    if same and all(least[name] is room.least[name] for name in least):
        return None
    if any(factor > COARSEST for factor in coarser.values()):
        return None
    return Room(least=least, coarser=coarser)


def beyond_factors(design: Design, like: Design, name: str, crowd: Crowd) -> list[float]:
    """Return by how much the factors of each operand fall short of the scale that would fit."""
    short = [0.0]
    pairs = zip(design[name].operands, like[name].operands, strict=True)
    for (operand, held), each in zip(pairs, crowd.operands, strict=False):
        if design[name].code is None:
            continue  # logits have no factors
        top = 2 ** int(held.multiplier.max()).bit_length() - 1
        full = each > 1
        if full.any():
            short.append(float((operand.multiplier * each * SPARE)[full].max() / top))
    return short
