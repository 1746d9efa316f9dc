"""Models of several inputs: parts of a sample, from the arguments of forward to the integers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.core.plans import no_hardware
from signfire.gen.design.design import Design
from signfire.gen.front.export import import_network
from signfire.gen.model.inputs import Part, joined, joined_shape, taken_apart
from signfire.tools import api, watch
from signfire.tools.dataset import load

PRECISE = Options(steps=6, weight_bits=8, input_steps=8)


class Twins(nn.Module):
    """Two images through one network, compared."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4))
        self.out = nn.Linear(4, 2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.out(torch.abs(self.body(left) - self.body(right)))


class ImageAndTable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.planes = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
        )
        self.row = nn.Linear(3, 4)
        self.out = nn.Linear(12, 2)

    def forward(self, image: Tensor, table: Tensor) -> Tensor:
        return self.out(torch.cat([self.planes(image), torch.relu(self.row(table))], 1))


def drawn(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.random((60, *shape)).astype(np.float32) for name, shape in shapes.items()}


def exact(model: nn.Module, arrays: dict[str, np.ndarray]) -> np.ndarray:
    with torch.no_grad():
        return model(**{name: torch.from_numpy(a) for name, a in arrays.items()}).numpy()


def parts_of(arrays: dict[str, np.ndarray]) -> list[Part]:
    return [Part(name=name, shape=array.shape[1:]) for name, array in arrays.items()]


@pytest.mark.parametrize(
    ("shapes", "together"),
    [
        ([(1, 4, 4), (2, 4, 4)], (3, 4, 4)),
        ([(1, 4, 4), (1, 4, 5)], (36,)),
        ([(3,), (5,)], (8,)),
        ([(1, 4, 4), (4,)], (20,)),
    ],
)
def test_parts_lie_one_after_the_other(shapes, together) -> None:
    parts = [Part(name=str(k), shape=shape) for k, shape in enumerate(shapes)]
    arrays = [np.random.default_rng(k).random((5, *shape)) for k, shape in enumerate(shapes)]

    found = joined(arrays)

    assert found.shape == (5, *joined_shape(parts)) == (5, *together)
    for array, again in zip(arrays, taken_apart(found, parts), strict=True):
        assert np.array_equal(array, again)


@pytest.mark.parametrize(
    ("make", "shapes"),
    [
        (Twins, {"left": (1, 4, 4), "right": (1, 4, 4)}),
        (Twins, {"right": (1, 4, 4), "left": (1, 4, 4)}),
        (ImageAndTable, {"image": (1, 4, 4), "table": (3,)}),
        (ImageAndTable, {"table": (3,), "image": (1, 4, 4)}),
    ],
)
def test_inputs_go_to_the_arguments_of_their_names(make, shapes) -> None:
    model, arrays = make(), drawn(**shapes)
    together = joined(list(arrays.values()))

    network = import_network(model, together, inputs=parts_of(arrays))

    assert np.allclose(network.answers(together), exact(model, arrays), atol=1e-4)
    assert [part.name for part in network.inputs] == list(shapes)


def test_inputs_of_other_names_go_in_their_order() -> None:
    model, arrays = Twins(), drawn(a=(1, 4, 4), b=(1, 4, 4))
    together = joined(list(arrays.values()))

    network = import_network(model, together, inputs=parts_of(arrays))

    wanted = exact(model, {"left": arrays["a"], "right": arrays["b"]})
    assert np.allclose(network.answers(together), wanted, atol=1e-4)


def test_a_program_of_several_inputs_is_read() -> None:
    model, arrays = Twins().eval(), drawn(left=(1, 4, 4), right=(1, 4, 4))
    program = torch.export.export(model, tuple(torch.zeros(7, 1, 4, 4) for _ in range(2)))
    together = joined(list(arrays.values()))

    network = import_network(program, together, inputs=parts_of(arrays))

    assert np.allclose(network.answers(together), exact(model, arrays), atol=1e-4)
    with pytest.raises(ValueError, match=r"forward with 2 inputs, not with one \(give an array of"):
        import_network(program, together)


@pytest.fixture
def file(tmp_path):
    arrays = drawn(image=(1, 4, 4), table=(3,))
    arrays["table"] *= 100  # another range than that of the image
    np.savez(tmp_path / "d.npz", **arrays, y=exact(ImageAndTable(), arrays).argmax(axis=1))
    return tmp_path / "d.npz", arrays


def test_arrays_of_a_file_are_the_inputs_of_a_design(file, tmp_path) -> None:
    path, arrays = file
    data = load(path, inputs="image,table")

    design = api.convert(ImageAndTable(), data, PRECISE, judge=False).design
    design.save(tmp_path / "design.npz")
    again = Design.load(tmp_path / "design.npz")

    assert [(p.name, p.shape) for p in again.inputs] == [("image", (1, 4, 4)), ("table", (3,))]
    assert no_hardware(again) is None
    found = load(path, design=again)  # it knows the names
    assert np.array_equal(found.x, data.x)
    assert api.evaluate(again, found).accuracy > 0.95
    answers = api.predict(again, arrays)[""]["output"]
    assert np.corrcoef(answers.ravel(), exact(ImageAndTable(), arrays).ravel())[0, 1] > 0.99


def test_what_is_wrong_with_inputs_is_named(file, tmp_path) -> None:
    path, arrays = file
    design = api.convert(ImageAndTable(), load(path, inputs="image,table"), PRECISE, judge=False)
    cut = {name: array for name, array in arrays.items() if name != "table"}
    for arrays_of_file, message in (
        (cut, "has no array 'table'; it holds 'image'"),
        ({**arrays, "table": arrays["table"][:9]}, "as many samples each, not image 60, table 9"),
        ({**arrays, "table": arrays["table"][:, :2]}, r"'table' has shape \(3,\), and 'table' of "),
        ({**arrays, "table": arrays["table"] * np.nan}, "row 0, value 0 of 'table'"),
    ):
        np.savez(tmp_path / "bad.npz", **arrays_of_file)
        with pytest.raises(ValueError, match=message):
            load(tmp_path / "bad.npz", design=design.design, need_labels=None)
    for given, message in (
        (cut, "^the input 'table' is missing; there are image, table$"),
        ({**arrays, "mask": arrays["table"]}, "has no input 'mask'; it has image, table$"),
        ({**arrays, "table": arrays["image"]}, r"'table' has samples of shape \(3,\), not \(1, 4"),
    ):
        with pytest.raises(ValueError, match=message):
            api.predict(design.design, given)


def test_a_line_of_a_stream_holds_the_inputs_by_name(file) -> None:
    path, arrays = file
    data = load(path, inputs="image,table")
    design = api.convert(ImageAndTable(), data, PRECISE, judge=False).design
    image, table = arrays["image"][0].tolist(), arrays["table"][0].tolist()

    (sample,) = watch.of_lines(design, [f'{{"table": {table}, "image": {image}, "y": 1}}'])

    assert sample.raw is not None, sample.error
    assert sample.raw.tolist() == design.raw_samples(data.x[:1])[0].tolist()
    assert sample.expected == 1


def test_inputs_are_no_part_of_the_hash() -> None:
    arrays = drawn(left=(1, 4, 4), right=(1, 4, 4))
    network = import_network(Twins(), joined(list(arrays.values())), inputs=parts_of(arrays))
    design = calibrate(network, joined(list(arrays.values())), PRECISE)
    assert replace(design, inputs=()).hash == design.hash
    with pytest.raises(ValueError, match=r"^the inputs have 3 values, and a sample 32$"):
        replace(design, inputs=(Part(name="x", shape=(3,)),))
