"""Benches of group G: speed, of hardware and of the software around it."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..gen.convert.calibrate import calibrate
from ..gen.convert.options import Options
from ..gen.design.design import Design
from ..gen.design.folding import Folding
from ..sim import golden
from ..sim.specimens.chains import random_design
from . import api
from .bench_beyond import (
    KEYWORD_INPUT,
    KEYWORD_OWN,
    KEYWORD_SAMPLES,
    KEYWORD_STEPS,
    keyword_features,
)
from .bench_conv import converted, model_of, resnet8
from .embed import generate
from .measure import Measurement, bench, example, open_data

TITLE = "Speed"
BATCHES = (64, 512)  # images that golden model and torch answer at a time
IN_TURN = 9  # runs of either, one after the other, of which the best counts
LARGE = (2048, 1024, 1024, 960, 8)  # neurons of a perceptron of 4.1 million weights
LARGE_FOLDING = Folding(pe=4, simd=16, unroll=1)
BYTES = {"linux": 1024, "darwin": 1}  # in a unit of ru_maxrss
PEAK = f"""
import resource, sys
from {__package__}.bench_speed import {{work}}
{{work}}()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


# -- golden model beside torch -----------------------------------------------------------------


def images_per_second(
    works: dict[str, Callable[[], object]], images: int, turns: int = IN_TURN
) -> dict[str, float]:
    """Return images a second of processor time, the best of turns that works take one by one."""
    least = dict.fromkeys(works, np.inf)
    for _ in range(turns):
        for name, work in works.items():
            start = time.process_time()
            work()
            least[name] = min(least[name], time.process_time() - start)
    return {name: images / seconds for name, seconds in least.items()}


def beside_torch(
    model: api.Model, design: Design, x: np.ndarray, batch: int, turns: int = IN_TURN
) -> tuple[float, float]:
    """Return images a second of the golden model and of torch in float32, both on one core.

    Either gets the samples as it takes them: integers of the bits that the input has, and floats.
    """
    import torch
    from torch import nn

    from ..gen.front.loading import load_model

    module: Any = load_model(model.spec, model.weights)
    assert isinstance(module, nn.Module), "the models of these benches are modules"
    module.eval()
    raw = design.raw_samples(x)
    fmt = design.input_format
    raw = raw.astype(np.promote_types(np.min_scalar_type(fmt.low), np.min_scalar_type(fmt.high)))
    floats = torch.from_numpy(x.astype(np.float32))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def answer() -> None:
        with torch.inference_mode():
            for part in floats.split(batch):
                module(part)

    try:
        found = images_per_second(
            {"golden": lambda: golden.run(design, raw, batch=batch), "torch": answer},
            len(x),
            turns,
        )
    finally:
        torch.set_num_threads(threads)
    return found["golden"], found["torch"]


def at_the_best_of_torch(
    what: str, model: api.Model, design: Design, x: np.ndarray, least: float
) -> Iterator[Measurement]:
    """Yield both speeds and their ratio, at the batch at which torch is fastest."""
    found = {batch: beside_torch(model, design, x, batch) for batch in BATCHES}
    batch = max(found, key=lambda size: found[size][1])
    integers, floats = found[batch]
    yield Measurement(what=f"golden model, {what}", value=round(integers), unit="images/s")
    yield Measurement(
        what=f"torch, {what}", value=round(floats), unit="images/s", note=f"batches of {batch}"
    )
    yield Measurement(
        what=f"golden model by torch, {what}",
        value=round(integers / floats, 2),
        unit="times",
        target=f">= {least:g}",
        note=", ".join(f"{a / b:.2f} in batches of {size}" for size, (a, b) in found.items()),
    )


# -- memory ------------------------------------------------------------------------------------


def convert_keywords() -> None:
    """Convert KWT1, as the bench of its accuracy does."""
    from ..gen.front.export import import_network

    model, features, _, _ = keyword_features()
    network = import_network(model, features[:8], "kwt1")
    options = Options(steps=KEYWORD_STEPS, weight_bits=8, samples=KEYWORD_SAMPLES, **KEYWORD_INPUT)
    calibrate(network, features[:KEYWORD_OWN], options)


def generate_large() -> None:
    """Write the Verilog of a perceptron of 4.1 million random weights."""
    layers = [f"fc{k}" for k in range(1, len(LARGE))]
    design = random_design(sizes=LARGE, folding=dict.fromkeys(layers, LARGE_FOLDING))
    with tempfile.TemporaryDirectory() as folder:
        generate(design, Path(folder))


def peak_gb(work: Callable[[], None]) -> float:
    """Return the most memory that a process of its own holds for ``work``, in GB."""
    code = PEAK.format(work=work.__name__)
    ended = subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True
    )
    return int(ended.stdout.split()[-1]) * BYTES[sys.platform] / 1e9


@bench("G10", "Software: speed of the golden model, memory of convert and generate")
def software() -> Iterator[Measurement]:
    """Golden model beside torch float on one core in one run; peak memory of a process each."""
    data = open_data("mnist_test_open.npz")
    perceptron = example(128)
    design = api.convert(perceptron).design
    yield from at_the_best_of_torch("784-128-10", perceptron, design, data.x, 1.0)
    task = resnet8()
    design = converted(resnet8, steps=6, weight_bits=8)
    yield from at_the_best_of_torch("ResNet8", model_of(task), design, task.test.x, 0.5)
    yield Measurement(
        what="peak memory of convert, KWT1",
        value=round(peak_gb(convert_keywords), 2),
        unit="GB",
        target="<= 1",
    )
    yield Measurement(
        what="peak memory of generate, 4.1 million weights",
        value=round(peak_gb(generate_large), 2),
        unit="GB",
        target="<= 0.5",
    )
