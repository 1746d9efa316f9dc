"""What a folder says of its build is checked before anything is made of it."""

import hashlib
import json
import lzma

import pytest

from signfire.boards.build import FORMAT_VERSION, RESULT
from signfire.boards.finished import read_build
from signfire.boards.placed import PLACED, PlacedBuild

GOOD = {"board": "icebreaker", "bitstream": "signfire.bin", "clock_hz": 12e6}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "signfire.bin").write_bytes(b"bits")
    return tmp_path


def write(folder, **changes) -> None:
    record = {
        "format": FORMAT_VERSION,
        "bitstream_sha256": hashlib.sha256(b"bits").hexdigest(),
        "result": GOOD | changes,
    }
    (folder / RESULT).write_text(json.dumps(record))


def test_a_whole_build_is_read(folder) -> None:
    write(folder)

    assert "icebreaker" == read_build(folder).board.name


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"3", b"null", b'"x"', b"{", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"format": 1}'],
)
def test_a_record_that_is_none_is_one_line(folder, content) -> None:
    (folder / RESULT).write_bytes(content)

    with pytest.raises(ValueError, match=rf"{RESULT} is not what signfire writes \(build again\)$"):
        read_build(folder)


@pytest.mark.parametrize(
    "changes",
    [
        *({"board": board} for board in (3, None, ["icebreaker"])),
        *({"bitstream": b} for b in (3, None, "../signfire.bin", "/etc/passwd", "a\0b", "", "..")),
        *({"clock_hz": c} for c in ("x", None, [], -5, 0, float("nan"), float("inf"), "9" * 400)),
    ],
    ids=str,
)
def test_a_record_of_another_kind_is_one_line(folder, changes) -> None:
    write(folder, **changes)

    with pytest.raises(ValueError, match=rf"{RESULT} is not what signfire writes \(build again\)$"):
        read_build(folder)


def placed(folder, head, body: str) -> None:
    text = head if isinstance(head, str) else json.dumps(head)
    (folder / PLACED).write_bytes(lzma.compress(f"{text}\n{body}".encode()))


@pytest.mark.parametrize("body", ["{}", "[]", "3", "[" * 100_000, '{"board": 3}', "x"])
def test_a_placed_build_that_is_none_is_one_line(folder, body) -> None:
    from signfire.boards.placed import FORMAT_VERSION as PLACED_VERSION

    digest = hashlib.sha256(body.encode()).hexdigest()
    heads = [{"format": PLACED_VERSION, "sha256": digest}, {"sha256": digest}, [], 3, "[" * 99_999]
    for head in heads:
        placed(folder, head, body)
        with pytest.raises(ValueError, match=r"run signfire build again$"):
            PlacedBuild.load(folder)


@pytest.mark.parametrize("content", [b"", b"text", lzma.compress(b"one line"), b"\xfd7zXZ\0"])
def test_a_placed_build_that_is_no_archive_is_one_line(folder, content) -> None:
    (folder / PLACED).write_bytes(content)

    with pytest.raises(ValueError, match=r"run signfire build again$"):
        PlacedBuild.load(folder)
