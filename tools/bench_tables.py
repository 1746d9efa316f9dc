"""Bench of tables: what features of very different ranges lose on their way into integers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..sim import golden
from . import api
from .measure import Measurement, bench

if TYPE_CHECKING:
    from torch import nn

SETS = ("iris", "wine", "breast_cancer", "digits", "diabetes")
REGRESSIONS = ("diabetes",)
FOLDS, REPEATS = 5, 2
HIDDEN, RATE = 24, 0.01
EPOCHS, DECAY = 400, 1e-3
EPOCHS_OF_VALUES, DECAY_OF_VALUES = 200, 3e-2  # with less the noise of 442 rows is learnt too
PLACES = ("inside", "outside")


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """A table of scikit-learn.

    Parameters
    ----------
    name
        As its loader's.
    x, y
        (n, features) float32 as they were measured, and (n,) classes or values.
    outputs
        Of a network for it.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    outputs: int

    @property
    def has_classes(self) -> bool:
        return self.name not in REGRESSIONS


def table(name: str) -> Table:
    """Load a table; the values of a regression are standardised, its features raw."""
    try:
        from sklearn import datasets
    except ImportError as failure:
        raise ValueError(
            "this bench needs the tables of scikit-learn (pip install 'signfire[tables]')"
        ) from failure
    raw = {"scaled": False} if name == "diabetes" else {}
    found = getattr(datasets, f"load_{name}")(**raw)
    x, y = found.data.astype(np.float32), found.target
    if name in REGRESSIONS:
        return Table(name=name, x=x, y=(y - y.mean()) / y.std(), outputs=1)
    return Table(name=name, x=x, y=y, outputs=int(y.max()) + 1)


def splits(count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the rows that train and the rows that judge, of each fold."""
    folds = np.array_split(np.random.default_rng(seed).permutation(count), FOLDS)
    for k, judged in enumerate(folds):
        yield np.concatenate(folds[:k] + folds[k + 1 :]), judged


def trained(given: Table, rows: np.ndarray, seed: int) -> "tuple[nn.Module, nn.Module]":
    """Train a perceptron of one hidden layer; return what standardises raw rows, and it.

    The first is ``(x - mean) / (std + 1e-8)`` of ``rows``, as most write it.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    x = given.x[rows]

    class Standardise(nn.Module):
        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.tensor(x.mean(axis=0)))
            self.register_buffer("std", torch.tensor(x.std(axis=0)))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x - self.mean) / (self.std + 1e-8)

    torch.manual_seed(seed)
    standardise = Standardise()
    model = nn.Sequential(
        nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, given.outputs)
    )
    seen = standardise(torch.tensor(x))
    kind = torch.long if given.has_classes else torch.float32
    wanted = torch.tensor(given.y[rows]).to(kind)
    epochs, decay = (EPOCHS, DECAY) if given.has_classes else (EPOCHS_OF_VALUES, DECAY_OF_VALUES)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE, weight_decay=decay)
    for _ in range(epochs):
        optimiser.zero_grad()
        said = model(seen)
        loss = (
            functional.cross_entropy(said, wanted)
            if given.has_classes
            else functional.mse_loss(said[:, 0], wanted)
        )
        loss.backward()
        optimiser.step()
    return standardise, model.eval()


# -- what arrives --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Score:
    """What is right of the pooled answers, 0..1, or r2: of the floats and of the integers."""

    floats: float
    integers: float

    @property
    def loss(self) -> float:
        return self.floats - self.integers


def score(given: Table, rows: np.ndarray, answers: np.ndarray) -> float:
    """Return the share of right classes, or r2, of answers (n, outputs)."""
    truth = given.y[rows]
    if given.has_classes:
        return float((answers.argmax(axis=1) == truth).mean())
    missed = ((answers[:, 0] - truth) ** 2).sum()
    return float(1 - missed / ((truth - truth.mean()) ** 2).sum())


def pooled(
    given: Table, options: api.Options | None = None, *, repeats: int = REPEATS
) -> dict[str, Score]:
    """Return the score of a table's networks, standardised inside and outside."""
    import torch
    from torch import nn

    answers: dict[tuple[str, str], list[np.ndarray]] = {}
    judged: list[np.ndarray] = []
    for repeat in range(repeats):
        for fold, (rows, others) in enumerate(splits(len(given.x), repeat)):
            standardise, model = trained(given, rows, FOLDS * repeat + fold)
            judged.append(others)
            with torch.no_grad():
                outside = standardise(torch.tensor(given.x)).numpy()
            for place, module, x in (
                ("inside", nn.Sequential(standardise, model).eval(), given.x),
                ("outside", model, outside),
            ):
                samples = api.Dataset(path=given.name, x=x[rows], y=None)
                design = api.convert(module, samples, options).design
                logits = golden.run(design, design.raw_samples(x[others])).logits
                with torch.no_grad():
                    said = module(torch.tensor(x[others])).numpy()
                values = logits * design.readout.operands[0].scale
                answers.setdefault((place, "floats"), []).append(said)
                answers.setdefault((place, "integers"), []).append(values)
    rows = np.concatenate(judged)
    return {
        place: Score(
            **{
                kind: score(given, rows, np.concatenate(answers[place, kind]))
                for kind in ("floats", "integers")
            }
        )
        for place in PLACES
    }


@bench("F1", "Tables of features, at default options")
def tables_of_features() -> Iterator[Measurement]:
    """Tables of scikit-learn, standardised inside and outside the model, at default options."""
    losses = []
    for name in SETS:
        given = table(name)
        found = pooled(given)
        for place, got in found.items():
            what = f"{name.replace('_', ' ')}, standardised {place}"
            if given.has_classes:
                losses.append(100 * got.loss)
                yield Measurement(
                    what=what,
                    value=round(100 * got.loss, 2),
                    unit="points lost",
                    target="<= 0.7",
                    note=f"{100 * got.floats:.2f} % as floats, {100 * got.integers:.2f} % after",
                )
            else:
                yield Measurement(
                    what=what,
                    value=round(got.loss, 4),
                    unit="of r2 lost",
                    target="<= 0.01",
                    note=f"r2 {got.floats:.4f} as floats, {got.integers:.4f} after",
                )
    yield Measurement(
        what="mean of all classifiers",
        value=round(float(np.mean(losses)), 2),
        unit="points lost",
        target="<= 0.4",
    )
