"""New weights in a finished build: the contents of memories are replaced after place-and-route.

What comes out is byte for byte what a full build gives of the new Design in the old one's shape,
with the same seed and clock: the netlist that is placed and routed holds nothing of either.
"""

import gc
import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from amaranth.hdl import UnusedElaboratable

from ..gen.core.core import Core
from ..gen.core.shape import refuse_unlike
from ..gen.design.design import Design
from ..gen.design.linkformat import Identity
from .accelerator import IDENTITY, technology_of, with_hash
from .boards import Board, find_board
from .build import RESULT, SHAPE, pack_bitstream, unpack_bitstream
from .contents import ContentsMap, Words
from .finished import read_build
from .nextpnr import BuildError
from .placed import PLACED, PlacedBuild
from .toolchain import PROGRAMS, distribution_version

FILLED = "signfire.placed"

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Reweighted:
    """A bitstream with new contents.

    Parameters
    ----------
    board
        Its name.
    bitstream
        The file to load.
    clock_hz
        Of the core, as in the build.
    roms, words
        Memories that were filled, and words in them; every one was read back from the packed file.
    changed
        Words that differ from the build's.
    seconds
        Time it took.
    """

    board: str
    bitstream: Path
    clock_hz: float
    roms: int
    words: int
    changed: int
    seconds: float


def contents_of(design: Design, board: Board, shape: Design, record: bytes) -> Words:
    """Return what every ROM holds for ``design`` in the shape of another one.

    Parameters
    ----------
    record
        Identity of the build; its hash alone is replaced.
    """
    with warnings.catch_warnings():
        # The components are only asked what their ROMs hold, not turned into hardware.
        warnings.simplefilter("ignore", UnusedElaboratable)
        core = Core(design, technology_of(board), shape)
        words = {name: [int(word) for word in rom.content] for name, rom in core.roms.items()}
        del core
        gc.collect()
    return {**words, IDENTITY: list(with_hash(Identity.from_bytes(record), design).to_bytes())}


def reweight(
    folder: Path | str,
    design: Design,
    output: Path | str,
    *,
    progress: Progress = lambda stage: None,
) -> Reweighted:
    """Put a Design of the same shape into a finished build, without synthesis and place-and-route.

    Every word is read back from the packed file before the result counts as done. ``output`` is
    then a folder like that of a build, and may be reweighted itself; an interrupted run leaves it
    as it was.

    Parameters
    ----------
    folder
        Of the build.
    design
        Its folding does not matter.
    output
        Folder for bitstream and record; it may be ``folder``.

    Raises
    ------
    ValueError
        If the folder holds no whole build of this version, or the Design does not fit its shape.
    """
    start = time.monotonic()
    progress("the build")
    finished = read_build(folder)
    build = PlacedBuild.load(finished.folder)
    _refuse_other_versions(finished.folder, build)
    board = find_board(build.board)
    shape = Design.load(finished.folder / SHAPE)
    refuse_unlike(shape, design, technology_of(board))
    progress("contents of memories")
    if not (finished.folder / FILLED).is_file():
        raise ValueError(f"{finished.folder} has no {FILLED} (run signfire build again)")
    earlier = build.contents.read((finished.folder / FILLED).read_text())
    words = contents_of(design, board, shape, bytes(build.record))
    output = Path(output).absolute()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".reweight") as place:
        work = Path(place)
        (work / FILLED).write_text(build.filled(words))
        progress("bitstream")
        bitstream = pack_bitstream(list(build.pack), FILLED, work)
        progress("read back")
        wrong = unlike(read_packed(bitstream, build.pack[0], build.contents, work), words)
        if wrong:
            raise BuildError(f"the packed file does not hold what it should: {wrong[0]}")
        _write_record(finished.folder, work, bitstream)
        shutil.copy(finished.folder / PLACED, work)
        shape.save(work / SHAPE)
        design.with_folding({p.name: p.folding for p in shape.populations if p.folding}).save(
            work / "design.npz"
        )
        (output / RESULT).unlink(missing_ok=True)
        for path in sorted(work.iterdir(), key=lambda p: p.name == RESULT):  # the record last
            os.replace(path, output / path.name)
    return Reweighted(
        board=board.name,
        bitstream=output / bitstream.name,
        clock_hz=finished.clock_hz,
        roms=len(words),
        words=sum(len(content) for content in words.values()),
        changed=len(unlike(earlier, words)),
        seconds=round(time.monotonic() - start, 2),
    )


def read_packed(
    bitstream: Path, packer: str, contents: ContentsMap, directory: Path
) -> dict[str, list[int]]:
    """Return what every ROM holds in a packed file, unpacked in ``directory``."""
    return contents.read(unpack_bitstream(bitstream, packer, directory))


def unlike(found: Words, expected: Words) -> list[str]:
    """Return one line for every word that is not as expected."""
    return [
        f"word {i} of {name} is {found[name][i]:#x}, not {word:#x}"
        for name, content in expected.items()
        for i, word in enumerate(content)
        if found[name][i] != word
    ]


def _refuse_other_versions(folder: Path, build: PlacedBuild) -> None:
    for name, version in build.versions.items():
        now = distribution_version(PROGRAMS.get(name, name))
        if now != version:
            raise ValueError(
                f"{folder} was built with {name} {version}, and {now or 'none'} is installed "
                f"(install that version, or run signfire build again)"
            )


def _write_record(folder: Path, work: Path, bitstream: Path) -> None:
    """Copy the build's record with the digest of the new bitstream, and a key of no build."""
    record = json.loads((folder / RESULT).read_text())
    digest = hashlib.sha256(bitstream.read_bytes()).hexdigest()
    record |= {"key": f"reweighted {digest}", "bitstream_sha256": digest}
    record["result"] |= {"bitstream": bitstream.name, "logs": {}}
    (work / RESULT).write_text(json.dumps(record, indent=1))
