"""Comparison: a design beside the plain alternatives, the same integers on multipliers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..boards.accelerator import technology_of
from ..boards.boards import Board
from ..boards.build import BuildResult
from ..boards.devices import Device
from ..boards.top import UART
from ..gen.core.core import core_timing
from ..gen.core.estimate import estimate
from ..gen.core.plans import plan_layers
from ..gen.cost import link_cost
from ..gen.design.design import Design
from ..gen.fold.alternative import alternatives
from ..gen.fold.bound import Bound, bound_of
from ..gen.layers.cycles import steady
from ..gen.technology import find_technology
from . import api, energy
from .clock import assumed_clock

EVENTS = "events"  # the name of the design itself
ROUTED, OF_EVENTS, TYPICAL = "routed", "assumed: that of events", "assumed: typical"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to compute the same integers on a board, host link included.

    Parameters
    ----------
    name
        ``events``, or a name of :func:`signfire.gen.fold.alternative.alternatives`.
    design
        Folded.
    routed
        Whether resources and clock are those of place and route, or an estimate.
    latency_cycles, interval_cycles
        Of the core, exact.
    lut, block_ram, multipliers
        In use; ``lut`` counts logic cells on iCE40.
    fits
        Whether it fits: what was routed does, and of the others the estimate says it.
    clock_hz, clock_is
        Of the core, and where that is from.
    energy
        A sample, an estimate in either case; ``None`` where the device's standby is not known.
    """

    name: str
    design: Design
    routed: bool
    latency_cycles: int
    interval_cycles: int
    lut: int
    block_ram: int
    multipliers: int
    fits: bool
    clock_hz: float
    clock_is: str
    energy: energy.EnergyEstimate | None

    @property
    def latency_s(self) -> float:
        return self.latency_cycles / self.clock_hz

    @property
    def throughput_per_s(self) -> float:
        return self.clock_hz / self.interval_cycles

    def record(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "name": self.name,
            "routed": self.routed,
            "folding": {p.name: p.folding.record for p in self.design.populations if p.folding},
            "latency_cycles": self.latency_cycles,
            "interval_cycles": self.interval_cycles,
            "lut": self.lut,
            "block_ram": self.block_ram,
            "multipliers": self.multipliers,
            "fits": self.fits,
            "clock_hz": self.clock_hz,
            "clock_is": self.clock_is,
            "latency_s": self.latency_s,
            "throughput_per_s": self.throughput_per_s,
            "energy": None if self.energy is None else asdict(self.energy),
        }


def multipliers_of(built: BuildResult, device: Device) -> int:
    """Return how many DSP blocks a build uses."""
    used = built.utilisation.get(device.multiplier_cell)
    return 0 if used is None else used.used


def device_of(board: Board) -> Device:
    """Return a board's device, or say that its size is not known."""
    if board.device is None:
        raise ValueError(
            f"the size of {board.name}'s device is not known here, so nothing can be compared on "
            f"it (take a board that signfire boards lists with its LUTs)"
        )
    return board.device


def designs_on(design: Design, board: Board) -> dict[str, Design]:
    """Return the design and its alternatives, by name."""
    multipliers = device_of(board).multipliers
    return {EVENTS: design, **alternatives(design, technology_of(board), multipliers)}


def compare(
    designs: Mapping[str, Design], board: Board, builds: Mapping[str, BuildResult] | None = None
) -> list[Row]:
    """Return a row a design; those of ``builds`` with what place and route says."""
    device, builds = device_of(board), builds or {}
    events = builds.get(EVENTS)
    rows = []
    for name, design in designs.items():
        built = builds.get(name)
        if built is not None:
            clock, clock_is = built.clock_hz, ROUTED
        elif events is not None:
            clock, clock_is = events.clock_hz, OF_EVENTS
        else:
            assumed = assumed_clock(board)
            assert assumed is not None  # its device is known
            clock, clock_is = assumed.hz, TYPICAL
        latency, interval = steady(core_timing(design, technology_of(board)))
        lut, block_ram, multipliers, fits = resources_of(design, board, built)
        rows.append(
            Row(
                name=name,
                design=design,
                routed=built is not None,
                latency_cycles=latency,
                interval_cycles=interval,
                lut=lut,
                block_ram=block_ram,
                multipliers=multipliers,
                fits=fits,
                clock_hz=clock,
                clock_is=clock_is,
                energy=energy.estimate(
                    device=device.name,
                    cells=lut,
                    clock_hz=clock,
                    interval_cycles=interval,
                    multipliers=multipliers,
                ),
            )
        )
    return rows


def resources_of(
    design: Design, board: Board, built: BuildResult | None
) -> tuple[int, int, int, bool]:
    """Return LUTs, block RAMs and DSP blocks, and whether they fit."""
    device = device_of(board)
    if built is not None:
        lut, ram = (built.utilisation[c] for c in (device.lut_cell, device.block_ram.cell))
        return lut.used, ram.used, multipliers_of(built, device), True
    technology, budget = technology_of(board), api.budget_of(board)
    needs = estimate(design, technology, budget).resources
    cells = budget.used(needs + link_cost(technology, UART))["LUTs"][0]
    return cells, needs.block_ram, needs.multipliers, budget.fits(needs)


def build_all(
    designs: Mapping[str, Design],
    board: Board,
    folder: Path,
    *,
    seeds: Sequence[int] = (1,),
    progress: Callable[[str], None],
) -> dict[str, BuildResult]:
    """Place and route every design that fits by the estimate; folders are called by their names."""
    builds = {}
    for name, design in designs.items():
        if name != EVENTS and not resources_of(design, board, None)[3]:
            continue
        told = f"{name}: "
        builds[name] = api.build(
            design,
            board,
            folder / name.replace(" ", "-"),
            seeds=seeds,
            progress=lambda stage, told=told: progress(told + stage),
        )
    return builds


def bound_on(design: Design, board: Board) -> Bound:
    """Return how far a folded design is from what the board's device could do."""
    device, technology = device_of(board), technology_of(board)
    _, plans = plan_layers(design, find_technology(technology))
    return bound_of(
        plans,
        steady(core_timing(design, technology))[1],
        luts=device.luts,
        block_ram_bits=device.block_ram.bits_per_cycle,
    )


def bound_record(bound: Bound) -> dict[str, Any]:
    """Return JSON values."""
    return {
        "interval_cycles": bound.interval,
        "bound_cycles": bound.cycles,
        "resource": bound.resource,
        "factor": bound.factor,
        "slowest": bound.slowest,
        "said": bound_sentence(bound),
    }


def bound_sentence(bound: Bound) -> str:
    """Say what the device could do at most, and how far the design is from it."""
    each = " and ".join(f"{cycles:,.0f} for {name}" for name, cycles in bound.cycles.items())
    return (
        f"bound of this network on this device: with all of a resource at work in every cycle a "
        f"sample would take {each} cycles; this folding takes {bound.interval:,}, "
        f"{bound.factor:.1f} times the greater, and {bound.slowest!r} is its slowest layer"
    )
