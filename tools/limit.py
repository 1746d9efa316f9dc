"""What keeps a folded design from being faster on a board: the one place that says it.

The search for the fastest folding is asked, also where a folding was given: either it knows a
faster one that fits, or it says which resource the next faster one lacks, and what would help.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..boards.accelerator import technology_of
from ..boards.boards import Board
from ..boards.top import UART
from ..gen.core.core import core_timing
from ..gen.core.spread import counted_spread
from ..gen.design.design import Design
from ..gen.design.folding import EVENTS
from ..gen.fold.fold import ANY, CONSTANT_TIME, SOUGHT
from ..gen.fold.goal import THROUGHPUT
from ..gen.layers.cycles import steady
from . import api
from .tables import because


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What limits a folding, and what to do.

    Parameters
    ----------
    interval
        Cycles from one sample to the next, of this folding; where it skips silent words, on average
        over the samples that were counted.
    fastest
        Those of the fastest folding that the estimate says fits; ``None`` where none does.
    said
        A sentence.
    """

    interval: int
    fastest: int | None
    said: str

    def record(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"interval_cycles": self.interval, "fastest_cycles": self.fastest, "said": self.said}


def interval_of(design: Design, technology: str) -> int:
    """Return the cycles between samples; on average where layers skip silent words."""
    spread = counted_spread(design, technology)
    if spread is None:
        return steady(core_timing(design, technology))[1]
    return round(spread.interval)


def limit_of(
    design: Design,
    board: Board,
    *,
    link: str = UART,
    auto: api.AutoFold | None = None,
    progress: Callable[[str], None] = lambda doing: None,
) -> Limit:
    """Return what limits a folded design on a board beside the link to the host.

    Parameters
    ----------
    design
        Folded.
    board
        Of a device whose size is known.
    link
        Lines to the host.
    auto
        What the search said, where it has found this folding for this board and link; else the
        search is made, which takes seconds.
    progress
        Told how far the search is.
    """
    interval = interval_of(design, technology_of(board))
    known = auto is not None and auto.goal == THROUGHPUT and not auto.assumed
    if auto is not None and known and auto.board == board.name:
        return Limit(interval=interval, fastest=interval, said=f"{because(auto)}; {auto.remedy}")
    chosen = any(p.folding is not None and p.folding.synapse != EVENTS for p in design.populations)
    words = ("auto", f"{SOUGHT}{THROUGHPUT}", *([f"*:synapse={ANY}"] if chosen else []))
    if not any(p.folding is not None and p.folding.skips for p in design.populations):
        words = (*words, CONSTANT_TIME)
    try:
        choice = api.choose_fold(design, words, board, link=link, progress=progress)
    except ValueError as reason:  # nothing fits, by the estimate
        return Limit(interval=interval, fastest=None, said=str(reason))
    fastest = interval_of(choice.design, technology_of(board))
    if fastest < interval:
        option = f"--fold auto --for {THROUGHPUT}" + (f" --synapse {ANY}" if chosen else "")
        said = (
            f"a faster folding fits, by the estimate: {fastest:,} cycles a sample in place of "
            f"{interval:,} ({option})"
        )
    else:
        assert choice.auto is not None
        said = f"{because(choice.auto)}; {choice.auto.remedy}"
    return Limit(interval=interval, fastest=fastest, said=said)
