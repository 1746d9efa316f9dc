"""Integrate-and-fire neurons are the subgradient method that the theory says, within its bounds."""

import numpy as np
import pytest

from signfire.gen.convert.calibrate import calibrate
from signfire.gen.convert.options import Options
from signfire.gen.model.maps import Dense
from signfire.gen.model.network import Network, Operand, Population, Projection
from signfire.sim import golden, subgradient

THETA = 1.0
STEPS = 200


def fire(currents: np.ndarray, theta: float = THETA, leak: int = 0):
    """Return events and membranes m(0)..m(T) of neurons in real numbers."""
    m = [np.zeros(currents.shape[1])]
    events = []
    for current in currents:
        a = m[-1] * (1 - 2.0**-leak if leak else 1) + current
        events.append(a >= theta)
        m.append(a - theta * events[-1])
    return np.array(events), np.array(m)


def perceptron(sizes: tuple[int, ...]) -> Network:
    """Return a random perceptron with ReLU."""
    rng = np.random.default_rng(0)
    populations = [Population(name="input", shape=sizes[:1], function="input")]
    for n, size in enumerate(sizes[1:], 1):
        matrix = rng.normal(0, sizes[n - 1] ** -0.5, (size, sizes[n - 1]))
        projection = Projection(source=populations[-1].name, map=Dense(matrix, sizes[n - 1 : n]))
        operand = Operand(projections=(projection,), bias=rng.normal(0, 0.2, size))
        function = "relu" if n < len(sizes) - 1 else "readout"
        populations.append(
            Population(name=f"fc{n}", shape=(size,), function=function, operands=(operand,))
        )
    return Network(name="perceptron", populations=tuple(populations))


def random_currents(seed: int, n: int = 500) -> np.ndarray:
    """Currents that move about a mean of their own, some outside 0..θ."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.4, 1.4, n) + rng.normal(0, 0.3, (STEPS, n))


@pytest.mark.parametrize("leak", [0, 2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_every_step_is_the_update_rule(leak, seed):
    currents = random_currents(seed)
    events, membranes = fire(currents, leak=leak)

    found = subgradient.followed(currents, events, THETA, leak)

    for t in range(STEPS):
        eta = 2.0**-leak if leak else 1 / (t + 1)
        after = found.y[t] - eta * (found.y[t] - THETA * events[t])
        assert np.allclose(found.y[t + 1], after, atol=1e-12)
    # and the membrane is what separates y from x
    scale = 2.0**leak if leak else np.arange(STEPS + 1)[:, None]
    assert np.allclose(membranes, scale * (found.x - found.y), atol=1e-9)


@pytest.mark.parametrize("leak", [0, 2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_every_step_takes_an_epsilon_subgradient_within_the_bound(leak, seed):
    currents = random_currents(seed)
    events, _ = fire(currents, leak=leak)

    found = subgradient.followed(currents, events, THETA, leak)

    assert (found.epsilon > 0).any()  # a plain subgradient it is not
    assert (found.epsilon <= found.bound + 1e-9).all()
    # h(z) >= h(y) + g (z - y) - ε, for z anywhere
    z = np.linspace(-1, 2, 13)[:, None, None]
    y, x = found.y[:-1], found.x[1:]
    g = y - THETA * events
    below = subgradient.objective(y, x, THETA) + g * (z - y) - found.epsilon
    assert (subgradient.objective(z, x, THETA) >= below - 1e-9).all()


def test_bound_is_broken_by_neurons_that_fire_too_late():
    """What a reset to another threshold does is not within the bound: it can be missed."""
    currents = random_currents(0)
    events, _ = fire(currents, theta=1.5)

    found = subgradient.followed(currents, events, THETA)

    assert (found.epsilon > found.bound + 1e-9).any()


@pytest.mark.parametrize("leak", [0, 2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_trajectory_stays_by_the_exact_iteration_whatever_the_currents_are(leak, seed):
    """Within θ/T at every T, or 1 - λ² of θ; never so far below."""
    currents = random_currents(seed)
    events, _ = fire(currents, leak=leak)
    found = subgradient.followed(currents, events, THETA, leak)

    ahead = (subgradient.exact(found.x, THETA, leak) - found.y)[1:]

    if leak:
        low, high = -(2.0**-leak) * THETA, (1 - (1 - 2.0**-leak) ** 2) * THETA
    else:
        low, high = 0, THETA / np.arange(1, STEPS + 1)[:, None]
    assert (ahead >= low - 1e-9).all() and (ahead <= high + 1e-9).all()
    assert (np.abs(ahead) > 1e-9).any()  # they are two iterations


def test_neurons_that_fire_too_late_leave_the_exact_iteration():
    currents = random_currents(0)
    events, _ = fire(currents, theta=1.5)
    found = subgradient.followed(currents, events, THETA)

    ahead = (subgradient.exact(found.x, THETA) - found.y)[1:]

    assert (ahead > THETA / np.arange(1, STEPS + 1)[:, None] + 1e-9).any()


def test_exact_iteration_in_integers_is_that_in_real_numbers():
    theta = 1_000_003  # so that there are no ties, which rounding would turn
    currents = np.random.default_rng(0).integers(-theta // 2, 2 * theta, (STEPS, 300))

    events = subgradient.exact_events(currents, theta)

    z = subgradient.exact(subgradient.averages(currents / theta), 1.0)
    said = events.cumsum(axis=0) / np.arange(1, STEPS + 1)[:, None]
    assert np.abs(said - z[1:]).max() < 1e-9


def test_trajectory_stays_by_currents_that_lie_between_nothing_and_the_threshold():
    """Within θ/T of their mean, at every T; and so does the exact iteration."""
    rng = np.random.default_rng(0)
    currents = rng.uniform(0, THETA, (STEPS, 200)) * rng.uniform(0, 1, 200)
    events, _ = fire(currents)
    found = subgradient.followed(currents, events, THETA)

    z = subgradient.exact(found.x, THETA)

    bound = THETA / np.arange(1, STEPS + 1)[:, None]
    assert (np.abs(z[1:] - found.x[1:]) <= bound + 1e-9).all()
    gap = found.x[1:] - found.y[1:]
    assert (gap >= -1e-9).all() and (gap < bound + 1e-9).all()


@pytest.mark.parametrize("seed", range(3))
def test_exact_iteration_ends_at_the_clipped_relu(seed):
    x = np.random.default_rng(seed).uniform(-1, 2, 300)
    z = subgradient.exact(np.broadcast_to(x, (STEPS + 1, len(x))), THETA)

    assert np.abs(z[-1] - np.clip(x, 0, THETA)).max() <= 2 * THETA / STEPS
    # which is the least point of the objective
    grid = np.linspace(-1, 2, 601)[:, None]
    least = grid[subgradient.objective(grid, x, THETA).argmin(axis=0), 0]
    assert np.abs(least - np.clip(x, 0, THETA)).max() <= 0.005


@pytest.mark.parametrize("dynamics", ["if", "lif"])
def test_neurons_of_the_golden_model_follow_it(dynamics):
    """In a whole network, in integers, with currents that other neurons' events make."""
    network = perceptron((12, 10, 4))
    samples = np.random.default_rng(0).uniform(0, 1, (50, 12))
    options = Options(dynamics=dynamics, leak=4, steps=STEPS, weight_bits=8)
    design = calibrate(network, samples, options)
    leak = 4 if dynamics == "lif" else 0
    worst = 0.0

    for raw in design.raw_samples(samples[:5]):
        record = golden.trace(design, raw).populations["fc1"]
        currents = np.diff(record.integrators[0], axis=0, prepend=0).astype(float)
        theta = design["fc1"].threshold
        found = subgradient.followed(currents / theta, record.events, 1.0, leak)
        # 2^-k of a unit of X is lost at most by each step's floor, one unit in all
        slack = 0 if leak == 0 else 1 / theta.min()
        assert (found.epsilon <= found.bound + 2 * slack + 1e-9).all()
        worst = max(worst, float(found.epsilon.max()))
    assert worst > 0


@pytest.mark.parametrize(("seed", "steps"), [(0, 5), (1, 32), (2, 200)])
def test_every_layer_of_the_golden_model_stays_by_the_exact_iteration(seed, steps):
    """In integers, at every step of every neuron of four layers."""
    network = perceptron((12, 16, 10, 8, 4))
    samples = np.random.default_rng(seed).uniform(0, 1, (50, 12))
    design = calibrate(network, samples, Options(dynamics="if", steps=steps, weight_bits=8))
    ahead = []

    for raw in design.raw_samples(samples[:5]):
        trace = golden.trace(design, raw)
        for p in design.populations[:-1]:
            seen = trace.populations[p.name]
            currents = np.diff(seen.integrators[0], axis=0, prepend=0)
            exact = subgradient.exact_events(currents, p.threshold)
            ahead.append(exact.cumsum(axis=0) - seen.events.cumsum(axis=0))

    assert {0, 1} == set(np.unique(np.concatenate(ahead, axis=1)))
