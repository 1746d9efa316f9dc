"""The fault campaign: who is harmful, who is caught, and that an escape can be seen."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.core.core import Core, core_timing, to_verilog
from signfire.gen.design.design import Design
from signfire.gen.design.folding import Folding
from signfire.sim import faults
from signfire.sim.bulk import run_bulk
from signfire.sim.cycle import check_cycles
from signfire.sim.faults_netlist import Site
from signfire.sim.faults_numbers import Number, fits, numbers
from signfire.sim.faults_sample import KINDS, Fault, memory_site
from signfire.sim.specimens.chains import behind_means, random_design, random_windows
from signfire.sim.specimens.joins import EVERYTHING, WIDE, random_joins

pytestmark = pytest.mark.usefixtures("quick_compilation")

FOLDING = {
    "input": Folding(pe=2),
    "fc1": Folding(pe=3, simd=4),
    "fc2": Folding(pe=2, simd=3),
}
UNROLLED = {**FOLDING, "fc2": Folding(pe=2, simd=3, unroll=2)}
DESIGNS = {
    "settled": (random_design(folding=UNROLLED), "ice40-up"),
    "settled, offset": (random_design(folding=FOLDING, code="offset", schedule="inverse"), "ecp5"),
    "multiplying": (random_design(folding=UNROLLED).with_synapse("multiply"), "ecp5"),
    "overlapped": (
        random_design(
            folding=FOLDING, firing="overlapped", schedule="exponential", code="centred", seed=2
        ),
        "ecp5",
    ),
    "joined": (
        random_joins(
            shape=(4, 4),
            layers=EVERYTHING,
            code="centred",  # what stands beyond the planes is not 0, and the bias knows borders
            folding={
                "first": Folding(pe=2, unroll=3),  # faster than the sum, so that trains queue up
                "inner": Folding(pe=1, simd=2),
                "sum": Folding(),
                "greatest": Folding(pe=3),
                "out": Folding(pe=3, simd=3, unroll=3),
            },
        ),
        "ecp5",
    ),
    "bordered": (
        behind_means(
            random_windows(
                shape=(3, 4),
                layers=({"conv": 2, **WIDE}, {"conv": 2, **WIDE}, {"dense": 3}),
                code="centred",
                folding={
                    "conv1": Folding(pe=2),
                    "conv2": Folding(simd=2),
                    "dense3": Folding(pe=3, simd=4),
                },
            )
        ),
        "ecp5",
    ),
}
RAW = np.random.default_rng(1).integers(0, 256, (4, 8))  # of the perceptrons
COUNT = 20 * len(KINDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


def samples(design: Design) -> np.ndarray:
    """Of planes, which are many words already, there are fewer."""
    fmt, count = design.input_format, 4 if len(design.input.shape) == 1 else 2
    return np.random.default_rng(1).integers(fmt.low, fmt.high + 1, (count, design.input.size))


@pytest.fixture(scope="module", params=DESIGNS)
def found(request, folder):
    """Run a campaign over each design; return its name and what was found."""
    design, technology = DESIGNS[request.param]
    place = folder / request.param.replace(", ", "-")
    return request.param, faults.run_faults(
        design, samples(design), place, technology=technology, count=COUNT
    )


@pytest.fixture(scope="module")
def campaign(folder):
    """Prepare the settled campaign, in which a test can run faults of its own."""
    design, technology = DESIGNS["settled"]
    directory = folder / "single"
    return faults.Campaign(design, RAW, directory, faults.find_technology(technology), seed=0)


def test_no_harmful_fault_escapes(found) -> None:
    _, result = found
    harmful = [outcome for outcome in result.outcomes if outcome.harmful]

    assert result.passed
    assert len(result.outcomes) == COUNT
    assert len(harmful) > COUNT / 4
    assert all(outcome.first() in faults.CHECKS and outcome.evidence for outcome in harmful)


def test_every_kind_is_planted_and_what_lasts_is_harmful_somewhere(found) -> None:
    _, result = found
    planted = {kind: [o for o in result.outcomes if o.kind == kind] for kind in KINDS}

    assert {kind: len(outcomes) for kind, outcomes in planted.items()} == dict.fromkeys(KINDS, 20)
    for kind, outcomes in planted.items():
        first = "static" if kind == "file" else "cycle"
        assert any(outcome.first() == first for outcome in outcomes), kind
        if not kind.endswith("upset"):
            assert any(outcome.harmful for outcome in outcomes), kind


def test_some_faults_change_nothing_and_some_of_these_are_noticed_all_the_same(found) -> None:
    _, result = found
    harmless = [outcome for outcome in result.outcomes if not outcome.harmful]

    assert any(outcome.first() is None for outcome in harmless)
    assert any(outcome.first() == "cycle" for outcome in harmless)


@pytest.mark.parametrize(
    ("checks", "kinds"), [(("class",), set(KINDS) - {"file"}), (("cycle", "bulk"), {"file"})]
)
def test_a_crippled_check_lets_harmful_faults_escape(found, checks, kinds) -> None:
    _, result = found
    escaped = {outcome.kind for outcome in result.escapes(checks)}

    assert escaped & kinds
    assert all(outcome.harmful for outcome in result.escapes(checks))


def test_golden_model_and_second_simulation_agree_on_who_is_harmful(found) -> None:
    name, result = found
    judged = [o for o in result.outcomes if o.golden is not None and o.kind != "file"]
    kinds = {outcome.kind for outcome in judged}

    # Step by step Σ W enters; at borders a factor is wrong for one kind of pixel: no Design is so.
    unjudged = {"overlapped": {"weight"}, "bordered": {"factor"}}.get(name, set())
    assert kinds == {"weight", "bias", "factor", "eta"} - unjudged
    assert [o.golden for o in judged] == [o.events or o.answers for o in judged]


def test_equal_seeds_draw_equal_faults_and_a_larger_campaign_begins_alike(campaign) -> None:
    other = faults.Campaign(
        campaign.design, RAW, campaign.directory, campaign.technology, seed=campaign.seed + 1
    )

    few, many = campaign.sampler.faults(30), campaign.sampler.faults(60)
    assert many[:30] == few == campaign.sampler.faults(30)
    assert other.sampler.faults(30) != few
    assert [fault.id for fault in many] == list(range(60))


def test_a_fault_by_itself_ends_as_in_its_campaign(folder) -> None:
    design, technology = DESIGNS["settled"]
    settings = {"technology": technology, "count": COUNT}
    whole = faults.run_faults(design, RAW, folder / "settled", **settings)

    for number in (0, 8, 9):  # file, wire, register
        alone = faults.run_faults(design, RAW, folder / "settled", only=number, **settings)
        assert alone.outcomes == (whole.outcomes[number],)


def test_an_interrupted_campaign_goes_on_where_it_stopped(folder) -> None:
    design, technology = DESIGNS["settled"]
    place = folder / "settled"
    settings = {"technology": technology, "count": COUNT}
    whole = faults.run_faults(design, RAW, place, **settings)
    said = []

    def interrupt(word: str) -> None:
        if word == f"27 of {COUNT} faults":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        faults.run_faults(design, RAW, place, fresh=True, progress=interrupt, **settings)
    [record] = place.glob("faults-*.jsonl")
    assert len(record.read_text().splitlines()) == 27
    record.write_text(record.read_text() + '{"id": 8, "kind": "st')  # cut while writing

    again = faults.run_faults(design, RAW, place, progress=said.append, **settings)

    assert [word for word in said if " of " in word] == [
        f"{k} of {COUNT} faults" for k in range(28, COUNT + 1)
    ]
    assert again.outcomes == whole.outcomes


def wire(campaign, name: str, bit: int = 0) -> Site:
    """Return the bit that a cell drives on a net."""
    wanted = campaign.netlist.bits_of(name)[bit]
    return next(
        site
        for site in campaign.netlist.wires
        if campaign.netlist.cells[site.cell]["connections"][site.port][site.bit] == wanted
    )


def register(campaign, name: str) -> Site:
    """Return the lowest bit of a register by the net that it drives."""
    netlist = campaign.netlist
    wanted = netlist.bits_of(name)[0]
    return next(
        site
        for site in netlist.registers
        if netlist.cells[site.cell]["connections"]["Q"][site.bit] == wanted
    )


@pytest.fixture(scope="module")
def by_hand(campaign):
    """Run faults at chosen sites, all of one model; return each outcome by its id."""
    probe, due = second_sum(campaign)
    held = register(campaign, probe.value)
    chosen = [
        ("stuck-at-0", wire(campaign, "link_0_valid"), None),
        ("stuck-at-1", wire(campaign, "results_valid"), None),
        ("inverted", wire(campaign, "layer_0.seen_event"), None),
        ("register upset", held, due),
        ("register upset", held, due - 1),
    ]
    planted = [
        Fault(id=i, kind=kind, where="here", site=site, cycle=cycle)
        for i, (kind, site, cycle) in enumerate(chosen)
    ]
    return list(campaign.run(planted, planted, lambda _: None))


def second_sum(campaign):
    """Return the probe of the first layer's integrators and the cycle of sample 1's first."""
    probes = campaign.passes[0].expectation.probes
    probe = next(p for p in probes if (p.layer, p.what) == ("fc1", "integrator"))
    return probe, min(cycle for cycle, word in probe.words.items() if word.sample == 1)


def test_a_train_that_never_becomes_valid_is_a_hang_and_caught(by_hand) -> None:
    outcome = by_hand[0]

    assert outcome.hang and outcome.harmful
    assert set(outcome.caught) == {"cycle", "bulk", "class"}
    assert "does not come when it is due" in outcome.evidence


def test_results_without_end_come_to_an_end(by_hand) -> None:
    assert by_hand[1].harmful and {"cycle", "bulk"} <= set(by_hand[1].caught)


def test_an_event_that_is_inverted_is_harmful_and_named(by_hand) -> None:
    assert by_hand[2].events and by_hand[2].caught["cycle"] == 1
    assert by_hand[2].evidence.startswith("fc1 ")


def test_a_register_is_flipped_in_its_cycle_and_in_no_other(campaign, by_hand) -> None:
    _, due = second_sum(campaign)
    late, hit = by_hand[3], by_hand[4]  # D is inverted in the cycle before the one that shows it

    assert hit.evidence == f"fc1 integrator differs in cycle {due} at full speed"
    assert late.evidence != hit.evidence


def weight_fault(campaign, number: Number, value: int) -> Fault:
    """Return the fault that turns a weight in ROM into ``value``, which differs by one bit."""
    design, netlist = campaign.design, campaign.netlist
    memory = next(m for m in netlist.memories if m.role == "weight")
    for address in range(memory.depth):
        for bit in range(memory.width):
            site = memory_site(memory, address, bit)
            rom = campaign.sampler.rom_fault("weight", site)
            if (rom.number, rom.value) == (number, value):
                return Fault(id=0, kind="weight", where=site.name, site=site)
    raise AssertionError(f"no bit turns {number} into {value} from {number.read(design)}")


def visible_weight(campaign) -> tuple[Number, int, Design]:
    """Return a weight of fc1, what one bit makes of it, and a Design whose logits that changes."""
    for number in numbers(campaign.design)["weight"]:
        value = number.read(campaign.design) ^ 2
        if number.layer == "fc1" and abs(value) < 8:
            faulty = number.put(campaign.design, value)
            within = fits(campaign.sampler.core.plans[0], faulty)
            if within and campaign.judge.changes(faulty) == (True, True):
                return number, value, faulty
    raise AssertionError("every weight is masked")


def test_a_weight_that_has_lent_one_is_what_the_factor_makes_of_it(folder) -> None:
    design, technology = DESIGNS["multiplying"]
    campaign = faults.Campaign(
        design, RAW, folder / "lent", faults.find_technology(technology), seed=0
    )
    sampler, plan = campaign.sampler, campaign.sampler.core.plans[0]
    memory = next(
        m for m in sampler.netlist.memories if m.name.startswith("layer_0") and m.role == "weight"
    )

    changes = set()
    for address in range(memory.depth):
        for bit in range(memory.width):
            fault = sampler.rom_fault("weight", memory_site(memory, address, bit))
            change = fault.value - fault.number.read(design)
            changes.add(abs(change) == 2 ** (bit % plan.weight_bits))

    assert plan.packed > 1
    assert changes == {True}


def test_the_compiled_observers_see_what_the_checks_themselves_see(campaign, folder) -> None:
    # The silent code folds no weight into the bias, so this hardware is the faulty ROM's.
    design = campaign.design
    number, value, faulty = visible_weight(campaign)
    other = Core(faulty.with_folding(UNROLLED), campaign.technology)
    timing = core_timing(design, campaign.technology)
    fault = weight_fault(campaign, number, value)

    (seen,) = campaign.run([fault], [fault], lambda _: None)
    cycle = check_cycles(
        design, RAW, folder / "cycle", technology=campaign.technology, under_test=other
    )
    bulk = run_bulk(
        design,
        RAW,
        folder / "bulk",
        technology=campaign.technology,
        verilog=to_verilog(other),
        timing=timing,
    )

    first = cycle.mismatches[0]
    assert seen.evidence == (
        f"{first.layer} {first.what} differs in cycle {first.cycle} at full speed"
    )
    assert seen.caught["bulk"] == 1 + bulk.mismatches[0].sample


def test_hardware_that_fails_without_a_fault_is_refused(folder, monkeypatch) -> None:
    design, technology = DESIGNS["settled"]
    timing = faults.core_timing

    def late(*arguments):
        sound = timing(*arguments)
        layers = (replace(sound.layers[0], total=sound.layers[0].total + 1), *sound.layers[1:])
        return replace(sound, layers=layers)

    monkeypatch.setattr(faults, "core_timing", late)

    with pytest.raises(RuntimeError, match=r"^the hardware without a fault does not pass"):
        faults.run_faults(
            design, RAW, folder / "settled", technology=technology, count=COUNT, fresh=True
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"raw": RAW[:0]}, "a fault campaign needs at least one sample"),
        ({"count": 0}, "a campaign needs at least 1 fault, not 0"),
        ({"count": 5, "only": 5}, "there is no fault 5 among 5: they are 0 to 4"),
        ({"only": -1}, "there is no fault -1 among 200: they are 0 to 199"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_work(tmp_path, options, message) -> None:
    design, _ = DESIGNS["settled"]

    with pytest.raises(ValueError, match=f"^{message}$"):
        faults.run_faults(**{"design": design, "raw": RAW, "directory": tmp_path, **options})

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "what"),
    [({"function": "gelu", "code": "offset"}, "gelu"), ({"limit": 5}, "relu with a limit")],
)
def test_a_campaign_on_other_functions_is_refused(tmp_path, options, what):
    with pytest.raises(
        ValueError,
        match=rf"^fault campaigns know layers of ReLU and maxima alone, and 'fc1' is {what}$",
    ):
        faults.run_faults(random_design(folding=FOLDING, **options), RAW, tmp_path)


@pytest.fixture(scope="module")
def joined(folder):
    """Prepare the campaign over the network that forks and joins."""
    design, technology = DESIGNS["joined"]
    directory = folder / "joined"
    return faults.Campaign(
        design, samples(design), directory, faults.find_technology(technology), seed=0
    )


def greatest_word(campaign):
    """Return the probe of the maxima and the cycle of sample 1's first."""
    probe = next(p for p in campaign.passes[0].expectation.probes if p.what == "maximum")
    return probe, min(cycle for cycle, word in probe.words.items() if word.sample == 1)


HELD = {  # what holds events of forks, joins and maxima
    "a queue in front of a fork": "layer_0.fifo.storage",
    "lines of the second branch": "layer_2.reader_1.buffer.ram.memory",
    "lines that are compared": "layer_3.reader_0.buffer.ram.memory",
    "a sample of the second branch": "layer_4.reader_1.buffer.ram.memory",
}


def busy_cycle(campaign, memory: str) -> int:
    """Return a cycle in which a memory holds what is still to be read."""
    layer = campaign.passes[0].expectation.prediction.layers[int(memory[6])]
    if "reader" in memory:
        return layer.begins[len(layer.begins) // 2] - 1
    stays = [taken - pushed for taken, pushed in zip(layer.taken, layer.pushed, strict=True)]
    return layer.taken[int(np.argmax(stays))] - 1


@pytest.fixture(scope="module")
def in_joins(joined, pytestconfig):
    """Run faults at chosen sites of forks, joins and maxima; return outcomes by what they hit.

    Of the bits of a larger memory a deep run flips each, another every fifth.
    """
    deep = pytestconfig.getoption("--deep")
    _, due = greatest_word(joined)
    greatest = register(joined, "layer_3.maximum.greatest_0")
    sites = {
        "a reader that the fork leaves out": ("stuck-at-1", wire(joined, "fork_1.has_1"), None),
        "the turn of the second branch": ("stuck-at-0", wire(joined, "layer_2.turn"), None),
        "a sum over both branches": ("inverted", wire(joined, "layer_2.sums"), None),
        "a comparison": ("inverted", wire(joined, "layer_3.maximum.greatest_0"), None),
        "the greatest as it is read": ("register upset", greatest, due - 1),
        "the greatest when it was read": ("register upset", greatest, due),
    }
    memories = {m.name.split("$")[0]: m for m in joined.netlist.memories}
    chosen = list(sites.items())
    for what, name in HELD.items():
        memory, cycle = memories[name], busy_cycle(joined, name)
        bits = list(np.ndindex(memory.depth, memory.width))
        apart = 1 if deep or len(bits) < 60 else 5
        chosen += [
            (what, ("memory upset", memory_site(memory, address, bit), cycle))
            for address, bit in bits[::apart]
        ]
        early = [memory_site(memory, address, 0) for address in range(memory.depth)[::apart]]
        chosen += [(f"{what}, unwritten", ("memory upset", site, 1)) for site in early]
    planted = [
        Fault(id=i, kind=kind, where=what, site=site, cycle=cycle)
        for i, (what, (kind, site, cycle)) in enumerate(chosen)
    ]
    found: dict[str, list] = {}
    for outcome in joined.run(planted, planted, lambda _: None):
        found.setdefault(outcome.where, []).append(outcome)
    return found


def test_a_reader_that_a_fork_leaves_out_is_a_hang_and_caught(in_joins) -> None:
    (outcome,) = in_joins["a reader that the fork leaves out"]

    assert outcome.hang and outcome.harmful
    assert "does not come when it is due" in outcome.evidence


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ("the turn of the second branch", "sum "),
        ("a sum over both branches", "sum sum differs "),
        ("a comparison", "greatest maximum differs "),
    ],
)
def test_a_fault_in_a_join_or_a_maximum_is_harmful_and_named(in_joins, what, named) -> None:
    (outcome,) = in_joins[what]

    assert outcome.events and outcome.caught["cycle"] == 1
    assert outcome.evidence.startswith(named)


def test_a_greatest_train_that_is_flipped_is_seen_until_it_was_handed_on(joined, in_joins) -> None:
    _, due = greatest_word(joined)
    (hit,), (late,) = (
        in_joins["the greatest as it is read"],
        in_joins["the greatest when it was read"],
    )

    assert hit.harmful
    assert hit.evidence == f"greatest maximum differs in cycle {due} at full speed"
    assert not late.harmful and late.first() is None


@pytest.mark.parametrize("what", HELD)
def test_events_flipped_where_they_are_held_are_caught(in_joins, what) -> None:
    outcomes = in_joins[what]

    assert any(outcome.harmful for outcome in outcomes)
    assert all(outcome.first() == "cycle" for outcome in outcomes if outcome.harmful)


@pytest.mark.parametrize("what", HELD)
def test_what_is_flipped_before_it_is_written_is_masked_and_called_harmless(in_joins, what) -> None:
    outcomes = in_joins[f"{what}, unwritten"]

    assert outcomes
    assert not any(outcome.harmful or outcome.caught or outcome.hang for outcome in outcomes)
