"""Other weights in a finished build: the file of a full rebuild, and clean refusals."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from signfire.boards import reweight as module
from signfire.boards.boards import find_board
from signfire.boards.build import SHAPE, build
from signfire.boards.placed import PLACED, PlacedBuild
from signfire.boards.reweight import contents_of, read_packed, reweight, unlike
from signfire.gen.design.design import Design
from signfire.sim.specimens.chains import random_chip, random_design

BOARDS = ("icebreaker", "ulx3s-25f")
FREQUENCY = 25e6  # as in the tests of the readback, so that one build serves both


def retrained(design: Design) -> Design:
    """Return a Design of the same shape: each output has the weights and bias of another one."""
    populations = []
    for p in design.populations:
        operands = []
        for o in p.operands:
            (q,) = o.projections
            weights = q.map.weights[::-1].copy()
            weights[0] = -weights[0]
            q = replace(q, map=q.map.with_weights(weights))
            operands.append(replace(o, projections=(q,), bias=-o.bias[::-1]))
        populations.append(replace(p, operands=tuple(operands)))
    return replace(design, name="retrained", populations=tuple(populations))


# 1,280 words lie in block RAM, everything else in look-up tables.
ORIGINAL = random_chip()
RETRAINED = retrained(ORIGINAL)


@dataclass(frozen=True)
class Built:
    """A build, and the folder of its board's tests."""

    board: str
    folder: Path
    bitstream: Path


@pytest.fixture(scope="module", params=BOARDS)
def built(request, tmp_path_factory) -> Built:
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    result = build(ORIGINAL, find_board(name), folder / "build", frequency=FREQUENCY)
    return Built(name, folder, result.bitstream)


@pytest.fixture(scope="module")
def reweighted(built) -> module.Reweighted:
    return reweight(built.bitstream.parent, RETRAINED, built.folder / "new")


def test_the_file_is_that_of_a_full_rebuild_of_the_same_shape(built, reweighted) -> None:
    rebuilt = build(
        RETRAINED,
        find_board(built.board),
        built.folder / "rebuilt",
        shape=ORIGINAL,
        frequency=FREQUENCY,
    )

    assert rebuilt.bitstream.read_bytes() == reweighted.bitstream.read_bytes()
    assert built.bitstream.read_bytes() != reweighted.bitstream.read_bytes()
    assert 6 == reweighted.roms
    assert 200 < reweighted.changed < reweighted.words


def test_memories_lie_in_block_ram_and_in_look_up_tables(built) -> None:
    grids = PlacedBuild.load(built.bitstream.parent).contents.grids

    assert "block" == grids["fc1 weights"].kind
    assert {"logic"} == {grid.kind for name, grid in grids.items() if name != "fc1 weights"}


def test_a_result_takes_the_old_weights_again(built, reweighted) -> None:
    again = reweight(reweighted.bitstream.parent, ORIGINAL, built.folder / "again")

    assert built.bitstream.read_bytes() == again.bitstream.read_bytes()


def test_a_wrong_word_of_each_memory_of_the_packed_file_is_noticed(built, tmp_path) -> None:
    placed = PlacedBuild.load(built.bitstream.parent)
    board = find_board(built.board)
    words = contents_of(ORIGINAL, board, ORIGINAL, bytes(placed.record))
    roms = ["fc1 weights", "fc2 weights", "fc1 eta", "identity"]
    wrong = words | {rom: [words[rom][0] ^ 1, *words[rom][1:]] for rom in roms}
    (tmp_path / "wrong").write_text(placed.filled(wrong))
    packed = module.pack_bitstream(list(placed.pack), "wrong", tmp_path)

    found = unlike(read_packed(packed, placed.pack[0], placed.contents, tmp_path), words)

    assert sorted(found) == sorted(
        f"word 0 of {rom} is {wrong[rom][0]:#x}, not {words[rom][0]:#x}" for rom in roms
    )


def test_what_was_not_packed_as_it_should_leaves_no_result(built, monkeypatch) -> None:
    monkeypatch.setattr(module, "read_packed", lambda *_: {**contents(built), "fc1 eta": [1, 1]})

    with pytest.raises(ValueError, match="the packed file does not hold what it should: word 0 of"):
        reweight(built.bitstream.parent, RETRAINED, built.folder / "wrong")

    assert [] == list((built.folder / "wrong").iterdir())


def contents(built: Built):
    placed = PlacedBuild.load(built.bitstream.parent)
    return contents_of(RETRAINED, find_board(built.board), ORIGINAL, bytes(placed.record))


def test_an_interrupted_run_leaves_the_folder_as_it_was(built, reweighted, monkeypatch) -> None:
    folder = reweighted.bitstream.parent
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "pack_bitstream", interrupt)
    with pytest.raises(KeyboardInterrupt):
        reweight(built.bitstream.parent, ORIGINAL, folder)

    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_design_that_does_not_fit_is_refused_before_anything_is_written(built) -> None:
    other = random_design(seed=1, sizes=(64, 20, 2), steps=3)

    with pytest.raises(ValueError, match="'fc1' must have T = 2, not 3"):
        reweight(built.bitstream.parent, other, built.folder / "none")

    assert not (built.folder / "none").exists()


def test_a_build_of_other_versions_is_refused(built, monkeypatch) -> None:
    monkeypatch.setattr(module, "distribution_version", lambda _: "0.1")

    with pytest.raises(ValueError, match=r"was built with .*, and 0\.1 is installed"):
        reweight(built.bitstream.parent, RETRAINED, built.folder / "none")


def test_folders_that_are_not_whole_are_refused(built, tmp_path) -> None:
    """Runs last: it takes the build apart."""
    folder = built.bitstream.parent
    with pytest.raises(ValueError, match="holds no finished build"):
        reweight(tmp_path, RETRAINED, tmp_path / "none")
    record = json.loads((folder / "result.json").read_text())

    damaged = bytearray((folder / PLACED).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (folder / PLACED).write_bytes(damaged)
    with pytest.raises(ValueError, match=r"placed\.xz is damaged .*: run signfire build again"):
        reweight(folder, RETRAINED, tmp_path / "none")
    (folder / PLACED).unlink()
    with pytest.raises(ValueError, match=r"is no folder of a finished build: it has no placed\.xz"):
        reweight(folder, RETRAINED, tmp_path / "none")

    assert built.board == record["result"]["board"]
    assert (folder / SHAPE).exists()


def test_words_that_are_not_as_expected_are_named():
    expected = {"fc1 weights": (3, 255, 0), "identity": (1,)}

    assert [] == unlike(expected | {"more": (9,)}, expected)
    assert [
        "word 1 of fc1 weights is 0xfe, not 0xff",
        "word 2 of fc1 weights is 0x10, not 0x0",
        "word 0 of identity is 0x0, not 0x1",
    ] == unlike({"fc1 weights": (3, 254, 16), "identity": (0,)}, expected)
