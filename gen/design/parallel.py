"""Parallel: which foldings a population can have."""

from collections.abc import Sequence
from dataclasses import replace

from ..model.codes import RateCode, SpikeCode
from ..model.network import INPUT, MAX
from .folding import AUTO, EVENTS, LOGIC, ROMS, SYNAPSES, Folding, divisors
from .population import DesignPopulation
from .reading import is_turned, parallel_of, parallel_outputs, word_of


def has_synapses(population: DesignPopulation) -> bool:
    """Whether the weights of a population may meet its inputs in multipliers.

    A maximum has no weights; a sum of several branches adds them as events arrive, each with
    weights of its own width.
    """
    return population.function != MAX and len(list(population.sources)) == 1


def no_logic(population: DesignPopulation) -> str:
    """Return why weights of a population cannot be logic, as the end of a sentence; "" if they can.

    All inputs of an output have to come at once, which is in one word.
    """
    if not has_synapses(population):
        return "it is a maximum or sums several branches"
    linear = next(population.sources).map
    if linear.apart:
        return "each of its outputs reads inputs of its own"
    if linear.runs > 1:
        return f"its channels fall into {linear.runs} groups"
    words = linear.weights.shape[1] * linear.repeats // linear.parallel_inputs[0]
    if words > 1:
        return f"it reads windows of {words} pixels, one after the other"
    return ""


def synapse_of(population: DesignPopulation, synapse: str) -> str:
    """Return ``synapse``, or ``events`` where weights of a population cannot meet inputs so."""
    possible = not no_logic(population) if synapse == LOGIC else has_synapses(population)
    return synapse if possible else EVENTS


def whole(
    populations: Sequence[DesignPopulation], population: DesignPopulation, folding: Folding | None
) -> Folding | None:
    """Return a folding in which a layer that multiplies takes all steps of its source.

    One whose weights are logic takes all inputs of all outputs.
    """
    if folding is None or not population.operands:
        return folding
    if folding.is_logic and folding.pe == folding.simd == 1 and not no_logic(population):
        linear = next(population.sources).map
        return replace(folding, pe=linear.channels, simd=linear.parallel_inputs[0])
    if not folding.multiplies or folding.unroll > 1:
        return folding
    code = _source(populations, population).code
    return folding if code is None else replace(folding, unroll=code.steps)


def _source(
    populations: Sequence[DesignPopulation], population: DesignPopulation
) -> DesignPopulation:
    """Return what the first projection of a population reads."""
    name = next(population.sources).source
    return next(p for p in populations if p.name == name)


def check_folding(
    populations: Sequence[DesignPopulation],
    firing: str,
    population: DesignPopulation,
    folding: Folding,
) -> None:
    """Refuse a folding that does not divide what it folds, and say which would."""

    def must_divide(what: str, number: int, whole: int, of: str) -> None:
        if number < 1 or whole % number:
            owner = "" if "of" in of else f" of {population.name!r}"
            options = divisors(whole)
            near = sorted(options, key=lambda d: (abs(d - number), d))[:2]
            raise ValueError(
                f"{what} must divide the {whole} {of}{owner}, not {number} "
                f"(use {' or '.join(str(d) for d in sorted(near))})"
            )

    if population.function == INPUT:
        readers = [
            (p, q.map) for p in populations for q in p.sources if q.source == population.name
        ]
        must_divide("pe", folding.pe, population.size, "values")
        for reader, linear in readers:
            turned = is_turned(linear, population.shape, is_input=True)
            if reader.folding is not None and not turned:
                word = word_of(linear, reader.folding)
                if reader.folding.skips and len(readers) == 1 and folding.pe % word == 0:
                    continue  # a queue takes several words at once
                must_divide("pe", folding.pe, word, f"parallel inputs of {reader.name!r}")
        return
    projections = list(population.sources)
    source = _source(populations, population)
    assert source.code is not None
    maps = [q.map for q in projections]
    must_divide("pe", folding.pe, *parallel_outputs(maps))
    must_divide("simd", folding.simd, *parallel_of(maps))
    must_divide("unroll", folding.unroll, source.code.steps, "input steps")
    if folding.synapse not in SYNAPSES:
        raise ValueError(
            f"the synapse of {population.name!r} is one of {', '.join(SYNAPSES)}, not "
            f"{folding.synapse!r}"
        )
    if folding.rom not in ROMS:
        raise ValueError(
            f"the weights of {population.name!r} lie in one of {', '.join(ROMS)}, not "
            f"{folding.rom!r}"
        )
    if folding.is_logic:
        _check_logic(population, folding)
    if folding.multiplies:
        _check_multiplying(firing, population, folding, source.code)
    elif folding.unroll > 1 and (firing != "settled" or not source.code.is_binary):
        raise ValueError(
            f"unroll must be 1 for {population.name!r}: only settled firing with a binary "
            f"schedule takes several steps at once"
        )


def _check_logic(population: DesignPopulation, folding: Folding) -> None:
    """Refuse weights as logic where they do not meet all inputs of all outputs at once."""
    reason = no_logic(population)
    if reason:
        raise ValueError(
            f"weights of {population.name!r} cannot be logic: {reason} (leave it at synapse=events)"
        )
    if folding.skips:
        raise ValueError(
            f"{population.name!r} cannot skip silent words: its weights are logic, which take a "
            f"step a cycle (leave out silent=skip)"
        )
    if folding.rom != AUTO:
        raise ValueError(
            f"the weights of {population.name!r} are logic and lie in no memory (leave out "
            f"rom={folding.rom})"
        )
    linear = next(population.sources).map
    pe, simd = linear.channels, linear.parallel_inputs[0]
    if (folding.pe, folding.simd) != (pe, simd):
        raise ValueError(
            f"weights of {population.name!r} are logic of all {pe} outputs and {simd} inputs at "
            f"once, not {folding.pe} and {folding.simd} (leave out pe and simd)"
        )


def _check_multiplying(
    firing: str, population: DesignPopulation, folding: Folding, code: SpikeCode | RateCode
) -> None:
    """Refuse multipliers where a train is not the binary number that they take."""
    name = population.name
    if not has_synapses(population):
        raise ValueError(
            f"{name!r} cannot multiply: it is a maximum or sums several branches (leave it at "
            f"synapse=events)"
        )
    if firing != "settled" or not code.is_binary:
        raise ValueError(
            f"{name!r} cannot multiply: only with settled firing and a binary schedule is a train "
            f"a number as it stands (leave it at synapse=events)"
        )
    if folding.unroll != code.steps:
        raise ValueError(
            f"{name!r} multiplies with all {code.steps} input steps at once, not {folding.unroll} "
            f"(leave out unroll)"
        )
