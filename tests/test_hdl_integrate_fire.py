"""Integrate-and-fire neurons against a loop that says the equations."""

import random

import numpy as np
import pytest

from signfire.gen.design.population import bits_for
from signfire.gen.layers.rate.widths import RateWidths
from signfire.hdl.integrate_fire import IntegrateFireNeurons

QUIET = {"train_valid": 0, "firing": 0}
SEEN = ["train_valid", "train", "firing", "membrane", "event"]


def fire(currents, theta: int) -> tuple[list[int], list[int]]:
    """Return events s(t) and membranes m(1)..m(T)."""
    m, events, membranes = np.int64(0), [], []
    for current in currents:
        event = m + current >= theta
        m = m + current - theta * event
        events.append(int(event))
        membranes.append(int(m))
    return events, membranes


def word(events: list[int]) -> int:
    return sum(event << t for t, event in enumerate(events))


def schedule(*, lanes, groups, bias, threshold, samples, late, spare):
    """Return stimuli and what must be seen, for sums [sample][neuron][t]."""
    pause = max(0, IntegrateFireNeurons.FEEDBACK - groups) + spare
    stimuli, expected = [], [QUIET] * late
    for sums in samples:
        fired = [
            fire([s + b for s in row], theta)
            for row, b, theta in zip(sums, bias, threshold, strict=True)
        ]
        steps = len(sums[0])
        for tile in range(0, len(bias), lanes * groups):
            for t in range(steps):
                for group in range(groups):
                    mine = range(tile + group * lanes, tile + (group + 1) * lanes)
                    stimuli.append({"valid": 1, "total": [sums[i][t] for i in mine]})
                    wanted = {
                        "firing": 1,
                        "membrane": [fired[i][1][t] for i in mine],
                        "event": sum(fired[i][0][t] << lane for lane, i in enumerate(mine)),
                        "train_valid": int(t == steps - 1),
                    }
                    if t == steps - 1:
                        wanted["train"] = [word(fired[i][0]) for i in mine]
                    expected.append(wanted)
                stimuli += [{"valid": 0}] * pause
                expected += [QUIET] * pause
    return stimuli + [{"valid": 0}] * late, expected


def differing(expected, seen) -> int:
    """Count cycles in which something else was seen than wanted."""
    return sum(
        wanted != {name: actual[name] for name in wanted}
        for wanted, actual in zip(expected, seen, strict=True)
    )


LOW, HIGH = -20, 13  # of the sums of a step


def neurons(*, lanes, groups, steps, bias, threshold, **settings):
    """Return neurons as wide as these numbers need."""
    n = len(bias)
    widths = RateWidths.of(
        low=np.full(n, LOW),
        high=np.full(n, HIGH),
        bias=np.array(bias),
        threshold=np.array(threshold),
        steps=steps,
    )
    return IntegrateFireNeurons(
        lanes=lanes,
        groups=groups,
        steps=steps,
        sum_width=bits_for(LOW, HIGH),
        constant_width=widths.constants,
        current_width=widths.current,
        membrane_width=widths.membrane,
        bias=bias,
        threshold=threshold,
        style="logic",
        **settings,
    )


def random_case(*, lanes, groups, tiles, steps, seed):
    rng = random.Random(seed)
    n = lanes * groups * tiles
    bias = [rng.randint(-9, 9) for _ in range(n)]
    threshold = [rng.choice([1, 5, 12, 40]) for _ in range(n)]

    def sums(i: int) -> list[int]:
        kind = rng.choice(["random", "least", "greatest", "tie"])
        return [
            {
                "least": LOW,
                "greatest": HIGH,
                "tie": min(HIGH, max(LOW, threshold[i] - bias[i])),
            }.get(kind, rng.randint(LOW, HIGH))
            for _ in range(steps)
        ]

    samples = [[sums(i) for i in range(n)] for _ in range(3)]
    options = {"lanes": lanes, "groups": groups, "steps": steps}
    return options, bias, threshold, samples


@pytest.mark.parametrize("registered", [False, True])
@pytest.mark.parametrize("spare", [0, 2])
@pytest.mark.parametrize(
    ("lanes", "groups", "tiles", "steps"),
    [(1, 1, 1, 4), (2, 1, 2, 5), (2, 4, 2, 16), (1, 3, 1, 70)],
)
def test_component_follows_the_loop(play, lanes, groups, tiles, steps, spare, registered):
    options, bias, threshold, samples = random_case(
        lanes=lanes, groups=groups, tiles=tiles, steps=steps, seed=steps
    )
    dut = neurons(**options, bias=bias, threshold=threshold, registered=registered)
    stimuli, expected = schedule(
        lanes=lanes,
        groups=groups,
        bias=bias,
        threshold=threshold,
        samples=samples,
        late=dut.LATENCY,
        spare=spare,
    )

    assert differing(expected, play(dut, stimuli, SEEN)) == 0


@pytest.mark.parametrize("fault", ["bias", "threshold"])
def test_constant_that_is_off_by_one_is_seen(play, fault):
    options, bias, threshold, samples = random_case(lanes=2, groups=2, tiles=2, steps=8, seed=3)
    planted = {"bias": list(bias), "threshold": list(threshold)}
    planted[fault][5] += 1
    dut = neurons(**options, **planted)
    stimuli, expected = schedule(
        lanes=2,
        groups=2,
        bias=bias,
        threshold=threshold,
        samples=samples,
        late=dut.LATENCY,
        spare=0,
    )

    assert differing(expected, play(dut, stimuli, SEEN)) > 0


def test_current_equal_to_the_threshold_fires_by_hand():
    assert ([0, 1, 0, 1], [3, 0, 3, 0]) == fire([3, 3, 3, 3], 6)
    assert ([0, 0, 1, 1], [-5, 3, 5, 7]) == fire([-5, 8, 8, 8], 6)


@pytest.mark.parametrize(
    ("bias", "threshold", "named"), [([0], [1], "tiles of 2"), ([0, 0], [1, 0], "at least 1")]
)
def test_constants_that_do_not_fit_are_refused(bias, threshold, named):
    with pytest.raises(ValueError, match=named):
        IntegrateFireNeurons(
            lanes=2,
            groups=1,
            steps=4,
            sum_width=2,
            constant_width=4,
            current_width=4,
            membrane_width=6,
            bias=bias,
            threshold=threshold,
            style="logic",
        )
