"""Integrate-and-fire hardware in Verilator: what golden says, on its cycle; faults are seen."""

from dataclasses import replace

import numpy as np
import pytest

from signfire.gen.core.core import Core, core_timing, to_verilog
from signfire.gen.design.folding import Folding
from signfire.gen.layers.rate import rtl
from signfire.hdl import integrate_fire
from signfire.sim import golden
from signfire.sim.bulk import TOP, run_bulk
from signfire.sim.cycle import check_cycles
from signfire.sim.faults import run_faults
from signfire.sim.specimens.chains import random_design
from signfire.sim.specimens.rate import as_rate

pytestmark = pytest.mark.usefixtures("quick_compilation")

FOLDING = {
    "input": Folding(pe=2),
    "fc1": Folding(pe=3, simd=4),
    "fc2": Folding(pe=2, simd=3),
    "fc3": Folding(pe=4, simd=2),
}
RAW = np.random.default_rng(1).integers(-40, 41, (4, 8))


def rate():
    design = random_design(seed=5, sizes=(8, 6, 4, 4), input_range=(-40, 40), folding=FOLDING)
    return as_rate(design, steps=9, seed=2)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """One folder, so that the RTL is compiled once for all faults."""
    return tmp_path_factory.mktemp("rate")


def changed(design, layer, **changes):
    """Return the design with other attributes of one population."""
    return replace(
        design,
        populations=tuple(
            replace(p, **changes) if p.name == layer else p for p in design.populations
        ),
    )


def theta_off_by_one(design):
    """Of the neuron that sends most events."""
    fired = sum(golden.trace(design, raw).populations["fc2"].events.sum(axis=0) for raw in RAW)
    theta = design["fc2"].threshold.copy()
    theta[np.argmax(fired)] += 1
    return changed(design, "fc2", threshold=theta)


def one_weight(design):
    operand = design["fc1"].operands[0]
    projection = operand.projections[0]
    weights = projection.map.weights.copy()
    weights[4, 1] ^= 1
    other = replace(projection, map=projection.map.with_weights(weights))
    return changed(design, "fc1", operands=(replace(operand, projections=(other,)),))


def one_bias_of_the_readout(design):
    operand = design["fc3"].operands[0]
    bias = operand.bias.copy()
    bias[2] += 1
    return changed(design, "fc3", operands=(replace(operand, bias=bias),))


def threshold_of_the_input(design):
    return changed(design, "input", threshold=design["input"].threshold + 1)


FAULTS = {  # what is first seen of it: layer, kind
    theta_off_by_one: ("fc2", {"membrane", "event"}),
    one_weight: ("fc1", {"sum"}),
    one_bias_of_the_readout: ("fc3", {"integrator"}),
    threshold_of_the_input: ("input", {"membrane", "event"}),
}


def test_every_word_stands_on_its_cycle(directory):
    free = check_cycles(rate(), RAW, directory)
    stalled = check_cycles(rate(), RAW, directory, stalls=(0.5, 0.5), seed=3)

    assert free.mismatches == stalled.mismatches == ()
    assert stalled.cycles > free.cycles
    assert free.words > 1000


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_number_that_is_off_is_seen_where_it_is(directory, fault):
    layer, kinds = FAULTS[fault]

    found = check_cycles(
        fault(rate()),
        RAW,
        directory,
        under_test=Core(rate(), "ecp5"),
        timing=core_timing(rate(), "ecp5"),
    ).mismatches

    assert found
    assert found[0].layer == layer
    assert found[0].what in kinds


def test_a_reset_to_zero_is_seen(tmp_path, mutated, monkeypatch):
    """It must take θ off the membrane, or what lies beyond it is lost."""
    zeroing = mutated(
        integrate_fire, ("Mux(self.event[lane], taken, kept)", "Mux(self.event[lane], 0, kept)")
    )
    monkeypatch.setattr(rtl, "IntegrateFireNeurons", zeroing.IntegrateFireNeurons)

    found = check_cycles(rate(), RAW, tmp_path).mismatches

    assert (found[0].layer, found[0].what) == ("fc1", "membrane")
    assert found[0].got == 0


def test_bulk_agrees_on_every_word_and_a_fault_is_seen(tmp_path):
    design = rate()
    raw = np.random.default_rng(2).integers(-40, 41, (200, 8))
    verilog = to_verilog(Core(design, "ecp5"), TOP)

    sound = run_bulk(design, raw, tmp_path, verilog=verilog, stalls=(0.2, 0.2))
    faulty = run_bulk(theta_off_by_one(design), raw, tmp_path, verilog=verilog)

    assert sound.passed
    assert sound.words == 200 * 4
    assert len(set(sound.labels.tolist())) > 1
    assert not faulty.passed
    assert {m.what for m in faulty.mismatches} <= {"logit", "label"}


def test_a_fault_campaign_is_refused(tmp_path):
    with pytest.raises(ValueError, match="alone, and 'random5-rate' has if"):
        run_faults(rate(), RAW, tmp_path)
