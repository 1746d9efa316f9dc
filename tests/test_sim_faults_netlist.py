"""The netlist of the campaign: its sites, and that it is the core but for the faults."""

import re

import pytest

from signfire.gen.core.core import Core, to_verilog
from signfire.gen.design.folding import Folding
from signfire.sim.faults_netlist import Netlist, Plant, readable
from signfire.sim.specimens.chains import random_design

FOLDING = {"input": Folding(pe=2), "fc1": Folding(pe=3, simd=4), "fc2": Folding(pe=2, simd=3)}


@pytest.fixture(scope="module")
def netlist(tmp_path_factory) -> Netlist:
    core = Core(random_design(folding=FOLDING), "ecp5")
    return Netlist(to_verilog(core), tmp_path_factory.mktemp("netlist"))


def test_roms_and_rams_are_known_by_what_they_hold(netlist) -> None:
    roles = sorted((m.name.split("$")[0], m.role) for m in netlist.memories if not m.written)

    assert roles == [
        ("layer_0.integrator.rom.memory", "layer constant"),
        ("layer_0.tail.neurons.steps.rom.memory", "eta"),
        ("layer_0.weights", "weight"),
        ("layer_1.integrator.rom.memory", "layer constant"),
        ("layer_1.weights", "weight"),
    ]
    assert {m.name for m in netlist.memories if m.written} == {
        f"layer_{k}.{what}"
        for k in (0, 1)
        for what in ("reader_0.buffer.ram.memory", "fifo.storage")
    }


def test_a_memory_holds_what_the_component_was_given(netlist) -> None:
    (memory,) = (m for m in netlist.memories if m.name == "layer_0.tail.neurons.steps.rom.memory")

    assert memory.content == random_design(folding=FOLDING)["fc1"].code.eta


def test_what_is_only_observed_is_no_hardware(netlist) -> None:
    working = set(netlist.working)
    membrane = netlist.bits_of("layer_0.seen_membrane")
    drivers = {
        cell
        for cell, record in netlist.cells.items()
        for port, bits in record["connections"].items()
        if record["port_directions"][port] == "output" and set(bits) & set(membrane)
    }

    assert drivers and not drivers & working  # the hardware holds v - f(x), never v itself


def test_every_register_is_a_wire_too(netlist) -> None:
    assert {site.name for site in netlist.registers} <= {site.name for site in netlist.wires}


def test_each_plant_has_a_switch_of_its_own(netlist) -> None:
    sites = netlist.wires[::50]
    plants = [Plant(site=s, mode=m) for s in sites for m in ("stuck-at-0", "stuck-at-1")]
    plants += [Plant(site=s, mode="inverted") for s in netlist.constants[::50]]

    text = netlist.instrumented(plants, netlist.bits_of("link_0_valid"))

    used = {int(bit) for bit in re.findall(r"fault_switched\[(\d+)\]", text)}
    assert used == set(range(len(plants)))
    assert f"input [{len(plants) - 1}:0] fault_active;" in text


def test_every_memory_can_be_reached_from_outside(netlist) -> None:
    text = netlist.instrumented([], netlist.bits_of("link_0_valid"))

    found = re.findall(r"fault_memory_(\d+) \[\d+:0\] /\*verilator public_flat_rw\*/;", text)
    assert sorted(map(int, found)) == [memory.index for memory in netlist.memories]


def test_a_signal_that_does_not_exist_is_refused(netlist) -> None:
    with pytest.raises(ValueError, match=r"^the netlist has no signal 'link_9_valid'$"):
        netlist.bits_of("link_9_valid")


def test_names_are_those_of_the_source() -> None:
    assert readable("$flatten\\layer_0.\\drain.$procmux$12_Y") == "layer_0.drain.$procmux$12_Y"
    assert readable("layer_0.x[3]") == "layer_0.x[3]"
