"""Data files: arrays, tables and folders of images, with labels and without."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from signfire.gen.model.heads import Classes, Head, Threshold, Values
from signfire.tools.dataset import load


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def design(make_design):
    """Make a design of 3 inputs and 2 classes called good and bad."""
    made = make_design(sizes=(3, 4, 2))
    return made.with_head(Head(outputs=(Classes(shape=(2,), names=("good", "bad")),)))


GOOD = "a,b,c,label\n1,2,3,good\n4,5,6.5,bad\n"


def test_a_table_gives_samples_and_classes_by_its_header(tmp_path) -> None:
    found = load(table(tmp_path / "t.csv", GOOD))

    assert found.x.tolist() == [[1, 2, 3], [4, 5, 6.5]]
    assert found.columns == ("a", "b", "c")
    assert (found.names, found.classes.tolist()) == (("bad", "good"), [1, 0])  # by the alphabet


@pytest.mark.parametrize("text", [GOOD.replace(",", ";"), GOOD.replace(",", "\t"), "\ufeff" + GOOD])
def test_tables_of_other_programs_are_read(tmp_path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")

    assert load(path).x.tolist() == [[1, 2, 3], [4, 5, 6.5]]


def test_words_are_the_classes_of_the_design(tmp_path, design) -> None:
    found = load(table(tmp_path / "t.csv", GOOD), design=design)

    assert found.classes.tolist() == [0, 1]


def test_columns_go_where_the_design_was_calibrated_on_them(tmp_path, design) -> None:
    known = replace(design, provenance={"columns": ["c", "a", "b"]})

    found = load(table(tmp_path / "t.csv", GOOD), design=known)

    assert found.x.tolist() == [[3, 1, 2], [6.5, 4, 5]]


def test_a_column_that_is_missing_is_named(tmp_path, design) -> None:
    known = replace(design, provenance={"columns": ["a", "b", "speed"]})

    with pytest.raises(ValueError, match="has no column 'speed', which the design was calibrated"):
        load(table(tmp_path / "t.csv", GOOD), design=known)


@pytest.mark.parametrize(
    ("options", "x", "y"),
    [
        ({"labels": "c"}, [1, 2], [3, 6.5]),
        ({"labels": "b, c"}, [1], [[2, 3], [5, 6.5]]),
        ({"inputs": "b,a", "labels": "c"}, [2, 1], [3, 6.5]),
    ],
)
def test_columns_of_a_table_are_chosen_by_name(tmp_path, options, x, y) -> None:
    path = table(tmp_path / "t.csv", "a,b,c\n1,2,3\n4,5,6.5\n")

    found = load(path, **options)

    assert found.classes.tolist() == y
    assert found.x[0].tolist() == x


def test_a_column_of_labels_is_no_value_of_a_sample_though_nobody_looks_at_it(tmp_path) -> None:
    found = load(table(tmp_path / "t.csv", GOOD), need_labels=False)

    assert found.y is None and found.x.shape == (2, 3)


BAD_TABLES = {
    "": "{path} is empty",
    "1,2,3\n4,5,6\n": "the first line of {path} must name its columns, and it holds numbers (put a "
    "line of names before it)",
    "a,a\n1,2\n": "two columns of {path} are called 'a'",
    "a,b\n": "{path} has no line but the one that names its columns",
    "a,b\n1,2\n3\n": "line 3 of {path} has 1 cells, and its first line names 2 columns",
    "a,b\n1,2\n3,x\n": "line 3 of {path}: column 'b' holds no number: 'x'",
    "a,b\n1,2\n\n3,\n": "line 4 of {path}: column 'b' is empty",
    "a,b,y\n1,2,0\n3,4,\n": "line 3 of {path} has no label",
    "a,b\n1,2\n3,nan\n": "samples must be finite: {path} holds nan at line 3, column 'b' (leave "
    "the row out, or fill it in)",
}


@pytest.mark.parametrize("text", BAD_TABLES)
def test_what_is_wrong_with_a_table_is_said_by_line_and_column(tmp_path, text: str) -> None:
    path = table(tmp_path / "t.csv", text)

    with pytest.raises(ValueError) as caught:
        load(path, need_labels=None)

    assert str(caught.value) == BAD_TABLES[text].format(path=path)


def test_groups_are_a_column_an_array_or_so_many_in_a_row(tmp_path) -> None:
    table, arrays = tmp_path / "data.csv", tmp_path / "data.npz"
    table.write_text("a,clip,b,label\n1,south,2,0\n3,north,4,1\n5,south,6,0\n")
    np.savez(arrays, x=np.eye(3), clip=np.array([7, 5, 7]))

    of_table = load(table, need_labels=None, groups="clip")
    of_array = load(arrays, need_labels=None, groups="clip")

    assert of_table.groups.tolist() == of_array.groups.tolist() == [1, 0, 1]
    assert of_table.columns == ("a", "b") and of_table.y.tolist() == [0, 1, 0]
    assert of_table.first(2).groups.tolist() == [1, 0]
    assert load(arrays, need_labels=None, groups="2").groups.tolist() == [0, 0, 1]
    assert load(arrays, need_labels=None).groups is None
    message = r"data\.npz has no array or column 'take' of groups \(--groups takes its name, or how"
    with pytest.raises(ValueError, match=message):
        load(arrays, need_labels=None, groups="take")


def test_flat_samples_take_a_shape_of_as_many_values(tmp_path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,b,c,d\n1,2,3,4\n5,6,7,8\n")

    data = load(path, need_labels=None).shaped((1, 2, 2))

    assert data.x.shape == (2, 1, 2, 2) and data.x[1, 0, 1].tolist() == [7, 8]
    with pytest.raises(ValueError, match=r"has 4 values, and --sample-shape 1,2,3 has 6$"):
        data.shaped((1, 2, 3))


def test_labels_that_are_not_named_are_asked_for(tmp_path, design) -> None:
    path = table(tmp_path / "t.csv", "a,b,c,outcome\n1,2,3,good\n")

    with pytest.raises(ValueError, match=r"\(if one of its columns holds labels, name it: --label"):
        load(path, need_labels=None, design=design)
    with pytest.raises(ValueError, match="has no column 'verdict'; it has a, b, c, outcome"):
        load(path, labels="verdict")


def test_a_nan_is_named_by_row_and_column(tmp_path) -> None:
    x = np.zeros((4, 2, 3))
    x[2, 1, 0] = np.nan
    np.savez(tmp_path / "d.npz", x=x)
    np.save(tmp_path / "d.npy", x[:, 1])

    with pytest.raises(ValueError, match=r"d.npz holds nan at row 2, value \(1, 0\) \(counted"):
        load(tmp_path / "d.npz", need_labels=None)
    with pytest.raises(ValueError, match=r"d.npy holds nan at row 2, value 0 \(counted from 0\)"):
        load(tmp_path / "d.npy", need_labels=None)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_single_array_is_samples(tmp_path, order) -> None:
    x = np.arange(24.0).reshape(4, 2, 3).astype(">f4", order=order)
    np.save(tmp_path / "d.npy", x)

    found = load(tmp_path / "d.npy", need_labels=None, samples=3)

    assert found.x.tolist() == x[:3].tolist() and found.y is None


def test_a_single_array_of_objects_is_refused_unread(tmp_path) -> None:
    np.save(tmp_path / "d.npy", np.array([[{}]], object), allow_pickle=True)

    with pytest.raises(ValueError, match="it holds Python objects, which could run code"):
        load(tmp_path / "d.npy", need_labels=None)


def test_a_single_array_that_is_cut_is_refused(tmp_path) -> None:
    np.save(tmp_path / "d.npy", np.zeros((4, 3)))
    whole = (tmp_path / "d.npy").read_bytes()
    (tmp_path / "d.npy").write_bytes(whole[:-8])

    with pytest.raises(ValueError, match=r"which is 96 bytes, and holds 88 bytes"):
        load(tmp_path / "d.npy", need_labels=None)


def test_labels_are_taken_where_there_are_some_and_demanded_where_they_are_named(tmp_path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 3)), target=np.arange(4))

    assert load(tmp_path / "d.npz", need_labels=None).classes.tolist() == [0, 1, 2, 3]
    assert load(tmp_path / "d.npz", need_labels=False).y is None
    with pytest.raises(ValueError, match="has no array 'z'; it holds 'x', 'target'"):
        load(tmp_path / "d.npz", labels="z", need_labels=None)


def test_words_of_an_archive_are_classes(tmp_path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((3, 2)), y=np.array(["dog", "cat", "dog"]))

    found = load(tmp_path / "d.npz")

    assert (found.names, found.classes.tolist()) == (("cat", "dog"), [1, 0, 1])


def test_a_word_that_is_no_class_is_named(tmp_path, design) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 3)), y=np.array(["good", "odd"]))

    message = "has the label 'odd', and the classes of 'random0' are good, bad$"
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "d.npz", design=design)


def test_words_without_names_in_the_design_are_not_guessed(tmp_path, make_design) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 3)), y=np.array(["a", "b"]))

    with pytest.raises(
        ValueError, match=r"labels of .* are words, a, b, and 'random0' does not sa"
    ):
        load(tmp_path / "d.npz", design=make_design(sizes=(3, 4, 3)))


def test_several_outputs_have_labels_of_their_names(tmp_path, make_design) -> None:
    outputs = (Values(shape=(1,), name="size"), Threshold(shape=(1,), name="alarm", start=1))
    design = make_design(sizes=(3, 4, 2)).with_head(Head(outputs=outputs))
    size, alarm = np.array([1.5, 2.5]), np.array([0, 1])
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 3)), size=size, y_alarm=alarm)

    found = load(tmp_path / "d.npz", design=design, need_labels=None)

    assert found.truth(outputs[0], "net").ravel().tolist() == [1.5, 2.5]  # pyright: ignore
    assert found.truth(outputs[1], "net").tolist() == [0, 1]  # pyright: ignore


# -- folders of images ---------------------------------------------------------------------------


def images(folder: Path, mode: str = "L", size=(4, 2)) -> Path:
    """Write two classes of images; their first pixel is black, their last one white."""
    for word, count in (("dent", 2), ("good", 3)):
        (folder / word).mkdir(parents=True)
        for k in range(count):
            pixels = np.zeros((size[1], size[0], *([3] if mode == "RGB" else [])), np.uint8)
            pixels[-1, -1] = 255
            pixels[0, 1] = 51
            Image.fromarray(pixels, mode).save(folder / word / f"{k}.png")
    return folder


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_a_folder_has_a_class_for_each_of_its_folders(tmp_path, mode, channels) -> None:
    found = load(images(tmp_path / "data", mode))

    assert (found.x.shape, found.x.dtype) == ((5, channels, 2, 4), np.float32)
    assert (found.names, found.classes.tolist()) == (("dent", "good"), [0, 0, 1, 1, 1])
    assert found.x[0, 0].tolist() == [[0, np.float32(0.2), 0, 0], [0, 0, 0, 1]]
    assert found.rows[2] == "good/0.png"


def test_pixels_go_up_to_255_where_that_is_asked_for(tmp_path) -> None:
    assert load(images(tmp_path / "data"), white=255).x.max() == 255


def test_some_images_of_a_folder_are_of_every_class(tmp_path) -> None:
    assert load(images(tmp_path / "data"), samples=2).classes.tolist() == [0, 1]


def test_images_without_folders_have_no_labels(tmp_path) -> None:
    found = load(images(tmp_path / "data") / "good", need_labels=None)

    assert (len(found), found.y) == (3, None)


def test_classes_of_images_are_those_of_the_design(tmp_path, make_design) -> None:
    design = make_design(sizes=(8, 4, 3))
    names = ("scratch", "good", "dent")
    known = design.with_head(Head(outputs=(Classes(shape=(3,), names=names),)))

    assert load(images(tmp_path / "data"), design=known).classes.tolist() == [2, 2, 1, 1, 1]


def test_images_of_two_sizes_are_named(tmp_path) -> None:
    folder = images(tmp_path / "data")
    Image.new("L", (5, 2)).save(folder / "good" / "9.png")

    with pytest.raises(ValueError, match=r"images must have one size: .*0.png has 4 x 2 pixels, "):
        load(folder)


@pytest.mark.parametrize("name", ["text.png", "postscript.jpg"])
def test_a_file_that_is_no_image_is_named(tmp_path, name: str) -> None:
    folder = images(tmp_path / "data")
    head = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 2\n" if "script" in name else "text"
    (folder / "good" / name).write_text(head)

    with pytest.raises(ValueError, match=rf"{name} is no image that can be read \(Unidentified"):
        load(folder)


def test_a_folder_without_images_is_refused(tmp_path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(ValueError, match=r"^the class 'empty' of .* has no images \(\.png, "):
        load(tmp_path)
