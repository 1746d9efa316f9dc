"""Benches of what a conversion says of itself, of the cheapest settings, and of retrainings."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..boards.boards import find_board
from ..gen.convert.calibrate import calibrate
from ..gen.convert.options import Options
from ..gen.core.core import core_timing
from ..gen.design.design import Design
from ..gen.layers.cycles import steady
from ..gen.model.network import Network
from ..sim import golden
from . import api, bench_beyond, bench_conv, cheapest, demo, fitting, knobs, verdict
from .console import progress
from .measure import (
    ROOT,
    Measurement,
    Rows,
    bench,
    bench_of_rows,
    example,
    open_data,
    routed,
)
from .mnist_mlp import mlp32

OVERLAPPING = 400  # samples of a test set that a slow network answers
LOSS = 0.5  # points that --loss allows


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model of the benches with its settings.

    Parameters
    ----------
    bar
        Of the bench whose settings they are.
    model, calibrate, options
        As the bench converts it.
    unseen
        Samples that neither calibrated nor judge, with labels where there are any.
    alike
        Of them, those like the samples that calibrated; ``None`` for all.
    scored
        From outputs, (n, logits) in real numbers, to a figure in points, more is better.
    """

    bar: str
    model: api.Model
    calibrate: api.Dataset
    options: Options
    unseen: api.Dataset
    scored: Callable[[np.ndarray], float]
    alike: np.ndarray | None = None


def classified(
    bar: str, model: api.Model, calibrate: api.Dataset, options: Options, unseen: api.Dataset
) -> Case:
    """Return a case whose figure is the accuracy."""

    def scored(outputs: np.ndarray) -> float:
        return 100 * float((outputs.argmax(axis=1) == unseen.classes).mean())

    return Case(
        bar=bar, model=model, calibrate=calibrate, options=options, unseen=unseen, scored=scored
    )


def digits(bar: str, model: api.Model, options: Options) -> Case:
    data = api.load_data(model.calibrate)
    return classified(bar, model, data, options, open_data("mnist_test_open.npz"))


def clothes(bar: str, name: str) -> Case:
    model = bench_beyond.clothes_model(name)
    options = Options(steps=max(bench_beyond.CLOTHES_STEPS), weight_bits=8, input_steps=8)
    unseen = open_data("fashion_mnist_test_open.npz")
    return classified(bar, model, api.load_data(model.calibrate), options, unseen)


def other(bar: str, make: Callable[[], bench_conv.Task], steps: int) -> Case:
    task = make()
    options = Options(steps=steps, weight_bits=8, input_steps=bench_conv.INPUT_STEPS)
    x, y = task.test.x[task.own :], task.test.classes[task.own :]
    unseen = bench_conv.dataset(x[:OVERLAPPING], y[:OVERLAPPING], name=task.test.path)
    return classified(bar, bench_conv.model_of(task), task.calibrate, options, unseen)


def sounds() -> Case:
    """Return ToyCarAE: windows of normal clips calibrate, all other clips are unseen."""
    data = open_data("mlperf_ad01_test_open.npz", inputs="logmel")
    x = bench_conv.windows(data.x.astype(np.float32))
    anomalous = data.classes == 1
    known = np.flatnonzero(~anomalous)[: bench_conv.CLIPS]
    rest = np.setdiff1d(np.arange(len(x)), known)
    flat = x[rest].reshape(-1, x.shape[2])
    samples = bench_conv.dataset(x[known].reshape(-1, x.shape[2]), name=data.path)
    # The windows of a clip are alike: what judges must be other clips than what calibrates.
    samples = replace(samples, groups=np.arange(len(samples)) // x.shape[1])
    task = bench_conv.Task(
        model="ToyCarAE", weights="toycar_ae_mlperf_tiny", calibrate=samples, test=samples
    )

    def scored(outputs: np.ndarray) -> float:
        error = ((outputs - flat) ** 2).mean(axis=1).reshape(len(rest), -1).mean(axis=1)
        return 100 * bench_conv.separation(error, anomalous[rest])

    return Case(
        bar="C5",
        model=bench_conv.model_of(task),
        calibrate=samples,
        options=Options(steps=8, weight_bits=8, input_steps=8, equalise=1.0, samples=len(samples)),
        unseen=bench_conv.dataset(flat, name=data.path),
        scored=scored,
        alike=np.repeat(~anomalous[rest], x.shape[1]),
    )


CASES: dict[str, Callable[[], Case]] = {
    "A1": lambda: digits("A1", example(128), Options(input_steps=2)),
    "C1": lambda: other("C1", bench_conv.resnet8, 6),
    "C2": lambda: other("C2", bench_conv.keywords, 6),
    "C3": lambda: other("C3", bench_conv.resnet20, 6),
    "C4": lambda: other("C4", bench_conv.wake_words, 8),
    "C5": sounds,
    "C6": lambda: digits("C6", example("cnn"), demo.CONVOLUTIONS.options),
    "D2": lambda: digits(
        "D2", bench_beyond.gelu_model(), Options(steps=bench_beyond.GELU_STEPS, input_steps=2)
    ),
    "D9": lambda: clothes("D9", "resmlp"),
    "D10": lambda: clothes("D10", "mixer"),
    "D11": lambda: clothes("D11", "convnext"),
}


def say(line: str) -> None:
    progress.print(f"  {line}")


def stated(bar: str) -> dict[str, Any]:
    """Convert a model at the settings of its bench; return what is stated and what is seen."""
    case = CASES[bar]()
    found = api.convert(case.model, case.calibrate, case.options, accept=None)
    assert found.judged is not None
    said = found.judged.found
    x = case.unseen.x if case.alike is None else case.unseen.x[case.alike]
    exact = found.network.answers(x)
    seen = verdict.compare(found.network, exact, verdict.outputs(found.design, x), x)
    if said.agreement is None or said.low is None or said.high is None:
        what, unit, value, stands = "root mean square error", "", seen.rmse, said.rmse
        low, high = said.rmse_low, said.rmse_high
    else:
        what, unit, stands = "agreement", "%", 100 * said.agreement
        value = 100 * (1 - (seen.differing or 0.0))
        low, high = 100 * said.low, 100 * said.high
    say(f"{bar}: stated {stands:.4g}, {low:.4g} to {high:.4g}; unseen {value:.4g}")
    return {
        "what": what,
        "unit": unit,
        "unseen": value,
        "samples": len(exact),
        "stated": stands,
        "low": low,
        "high": high,
        "judges": said.samples,
        "how": found.judged.how,
        "design_hash": found.design.hash,
    }


def statements(rows: Mapping[str, dict[str, Any]]) -> Iterator[Measurement]:
    """Return each row, and how many are inside."""
    for bar, row in rows.items():
        yield Measurement(
            what=f"{row['what']} on unseen samples, {bar}",
            value=round(row["unseen"], 4),
            unit=row["unit"],
            note=f"of {row['samples']:,}; stated {row['stated']:.4g}, 95 % within "
            f"{row['low']:.4g} to {row['high']:.4g}, of {row['judges']:,} samples, {row['how']}",
            details={"design_hash": row["design_hash"]},
        )
    yield Measurement(
        what="models inside the stated interval",
        value=sum(row["low"] <= row["unseen"] <= row["high"] for row in rows.values()),
        unit="models",
        target=">= 10",
        note=f"of {len(rows)}" + there(rows),
    )


def there(rows: Mapping[str, Any]) -> str:
    """Return what a note says where not all rows were measured."""
    missing = [bar for bar in CASES if bar not in rows]
    return f"; not measured: {', '.join(missing)}" if missing else ""


bench_of_rows(
    "F2",
    "The agreement that convert states, against samples that it never saw",
    Rows(names=tuple(CASES), measure=stated, sum_up=statements),
)


# -- the cheapest settings ---------------------------------------------------------------------


def in_series(design: Design) -> tuple[int, int]:
    """Return latency and interval in cycles with one lane a layer."""
    return steady(core_timing(fitting.serial(design), "ecp5"))


def stored_bits(design: Design) -> int:
    """Return the bits of all weights that were trained."""
    return sum(
        q.weight_bits * q.map.weights.size
        for p in design.populations
        for q in p.sources
        if not q.map.fixed
    )


def bargain(bar: str) -> dict[str, Any]:
    """Search a model, and compare loss, cycles of one lane a layer, and bits of weights."""
    case = CASES[bar]()
    network = api.load_network(case.model, case.calibrate.x)
    was = calibrate(network, case.calibrate.x, case.options)
    trials = ROOT / "build" / "bench" / "rows" / f"F3-{bar}.trials"
    # T and bits of the bench are what they would be to a user: the most that may be spent. How far
    # channels are equalised costs nothing, and is left to the search.
    base = replace(case.options, equalise=None)
    search = cheapest.Search(
        network,
        case.calibrate.x,
        LOSS,
        base=base,
        groups=case.calibrate.groups,
        record=trials,
        progress=say,
    )
    found = search.run()
    now = found.judged.design
    points = [
        case.scored(outputs)
        for outputs in (network.answers(case.unseen.x), verdict.outputs(now, case.unseen.x))
    ]
    row = {
        "lost": points[0] - points[1],
        "expected": found.judged.found.points,
        "cycles": [in_series(d) for d in (was, now)],
        "bits": [stored_bits(d) for d in (was, now)],
        "options": " ".join(knobs.words(network, case.calibrate.x, base, found.options)),
        "met": found.met,
    }
    trials.unlink(missing_ok=True)
    say(f"{bar}: {row}")
    return row


def bargains(rows: Mapping[str, dict[str, Any]]) -> Iterator[Measurement]:
    """Return each row, and how many are no dearer, and cheaper."""
    no_more = fewer = 0
    for bar, row in rows.items():
        cycles, bits = row["cycles"], row["bits"]
        pairs = [*zip(*cycles, strict=True), bits]
        no_more += all(after <= before for before, after in pairs)
        fewer += all(a <= b for b, a in pairs) and any(a < b for b, a in pairs)
        yield Measurement(
            what=f"loss, {bar}",
            value=round(row["lost"], 2),
            unit="points",
            target="<= 1",
            note=f"{row['expected']:.2f} expected; cycles {cycles[0][1]:,} -> "
            f"{cycles[1][1]:,}, bits {bits[0]:,} -> {bits[1]:,}",
            details={key: row[key] for key in ("options", "met", "cycles", "bits")},
        )
    yield Measurement(
        what="models with no more cycles and bits",
        value=no_more,
        unit="models",
        target=f"== {len(CASES)}",
        note=f"of {len(rows)}" + there(rows),
    )
    yield Measurement(
        what="models with fewer of one of them and no more of the other",
        value=fewer,
        unit="models",
        target=f">= {-(-len(CASES) // 2)}",
        note=f"of {len(rows)}" + there(rows),
    )


bench_of_rows(
    "F3",
    f"convert --loss {LOSS:g} against the settings of the benches",
    Rows(names=tuple(CASES), measure=bargain, sum_up=bargains),
)


# -- retrainings -------------------------------------------------------------------------------

SEEDS = range(4)
TRAINED = 12_000  # digits
BATCH = 128


class Bearing(nn.Module):
    """Vibration, 2,048 samples: two strided convolutions and a read-out of ten faults."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(1, 8, 16, stride=8)
        self.conv2 = nn.Conv1d(8, 16, 8, stride=4)
        self.fc = nn.Linear(16 * 62, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv1(x.unsqueeze(1)))
        return self.fc(F.relu(self.conv2(x)).flatten(1))


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """An example that is trained again and again.

    Parameters
    ----------
    make
        Its module, as it is before a training.
    fresh, tuned
        Epochs from scratch and of a fine-tuning.
    board
        That the first of them is built for, and its ``folding``.
    """

    name: str
    make: Callable[[], nn.Module]
    train: api.Dataset
    test: api.Dataset
    options: Options
    fresh: int
    tuned: int
    board: str
    folding: tuple[str, ...]


def fit(module: nn.Module, data: api.Dataset, seed: int, epochs: int, rate: float) -> nn.Module:
    """Train a module on a data set, on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    x, y = torch.from_numpy(data.x).float(), torch.from_numpy(data.classes.astype(np.int64))
    optimiser = torch.optim.AdamW(module.parameters(), rate, weight_decay=0.01)
    generator = torch.Generator().manual_seed(seed)
    module.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            optimiser.zero_grad()
            F.cross_entropy(module(x[rows]), y[rows]).backward()
            optimiser.step()
    return module.eval()


def digits_again() -> Retrained:
    def make() -> nn.Module:
        return mlp32()

    return Retrained(
        name="mlp32",
        make=make,
        train=open_data("mnist_train.npz").first(TRAINED),
        test=open_data("mnist_test_open.npz"),
        options=Options(input_steps=2),
        fresh=4,
        tuned=3,
        board="icebreaker",
        folding=demo.SMALL.folding,
    )


def bearing_again() -> Retrained:
    return Retrained(
        name="bearing",
        make=Bearing,
        train=open_data("cwru48k_train.npz"),
        test=open_data("cwru48k_test_open.npz"),
        options=Options(steps=6, weight_bits=8, input_steps=8),
        fresh=20,
        tuned=5,
        board="ulx3s-25f",
        folding=("auto",),
    )


def samples_of(again: Retrained) -> np.ndarray:
    """Return what calibrates: of the training half, some."""
    return again.train.x[:: max(1, len(again.train) // 512)][:512]


def first_module(again: Retrained) -> nn.Module:
    """Return the module that the hardware is made for."""
    module = again.make()
    if again.name == "mlp32":
        module.load_state_dict(torch.load(demo.TOOLS / "mnist_mlp32.pth", weights_only=True))
        return module.eval()
    return fit(module, again.train, 100, again.fresh, 3e-3)


def retrainings(again: Retrained, first: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield four trainings from scratch and four fine-tunings, each on a part of the data."""
    for seed in SEEDS:
        yield f"from scratch {seed}", fit(again.make(), again.train, seed, again.fresh, 3e-3)
    for seed in SEEDS:
        module = again.make()
        module.load_state_dict(first.state_dict())
        part = replace(again.train, x=again.train.x[seed::4], y=again.train.classes[seed::4])
        yield f"fine-tuned {seed}", fit(module, part, seed, again.tuned, 1e-3)


def right(network_or_design: Network | Design, data: api.Dataset) -> float:
    """Return the accuracy in %."""
    if isinstance(network_or_design, Network):
        return 100 * api.float_accuracy(network_or_design, data)
    raw = network_or_design.raw_samples(data.x)
    return 100 * float((golden.run(network_or_design, raw).labels == data.classes).mean())


@cache
def built(name: str) -> tuple[Design, str]:
    """Return the folded design that a board's build is made of, and the build's folder."""
    again = {"mlp32": digits_again, "bearing": bearing_again}[name]()
    if name == "mlp32":
        found = routed(32, again.board, again.folding)
        return found.design, str(ROOT / "build" / "bench" / again.board)
    network = api.load_network(first_module(again), samples_of(again).astype(np.float32))
    design = calibrate(network, samples_of(again), again.options)
    design = api.folded(design, again.folding, again.board)
    folder = ROOT / "build" / "bench" / f"bearing-{again.board}"
    api.build(design, find_board(again.board), folder)
    return design, str(folder)


def taken(again: Retrained) -> Iterator[Measurement]:
    """Retrain a model eight times, convert each like the first, and put it into its build."""
    shape, folder = built(again.name)
    samples, output = samples_of(again), ROOT / "build" / "bench" / f"{again.name}-retrained"
    accepted, reweighted, losses = 0, 0, []
    for what, module in retrainings(again, first_module(again)):
        network = api.load_network(module, samples.astype(np.float32), name=shape.name)
        free = right(calibrate(network, samples, again.options), again.test)
        design = fitting.converted_like(network, samples, None, shape)
        try:
            design = api.fitted(design, shape)
            accepted += 1
            shutil.rmtree(output, ignore_errors=True)
            api.reweight(folder, design, output)
            reweighted += 1
        except ValueError as reason:
            say(f"{again.name}, {what}: {reason}")
        losses.append(free - right(design, again.test))
        said = f"float {right(network, again.test):.2f}, free {free:.2f}"
        say(f"{again.name}, {what}: {said}, like the first {free - losses[-1]:.2f}")
    for what, count in (("convert --like takes", accepted), ("reweight takes", reweighted)):
        yield Measurement(
            what=f"retrainings that {what}, {again.name}",
            value=count,
            unit="retrainings",
            target=f"== {len(losses)}",
        )
    yield Measurement(
        what=f"accuracy below that of a free conversion, mean, {again.name}",
        value=round(float(np.mean(losses)), 2),
        unit="points",
        target="<= 0.3",
        note=f"{min(losses):+.2f} to {max(losses):+.2f}, of {len(again.test):,} test samples",
    )


@bench("F7", "Retrainings of the demonstration's perceptron and of a bearing's faults")
def retrained() -> Iterator[Measurement]:
    """Four from scratch and four fine-tuned, converted like the first and put into its build."""
    yield from taken(digits_again())
    yield from taken(bearing_again())
