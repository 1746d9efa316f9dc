"""A stream that several readers take."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class Fork(wiring.Component):
    """Hand every word of a stream to each of several readers, before the next word comes.

    Each reader takes the word when it likes; the word is done with in the cycle in which the last
    of them takes it. No reader's ``valid`` depends on a ``ready``. Throughput: one word a cycle;
    latency: none.

    Parameters
    ----------
    shape
        Of the payload.
    readers
        How many there are.

    Members
    -------
    words : In, stream
    copies : Out, array of streams, one for each reader
    """

    words: stream.Interface
    copies: list[stream.Interface]

    def __init__(self, shape, *, readers: int) -> None:
        if readers < 1:
            raise ValueError(f"a fork needs at least one reader, not {readers}")
        self.readers = readers
        super().__init__(
            {
                "words": In(stream.Signature(shape)),
                "copies": Out(stream.Signature(shape)).array(readers),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        has = [Signal(name=f"has_{k}") for k in range(self.readers)]  # reader k took this word
        takes = [Signal(name=f"takes_{k}") for k in range(self.readers)]
        done = Signal(self.readers)
        for k, copy in enumerate(self.copies):
            m.d.comb += [
                copy.valid.eq(self.words.valid & ~has[k]),
                copy.payload.eq(self.words.payload),
                takes[k].eq(copy.valid & copy.ready),
                done[k].eq(has[k] | copy.ready),
            ]
            m.d.sync += has[k].eq((has[k] | takes[k]) & ~done.all())
        m.d.comb += self.words.ready.eq(done.all())
        return m
