"""The linear models that are computed before training, against dense Gaussian conditioning."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.model.inputs import prepare_inputs
from omnimouse_cli.model.readout import LEAST_RATE
from omnimouse_cli.model.session_embeddings import activate, inverse_activate
from omnimouse_cli.model.shortcuts import Contributions
from omnimouse_cli.model.shortcuts.encoding import (
    BEHAVIOR_BINS,
    EncodingShortcut,
    average_lags,
    behavior_columns,
    interpolate_steps,
)
from omnimouse_cli.model.shortcuts.factors import (
    LAG_SAMPLES,
    FactorShortcut,
    LinearWeights,
    correction_features,
    covariance,
)

NEURONS, RANK = 7, 3
FORECAST = Strategy(name="f", family="forecast", prefix=(0, 25), context=(0, 60), behavior="absent")
POPULATION = Strategy(
    name="p",
    family="population",
    num_visible=4,
    num_targets=3,
    literal_counts=True,
    prefix=(30, 60),
    context=(30, 60),
    behavior="absent",
)
BOTH = replace(POPULATION, name="b", prefix=(0, 60), context=(0, 60), num_targets=5)


def factor_model(generator):
    """Return a factor shortcut with smooth factors, and weights of seven neurons."""
    shortcut, lag = FactorShortcut(RANK), torch.arange(60.0)
    shortcut.get_buffer("shared").copy_(
        torch.stack([torch.exp(-((lag / width) ** 2) / 2) for width in (2.0, 6.0, 15.0)])
    )
    shortcut.get_buffer("private").copy_(0.6 * (lag == 0) + 0.4 * torch.exp(-lag / 5))
    return shortcut, LinearWeights(
        torch.randn(NEURONS, 2, generator=generator),
        torch.randn(NEURONS, RANK, generator=generator),
        torch.randn(NEURONS, generator=generator) / 2,
        torch.randn(NEURONS, 4 * RANK + 7, generator=generator),
        torch.zeros(NEURONS, 0),
    )


def conditional(shortcut, weights, deviation_SN, visible_SN, targets):
    """Return the expectation of every neuron at the target samples, by the dense covariance."""
    shared = [covariance(row, 0.0) for row in shortcut.get_buffer("shared").double().numpy()]
    private = covariance(shortcut.get_buffer("private").double().numpy(), 1e-3)
    loadings, noise = weights.loadings.double().numpy(), weights.log_noise.double().exp().numpy()
    dense = np.kron(private, np.diag(noise))
    for factor, column in zip(shared, loadings.T, strict=True):
        dense = dense + np.kron(factor, np.outer(column, column))
    seen = np.flatnonzero(visible_SN.numpy().ravel())
    values = deviation_SN.double().numpy().ravel()[seen]
    expected = dense[:, seen] @ np.linalg.solve(dense[np.ix_(seen, seen)], values)
    return torch.from_numpy(expected.reshape(60, NEURONS)[slice(*targets)]).float()


@pytest.mark.parametrize("strategy", [FORECAST, POPULATION, BOTH], ids=lambda one: one.name)
@pytest.mark.parametrize("encoded", [False, True])
def test_expectations_are_those_of_a_gaussian_given_the_visible_responses(
    small_config, make_batch, choose, strategy, encoded
):
    generator = torch.Generator().manual_seed(0)
    shortcut, weights = factor_model(generator)
    batch, mean_N = make_batch(), torch.randn(NEURONS, generator=generator)
    components = torch.randn(2, 60, 2, generator=generator) if encoded else None
    inputs = prepare_inputs(small_config, batch, strategy, choose(strategy, batch, seed=1))
    targets = inputs.target_neurons()
    found = shortcut(inputs, targets, weights, mean_N, components)
    for window in range(2):
        deviation_SN = batch.responses[window] - mean_N
        if components is not None:
            deviation_SN = deviation_SN - components[window] @ weights.encoding.T
        visible_SN = torch.zeros(60, NEURONS, dtype=torch.bool)
        neurons = inputs.selection.visible[window]
        visible_SN[slice(*strategy.visible_range), neurons] = True
        expected = conditional(shortcut, weights, deviation_SN, visible_SN, strategy.targets)
        hidden = ~visible_SN[slice(*strategy.targets)][:, targets.neurons[window]]
        difference = found[window] - expected[:, targets.neurons[window]]
        assert difference[hidden].abs().max() < 0.01 * deviation_SN.abs().max()


@pytest.mark.parametrize(
    ("strategy", "num_corrected"),
    [
        (FORECAST, 0),
        (replace(POPULATION, prefix=(0, 45), context=(0, 60)), 0),
        (POPULATION, 3),
        (BOTH, 3),
    ],
    ids=["forecast", "visible before", "hidden", "hidden and visible"],
)
def test_only_neurons_that_are_hidden_while_others_are_visible_are_corrected(
    small_config, make_batch, choose, strategy, num_corrected
):
    generator = torch.Generator().manual_seed(0)
    shortcut, weights = factor_model(generator)
    batch, mean_N = make_batch(), torch.randn(NEURONS, generator=generator)
    inputs = prepare_inputs(small_config, batch, strategy, choose(strategy, batch, seed=1))
    targets = inputs.target_neurons()
    without = shortcut(inputs, targets, weights, mean_N, None)
    shortcut.get_buffer("penalty").fill_(0.1)
    found = shortcut(inputs, targets, weights, mean_N, None)
    first = targets.neurons.shape[1] - num_corrected
    assert found[..., :first].equal(without[..., :first])
    features = correction_features(
        shortcut.infer(inputs, targets, weights, mean_N, None).at_targets
    )
    expected = features @ weights.correction[targets.neurons[:, first:]].transpose(1, 2)
    torch.testing.assert_close(found[..., first:] - without[..., first:], expected)


def test_features_of_factors_reach_back_and_ahead_to_the_edges():
    factors = torch.randn(1, 30, 2, generator=torch.Generator().manual_seed(0))
    _, earlier, later, _, _ = correction_features(factors).split([2, 2, 2, 2, 4], dim=2)
    for sample in range(30):
        before, after = max(sample - LAG_SAMPLES, 0), min(sample + LAG_SAMPLES, 29)
        assert earlier[0, sample].equal(factors[0, before])
        assert later[0, sample].equal(factors[0, after])


def test_behavior_that_a_session_lacks_has_columns_of_zeros():
    behavior = torch.ones(1, 3, 40)
    columns = behavior_columns(behavior, torch.tensor([1])).unflatten(2, (len(BEHAVIOR_BINS), 3))
    assert (columns[..., 1][0, 9:-2] == 1).all()
    assert not columns[..., [0, 2]].any()


def test_a_share_of_the_stimulus_is_added_beside_the_drive():
    generator = torch.Generator().manual_seed(0)
    shortcut = EncodingShortcut(2, (4, 4), num_channels=3, rank=5)
    for name in ("of_stimulus", "of_behavior"):
        shortcut.get_buffer(name).normal_(generator=generator)
    energies = torch.rand(2, 30, 2, 4, 4, generator=generator)
    inputs = energies, torch.randn(2, 3, 40, generator=generator), np.arange(3)
    stimulus, behavior = (
        shortcut(*(None if hidden == number else each for number, each in enumerate(inputs)))
        for hidden in (1, 0)
    )
    both = shortcut(*inputs)
    torch.testing.assert_close(both.whole, stimulus.whole + behavior.whole)
    torch.testing.assert_close(both.beside_drive, both.whole)
    shortcut.get_buffer("stimulus_share").fill_(0.25)
    both = shortcut(*inputs)
    torch.testing.assert_close(both.whole, stimulus.whole + behavior.whole)
    torch.testing.assert_close(both.beside_drive, stimulus.whole / 4 + behavior.whole)


def test_a_run_that_is_older_than_the_share_adds_all_of_the_stimulus():
    shortcut = EncodingShortcut(2, (4, 4), num_channels=3, rank=5)
    stored = shortcut.state_dict()
    del stored["stimulus_share"]
    shortcut.get_buffer("stimulus_share").zero_()
    shortcut.load_state_dict(stored)
    assert shortcut.get_buffer("stimulus_share") == 1


def test_steps_are_interpolated_at_even_samples():
    times = torch.arange(1.0, 60.0, 2.0).view(1, 30, 1)
    assert interpolate_steps(times)[0, 1:, 0].tolist() == list(range(1, 60))


def test_lags_reach_back_and_ahead_and_end_with_the_window():
    signal = torch.randn(1, 30, 1, generator=torch.Generator().manual_seed(0))
    found = average_lags(signal, ((-2, 0), (2, 4)))
    for step in range(30):
        for column, lags in enumerate(((-2, -1), (2, 3))):
            values = [signal[0, step - lag, 0] for lag in lags if 0 <= step - lag < 30]
            assert found[0, step, column].item() == pytest.approx(float(sum(values)) / 2, abs=1e-5)


def test_a_predicted_rate_is_the_mean_and_its_deviation_above_a_floor(small_config, make_model):
    model, _ = make_model(replace(small_config, response_loss="poisson"))
    bias = torch.tensor([[[-1.0, 0.5]]])
    deviation = torch.tensor([[[0.3, -9.0]]])
    drive = model.readout._deviate(bias, deviation)
    resting = model.readout.activate(bias)
    expected = torch.stack([resting[..., 0] + 0.3, LEAST_RATE * resting[..., 1]], dim=-1)
    torch.testing.assert_close(model.readout.activate(drive), expected)
    assert Contributions([], [], []).deviation is None
    rate = torch.tensor([1e-3, 0.5, 20.0])
    back = activate(
        inverse_activate(rate, response_loss="poisson", beta=0.7), response_loss="poisson", beta=0.7
    )
    torch.testing.assert_close(back, rate)
