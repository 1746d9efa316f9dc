"""Memories: where the weights of a folded Design lie, by what is scarce on the device."""

from dataclasses import dataclass, replace

from ..core.estimate import estimate
from ..core.plans import plan_layers
from ..cost import Budget, Resources
from ..design.design import Design
from ..design.folding import BLOCK, LUT, Folding
from ..layers.plan import LayerPlan
from ..technology import Technology

SCARCE = 0.5  # of what may be used; below that either is plentiful


@dataclass(frozen=True, kw_only=True)
class _Move:
    """The weights of a layer in the other memory: its folding then, and what changes."""

    name: str
    folding: Folding
    lut: int
    ff: int
    lone_ff: int
    blocks: int

    @property
    def price(self) -> tuple[float, str]:
        """LUTs for a block RAM, below 0 where they are saved; then the name."""
        return self.lut / abs(self.blocks), self.name

    def applied(self, used: Resources) -> Resources:
        return used + Resources(
            lut=self.lut, ff=self.ff, lone_ff=self.lone_ff, block_ram=self.blocks
        )


def place_weights(design: Design, technology: Technology, budget: Budget) -> Design:
    """Move weights from LUTs to block RAM, or back, while that evens out how much of each is used.

    A folding is searched at a fixed rate of LUTs for a block RAM. Where that leaves block RAMs idle
    and takes more than :data:`SCARCE` of the LUTs, the weights that save most LUTs a block RAM go
    there, layer by layer, each if the greater one of the two shares falls; and the other way round
    where it is the block RAMs that are scarce. Cycles stay as they are.
    """
    used = estimate(design, technology, budget).resources
    share = _shares(used, budget)
    to = BLOCK if share[0] > share[1] else LUT
    _, plans = plan_layers(design, technology)
    moves = [move for plan in plans if (move := _move(plan, to)) is not None]
    folding = {p.name: p.folding for p in design.populations if p.folding is not None}
    for move in sorted(moves, key=lambda move: move.price):
        after = move.applied(used)
        if max(share) > SCARCE and max(_shares(after, budget)) < max(share):
            folding[move.name] = move.folding
            used, share = after, _shares(after, budget)
    return design.with_folding(folding)


def _shares(used: Resources, budget: Budget) -> tuple[float, float]:
    """Return how much of the LUTs and of the block RAMs is used, 1 for all that may be."""
    luts, blocks = (budget.used(used)[name] for name in ("LUTs", "block RAMs"))
    return luts[0] / max(1, luts[1]), blocks[0] / max(1, blocks[1])


def _move(plan: LayerPlan, to: str) -> _Move | None:
    """Return what it takes to move a layer's weights; None where there are none, or they are there.

    Weights as logic lie in no memory.
    """
    cost = plan.cost()
    if plan.folding.is_logic or "weights" not in cost:
        return None
    folding = replace(plan.folding, rom=to)
    before, after = cost["weights"], replace(plan, folding=folding).cost()["weights"]
    blocks = after.block_ram - before.block_ram
    if not blocks:
        return None
    return _Move(
        name=plan.name,
        folding=folding,
        lut=after.lut - before.lut,
        ff=after.ff - before.ff,
        lone_ff=after.lone_ff - before.lone_ff,
        blocks=blocks,
    )
