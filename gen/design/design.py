"""Design: everything the hardware needs, in integers; frozen, complete, one file.

Golden model, RTL, cycle model and host driver read a Design and nothing else. A Design is saved as
an ``.npz`` that holds one JSON text and plain integer arrays (never a pickle), with a format
version and a content hash.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np

from ..model.codes import RateCode, SpikeCode
from ..model.functions import FunctionTable
from ..model.maps import MAPS, LinearMap
from ..model.name import check_name
from ..model.network import FUNCTIONS, INPUT, MAX, READOUT, check_graph
from ..model.products import Product
from ..model.several import SEVERAL, Comparison
from .archive import Archive, in_words
from .reading import is_turned, parallel_of, parallel_outputs, word_of

FORMAT_VERSION = 1
HEADER = "design"  # array of a file that holds the JSON text
FIRINGS = ("settled", "overlapped")
EVENTS, MULTIPLY, MULTIPLY_LUT = SYNAPSES = ("events", "multiply", "multiply-lut")
DYNAMICS = ("signgd", "if", "lif")
_RATES = {"if": "integrate-and-fire, rate code", "lif": "leaky integrate-and-fire"}
MULTIPLIER_LIMIT = 1 << 16  # requantisation factors M are unsigned, at most 16 bits


@dataclass(frozen=True, kw_only=True)
class InputFormat:
    """How a sample enters: integers p in low..high, real value = scale·p.

    The input population fires on F = ceil(p·multiplier / 2^shift).
    """

    low: int
    high: int
    scale: float
    multiplier: int
    shift: int

    def __post_init__(self) -> None:
        if not self.low <= self.high or self.high <= 0:
            raise ValueError(f"an input range must reach above 0, not {self.low}..{self.high}")
        if not 1 <= self.multiplier < MULTIPLIER_LIMIT or self.shift < 1:
            raise ValueError(f"input factor {self.multiplier}/2^{self.shift} is out of range")

    @property
    def signed(self) -> bool:
        return self.low < 0

    @property
    def bits(self) -> int:
        """Bits of one raw sample p."""
        return bits_for(self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class Folding:
    """How much of a layer is computed in parallel.

    For the input, ``pe`` is the number of raw values a word; it divides the inputs that the layers
    behind it read in parallel.

    Parameters
    ----------
    pe
        Outputs in parallel; divides the number of outputs.
    simd
        Inputs in parallel; divides the fan-in, of a convolution the input channels. 1 where each
        output channel reads one channel (depthwise, pooling).
    unroll
        Time steps in parallel; divides the T of the source; above 1 only for binary schedules
        with settled firing. A layer that multiplies takes all T, and 1 stands for them there.
    synapse
        How weights meet inputs: ``events`` adds a weight where an event arrived, step by step;
        ``multiply`` multiplies it with what the whole train says, in DSP blocks where the device
        family has them, and ``multiply-lut`` in LUTs. The sums are the same.
    """

    pe: int = 1
    simd: int = 1
    unroll: int = 1
    synapse: str = EVENTS

    @property
    def multiplies(self) -> bool:
        """Whether products of whole trains take the place of events."""
        return self.synapse != EVENTS


@dataclass(frozen=True, kw_only=True)
class DesignProjection:
    """An integer linear map from a population; ``weight_bits`` bounds its weights."""

    source: str
    map: LinearMap
    weight_bits: int


@dataclass(frozen=True, kw_only=True)
class DesignOperand:
    """X = bias + Σ W·value, F = ceil(X·multiplier / 2^shift).

    Parameters
    ----------
    bias
        int64, broadcasts to the population's shape.
    scale
        (channels,) float64, real value of one unit of X; not used by hardware.
    multiplier
        (channels,) int64 in 1..65535; all ones for the read-out, which is not requantised.
    shift
        S >= 1 (0 for the read-out).
    below
        (channels,) int64, the multiplier where X < 0, in 0..65535, or -multiplier for abs; ``None``
        where it is ``multiplier``.
    products
        Of values of two populations, in the place of projections.
    """

    projections: tuple[DesignProjection, ...]
    bias: np.ndarray
    scale: np.ndarray
    multiplier: np.ndarray
    shift: int
    below: np.ndarray | None = None
    products: tuple[Product, ...] = ()

    @property
    def is_magnitude(self) -> bool:
        """Whether F is that of |X|."""
        return self.below is not None and np.array_equal(self.below, -self.multiplier)


@dataclass(frozen=True, kw_only=True)
class DesignPopulation:
    """A population in integers; ``code`` is ``None`` for the read-out alone.

    ``folding`` is ``None`` where none was chosen yet. ``limit`` is the greatest target that a ReLU
    fires on, ``None`` where nothing but the code bounds it. ``table`` holds the targets of a
    function that is not decided by comparison, ``comparison`` what decides one of two operands.
    ``threshold`` is θ of integrate-and-fire neurons in units of X, (channels,) int64; of the input,
    in raw steps, (1,); ``None`` for all others.
    """

    name: str
    shape: tuple[int, ...]
    function: str
    code: SpikeCode | RateCode | None
    operands: tuple[DesignOperand, ...] = ()
    folding: Folding | None = None
    place: str = ""
    limit: int | None = None
    table: FunctionTable | None = None
    threshold: np.ndarray | None = None
    comparison: Comparison | None = None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def sources(self) -> Iterator[DesignProjection]:
        return (p for operand in self.operands for p in operand.projections)

    @property
    def error_levels(self) -> float | None:
        """Worst distance of the value settled at from f within the code's range, in levels.

        A comparison errs by half a level of the binary schedule; a second factor M, rounded to a
        whole number, adds half of what it stands for. ``None`` where nothing is promised.
        """
        if self.table is not None:
            return self.table.error
        if self.comparison is not None:
            return self.comparison.error
        if self.code is None or not self.code.is_binary or not self.operands:
            return None
        below = self.operands[0].below
        if below is None or self.operands[0].is_magnitude:
            return 0.5
        return 0.5 + max(0, -self.code.low) / 4 / max(1, int(below.min()))


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
    provenance: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        check_graph(self.populations)
        if self.firing not in FIRINGS:
            raise ValueError(f"firing must be settled or overlapped, not {self.firing!r}")
        if self.dynamics not in DYNAMICS:
            raise ValueError(f"dynamics must be {', '.join(DYNAMICS)}, not {self.dynamics!r}")
        for population in self.populations:
            if (population.code is None) != (population.function == READOUT):
                raise ValueError(
                    f"every population but the read-out has a code ({population.name})"
                )
            self._check_numbers(population)
            self._check_dynamics(population)
            self._check_function(population)
            if population.folding is not None:
                check_folding(self, population, population.folding)
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
        elif not operands[0].is_magnitude and (
            below.shape != operands[0].multiplier.shape
            or below.min() < 0
            or below.max() >= MULTIPLIER_LIMIT
        ):
            raise ValueError(
                f"factors for X < 0 of {name!r} must lie in 0..65535, or turn the others' sign"
            )

    def _check_numbers(self, population: DesignPopulation) -> None:
        for operand in population.operands:
            for projection in operand.projections:
                limit = 2 ** (projection.weight_bits - 1) - 1
                if np.abs(projection.map.weights).max(initial=0) > limit:
                    raise ValueError(
                        f"a weight of {population.name!r} exceeds {limit}, the limit of "
                        f"{projection.weight_bits} bits"
                    )
            m = operand.multiplier
            plain = population.function == READOUT or self.dynamics != "signgd"
            if not plain and not (
                m.min() >= 1 and m.max() < MULTIPLIER_LIMIT and operand.shift >= 1
            ):
                raise ValueError(
                    f"requantisation factors of {population.name!r} must lie in 1..65535 with a "
                    f"shift of at least 1, not {m.min()}..{m.max()} / 2^{operand.shift}"
                )

    def __getitem__(self, name: str) -> DesignPopulation:
        return next(p for p in self.populations if p.name == name)

    @property
    def input(self) -> DesignPopulation:
        return self.populations[0]

    @property
    def readout(self) -> DesignPopulation:
        return self.populations[-1]

    def with_folding(self, folding: Mapping[str, Folding]) -> "Design":
        """Return the same integers folded as ``folding`` says, by population name."""
        unknown = set(folding) - {p.name for p in self.populations}
        if unknown:
            names = ", ".join(p.name for p in self.populations)
            raise ValueError(f"there is no layer {sorted(unknown)[0]!r} to fold; there are {names}")
        return replace(
            self,
            populations=tuple(
                replace(p, folding=self._whole(p, folding.get(p.name, p.folding)))
                for p in self.populations
            ),
        )

    def with_synapse(self, synapse: str) -> "Design":
        """Return the same integers with every folded layer's weights meeting inputs so.

        Lanes stay as they are, and so do layers that cannot multiply, see :func:`has_synapses`. A
        layer that multiplied, and adds where events arrive now, takes
        one step at a time.
        """
        if synapse not in SYNAPSES:
            raise ValueError(f"a synapse is one of {', '.join(SYNAPSES)}, not {synapse!r}")

        def other(folding: Folding) -> Folding:
            if folding.synapse == synapse:
                return folding
            unroll = folding.unroll if synapse == EVENTS and not folding.multiplies else 1
            return replace(folding, synapse=synapse, unroll=unroll)

        return self.with_folding(
            {
                p.name: other(p.folding)
                for p in self.populations[1:]
                if p.folding and (synapse == EVENTS or has_synapses(p))
            }
        )

    def _whole(self, population: DesignPopulation, folding: Folding | None) -> Folding | None:
        """Return a folding in which a layer that multiplies takes all steps of its source."""
        if folding is None or not folding.multiplies or folding.unroll > 1:
            return folding
        code = self[next(population.sources).source].code if population.operands else None
        return folding if code is None else replace(folding, unroll=code.steps)

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

    def given_order(self, raw: np.ndarray) -> np.ndarray:
        """Turn integers p as the hardware takes them, (n, size), to (n, *sample shape)."""
        taken = raw.reshape(len(raw), *self.input.shape)
        return np.moveaxis(taken, -1, 1) if self.channels_first else taken

    def raw_samples(self, x: np.ndarray) -> np.ndarray:
        """Turn real samples into the integers p that the hardware takes, (n, size) int64.

        Integer data is taken as it is; floats are rounded to multiples of the input scale. Values
        outside the range are refused for integers and clipped for floats.
        """
        self.check_samples(x)
        size = self.input.size
        if self.channels_first:
            x = np.moveaxis(x.reshape(len(x), *self.sample_shape), 1, -1)
        flat = x.reshape(len(x), size)
        fmt = self.input_format
        if x.dtype.kind in "biu":
            return flat.astype(np.int64) if fmt.scale == 1 else self._steps(flat).astype(np.int64)
        return np.clip(self._steps(flat), fmt.low, fmt.high).astype(np.int64)

    def _steps(self, x: np.ndarray) -> np.ndarray:
        """Return real values in steps of the input, float64 whole numbers."""
        return np.rint(x / self.input_format.scale)

    def check_samples(self, x: np.ndarray) -> None:
        """Raise ValueError where an array holds no samples of the design.

        Integers must lie in the input's range, floats must be finite.
        """
        self.check_sample_shape(x.shape)
        if not x.size:
            return
        if x.dtype.kind not in "biu":
            if not np.isfinite(x).all():
                raise ValueError("samples must be finite; there is a NaN or an infinity among them")
            return
        fmt = self.input_format
        ends = np.array([int(x.min()), int(x.max())], dtype=object)
        if fmt.scale != 1:
            ends = self._steps(ends.astype(np.float64))
        low, high = int(ends[0]), int(ends[1])
        if low < fmt.low or high > fmt.high:
            raise ValueError(f"samples must lie in {fmt.low}..{fmt.high}, not {low}..{high}")

    def check_sample_shape(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError where arrays of this shape, (n, ...), hold no samples of the design."""
        size = self.input.size
        if len(shape) < 1 or prod(shape[1:]) != size:
            raise ValueError(
                f"a sample needs {size} values (shape {self.sample_shape}), not shape {shape[1:]}"
            )

    # -- one file ------------------------------------------------------------------------------

    def _content(self) -> tuple[dict, dict[str, np.ndarray]]:
        """Split into JSON values and integer arrays; folding and provenance stand apart."""
        arrays: dict[str, np.ndarray] = {}

        def keep(key: str, array: np.ndarray) -> str:
            arrays[key] = np.ascontiguousarray(array)
            return key

        populations = []
        for i, p in enumerate(self.populations):
            operands = []
            for j, op in enumerate(p.operands):
                operands.append(
                    {
                        "bias": keep(f"p{i}_o{j}_bias", op.bias.astype(np.int64)),
                        "scale": keep(f"p{i}_o{j}_scale", op.scale.astype(np.float64)),
                        "multiplier": keep(f"p{i}_o{j}_m", op.multiplier.astype(np.int64)),
                        "shift": op.shift,
                        **(
                            {}
                            if op.below is None
                            else {"below": keep(f"p{i}_o{j}_below", op.below.astype(np.int64))}
                        ),
                        **(
                            {}
                            if not op.products
                            else {
                                "products": [
                                    {
                                        "source": q.source,
                                        "other": q.other,
                                        "left": keep(f"p{i}_o{j}_left{k}", q.left),
                                        "right": keep(f"p{i}_o{j}_right{k}", q.right),
                                    }
                                    for k, q in enumerate(op.products)
                                ]
                            }
                        ),
                        "projections": [
                            {
                                "source": q.source,
                                "kind": q.map.kind,
                                "parameters": q.map.parameters(),
                                "weight_bits": q.weight_bits,
                                "weights": keep(f"p{i}_o{j}_q{k}", q.map.weights.astype(np.int64)),
                            }
                            for k, q in enumerate(op.projections)
                        ],
                    }
                )
            code = None if p.code is None else dict(vars(p.code))
            if isinstance(p.code, SpikeCode):
                code["eta"] = list(p.code.eta)
            populations.append(
                {
                    "name": p.name,
                    "shape": list(p.shape),
                    "function": p.function,
                    "code": code,
                    "operands": operands,
                }
                | ({} if p.limit is None else {"limit": p.limit})
            )
            if p.threshold is not None:
                thresholds = keep(f"p{i}_threshold", p.threshold.astype(np.int64))
                populations[-1]["threshold"] = thresholds
            if p.comparison is not None:
                populations[-1]["comparison"] = vars(p.comparison)
            if p.table is not None:
                entries = keep(f"p{i}_table", p.table.entries.astype(np.int64))
                populations[-1]["table"] = vars(p.table) | {"entries": entries}
        header = {
            "format": FORMAT_VERSION,
            "name": self.name,
            "firing": self.firing,
            "dynamics": self.dynamics,
            "input": vars(self.input_format),
            "populations": populations,
        } | ({"channels_first": True} if self.channels_first else {})
        return header, arrays

    @cached_property
    def hash(self) -> str:
        """SHA-256 over all integers and codes, 64 hex digits.

        Folding and provenance do not enter: designs of equal hash answer every sample alike,
        whatever they cost.
        """
        header, arrays = self._content()
        digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
        for key in sorted(arrays):
            digest.update(f"{key} {arrays[key].dtype.str} {arrays[key].shape}".encode())
            digest.update(arrays[key].tobytes())
        return digest.hexdigest()

    def save(self, path: Path | str) -> None:
        """Write the Design; the file appears whole or not at all."""
        header, arrays = self._content()
        extra = {
            "hash": self.hash,
            "provenance": dict(self.provenance),
            "folding": {p.name: vars(p.folding) for p in self.populations if p.folding},
            "places": {p.name: p.place for p in self.populations},
        }
        text = np.frombuffer(json.dumps(header | extra).encode(), dtype=np.uint8)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, **{HEADER: text}, **arrays)
            os.chmod(partial, 0o644)
            os.replace(partial, path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path | str) -> "Design":
        """Read a Design.

        Raises
        ------
        ValueError
            If the file is not a Design, is damaged, or is of another format version.
        """
        try:
            with Archive(path) as file:
                if HEADER not in file:
                    raise ValueError(f"it has no array {HEADER!r}")
                header = json.loads(file[HEADER].tobytes().decode())
                version = header["format"]
                whole = version != FORMAT_VERSION
                if not whole:
                    design = cls._from_content(header, file)
                    for key, array in design._content()[1].items():
                        if file.header(key).dtype != array.dtype:
                            kind = file.header(key).dtype
                            raise ValueError(f"its array {key!r} is {kind}, not {array.dtype}")
                    whole = design.hash == header["hash"]
        except FileNotFoundError:
            raise ValueError(f"there is no design file {path}") from None
        except KeyError as e:
            raise ValueError(f"{path} is not a signfire design (it lacks {e})") from e
        except Exception as e:  # what zip, JSON and a Design raise on damage has no common base
            raise ValueError(f"{path} is not a signfire design ({in_words(e)})") from e
        if version != FORMAT_VERSION:
            raise ValueError(
                f"{path} has design format {version}, this signfire reads {FORMAT_VERSION} "
                f"(run signfire convert again)"
            )
        if not whole:
            raise ValueError(f"{path} is damaged: its content does not match its hash")
        return design

    @classmethod
    def _from_content(cls, header: dict, arrays: Mapping[str, np.ndarray]) -> "Design":
        populations = []
        for p in header["populations"]:
            operands = tuple(
                DesignOperand(
                    bias=arrays[op["bias"]],
                    scale=arrays[op["scale"]],
                    multiplier=arrays[op["multiplier"]],
                    shift=op["shift"],
                    below=arrays[op["below"]] if "below" in op else None,
                    products=tuple(
                        Product(**q | {"left": arrays[q["left"]], "right": arrays[q["right"]]})
                        for q in op.get("products", ())
                    ),
                    projections=tuple(
                        DesignProjection(
                            source=q["source"],
                            weight_bits=q["weight_bits"],
                            map=MAPS[q["kind"]].rebuild(arrays[q["weights"]], q["parameters"]),
                        )
                        for q in op["projections"]
                    ),
                )
                for op in p["operands"]
            )
            code = p["code"]
            populations.append(
                DesignPopulation(
                    name=p["name"],
                    shape=tuple(p["shape"]),
                    function=p["function"],
                    code=None if code is None else _code_of(code),
                    operands=operands,
                    folding=_folding_of(header["folding"].get(p["name"])),
                    place=_text(header["places"].get(p["name"], "")),
                    limit=p.get("limit"),
                    table=_table_of(p["table"], arrays) if "table" in p else None,
                    threshold=arrays[p["threshold"]] if "threshold" in p else None,
                    comparison=Comparison(**p["comparison"]) if "comparison" in p else None,
                )
            )
        return cls(
            name=header["name"],
            firing=header["firing"],
            dynamics=header["dynamics"],
            input_format=InputFormat(**header["input"]),
            populations=tuple(populations),
            channels_first=header.get("channels_first", False),
            provenance=_provenance_of(header["provenance"]),
        )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _folding_of(header: dict | None) -> Folding | None:
    if header is None:
        return None
    synapse = _text(header.get("synapse", EVENTS))
    numbers = {key: value for key, value in header.items() if key != "synapse"}
    if any(type(value) is not int for value in numbers.values()):
        raise TypeError(f"a folding is whole numbers, not {header}")
    return Folding(**numbers, synapse=synapse)


def _provenance_of(record: object) -> Mapping[str, object]:
    """Return what stands beside the hash, with the kinds of values that its readers rely on."""
    if not isinstance(record, dict):
        raise TypeError("its provenance is no object")
    model, options, layers = (record.get(key) for key in ("model", "options", "layers"))
    if not all(value is None or isinstance(value, dict) for value in (model, options)):
        raise TypeError("model and options of its provenance are objects")
    rows = [] if layers is None else layers
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows
    ):
        raise TypeError("layers of its provenance are objects with a name")
    _text(record.get("command", ""))
    return record


def _code_of(header: dict) -> SpikeCode | RateCode:
    if "theta" in header:
        return RateCode(**header)
    return SpikeCode(**header | {"eta": tuple(header["eta"])})


def _table_of(header: dict, arrays: Mapping[str, np.ndarray]) -> FunctionTable:
    return FunctionTable(**header | {"entries": arrays[header["entries"]]})


def bits_for(low: int, high: int) -> int:
    """Bits that hold every integer of low..high; two's complement where low < 0."""
    if low >= 0:
        return max(1, high.bit_length())
    return max((-low - 1).bit_length(), high.bit_length() if high > 0 else 0) + 1


def divisors(n: int) -> list[int]:
    """All divisors of n, ascending."""
    return [d for d in range(1, n + 1) if n % d == 0]


def has_synapses(population: DesignPopulation) -> bool:
    """Whether the weights of a population may meet its inputs in multipliers.

    A maximum has no weights; a sum of several branches adds them as events arrive, each with
    weights of its own width.
    """
    return population.function != MAX and len(list(population.sources)) == 1


def _check_multiplying(
    design: Design, population: DesignPopulation, folding: Folding, code: SpikeCode
) -> None:
    """Refuse multipliers where a train is not the binary number that they take."""
    name = population.name
    if folding.synapse not in SYNAPSES:
        raise ValueError(
            f"the synapse of {name!r} is one of {', '.join(SYNAPSES)}, not {folding.synapse!r}"
        )
    if not has_synapses(population):
        raise ValueError(
            f"{name!r} cannot multiply: it is a maximum or sums several branches (leave it at "
            f"synapse=events)"
        )
    if design.firing != "settled" or not code.is_binary:
        raise ValueError(
            f"{name!r} cannot multiply: only with settled firing and a binary schedule is a train "
            f"a number as it stands (leave it at synapse=events)"
        )
    if folding.unroll != code.steps:
        raise ValueError(
            f"{name!r} multiplies with all {code.steps} input steps at once, not {folding.unroll} "
            f"(leave out unroll)"
        )


def check_folding(design: Design, population: DesignPopulation, folding: Folding) -> None:
    """Refuse a folding that does not divide what it folds, and say which would."""

    def must_divide(what: str, number: int, whole: int, of: str) -> None:
        if number < 1 or whole % number:
            owner = "" if "of" in of else f" of {population.name!r}"
            options = divisors(whole)
            near = sorted(options, key=lambda d: (abs(d - number), d))[:2]
            raise ValueError(
                f"{what} must divide the {whole} {of}{owner}, not {number} "
                f"(use {' or '.join(str(d) for d in sorted(near))})"
            )

    if population.function == INPUT:
        readers = [
            (p, q.map) for p in design.populations for q in p.sources if q.source == population.name
        ]
        must_divide("pe", folding.pe, population.size, "values")
        for reader, linear in readers:
            turned = is_turned(linear, population.shape, is_input=True)
            if reader.folding is not None and not turned:
                word = word_of(linear, reader.folding)
                must_divide("pe", folding.pe, word, f"parallel inputs of {reader.name!r}")
        return
    projections = list(population.sources)
    source = design[projections[0].source]
    assert source.code is not None
    maps = [q.map for q in projections]
    must_divide("pe", folding.pe, *parallel_outputs(maps))
    must_divide("simd", folding.simd, *parallel_of(maps))
    must_divide("unroll", folding.unroll, source.code.steps, "input steps")
    if folding.multiplies:
        _check_multiplying(design, population, folding, source.code)
    elif folding.unroll > 1 and (design.firing != "settled" or not source.code.is_binary):
        raise ValueError(
            f"unroll must be 1 for {population.name!r}: only settled firing with a binary "
            f"schedule takes several steps at once"
        )
