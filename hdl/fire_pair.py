"""Neurons of two operands: they fire against a product, a quotient, or a quotient by a root.

Nothing is divided and no root taken. With the binary schedule η(t) = 2^(T-1-t) is halved from step
to step, so that products of v move on by one addition: v·F2 and v²·F2 are kept, not computed.
"""

# Ref: H. Oh, Y. Lee, "Sign Gradient Descent-based Neuronal Dynamics", ICML 2024, operators of
# several operands.

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import TypeVar

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed
from .fire import NeuronArray, signed_width, step_by_sign
from .function_table import Clamp
from .product import Product, product_latency
from .requantise import target_shift

T = TypeVar("T")


def times(value, constant: int):
    """Return value·constant as a sum of shifts, as few as there are."""
    found, place, negative = None, 0, constant < 0
    constant = abs(constant)
    while constant:
        digit = 2 - (constant & 3) if constant & 1 else 0  # of the non-adjacent form
        term = value << place
        if digit:
            add = (digit > 0) != negative
            if found is None:
                found = term if add else -term
            else:
                found = found + term if add else found - term
        constant = (constant - digit) >> 1
        place += 1
    return 0 if found is None else found


def binary_steps(steps: int) -> tuple[int, ...]:
    """Return η(t) = 2^(T-1-t)."""
    return tuple(1 << k for k in reversed(range(steps)))


@dataclass(frozen=True, kw_only=True)
class PairNumbers:
    """Numbers of neurons of two operands, from which widths and latencies follow.

    Parameters
    ----------
    rest, steps
        v(0) and T; the schedule is binary.
    first, second
        Greatest |F1| and |F2|.
    fraction
        p of the comparison.
    kind
        ``dsp`` or ``lut``, see :class:`Product`.
    ties
        What happens where v = f: ``down`` sends no event, ``up`` one; ``even``, of a product alone,
        the one that leads to an even level.
    """

    rest: int
    steps: int
    first: int
    second: int
    fraction: int
    kind: str
    ties: str = "down"

    def __post_init__(self) -> None:
        if min(self.first, self.second) < 1:
            raise ValueError(f"operands must reach 1 at least, not {self.first} and {self.second}")

    @property
    def eta(self) -> tuple[int, ...]:
        return binary_steps(self.steps)

    @property
    def reaches(self) -> list[int]:
        """Greatest |v(t)|, by step."""
        return [abs(self.rest) + sum(self.eta[:t]) for t in range(self.steps)]

    # -- of the root -----------------------------------------------------------------------------

    @property
    def scale(self) -> int:
        """Greatest D = 4^p·F2."""
        return self.second << 2 * self.fraction

    @property
    def square(self) -> int:
        """Greatest v²·D that is compared."""
        return self.reaches[-1] ** 2 * self.scale

    @property
    def magnitude_bits(self) -> int:
        """Bits of |F1| that make a difference: 2^bits - 1 > √square, or all there are."""
        needed = (isqrt(self.square) + 1).bit_length()
        return min(self.first.bit_length(), needed)

    @property
    def saturates(self) -> bool:
        return self.magnitude_bits < self.first.bit_length()

    @property
    def swing(self) -> int:
        """Greatest η²·D + 2·η·|v|·D."""
        each = zip(self.eta, self.reaches, strict=True)
        return self.scale * max(step * (2 * v + step) for step, v in each)


class PairNeurons(wiring.Component, ABC):
    """Fire ``lanes`` neurons for T steps against f(F1, F2) that stands still (settled firing).

    e(t) = v(t) < f;  v(t+1) = v(t) + η(t) if e(t) else v(t) - η(t);  v(0) = rest

    Timing: operands of cycle c are fired on from cycle c + ``LOAD`` on, and the train stands in
    cycle c + ``LATENCY``, LOAD + T - 1. The next operands may come T cycles later at the earliest.
    Neither provides nor respects backpressure.

    Parameters
    ----------
    lanes
        Neurons in parallel.
    numbers
        Of each of them.
    shared
        F2 is the same for all lanes.

    Members
    -------
    valid : In
    first : In, lanes signed numbers
    second : In, the same; one where it is shared
    train_valid, train : Out, lanes words of T bits, bit t is e(t)
    firing, membrane, event : Out, for observation: v(t) and e(t) of the running step
    """

    valid: Signal
    first: data.View
    second: data.View
    train_valid: Signal
    train: data.View
    firing: Signal
    membrane: data.View
    event: Signal

    def __init__(self, *, lanes: int, numbers: PairNumbers, shared: bool) -> None:
        self.lanes, self.numbers, self.shared = lanes, numbers, shared
        self.rest, self.steps, self.eta = numbers.rest, numbers.steps, numbers.eta
        self.fraction, self.kind, self.ties = numbers.fraction, numbers.kind, numbers.ties
        self.greatest = numbers.first, numbers.second
        self.LOAD = self.load_latency(numbers)
        self.LATENCY = self.LOAD + self.steps - 1
        reach = sum(self.eta)
        self.membrane_shape = signed(signed_width(self.rest - reach, self.rest + reach))
        first_shape, second_shape = (signed(signed_width(-n, n)) for n in self.greatest)
        super().__init__(
            {
                "valid": In(1),
                "first": In(data.ArrayLayout(first_shape, lanes)),
                "second": In(data.ArrayLayout(second_shape, 1 if shared else lanes)),
                "train_valid": Out(1),
                "train": Out(data.ArrayLayout(unsigned(self.steps), lanes)),
                "firing": Out(1),
                "membrane": Out(data.ArrayLayout(self.membrane_shape, lanes)),
                "event": Out(lanes),
            }
        )

    @staticmethod
    @abstractmethod
    def load_latency(numbers: PairNumbers) -> int:
        """Cycles from the operands to the first step."""

    @abstractmethod
    def elaborate(self, platform) -> Module: ...

    @property
    def seconds(self) -> list[Value]:
        """F2 of each lane, or the one that all lanes share."""
        return [self.second[lane] for lane in range(1 if self.shared else self.lanes)]

    def second_of(self, values: Sequence[T], lane: int) -> T:
        """Return what belongs to a lane of numbers made of F2."""
        return values[0] if self.shared else values[lane]


class DividingNeurons(PairNeurons):
    """What neurons that divide share: the steps, the events, and F2 of at least 1.

    A subclass keeps what says v - f by its sign, and makes a step of it.

    Raises
    ------
    ValueError
        For ties to even levels.
    """

    def __init__(self, *, lanes: int, numbers: PairNumbers, shared: bool) -> None:
        if numbers.ties not in ("down", "up"):
            raise ValueError(f"neurons that divide settle ties down or up, not {numbers.ties}")
        super().__init__(lanes=lanes, numbers=numbers, shared=shared)

    @property
    def ties_fire(self) -> bool:
        """Whether v = f sends an event."""
        return self.ties == "up"

    def elaborate(self, platform) -> Module:
        m = Module()
        load = delayed(m, self.valid, self.LOAD - 1, name="load")
        left, eta = Signal(range(self.steps)), Signal(self.steps)  # one bit, that of η(t)
        m.d.comb += self.train_valid.eq(self.firing & (left == 0))
        with m.If(load):
            m.d.sync += [self.firing.eq(1), left.eq(self.steps - 1), eta.eq(self.eta[0])]
        with m.Elif(self.firing):
            m.d.sync += [self.firing.eq(left != 0), left.eq(left - 1), eta.eq(eta >> 1)]
        divisors = self._divisors(m)
        self._prepare(m, divisors)
        for lane in range(self.lanes):
            event = Signal(name=f"event_{lane}")
            v = Signal(self.membrane_shape, name=f"v_{lane}", reset_less=True)
            past = Signal(max(1, self.steps - 1), name=f"past_{lane}", reset_less=True)
            train = Cat(past, event) if self.steps > 1 else event
            m.d.sync += [
                v.eq(Mux(load, self.rest, step_by_sign(v, eta, event))),
                past.eq(train[1:] if self.steps > 1 else 0),
            ]
            m.d.comb += [
                event.eq(self._lane(m, lane, load, v)),
                self.event[lane].eq(event),
                self.membrane[lane].eq(v),
                self.train[lane].eq(train),
            ]
        return m

    def _divisors(self, m: Module) -> list[Signal]:
        """Register max(F2, 1)."""
        found = []
        for lane, second in enumerate(self.seconds):
            divisor = Signal(len(second) - 1, name=f"a_divisor_{lane}", reset_less=True)
            above = ~second[-1] & second[:-1].any()
            m.d.sync += divisor.eq(Mux(above, second[:-1], 1))
            found.append(divisor)
        return found

    @abstractmethod
    def _prepare(self, m: Module, divisors: list[Signal]) -> None:
        """Make of F2 what all lanes share where it is one."""

    @abstractmethod
    def _lane(self, m: Module, lane: int, load, v: Signal) -> Value:
        """Keep one neuron; return its event."""


class QuotientNeurons(DividingNeurons):
    """Fire against F1 / (F2·2^p), F2 of at least 1.

    residual = v·D - F1 (less 1 where a tie is an event),  D = F2·2^p;  e = residual < 0
    residual <- residual + η·D if e else residual - η·D,  and η·D is halved

    One add-or-subtract a step is the whole loop.
    """

    @staticmethod
    def load_latency(numbers: PairNumbers) -> int:
        return 2  # max(F2, 1); rest·D - F1

    def _prepare(self, m: Module, divisors: list[Signal]) -> None:
        self.divisors = divisors

    def _lane(self, m: Module, lane: int, load, v: Signal) -> Value:
        scale = self.greatest[1] << self.fraction
        start = self.numbers.reaches[-1] * scale + self.greatest[0] + self.ties_fire
        reach = max(start, self.eta[0] * scale)
        residual = Signal(signed(signed_width(-reach, reach)), name=f"r_{lane}", reset_less=True)
        divisor = self.second_of(self.divisors, lane) << self.fraction
        a_first = Signal.like(self.first[lane], name=f"a_first_{lane}", reset_less=True)
        step = Signal(range(self.eta[0] * scale + 1), name=f"step_{lane}", reset_less=True)
        event = residual[-1]
        m.d.sync += [
            a_first.eq(self.first[lane]),
            residual.eq(
                Mux(load, self._start(divisor, a_first), step_by_sign(residual, step, event))
            ),
            step.eq(Mux(load, divisor << (self.steps - 1), step >> 1)),
        ]
        return event

    def _start(self, divisor, first):
        """Return rest·D - F1, less 1 where a tie is an event; ~F1 is -F1 - 1."""
        whole = times(divisor, self.rest)
        return whole + ~first if self.ties_fire else whole - first


class RootNeurons(DividingNeurons):
    """Fire against F1 / (2^p·√F2), F2 of at least 1.

    Where the signs of v and F1 differ they decide; else (v·2^p)²·F2 against F1², the direction
    turning where both are negative. With D = 4^p·F2 the lane keeps

    r = v²·D - F1² (less 1 of negative F1, for which a tie is no event either; where a tie is one,
        less 1 of the others)
    up = E + 2·η·v·D,  down = E - 2·η·v·D,  E = η²·D

    and an event adds ``up`` to r, none adds ``down``. As η is halved and v moved by η,

    event:  up <- up/2 + 3·E/4,  down <- down/2 - 5·E/4
    none:   up <- up/2 - 5·E/4,  down <- down/2 + 3·E/4

    all of it exactly, by one addition each, and E <- E/4. |F1| is held at the least 2^k - 1 whose
    square is beyond all v²·D, where it makes no difference any more.
    """

    @staticmethod
    def load_latency(numbers: PairNumbers) -> int:
        square = product_latency(kind=numbers.kind, factor_bits=numbers.magnitude_bits)
        return 2 + numbers.saturates + square

    def _prepare(self, m: Module, divisors: list[Signal]) -> None:
        """Delay D until the square is there; make what starts of it, and what changes."""
        steps, rest, eta = self.steps, self.rest, self.eta[0]
        wait = self.LOAD - 2
        load = delayed(m, self.valid, self.LOAD - 1, name="load_second")
        self.starts, self.changes = [], []
        for n, divisor in enumerate(divisors):
            held = delayed(m, divisor, wait - 1, name=f"b_divisor_{n}", reset_less=True)
            held = held << 2 * self.fraction
            starts = []
            for name, factor in (
                ("square", rest * rest),
                ("up", eta * (eta + 2 * rest)),
                ("down", eta * (eta - 2 * rest)),
            ):
                product = times(held, factor)
                bound = abs(factor) * self.numbers.scale
                start = Signal(
                    signed(signed_width(-bound, bound)), name=f"{name}_{n}", reset_less=True
                )
                m.d.sync += start.eq(product)
                starts.append(start)
            c_divisor = delayed(m, divisor, wait, name=f"c_divisor_{n}", reset_less=True)
            quarter = (c_divisor << 2 * self.fraction) << 2 * (steps - 1) >> 2
            bound = self.numbers.scale * eta * eta // 4
            plus = Signal(range(3 * bound + 1), name=f"plus_{n}", reset_less=True)
            minus = Signal(range(-5 * bound - 1, 1), name=f"minus_{n}", reset_less=True)
            m.d.sync += [
                plus.eq(Mux(load, times(quarter, 3), plus >> 2)),
                minus.eq(Mux(load, times(quarter, -5), minus >> 2)),
            ]
            self.starts.append(starts)
            self.changes.append((plus, minus))

    def _lane(self, m: Module, lane: int, load, v: Signal) -> Value:
        negative, squared = self._square(m, lane)
        square, up_start, down_start = self.second_of(self.starts, lane)
        plus, minus = self.second_of(self.changes, lane)
        bits = self.numbers.magnitude_bits
        reach = max(self.numbers.square, ((1 << bits) - 1) ** 2 + 1)
        r = Signal(signed(signed_width(-reach, reach)), name=f"r_{lane}", reset_less=True)
        swing = self.numbers.swing
        shape = signed(signed_width(-swing, swing))
        down = Signal(shape, name=f"down_{lane}", reset_less=True)
        up = Signal(shape, name=f"up_{lane}", reset_less=True)
        d_negative = Signal(name=f"d_negative_{lane}", reset_less=True)
        event, v_negative, r_negative = Signal(name=f"fires_{lane}"), v[-1], r[-1]
        with m.If(load):
            m.d.sync += [
                d_negative.eq(negative),
                r.eq(square - squared - (~negative if self.ties_fire else negative)),
                down.eq(down_start),
                up.eq(up_start),
            ]
        with m.Else():
            m.d.sync += [
                r.eq(r + Mux(event, up, down)),
                up.eq((up >> 1) + Mux(event, plus, minus)),
                down.eq((down >> 1) + Mux(event, minus, plus)),
            ]
        m.d.comb += event.eq(Mux(d_negative, v_negative & ~r_negative, v_negative | r_negative))
        return event

    def _square(self, m: Module, lane: int) -> tuple[Value, Value]:
        """Return the sign of F1, and its square, in the cycle of the load."""
        first, bits = self.first[lane], self.numbers.magnitude_bits
        magnitude = Signal(self.greatest[0].bit_length(), name=f"a_size_{lane}", reset_less=True)
        m.d.sync += magnitude.eq(Mux(first[-1], -first, first))
        if self.numbers.saturates:
            held = Signal(bits, name=f"b_size_{lane}", reset_less=True)
            m.d.sync += held.eq(magnitude[:bits] | magnitude[bits:].any().replicate(bits))
            magnitude = held
        m.submodules[f"square_{lane}"] = product = Product(
            x_width=bits + 1, factor_bits=bits, kind=self.kind
        )
        m.d.comb += [product.x.eq(magnitude), product.factor.eq(magnitude)]
        wait = self.LOAD - 1
        negative = delayed(m, first[-1], wait, name=f"negative_{lane}", reset_less=True)
        return negative, product.product[: 2 * bits]


class TargetNeurons(PairNeurons):
    """What neurons share whose target is found before they fire.

    target = that of value / 2^p, see :func:`.target_shift`, held within what v can be told from;
    then as :class:`NeuronArray`.
    A subclass says what the value is, and how far it reaches.
    """

    def elaborate(self, platform) -> Module:
        m = Module()
        low, high = self.rest - sum(self.eta), self.rest + sum(self.eta) + 1
        reach = target_shift(self.reach, self.fraction, self.ties)
        width = signed_width(-reach, reach)
        m.submodules.clamp = clamp = Clamp(
            lanes=self.lanes, position_width=width, low=low, high=high
        )
        m.submodules.neurons = neurons = NeuronArray(
            lanes=self.lanes, rest=self.rest, eta=self.eta, target_low=low, target_high=high
        )
        for lane in range(self.lanes):
            rounded = Signal(signed(width), name=f"c_rounded_{lane}", reset_less=True)
            target = target_shift(self._value(m, lane), self.fraction, self.ties)
            m.d.sync += rounded.eq(target)
            m.d.comb += [
                clamp.position[lane].eq(rounded),
                neurons.targets.payload[lane].eq(clamp.target[lane]),
            ]
        # Operands come T cycles apart and nothing behind waits, so nothing waits here.
        wait = self.LOAD - 1 - Clamp.LATENCY
        m.d.comb += [
            clamp.valid.eq(delayed(m, self.valid, wait, name="valid")),
            neurons.targets.valid.eq(clamp.target_valid),
            neurons.trains.ready.eq(1),
            self.train_valid.eq(neurons.trains.valid),
            self.train.eq(neurons.trains.payload),
            self.firing.eq(neurons.firing),
            self.membrane.eq(neurons.membrane),
            self.event.eq(neurons.event),
        ]
        return m

    @property
    @abstractmethod
    def reach(self) -> int:
        """Greatest magnitude of a value."""

    @abstractmethod
    def _value(self, m: Module, lane: int) -> Value:
        """Return the value of a lane, LOAD - 2 - Clamp.LATENCY cycles after its operands."""


class ProductNeurons(TargetNeurons):
    """Fire against F1·F2 / 2^p."""

    @staticmethod
    def load_latency(numbers: PairNumbers) -> int:
        bits = numbers.second.bit_length()
        return 3 + Clamp.LATENCY + product_latency(kind=numbers.kind, factor_bits=bits)

    @property
    def reach(self) -> int:
        return self.greatest[0] * self.greatest[1]

    def _value(self, m: Module, lane: int) -> Value:
        """Multiply |F2| with F1, turned where F2 is negative."""
        bits = self.greatest[1].bit_length()
        second = self.second_of(self.seconds, lane)
        m.submodules[f"product_{lane}"] = product = Product(
            x_width=len(self.first[lane]), factor_bits=bits, kind=self.kind
        )
        turned = Signal.like(self.first[lane], name=f"a_first_{lane}", reset_less=True)
        magnitude = Signal(bits, name=f"a_second_{lane}", reset_less=True)
        m.d.sync += [
            turned.eq(Mux(second[-1], -self.first[lane], self.first[lane])),
            magnitude.eq(Mux(second[-1], -second, second)),
        ]
        m.d.comb += [product.x.eq(turned), product.factor.eq(magnitude)]
        return product.product
