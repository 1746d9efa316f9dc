"""Sums of the trains of planes: what a layer behind a mean over pixels reads."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .storage import Ram
from .train_buffer import TrainBuffer
from .words import sum_bits, sum_pace


class PlaneSums(wiring.Component):
    """Sum what the trains of each channel say over all pixels; the sum leaves as a train.

    sum_c = Σ_pixels Σ_t 2^(T-1-t) e_c(t)

    Trains arrive pixel after pixel, the channels of a pixel together, ``lanes`` a word. The sum of
    a channel is a number of :func:`.words.sum_bits` bits, and leaves as a train of ``sum_steps``
    steps, the highest bit first. It cannot overflow: that many bits hold all pixels' greatest.

    Timing: a word of the last pixel taken in cycle c stands in ``sums`` from cycle c + 1 on, and
    the next word is taken when it leaves at the earliest; words of other pixels leave nothing. A
    word is taken every :func:`.words.sum_pace` cycles at the most: 1, but where a pixel has so few
    words that a sum would be wanted before it is stored. Full backpressure.

    Parameters
    ----------
    words, pixels
        Words a pixel, and pixels of a sample.
    lanes, steps
        Trains a word, and T.
    sum_steps
        Steps of the trains that leave; at least the bits of a sum.
    style
        Where the sums under way lie, see :class:`Ram`.

    Members
    -------
    trains : In, stream of ``lanes`` words of T bits, bit t the event of step t
    sums : Out, stream of ``lanes`` words of ``sum_steps`` bits, one for each word of a pixel
    """

    trains: stream.Interface
    sums: stream.Interface

    def __init__(
        self,
        *,
        words: int,
        pixels: int,
        lanes: int,
        steps: int,
        sum_steps: int,
        style: str = "auto",
    ) -> None:
        self.bits = sum_bits(pixels=pixels, steps=steps)
        if sum_steps < self.bits:
            raise ValueError(f"sums of {self.bits} bits do not fit trains of {sum_steps} steps")
        self.words, self.pixels, self.lanes, self.steps = words, pixels, lanes, steps
        self.sum_steps, self.style = sum_steps, style
        self.pace = sum_pace(words)
        super().__init__(
            {
                "trains": In(stream.Signature(data.ArrayLayout(unsigned(steps), lanes))),
                "sums": Out(stream.Signature(data.ArrayLayout(unsigned(sum_steps), lanes))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.ram = ram = Ram(
            depth=self.words, width=self.lanes * self.bits, style=self.style
        )
        word, pixel = Signal(range(self.words)), Signal(range(self.pixels))
        wait, take = Signal(range(self.pace)), Signal()
        last_word, last_pixel = word == self.words - 1, pixel == self.pixels - 1
        following = Mux(last_word, 0, word + 1)
        # The sum so far of the word to come is read one cycle ahead of it.
        m.d.comb += [
            self.trains.ready.eq((wait == 0) & (~self.sums.valid | self.sums.ready)),
            take.eq(self.trains.valid & self.trains.ready),
            ram.read_address.eq(Mux(take, following, word)),
        ]
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.If(take):
            m.d.sync += [word.eq(following), wait.eq(self.pace - 1)]
            with m.If(last_word):
                m.d.sync += pixel.eq(Mux(last_pixel, 0, pixel + 1))

        # Stage b: the sum is stored, or leaves.
        b_word = Signal.like(word, reset_less=True)
        b_store = Signal()
        m.d.sync += b_store.eq(take & ~last_pixel)
        with m.If(self.sums.ready):
            m.d.sync += self.sums.valid.eq(0)
        with m.If(take):
            m.d.sync += [b_word.eq(word), self.sums.valid.eq(last_pixel)]
        m.d.comb += [ram.write_enable.eq(b_store), ram.write_address.eq(b_word)]
        for lane in range(self.lanes):
            stored = ram.read_data.word_select(lane, self.bits)
            total = Signal(self.bits, name=f"total_{lane}", reset_less=True)
            with m.If(take):
                value = _turned(self.trains.payload[lane], self.steps)
                m.d.sync += total.eq(Mux(pixel == 0, 0, stored) + value)
            m.d.comb += [
                ram.write_data.word_select(lane, self.bits).eq(total),
                self.sums.payload[lane].eq(_turned(total, self.sum_steps)),
            ]
        return m


def _turned(value, bits: int):
    """Return a number of ``bits`` as a train, or a train as a number: the other way round."""
    zeros = Const(0, bits - len(value))
    return Cat(zeros, *(value[k] for k in reversed(range(len(value)))))


class SumBuffer(wiring.Component):
    """Sum trains over the pixels of a sample, and give out the sums step by step.

    A :class:`PlaneSums` in front of a :class:`.train_buffer.TrainBuffer`, whose ports and timing
    this has: to what reads it, a sample has one pixel, and its trains have ``sum_steps`` steps.

    Parameters
    ----------
    channels, pixels
        Of a sample; ``simd`` divides the channels.
    simd, steps, lanes, banks, style
        See :class:`.train_buffer.TrainBuffer`; T of the trains that arrive.
    sum_steps, unroll
        Steps of a sum, and how many of them one read returns.
    sum_style
        Where the sums under way lie.
    """

    trains: stream.Interface
    full: Signal
    release: Signal
    row: Signal
    plane: Signal
    events: data.View

    def __init__(
        self,
        *,
        channels: int,
        pixels: int,
        simd: int,
        steps: int,
        sum_steps: int,
        unroll: int,
        lanes: int,
        banks: int = 2,
        style: str = "auto",
        sum_style: str = "auto",
    ) -> None:
        self.buffer = TrainBuffer(
            size=channels,
            simd=simd,
            steps=sum_steps,
            unroll=unroll,
            lanes=lanes,
            banks=banks,
            style=style,
        )
        self.sums = PlaneSums(
            words=channels // lanes,
            pixels=pixels,
            lanes=lanes,
            steps=steps,
            sum_steps=sum_steps,
            style=sum_style,
        )
        members = dict(self.buffer.signature.members)
        members["trains"] = In(self.sums.trains.signature.flip())
        super().__init__(members)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.sums = sums = self.sums
        m.submodules.buffer = buffer = self.buffer
        wiring.connect(m, wiring.flipped(self.trains), sums.trains)
        wiring.connect(m, sums.sums, buffer.trains)
        m.d.comb += [
            self.full.eq(buffer.full),
            buffer.release.eq(self.release),
            buffer.row.eq(self.row),
            buffer.plane.eq(self.plane),
            self.events.eq(buffer.events),
        ]
        return m
