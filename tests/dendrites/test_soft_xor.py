"""Untrained functions are no soft XORs, learned products are, and seeds are the sample."""

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator

from omnimouse_cli.dendrites.images.network import apply_inner_reference, init_inner_weights
from omnimouse_cli.dendrites.images.procedure import EXTENT, GRID_POINTS, make_smoothed_noise
from omnimouse_cli.dendrites.soft_xor import AnalyzedFunction, count_by_layer, count_soft_xors
from omnimouse_cli.dendrites.surface import LearnedFunction, analyze

ARGUMENTS = np.random.default_rng(0).standard_normal((4000, 2))
UNTRAINED, SEEDS = 60, 10


def product(points):
    return points.prod(axis=1)


def swiglu(points):
    a, b = points.T
    return a / (1 + np.exp(-a)) * b


def noise(seed):
    """Smoothed noise, in whose image inner networks are before they are trained on images."""
    line = np.linspace(-EXTENT, EXTENT, GRID_POINTS)
    values = make_smoothed_noise(2, seed).astype(float)
    return RegularGridInterpolator((line, line), values, bounds_error=False, fill_value=0.0)


def untrained_network(seed):
    """An inner network with Xavier weights."""
    generators = [torch.Generator().manual_seed(seed)]
    weights = [weight.double() for weight in init_inner_weights((2, 64, 64, 1), generators)]
    return lambda points: apply_inner_reference(torch.from_numpy(points)[None], weights)[0].numpy()


@pytest.fixture(scope="module")
def untrained():
    """Surfaces of functions that have learned nothing, by their kind."""
    makers = {"noise": noise, "network": untrained_network}
    return {
        name: [analyze(make(seed), ARGUMENTS) for seed in range(UNTRAINED)]
        for name, make in makers.items()
    }


def learned(seed, start, end, layer="all"):
    function = LearnedFunction(
        run="run", network="mlp", layer=layer, seed=seed, is_whole=True, function=product,
        arguments=ARGUMENTS,
    )  # fmt: skip
    return AnalyzedFunction(function=function, surface=end, start=start)


def train(starts, ends):
    pairs = zip(starts, ends, strict=True)
    return [learned(seed, start, end) for seed, (start, end) in enumerate(pairs)]


@pytest.mark.parametrize("kind", ["noise", "network"])
def test_untrained_functions_are_saddles_half_of_the_time_and_soft_xors_in_at_most_5_percent(
    untrained, kind
):
    surfaces = untrained[kind]
    assert sum(one.curvature == "hyperbolic" for one in surfaces) > 0.4 * UNTRAINED
    assert sum(one.is_soft_xor for one in surfaces) <= 0.05 * UNTRAINED


@pytest.mark.parametrize("kind", ["noise", "network"])
def test_functions_that_learn_nothing_are_not_said_to_change(untrained, kind):
    generator = np.random.default_rng(1)
    counts = []
    for _ in range(100):
        chosen = [untrained[kind][n] for n in generator.permutation(UNTRAINED)[: 2 * SEEDS]]
        counts.append(count_soft_xors(train(chosen[:SEEDS], chosen[SEEDS:])))
    assert not any(count.verdict == "confirmed" for count in counts)
    for name in ("angular_power_2", "r2_turned_product"):
        rises = sum(count.changes[name].change.low > 0 for count in counts)
        assert rises <= 0.05 * len(counts)


@pytest.mark.parametrize("kind", ["noise", "network"])
def test_products_that_were_learned_from_something_else_are_found(untrained, kind):
    starts, ends = untrained[kind][:SEEDS], []
    for seed in range(SEEDS):
        # Turned against the arguments, as a network's weights may turn it, and not quite exact.
        angle = np.random.default_rng(seed).uniform(0, np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        rough = noise(1000 + seed)
        ends.append(
            analyze(lambda x, turn=turn, rough=rough: product(x @ turn) + 3 * rough(x), ARGUMENTS)
        )
    count = count_soft_xors(train(starts, ends))
    assert count.verdict == "confirmed"
    assert (count.soft_xors, count.seeds, count.total) == (SEEDS, SEEDS, SEEDS)
    assert count.learned >= SEEDS - 1
    power = count.changes["angular_power_2"]
    assert power.start < 0.4
    assert power.end > 0.8
    assert power.change.low > 0.3


def test_functions_that_began_as_swiglu_and_hardly_moved_have_learned_no_soft_xor():
    def move(seed):
        rough = noise(seed)
        return lambda x: 1.1 * swiglu(x) + 0.05 * product(x) + 0.1 * rough(x)

    start = analyze(swiglu, ARGUMENTS)
    ends = [analyze(move(seed), ARGUMENTS) for seed in range(SEEDS)]
    count = count_soft_xors(train([start] * SEEDS, ends))
    # Each is a saddle as a product is, and slightly more of one than at the start.
    assert (count.hyperbolic, count.soft_xors, count.soft_xors_at_start) == (SEEDS,) * 3
    assert count.changes["angular_power_2"].change.low > 0
    assert count.learned == 0
    assert count.verdict == "refuted"


def test_a_function_that_crosses_the_threshold_without_moving_has_not_become_a_soft_xor():
    # A fraction of 1 / (1 + 1.30 c^2) of the angular power of ab + ca is at l = 2.
    below, above = (
        analyze(lambda x, slope=slope: product(x) + slope * x[:, 0], ARGUMENTS)
        for slope in (0.6, 0.5)
    )
    assert not below.is_soft_xor
    assert above.is_soft_xor
    one = learned(0, below, above)
    assert one.r2_to_start > 0.98
    assert not one.has_become_soft_xor


def test_one_seed_is_no_sample(untrained):
    start, end = untrained["noise"][0], analyze(product, ARGUMENTS)
    layers = [learned(3, start, end, layer=f"layer{number}") for number in range(5)]
    counts = [count_soft_xors(layers), *count_by_layer(layers).values()]
    assert [count.total for count in counts] == [5, 1, 1, 1, 1, 1]
    for count in counts:
        assert count.learned == count.soft_xors == count.total
        assert (count.seeds, count.low, count.high, count.verdict) == (1, None, None, None)
        assert count.sentence.endswith("; one seed: no test")


def test_layers_of_a_seed_do_not_make_the_sample_larger(untrained):
    end = analyze(product, ARGUMENTS)
    layers = [
        learned(seed, untrained["noise"][seed], end, layer=f"layer{number}")
        for seed in range(3)
        for number in range(5)
    ]
    count = count_soft_xors(layers)
    assert (count.seeds, count.total, count.learned) == (3, 15, 15)
    # Clopper and Pearson for 3 of 3: the share at which 3 of 3 has a probability of .025.
    assert count.learned_share.low == pytest.approx(0.025 ** (1 / 3))
    assert count.verdict == "undetermined"


def test_without_the_start_nothing_is_tested():
    end = analyze(product, ARGUMENTS)
    count = count_soft_xors([learned(seed, None, end) for seed in range(SEEDS)])
    assert (count.soft_xors, count.soft_xors_at_start, count.learned) == (SEEDS, None, None)
    assert count.verdict is None
    assert "no test" in count.sentence
