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

TRIES = 8
SPARE = 1.003  # times as much room as is lacking: rounding may take some
COARSEST = 2.0  # times the scale, or the unit, that suits


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
        wanted = more_room(room, design, crowds(shape, design, technology))
        if wanted is None:
            break
        progress("making room in the registers of the other design")
        room = wanted
        design = calibrate(network, samples, options, like, room=room)
    return design


def serial(design: Design) -> Design:
    """Return a Design folded, one lane a layer where it is not."""
    return design.with_folding({p.name: p.folding or Folding() for p in design.populations})


def more_room(room: Room, design: Design, found: dict[str, Crowd]) -> Room | None:
    """Return the room that a Design lacks, ``None`` where more of it would not help."""
    least, coarser = dict(room.least), dict(room.coarser)
    for name, crowd in found.items():
        if crowd.targets > 1:
            coarser[name] = coarser.get(name, 1.0) * crowd.targets * SPARE
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
