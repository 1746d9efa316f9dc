"""Integrate-and-fire neurons: the baseline, which adds its current at every step."""

# Ref: H. Oh, Y. Lee, "Sign Gradient Descent-based Neuronal Dynamics: ANN-to-SNN Conversion
# Beyond ReLU Network", ICML 2024, arXiv 2407.01645, section 4.

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed
from .integrator import GroupOrder, pack_fields
from .storage import Ram, Rom, rom_latency


def integrate_fire_latency(*, registered: bool = False) -> int:
    """Cycles of :class:`IntegrateFireNeurons` from sums to events: ROM, current, membrane."""
    return rom_latency(registered=registered) + 2


class IntegrateFireNeurons(wiring.Component):
    """Fire one step of ``lanes`` neurons a cycle, from the sums of that step.

    A tile holds ``groups`` groups of ``lanes`` neurons. Sums of step t arrive group after group,
    then those of step t + 1; membranes and the events so far lie in a RAM between:

    I = sum + bias;  s = m + I >= θ;  m <- m + I - θ if s else m + I;  m = 0 before the first step

    The ROM holds bias and bias - θ, so that both outcomes are added side by side and the sign of
    the second chooses between them: one adder is the whole loop.

    Timing: ``LATENCY`` cycles from ``valid`` of the last step to the train; a group may return
    ``FEEDBACK`` cycles after its last turn at the earliest. Neither provides nor respects
    backpressure.

    Parameters
    ----------
    lanes, groups
        Neurons in parallel, groups in a tile.
    steps
        T.
    sum_width, constant_width, current_width, membrane_width
        Signed widths of the sums, of bias and bias - θ, of I and I - θ, and of m + I and m + I - θ;
        derived by the caller from the weights.
    bias, threshold
        (n,) constants of every neuron, the whole layer's, in tiles.
    style, registered
        Where the ROM of the constants lies, and whether a second register stands behind it.

    Members
    -------
    valid : In
    total : In, lanes x signed, the sum of one step
    train_valid, train : Out, lanes words of T bits, bit t is s(t)
    firing, membrane, event : Out, for observation: m(t+1) and s(t)
    """

    FEEDBACK = 3

    valid: Signal
    total: data.View
    train_valid: Signal
    train: data.View
    firing: Signal
    membrane: data.View
    event: Signal

    def __init__(
        self,
        *,
        lanes: int,
        groups: int,
        steps: int,
        sum_width: int,
        constant_width: int,
        current_width: int,
        membrane_width: int,
        bias: Sequence[int],
        threshold: Sequence[int],
        style: str,
        registered: bool = False,
    ) -> None:
        if len(bias) != len(threshold) or not len(bias) or len(bias) % (lanes * groups):
            raise ValueError(
                f"{len(bias)} biases and {len(threshold)} thresholds must be as many, and fill "
                f"tiles of {lanes * groups}"
            )
        if min(threshold) < 1:
            raise ValueError(f"thresholds must be at least 1, not {min(threshold)}")
        self.lanes, self.groups, self.steps = lanes, groups, steps
        self.registered = registered
        self.LATENCY = integrate_fire_latency(registered=registered)
        each = [
            ((b, constant_width), (b - theta, constant_width))
            for b, theta in zip(map(int, bias), map(int, threshold), strict=True)
        ]
        self.membrane_shape, self.current_shape = signed(membrane_width), signed(current_width)
        self.rows = [
            [field for fields in each[i : i + lanes] for field in fields]
            for i in range(0, len(each), lanes)
        ]
        self.constants = data.ArrayLayout(
            data.StructLayout({"bias": signed(constant_width), "less": signed(constant_width)}),
            lanes,
        )
        self.rom = Rom(
            content=pack_fields(self.rows),
            width=self.constants.size,
            registered=registered,
            style=style,
        )
        self.entry = data.StructLayout(
            {
                "membrane": data.ArrayLayout(self.membrane_shape, lanes),
                "train": data.ArrayLayout(unsigned(steps), lanes),
            }
        )
        super().__init__(
            {
                "valid": In(1),
                "total": In(data.ArrayLayout(signed(sum_width), lanes)),
                "train_valid": Out(1),
                "train": Out(data.ArrayLayout(unsigned(steps), lanes)),
                "firing": Out(1),
                "membrane": Out(data.ArrayLayout(self.membrane_shape, lanes)),
                "event": Out(lanes),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.rom = rom = self.rom
        m.submodules.ram = ram = Ram(depth=self.groups, width=self.entry.size)
        m.submodules.order = order = GroupOrder(
            groups=self.groups, steps=self.steps, tiles=len(self.rows) // self.groups
        )
        m.d.comb += [order.proceed.eq(self.valid), rom.address.eq(order.constant)]

        # Stage a: the constants arrive. Stage b: both currents stand, and the state arrives.
        a = rom.LATENCY
        a_total = self.total.shape()(
            delayed(m, self.total.as_value(), a, name="a_total", reset_less=True)
        )
        constants = data.View(self.constants, rom.data)
        m.d.comb += ram.read_address.eq(
            delayed(m, order.group, a, name="read_group", reset_less=True)
        )
        b_first = delayed(m, order.first, a + 1, name="b_first", reset_less=True)
        b_state = data.View(self.entry, ram.read_data)

        # Stage c: both outcomes are known; the sign of the lesser is the event.
        m.d.comb += [
            self.firing.eq(delayed(m, self.valid, self.LATENCY, name="valid")),
            self.train_valid.eq(
                delayed(m, self.valid & order.last, self.LATENCY, name="train_valid")
            ),
            ram.write_enable.eq(self.firing),
            ram.write_address.eq(
                delayed(m, order.group, self.LATENCY, name="write_group", reset_less=True)
            ),
        ]
        after = data.View(self.entry, ram.write_data)
        for lane in range(self.lanes):
            current, less, kept, taken = (
                Signal(shape, name=f"{name}_{lane}", reset_less=True)
                for name, shape in (
                    ("current", self.current_shape),
                    ("less", self.current_shape),
                    ("kept", self.membrane_shape),
                    ("taken", self.membrane_shape),
                )
            )
            past = Signal(self.steps, name=f"past_{lane}", reset_less=True)
            before = Signal(self.membrane_shape, name=f"m_{lane}")
            m.d.comb += before.eq(Mux(b_first, 0, b_state.membrane[lane]))
            m.d.sync += [
                current.eq(a_total[lane] + constants[lane].bias),
                less.eq(a_total[lane] + constants[lane].less),
                kept.eq(before + current),
                taken.eq(before + less),
                past.eq(b_state.train[lane]),
            ]
            m.d.comb += [
                self.event[lane].eq(taken >= 0),
                self.membrane[lane].eq(Mux(self.event[lane], taken, kept)),
                after.membrane[lane].eq(self.membrane[lane]),
                after.train[lane].eq(Cat(past, self.event[lane])[1:]),
                self.train[lane].eq(after.train[lane]),
            ]
        return m
