"""Losses against their formulas, the samples that count, and where a bias starts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.model import DecoderConfig
from omnimouse_cli.model.losses import compute_losses, elementwise_loss, neural_loss_by_window
from omnimouse_cli.model.omnimouse import Prediction
from omnimouse_cli.model.session_embeddings import SessionEmbeddings, activate, initialize_biases

STRATEGY = Strategy(
    name="s",
    family="population",
    num_visible=3,
    num_targets=5,
    literal_counts=True,
    prefix=(30, 50),
    context=(0, 60),
)


def test_poisson_loss_is_the_published_formula(make_batch, choose):
    batch = make_batch()
    selection = choose(STRATEGY, batch)
    predicted = torch.rand(2, 30, 5, generator=torch.Generator().manual_seed(0)) * 3
    found = compute_losses(Prediction(predicted, None), batch, STRATEGY, selection, "poisson")
    recorded = batch.responses[:, 30:60, 2:].double().numpy()
    mean = predicted.double().numpy()
    terms = np.clip(mean - recorded * np.log(mean + 1e-5), -100, 100)
    # Neuron 2 is visible to sample 50 and so counts from 55 on; the others count from 30 on.
    counted = np.concatenate([terms[:, 25:, :1].ravel(), terms[:, :, 1:].ravel()])
    assert found.behavior is None
    assert found.neural.item() == pytest.approx(counted.mean(), rel=1e-5)


@pytest.mark.parametrize("loss", ["poisson", "gaussian", "gamma"])
def test_losses_of_windows_are_those_of_batches_of_one(make_batch, choose, loss):
    batch = make_batch()
    predicted = torch.rand(2, 30, 5, generator=torch.Generator().manual_seed(0)) * 3
    selection = choose(STRATEGY, batch)
    found = neural_loss_by_window(Prediction(predicted, None), batch, STRATEGY, selection, loss)
    for number, value in enumerate(found):
        own = replace(
            batch,
            responses=batch.responses[number : number + 1],
            neuron_index=batch.neuron_index[number : number + 1],
        )
        prediction = Prediction(predicted[number : number + 1], None)
        alone = compute_losses(prediction, own, STRATEGY, choose(STRATEGY, own), loss)
        torch.testing.assert_close(value, alone.neural)


def test_gamma_loss_is_the_likelihood_of_a_gamma_distribution_of_shape_one():
    generator = torch.Generator().manual_seed(0)
    recorded = torch.rand(3, 5, generator=generator).double() * 2
    predicted = (torch.rand(3, 5, generator=generator).double() + 0.1).requires_grad_()
    loss = elementwise_loss(predicted, recorded, "gamma")
    expected = -stats.gamma.logpdf(recorded, 1, scale=predicted.detach() + 0.01)
    np.testing.assert_allclose(loss.detach(), expected)
    assert torch.autograd.gradcheck(
        lambda mean: elementwise_loss(mean, recorded, "gamma"), predicted
    )
    # Its minimum over constant predictions is the mean, as with every other loss.
    grid = torch.linspace(0.1, 3, 291)
    best = grid[elementwise_loss(grid[:, None], recorded.view(1, -1), "gamma").mean(1).argmin()]
    assert best.item() == pytest.approx(recorded.mean().item() - 0.01, abs=0.011)


def test_extreme_predictions_are_clamped(make_batch, choose):
    batch = make_batch()
    batch = replace(batch, responses=batch.responses * 0 + 50)
    strategy = replace(STRATEGY, prefix=None, num_visible=0, context=None)
    selection = choose(strategy, batch)
    losses = compute_losses(
        Prediction(torch.zeros(2, 30, 5), None), batch, strategy, selection, "poisson"
    )
    assert losses.neural.item() == 100


def test_gaussian_loss_is_the_mean_squared_error(make_batch, choose):
    batch = make_batch()
    strategy = replace(STRATEGY, prefix=None, num_visible=0, context=None)
    selection = choose(strategy, batch)
    predicted = torch.zeros(2, 30, 5)
    losses = compute_losses(Prediction(predicted, None), batch, strategy, selection, "gaussian")
    expected = batch.responses[:, 30:60, 2:].square().mean()
    torch.testing.assert_close(losses.neural, expected)


def test_behavior_loss_is_clamped_sample_by_sample(make_batch, choose):
    batch = make_batch()
    predicted = batch.behavior.clone()
    predicted[:, 0, 0] += 2
    predicted[:, 1, 0] += 1000
    losses = compute_losses(
        Prediction(None, predicted), batch, STRATEGY, choose(STRATEGY, batch), "gaussian"
    )
    assert losses.behavior.item() == pytest.approx((4 + 10) / 120, rel=1e-5)


def test_softplus_has_the_published_value_at_zero():
    out = activate(torch.zeros(1), response_loss="poisson", beta=0.1)
    assert out.item() == pytest.approx(6.931, abs=1e-3)
    assert activate(torch.tensor([-2.0]), response_loss="gaussian", beta=0.1).item() == -2


@pytest.mark.parametrize("response_loss", ["poisson", "gaussian", "gamma"])
@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_biases_start_where_an_empty_model_predicts_the_mean(small_config, response_loss, beta):
    decoder = DecoderConfig(start_at_mean=True, softplus_beta=beta)
    mean = torch.tensor([0.05, 0.7, 3.0, 40.0])
    table = SessionEmbeddings(4, 8)
    config = replace(small_config, decoder=decoder)
    initialize_biases(table, mean, config=config, response_loss=response_loss)
    found = activate(table.neuron_biases[:, 0], response_loss=response_loss, beta=beta)
    torch.testing.assert_close(found.detach(), mean)
    silent = SessionEmbeddings(1, 8)
    initialize_biases(silent, torch.zeros(1), config=config, response_loss=response_loss)
    assert bool(torch.isfinite(silent.neuron_biases).all())


def test_published_biases_start_at_zero(small_config):
    table = SessionEmbeddings(3, 8)
    initialize_biases(table, torch.ones(3), config=small_config, response_loss="poisson")
    assert not bool(table.neuron_biases.any())
