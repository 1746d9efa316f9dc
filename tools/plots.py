"""Plots of the report, as SVG text that stands in the page itself."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from ..gen.design.design import Design
from ..sim.golden import Trace

INK, FAINT, ACCENT, SECOND = "#1c2733", "#9aa7b4", "#0b6e99", "#d1682c"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, sharp and searchable
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
BARE: dict[Any, Any] = STYLE | {"axes.spines.left": False, "axes.spines.bottom": False}
COLOURS = (ACCENT, SECOND, "#1d7a46", "#8a4fa3", "#b3261e", "#5b6b7a", "#b58900")
MARKS = ("o", "s", "^", "D", "v", "x", "P")
EVENTS = ListedColormap(["#f0f3f6", ACCENT])
SHOWN_MEMBRANES = 6
MOST_PANELS = 4  # beside each other
MOST_IMAGES = 4  # steps of a two-dimensional population that are drawn as pictures


def _svg(figure: Figure, name: str) -> str:
    """Return the figure as one ``<svg>`` element; ``name`` keeps its ids apart from others'."""
    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def accuracy_over_steps(
    curve: Sequence[Mapping[str, float]],
    *,
    chosen: int,
    measured: float | None = None,
    float_accuracy: float | None = None,
    word: str = "accuracy",
) -> str:
    """Plot golden accuracy, or another figure, over T.

    Parameters
    ----------
    curve
        Points with ``steps`` and ``golden`` (0..1).
    chosen
        T of the Design that the report is about.
    measured
        That Design's own golden accuracy, 0..1.
    float_accuracy
        Of the float network, drawn as a line.
    word
        What the figure is called.
    """
    curve = [point for point in curve if point["golden"] is not None]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 2.7))
        axes = figure.subplots()
        steps = [point["steps"] for point in curve]
        percent = [100 * point["golden"] for point in curve]
        axes.plot(steps, percent, "o-", color=ACCENT, lw=1.5, ms=4, label="golden model")
        if measured is not None:
            label = f"this design, T = {chosen}"
            axes.plot([chosen], [100 * measured], "o", ms=9, mfc="none", mec=SECOND, label=label)
        if float_accuracy is not None:
            axes.axhline(100 * float_accuracy, color=INK, lw=1, ls="--", label="float network")
        axes.set_xlabel("steps T")
        axes.set_ylabel(f"{word}, %")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", color="#e6ebf0", lw=0.8)
        axes.set_axisbelow(True)
        axes.legend(loc="lower right")
        return _svg(figure, "accuracy")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a plot: its name, and points (x, y); y that is ``None`` is left out."""

    name: str
    points: Sequence[tuple[float, float | None]]
    dashed: bool = False


def curves(
    lines: Sequence[Curve],
    name: str,
    *,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
    level: tuple[str, float] | None = None,
    size: tuple[float, float] = (6.4, 3.0),
) -> str:
    """Plot lines over the same axes, with the names beside.

    Parameters
    ----------
    lines
        See :class:`Curve`.
    name
        Keeps the ids of this plot apart from others'.
    x, y
        Labels of the axes.
    log_x, log_y
        Logarithmic axes, the former with the points' own x as ticks.
    level
        Name and y of a horizontal line.
    size
        Inches.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size)
        axes = figure.subplots()
        for k, line in enumerate(lines):
            points = [(a, b) for a, b in line.points if b is not None]
            colour = COLOURS[k % len(COLOURS)]
            axes.plot(
                [a for a, _ in points],
                [b for _, b in points],
                MARKS[k % len(MARKS)] + ("--" if line.dashed else "-"),
                color=colour,
                lw=1.4,
                ms=4,
                label=line.name,
            )
        if level is not None:
            axes.axhline(level[1], color=INK, lw=1, ls=":", label=level[0])
        if log_x:
            ticks = sorted({a for line in lines for a, _ in line.points})
            axes.set_xscale("log")
            axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks], minor=False)
            axes.xaxis.set_minor_locator(NullLocator())
        if log_y:
            axes.set_yscale("log")
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(axis="y", color="#e6ebf0", lw=0.8)
        axes.set_axisbelow(True)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
        return _svg(figure, name)


def activity(rows: Sequence[str], shares: Sequence[Sequence[float]], name: str) -> str:
    """Plot the share of neurons that send an event, populations by steps; a train may be short."""
    longest = max(len(row) for row in shares)
    grid = np.full((len(rows), longest), np.nan)
    for k, row in enumerate(shares):
        grid[k, : len(row)] = row
    with matplotlib.rc_context(BARE):
        figure = Figure(figsize=(6.4, 0.26 * len(rows) + 0.9))
        axes = figure.subplots()
        top = max(0.5, float(np.nanmax(grid)))
        image = axes.imshow(
            100 * grid, aspect="auto", cmap="Blues", vmin=0, vmax=100 * top, interpolation="nearest"
        )
        axes.set_yticks(range(len(rows)), labels=rows, fontsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True))
        axes.tick_params(length=0)
        axes.set_xlabel("step t")
        for k, row in enumerate(shares):
            axes.text(
                longest - 0.35, k, f"{100 * np.mean(row):.1f} %", va="center", fontsize=8, color=INK
            )
        bar = figure.colorbar(image, ax=axes, pad=0.13, aspect=12)
        bar.set_label("neurons that send, %", fontsize=8)
        return _svg(figure, name)


def confusion(matrix: np.ndarray) -> str:
    """Plot a confusion matrix, (classes, classes) counts; the diagonal is set apart by colour."""
    matrix = np.asarray(matrix, np.int64)
    classes = len(matrix)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    right, wrong = np.eye(classes, dtype=bool), ~np.eye(classes, dtype=bool)
    with matplotlib.rc_context(BARE):
        size = min(6.5, max(2.6, 0.38 * classes + 0.6))
        figure = Figure(figsize=(size, size))
        axes = figure.subplots()
        worst = share[wrong].max(initial=0)
        axes.imshow(np.where(right, share, np.nan), cmap="Blues", vmin=0, vmax=1.4)
        axes.imshow(
            np.where(wrong & (matrix > 0), share, np.nan),
            cmap="Oranges",
            vmin=0,
            vmax=max(1.8 * worst, 1e-9),
        )
        if classes <= 20:
            for i, j in np.argwhere(matrix > 0):
                colour = "white" if i == j and share[i, j] > 0.5 else INK
                count = str(matrix[i, j])
                axes.text(j, i, count, ha="center", va="center", fontsize=7.5, color=colour)
        axes.set_xticks(range(classes) if classes <= 20 else [])
        axes.set_yticks(range(classes) if classes <= 20 else [])
        axes.tick_params(length=0)
        axes.set_xlabel("answer")
        axes.set_ylabel("true class")
        return _svg(figure, "confusion")


def _panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure of ``count`` panels in rows, ``height`` inches each."""
    columns = min(count, MOST_PANELS)
    rows = -(-count // columns)
    figure = Figure(figsize=(7.6, height * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure, list(panels[:count])


def raster(design: Design, trace: Trace) -> str:
    """Plot the events of one sample, one panel a population, one column a step."""
    firing = [p for p in design.populations if p.code is not None]
    with matplotlib.rc_context(STYLE):
        figure, panels = _panels(len(firing), 2.9)
        for axes, population in zip(panels, firing, strict=True):
            events = trace.populations[population.name].events
            axes.set_title(f"{population.name}: {int(events.sum()):,} events of {events.size:,}")
            if len(population.shape) == 2 and len(events) <= MOST_IMAGES:
                _images(axes, events.reshape(-1, *population.shape))
            else:
                _rows(axes, events)
        return _svg(figure, "raster")


def _rows(axes: Axes, events: np.ndarray) -> None:
    """Draw (T, n) events with one row a neuron and one column a step."""
    steps, size = events.shape
    interpolation = "nearest" if size <= 300 else "none"
    axes.imshow(events.T, aspect="auto", interpolation=interpolation, cmap=EVENTS, vmin=0, vmax=1)
    axes.set_xlabel("step t")
    axes.set_ylabel("neuron")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=min(steps, 9), integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def _images(axes: Axes, events: np.ndarray) -> None:
    """Draw (T, height, width) events as one picture a step, side by side."""
    steps, _, width = events.shape
    framed = np.pad(events.astype(float), ((0, 0), (0, 0), (0, 2)), constant_values=np.nan)
    axes.imshow(np.concatenate(framed, axis=1), cmap=EVENTS, vmin=0, vmax=1)
    middles = [(width + 2) * t + width / 2 for t in range(steps)]
    axes.set_xticks(middles, labels=[str(t) for t in range(steps)])
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel("step t")


def membranes(design: Design, trace: Trace) -> str:
    """Plot v(t) of a few neurons of every hidden population, and what each one aims at."""
    hidden = [p for p in design.populations[1:] if p.code is not None]
    if not hidden or design.dynamics != "signgd":  # others' membranes aim at no f(x)
        return ""
    with matplotlib.rc_context(STYLE):
        figure, panels = _panels(len(hidden), 2.7)
        for axes, population in zip(panels, hidden, strict=True):
            record, code = trace.populations[population.name], population.spike_code
            goals = np.clip(record.targets[-1], code.low, code.high)
            chosen = _spread(goals, SHOWN_MEMBRANES)
            for k, neuron in enumerate(chosen):
                colour = matplotlib.colormaps["viridis"](k / max(len(chosen) - 1, 1) * 0.85)
                v = record.membranes[:, neuron]
                times = [*range(len(v)), len(v) - 0.6]  # so that v(T) is seen to stay
                axes.step(times, [*v, v[-1]], where="post", color=colour, lw=1.6)
                goal = np.clip(record.targets[:, neuron], code.low, code.high)
                axes.step(range(len(goal)), goal, where="post", color=colour, lw=0.9, ls=":")
                axes.annotate(
                    f"{neuron}",
                    (times[-1], v[-1]),
                    xytext=(4, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                    color=colour,
                )
            axes.set_title(f"{population.name}: v(t) of {len(chosen)} neurons, dotted: f(x)")
            axes.set_xlabel("step t")
            axes.set_ylabel("v, integer steps")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return _svg(figure, "membranes")


def _spread(values: np.ndarray, count: int) -> list[int]:
    """Return up to ``count`` indices whose values differ and cover the range of ``values``."""
    distinct, first = np.unique(values, return_index=True)
    picks = np.unique(np.linspace(0, len(distinct) - 1, min(count, len(distinct))).round())
    return [int(first[int(p)]) for p in picks]
