"""Draws of context neurons: which neurons they take, and the score over all of them."""

import numpy as np
import pytest

from omnimouse_cli.batch.strategies import regime_strategies
from omnimouse_cli.evaluation.draws import (
    combine_numbers,
    combine_outputs,
    draw_orders,
    draw_targets,
)
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.evaluation.scorer import Piece

STRATEGIES = {
    strategy.name: strategy
    for strategy in regime_strategies("all", population=254, stimulus=True, behavior=True)
}


def orders(name, **options):
    return draw_orders(
        STRATEGIES[name], session="a", num_neurons=254, options=EvalOptions(**options)
    )


def test_draws_are_random_permutations_that_the_seed_decides():
    found = orders("population-16", draws=5)
    assert len(found) == 5
    contexts = {tuple(order[:16]) for order in found}
    assert len(contexts) == 5
    for order in found:
        assert sorted(order) == list(range(254))
        assert (np.diff(order[:16]) > 0).all()
        assert (np.diff(order[16:]) > 0).all()
    again, other = orders("population-16", draws=5), orders("population-16", draws=5, seed=1)
    assert all(np.array_equal(one, two) for one, two in zip(found, again, strict=True))
    assert not np.array_equal(found[0], other[0])


def test_fewer_context_neurons_are_among_more_and_the_stimulus_changes_none():
    few, many = orders("population-16"), orders("population-64")
    assert all(set(one[:16]) < set(two[:64]) for one, two in zip(few, many, strict=True))
    seen = orders("population-16+stimulus")
    assert all(np.array_equal(one, two) for one, two in zip(few, seen, strict=True))


@pytest.mark.parametrize("name", ["predict", "forecast", "decode"])
def test_rows_that_show_all_neurons_or_none_have_no_draw(name):
    assert orders(name) == [None]


def test_scores_are_means_over_draws(simulated_data, targets_of, score_pieces):
    one = targets_of(simulated_data, "population-10")
    options = EvalOptions(draws=4)
    draws = [targets for (targets,) in draw_targets(one.strategy, one.reader, one.windows, options)]
    for targets in draws:
        assert not set(targets.outputs) & set(targets.selection.visible[0].tolist())
    rng = np.random.default_rng(0)
    scores = [score_pieces(targets, noisy(targets, rng)) for targets in draws]
    numbers = {
        number.record.metric: number for number in combine_numbers([s.numbers for s in scores])
    }
    values = [score.correlations["neurons"].record.value for score in scores]
    record = numbers["single_trial_correlation"].record
    assert record.value == pytest.approx(np.mean(values))
    assert record.draws_sd == pytest.approx(np.std(values, ddof=1))
    assert (record.draws, record.low < record.value < record.high) == (4, True)
    outputs, mean = combine_outputs(scores)
    assert set(outputs) == set(np.concatenate([score.outputs for score in scores]))
    neuron = scores[0].outputs[0]
    own = [s.per_output[s.outputs == neuron][0] for s in scores if neuron in s.outputs]
    assert mean[outputs == neuron] == pytest.approx(np.mean(own))


def noisy(targets, rng):
    for windows in targets.window_slices():
        truth = targets.truth(targets.windows.grid[windows])
        noise = rng.normal(size=truth.shape).astype(np.float32)
        yield Piece(windows, slice(None), truth + noise)
