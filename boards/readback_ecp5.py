"""ECP5: the packed file through ecpunpack, and the words of its ROMs out of it."""

import subprocess
import tempfile
from pathlib import Path

from .contents import ContentsMap
from .readback import ReadbackError
from .toolchain import executable


def recover_words(bitstream: Path, contents: ContentsMap) -> dict[str, list[int]]:
    """Return what every ROM of a packed file holds.

    Parameters
    ----------
    contents
        Where place-and-route put them; all that is taken from the build.

    Raises
    ------
    ReadbackError
        If the file is none of the ECP5, or holds nothing in such a place.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "packed.bit").write_bytes(bitstream.read_bytes())
        done = subprocess.run(
            [str(executable("yowasp-ecpunpack")), "packed.bit", "chip.config"],
            cwd=work,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        text = (work / "chip.config").read_text() if (work / "chip.config").exists() else ""
    if done.returncode or not text:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise ReadbackError(f"ecpunpack cannot read {bitstream.name}: {reason[0]}")
    try:
        return contents.read(text)
    except ValueError as error:
        raise ReadbackError(
            f"{bitstream.name} is not of this build ({error}; run signfire build again)"
        ) from error
