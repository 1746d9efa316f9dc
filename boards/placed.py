"""What a build leaves behind so that its memories can be filled anew: one file, whole or absent."""

import hashlib
import json
import lzma
import os
from dataclasses import dataclass
from pathlib import Path

from .contents import FORMAT_VERSION, ContentsMap, Words

PLACED = "placed.xz"


# What reading a file that something else has written to raises.
_DAMAGE = (
    *(AttributeError, EOFError, LookupError, OSError, RecursionError, TypeError, ValueError),
    lzma.LZMAError,
)


@dataclass(frozen=True, kw_only=True)
class PlacedBuild:
    """A placed and routed design before its memories are filled.

    Parameters
    ----------
    board
        Name of the board.
    contents
        Where each word lies.
    placed
        Text of the file that the packer takes, the memories empty.
    pack
        The packer's command, as amaranth planned it.
    versions
        Program or library to version.
    record
        The identity record's bytes; another Design changes its hash alone.
    """

    board: str
    contents: ContentsMap
    placed: str
    pack: tuple[str, ...]
    versions: dict[str, str]
    record: tuple[int, ...]

    def filled(self, words: Words) -> str:
        """Return the placed file with the memories filled."""
        return self.contents.written(self.placed, words)

    def save(self, directory: Path) -> None:
        """Write the build into a folder; the file appears whole or not at all."""
        body = json.dumps(
            {
                "board": self.board,
                "contents": self.contents.to_json(),
                "placed": self.placed,
                "pack": self.pack,
                "versions": self.versions,
                "record": self.record,
            }
        )
        digest = hashlib.sha256(body.encode()).hexdigest()
        head = json.dumps({"format": FORMAT_VERSION, "sha256": digest})
        partial = directory / f"{PLACED}.part"
        partial.write_bytes(lzma.compress(f"{head}\n{body}".encode(), preset=1))
        os.replace(partial, directory / PLACED)

    @classmethod
    def load(cls, directory: Path) -> "PlacedBuild":
        """Read the build of a folder.

        Raises
        ------
        ValueError
            If there is none, or it is damaged or of another version.
        """
        path = directory / PLACED
        try:
            head, body = lzma.decompress(path.read_bytes()).decode().split("\n", 1)
            head = json.loads(head)
            whole = head["sha256"] == hashlib.sha256(body.encode()).hexdigest()
            version = head["format"]
        except FileNotFoundError:
            raise ValueError(
                f"{directory} is no folder of a finished build: it has no {PLACED} (run signfire "
                f"build; boards of Gowin and of vendor tools cannot be reweighted)"
            ) from None
        except _DAMAGE as e:
            raise ValueError(f"{path} is damaged ({e}): run signfire build again") from e
        if version != FORMAT_VERSION or not whole:
            raise ValueError(f"{path} is damaged or of another signfire: run signfire build again")
        try:
            record = json.loads(body)
            return cls(
                board=record["board"],
                contents=ContentsMap.from_json(record["contents"]),
                placed=record["placed"],
                pack=tuple(record["pack"]),
                versions=record["versions"],
                record=tuple(record["record"]),
            )
        except _DAMAGE as e:
            raise ValueError(f"{path} is damaged ({e}): run signfire build again") from e
