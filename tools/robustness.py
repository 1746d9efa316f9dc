"""Robustness: accuracy under input noise and under flipped events, of several forms of a network.

Noise is normal, with a standard deviation in shares of the input's range; what leaves the range is
cut off. All forms see the same noisy samples, the float network among them. Flips are those of
:mod:`signfire.sim.event_flips`; a float network has no events, and its accuracy stands beside them
as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..gen.design.design import Design
from ..gen.model.network import Network
from ..sim import event_flips, golden
from . import api, plots
from .judge import WORDS, Judge
from .page import Plot, Section
from .report import percent

NOISE = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3)
FLIPS = (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)


def noisy(design: Design, x: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    """Return samples with noise, (n, *sample shape) float64, on the grid of the raw integers.

    ``deviation`` is a share of the range of the raw integers.
    """
    if not 0 <= deviation < 10:
        raise ValueError(
            f"the noise must lie in 0 up to 10 times the input's range, not {deviation:g}"
        )
    fmt = design.input_format
    raw = design.given_order(design.raw_samples(x))
    drawn = np.random.default_rng(seed).normal(0, 1, raw.shape) * deviation * (fmt.high - fmt.low)
    return fmt.real(np.clip(np.rint(raw + drawn), fmt.low, fmt.high))


def measure(
    designs: Mapping[str, Design],
    network: Network,
    data: api.Dataset,
    *,
    noise: Sequence[float] = NOISE,
    flips: Sequence[float] = FLIPS,
    seed: int = 0,
    progress: Callable[[str], None] = lambda said: None,
) -> dict[str, Any]:
    """Return accuracies, or what fits the output, 1 at best.

    Parameters
    ----------
    designs
        By a name for people; all take the same raw samples.
    network
        The float network.
    data
        Samples; without labels answers are compared with the float network's on clean samples.
    noise, flips
        Standard deviations, and rates.
    seed
        Of both.

    Returns
    -------
    dict
        ``noise`` and ``flips``: by name, with ``float`` among them, lists beside ``deviations`` and
        ``rates``; ``figure`` says which accuracy, see :class:`signfire.tools.judge.Judge`.
    """
    for rate in flips:
        event_flips.Flips(rate, seed)
    formats = {
        (fmt.low, fmt.high, fmt.scale, fmt.features)
        for fmt in (design.input_format for design in designs.values())
    }
    if len(formats) > 1:
        raise ValueError("designs that are compared must take the same raw samples")
    first = next(iter(designs.values()))
    for name, design in designs.items():
        if design.readout.size != first.readout.size:
            raise ValueError(
                f"designs that are compared must have as many outputs: {first.readout.size}, and "
                f"{name} {design.readout.size}"
            )
    judge = Judge.of(first, data, lambda: network.answers(noisy(first, data.x, 0, seed)))
    assert judge is not None, "there is a float network"
    found: dict[str, list[float | None]] = {"float": [], **{name: [] for name in designs}}

    for deviation in noise:
        samples = noisy(first, data.x, deviation, seed)
        progress(f"noise {deviation:g}, float")
        found["float"].append(judge.share(network.answers(samples)))
        for name, design in designs.items():
            progress(f"noise {deviation:g}, {name}")
            logits = golden.run(design, design.raw_samples(samples), batch=64).logits
            found[name].append(judge.share(design.values(logits)))
    clean = network.answers(noisy(first, data.x, 0, seed))
    flipped: dict[str, list[float | None]] = {"float": [judge.share(clean)] * len(flips)}
    for name, design in designs.items():
        raw = design.raw_samples(data.x)
        flipped[name] = []
        for rate in flips:
            progress(f"flips {rate:g}, {name}")
            logits = event_flips.run(design, raw, rate=rate, seed=seed)
            flipped[name].append(judge.share(design.values(logits)))
    return {
        "samples": len(data),
        "figure": judge.figure,
        "seed": seed,
        "designs": {
            name: {
                "hash": d.hash,
                "dynamics": d.dynamics,
                "firing": d.firing,
                "steps": d.input.train_code.steps if d.firing == "overlapped" else None,
            }
            for name, d in designs.items()
        },
        "noise": {"deviations": list(noise), **found},
        "flips": {"rates": list(flips), **flipped},
    }


def sections(record: Mapping[str, Any]) -> list[Section]:
    """Return the page of a record."""
    return [
        _section(
            record["noise"],
            "deviations",
            figure=record["figure"],
            title="Input noise",
            x="standard deviation of the noise, % of the input's range",
            factor=100,
            text="Normal noise on every input value, the same for all.",
        ),
        _section(
            record["flips"],
            "rates",
            figure=record["figure"],
            title="Flipped events",
            x="rate of flipped events",
            factor=1,
            text="Every event, and every step without one, arrives as the other at this rate.",
            log=True,
        ),
    ]


def _section(
    found: Mapping[str, Any],
    key: str,
    *,
    figure: str,
    title: str,
    x: str,
    factor: float,
    text: str,
    log: bool = False,
) -> Section:
    names = [name for name in found if name != key]
    levels = [factor * level for level in found[key]]
    drawn = [
        plots.Curve(
            name=name,
            points=[
                (level, 100 * share)
                for level, share in zip(levels, found[name], strict=True)
                if share is not None and (level > 0 or not log)
            ],
            dashed=name == "float",
        )
        for name in names
    ]
    return Section(
        title=title,
        text=[text],
        plots=[
            Plot(svg=plots.curves(drawn, f"robust-{key}", x=x, y=f"{WORDS[figure]}, %", log_x=log))
        ],
        head=[x, *names],
        rows=[
            [f"{level:g}", *(percent(found[name][k], 1) for name in names)]
            for k, level in enumerate(levels)
        ],
    )
