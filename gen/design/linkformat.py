"""How samples and identity travel over the host link: numbers that RTL, board and host share."""

import struct
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..model.codes import RateCode, SpikeCode
from ..model.ties import DOWN, shifted
from .design import Design
from .population import InputFormat

NAME_LIMIT = 64  # bytes of UTF-8
# link version, raw bits, raw signed, code bits, elements, lanes, outputs, design hash (where a
# status reply has it too), logit bits, clock in Hz, predicted latency, predicted interval and
# timeout in cycles, bytes of name
_RECORD = "<BBBBIHH32sBIIIIB"
HASH_OFFSET = struct.calcsize(_RECORD.partition("32s")[0])


def rate_trains(current: np.ndarray, threshold: int, steps: int) -> np.ndarray:
    """Return the events of integrate-and-fire neurons whose currents stand still, (n, T) bool."""
    m = np.zeros(len(current), dtype=np.int64)
    events = np.empty((len(current), steps), dtype=bool)
    for t in range(steps):
        events[:, t] = m + current >= threshold
        m += current - threshold * events[:, t]
    return events


@dataclass(frozen=True, kw_only=True)
class SampleFormat:
    """How one sample is packed into bytes.

    Raw integers that fire the same train are one to the network, so the number of a train is sent
    where that takes fewer bits than the integer itself. The hardware turns the number back into
    some raw integer of that train, and encodes it as any other.

    Parameters
    ----------
    elements
        Raw integers of a sample.
    low, high, raw_bits
        Range of a raw integer, and its bits (two's complement where ``low`` < 0).
    code_bits
        Bits of one element on the link.
    table
        Raw integer of least magnitude for each link code, ascending; ``None`` where the raw
        integers themselves are sent.
    first
        The least raw integer of each link code, () without a table.
    """

    elements: int
    low: int
    high: int
    raw_bits: int
    code_bits: int
    table: tuple[int, ...] | None
    first: tuple[int, ...] = ()

    @classmethod
    def of(cls, design: Design) -> "SampleFormat":
        """Return the format of the samples of ``design``."""
        code, form, size = design.input.code, design.input_format, design.input.size
        assert code is not None
        if isinstance(code, RateCode):
            assert design.input.threshold is not None
            raw = np.arange(form.high - form.low + 1, dtype=np.int64)
            (theta,) = design.input.threshold.tolist()
            return cls._of_trains(size, form, rate_trains(raw, theta, code.steps))
        return cls.of_input(size, form, code, design.input.ties)

    @classmethod
    def of_input(
        cls, elements: int, form: InputFormat, code: SpikeCode, ties: str = DOWN
    ) -> "SampleFormat":
        """Return the format for ``elements`` raw integers of ``form`` that fire with ``code``."""
        raw = np.arange(form.low, form.high + 1, dtype=np.int64)
        trains = code.trains(shifted(raw * form.multiplier, form.shift, ties))
        return cls._of_trains(elements, form, trains)

    @classmethod
    def _of_trains(cls, elements: int, form: InputFormat, trains: np.ndarray) -> "SampleFormat":
        """Return the format for raw integers that fire ``trains``, (n, T) bool, ascending."""
        raw = np.arange(form.low, form.high + 1, dtype=np.int64)
        # A greater target fires a train that is greater as a binary number with e(0) in front:
        # equal trains stand side by side.
        starts = np.flatnonzero(np.r_[True, (trains[1:] != trains[:-1]).any(axis=1)])
        code_bits = max(1, (len(starts) - 1).bit_length())
        if code_bits >= form.bits:
            code_bits, table, first = form.bits, None, ()
        else:
            first = tuple(int(p) for p in raw[starts])
            last = (*(p - 1 for p in first[1:]), form.high)
            table = tuple(min(max(0, a), b) for a, b in zip(first, last, strict=True))
        return cls(
            elements=elements,
            low=form.low,
            high=form.high,
            raw_bits=form.bits,
            code_bits=code_bits,
            table=table,
            first=first,
        )

    @property
    def byte_count(self) -> int:
        """Bytes of a packed sample."""
        return -(-self.elements * self.code_bits // 8)

    @cached_property
    def _code_of_raw(self) -> np.ndarray:
        """Link code of each raw integer low..high, int64."""
        raw = np.arange(self.low, self.high + 1)
        if self.table is None:
            return raw & ((1 << self.raw_bits) - 1)
        return np.searchsorted(np.array(self.first), raw, side="right") - 1

    def pack(self, raw: np.ndarray) -> np.ndarray:
        """Pack raw samples.

        Element k lies in bits k·code_bits and up, counted from the lowest bit of the first byte;
        the rest of the last byte is zero.

        Parameters
        ----------
        raw
            (n, elements) integers in low..high.

        Returns
        -------
        ndarray
            (n, byte_count) uint8.
        """
        if raw.ndim != 2 or raw.shape[1] != self.elements:
            raise ValueError(
                f"a raw sample has {self.elements} integers, not an array of shape {raw.shape}"
            )
        if raw.size and not (self.low <= raw.min() and raw.max() <= self.high):
            raise ValueError(
                f"raw samples must lie in {self.low}..{self.high}, not {raw.min()}..{raw.max()}"
            )
        codes = self._code_of_raw[raw.astype(np.int64) - self.low]
        bits = codes[:, :, None] >> np.arange(self.code_bits) & 1
        return np.packbits(bits.reshape(len(raw), -1).astype(np.uint8), axis=1, bitorder="little")

    def unpack(self, packed: np.ndarray) -> np.ndarray:
        """Return the raw integers that the hardware makes of packed samples.

        Parameters
        ----------
        packed
            (n, byte_count) uint8.

        Returns
        -------
        ndarray
            (n, elements) int64.
        """
        bits = np.unpackbits(packed, axis=1, bitorder="little")
        bits = bits[:, : self.elements * self.code_bits].astype(np.int64)
        codes = bits.reshape(len(packed), self.elements, self.code_bits) @ (
            1 << np.arange(self.code_bits, dtype=np.int64)
        )
        if self.table is not None:
            return np.array(self.table)[np.minimum(codes, len(self.table) - 1)]
        negative = (self.low < 0) & (codes >> (self.raw_bits - 1) == 1)
        return codes - (negative.astype(np.int64) << self.raw_bits)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a board says about itself.

    Parameters
    ----------
    link_version
        Of the frames and of this record.
    design_hash
        64 hex digits, see :attr:`signfire.gen.design.design.Design.hash`.
    elements, raw_bits, raw_signed, code_bits
        Of a sample.
    lanes
        Elements that the core takes at once.
    outputs, logit_bits
        Logits of a sample and the width of one, signed.
    clock_hz
        Of the core.
    latency_cycles, interval_cycles
        As the cycle model predicts them, from the first word of a sample to its class, and from one
        sample to the next; 0 where it was not asked.
    timeout_cycles
        How long the core may be silent before the link gives it up; 0 where it is not known.
    name
        Of the design and the version of signfire, at most 64 bytes.
    """

    link_version: int
    design_hash: str
    elements: int
    raw_bits: int
    raw_signed: bool
    code_bits: int
    lanes: int
    outputs: int
    logit_bits: int
    clock_hz: int
    latency_cycles: int = 0
    interval_cycles: int = 0
    timeout_cycles: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        if len(bytes.fromhex(self.design_hash)) != 32:
            raise ValueError(f"a design hash has 64 hex digits, not {self.design_hash!r}")

    @property
    def logit_bytes(self) -> int:
        """Bytes of one logit in a reply."""
        return -(-self.logit_bits // 8)

    def to_bytes(self) -> bytes:
        """Return the record as the board stores it; a long name is cut."""
        # A cut may fall within a letter: what is left of it goes as well.
        name = self.name.encode()[:NAME_LIMIT].decode(errors="ignore").encode()
        record = struct.pack(
            _RECORD,
            self.link_version,
            self.raw_bits,
            self.raw_signed,
            self.code_bits,
            self.elements,
            self.lanes,
            self.outputs,
            bytes.fromhex(self.design_hash),
            self.logit_bits,
            self.clock_hz,
            self.latency_cycles,
            self.interval_cycles,
            self.timeout_cycles,
            len(name),
        )
        return record + name

    @classmethod
    def from_bytes(cls, record: bytes) -> "Identity":
        """Undo :meth:`to_bytes`; bytes after the name are left to later versions.

        Raises
        ------
        ValueError
            Where the record is cut.
        """
        size = struct.calcsize(_RECORD)
        if len(record) < size or len(record) < size + record[size - 1]:
            raise ValueError(f"the board's identity is cut: {len(record)} bytes")
        version, raw_bits, signed, code_bits, elements, lanes, outputs, digest, *numbers = (
            struct.unpack_from(_RECORD, record)
        )
        logit_bits, clock_hz, latency, interval, timeout, name_size = numbers
        return cls(
            link_version=version,
            design_hash=digest.hex(),
            elements=elements,
            raw_bits=raw_bits,
            raw_signed=bool(signed),
            code_bits=code_bits,
            lanes=lanes,
            outputs=outputs,
            logit_bits=logit_bits,
            clock_hz=clock_hz,
            latency_cycles=latency,
            interval_cycles=interval,
            timeout_cycles=timeout,
            name=record[size : size + name_size].decode(errors="replace"),
        )


def identity_of(
    design: Design,
    *,
    link_version: int,
    lanes: int,
    logit_bits: int,
    clock_hz: float,
    latency_cycles: int = 0,
    interval_cycles: int = 0,
    timeout_cycles: int = 0,
    version: str = "",
) -> Identity:
    """Return the identity of a board that runs ``design``; see :class:`Identity`."""
    form = SampleFormat.of(design)
    return Identity(
        link_version=link_version,
        design_hash=design.hash,
        elements=form.elements,
        raw_bits=form.raw_bits,
        raw_signed=design.input_format.signed,
        code_bits=form.code_bits,
        lanes=lanes,
        outputs=design.readout.size,
        logit_bits=logit_bits,
        clock_hz=round(clock_hz),
        latency_cycles=latency_cycles,
        interval_cycles=interval_cycles,
        timeout_cycles=timeout_cycles,
        name=f"{design.name} {version}".strip(),
    )
