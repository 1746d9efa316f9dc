"""Cost of the parts that kinds of layer share: from the readers to the results under way."""

from collections.abc import Callable
from dataclasses import replace

from ...hdl.constant_sums import logic_latency
from ...hdl.words import packed_width
from ..cost import (
    Resources,
    address_bits,
    apart_from_adder,
    carry_luts,
    counter_luts,
    fifo_cost,
    gated_tree_cost,
    multiplexer_luts,
    product_cost,
    ram_cost,
    rom_cost,
    scaled,
    total,
    tree_cost,
)
from ..design.population import bits_for
from ..model.ties import EVEN
from ..technology import Technology
from .constant_cost import logic_cost
from .plan import LayerPlan


def sums_of_trains(
    plan: LayerPlan, integrators: Callable[[LayerPlan], Resources] | None = None
) -> dict[str, Resources]:
    """Price the parts that lead from trains to sums, results under way, and control.

    ``integrators`` prices what takes the sums; by default :func:`integrators_cost`.
    """
    return {
        "buffer": buffer_cost(plan),
        "weights": weights_cost(plan),
        "synapses": synapses_cost(plan),
        "integrators": (integrators or integrators_cost)(plan),
        "fifo": results_cost(plan),
        "control": control_cost(plan),
    }


def buffer_cost(plan: LayerPlan) -> Resources:
    """Readers of all sources, and the choice among them where there are several."""
    readers = total(reader.cost(plan.technology) for reader in plan.readers)
    return readers + choice_cost(plan) if plan.is_join else readers


def choice_cost(plan: LayerPlan) -> Resources:
    """Events of the reader whose turn it is, and whose turn that is."""
    fold, turns = plan.folding, address_bits(len(plan.readers))
    firsts = fold.pe if plan.apart else 1
    shared = sum(not reader.apart for reader in plan.readers)
    ways = firsts * multiplexer_luts(len(plan.readers))
    ways += (fold.simd - 1) * multiplexer_luts(shared)
    ends = len(plan.readers) * -(-address_bits(plan.words) // 3)
    words = sum(counter_luts(reader.words) for reader in plan.readers[1:])
    return Resources(
        lut=round(plan.unroll * ways) + ends + words + 2 * turns,
        ff=2 * turns + sum(address_bits(reader.words) for reader in plan.readers[1:]),
        lone_ff=turns,
    )


def weights_cost(plan: LayerPlan) -> Resources:
    if plan.folding.is_logic:
        return Resources()
    words = plan.tiles * plan.weight_words
    registered, style = plan.technology.rom_registered, plan.weight_style
    return rom_cost(plan.technology, words, plan.word_bits, registered, style)


def synapses_cost(plan: LayerPlan) -> Resources:
    """Gates and trees of every step, and the adders that join the steps."""
    fold, bits = plan.folding, plan.weight_bits
    if fold.is_logic:
        return logic_cost(plan)
    if fold.multiplies:
        return multipliers_cost(plan)
    tree = gated_tree_cost(plan.technology, fold.simd, bits, plan.first_bits)
    one = scaled(tree, plan.unroll)
    width = plan.first_bits + address_bits(fold.simd) + plan.unroll - 1
    join = tree_cost(plan.technology, plan.unroll, width)
    return scaled(one + join, fold.pe)


def multipliers_cost(plan: LayerPlan) -> Resources:
    """Products, in the fields of a block's or each of LUTs, the borrows given back, the trees."""
    fold, technology, packed = plan.folding, plan.technology, plan.packed
    field = plan.weight_bits + plan.unroll
    trees = scaled(tree_cost(technology, fold.simd, field), fold.pe)
    if not packed:
        technology = replace(technology, multiplier="lut")
        one = product_cost(technology, plan.weight_bits, plan.unroll)
        return scaled(one, fold.pe * fold.simd) + trees
    count = -(-fold.pe // packed)
    least, more = divmod(fold.pe, count)  # outputs of a block are shared evenly
    blocks = scaled(_block_cost(plan, least), (count - more) * fold.simd)
    if more:
        blocks += scaled(_block_cost(plan, least + 1), more * fold.simd)
    return blocks + trees


def _block_cost(plan: LayerPlan, outputs: int) -> Resources:
    """Price a DSP block that multiplies the weights of ``outputs`` with one input."""
    technology, unroll = plan.technology, plan.unroll
    field = plan.weight_bits + unroll
    width = packed_width(weight_bits=plan.weight_bits, unroll=unroll, packed=outputs)
    product = product_cost(technology, width, unroll)
    if plan.packed == 1:
        return product
    return product + Resources(
        lut=(outputs - 1) * carry_luts(technology, field),
        ff=outputs * field,
        lone_ff=field + (outputs - 1) * apart_from_adder(technology, field),
    )


def accumulators_cost(plan: LayerPlan) -> Resources:
    """Accumulators: a choice and an adder a bit."""
    technology, width = plan.technology, plan.total_width
    accumulator = Resources(
        lut=width + carry_luts(technology, width),
        ff=width,
        lone_ff=apart_from_adder(technology, width),
    )
    return scaled(accumulator, plan.folding.pe)


def sums_cost(plan: LayerPlan) -> Resources:
    """Accumulators and the drain's shift."""
    pe, lanes, width = plan.folding.pe, plan.lanes, plan.total_width
    shifting = (pe - lanes) * width
    return accumulators_cost(plan) + Resources(lut=shifting, ff=pe * width, lone_ff=lanes * width)


def integrators_cost(plan: LayerPlan) -> Resources:
    """Accumulators, drain, bias and constants."""
    technology, lanes = plan.technology, plan.lanes
    width, x = plan.total_width, plan.x_width
    constants = rom_cost(technology, plan.constant_words, plan.constant_width, False)
    lane = Resources(
        lut=carry_luts(technology, x),
        ff=width + x + plan.factor_bits,
        lone_ff=width + plan.factor_bits + apart_from_adder(technology, x),
    )
    if plan.weighted:
        eta_bits = max(plan.source.spike_code.eta).bit_length()
        product = product_cost(technology, width + 2, eta_bits)
        behind = 2 if technology.multiplier == "dsp" else 2 + address_bits(eta_bits)
        carried = (x + plan.factor_bits) * behind + width
        lane = lane + product
        lane = lane + Resources(
            lut=carry_luts(technology, width + 2) + x,
            ff=width + 2 + carried,
            lone_ff=carried + apart_from_adder(technology, width + 2),
        )
        state = ram_cost(technology, plan.groups, lanes * x, state_style(plan, lanes * x))
        constants = constants + state
    return sums_cost(plan) + constants + scaled(lane, lanes) + border_cost(plan)


def border_cost(plan: LayerPlan) -> Resources:
    """Counters of windows, and the choice of their constants where these differ by pixel."""
    border = plan.border
    if border.count == 1:
        return Resources()
    address = address_bits(plan.constant_words)
    choices = 0
    for numbers in (border.rows, border.columns):
        common = max(numbers.count(kind) for kind in set(numbers))
        choices += (len(numbers) - common) * -(-address_bits(len(numbers)) // 3)
    within = plan.constant_words // border.count
    counts = (len(border.rows), len(border.columns), within)
    return Resources(
        lut=sum(counter_luts(n) for n in counts) + choices + 2 * address,
        ff=sum(address_bits(n) for n in counts) + address,
    )


def state_style(plan: LayerPlan, width: int) -> str:
    """Return where what is kept of every group of a tile lies."""
    return plan.technology.ram_style(plan.groups, width)


def results_cost(plan: LayerPlan) -> Resources:
    """Results under way."""
    return fifo_cost(plan.technology, plan.fifo_depth, plan.result_bits)


def control_cost(plan: LayerPlan) -> Resources:
    """Loop counters, and control and event bits that travel beside the pipeline."""
    fold = plan.folding
    depth = 1 + address_bits(fold.simd) + address_bits(plan.unroll)
    if plan.packed:
        depth = 1 + (plan.packed > 1) + address_bits(fold.simd)
    if fold.is_logic:
        depth = logic_latency(depth=plan.constant_depth, unroll=plan.unroll)
    registered = plan.technology.rom_registered and not fold.is_logic  # a ROM of weights
    depth += 2 if registered else plan.readers[0].latency
    inputs = fold.simd - 1 + (fold.pe if plan.apart else 1)
    events = inputs * plan.unroll if registered else 0
    address = address_bits(plan.tiles * plan.weight_words)
    counters = address_bits(plan.tiles) + address_bits(plan.planes) + address_bits(plan.period)
    if plan.skips:  # the row follows a cycle later, and its address another one
        depth, events = depth + 2, events + 2 * inputs * plan.unroll
        counters = sum(map(address_bits, (plan.tiles, plan.planes, plan.words, plan.rest)))
    return Resources(
        lut=3 * address + 2 * counters + 15,
        ff=2 * address + counters + 5 * depth + events,
        lone_ff=5 * depth + events,
    )


def ties_cost(ties: str, shift: int) -> Resources:
    """Of ties to even levels: whether a product is whole and its level odd, the carry of rounding.

    The other rules add another constant, which costs nothing.
    """
    return Resources(lut=-(-(shift + 2) // 3)) if ties == EVEN else Resources()


def neuron_cost(
    technology: Technology, rest: int, eta: tuple[int, ...], low: int, high: int
) -> Resources:
    """One neuron of settled firing: rest - target, the step, the choice between the two."""
    step = max(eta)
    bits = bits_for(min(rest - high, -step), max(rest - low, step))
    steps = len(eta)
    return Resources(
        lut=2 * carry_luts(technology, bits) + bits,
        ff=bits + steps - 1,
        lone_ff=steps - 1 + apart_from_adder(technology, bits),
    )
