"""What a bench is made of: figures beside their targets, the registry, and the example's builds."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..boards.accelerator import technology_of
from ..boards.boards import find_board
from ..boards.build import BuildResult
from ..gen.core.core import core_timing
from ..gen.design.design import Design
from ..gen.layers.cycles import steady
from . import api, demo

TOOLS = Path(__file__).resolve().parent
ROOT = TOOLS.parent
SEED = 1
SEEDS = (1, 2, 3, 4)  # of place and route


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One figure.

    Parameters
    ----------
    what
        What was measured, a few words.
    value, unit
        The figure.
    target
        ``>= 97.7``, ``<= 12`` or ``== 5000``; empty for a figure without a bar.
    note
        What belongs beside it in the table.
    details
        JSON values, for the record alone.
    """

    what: str
    value: float
    unit: str
    target: str = ""
    note: str = ""
    details: Mapping[str, Any] | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the value meets the target; ``None`` where there is none."""
        if not self.target:
            return None
        sign, number = self.target.split()
        bound = float(number)
        return {
            ">=": self.value >= bound,
            "<=": self.value <= bound,
            "==": self.value == bound,
        }[sign]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A named bench and the function that yields its measurements."""

    bar: str
    title: str
    run: Callable[[], Iterable[Measurement]]
    rows: "Rows | None" = None


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a bench of many slow rows is made of: each is measured alone, and kept.

    Parameters
    ----------
    names
        Of the rows, in the order of the table.
    measure
        From a name to JSON values.
    sum_up
        From what was found, by name, to measurements; not all rows need be there.
    """

    names: tuple[str, ...]
    measure: Callable[[str], dict[str, Any]]
    sum_up: Callable[[Mapping[str, dict[str, Any]]], Iterable[Measurement]]


BENCHES: dict[str, Bench] = {}


def bench(
    bar: str, title: str
) -> Callable[[Callable[[], Iterable[Measurement]]], Callable[[], Iterable[Measurement]]]:
    """Register a function as the bench of a bar."""

    def register(
        function: Callable[[], Iterable[Measurement]],
    ) -> Callable[[], Iterable[Measurement]]:
        BENCHES[bar] = Bench(bar=bar, title=title, run=function)
        return function

    return register


def bench_of_rows(bar: str, title: str, rows: Rows) -> None:
    """Register a bench of rows."""

    def run() -> Iterable[Measurement]:
        return rows.sum_up({name: rows.measure(name) for name in rows.names})

    BENCHES[bar] = Bench(bar=bar, title=title, run=run, rows=rows)


# -- models and data ---------------------------------------------------------------------------


def open_data(name: str, *, inputs: str = "x") -> api.Dataset:
    """Read one of the sets that lie beside the checkout in ``shared/data``."""
    path = ROOT.parent / "shared" / "data" / name
    if not path.is_file():
        raise ValueError(
            f"this bench needs {name}, which is not in the repository (put it into {path.parent})"
        )
    return api.load_data(path, inputs=inputs)


def example(model: int | str) -> api.Model:
    """Return the repository's 784-``model``-10 perceptron, or its network of that name."""
    return demo.model(f"mlp{model}" if isinstance(model, int) else model)


@dataclass(frozen=True, kw_only=True)
class Routed:
    """A Design on a board, with its predicted cycles."""

    design: Design
    built: BuildResult
    latency: int
    interval: int

    @property
    def details(self) -> dict[str, Any]:
        """What a record of its speed keeps: JSON values."""
        return {
            "clock_hz": self.built.clock_hz,
            "utilisation": {cell: vars(use) for cell, use in self.built.utilisation.items()},
            "folding": {p.name: p.folding.record for p in self.design.populations if p.folding},
            "design_hash": self.design.hash,
        }


def routed(
    model: int | str,
    board: str,
    fold: Sequence[str],
    seeds: Sequence[int] = SEEDS,
) -> Routed:
    """Convert, fold and build an example for a board; what is not changed is not built again."""
    target = find_board(board)
    source = example(model)
    options = demo.MODELS[source.name].options
    design = api.folded(api.convert(source, options=options).design, fold, target)
    folder = board if isinstance(model, int) else f"{model}-{board}"
    built = api.build(design, target, ROOT / "build" / "bench" / folder, seeds=seeds)
    latency, interval = steady(core_timing(design, technology_of(target)))
    return Routed(design=design, built=built, latency=latency, interval=interval)


def rate(work: Callable[[], object], items: int, *, repeats: int) -> float:
    """Return items a second, the best of ``repeats`` runs."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return items / min(seconds)
