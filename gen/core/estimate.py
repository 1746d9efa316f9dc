"""Estimate: what a folded Design costs on a device family, by arithmetic alone.

Every figure comes from the plan's numbers and from how the hardware is built, see :mod:`..cost`.
Block RAM and multipliers are counted as synthesis counts them; LUTs and flip-flops are close, which
the tests repeat.
"""

from dataclasses import dataclass, replace

from ..cost import (
    Budget,
    Resources,
    address_bits,
    apart_from_adder,
    carry_luts,
    counter_luts,
    fifo_cost,
    multiplexer_luts,
    parts_cost,
    product_cost,
    ram_cost,
    rom_cost,
    scaled,
    total,
    tree_cost,
)
from ..design.design import Design, InputFormat, bits_for
from ..layers.pair import PairPlan
from ..layers.plan import InputPlan, LayerPlan, MaximumPlan, RatePlan, packed_width, plan_layers
from ..layers.reader import Reader
from ..technology import Technology, find_technology

PARTS = ("encoder", "buffer", "weights", "synapses", "integrators", "neurons", "fifo", "control")


@dataclass(frozen=True, kw_only=True)
class LayerEstimate:
    """Resources of one layer by part, see :data:`PARTS`; the input's only part is the encoder."""

    name: str
    parts: dict[str, Resources]

    @property
    def resources(self) -> Resources:
        return total(self.parts.values())


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a Design costs; the host link is not part of it."""

    technology: str
    layers: tuple[LayerEstimate, ...]
    budget: Budget | None = None

    @property
    def resources(self) -> Resources:
        return total(layer.resources for layer in self.layers)

    @property
    def parts(self) -> dict[str, Resources]:
        """Over all layers, by part."""
        return {
            part: total(layer.parts[part] for layer in self.layers if part in layer.parts)
            for part in PARTS
        }

    @property
    def fits(self) -> bool | None:
        """Whether the budget holds; ``None`` without one."""
        return None if self.budget is None else self.budget.fits(self.resources)


def estimate(
    design: Design, technology: Technology | str, budget: Budget | None = None
) -> Estimate:
    """Estimate the core of a folded Design.

    Raises
    ------
    ValueError
        If the design is not folded, or is not what the RTL can build.
    """
    technology = find_technology(technology)
    entry, plans = plan_layers(design, technology)
    layers = [
        LayerEstimate(
            name=entry.name,
            parts={"encoder": encoder_cost(entry, design.input_format, technology)},
        )
    ]
    layers += [LayerEstimate(name=plan.name, parts=layer_cost(plan)) for plan in plans]
    return Estimate(technology=technology.name, layers=tuple(layers), budget=budget)


# -- parts -------------------------------------------------------------------------------------


def encoder_cost(entry: InputPlan, fmt: InputFormat, technology: Technology) -> Resources:
    """Product by a constant, rounding and neurons for every lane."""
    raw = bits_for(min(fmt.low, 0), fmt.high)
    if entry.threshold is not None:
        return rate_encoder_cost(entry, fmt, technology)
    high = max(0, -(-fmt.high * fmt.multiplier >> fmt.shift))
    low = min(0, -(-fmt.low * fmt.multiplier >> fmt.shift))
    target = bits_for(min(low, -1), high)
    odd = fmt.multiplier // (fmt.multiplier & -fmt.multiplier)  # the zeros below cost nothing
    terms = (odd ^ 3 * odd).bit_count()  # digits 1 and -1 that sum up to it, for the fewest
    lane = Resources(
        lut=terms * carry_luts(technology, raw + odd.bit_length()),  # additions, and the rounding
        ff=target,
        lone_ff=apart_from_adder(technology, target),
    )
    neuron = neuron_cost(technology, entry.code.rest, entry.code.eta, low, high)
    return scaled(lane + neuron, entry.lanes) + Resources(lut=10, ff=4)


def rate_encoder_cost(entry: InputPlan, fmt: InputFormat, technology: Technology) -> Resources:
    """Price the current of every neuron, I - θ, the choice between the two, and the residual."""
    assert entry.threshold is not None
    bits, steps = entry.threshold.bit_length(), entry.code.steps
    offset = 0 if fmt.low == 0 else carry_luts(technology, bits)
    less = carry_luts(technology, bits + 1)
    lane = Resources(
        lut=offset + less + 2 * bits + carry_luts(technology, bits + 1),
        ff=bits + 2 * (bits + 1) + bits + steps - 1,
        lone_ff=2 * bits + steps - 1 + apart_from_adder(technology, bits + 1),
    )
    return scaled(lane, entry.lanes) + Resources(lut=10, ff=4 + address_bits(steps))


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


def layer_cost(plan: LayerPlan) -> dict[str, Resources]:
    """Resources of a layer, by part."""
    if isinstance(plan, PairPlan):
        from ..layers.estimate_pair import pair_cost  # which is made of the parts of this module

        return pair_cost(plan)
    if isinstance(plan, MaximumPlan):
        return {
            "buffer": buffer_cost(plan),
            "maxima": maxima_cost(plan),
            "fifo": results_cost(plan),
            "control": control_cost(plan),
        }
    if isinstance(plan, RatePlan):
        return {
            "buffer": buffer_cost(plan),
            "weights": weights_cost(plan),
            "synapses": synapses_cost(plan),
            "integrators": sums_cost(plan),
            "neurons": rate_neurons_cost(plan),
            "fifo": results_cost(plan),
            "control": control_cost(plan),
        }
    return {
        "buffer": buffer_cost(plan),
        "weights": weights_cost(plan),
        "synapses": synapses_cost(plan),
        "integrators": integrators_cost(plan),
        "neurons": readout_cost(plan) if plan.is_readout else neurons_cost(plan),
        "fifo": results_cost(plan),
        "control": control_cost(plan),
    }


def buffer_cost(plan: LayerPlan) -> Resources:
    """Readers of all sources, and the choice among them where there are several."""
    readers = total(reader_cost(reader, plan.technology) for reader in plan.readers)
    return readers + choice_cost(plan) if plan.is_join else readers


def reader_cost(reader: Reader, technology: Technology) -> Resources:
    """Row of trains under collection (a choice a bit), the memory, counters."""
    if reader.turned:
        return scatter_cost(reader, technology)
    steps = reader.source_code.steps
    row, width = reader.word * steps, reader.word * reader.folding.unroll
    depth = buffer_depth(reader.lines, reader.line_words, reader.planes)
    memory = ram_cost(technology, depth, width, technology.ram_style(depth, width))
    counters = counter_luts(reader.line_words) + counter_luts(reader.planes)
    shifting = row if reader.planes > 1 else 0  # a bit moves on, or the row is entered
    gather = gather_cost(technology, reader.word, reader.source_lanes, steps)
    own = Resources(
        lut=shifting + counters + 10,
        ff=row + address_bits(reader.line_words) + address_bits(reader.planes) + 5,
        lone_ff=row - shifting,
    )
    return gather + memory + own + (Resources() if reader.places is None else walk_cost(reader))


def scatter_cost(reader: Reader, technology: Technology) -> Resources:
    """Price a word of trains that leave one by one, loops to their places, memory, plane."""
    steps, word, depth = reader.source_code.steps, reader.word, reader.scatter_depth
    memory = parts_cost(technology, depth, word, steps)
    place = address_bits(depth) + address_bits(word)
    index = address_bits(reader.source.size * reader.lines)
    lanes, part = reader.source_lanes, address_bits(reader.source_lanes)
    loops = Resources(
        lut=carry_luts(technology, address_bits(depth))
        + 2 * place  # which constant, and the narrow sum
        + 2 * index
        + word,  # which slot
        ff=place + index,
        lone_ff=apart_from_adder(technology, address_bits(depth)),
    )
    entry = Resources(
        lut=(lanes - 1) * steps + counter_luts(lanes) + 10,
        ff=lanes * steps + part + address_bits(reader.lines + 1) + 1,
        lone_ff=steps,
    )
    planes = round(word * reader.folding.unroll * multiplexer_luts(reader.planes))
    chosen = Resources(lut=planes, ff=address_bits(reader.planes))
    if reader.places is None:
        walk = Resources(lut=counter_luts(reader.lines), ff=address_bits(reader.lines))
    else:
        walk = walk_cost(reader)
    return memory + loops + entry + chosen + walk


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
        lut=round(fold.unroll * ways) + ends + words + 2 * turns,
        ff=2 * turns + sum(address_bits(reader.words) for reader in plan.readers[1:]),
        lone_ff=turns,
    )


def walk_cost(reader: Reader) -> Resources:
    """Counters of windows, place and start in a line and in the planes, events of the padding.

    Where channels are picked, a choice among as many as there are tiles.
    """
    places = reader.places
    assert places is not None
    grouped = reader.groups > 1
    apart = grouped or (reader.apart and not reader.picked)
    own = reader.group_words if grouped else 1
    inner = [n for n in (own, reader.group_tiles) if n > 1] if grouped else []
    windows = sum(counter_luts(n) for n in places.positions)
    run = places.size[1] * (own if apart else reader.pixel_words)
    column = address_bits(reader.line_words) + 1
    line, circle = address_bits(places.height) + 1, address_bits(reader.lines)
    starts = 2 if apart else 1
    picks = 0.0
    if reader.picked:
        tiles = len(reader.weights) // reader.folding.pe
        picks = reader.folding.pe * reader.folding.unroll * multiplexer_luts(tiles)
    return Resources(
        lut=windows
        + counter_luts(run)
        + (2 + starts) * column  # one on, the start of the next window, which of them
        + 3 * line
        + 8 * circle
        + round(picks)
        + sum(counter_luts(n) for n in inner)
        + (column if own > 1 else 0),  # one on, or to the group's words of the next pixel
        ff=sum(address_bits(n) for n in places.positions)
        + sum(address_bits(n) for n in inner)
        + address_bits(run)
        + (1 + starts) * column
        + 2 * line
        + 3 * circle
        + 1
        + address_bits(reader.planes),
    )


def gather_cost(technology: Technology, simd: int, lanes: int, steps: int) -> Resources:
    """Price leading words of ``lanes`` trains to their place in a row of ``simd``.

    Where a row has several places, every bit of it has to know whether it is meant; a ``simd`` of
    0 says that there is no row.
    """
    parts = simd // lanes
    if parts <= 1:
        return Resources()
    decode = simd * steps * 3 // 4
    return Resources(lut=parts + counter_luts(parts) + decode, ff=address_bits(parts))


def buffer_depth(banks: int, rows: int, planes: int) -> int:
    """Words of a train buffer: bank, plane and row each take whole address bits."""
    last = (banks - 1) << address_bits(planes)
    return ((last | (planes - 1)) << address_bits(rows)) + rows


def maxima_cost(plan: MaximumPlan) -> Resources:
    """Price a comparison and a train for each lane, and the drain's shift."""
    steps, pe, lanes = plan.source_code.steps, plan.folding.pe, plan.lanes
    lane = Resources(lut=carry_luts(plan.technology, steps), ff=steps)
    drain = Resources(lut=(pe - lanes) * steps, ff=pe * steps, lone_ff=lanes * steps)
    return scaled(lane, pe) + drain


def weights_cost(plan: LayerPlan) -> Resources:
    words = plan.tiles * plan.weight_words
    return rom_cost(plan.technology, words, plan.word_bits, plan.technology.rom_registered)


def synapses_cost(plan: LayerPlan) -> Resources:
    """Gates: a LUT a weight bit and step; trees: a LUT a bit of every adder."""
    fold, bits = plan.folding, plan.weight_bits
    if fold.multiplies:
        return multipliers_cost(plan)
    tree = tree_cost(plan.technology, fold.simd, bits)
    wider = plan.first_bits - bits  # of one gate, and of one adder at every level
    gates = fold.simd * bits + wider * (1 + address_bits(fold.simd))
    one = scaled(Resources(lut=gates, ff=gates) + tree, fold.unroll)
    width = plan.first_bits + address_bits(fold.simd) + fold.unroll - 1
    join = tree_cost(plan.technology, fold.unroll, width)
    return scaled(one + join, fold.pe)


def multipliers_cost(plan: LayerPlan) -> Resources:
    """Products, in the fields of a block's or each of LUTs, the borrows given back, the trees."""
    fold, technology, packed = plan.folding, plan.technology, plan.packed
    field = plan.weight_bits + fold.unroll
    trees = scaled(tree_cost(technology, fold.simd, field), fold.pe)
    if not packed:
        technology = replace(technology, multiplier="lut")
        one = product_cost(technology, plan.weight_bits, fold.unroll)
        return scaled(one, fold.pe * fold.simd) + trees
    count = -(-fold.pe // packed)
    least, more = divmod(fold.pe, count)  # outputs of a block are shared evenly
    blocks = scaled(_block_cost(plan, least), (count - more) * fold.simd)
    if more:
        blocks += scaled(_block_cost(plan, least + 1), more * fold.simd)
    return blocks + trees


def _block_cost(plan: LayerPlan, outputs: int) -> Resources:
    """Price a DSP block that multiplies the weights of ``outputs`` with one input."""
    technology, unroll = plan.technology, plan.folding.unroll
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


def sums_cost(plan: LayerPlan) -> Resources:
    """Accumulators (a choice and an adder a bit) and the drain's shift."""
    technology, pe, lanes, width = plan.technology, plan.folding.pe, plan.lanes, plan.total_width
    accumulator = Resources(
        lut=width + carry_luts(technology, width),
        ff=width,
        lone_ff=apart_from_adder(technology, width),
    )
    shifting = (pe - lanes) * width
    return scaled(accumulator, pe) + Resources(lut=shifting, ff=pe * width, lone_ff=lanes * width)


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
        eta_bits = max(plan.source_code.eta).bit_length()
        product = product_cost(technology, width + 2, eta_bits)
        behind = 2 if technology.multiplier == "dsp" else 2 + address_bits(eta_bits)
        carried = (x + plan.factor_bits) * behind + width
        lane = lane + product
        lane = lane + Resources(
            lut=carry_luts(technology, width + 2) + x,
            ff=width + 2 + carried,
            lone_ff=carried + apart_from_adder(technology, width + 2),
        )
        state = ram_cost(technology, plan.groups, lanes * x, _auto_style(plan, lanes * x))
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


def _auto_style(plan: LayerPlan, width: int) -> str:
    return plan.technology.ram_style(plan.groups, width)


def neurons_cost(plan: LayerPlan) -> Resources:
    """Requantisation (multiplier, rounding, ReLU's mask), the function and firing."""
    technology, code = plan.technology, plan.population.code
    assert code is not None
    low, high = plan.target_range
    target, wide = plan.target_width, plan.requantised_width
    product = product_cost(technology, plan.x_width, plan.factor_bits)
    rounding = carry_luts(technology, wide + plan.shift)
    mask = wide - 1 if plan.has_plain_relu else 0
    lane = product + Resources(lut=rounding + mask, ff=wide) + function_cost(plan)
    if not plan.overlapped:
        neuron = neuron_cost(technology, code.rest, code.eta, low, high)
        return scaled(lane + neuron, plan.lanes) + Resources(lut=10, ff=8)
    v = bits_for(code.rest - code.total, code.rest + code.total)
    entry = plan.lanes * (v + code.steps)
    neuron = Resources(
        lut=v + carry_luts(technology, max(v, target)) + 2 * carry_luts(technology, v),
        ff=target + v + 1 + code.steps,
        lone_ff=target + code.steps,
    )
    state = ram_cost(technology, plan.groups, entry, _auto_style(plan, entry))
    return scaled(lane + neuron, plan.lanes) + state + Resources(lut=30, ff=30)


def rate_neurons_cost(plan: RatePlan) -> Resources:
    """Price both currents and both sums of a lane, their choice, membranes and trains."""
    technology, lanes, steps = plan.technology, plan.lanes, plan.source_code.steps
    width, membrane = plan.widths.current, plan.widths.membrane
    constants = rom_cost(technology, plan.constant_words, plan.constant_width, False)
    state = lanes * (membrane + steps)
    memory = ram_cost(technology, plan.groups, state, _auto_style(plan, state))
    lane = Resources(
        lut=2 * carry_luts(technology, width) + 2 * carry_luts(technology, membrane) + 2 * membrane,
        ff=plan.total_width + 2 * width + 2 * membrane + steps,
        lone_ff=plan.total_width
        + steps
        + 2 * (apart_from_adder(technology, width) + apart_from_adder(technology, membrane)),
    )
    order = address_bits(plan.groups) + address_bits(steps) + 2 * address_bits(plan.constant_words)
    return constants + memory + scaled(lane, lanes) + Resources(lut=2 * order + 12, ff=order + 12)


def function_cost(plan: LayerPlan) -> Resources:
    """Choice by sign, and table or clamp, of one lane."""
    technology, x, wide = plan.technology, plan.x_width, plan.requantised_width
    cost = Resources()
    if plan.is_magnitude:
        cost += Resources(lut=carry_luts(technology, x), ff=x + plan.factor_bits)
        cost += Resources(lone_ff=plan.factor_bits)
    elif plan.has_two_factors:
        cost += Resources(lut=plan.factor_bits, ff=x + plan.factor_bits, lone_ff=x)
    table = plan.population.table
    if table is not None:
        depth = len(table.entries)
        bits = address_bits(depth)
        above = -(-max(0, wide - 1 - bits) // 3)
        cost += Resources(lut=bits + above, ff=bits)
        cost += rom_cost(technology, depth, plan.target_width, technology.rom_registered)
    elif not plan.has_plain_relu:
        comparisons = 2 * carry_luts(technology, wide)
        cost += Resources(lut=comparisons + plan.target_width, ff=plan.target_width)
    return cost


def readout_cost(plan: LayerPlan) -> Resources:
    """Logits on their way, the comparison with the best, the index."""
    x, index = plan.x_width, address_bits(plan.outputs)
    return Resources(
        lut=carry_luts(plan.technology, x) + 2 * counter_luts(plan.outputs) + 6,
        ff=4 * x + 4 * index + 8,
        lone_ff=4 * x + 3 * index,
    )


def results_cost(plan: LayerPlan) -> Resources:
    """Results under way."""
    code = plan.population.code
    if code is None:
        width = plan.x_width + max(1, address_bits(plan.outputs)) + 1
    else:
        width = plan.lanes * code.steps
    return fifo_cost(plan.technology, plan.fifo_depth, width)


def control_cost(plan: LayerPlan) -> Resources:
    """Loop counters, and control and event bits that travel beside the pipeline."""
    fold = plan.folding
    depth = 1 + address_bits(fold.simd) + address_bits(fold.unroll)
    if plan.packed:
        depth = 1 + (plan.packed > 1) + address_bits(fold.simd)
    depth += 2 if plan.technology.rom_registered else 1
    inputs = fold.simd - 1 + (fold.pe if plan.apart else 1)
    events = inputs * fold.unroll if plan.technology.rom_registered else 0
    address = address_bits(plan.tiles * plan.weight_words)
    counters = address_bits(plan.tiles) + address_bits(plan.planes) + address_bits(plan.period)
    return Resources(
        lut=3 * address + 2 * counters + 15,
        ff=2 * address + counters + 5 * depth + events,
        lone_ff=5 * depth + events,
    )
