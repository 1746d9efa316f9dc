"""Every kind of layer, reader and encoder through every question."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.core.core import Core, core_timing
from signfire.gen.core.estimate import estimate
from signfire.gen.core.plans import no_hardware, plan_layers
from signfire.gen.core.shape import differences
from signfire.gen.cost import Budget, total
from signfire.gen.design.folding import Folding
from signfire.gen.encoders.kinds import ENCODERS
from signfire.gen.fold.alternative import EQUAL_INTERVAL, EQUAL_LANES, alternatives
from signfire.gen.fold.fold import auto_fold
from signfire.gen.layers.cycles import steady
from signfire.gen.layers.kinds import LAYERS, layer_kind
from signfire.gen.model.network import MAX
from signfire.gen.readers.kinds import READERS, reader_kind
from signfire.gen.technology import find_technology
from signfire.sim.bulk import run_bulk
from signfire.sim.cycle import check_cycles, hardware
from signfire.sim.expect.expectation import expect
from signfire.sim.specimens.chains import random_design, random_windows
from signfire.sim.specimens.joins import random_joins
from signfire.sim.specimens.minima import random_minima
from signfire.sim.specimens.pairs import random_pairs
from signfire.sim.specimens.rate import as_rate
from signfire.sim.specimens.repeated import random_repeated

pytestmark = pytest.mark.usefixtures("quick_compilation")

TECHNOLOGY = find_technology("ecp5")
PAIR = dict(rows=(1, 2), features=2, channels=2, steps=3, input_steps=3)
POOLED = dict(
    shape=(4, 4),
    steps=3,
    input_steps=3,
    layers=(
        {"conv": 2, "window": (2, 2), "padding": (0, 1, 0, 1)},
        {"max": (2, 2), "stride": (2, 2)},
        {"dense": 2},
    ),
)
TURNED = {  # two channels are read where pixels came
    "first": [("input", {"conv": 2, "window": (1, 1)})],
    "turned": [("first", {"conv": 2, "window": (1, 1), "turned": True})],
    "out": [("turned", {"pooled": 2})],
}
MEAN = dict(
    shape=(2, 3),
    steps=2,
    input_steps=2,
    layers=({"conv": 2, "window": (1, 1)}, {"pooled": 2}, {"dense": 2}),
)
SPECIMENS = {  # the smallest Designs in which every kind occurs
    "overlapped": lambda: random_design(
        sizes=(4, 4, 2), firing="overlapped", schedule="exponential", code="centred", steps=3
    ),
    "maximum": lambda: random_windows(seed=1, **POOLED),
    "mean": lambda: random_windows(seed=1, **MEAN),
    "turned": lambda: random_joins(seed=2, shape=(1, 3, 2), layers=TURNED),
    "product": lambda: random_pairs(function="multiply", shared=False, **PAIR),
    "quotient": lambda: random_pairs(function="divide", **PAIR),
    "root": lambda: random_pairs(function="divide_root", **PAIR),
    "minimum": lambda: random_minima(planes=(1, 2, 2), channels=2, steps=3, input_steps=3),
    "repeated": lambda: random_repeated(seed=3),
    "repeated, turned": lambda: random_repeated(seed=3, planes=(2, 2, 2), turned=True),
    "rate": lambda: as_rate(random_design(sizes=(4, 4, 2)), steps=3),
    "skipping": lambda: random_design(sizes=(8, 6, 3), steps=3, input_range=(-40, 9), seed=4),
    "skipping, overlapped": lambda: random_design(sizes=(4, 4, 2), firing="overlapped", steps=3),
}
SKIPPING = {  # by specimen, how its layers are folded where they leave silent words out
    "skipping": dict(fc1=Folding(pe=3, simd=2, skips=True), fc2=Folding(pe=3, skips=True)),
    "skipping, overlapped": dict(fc1=Folding(pe=2, skips=True), fc2=Folding(skips=True)),
}
FAULTY = {  # layers of each whose numbers are changed, so that each kind has to be told of
    "overlapped": ("fc1", "fc2"),
    "maximum": ("max2",),
    "mean": ("pooled2",),
    "turned": ("turned",),
    "product": ("pair",),
    "quotient": ("pair",),
    "root": ("pair",),
    "minimum": ("least",),
    "repeated": ("behind",),
    "repeated, turned": ("behind",),
    "rate": ("fc1", "fc2"),
    "skipping": ("fc1", "fc2"),
    "skipping, overlapped": ("fc1", "fc2"),
}
KNOWN: dict[str, object] = {}


def made(name: str):
    """Return the specimen, one lane a layer but where it says another folding."""
    if name not in KNOWN:
        design = SPECIMENS[name]()
        folding = {p.name: Folding() for p in design.populations} | SKIPPING.get(name, {})
        KNOWN[name] = design.with_folding(folding)
    return KNOWN[name]


def plans_of(name: str):
    return plan_layers(made(name), TECHNOLOGY)


def samples(design, count: int = 2) -> np.ndarray:
    fmt = design.input_format
    shape = (count, design.input.size)
    return np.random.default_rng(7).integers(fmt.low, fmt.high + 1, shape)


def with_biases(design, change, layers=None):
    """Return the Design with other biases in layers that have numbers of their own."""
    return replace(
        design,
        populations=tuple(
            replace(p, operands=tuple(replace(o, bias=change(o.bias)) for o in p.operands))
            if p.operands and p.function != MAX and (layers is None or p.name in layers)
            else p
            for p in design.populations
        ),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder for each specimen, so that equal Verilog is compiled once."""
    root = tmp_path_factory.mktemp("kinds")
    return lambda name: root / name


def test_every_kind_of_layer_reader_and_encoder_has_a_specimen():
    layers, readers, encoders = set(), set(), set()
    for name in SPECIMENS:
        entry, plans = plans_of(name)
        encoders.add(type(entry))
        layers |= {type(plan) for plan in plans}
        readers |= {type(reader) for plan in plans for reader in plan.readers}

    assert layers == set(LAYERS)
    assert readers == set(READERS)
    assert encoders == set(ENCODERS)
    told = [p for name in FAULTY for p in plans_of(name)[1] if p.name in FAULTY[name]]
    assert {type(plan) for plan in told} == set(LAYERS)
    for family in (LAYERS, READERS, ENCODERS):
        assert len({kind.kind for kind in family}) == len(family)


@pytest.mark.parametrize("name", SPECIMENS)
def test_one_kind_claims_every_population_and_every_source(name):
    design = made(name)

    assert no_hardware(design) is None
    assert [kind for kind in ENCODERS if kind.claims(design)] == [type(plans_of(name)[0])]
    for plan in plans_of(name)[1]:
        assert [kind for kind in LAYERS if kind.claims(design, plan.population)] == [type(plan)]
        for reader in plan.readers:
            found = [kind for kind in READERS if kind.claims(reader.source, reader.map)]
            assert found == [type(reader)]
            assert type(reader).refuses(reader.source, reader.map) == ""


UNSETTLED = {  # what the kind of a population says where firing is overlapped
    ("maximum", "conv1"): "reads planes, for which firing must be settled",
    ("maximum", "max2"): "is a maximum, for which firing must be settled and the schedule binary",
    ("turned", "out"): "reads planes, for which firing must be settled",
    ("repeated", "behind"): "reads planes, for which firing must be settled",
    **{
        (name, *FAULTY[name]): "has two operands, for which firing must be settled and the "
        "schedule binary"
        for name in ("product", "quotient", "root", "minimum")
    },
}


@pytest.mark.parametrize(("name", "layer"), UNSETTLED)
def test_a_kind_refuses_what_it_has_no_hardware_for(name, layer):
    design = made(name)
    bare = {p.name: replace(p, folding=None) for p in design.populations}
    overlapped = replace(design, firing="overlapped", populations=tuple(bare.values()))
    population = overlapped[layer]

    assert (
        layer_kind(overlapped, population).refuses(overlapped, population)
        == (UNSETTLED[name, layer])
    )
    assert "there is no RTL for this network: " in no_hardware(overlapped)


def test_integrate_and_fire_refuses_a_network():
    design = made("rate")
    first = replace(design.input, threshold=design.input.threshold - 1)
    other = replace(design, populations=(first, *design.populations[1:]))

    assert no_hardware(other).startswith("there is no RTL for an input whose threshold is less")
    for plan in plans_of("rate")[1]:
        assert type(plan).refuses_network(other) == no_hardware(other)


def test_a_reader_refuses_an_order_that_no_loops_make(monkeypatch):
    reader = plans_of("turned")[1][1].readers[0]
    kind = type(reader)
    monkeypatch.setattr("signfire.gen.readers.scattered.plan.can_scatter", lambda *a: False)

    assert reader_kind(reader.source, reader.map) is kind
    assert kind.refuses(reader.source, reader.map) == (
        "reads planes in an order that no nested loops make of that in which they come (the shape "
        f"of 'first' is {'x'.join(map(str, reader.source.shape))})"
    )


@pytest.mark.parametrize("name", SPECIMENS)
def test_what_is_known_of_a_layer_is_known_of_all_its_foldings(name):
    for plan in plans_of(name)[1]:
        plan.cost()
        pe = plan.pe_options[-1]
        folded = plan.refolded(replace(plan.folding, pe=pe), source_lanes=1, simd=0)

        assert folded.facts is plan.facts
        assert type(folded) is type(plan)
        other = replace(plan, population=replace(plan.population, place="elsewhere"))
        assert other.facts is not plan.facts


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_cost_is_the_sum_of_its_parts(name):
    found = estimate(made(name), TECHNOLOGY)

    assert found.resources == total(found.parts.values())
    assert found.resources == total(layer.resources for layer in found.layers)
    for layer, plan in zip(found.layers[1:], plans_of(name)[1], strict=True):
        assert layer.parts == plan.cost()
        assert all(price.lut or price.ff or price.block_ram for price in layer.parts.values())


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_search_folds_every_kind_and_keeps_to_its_word(name):
    budget = Budget(lut=3000, ff=3000, block_ram=20, multipliers=8)

    choice = auto_fold(made(name), TECHNOLOGY, budget)

    folded = choice.design
    entry, plans = plan_layers(folded, TECHNOLOGY)
    slowest = max(entry.interval, *(plan.interval for plan in plans))
    assert choice.interval == slowest <= steady(core_timing(made(name), TECHNOLOGY))[1]
    assert estimate(folded, TECHNOLOGY, budget).fits


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_design_fits_its_own_shape_and_greater_numbers_do_not(name):
    design = made(name)
    smaller = with_biases(design, lambda bias: bias // 2)

    assert list(differences(design, design, TECHNOLOGY)) == []
    assert list(differences(design, smaller, TECHNOLOGY)) == []
    for plan in plans_of(name)[1]:
        greater = with_biases(design, lambda bias: bias + (1 << 40), {plan.name})
        reasons = list(differences(design, greater, TECHNOLOGY))
        assert bool(reasons) == (plan.population.function != MAX)
        assert all(repr(plan.name) in reason for reason in reasons)
    cores = [Core(design, TECHNOLOGY), Core(smaller, TECHNOLOGY, design)]
    each = [{key: (rom.width, len(rom.content)) for key, rom in c.roms.items()} for c in cores]
    assert each[0] == each[1]


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_design_is_compared_with_multipliers_or_refused(name):
    design = made(name)
    if name in ("overlapped", "rate", "skipping, overlapped"):
        with pytest.raises(ValueError, match="multipl"):
            alternatives(design, TECHNOLOGY, 8)
        return

    found = alternatives(design, TECHNOLOGY, 8)

    assert {EQUAL_LANES, EQUAL_INTERVAL} <= set(found)
    wanted = [plan.interval for plan in plans_of(name)[1]]
    _, plans = plan_layers(found[EQUAL_INTERVAL], TECHNOLOGY)
    assert all(plan.interval <= most for plan, most in zip(plans, wanted, strict=True))


def seen_by(plan) -> set[str]:
    """Return what is observed of a layer and of those within."""
    own = {observation.quantity for observation in plan.observations()}
    within = enumerate(plan.parts, 1)
    return own | {f"operand {k} {what}" for k, part in within for what in seen_by(part)}


@pytest.mark.parametrize("name", SPECIMENS)
def test_every_observation_is_expected_in_every_sample(name):
    design = made(name)
    raw = samples(design)

    found = expect(design, core_timing(design, TECHNOLOGY), TECHNOLOGY, raw)

    probes = {(p.layer, p.what): p for p in found.probes}
    for plan in plans_of(name)[1]:
        assert {what for layer, what in probes if layer == plan.name} == seen_by(plan)
    for probe in probes.values():
        assert {word.sample for word in probe.words.values()} == set(range(len(raw)))


@pytest.mark.parametrize("name", SPECIMENS)
def test_every_word_stands_on_its_cycle_with_stalls_and_faults_are_seen(name, folder):
    design = made(name)
    raw = samples(design)

    verilog = hardware(Core(design, TECHNOLOGY))
    settings = {"technology": TECHNOLOGY, "verilog": verilog}

    passed = check_cycles(design, raw, folder(name), **settings, stalls=(0.3, 0.3))

    assert passed.passed, passed.mismatches[:3]
    for plan in (plan for plan in plans_of(name)[1] if plan.name in FAULTY[name]):
        # the hardware is that of the design, and what is judged has another number
        own = {plan.name} if plan.population.function != MAX else {plan.source.name}
        faulty = with_biases(design, lambda bias: bias + 1, own)
        found = check_cycles(faulty, raw, folder(name), **settings, shape=design).mismatches
        assert own <= {mismatch.layer for mismatch in found}
        assert "raw word" not in {mismatch.what for mismatch in found}


@pytest.mark.parametrize("name", SPECIMENS)
def test_bulk_runs_other_numbers_in_the_shape_with_stalls_and_a_reset(name, folder):
    design = made(name)
    other = with_biases(design, lambda bias: bias // 2)

    found = run_bulk(
        other,
        samples(design, 6),
        folder(f"{name}-bulk"),
        technology=TECHNOLOGY,
        shape=design,
        stalls=(0.3, 0.3),
        reset_at=40,
    )

    assert found.passed, found.mismatches[:3]
    assert found.samples == 6
