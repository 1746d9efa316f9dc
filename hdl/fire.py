"""Neurons that follow sign gradient descent: each step sends one sign and takes one step."""

# Ref: H. Oh, Y. Lee, "Sign Gradient Descent-based Neuronal Dynamics", ICML 2024, Eq. (8) and (9).

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed
from .storage import Ram, Rom


def residual_range(*, rest: int, eta: Sequence[int], low: int, high: int) -> tuple[int, int]:
    """Least and greatest v - target while targets lie in low..high.

    v never leaves rest ± Ση, and the residual moves towards 0 or past it by one step at most.
    """
    step = max(eta)
    return min(rest - high, -step), max(rest - low, step)


def signed_width(low: int, high: int) -> int:
    """Bits of a signed number that holds low..high."""
    return max((-low - 1).bit_length() if low < 0 else 0, high.bit_length()) + 1


class NeuronArray(wiring.Component):
    """Fire ``lanes`` neurons for T steps against targets that stand still (settled firing).

    residual(0) = rest - target;  e(t) = residual(t) < 0
    residual(t+1) = residual(t) + eta[t] if e(t) else residual(t) - eta[t]

    The residual v - f(x) is held instead of v: then the comparison v >= f(x) is its sign bit, and
    one add-or-subtract is the whole loop. The step sizes come from a ROM that is read one step
    ahead.

    Timing: targets taken in cycle c give the train in cycle c + T, where new targets may be taken
    if the train is. Respects backpressure: the last step waits for ``trains.ready``.

    Parameters
    ----------
    lanes
        Neurons in parallel.
    rest, eta
        v(0) and the step sizes, see :class:`signfire.gen.model.codes.SpikeCode`.
    target_low, target_high
        Range of the targets; the widths are derived from it.

    Members
    -------
    targets : In, stream of lanes signed targets
    trains : Out, stream of lanes words of T bits, bit t is e(t)
    firing, membrane, event : Out, for observation: v(t) and e(t) of the running step
    """

    targets: stream.Interface
    trains: stream.Interface
    firing: Signal
    membrane: data.View
    event: Signal

    def __init__(
        self, *, lanes: int, rest: int, eta: Sequence[int], target_low: int, target_high: int
    ) -> None:
        self.lanes, self.rest, self.eta = lanes, rest, tuple(eta)
        self.steps = StepCounter(eta=self.eta)
        self.LATENCY = len(self.eta)
        self.target_shape = signed(signed_width(target_low, target_high))
        low, high = residual_range(rest=rest, eta=eta, low=target_low, high=target_high)
        self.residual_shape = signed(signed_width(low, high))
        reach = sum(self.eta)
        self.membrane_shape = signed(signed_width(rest - reach, rest + reach))
        steps = len(self.eta)
        super().__init__(
            {
                "targets": In(stream.Signature(data.ArrayLayout(self.target_shape, lanes))),
                "trains": Out(stream.Signature(data.ArrayLayout(unsigned(steps), lanes))),
                "firing": Out(1),
                "membrane": Out(data.ArrayLayout(self.membrane_shape, lanes)),
                "event": Out(lanes),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.steps = steps = self.steps
        take, proceed = Signal(), Signal()
        m.d.comb += [
            self.trains.valid.eq(self.firing & steps.last),
            self.targets.ready.eq(~self.firing | (steps.last & self.trains.ready)),
            take.eq(self.targets.valid & self.targets.ready),
            proceed.eq(self.firing & (~steps.last | self.trains.ready)),
            steps.proceed.eq(proceed),
        ]
        with m.If(proceed & steps.last):
            m.d.sync += self.firing.eq(0)
        with m.If(take):
            m.d.sync += self.firing.eq(1)
        for lane in range(self.lanes):
            self._neuron(m, lane, take, proceed, steps)
        return m

    def _neuron(self, m: Module, lane: int, take, proceed, steps: "StepCounter") -> None:
        residual = Signal(self.residual_shape, name=f"residual_{lane}", reset_less=True)
        target = Signal(self.target_shape, name=f"target_{lane}", reset_less=True)
        event = residual[-1]
        with m.If(take):
            m.d.sync += [
                residual.eq(self.rest - self.targets.payload[lane]),
                target.eq(self.targets.payload[lane]),
            ]
        with m.Elif(proceed):
            m.d.sync += residual.eq(step_by_sign(residual, steps.step_size, event))
        past = Signal(max(1, len(self.eta) - 1), name=f"past_{lane}", reset_less=True)
        train = Cat(past, event) if len(self.eta) > 1 else event
        with m.If(proceed):
            m.d.sync += past.eq(train[1:] if len(self.eta) > 1 else 0)
        m.d.comb += [
            self.trains.payload[lane].eq(train),
            self.event[lane].eq(event),
            self.membrane[lane].eq(residual + target),
        ]


def step_by_sign(value: Signal, step_size, up):
    """Return value + step_size where ``up``, else value - step_size: one carry chain."""
    width = Shape.cast(value.shape()).width
    turned = Cat(step_size, 0) ^ (~up).replicate(len(step_size) + 1)
    return (value + turned.as_signed() + ~up)[:width].as_signed()


class StepCounter(wiring.Component):
    """Count steps 0..T-1 and give the step size of the running one.

    ``step_size`` = eta[step]: the ROM is read for the following step while this one runs.

    Members
    -------
    proceed : In, the running step is done
    step_size : Out
    last : Out, step = T - 1
    """

    proceed: Signal
    step_size: Signal
    last: Signal

    def __init__(self, *, eta: Sequence[int]) -> None:
        self.eta = tuple(eta)
        self.rom = Rom(content=self.eta, width=max(self.eta).bit_length(), style="logic")
        super().__init__(
            {
                "proceed": In(1),
                "step_size": Out(unsigned(self.rom.width)),
                "last": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        steps = len(self.eta)
        m.submodules.rom = rom = self.rom
        step = Signal(range(steps))
        following = Signal(range(steps))
        m.d.comb += [
            self.last.eq(step == steps - 1),
            following.eq(Mux(self.proceed, Mux(self.last, 0, step + 1), step)),
            rom.address.eq(following),
            self.step_size.eq(rom.data),
        ]
        m.d.sync += step.eq(following)
        return m


class OverlappedNeurons(wiring.Component):
    """Fire one step of ``lanes`` neurons a cycle, against targets that move (overlapped firing).

    A tile holds ``groups`` groups of ``lanes`` neurons. Targets of step t arrive group after
    group, then those of step t + 1; membranes and the events so far lie in a RAM between:

    e = v < target;  v <- v + eta[t] if e else v - eta[t];  v = rest before the first step

    Timing: ``LATENCY`` cycles from ``valid`` of the last step to the train; a group may return
    ``FEEDBACK`` cycles after its last turn at the earliest. Neither provides nor respects
    backpressure.

    Members
    -------
    valid : In
    target : In, lanes x signed(target_width)
    train_valid, train : Out, lanes words of T bits
    firing, membrane, event : Out, for observation: v(t) before its step, and e(t)
    """

    LATENCY = 2
    FEEDBACK = 3

    valid: Signal
    target: data.View
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
        rest: int,
        eta: Sequence[int],
        target_width: int,
    ) -> None:
        self.lanes, self.groups, self.rest, self.eta = lanes, groups, rest, tuple(eta)
        self.steps = StepCounter(eta=self.eta)
        reach = sum(self.eta)
        self.membrane_shape = signed(signed_width(rest - reach, rest + reach))
        self.entry = data.StructLayout(
            {
                "membrane": data.ArrayLayout(self.membrane_shape, lanes),
                "train": data.ArrayLayout(unsigned(len(self.eta)), lanes),
            }
        )
        super().__init__(
            {
                "valid": In(1),
                "target": In(data.ArrayLayout(signed(target_width), lanes)),
                "train_valid": Out(1),
                "train": Out(data.ArrayLayout(unsigned(len(self.eta)), lanes)),
                "firing": Out(1),
                "membrane": Out(data.ArrayLayout(self.membrane_shape, lanes)),
                "event": Out(lanes),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.ram = ram = Ram(depth=self.groups, width=self.entry.size)
        m.submodules.steps = steps = self.steps
        group, first_step = Signal(range(self.groups)), Signal(init=1)
        last_group = group == self.groups - 1

        # Stage a: the state of the group arrives, and is compared.
        m.d.comb += [ram.read_address.eq(group), steps.proceed.eq(self.valid & last_group)]
        with m.If(self.valid):
            m.d.sync += group.eq(Mux(last_group, 0, group + 1))
            with m.If(last_group):
                m.d.sync += first_step.eq(steps.last)
        a_first, a_target = Signal(reset_less=True), Signal.like(self.target, reset_less=True)
        m.d.sync += [a_first.eq(first_step), a_target.eq(self.target)]
        a_state = data.View(self.entry, ram.read_data)

        # Stage b: step and store; the event is known.
        b_group = delayed(m, group, 2, name="b_group", reset_less=True)
        b_size = delayed(m, steps.step_size, 2, name="b_size", reset_less=True)
        b_last = delayed(m, self.valid & steps.last, 2, name="b_last")
        m.d.comb += [
            self.firing.eq(delayed(m, self.valid, 2, name="b_valid")),
            ram.write_enable.eq(self.firing),
            ram.write_address.eq(b_group),
            self.train_valid.eq(b_last),
        ]
        after = data.View(self.entry, ram.write_data)
        for lane in range(self.lanes):
            v = Signal(self.membrane_shape, name=f"v_{lane}")
            past = Signal(len(self.eta), name=f"past_{lane}", reset_less=True)
            m.d.comb += v.eq(Mux(a_first, self.rest, a_state.membrane[lane]))
            m.d.sync += [
                self.membrane[lane].eq(v),
                self.event[lane].eq(v < a_target[lane]),
                past.eq(a_state.train[lane]),
            ]
            m.d.comb += [
                after.membrane[lane].eq(
                    step_by_sign(self.membrane[lane], b_size, self.event[lane])
                ),
                after.train[lane].eq(Cat(past, self.event[lane])[1:]),
                self.train[lane].eq(after.train[lane]),
            ]
        return m
