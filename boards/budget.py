"""Budget: what a core may use of a board's device beside the link to the host."""

from ..gen.cost import Budget, Resources, budget_for, link_cost
from ..gen.technology import find_technology
from .accelerator import technology_of
from .boards import Board
from .top import UART


def budget_of(board: Board, link: str = UART) -> Budget:
    """Return what a core may use of a board's device beside the link to the host.

    Parameters
    ----------
    board
        Of an open tool chain.
    link
        Which lines lead to the host, see :class:`.top.Top`.

    Raises
    ------
    ValueError
        If the size of the device is not known, or if the link alone fills it.
    """
    if board.device is None:
        raise ValueError(
            f"the size of {board.name}'s device is not known here, so nothing can be fitted to it "
            f"(fold by hand: --fold fc1:pe=16,simd=16)"
        )
    needed = link_cost(technology_of(board), link)
    budget, whole = _beside(board, needed), _beside(board, Resources())
    if not budget.lut:
        raise ValueError(
            f"no network fits {board.name}: the link to the host alone needs about "
            f"{whole.used(needed)['LUTs'][0]:,} logic cells, and of the "
            f"{board.device.luts:,} of its {board.device.name} place and route can use "
            f"{whole.lut:,} (choose a larger board, see signfire boards; signfire generate with a "
            f"folding by hand writes the core without the link)"
        )
    return budget


def holds_networks(board: Board) -> bool:
    """Whether there is room for a core beside the link, where the size of the device is known."""
    return board.device is None or _beside(board, link_cost(technology_of(board), UART)).lut > 0


def _beside(board: Board, link: Resources) -> Budget:
    device = board.open_device
    return budget_for(
        luts=device.luts,
        flip_flops=device.flip_flops,
        block_rams=device.block_ram.count,
        multipliers=device.multipliers,
        link=link,
        shared_cells=find_technology(technology_of(board)).shared_cells,
    )
