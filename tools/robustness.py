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
from .page import Plot, Section

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
    """Return accuracies, 0..1.

    Parameters
    ----------
    designs
        By a name for people; all take the same raw samples.
    network
        The float network.
    data
        Samples with labels.
    noise, flips
        Standard deviations, and rates.
    seed
        Of both.

    Returns
    -------
    dict
        ``noise`` and ``flips``: by name, with ``float`` among them, lists beside ``deviations`` and
        ``rates``.
    """
    for rate in flips:
        event_flips.Flips(rate, seed)
    formats = {
        (fmt.low, fmt.high, fmt.scale, fmt.features)
        for fmt in (design.input_format for design in designs.values())
    }
    if len(formats) > 1:
        raise ValueError("designs that are compared must take the same raw samples")
    truth, *_ = [data.classes_of(design.readout.size, name) for name, design in designs.items()]
    first = next(iter(designs.values()))
    found: dict[str, list[float]] = {"float": [], **{name: [] for name in designs}}

    def right(answers: np.ndarray) -> float:
        return float((answers.argmax(axis=1) == truth).mean())

    for deviation in noise:
        samples = noisy(first, data.x, deviation, seed)
        progress(f"noise {deviation:g}, float")
        found["float"].append(right(network.answers(samples)))
        for name, design in designs.items():
            progress(f"noise {deviation:g}, {name}")
            found[name].append(
                right(golden.run(design, design.raw_samples(samples), batch=64).logits)
            )
    clean = network.answers(noisy(first, data.x, 0, seed))
    flipped: dict[str, list[float]] = {"float": [right(clean)] * len(flips)}
    for name, design in designs.items():
        raw = design.raw_samples(data.x)
        flipped[name] = []
        for rate in flips:
            progress(f"flips {rate:g}, {name}")
            flipped[name].append(right(event_flips.run(design, raw, rate=rate, seed=seed)))
    return {
        "samples": len(data),
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
            title="Input noise",
            x="standard deviation of the noise, % of the input's range",
            factor=100,
            text="Normal noise on every input value, the same for all.",
        ),
        _section(
            record["flips"],
            "rates",
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
                if level > 0 or not log
            ],
            dashed=name == "float",
        )
        for name in names
    ]
    return Section(
        title=title,
        text=[text],
        plots=[Plot(svg=plots.curves(drawn, f"robust-{key}", x=x, y="accuracy, %", log_x=log))],
        head=[x, *names],
        rows=[
            [f"{level:g}", *(f"{100 * found[name][k]:.1f} %" for name in names)]
            for k, level in enumerate(levels)
        ],
    )
