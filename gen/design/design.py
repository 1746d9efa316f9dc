"""Design: everything the hardware needs, in integers; frozen, complete, one file.

Golden model, RTL, cycle model and host driver read a Design and nothing else. A Design is saved as
an ``.npz`` that holds one JSON text and plain integer arrays (never a pickle), with a format
version and a content hash.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..model.codes import RateCode
from ..model.heads import Head, Output, default_head
from ..model.inputs import Part, joined
from ..model.name import check_name
from ..model.network import FUNCTIONS, INPUT, READOUT, check_graph, check_head, check_inputs
from ..model.several import SEVERAL
from ..model.ties import DOWN, EVEN, TIES
from .activity import Activity
from .answers import write as write_answers
from .calibrated import Calibrated, UnlikeCalibration
from .file import (
    Arrays,
    Content,
    Header,
    activities_of,
    content,
    digest,
    populations_of,
    provenance_of,
    read,
    write,
)
from .folding import AUTO, EVENTS, LOGIC, SYNAPSES, Folding
from .parallel import check_folding, synapse_of, whole
from .population import (
    FACTOR_LIMIT,
    MULTIPLIER_LIMIT,
    DesignPopulation,
    InputFormat,
)

FIRINGS = ("settled", "overlapped")
MOST_HEADROOM = 4  # bits: others' weights may sum up to 16 times as much
DYNAMICS = ("signgd", "if", "lif")
_RATES = {"if": "integrate-and-fire, rate code", "lif": "leaky integrate-and-fire"}


@dataclass(frozen=True, kw_only=True)
class Design:
    """A network in integers, with codes and folding.

    Parameters
    ----------
    name
        A word for files and reports, see :func:`signfire.gen.model.name.check_name`.
    firing
        ``settled`` or ``overlapped``.
    input_format
        Raw samples.
    populations
        Topological order; input first, read-out last.
    dynamics
        ``signgd``; or ``if`` and ``lif``, the baseline: integrate-and-fire neurons with a rate
        code, and leaky ones with an exponential average (see :mod:`signfire.gen.convert.rate`).
    channels_first
        Samples are given as planes (channels, height, width), and taken pixel after pixel: the
        input population has the shape (height, width, channels).
    outputs
        What the logits mean to the user; none: what the read-out's shape suggests. Not part of the
        hash: the hardware gives the same logits whatever the host makes of them.
    inputs
        The parts of a sample, where the model takes several; not part of the hash either.
    headroom
        Bits, 0..4, by which registers of sums and integrators are wider than these weights need, so
        that others fit later, see :mod:`signfire.gen.core.shape`. Not part of the hash.
    activity
        By population, how many words of its trains held an event in samples that were counted; none
        where none were. Not part of the hash either: foldings are weighed with it.
    provenance
        Free JSON values (command, versions, noise, float accuracy); not part of the hash.

    Raises
    ------
    ValueError
        Where the graph, a weight, a factor, a folding or a code breaks a rule.
    """

    name: str
    firing: str
    input_format: InputFormat
    populations: tuple[DesignPopulation, ...]
    dynamics: str = "signgd"
    channels_first: bool = False
    outputs: tuple[Output, ...] = ()
    inputs: tuple[Part, ...] = ()
    headroom: int = 0
    activity: Mapping[str, Activity] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    # Gives logits of raw samples: the golden model, which enters itself when it is imported, for
    # the generator imports no simulation.
    answered_by: ClassVar[Callable[["Design", np.ndarray], np.ndarray] | None] = None

    def __post_init__(self) -> None:
        check_name(self.name)
        check_graph(self.populations)
        check_head(self.head, self.readout.size)
        check_inputs(self.inputs, self.input.size)
        if self.firing not in FIRINGS:
            raise ValueError(f"firing must be settled or overlapped, not {self.firing!r}")
        if self.dynamics not in DYNAMICS:
            raise ValueError(f"dynamics must be {', '.join(DYNAMICS)}, not {self.dynamics!r}")
        self._check_headroom()
        self._check_activity()
        for population in self.populations:
            if (population.code is None) != (population.function == READOUT):
                raise ValueError(
                    f"every population but the read-out has a code ({population.name})"
                )
            self._check_numbers(population)
            self._check_products(population)
            self._check_dynamics(population)
            self._check_function(population)
            self._check_ties(population)
            if population.folding is not None:
                check_folding(self.populations, self.firing, population, population.folding)
        if self.firing == "overlapped":
            for population in self.populations:
                if any(op.products for op in population.operands):
                    raise ValueError(
                        f"{population.name!r} sums products of trains, for which firing must be "
                        f"settled"
                    )
            steps = {p.name: p.code.steps for p in self.populations if p.code is not None}
            if len(set(steps.values())) > 1:
                listed = ", ".join(f"{name} {t}" for name, t in steps.items())
                raise ValueError(f"overlapped firing needs one T for all populations, not {listed}")

    def _check_headroom(self) -> None:
        if not 0 <= self.headroom <= MOST_HEADROOM:
            raise ValueError(f"headroom must lie in 0..{MOST_HEADROOM} bits, not {self.headroom}")
        if self.headroom and self.dynamics != "signgd":
            raise ValueError("integrate-and-fire neurons have no headroom (leave it at 0)")

    def _check_activity(self) -> None:
        """Refuse counts of other trains than these."""
        for name, activity in self.activity.items():
            known = [p for p in self.populations if p.name == name and p.code is not None]
            if not known or (known[0].size, known[0].train_code.steps) != (
                activity.size,
                activity.steps,
            ):
                raise ValueError(
                    f"the activity of {name!r}, {activity.size} neurons in {activity.steps} steps, "
                    f"is that of no population of {self.name!r}"
                )

    @property
    def manner(self) -> str:
        """How the neurons fire, in words."""
        return _RATES.get(self.dynamics, f"{self.firing} firing")

    def _check_dynamics(self, population: DesignPopulation) -> None:
        """Refuse a code or a threshold that the dynamics do not have."""
        name, code, threshold = population.name, population.code, population.threshold
        if self.dynamics == "signgd":
            if isinstance(code, RateCode) or threshold is not None:
                raise ValueError(f"signgd has neither thresholds nor rate codes ({name})")
            return
        if self.firing != "overlapped":
            raise ValueError(
                f"integrate-and-fire neurons fire in the step of their inputs, so firing must be "
                f"overlapped, not {self.firing!r}"
            )
        if population.function not in (INPUT, READOUT, "relu"):
            raise ValueError(
                f"integrate-and-fire neurons compute relu alone, not {population.function} ({name})"
            )
        if code is None:
            return
        if not isinstance(code, RateCode) or (code.leak > 0) != (self.dynamics == "lif"):
            kind = "an average" if self.dynamics == "lif" else "a rate"
            raise ValueError(f"{name!r} needs {kind} code for the dynamics {self.dynamics}")
        channels = 1 if population.function == INPUT else population.shape[0]
        if threshold is None or threshold.shape != (channels,) or threshold.min() < 1:
            raise ValueError(f"{name!r} needs {channels} thresholds of at least 1")

    def _check_function(self, population: DesignPopulation) -> None:
        """Refuse a function without what decides it."""
        name, function, table = population.name, population.function, population.table
        operands = population.operands
        if (population.comparison is None) != (function not in SEVERAL):
            raise ValueError(f"{function} of {name!r} needs a fraction, and no other function does")
        if function in FUNCTIONS:
            if table is not None or any(op.below is not None for op in operands):
                raise ValueError(f"{function} of {name!r} needs neither table nor second factors")
            return
        below = operands[0].below
        if (table is None) == (below is None):
            raise ValueError(f"{function} of {name!r} needs a table, or factors for X < 0")
        code = population.code
        assert code is not None
        if table is not None:
            low, high = int(table.entries.min()), int(table.entries.max())
            if low < code.low or high > code.high + 1:
                raise ValueError(
                    f"the table of {name!r} must stay within {code.low}..{code.high + 1}, not "
                    f"{low}..{high}"
                )
        elif (
            below is not None
            and not operands[0].is_magnitude
            and (
                below.shape != operands[0].multiplier.shape
                or below.min() < 0
                or below.max() >= FACTOR_LIMIT
            )
        ):
            raise ValueError(
                f"factors for X < 0 of {name!r} must lie in 0..2^32 - 1, or turn the others' sign"
            )

    def _check_ties(self, population: DesignPopulation) -> None:
        """Refuse a rule for ties that a population cannot follow."""
        name, ties, code = population.name, population.ties, population.code
        if ties not in TIES:
            raise ValueError(f"ties of {name!r} must be {', '.join(TIES)}, not {ties!r}")
        if ties == DOWN:
            return
        if self.dynamics != "signgd":
            raise ValueError(
                f"integrate-and-fire neurons have ties down alone, not {ties} ({name})"
            )
        if code is None:
            raise ValueError(f"the read-out {name!r} does not fire and has no ties, so not {ties}")
        several = SEVERAL.get(population.function)
        fraction = 0 if population.comparison is None else population.comparison.fraction
        if several is not None and not several.nearest and fraction:
            raise ValueError(
                f"ties of {name!r} are those of its operands, for which the fraction must be 0, "
                f"not {fraction}"
            )
        if ties != EVEN:
            return
        if several is not None and several.divides:
            raise ValueError(
                f"{population.function} of {name!r} has ties down or up, not {ties}: no product "
                f"says which level is even"
            )
        if self.firing != "settled" or not code.is_binary or code.low % 2:
            raise ValueError(
                f"ties of {name!r} go to even levels, for which firing must be settled, the "
                f"schedule binary and 0 a level (take ties up or down)"
            )

    def _check_numbers(self, population: DesignPopulation) -> None:
        for operand in population.operands:
            for projection in operand.projections:
                limit = 2 ** (projection.weight_bits - 1) - 1
                weights = projection.map.weights
                if weights.max(initial=0) > limit or weights.min(initial=0) < -limit - 1:
                    raise ValueError(
                        f"a weight of {population.name!r} exceeds {limit}, the limit of "
                        f"{projection.weight_bits} bits"
                    )
            m = operand.multiplier
            plain = population.function == READOUT or self.dynamics != "signgd"
            if not plain and not (m.min() >= 1 and m.max() < FACTOR_LIMIT and operand.shift >= 1):
                raise ValueError(
                    f"requantisation factors of {population.name!r} must lie in 1..2^32 - 1 with a "
                    f"shift of at least 1, not {m.min()}..{m.max()} / 2^{operand.shift}"
                )

    def _check_products(self, population: DesignPopulation) -> None:
        """Refuse factors whose products with integrators 63 bits do not hold."""
        for k, operand in enumerate(population.operands):
            factor = int(operand.multiplier.max())
            if factor < MULTIPLIER_LIMIT or self.dynamics != "signgd":
                continue
            bound = self.integrator_bound(population, k)
            if bound * factor + 2**operand.shift >= 2**62:
                raise ValueError(
                    f"sums of {population.name!r} reach {bound}, and times a factor of {factor} "
                    f"that passes 62 bits (take fewer multiplier_bits)"
                )

    def __getitem__(self, name: str) -> DesignPopulation:
        return next(p for p in self.populations if p.name == name)

    @property
    def input(self) -> DesignPopulation:
        return self.populations[0]

    @property
    def readout(self) -> DesignPopulation:
        return self.populations[-1]

    @cached_property
    def head(self) -> Head:
        """What the outputs mean."""
        return Head(outputs=self.outputs) if self.outputs else default_head(self.readout.shape)

    def with_head(self, head: Head) -> "Design":
        """Return the same integers with outputs that mean something else."""
        return replace(self, outputs=head.outputs)

    def values(self, logits: np.ndarray, steps: int | None = None) -> np.ndarray:
        """Return the real values that logits stand for, (n, outputs) float64 in C order.

        Logits of a rate code are sums over all steps, or averages of them that leak, so that what
        they are worth depends on the number of steps.

        Parameters
        ----------
        logits
            (n, outputs) integers as they are sent: those of planes pixel after pixel.
        steps
            After which they were read; ``None`` is the end.
        """
        shape = self.readout.shape
        scale = self.readout.operands[0].scale
        sent = logits.reshape(len(logits), *shape[1:], shape[0]) * scale  # pixel after pixel
        found = np.moveaxis(sent, -1, 1).reshape(len(logits), -1)
        if self.dynamics == "signgd":
            return found
        code = self.input.rate_code
        return found / code.total(code.steps if steps is None else steps)

    def with_folding(self, folding: Mapping[str, Folding]) -> "Design":
        """Return the same integers folded as ``folding`` says, by population name."""
        unknown = set(folding) - {p.name for p in self.populations}
        if unknown:
            names = ", ".join(p.name for p in self.populations)
            raise ValueError(f"there is no layer {sorted(unknown)[0]!r} to fold; there are {names}")
        return replace(
            self,
            populations=tuple(
                replace(p, folding=whole(self.populations, p, folding.get(p.name, p.folding)))
                for p in self.populations
            ),
        )

    def with_synapse(self, synapse: str) -> "Design":
        """Return the same integers with every folded layer's weights meeting inputs so.

        Lanes stay as they are but for weights as logic, which take all of them; so do layers whose
        weights cannot meet inputs so, see :func:`.parallel.synapse_of`. A
        layer that multiplied, and adds where events arrive now, takes
        one step at a time.
        """
        if synapse not in SYNAPSES:
            raise ValueError(f"a synapse is one of {', '.join(SYNAPSES)}, not {synapse!r}")

        def other(folding: Folding) -> Folding:
            if folding.synapse == synapse:
                return folding
            adds = synapse in (EVENTS, LOGIC) and not folding.multiplies
            other = replace(folding, synapse=synapse, unroll=folding.unroll if adds else 1)
            return replace(other, pe=1, simd=1, rom=AUTO) if synapse == LOGIC else other

        return self.with_folding(
            {
                p.name: other(p.folding)
                for p in self.populations[1:]
                if p.folding and synapse_of(p, synapse) == synapse
            }
        )

    @property
    def is_folded(self) -> bool:
        return all(p.folding is not None for p in self.populations[1:])

    def integrator_bound(self, population: DesignPopulation, operand: int = 0) -> int:
        """Return max_i |B_i| + Σ_j |W_ij| max|value_j|, which no integrator can pass at any step.

        Between v(0) and v(T) a source's v stays within rest ± Ση, so the bound holds at every
        step of overlapped firing too. Integrate-and-fire neurons add B at every step, and what is
        bounded is the sum of all currents.
        """
        op = population.operands[operand]
        total = np.abs(np.broadcast_to(op.bias, population.shape)).astype(np.float64)
        if self.dynamics != "signgd":
            assert self.input.code is not None
            total = total * self.input.code.steps
        for projection in op.projections:
            code = self[projection.source].code
            assert code is not None
            reach = max(abs(code.low), abs(code.high))
            weights = projection.map.gain.astype(np.float64)
            total = total + reach * weights.reshape(-1, *[1] * (len(population.shape) - 1))
        for product in op.products:
            reaches = []
            for name in (product.source, product.other):
                code = self[name].code
                assert code is not None
                reaches.append(max(abs(code.low), abs(code.high)))
            total = total + product.terms * reaches[0] * reaches[1]
        return int(total.max())

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of a sample as it is given to :meth:`raw_samples`."""
        shape = self.input.shape
        return (shape[-1], *shape[:-1]) if self.channels_first else shape

    def predict(
        self, samples: np.ndarray | Mapping[str, np.ndarray], output: Path | str | None = None
    ) -> dict[str, Any]:
        """Return what the integers answer, arrays by name, a row a sample.

        There are ``label`` where the output decides, and ``probability``, ``output``, ``value``,
        ``score`` or ``error``, see :mod:`signfire.gen.model.heads`; by output where there are
        several. A board gives the same logits, hence the same answers.

        Parameters
        ----------
        samples
            (n, ...) as :meth:`raw_samples` takes them, or an array for each input by its name.
        output
            File to write the answers to: ``.npz``, ``.csv`` or ``.json``.

        Raises
        ------
        RuntimeError
            If the golden model, which answers, was not imported (``import signfire.sim.golden``).
        """
        if Design.answered_by is None:
            raise RuntimeError("the golden model answers for designs: import signfire.sim.golden")
        x = self.joined(samples) if isinstance(samples, Mapping) else np.asarray(samples)
        values = self.values(Design.answered_by(self, self.raw_samples(x)))
        found = {o.name: o.answers(self.head.part(values, o), x) for o in self.head}
        if output is not None:
            write_answers(Path(output), found, self.head)
        return found[self.head.outputs[0].name] if self.head.is_single else found

    def joined(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return samples of an array for each input, by its name.

        Raises
        ------
        ValueError
            Where one is missing, is no input, or has another shape.
        """
        names = ", ".join(part.name for part in self.inputs) or "one, which has no name"
        strange = sorted(set(arrays) - {part.name for part in self.inputs})
        if strange:
            raise ValueError(f"{self.name!r} has no input {strange[0]!r}; it has {names}")
        for part in self.inputs:
            if part.name not in arrays:
                raise ValueError(f"the input {part.name!r} is missing; there are {names}")
            shape = np.shape(arrays[part.name])
            if shape[1:] != part.shape:
                raise ValueError(
                    f"the input {part.name!r} has samples of shape {part.shape}, not {shape[1:]}"
                )
        return joined([np.asarray(arrays[part.name]) for part in self.inputs])

    def given_order(self, raw: np.ndarray) -> np.ndarray:
        """Turn integers p as the hardware takes them, (n, size), to (n, *sample shape)."""
        taken = raw.reshape(len(raw), *self.input.shape)
        return np.moveaxis(taken, -1, 1) if self.channels_first else taken

    def raw_samples(self, x: np.ndarray) -> np.ndarray:
        """Turn real samples into the integers p that the hardware takes, (n, size) int64.

        Real values become the nearest p, those outside the range its ends. Where p are the samples
        themselves, integers are taken as they are, and refused outside the range. Samples that are
        not like those that calibrated the design are warned of, :class:`.UnlikeCalibration`.
        """
        self.check_samples(x)
        unlike = self.unlike_calibration(x)
        if unlike is not None:
            warnings.warn(unlike, UnlikeCalibration, stacklevel=2)
        given, fmt = x.reshape(len(x), *self.sample_shape), self.input_format
        whole = x.dtype.kind in "biu" and fmt.takes_integers
        raw = given.astype(np.int64) if whole else fmt.encode(given)
        if self.channels_first:
            raw = np.moveaxis(raw, 1, -1)
        return raw.reshape(len(x), self.input.size)

    def unlike_calibration(self, x: np.ndarray) -> str | None:
        """Say how samples are not like those that calibrated the design; ``None`` if they are.

        Few values say nothing, nor does a design that does not know.
        """
        known = Calibrated.read(self.provenance.get("calibrated"))
        if known is None:
            return None
        return known.differs(x.reshape(len(x), *self.sample_shape), self.input_format)

    def check_samples(self, x: np.ndarray) -> None:
        """Raise ValueError where an array holds no samples of the design.

        Floats must be finite; integers must lie in the input's range, unless each feature has one.
        """
        self.check_sample_shape(x.shape)
        if not x.size:
            return
        if x.dtype.kind not in "biu":
            if not np.isfinite(x).all():
                raise ValueError("samples must be finite; there is a NaN or an infinity among them")
            return
        fmt = self.input_format
        if fmt.features is not None:
            return  # a whole number is a real value, as in any table
        ends = np.array([int(x.min()), int(x.max())], dtype=object)
        steps = ends if fmt.scale == 1 else np.rint(ends.astype(np.float64) / fmt.scale)
        if int(steps[0]) < fmt.low or int(steps[1]) > fmt.high:
            low, high = (f"{fmt.scale * end:.7g}" for end in (fmt.low, fmt.high))
            said = f"samples must lie in {low}..{high}, not {ends[0]}..{ends[1]}"
            if fmt.scale != 1:
                said += (
                    " (give them in the units of the calibration, or convert again with samples "
                    "like these)"
                )
            raise ValueError(said)

    def check_sample_shape(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError where arrays of this shape, (n, ...), hold no samples of the design."""
        size = self.input.size
        if len(shape) < 1 or prod(shape[1:]) != size:
            raise ValueError(
                f"a sample needs {size} values (shape {self.sample_shape}), not shape {shape[1:]}"
            )

    # -- one file ------------------------------------------------------------------------------

    def content(self) -> Content:
        """Split into JSON values and integer arrays; folding and provenance stand apart."""
        facts = {
            "name": self.name,
            "firing": self.firing,
            "dynamics": self.dynamics,
            "input": self.input_format.record(),
        } | ({"channels_first": True} if self.channels_first else {})
        return content(facts, self.populations)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over all integers and codes, 64 hex digits.

        Folding and provenance do not enter: designs of equal hash answer every sample alike,
        whatever they cost.
        """
        return digest(*self.content())

    def save(self, path: Path | str) -> None:
        """Write the Design; the file appears whole or not at all."""
        header, arrays = self.content()
        beside = {
            "hash": self.hash,
            "provenance": dict(self.provenance),
            "folding": {p.name: p.folding.record for p in self.populations if p.folding},
            "places": {p.name: p.place for p in self.populations},
        }
        if self.outputs:
            beside["outputs"] = self.head.record()
        if self.inputs:
            beside["inputs"] = [part.record() for part in self.inputs]
        beside |= {"headroom": self.headroom} if self.headroom else {}
        if self.activity:
            beside["activity"] = {name: f"activity_{name}" for name in self.activity}
            arrays |= {f"activity_{name}": a.table for name, a in self.activity.items()}
        write(Path(path), header | beside, arrays)

    @classmethod
    def load(cls, path: Path | str) -> "Design":
        """Read a Design.

        Raises
        ------
        ValueError
            If the file is not a Design, is damaged, or is of another format version.
        """
        return read(Path(path), cls._of)

    @classmethod
    def _of(cls, header: Header, arrays: Arrays) -> "Design":
        populations = populations_of(header, arrays)
        return cls(
            name=header["name"],
            firing=header["firing"],
            dynamics=header["dynamics"],
            input_format=InputFormat.read(header["input"]),
            populations=populations,
            channels_first=header.get("channels_first", False),
            headroom=header.get("headroom", 0),
            activity=activities_of(header.get("activity", {}), arrays, populations),
            outputs=Head.of_record(header["outputs"]).outputs if "outputs" in header else (),
            inputs=tuple(Part.of_record(part) for part in header.get("inputs", ())),
            provenance=provenance_of(header["provenance"]),
        )
