"""SLIP: frames of bytes in a stream of bytes, separated by END, whatever the bytes are."""

# Ref: RFC 1055, A Nonstandard for Transmission of IP Datagrams over Serial Lines: SLIP.

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

END = 0xC0
ESC = 0xDB
ESC_END = 0xDC  # ESC ESC_END stands for END
ESC_ESC = 0xDD  # ESC ESC_ESC stands for ESC

# A frame is its bytes as items with end = 0, and then one item with end = 1, whose byte means
# nothing. `broken`, in received items with end = 1: an ESC was followed by something else.
SENT = data.StructLayout({"byte": unsigned(8), "end": 1})
RECEIVED = data.StructLayout({"byte": unsigned(8), "end": 1, "broken": 1})


class SlipDecoder(wiring.Component):
    """Find frames in bytes and undo the escapes.

    An escape is swallowed, so an item comes with its second byte, in the same cycle. A frame
    with a wrong escape still ends at its END, marked broken. Full backpressure.

    Members
    -------
    encoded : In, stream of bytes
    items : Out, stream of :data:`RECEIVED`
    """

    LATENCY = 0

    encoded: stream.Interface
    items: stream.Interface

    def __init__(self) -> None:
        super().__init__(
            {"encoded": In(stream.Signature(8)), "items": Out(stream.Signature(RECEIVED))}
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        escaped, broken = Signal(), Signal()
        byte, item = self.encoded.payload, self.items.payload
        is_end, is_escape = byte == END, byte == ESC
        swallowed = (is_escape | (escaped & (byte != ESC_END) & (byte != ESC_ESC))) & ~is_end
        m.d.comb += [
            self.items.valid.eq(self.encoded.valid & ~swallowed),
            self.encoded.ready.eq(self.items.ready | swallowed),
            item.byte.eq(Mux(escaped, Mux(byte == ESC_END, END, ESC), byte)),
            item.end.eq(is_end),
            item.broken.eq(is_end & (broken | escaped)),
        ]
        with m.If(self.encoded.valid & self.encoded.ready):
            m.d.sync += [
                escaped.eq(is_escape & ~escaped),
                broken.eq(~is_end & (broken | (escaped & swallowed))),
            ]
        return m


class SlipEncoder(wiring.Component):
    """Turn items into bytes, END and ESC within a frame into escapes.

    One byte a cycle; an escaped byte takes two. Full backpressure.

    Members
    -------
    items : In, stream of :data:`SENT`
    encoded : Out, stream of bytes
    """

    LATENCY = 0

    items: stream.Interface
    encoded: stream.Interface

    def __init__(self) -> None:
        super().__init__({"items": In(stream.Signature(SENT)), "encoded": Out(stream.Signature(8))})

    def elaborate(self, platform) -> Module:
        m = Module()
        escaped = Signal()
        item, byte = self.items.payload, self.encoded.payload
        is_end, is_escape = item.byte == END, item.byte == ESC
        first_of_two = ~item.end & (is_end | is_escape) & ~escaped
        m.d.comb += [
            self.encoded.valid.eq(self.items.valid),
            self.items.ready.eq(self.encoded.ready & ~first_of_two),
            byte.eq(item.byte),
        ]
        with m.If(item.end):
            m.d.comb += byte.eq(END)
        with m.Elif(escaped):
            m.d.comb += byte.eq(Mux(is_end, ESC_END, ESC_ESC))
        with m.Elif(first_of_two):
            m.d.comb += byte.eq(ESC)
        with m.If(self.encoded.valid & self.encoded.ready):
            m.d.sync += escaped.eq(first_of_two)
        return m
