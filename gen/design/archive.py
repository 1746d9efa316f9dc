"""Arrays of an ``.npz`` file, looked at before they are read.

A file says of every array how large it is; what it says is compared with what lies in it, with
what is needed of it and with the memory that is free, before anything of that size is asked for.
Nothing is unpickled, and the CRC of all that is read is compared.
"""

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

DEFLATE_RATIO = 1100  # deflate makes no more of a byte: a member that claims more is none
CHUNK = 1 << 20
LONGEST_HEADER = 10_000  # bytes; NumPy's own are about 100
SUFFIX = ".npy"
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1  # bit of a member's flags


class BadArchive(ValueError):
    """A file, or a member of it, that is not what it should be."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a member of an archive says about its array.

    Parameters
    ----------
    shape, dtype
        Of the array; no objects and no records.
    fortran
        Whether the first axis runs fastest.
    offset
        Bytes of the member before its values.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    offset: int

    @property
    def bytes(self) -> int:
        """Of the values."""
        return prod(self.shape) * self.dtype.itemsize


class Archive(Mapping[str, np.ndarray]):
    """An open ``.npz`` file: a mapping from names to arrays, each read when it is asked for.

    Use it as a context manager.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    BadArchive
        If it is no ``.npz`` file of plain arrays, or holds two members of one name.
    """

    def __init__(self, path: Path | str) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError:
            raise
        except Exception as error:  # what zipfile raises on damage has no common base
            raise BadArchive(f"it is no zip file ({in_words(error)})") from error
        try:
            self._members = {}
            for info in self._zip.infolist():
                name = info.filename.removesuffix(SUFFIX)
                if name in self._members:
                    raise BadArchive(f"it holds two arrays {name!r}")
                self._members[name] = info
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members  # Mapping's own reads the array

    def __getitem__(self, name: str) -> np.ndarray:
        """Read an array; KeyError where there is none of this name."""
        return self.read(name)

    def header(self, name: str) -> Header:
        """Return what a member says about itself, having read no more than that.

        Raises
        ------
        BadArchive
            If it is no plain array, or claims another size than it has.
        """
        with self._open(name) as file:
            return self._header(name, file)

    def read(self, name: str, rows: int | None = None) -> np.ndarray:
        """Return an array, native in byte order, or its first ``rows`` rows.

        Raises
        ------
        BadArchive
            If it is no plain array, is damaged, or takes more memory than is free.
        """
        with self._open(name) as file:
            header = self._header(name, file)
            shape, whole = header.shape, True
            if rows is not None and shape and rows < shape[0] and not header.fortran:
                shape, whole = (rows, *shape[1:]), False
            wanted = prod(shape) * header.dtype.itemsize
            refuse_more_than_memory(f"{name!r}", wanted)
            try:
                values = np.empty(prod(shape), header.dtype)
                _fill(file, values.view(np.uint8).data)
                while file.read(CHUNK):  # what is not needed is looked at for its CRC
                    pass
            except MemoryError:
                raise BadArchive(f"{name!r} needs {size(wanted)} of memory") from None
            except Exception as error:
                raise BadArchive(f"{name!r} is damaged ({in_words(error)})") from error
        array = values.reshape(shape, order="F" if header.fortran else "C")
        array = array.astype(header.dtype.newbyteorder("="), copy=False)
        return array if whole else np.ascontiguousarray(array)

    def _open(self, name: str) -> IO[bytes]:
        info = self._members[name]
        if info.flag_bits & ENCRYPTED or info.compress_type not in COMPRESSIONS:
            raise BadArchive(f"{name!r} is encrypted, or packed as no .npz file is")
        if info.file_size > DEFLATE_RATIO * (info.compress_size + 1):
            raise BadArchive(f"{name!r} claims {size(info.file_size)}, more than it can hold")
        try:
            return self._zip.open(info)
        except Exception as error:
            raise BadArchive(f"{name!r} is damaged ({in_words(error)})") from error

    def _header(self, name: str, file: IO[bytes]) -> Header:
        if not self._members[name].filename.endswith(SUFFIX):
            raise BadArchive(f"{name!r} is no array (its name does not end in {SUFFIX})")
        try:
            header = _read_header(file)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise BadArchive(f"{name!r} is damaged ({in_words(error)})") from error
        except Exception as error:  # NumPy reads a header as Python's literals
            raise BadArchive(f"{name!r} is no array ({in_words(error)})") from error
        claimed, held = header.bytes, self._members[name].file_size - header.offset
        if claimed != held:
            raise BadArchive(
                f"{name!r} claims shape {_shape(header.shape)} of {header.dtype}, which is "
                f"{size(claimed)}, and holds {size(held)}"
            )
        return header


def read_npy(path: Path, look: Callable[[Header], None]) -> np.ndarray:
    """Return the array of an ``.npy`` file, native in byte order.

    Parameters
    ----------
    look
        Is shown what the file says about itself before the array is read, and may raise.

    Raises
    ------
    BadArchive
        If it is no plain array, is cut or longer than it says, or takes more memory than is free.
    """
    with path.open("rb") as file:
        try:
            header = _read_header(file)
        except BadArchive:
            raise
        except Exception as error:  # NumPy reads a header as Python's literals
            raise BadArchive(f"it is no array ({in_words(error)})") from error
        held = path.stat().st_size - header.offset
        if held != header.bytes:
            raise BadArchive(
                f"it claims shape {_shape(header.shape)} of {header.dtype}, which is "
                f"{size(header.bytes)}, and holds {size(held)}"
            )
        look(header)
        refuse_more_than_memory("its array", header.bytes)
        values = np.empty(prod(header.shape), header.dtype)
        _fill(file, values.view(np.uint8).data)
    array = values.reshape(header.shape, order="F" if header.fortran else "C")
    return np.ascontiguousarray(array.astype(header.dtype.newbyteorder("="), copy=False))


def _read_header(file: IO[bytes]) -> Header:
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise BadArchive(f"format {version[0]}.{version[1]}")
    shape, fortran, dtype = read(file, max_header_size=LONGEST_HEADER)
    if dtype.hasobject:
        raise BadArchive("it holds Python objects, which could run code")
    if dtype.fields or dtype.subdtype or not dtype.itemsize:
        raise BadArchive(f"it holds {dtype}, and no numbers")
    if any(type(n) is not int or n < 0 for n in shape):
        raise BadArchive(f"shape {_shape(shape)}")
    return Header(shape=shape, dtype=dtype, fortran=fortran, offset=file.tell())


def _fill(file: IO[bytes], buffer: memoryview) -> None:
    filled = 0
    while filled < len(buffer):
        part = file.read(min(CHUNK, len(buffer) - filled))
        if not part:
            raise BadArchive(f"it ends after {filled:,} bytes")
        buffer[filled : filled + len(part)] = part
        filled += len(part)


def _shape(shape: tuple[int, ...]) -> str:
    text = str(shape)
    return text if len(text) < 80 else f"{text[:70]} ...)"


def in_words(error: BaseException) -> str:
    """Return the first line of an error, or its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


# -- memory ------------------------------------------------------------------------------------


def refuse_more_than_memory(what: str, wanted: int, remedy: str = "") -> None:
    """Raise BadArchive where ``wanted`` bytes are more than the memory that is free."""
    free = free_memory()
    if free is not None and wanted > free:
        more = f" ({remedy})" if remedy else ""
        raise BadArchive(f"{what} needs {size(wanted)} of memory, and {size(free)} are free{more}")


def free_memory() -> int | None:
    """Return the bytes that a process may still take, ``None`` where the system does not say."""
    found = [n for n in (_free_of_machine(), _free_of_group()) if n is not None]
    return min(found, default=None)


def _free_of_machine() -> int | None:
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _free_of_group() -> int | None:
    """Return what a container is given beside what it uses."""
    folder = Path("/sys/fs/cgroup")
    try:
        most = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        files = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        kept = int(files.get("inactive_file", 0)) + int(files.get("active_file", 0))
        return None if most == "max" else max(0, int(most) - used + kept)
    except (OSError, ValueError):
        return None


def size(count: int) -> str:
    """Return a number of bytes in words, 2.0 GB."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count:,} bytes"


def crc_fault(path: Path) -> str | None:
    """Return the first record of a zip file whose CRC is wrong, ``None`` where all are right.

    Raises
    ------
    BadArchive
        If it is no zip file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadArchive(f"it is no whole zip file ({in_words(error)})") from error
