"""Neurons obey their equation for every input: proofs by yosys-smtbmc and z3.

Each test states how deep it goes: by induction a property holds for ever; by bounded model check
(bmc) in all runs of so many cycles after reset.
"""

import pytest
from amaranth.asserts import AnyConst
from amaranth.hdl import Array, Assert, Assume, Const, Module, Mux, Signal
from amaranth.lib import data

from signfire.hdl import fire, requantise
from signfire.hdl.delay import delayed
from signfire.sim.formal import Opened, OpenRam, prove

# rest, eta, least and greatest target; schedules of all kinds, one to six steps, 2 to 9 bits
CODES = {
    "one step": (1, (1,), 0, 2),
    "silent binary": (15, (8, 4, 2, 1), 0, 31),
    "silent binary, large targets": (7, (4, 2, 1), 0, 100),
    "offset binary": (15 - 6, (8, 4, 2, 1), -20, 40),
    "centred exponential": (0, (20, 17, 14, 12, 10), -80, 80),
    "silent inverse": (147, (60, 30, 20, 15, 12, 10), 0, 300),
    "constant": (0, (3, 3, 3, 3), -40, 5),
}


def step(v, target, eta):
    """v(t+1) = v(t) - eta(t)·σ(t), σ = +1 where v >= f(x), else -1."""
    return Mux(v >= target, v - eta, v + eta)


def settled_property(neurons, low: int, high: int) -> Module:
    """Each target gives one train, whose bit t is v(t) < target, whenever it is asked for."""
    m = Module()
    m.submodules.dut = dut = Opened(neurons)
    eta, rest, steps = neurons.eta, neurons.rest, len(neurons.eta)
    firing, t = Signal(), Signal(range(steps))
    take = neurons.targets.valid & neurons.targets.ready
    give = neurons.trains.valid & neurons.trains.ready
    m.d.comb += [
        Assert(neurons.firing == firing),
        Assert(neurons.trains.valid == firing & (t == steps - 1)),
        Assert(neurons.targets.ready == ~firing | give),
    ]
    with m.If(give):
        m.d.sync += firing.eq(0)
    with m.If(take):
        m.d.sync += [firing.eq(1), t.eq(0)]
    with m.Elif(firing & (t != steps - 1)):
        m.d.sync += t.eq(t + 1)
    size = Array(Const(n, 16) for n in eta)[t]
    m.d.comb += [
        Assert(t < steps),
        Assert(dut.signal("steps.step") == Mux(firing, t, 0)),
        Assert(~firing | (dut.signal("steps.rom.data") == size)),
    ]
    reach = Array(Const(sum(eta[:n]), 16) for n in range(steps))[t]
    for lane in range(neurons.lanes):
        offered = neurons.targets.payload[lane]
        target = Signal(neurons.target_shape)
        v = Signal(neurons.membrane_shape)
        events = Signal(steps)
        below = v < target
        m.d.comb += Assume((offered >= low) & (offered <= high))
        with m.If(take):
            m.d.sync += [target.eq(offered), v.eq(rest), events.eq(0)]
        with m.Elif(firing & (t != steps - 1)):
            m.d.sync += [v.eq(step(v, target, size)), events.eq(events | below << t)]
        with m.If(firing):
            m.d.comb += [
                Assert(neurons.membrane[lane] == v),
                Assert(neurons.event[lane] == below),
                # What makes the proof carry: the registers stand for v, target and events.
                Assert(dut.signal(f"residual_{lane}") == v - target),
                Assert(dut.signal(f"target_{lane}") == target),
                Assert((v >= rest - reach) & (v <= rest + reach)),
                Assert((target >= low) & (target <= high)),
                Assert(events >> t == 0),
            ]
            if steps > 1:
                past = dut.signal(f"past_{lane}")
                m.d.comb += Assert(past >> (steps - 1 - t).as_unsigned() == events)
        with m.If(neurons.trains.valid):
            m.d.comb += Assert(neurons.trains.payload[lane] == events | below << (steps - 1))
    return m


@pytest.mark.parametrize(
    ("code", "lanes"),
    [
        *((code, 1) for code in CODES),
        ("silent binary", 2),
        *(
            pytest.param(code, 2, marks=pytest.mark.deep)
            for code in CODES
            if code != "silent binary"
        ),
    ],
)
def test_a_settled_neuron_obeys_its_equation_for_all_targets(code, lanes, tmp_path):
    """Induction, 2 cycles."""
    rest, eta, low, high = CODES[code]
    dut = fire.NeuronArray(lanes=lanes, rest=rest, eta=eta, target_low=low, target_high=high)

    proof = prove(
        settled_property(dut, low, high), tmp_path, component=dut, depth=2, induction=True
    )

    assert () == proof.failed


def overlapped_property(neurons) -> Module:
    """Any one group: v, event and train are those of the equation while its target moves."""
    m = Module()
    m.submodules.dut = dut = Opened(neurons)
    eta, rest, steps, groups = neurons.eta, neurons.rest, len(neurons.eta), neurons.groups
    watched = AnyConst(range(groups))
    group, t = Signal(range(groups)), Signal(range(steps))
    rested = Signal(range(neurons.FEEDBACK + 1), init=neurons.FEEDBACK)  # of the watched group
    running = Signal()
    turn, last = neurons.valid & (group == watched), t == steps - 1
    size = Array(Const(n, 16) for n in eta)[t]
    m.d.sync += rested.eq(Mux(turn, 1, Mux(rested < neurons.FEEDBACK, rested + 1, rested)))
    m.d.comb += [
        Assume(watched < groups),
        Assume(~turn | (rested == neurons.FEEDBACK)),
        Assert(neurons.firing == delayed(m, neurons.valid, 2, name="valid")),
        Assert((group < groups) & (t < steps) & (rested != 0)),
        Assert(dut.signal("steps.step") == t),
        Assert(dut.signal("first_step") == (t == 0)),
        # The first step size is read in the first cycle after reset.
        Assume(running | ~neurons.valid),
        Assert(running | (group == 0) & (t == 0) & (rested == neurons.FEEDBACK)),
        Assert(~running | (dut.signal("steps.rom.data") == size)),
    ]
    m.d.sync += running.eq(1)
    if groups > 1:
        m.d.comb += Assert(dut.signal("read_address") == group)
    with m.If(neurons.valid):
        m.d.sync += group.eq(Mux(group == groups - 1, 0, group + 1))
        with m.If(group == groups - 1):
            m.d.sync += t.eq(Mux(last, 0, t + 1))

    its_turn = delayed(m, turn, 2, name="turn")
    m.d.comb += Assert(its_turn == (rested == 2))
    done = delayed(m, turn & last, 2, name="done")
    m.d.comb += Assert(~its_turn | (neurons.train_valid == done))
    row = Array(dut.signal(f"ram.row_{n}") for n in range(groups))[watched]
    stored = data.View(neurons.entry, row)
    turns = Mux(group > watched, t + 1, t)  # that the watched group had of this tile
    for lane in range(neurons.lanes):
        kept, v = Signal(neurons.membrane_shape), Signal(neurons.membrane_shape)
        events, train = Signal(steps), Signal(steps)
        event = v < neurons.target[lane]
        m.d.comb += [
            v.eq(Mux(t == 0, rest, kept)),
            train.eq(Mux(t == 0, 0, events) | event << t),
        ]
        with m.If(turn):
            m.d.sync += [kept.eq(step(v, neurons.target[lane], size)), events.eq(train)]
        for seen, expected in (
            (neurons.membrane[lane], v),
            (neurons.event[lane], event),
            (Mux(done, neurons.train[lane], 0), Mux(last, train, 0)),
        ):
            then = delayed(m, expected, 2, name="then")
            m.d.comb += Assert(~its_turn | (seen == then))
        # What makes the proof carry: the memory holds v and the events at the high end.
        held = (rested == neurons.FEEDBACK) & (turns != 0)
        held_events = stored.train[lane] >> (steps - turns).as_unsigned()[: steps.bit_length()]
        m.d.comb += Assert(~held | (stored.membrane[lane] == kept) & (held_events == events))
        reach = Array(Const(sum(eta[:n]), 16) for n in range(steps + 1))[turns]
        bounded = (kept >= rest - reach) & (kept <= rest + reach) & (events >> turns == 0)
        m.d.comb += Assert((turns == 0) | bounded)
    return m


@pytest.fixture
def open_memory(monkeypatch):
    """Memories whose words a property may read."""
    monkeypatch.setattr(fire, "Ram", OpenRam)


@pytest.mark.parametrize(
    ("code", "groups", "lanes"),
    [
        ("one step", 1, 1),
        ("silent binary", 1, 1),
        ("offset binary", 2, 2),
        ("centred exponential", 3, 1),
        ("constant", 4, 1),
    ],
)
def test_an_overlapped_neuron_obeys_its_equation_for_moving_targets(
    code, groups, lanes, tmp_path, open_memory
):
    """Induction, 6 cycles."""
    rest, eta, low, high = CODES[code]
    dut = fire.OverlappedNeurons(
        lanes=lanes,
        groups=groups,
        rest=rest,
        eta=eta,
        target_width=fire.signed_width(low, high),
    )

    proof = prove(overlapped_property(dut), tmp_path, component=dut, depth=6, induction=True)

    assert () == proof.failed


def requantiser_property(requantiser) -> Module:
    """F is the least integer with F·2^S >= X·M, and with ReLU not below 0.

    With ties up it is the least with F·2^S > X·M; with ties to even levels too, where X·M / 2^S is
    a whole number of which the level below is odd.
    """
    m = Module()
    m.submodules.dut = requantiser
    latency, shift = requantiser.LATENCY, requantiser.shift
    began = Signal(range(latency + 1))
    m.d.sync += began.eq(Mux(began == latency, latency, began + 1))
    for lane in range(requantiser.lanes):
        x = delayed(m, requantiser.x[lane], latency, name=f"x_{lane}")
        factor = delayed(m, requantiser.factor[lane], latency, name=f"factor_{lane}")
        exact = x * factor
        target = requantiser.target[lane]
        reached, below = target << shift, (target - 1) << shift
        least = (reached >= exact) & (below < exact)
        above = (reached > exact) & (below <= exact)
        whole = (exact >> shift) << shift == exact
        turned = {"down": 0, "up": 1, "even": whole & ((exact >> shift) % 4 == 3)}
        holds = Mux(turned[requantiser.ties], above, least)
        positive = exact >= 0 if requantiser.ties == "up" else exact > 0
        with m.If(began == latency):
            m.d.comb += Assert(Mux(positive, holds, target == 0) if requantiser.relu else holds)
    expected = delayed(m, requantiser.valid, latency, name="valid")
    m.d.comb += Assert(requantiser.target_valid == expected)
    return m


@pytest.mark.few(4)  # both ways to multiply, each with ReLU and without
@pytest.mark.parametrize(
    ("kind", "x_width", "factor_bits", "shift", "relu"),
    [
        ("dsp", 6, 6, 7, True),
        ("lut", 5, 4, 3, False),
        ("dsp", 9, 3, 1, False),
        ("lut", 4, 1, 1, True),
        ("lut", 6, 3, 6, True),
        ("lut", 6, 3, 6, False),
        ("dsp", 6, 6, 7, False),
        ("lut", 5, 4, 3, True),
        ("dsp", 9, 3, 1, True),
        ("lut", 4, 1, 1, False),
    ],
)
def test_requantisation_rounds_up_for_all_x_and_factors(
    kind, x_width, factor_bits, shift, relu, tmp_path, ties="down"
):
    """Induction over the whole pipeline."""
    dut = requantise.Requantiser(
        lanes=1,
        x_width=x_width,
        factor_bits=factor_bits,
        shift=shift,
        target_width=x_width + factor_bits,
        kind=kind,
        relu=relu,
        ties=ties,
    )
    depth = dut.LATENCY + 2

    proof = prove(requantiser_property(dut), tmp_path, component=dut, depth=depth, induction=True)

    assert () == proof.failed


@pytest.mark.parametrize(("ties", "relu"), [("up", True), ("even", False)])
def test_requantisation_settles_ties_for_all_x_and_factors(ties, relu, tmp_path):
    """Induction over the whole pipeline."""
    test_requantisation_rounds_up_for_all_x_and_factors("lut", 5, 4, 3, relu, tmp_path, ties)


SETTLED_FAULTS = {
    "the tie goes the other way": (
        "        event = residual[-1]",
        "        event = residual <= 0",
    ),
    "a step too large": (
        "following.eq(Mux(self.proceed, Mux(self.last, 0, step + 1), step))",
        "following.eq(Mux(self.proceed, Mux(self.last, 0, step + 1), 0))",
    ),
    "the last step does not wait": (
        "proceed.eq(self.firing & (~steps.last | self.trains.ready))",
        "proceed.eq(self.firing)",
    ),
    "v begins beside its rest": ("self.rest - self.targets", "self.rest + 1 - self.targets"),
    "a residual that is too narrow": (
        "self.residual_shape = signed(signed_width(low, high))",
        "self.residual_shape = signed(signed_width(low, high) - 1)",
    ),
    "steps turned round": ("(~up).replicate", "up.replicate"),
    "events in the wrong order": ("train = Cat(past, event)", "train = Cat(event, past)"),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("fault", SETTLED_FAULTS)
def test_a_settled_neuron_with_a_fault_is_refuted(fault, mutated, tmp_path):
    """The proof of the settled neuron can fail."""
    rest, eta, low, high = CODES["silent binary, large targets"]
    copy = mutated(fire, SETTLED_FAULTS[fault])
    dut = copy.NeuronArray(lanes=1, rest=rest, eta=eta, target_low=low, target_high=high)

    proof = prove(
        settled_property(dut, low, high), tmp_path, component=dut, depth=12, induction=False
    )

    assert () != proof.failed


OVERLAPPED_FAULTS = {
    "the tie goes the other way": ("v < a_target[lane]", "v <= a_target[lane]"),
    "the step size of the next step": (
        "delayed(m, steps.step_size, 2",
        "delayed(m, steps.step_size, 1",
    ),
    "no fresh start": ("Mux(a_first, self.rest, a_state.membrane[lane])", "a_state.membrane[lane]"),
    "stored under another group": (
        'delayed(m, group, 2, name="b_group"',
        'delayed(m, group, 1, name="b_group"',
    ),
    "an event is lost": ("Cat(past, self.event[lane])[1:]", "Cat(past, self.event[lane])[:-1]"),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("fault", OVERLAPPED_FAULTS)
def test_an_overlapped_neuron_with_a_fault_is_refuted(fault, mutated, tmp_path):
    """The proof of the overlapped neuron can fail."""
    rest, eta, *_ = CODES["offset binary"]
    copy = mutated(fire, OVERLAPPED_FAULTS[fault])
    copy.Ram = OpenRam
    dut = copy.OverlappedNeurons(lanes=1, groups=3, rest=rest, eta=eta, target_width=8)

    proof = prove(overlapped_property(dut), tmp_path, component=dut, depth=10, induction=False)

    assert () != proof.failed


REQUANTISER_FAULTS = {
    "rounded down": ("(value + ((1 << shift) - 1 - (first << shift)))", "value"),
    "rounded to nearest": (
        "((1 << shift) - 1 - (first << shift))) >>",
        "((1 << (shift - 1)) - (first << shift))) >>",
    ),
    "a negative target": ("~rounded[-1].replicate", "rounded[-1].replicate"),
    "valid too late": ("m, self.valid, self.LATENCY,", "m, self.valid, self.LATENCY + 1,"),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("fault", REQUANTISER_FAULTS)
def test_a_requantiser_with_a_fault_is_refuted(fault, mutated, tmp_path):
    """The proof of requantisation can fail."""
    copy = mutated(requantise, REQUANTISER_FAULTS[fault])
    dut = copy.Requantiser(lanes=1, x_width=6, factor_bits=4, shift=3, target_width=10, kind="dsp")

    proof = prove(requantiser_property(dut), tmp_path, component=dut, depth=6, induction=False)

    assert () != proof.failed
