"""Bench of quantised models: Brevitas and torchao, integer by integer.

Needs ``pip install signfire[quantised]``. What a framework computes is taken from its own
quantisers; what signfire computes, from the golden model.

A framework's sums, products and quotients are floats of 32 bits, and each of them is rounded before
a quantiser rounds to an integer. Where the exact quotient lies next to a tie, those roundings may
carry it over. So the same graph is also run in 64-bit floats, with scales, weights and biases of 32
bits as they are: a level on which the two disagree is one that the framework's own arithmetic
rounds, and signfire's integers can only agree with one of them.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ..gen.convert.calibrate import calibrate
from ..gen.convert.options import Options
from ..gen.design.design import Design
from ..gen.front.export import evaluation, export, import_network
from ..gen.front.messages import silence
from ..gen.front.quantised import frozen
from ..sim import golden
from .measure import Measurement, bench

SAMPLES = 64
WIDE = 28  # bits of factors where 16 leave something unlike
POWERS, OTHERS = "powers of two", "other scales"


def needed(module: str) -> Any:
    """Import a module of the optional packages."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"this bench needs {module.partition('.')[0]} (pip install signfire[quantised])"
        ) from error


@dataclass(frozen=True, kw_only=True, eq=False)
class Integers:
    """What a framework computes for some samples.

    Members
    -------
    levels : integers of every quantiser of activations in order, the zero point taken off, and
        their step
    wide : those integers where the framework's graph is run in 64-bit floats
    weights : integers of every layer in order, (outputs, inputs)
    answers : (n, outputs) float64
    """

    levels: list[tuple[np.ndarray, float]]
    wide: list[np.ndarray]
    weights: list[np.ndarray]
    answers: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A quantised model, samples for it, and how its framework's integers are found."""

    name: str
    scales: str
    model: nn.Module
    samples: np.ndarray
    integers: Callable[[], Integers]


# -- Brevitas ------------------------------------------------------------------------------------


class BrevitasNet(nn.Module):
    """Two convolutions with a join, pooling and a read-out, all of them quantised."""

    def __init__(self, bits: int, *, narrow: bool, powers: bool, per_channel: bool) -> None:
        super().__init__()
        qnn, quant = needed("brevitas.nn"), needed("brevitas.quant")
        kind = "FixedPoint" if powers else "Float"
        each = "PerChannel" if per_channel else "PerTensor"
        suffix = "MSE" if per_channel and powers else ""
        weights = {
            "weight_quant": getattr(quant, f"Int8Weight{each}{kind}{suffix}"),
            "weight_bit_width": bits,
            "weight_narrow_range": narrow,
            "bias_quant": quant.Int32Bias,
        }
        signed = {"act_quant": getattr(quant, f"Int8ActPerTensor{kind}"), "narrow_range": narrow}
        above = {"act_quant": getattr(quant, f"Uint8ActPerTensor{kind}"), "bit_width": bits}
        tensors = {"return_quant_tensor": True}
        self.input = qnn.QuantIdentity(bit_width=8, **signed, **tensors)
        self.first = qnn.QuantConv2d(1, 6, 3, padding=1, **weights, **tensors)
        self.relu = qnn.QuantReLU(**above, **tensors)
        self.second = qnn.QuantConv2d(6, 6, 3, padding=1, **weights, **tensors)
        self.rounded = qnn.QuantIdentity(bit_width=bits, **signed, **tensors)
        self.last = qnn.QuantReLU(**above, **tensors)
        self.out = qnn.QuantLinear(54, 5, bias=True, **weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.first(self.input(x)))
        x = self.last(self.rounded(self.second(x)))
        return self.out(nn.functional.max_pool2d(x, 2).flatten(1))


def of_brevitas(bits: int, *, narrow: bool, powers: bool, per_channel: bool) -> Subject:
    """Return a Brevitas model after some batches, whose weights reach -2^(bits-1) unless narrow."""
    torch.manual_seed(bits)
    model = BrevitasNet(bits, narrow=narrow, powers=powers, per_channel=per_channel)
    layers = [model.first, model.second, model.out]
    for layer in layers:
        weight = layer.weight.data
        if not narrow:
            weight.clamp_(max=0.8 * float(weight.abs().max()))
            weight.view(len(weight), -1)[:, 0] = -1.0
    x = torch.randn(SAMPLES, 1, 6, 6)
    with silence():
        for _ in range(3):
            model(x)
        model.eval()

    def integers() -> Integers:
        proxy = needed("brevitas.proxy.runtime_quant").ActQuantProxyFromInjector
        seen: list[tuple[np.ndarray, float]] = []

        def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if hasattr(output, "scale"):
                step = float(output.scale.reshape(-1)[0])
                seen.append((np.rint(output.value.detach().double().numpy() / step), step))

        hooks = [
            m.register_forward_hook(note)
            for m in model.modules()
            if isinstance(m, proxy) and m.is_quant_enabled
        ]
        with torch.no_grad():
            answers = model(x)
        for hook in hooks:
            hook.remove()
        weights = [layer.quant_weight().int().detach().numpy() for layer in layers]
        rows = [w.reshape(len(w), -1) for w in weights]
        return Integers(
            levels=seen, wide=wide_levels(model, x), weights=rows, answers=answers.double().numpy()
        )

    ends = "narrow" if narrow else "down to -2^(b-1)"
    each = "channel" if per_channel else "tensor"
    return Subject(
        name=f"Brevitas {bits} bit, a scale a {each}, {ends}",
        scales=POWERS if powers else OTHERS,
        model=model,
        samples=x.numpy(),
        integers=integers,
    )


def wide_levels(model: nn.Module, x: torch.Tensor) -> list[np.ndarray]:
    """Return the integers of a Brevitas model's quantisers, computed in 64-bit floats."""
    with evaluation(model), frozen(model), torch.no_grad(), silence():
        model(x)
        run = WideLevels(export(model, [x]).module(), len(x))
        run.run(x.double())
    return run.seen


class Wide(torch.fx.Interpreter):
    """Runs a graph in 64-bit floats, with the constants that it has."""

    def fetch_attr(self, target: str) -> Any:
        value = super().fetch_attr(target)
        floats = isinstance(value, torch.Tensor) and value.is_floating_point()
        return value.double() if floats else value


class WideLevels(Wide):
    """Keeps the integers of quantisers of activations, whose first axis is the batch."""

    def __init__(self, model: Any, batch: int) -> None:
        super().__init__(model)
        self.batch = batch
        self.seen: list[np.ndarray] = []

    def run_node(self, n: torch.fx.Node) -> Any:
        result = super().run_node(n)
        source = n.args[0] if n.args else None
        clamped = isinstance(source, torch.fx.Node) and str(source.target) == "aten.clamp.Tensor"
        off = clamped and str(n.target) == "aten.sub.Tensor"
        if off and len(result) == self.batch:  # the zero point, after rounding and clamping
            self.seen.append(result.numpy())
        return result


# -- torchao -------------------------------------------------------------------------------------


class Residual(nn.Module):
    """Two convolutions, normalised and joined, pooling and a read-out."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.second, self.out = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(54, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = torch.relu(self.second(x) + x)
        return self.out(nn.functional.max_pool2d(x, 2).flatten(1))


def of_torchao(bits: int, *, powers: bool, per_channel: bool) -> Subject:
    """Return what ``convert_pt2e`` makes of a network, its scales moved to powers of two if so."""
    recipe = needed("torchao.quantization.pt2e.quantize_pt2e")
    xnnpack = needed("torchao.testing.pt2e._xnnpack_quantizer")
    torch.manual_seed(bits)
    top = 2 ** (bits - 1)
    network, x = Residual().eval(), torch.randn(SAMPLES, 1, 6, 6)
    settings = xnnpack.get_symmetric_quantization_config(
        is_per_channel=per_channel,
        act_qmin=-top,
        act_qmax=top - 1,
        weight_qmin=-top,
        weight_qmax=top - 1,
    )
    with silence():
        program = torch.export.export(network, (x[:7],), strict=False).module()
        model = recipe.prepare_pt2e(program, xnnpack.XNNPACKQuantizer().set_global(settings))
        for start in range(0, SAMPLES, 7):
            if start + 7 <= SAMPLES:
                model(x[start : start + 7])
        model = recipe.convert_pt2e(model)
    if powers:
        to_powers(model)
    whole_biases(model)
    samples = x[: 9 * 7]

    def integers() -> Integers:
        def through(kind: type[Recorder], dtype: torch.dtype) -> tuple[list[Recorder], list[Any]]:
            runs = [kind(model) for _ in range(9)]
            parts = [samples[7 * k : 7 * k + 7].to(dtype) for k in range(9)]
            return runs, [run.run(part) for run, part in zip(runs, parts, strict=True)]

        runs, answers = through(Recorder, torch.float32)
        finer, _ = through(WideRecorder, torch.float64)
        levels = [
            (np.concatenate([run.seen[k][0] for run in runs]), step)
            for k, (_, step) in enumerate(runs[0].seen)
        ]
        wide = [np.concatenate([run.seen[k][0] for run in finer]) for k in range(len(levels))]
        held = [*model.named_buffers(), *model.named_parameters()]
        constants = [v for name, v in held if name.startswith("_frozen_param")]
        weights = [w.detach().numpy().reshape(len(w), -1) for w in constants if w.ndim > 1]
        found = torch.cat([a[0] if isinstance(a, tuple | list) else a for a in answers])
        return Integers(
            levels=levels, wide=wide, weights=weights, answers=found.detach().double().numpy()
        )

    return Subject(
        name=f"torchao {bits} bit, a scale a {'channel' if per_channel else 'tensor'}",
        scales=POWERS if powers else OTHERS,
        model=model,
        samples=samples.numpy(),
        integers=integers,
    )


def to_powers(model: Any) -> None:
    """Move every scale of a converted graph to the nearest power of two."""

    def power(scale: float) -> float:
        return float(2.0 ** np.rint(np.log2(scale)))

    for node in model.graph.nodes:
        if "quantize_per_tensor" in str(node.target):
            node.args = (node.args[0], power(float(node.args[1])), *node.args[2:])
    model.recompile()
    for name, value in model.named_buffers():
        if name.startswith("_scale"):
            value.copy_(2.0 ** torch.round(torch.log2(value)))


def whole_biases(model: Any) -> None:
    """Round biases to the steps of their sums, as kernels of integers hold them."""
    for node in model.graph.nodes:
        if str(node.target) not in ("aten.conv2d.default", "aten.linear.default"):
            continue
        x, weight, bias = node.args[:3]
        scales = weight.args[1]
        scales = scales if isinstance(scales, float) else getattr(model, scales.target)
        step = torch.as_tensor(scales).double() * float(x.args[1])
        held = model.get_parameter(bias.target)
        held.data = (torch.round(held.double() / step) * step).to(held.dtype)


class Recorder(torch.fx.Interpreter):
    """Runs a converted graph and keeps the integers of its quantisers of activations."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.seen: list[tuple[np.ndarray, float]] = []

    def call_function(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        result = super().call_function(target, args, kwargs)
        if "quantized_decomposed.quantize_per_tensor" in str(target):
            self.seen.append((result.detach().double().numpy() - args[2], float(args[1])))
        return result


class WideRecorder(Recorder, Wide):
    """Does so in 64-bit floats, which torch's own quantisers do not take."""

    def call_function(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        _, _, name = str(target).partition("quantized_decomposed.")
        if not name:
            return super().call_function(target, args, kwargs)
        x, scale, zero = args[0].double(), args[1], args[2]
        if name.startswith("quantize_per_tensor"):
            low, high = args[3:5]
            levels = torch.clamp(torch.round(x / scale) + zero, low, high)
            self.seen.append((levels.detach().numpy() - zero, float(scale)))
            return levels
        if name.startswith("dequantize_per_channel"):
            along = [-1 if axis == args[3] else 1 for axis in range(x.ndim)]
            scale, zero = scale.double().reshape(along), zero.reshape(along)
        return (x - zero) * scale


# -- compared ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Integers of a framework and of a Design.

    Members
    -------
    unlike, total : levels that differ, and all
    wide : levels that differ from those of the framework's graph run in 64-bit floats
    rounded : of the unlike, those where that graph gives what signfire gives: the framework's own
        32-bit arithmetic rounds them
    weights : weights that differ; those of a read-out with a scale an output, which share one
        that is no multiple of theirs, count by their answers
    answers : greatest difference of the answers, relative to the greatest
    """

    unlike: int
    wide: int
    rounded: int
    total: int
    weights: int
    answers: float


def compared(subject: Subject, options: Options) -> Compared:
    """Convert a subject and compare it with its framework."""
    x, wanted = subject.samples, subject.integers()
    design = calibrate(import_network(subject.model, x), x, options)
    traces = [golden.trace(design, raw).populations for raw in design.raw_samples(x)]
    unlike, beyond, rounded, total, at = 0, 0, 0, 0, -1
    fired = design.populations[:-1]
    for (integers, step), exact in zip(wanted.levels, wanted.wide, strict=True):
        rows, wide = integers.reshape(len(x), -1), exact.reshape(len(x), -1)
        at = next(  # a quantiser of what is rounded already has no population of its own
            k
            for k in (*range(at + 1, len(fired)), at)
            if fired[k].size == rows.shape[1]
            and np.isclose(2 * fired[k].spike_code.unit, step, rtol=1e-5)
        )
        said = np.array([trace[fired[at].name].membranes[-1] for trace in traces])
        low = 0 if fired[at].function == "relu" else -np.inf  # a ReLU behind the rounding is in it
        differs = said != np.maximum(2 * rows, low)
        apart = said != np.maximum(2 * wide, low)
        unlike += int(differs.sum())
        beyond += int(apart.sum())
        rounded += int((differs & ~apart).sum())
        total += rows.size
    scale = design.readout.operands[0].scale
    logits = golden.run(design, design.raw_samples(x)).logits * scale
    greatest = float(np.abs(wanted.answers).max())
    return Compared(
        unlike=unlike,
        wide=beyond,
        rounded=rounded,
        total=total,
        weights=weights_unlike(design, wanted.weights),
        answers=float(np.abs(logits - wanted.answers).max()) / greatest,
    )


def weights_unlike(design: Design, wanted: list[np.ndarray]) -> int:
    """Return how many weights differ from a framework's; those of a read-out up to one factor."""
    trained = [
        (p, q)
        for p in design.populations
        for q in p.sources
        if not q.map.fixed and q.map.weights.any()
    ]
    count = 0
    # A quantiser behind the last layer leaves an identity for the read-out.
    for (population, projection), integers in zip(trained[: len(wanted)], wanted, strict=True):
        found = projection.map.weights
        if population is design.readout:
            factors = found[integers != 0] / integers[integers != 0]
            if not np.array_equal(factors, np.rint(factors)):
                continue  # a scale an output, none of them a multiple of another
            found = np.where(integers == 0, found, integers)
        count += int((found != integers).sum())
    return count


@bench("F4", "quantised models of Brevitas and torchao")
def quantised_models() -> Iterator[Measurement]:
    """Integers unlike the framework's own, by what its scales are."""
    subjects = [
        of_brevitas(bits, narrow=narrow, powers=powers, per_channel=per_channel)
        for bits in (4, 8)
        for narrow in (True, False)
        for powers in (True, False)
        for per_channel in (False, True)
    ]
    subjects += [
        of_torchao(bits, powers=powers, per_channel=per_channel)
        for bits in (4, 8)
        for powers in (True, False)
        for per_channel in (False, True)
    ]
    for scales, options, target in (
        (POWERS, Options(), "== 0"),
        (OTHERS, Options(), "<= 0.001"),
        (OTHERS, Options(multiplier_bits=WIDE), "== 0"),
    ):
        found = {s.name: compared(s, options) for s in subjects if s.scales == scales}
        total = sum(each.total for each in found.values())
        unlike = sum(each.unlike for each in found.values())
        own = sum(each.rounded for each in found.values())
        weights = sum(each.weights for each in found.values())
        bits = f"{scales}, factors of {max(16, options.multiplier_bits)} bits"
        if own:
            yield Measurement(
                what=f"{bits}, levels unlike those of the framework's graph run in 64-bit floats",
                value=sum(each.wide for each in found.values()),
                unit="levels",
                target="== 0" if target == "== 0" else "",
                note=f"of {total:,}; {own} of the {unlike} are rounded by the framework's own "
                "32-bit arithmetic",
            )
        yield Measurement(
            what=f"{bits}, share of unlike levels, {len(found)} models",
            value=unlike / total,
            unit="",
            target=target,
            note=f"{unlike} of {total:,}; {weights} weights unlike; answers within "
            f"{max(each.answers for each in found.values()):.1e} of the greatest",
            details={name: vars(each) for name, each in found.items()},
        )
