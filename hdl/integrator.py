"""Integrators: what arrives through the synapses, summed over inputs and steps."""

from collections.abc import Iterable, Sequence

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .border_walk import BorderWalk
from .delay import delayed
from .product import Product, product_latency
from .storage import Ram, Rom, rom_latency

Kinds = tuple[Sequence[int], Sequence[int]]  # of each row and of each column of windows


class Accumulator(wiring.Component):
    """Sum the words of a step; with ``shift``, weigh the steps by powers of two (Horner's rule).

    total_p <- sums_p + (0 if first; 2^shift·total_p if step; else total_p)

    ``first`` marks the first word of a new sum, ``step`` the first word of a later step of the same
    sum. ``total`` holds the sum in the cycle after its last word. It cannot overflow: the caller
    derives ``width`` from the weights.

    Accepts one word a cycle; neither provides nor respects backpressure.

    Members
    -------
    valid, first, step : In
    sums : In, pe x sum_shape
    total : Out, pe x signed(width)
    """

    LATENCY = 1

    valid: Signal
    first: Signal
    step: Signal
    sums: data.View
    total: data.View

    def __init__(self, *, pe: int, sum_shape: Shape, width: int, shift: int) -> None:
        self.pe, self.shift, self.width = pe, shift, width
        super().__init__(
            {
                "valid": In(1),
                "first": In(1),
                "step": In(1),
                "sums": In(data.ArrayLayout(sum_shape, pe)),
                "total": Out(data.ArrayLayout(signed(width), pe)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        for p in range(self.pe):
            total = Signal(signed(self.width), name=f"total_{p}", reset_less=True)
            kept = Mux(self.step, total << self.shift, total) if self.shift else total
            with m.If(self.valid):
                m.d.sync += total.eq(self.sums[p] + Mux(self.first, 0, kept))
            m.d.comb += self.total[p].eq(total)
        return m


class Drain(wiring.Component):
    """Hand out the ``pe`` results of a tile, ``lanes`` at a time, one group every ``pace`` cycles.

    A ``load`` in cycle c gives group 0 in cycle c + 1, group i in cycle c + 1 + i·pace. The next
    load may come pe/lanes·pace cycles later at the earliest.

    Members
    -------
    load : In
    results : In, pe x signed(width)
    valid : Out, high in the one cycle in which a group is new
    group : Out, lanes x signed(width)
    """

    LATENCY = 1

    load: Signal
    results: data.View
    valid: Signal
    group: data.View

    def __init__(self, *, pe: int, lanes: int, width: int, pace: int) -> None:
        self.pe, self.lanes, self.width, self.pace = pe, lanes, width, pace
        super().__init__(
            {
                "load": In(1),
                "results": In(data.ArrayLayout(signed(width), pe)),
                "valid": Out(1),
                "group": Out(data.ArrayLayout(signed(width), lanes)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        groups = self.pe // self.lanes
        held = Signal(self.pe * self.width, reset_less=True)
        left, wait = Signal(range(groups)), Signal(range(self.pace))
        m.d.comb += Cat(self.group).eq(held[: self.lanes * self.width])
        m.d.sync += self.valid.eq(0)
        with m.If(self.load):
            m.d.sync += [
                held.eq(Cat(self.results)),
                left.eq(groups - 1),
                wait.eq(self.pace - 1),
                self.valid.eq(1),
            ]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Elif(left != 0):
            m.d.sync += [
                held.eq(held >> (self.lanes * self.width)),
                left.eq(left - 1),
                wait.eq(self.pace - 1),
                self.valid.eq(1),
            ]
        return m


def pack_fields(rows: Iterable[Iterable[tuple[int, int]]]) -> list[int]:
    """Pack rows of (value, bits) into words, the first field lowest; negative ones wrap."""
    words = []
    for row in rows:
        word, position = 0, 0
        for value, bits in row:
            word |= (int(value) & ((1 << bits) - 1)) << position
            position += bits
        words.append(word)
    return words


def shift_latency(*, registered: bool) -> int:
    """Cycles of :class:`ShiftIntegrator` from sums to x: the ROM, then the addition."""
    return rom_latency(registered=registered) + 1


class ShiftIntegrator(wiring.Component):
    """Finish sums of powers of two: x = bias + 2^shift·total, beside the neuron's factor.

    Groups of ``lanes`` outputs arrive in order, round and round over all outputs of the layer;
    their constants lie in a ROM. With a ``border`` there are such constants for every kind of
    window, one kind after the other.

    Accepts one group a cycle; neither provides nor respects backpressure.

    Parameters
    ----------
    lanes
        Outputs in parallel.
    total_width
        Signed width of the sums.
    x_width
        Signed width of x; the caller derives it from bias and weights.
    bias
        (n,) with everything constant folded in: B + (rest - Ση) Σ W.
    factor
        (n,) requantisation factors, handed on beside x; ``factor_bits`` wide, 0 for none.
    shift
        1 where an event stands in for a step down, which it then undoes too; 0 where it adds alone.
    style, registered
        Where the ROM lies, and whether a second register stands behind it.
    border
        Kind of each row and of each column of windows, see :class:`BorderWalk`; ``None`` where all
        windows have the same constants.

    Members
    -------
    valid, total : In
    x_valid, x, factor, last : Out; ``last`` where x is final, here always
    """

    valid: Signal
    total: data.View
    x_valid: Signal
    x: data.View
    factor: data.View
    last: Signal

    def __init__(
        self,
        *,
        lanes: int,
        total_width: int,
        x_width: int,
        bias: Sequence[int],
        factor: Sequence[int],
        factor_bits: int,
        style: str,
        registered: bool = False,
        shift: int = 1,
        border: Kinds | None = None,
    ) -> None:
        self.lanes, self.x_width, self.factor_bits = lanes, x_width, factor_bits
        self.shift = shift
        self.registered, self.border = registered, border
        self.LATENCY = shift_latency(registered=registered)
        self.rows = [
            [
                field
                for i in range(group, group + lanes)
                for field in ((bias[i], x_width), (factor[i], factor_bits))
            ]
            for group in range(0, len(bias), lanes)
        ]
        self.constants = data.ArrayLayout(
            data.StructLayout({"bias": signed(x_width), "factor": unsigned(factor_bits)}), lanes
        )
        self.rom = Rom(
            content=pack_fields(self.rows),
            width=self.constants.size,
            registered=registered,
            style=style,
        )
        super().__init__(
            {
                "valid": In(1),
                "total": In(data.ArrayLayout(signed(total_width), lanes)),
                "x_valid": Out(1),
                "x": Out(data.ArrayLayout(signed(x_width), lanes)),
                "factor": Out(data.ArrayLayout(unsigned(factor_bits), lanes)),
                "last": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.rom = rom = self.rom
        group = Signal(range(len(self.rows)))
        m.d.comb += [rom.address.eq(group), self.last.eq(1)]
        if self.border is None:
            last, following = group == len(self.rows) - 1, 0
        else:
            last, following = self._walk(m)
        with m.If(self.valid):
            m.d.sync += group.eq(Mux(last, following, group + 1))

        # Stage a: the constants arrive. Stage b: x.
        a_total = self.total.shape()(
            delayed(m, self.total.as_value(), rom.LATENCY, name="a_total", reset_less=True)
        )
        constants = data.View(self.constants, rom.data)
        for lane in range(self.lanes):
            x = Signal(signed(self.x_width), name=f"x_{lane}", reset_less=True)
            factor = Signal(self.factor_bits, name=f"factor_{lane}", reset_less=True)
            m.d.sync += [
                x.eq(constants[lane].bias + (a_total[lane] << self.shift)),
                factor.eq(constants[lane].factor),
            ]
            m.d.comb += [self.x[lane].eq(x), self.factor[lane].eq(factor)]
        m.d.comb += self.x_valid.eq(delayed(m, self.valid, self.LATENCY, name="valid"))
        return m

    def _walk(self, m: Module) -> tuple[Value, Value]:
        """Return whether a group is the last of its window, and where the next one begins."""
        assert self.border is not None
        m.submodules.border = border = make_border_walk(self.border, len(self.rows))
        within = Signal(range(border.words))  # group of the window
        last = within == border.words - 1
        with m.If(self.valid):
            m.d.sync += within.eq(Mux(last, 0, within + 1))
        m.d.comb += border.done.eq(self.valid & last)
        return last, border.following


def make_border_walk(border: Kinds, rows: int) -> BorderWalk:
    """Return the walk over ``rows`` rows of constants, as many for each kind of window."""
    kinds = [max(numbers) + 1 for numbers in border]
    return BorderWalk(rows=border[0], columns=border[1], words=rows // (kinds[0] * kinds[1]))


def weighted_latency(*, kind: str, eta_bits: int, registered: bool = False) -> int:
    """Cycles of :class:`WeightedIntegrator` from sums to x: ROM, difference, product, addition."""
    product = product_latency(kind=kind, factor_bits=eta_bits)
    return rom_latency(registered=registered) + 1 + product + 1


class WeightedIntegrator(wiring.Component):
    """Integrate step sums of any schedule: x <- x + eta[t]·(2·sum - row), x = start at first.

    This is x(t+1) = x(t) - eta(t) Σ w σ(t) with σ = 1 - 2e, so row = Σ w and start = B + rest·Σ w.
    A tile holds ``groups`` groups of ``lanes`` outputs; the sums of step t arrive group after
    group, then those of step t + 1. One multiplier a lane; x lies in a RAM between steps.

    Timing: ``LATENCY`` cycles; a group may return ``FEEDBACK`` cycles later at the earliest.
    Neither provides nor respects backpressure.

    Parameters
    ----------
    lanes, groups
        Outputs in parallel, groups in a tile.
    sum_width, x_width
        Signed widths; derived by the caller from the weights.
    eta
        Step sizes of the source.
    start, row, factor
        (n,) constants of every output.
    factor_bits
        Width of ``factor``.
    kind
        ``dsp`` or ``lut``, see :class:`Product`.
    style, registered
        Where the ROM of the constants lies, and whether a second register stands behind it.
    border
        As in :class:`ShiftIntegrator`.

    Members
    -------
    valid, total : In
    x_valid, x, factor : Out, after every step
    last : Out, x is final
    """

    FEEDBACK = 3

    valid: Signal
    total: data.View
    x_valid: Signal
    x: data.View
    factor: data.View
    last: Signal

    def __init__(
        self,
        *,
        lanes: int,
        groups: int,
        sum_width: int,
        x_width: int,
        eta: Sequence[int],
        start: Sequence[int],
        row: Sequence[int],
        factor: Sequence[int],
        factor_bits: int,
        kind: str,
        style: str,
        registered: bool = False,
        border: Kinds | None = None,
    ) -> None:
        self.lanes, self.groups, self.x_width = lanes, groups, x_width
        self.border = border
        self.sum_width, self.factor_bits = sum_width, factor_bits
        self.eta, self.kind = tuple(eta), kind
        self.eta_bits = max(self.eta).bit_length()
        self.registered = registered
        self.LATENCY = weighted_latency(kind=kind, eta_bits=self.eta_bits, registered=registered)
        self.rows = [
            [
                field
                for i in range(group, group + lanes)
                for field in ((start[i], x_width), (row[i], sum_width), (factor[i], factor_bits))
            ]
            for group in range(0, len(start), lanes)
        ]
        self.constants = data.ArrayLayout(
            data.StructLayout(
                {
                    "start": signed(x_width),
                    "row": signed(sum_width),
                    "factor": unsigned(factor_bits),
                }
            ),
            lanes,
        )
        self.rom = Rom(
            content=pack_fields(self.rows),
            width=self.constants.size,
            registered=registered,
            style=style,
        )
        self.etas = Rom(content=self.eta, width=self.eta_bits, style="logic")
        super().__init__(
            {
                "valid": In(1),
                "total": In(data.ArrayLayout(signed(sum_width), lanes)),
                "x_valid": Out(1),
                "x": Out(data.ArrayLayout(signed(x_width), lanes)),
                "factor": Out(data.ArrayLayout(unsigned(factor_bits), lanes)),
                "last": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.rom = rom = self.rom
        m.submodules.etas = etas = self.etas
        m.submodules.ram = ram = Ram(depth=self.groups, width=self.lanes * self.x_width)
        order = self._order(m)
        m.d.comb += [rom.address.eq(order.constant), etas.address.eq(order.step)]

        # Stage a: constants and step size arrive. Stage b: 2·sum - row.
        a_total = self.total.shape()(
            delayed(m, self.total.as_value(), rom.LATENCY, name="a_total", reset_less=True)
        )
        constants = data.View(self.constants, rom.data)
        b_eta = delayed(m, etas.data, rom.LATENCY, name="b_eta", reset_less=True)
        behind = self.LATENCY - 1 - rom.LATENCY  # from stage a to the stage that adds
        add = Signal(self.constants)
        m.d.comb += add.as_value().eq(
            delayed(m, rom.data, behind, name="constants", reset_less=True)
        )
        turn = self.LATENCY - 1
        first = delayed(m, order.first, turn, name="first", reset_less=True)
        # The state is read so that it arrives where it is added.
        m.d.comb += ram.read_address.eq(
            delayed(m, order.group, turn - 1, name="read_group", reset_less=True)
        )
        state = data.View(self.x.shape(), ram.read_data)
        for lane in range(self.lanes):
            m.submodules[f"product_{lane}"] = product = Product(
                x_width=self.sum_width + 2, factor_bits=self.eta_bits, kind=self.kind
            )
            signed_sum = Signal(signed(self.sum_width + 2), name=f"signed_{lane}", reset_less=True)
            x = Signal(signed(self.x_width), name=f"x_{lane}", reset_less=True)
            factor = Signal(self.factor_bits, name=f"factor_{lane}", reset_less=True)
            m.d.sync += [
                signed_sum.eq((a_total[lane] << 1) - constants[lane].row),
                x.eq(Mux(first, add[lane].start, state[lane]) + product.product),
                factor.eq(add[lane].factor),
            ]
            m.d.comb += [
                product.x.eq(signed_sum),
                product.factor.eq(b_eta),
                self.x[lane].eq(x),
                self.factor[lane].eq(factor),
            ]
        m.d.comb += [
            self.x_valid.eq(delayed(m, self.valid, self.LATENCY, name="valid")),
            self.last.eq(delayed(m, order.last, self.LATENCY, name="last", reset_less=True)),
            ram.write_enable.eq(self.x_valid),
            ram.write_address.eq(
                delayed(m, order.group, self.LATENCY, name="write_group", reset_less=True)
            ),
            ram.write_data.eq(self.x),
        ]
        return m

    def _order(self, m: Module) -> "GroupOrder":
        m.submodules.order = order = GroupOrder(
            groups=self.groups,
            steps=len(self.eta),
            tiles=len(self.rows) // self.groups,
            border=self.border,
        )
        m.d.comb += order.proceed.eq(self.valid)
        return order


class GroupOrder(wiring.Component):
    """Count groups within a step, steps within a tile, tiles within a sample.

    Parameters
    ----------
    groups, steps
        Of a tile.
    tiles
        Of all constants: those of a window, for every kind of window.
    border
        As in :class:`ShiftIntegrator`.

    Members
    -------
    proceed : In, one group is done
    group, step : Out
    constant : Out, tile·groups + group
    first, last : Out, whether this is the first or the last step of the tile
    """

    proceed: Signal
    group: Signal
    step: Signal
    constant: Signal
    first: Signal
    last: Signal

    def __init__(self, *, groups: int, steps: int, tiles: int, border: Kinds | None = None) -> None:
        self.groups, self.steps, self.tiles = groups, steps, tiles
        self.border = border
        super().__init__(
            {
                "proceed": In(1),
                "group": Out(range(groups)),
                "step": Out(range(steps)),
                "constant": Out(range(tiles * groups)),
                "first": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        base = Signal.like(self.constant)
        m.d.comb += [self.first.eq(self.step == 0), self.last.eq(self.step == self.steps - 1)]
        behind = None if self.border is None else self._behind(m, base)
        with m.If(self.proceed):
            m.d.sync += [self.group.eq(self.group + 1), self.constant.eq(self.constant + 1)]
            with m.If(self.group == self.groups - 1):
                m.d.sync += [
                    self.group.eq(0),
                    self.step.eq(Mux(self.last, 0, self.step + 1)),
                    self.constant.eq(base),
                ]
                with m.If(self.last):
                    wrap = base == (self.tiles - 1) * self.groups
                    following = Mux(wrap, 0, base + self.groups) if behind is None else behind
                    m.d.sync += [base.eq(following), self.constant.eq(following)]
        return m

    def _behind(self, m: Module, base: Signal) -> Value:
        """Return where the constants of the next tile begin, of this window or of the next one."""
        assert self.border is not None
        m.submodules.border = border = make_border_walk(self.border, self.tiles * self.groups)
        tiles = border.words // self.groups
        tile = Signal(range(tiles))
        last = tile == tiles - 1
        tile_done = self.proceed & self.last & (self.group == self.groups - 1)
        with m.If(tile_done):
            m.d.sync += tile.eq(Mux(last, 0, tile + 1))
        m.d.comb += border.done.eq(tile_done & last)
        return Mux(last, border.following, base + self.groups)
