"""What the verbs of the command line share: options, foldings, and how a result is printed."""

import functools
import math
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .console import DIFFERENCE, DONE, Outcome, progress, working

if TYPE_CHECKING:
    from ..boards.boards import Board
    from ..gen.design.design import Design
    from .api import AutoFold, Folded
    from .dataset import Dataset
    from .source import Model


class Finite(click.FloatRange):
    """A number in a range: no NaN, which every comparison lets through, and no infinity."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return found


FILE = click.Path(path_type=Path)
NEW_FILE = click.Path(path_type=Path, dir_okay=False)
COUNT = click.IntRange(0)
COUNT_OF_SAMPLES = int  # its range is told in words, see :func:`.dataset.load`
SEED = click.IntRange(0, 2**32 - 1)
REAL = Finite()
MHZ = Finite(0, min_open=True)


DATA = (
    ".npz, .npy or .csv file, or a folder of images with a folder for each class; labels are "
    "taken where there are some."
)
INPUTS = "Array of samples, or columns a,b,c of a table; by default x, or all that are no labels."
LABELS = "Array or column of labels; by default y, label, class or target, where there is one."
PIXELS = "What the brightest pixel of an image file becomes."


def sample_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--inputs``, ``--labels`` and ``--white``."""
    for option in reversed(
        (
            click.option("--inputs", metavar="NAME", help=INPUTS),
            click.option("--labels", metavar="NAME", help=LABELS),
            click.option(
                "--white",
                type=click.Choice(["1", "255"]),
                default="1",
                show_default=True,
                callback=lambda context, option, value: int(value),
                help=PIXELS,
            ),
        )
    ):
        function = option(function)
    return function


def shape_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--sample-shape``."""
    return click.option(
        "--sample-shape",
        metavar="N,N,...",
        help="Shape of a sample where the file holds flat ones, as the rows of a .csv are: "
        "1,28,28.",
    )(function)


def data_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--data``, ``--inputs``, ``--labels`` and ``--white``; see :func:`given_data`."""
    return click.option("--data", required=True, type=FILE, help=DATA)(sample_options(function))


def given_data(
    data: Path,
    inputs: str | None,
    labels: str | None,
    white: int,
    design: "Design",
    samples: int | None,
) -> "Dataset":
    """Read samples for a design, with labels where there are some."""
    from .dataset import load

    return load(
        data,
        inputs=inputs,
        labels=labels,
        need_labels=None,
        design=design,
        samples=samples,
        white=white,
    )


def head_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--head``, ``--threshold`` and ``--classes``, given to the function as ``head``."""

    @functools.wraps(function)
    def run(
        *args: Any,
        kinds: tuple[str, ...],
        thresholds: tuple[str, ...],
        classes: tuple[str, ...],
        **rest: Any,
    ) -> Any:
        from .heads import parse_head

        return function(*args, head=parse_head(kinds, thresholds, classes), **rest)

    for option in reversed(
        (
            click.option(
                "--head",
                "kinds",
                multiple=True,
                metavar="[OUTPUT=]KIND",
                help="What an output gives: classes, threshold (yes or no), labels (several yes or "
                "no), values, reconstruction (an autoencoder), pixels. By default what its end, "
                "labels and samples show.",
            ),
            click.option(
                "--threshold",
                "thresholds",
                multiple=True,
                metavar="[OUTPUT=]N|auto",
                help="Of what forward returns, above which it is yes; by default 0, 0.5 behind a "
                "sigmoid. auto: chosen on labelled calibration samples.",
            ),
            click.option(
                "--classes",
                multiple=True,
                metavar="[OUTPUT=]NAME,NAME,...",
                help="Names of the classes; by default those of the data.",
            ),
        )
    ):
        run = option(run)
    return run


def model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--model``, ``--weights`` and ``--calibrate``, given to the function as ``named``."""

    @functools.wraps(function)
    def run(
        *args: Any,
        model: str | None,
        weights: Path | None,
        calibrate: Path | None,
        arguments: tuple[str, ...],
        **rest: Any,
    ) -> Any:
        from .source import Named

        named = Named(
            spec=model,
            weights=None if weights is None else str(weights),
            calibrate=None if calibrate is None else str(calibrate),
            arguments=arguments or None,
        )
        return function(*args, named=named, **rest)

    found: Any = run
    for option in reversed(
        (
            click.option(
                "--model",
                metavar="MODEL",
                help="The float model, file.py:factory (the file is run) or a .pt2 program. By "
                "default the one that DESIGN was converted from, while its SHA-256 is the same.",
            ),
            click.option("--weights", type=FILE, help="Its state dict; by default likewise."),
            click.option("--calibrate", type=FILE, help="Its samples; by default likewise."),
            argument_option("Its factory's argument; by default likewise. May be repeated."),
        )
    ):
        found = option(found)
    return found


def argument_option(help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option ``--arg``, given to a function as ``arguments``."""
    return click.option("--arg", "arguments", multiple=True, metavar="NAME=VALUE", help=help)


def examples(*lines: str) -> str:
    """Return an epilog that shows ``lines`` as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """Read ``2,4,8``."""
    words = text.split(",")
    if not all(_is_whole(word.strip()) and int(word) > 0 for word in words):
        shown = text if len(text) <= 60 else f"{text[:60]}..."
        raise ValueError(f"{option} takes whole numbers above 0 like 2,4,8, not {shown!r}")
    return tuple(int(word) for word in words)


def _is_whole(word: str) -> bool:
    """Whether a word is a number that ``int`` reads: few of the digits that there are."""
    return word.isascii() and word.isdigit() and len(word) < 10


def numbers(option: str, text: str) -> tuple[float, ...]:
    """Read ``0,0.1,0.5``."""
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        raise ValueError(f"{option} takes numbers like 0,0.1,0.5, not {text!r}") from None
    for number in found:
        if not 0 <= number < math.inf:
            raise ValueError(f"{option} takes numbers from 0 on, not {number:g}")
    return found


def weight_options(bits: str | None, budget: float | None) -> dict[str, Any]:
    """Read ``--weight-bits`` and ``--budget-bits`` as options of the conversion."""
    if bits is None and budget is None:
        return {}
    if bits is None:
        raise ValueError("--budget-bits goes with --weight-bits auto (give both)")
    if bits == "auto":
        if budget is None:
            raise ValueError("--weight-bits auto needs a mean (give --budget-bits 5)")
        return {"weight_bits": 8, "budget_bits": budget}
    if not _is_whole(bits):
        shown = bits[:20]
        raise ValueError(f"--weight-bits takes a whole number from 2 to 8 or auto, not {shown!r}")
    if budget is not None:
        raise ValueError(f"--budget-bits goes with --weight-bits auto, not {bits}")
    return {"weight_bits": int(bits)}


def fold_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--fold``, and ``--synapse`` and ``--constant-time``, which become words of it."""
    synapse = click.option(
        "--synapse",
        type=click.Choice(["events", "multiply", "multiply-lut", "logic", "any"]),
        is_eager=True,  # before --fold, which takes it up
        expose_value=False,
        callback=_keep_synapse,
        help="How weights meet inputs, in every layer: added where an event arrived, or multiplied "
        "with what the whole train says, in DSP blocks where the device has them (the plain "
        "alternative; the answers are the same). logic: weights are functions, all of a layer at "
        "once, and cannot be replaced later. any: --fold auto chooses for each layer.",
    )
    constant = click.option(
        "--constant-time",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_keep_constant_time,
        help="Every sample takes as many cycles as any other: no layer skips words of trains that "
        "hold no event, as --fold auto lets it where that is faster on average.",
    )
    goal = click.option(
        "--for",
        type=click.Choice(["latency", "throughput", "energy"]),
        is_eager=True,
        expose_value=False,
        callback=_keep_goal,
        help="What --fold auto seeks: the class soonest after a sample's first word (by default), "
        "most samples a second, or least energy a sample by the estimate.",
    )
    fold = click.option(
        "--fold",
        multiple=True,
        callback=_with_synapse,
        metavar="auto|NAME:pe=N,simd=N,unroll=N,synapse=KIND,silent=skip",
        help="Outputs, inputs and input steps of a layer that are worked on at once; may be "
        "repeated. auto: the fastest that the estimate says fits the board, see --for.",
    )
    return fold(synapse(constant(goal(function))))


def _keep_synapse(context: click.Context, _: click.Parameter, value: str | None) -> None:
    context.meta["synapse"] = value


def _keep_goal(context: click.Context, _: click.Parameter, value: str | None) -> None:
    context.meta["goal"] = value


def _keep_constant_time(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.meta["constant_time"] = value


def _with_synapse(
    context: click.Context, _: click.Parameter, words: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the words of ``--fold`` with those that other options stand for."""
    synapse = context.meta.get("synapse")
    words = words if synapse is None else (*words, f"*:synapse={synapse}")
    goal = context.meta.get("goal")
    words = words if goal is None else (*words, f"*:for={goal}")
    return (*words, "*:silent=read") if context.meta.get("constant_time") else words


def headroom_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--headroom``."""
    return click.option(
        "--headroom",
        type=click.IntRange(0, 4),
        metavar="BITS",
        help="Bits by which registers are wider than these weights need, so that those of a later "
        "training fit (--like, reweight); by default 0.",
    )(function)


def link_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--link``; the choices are :data:`signfire.boards.top.LINKS`."""
    return click.option(
        "--link",
        type=click.Choice(["uart", "spi", "both"]),
        default="uart",
        show_default=True,
        help="Lines to the host. SPI is some twenty times as fast, on the pins that signfire "
        "boards --json tells.",
    )(function)


def choose_fold(
    design: "Design", words: tuple[str, ...], board: "Board | str | None", link: str
) -> "Folded":
    """Fold a design as the command line says, and show on standard error how far it is."""
    from . import api

    with working("folding") as doing:
        return api.choose_fold(design, words, board, link=link, progress=doing)


def fold_as_told(
    design: "Design", words: tuple[str, ...], board: "Board | str | None", link: str = "uart"
) -> "tuple[Design, dict[str, Any]]":
    """Fold a design; what ``auto`` chose goes to standard error, and into the JSON object.

    ``link`` has its place on the board beside the design.
    """
    choice = told_fold(design, words, board, link)
    return choice.design, {"auto_fold": auto_record(choice.auto)}


def told_fold(
    design: "Design", words: tuple[str, ...], board: "Board | str | None", link: str = "uart"
) -> "Folded":
    """Fold a design, and tell on standard error what ``auto`` chose."""
    from . import tables

    choice = choose_fold(design, words, board, link)
    if choice.auto is not None:
        for part in tables.of_auto(choice.design, choice.auto):
            progress.print(part, soft_wrap=isinstance(part, str))
    return choice


def auto_record(auto: "AutoFold | None") -> dict[str, Any] | None:
    """Return what --json says of an automatic folding."""
    return None if auto is None else {**vars(auto), "needs": needs_record(auto.needs)}


def needs_record(needs: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, int]]:
    """Return an estimate beside its budget as --json says it."""
    return {name: {"needed": n, "available": a} for name, (n, a) in needs.items()}


def written(
    record: Mapping[str, Any], page: Path, auto: Mapping[str, Any] | None = None
) -> Outcome:
    """Return what a command that ends in a report prints; a failed check is its status."""
    from . import tables

    checks = [check for check in record["checks"].values() if check is not None]
    escapes = record["faults"]["escapes"] if record["faults"] else 0
    # None: the check could not be done here.
    sound = not escapes and not any(check["equal"] is False for check in checks)
    return Outcome(
        data={**record, **(auto or {}), "report": page},
        text=tables.of_report(record, page),
        status=DONE if sound else DIFFERENCE,
    )


def tell_random_weights(model: "Model") -> None:
    """Warn on standard error where a model comes without a file of weights."""
    if model.gives_own_weights:
        progress.print(
            f"warning: without --weights the weights are those that {model.spec} gives its model: "
            f"random, unless it loads some itself",
            soft_wrap=True,
        )


def is_told(option: str) -> bool:
    """Whether the running command was given an option, by the name of its parameter."""
    source = click.get_current_context().get_parameter_source(option)
    return source is not ParameterSource.DEFAULT


class InOrder(click.Group):
    """Lists its commands in the order of use, which is that of this file."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def command_line() -> str:
    """Return the command as it was typed, for the records."""
    return shlex.join(["signfire", *sys.argv[1:]])
