"""Frames of the host link: numbers that the RTL and the host driver share.

A frame travels in SLIP (:mod:`.slip`): a sender puts END before and after it, a receiver ignores
empty frames. After a cut or a broken frame the next END therefore starts afresh, without time-outs.

========  ======  ==========================================================================
offset    bytes   content, all numbers little-endian
========  ======  ==========================================================================
0         1       request: command; reply: command + 0x80, or ``ERROR_REPLY``
1         1       sequence: chosen by the host, repeated in the reply
2         2       length L of the payload
4         L       payload
4 + L     4       CRC-32 over all before (reflected 0x04C11DB7, as zlib.crc32)
========  ======  ==========================================================================

==========  ===================  =============================================================
command     request payload      reply payload
==========  ===================  =============================================================
IDENTITY    none                 the identity record (:mod:`signfire.gen.design.linkformat`)
STATUS      none                 ``STATUS_REPLY``, see below; more bytes may follow some day
INFER       one packed sample    each logit, sign-extended to whole bytes; class u16; cycles u32
==========  ===================  =============================================================

``cycles`` counts clock cycles from the one in which the last word of the sample enters the core
to the first in which the core offers a logit, both steps excluded once: a core that offers a
logit one cycle after the last word gives 1. It includes no time on the line.

A status reply holds flags u8 (bit 0: the core has a sample; bit 1: an error since the last status
reply), the last error u8 (0: none), good frames u16 and refused frames u16 (both modulo 2^16),
bytes lost u8 and resets by the watchdog u8 (both stop at 255), the time since reset u32 in units
of 2^16 clock cycles, and the 32 bytes of the design's hash.

An error reply has one byte of payload, the number of an :class:`Error`. A refused frame changes
nothing: a core of which a part of a sample arrived is reset, and forgets it. Where the frame
itself is broken its sequence means nothing, and so may that of the reply.

The core holds one sample at a time. An INFER is answered once its result is there, and STATUS and
IDENTITY meanwhile, so that replies may come in another order than their requests. Until the last
byte of its reply another INFER is refused as BUSY and leaves no trace. A core that is silent for
longer than the timeout that the identity record names is reset, and its INFER gets TIMEOUT in
place of a result; where a part of the result has gone out already, that frame is cut short. So
every frame that is not empty gets one reply, whole or cut, and no sample more than one result. A
host that has more than one INFER and one other request under way may lose bytes.
"""

from enum import IntEnum

VERSION = 2
REPLY = 0x80  # added to the command
ERROR_REPLY = 0xFF
HEADER = "<BBH"  # struct formats
CHECKSUM = "<I"
STATUS_REPLY = "<BBHHBBI32s"
HASH_OFFSET = 12  # of the design's hash, in the status reply as in the identity record
HASH_BYTES = 32
RESULT_TAIL = "<HI"
UPTIME_BITS = 16  # the unit of uptime is 2^16 cycles
LENGTH_LIMIT = (1 << 16) - 1


class Command(IntEnum):
    """What the host may ask for."""

    IDENTITY = 1
    STATUS = 2
    INFER = 3


class Error(IntEnum):
    """Why a frame was refused; the first one that holds."""

    NONE = 0
    ESCAPE = 1  # an ESC byte was followed by neither ESC_END nor ESC_ESC
    SHORT = 2  # it ended before its checksum did
    LONG = 3  # bytes after the checksum
    CHECKSUM = 4
    COMMAND = 5  # no such command
    LENGTH = 6  # the command takes another length
    BUSY = 7  # the core has a sample already
    TIMEOUT = 8  # the core was silent for too long, and was reset


BROKEN_FRAME = (Error.ESCAPE, Error.SHORT, Error.LONG, Error.CHECKSUM)
