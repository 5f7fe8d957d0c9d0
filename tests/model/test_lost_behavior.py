"""Lost behavior samples: 0 as inputs, told to the latents by their share, not in the loss."""

from dataclasses import replace

import pytest
import torch

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.model.inputs import prepare_inputs
from omnimouse_cli.model.losses import compute_losses
from omnimouse_cli.model.omnimouse import Prediction

FORECAST = Strategy(
    name="forecast",
    family="forecast",
    prefix=(0, 25),
    context=(0, 60),
    video=(0, 60),
    behavior="encoded",
)
DECODE = Strategy(
    name="decode",
    family="decode",
    prefix=(0, 60),
    context=(0, 60),
    targets=None,
    behavior="reconstructed",
)


@pytest.fixture
def lossy_batch(make_batch):
    """Three windows: one lost nothing, one a part of a channel, one everything."""
    batch = make_batch(windows=3)
    batch.behavior[1, 0, 10:22] = torch.nan
    batch.behavior[2] = torch.nan
    return batch


def one_window(batch, number):
    rows = slice(number, number + 1)
    return replace(
        batch,
        responses=batch.responses[rows],
        neuron_index=batch.neuron_index[rows],
        video=batch.video[rows],
        behavior=batch.behavior[rows],
        start_seconds=batch.start_seconds[rows],
    )


def test_lost_inputs_are_the_mean_and_their_share_is_known(small_config, lossy_batch, choose):
    inputs = prepare_inputs(small_config, lossy_batch, FORECAST, choose(FORECAST, lossy_batch))
    torch.testing.assert_close(inputs.lost_behavior, torch.tensor([0.0, 0.1, 1.0]))
    torch.testing.assert_close(inputs.batch.behavior, lossy_batch.behavior.nan_to_num(0.0))
    assert lossy_batch.behavior_fraction == pytest.approx(1 - 1.1 / 3)
    # 17 of 40 samples lie before .83 s; those after it are as if lost.
    causal = replace(FORECAST, behavior_range=(0, 25))
    inputs = prepare_inputs(small_config, lossy_batch, causal, choose(causal, lossy_batch))
    share = torch.tensor([23 / 40, (23 + 7 / 3) / 40, 1.0])
    torch.testing.assert_close(inputs.lost_behavior, share)
    assert not inputs.batch.behavior[:, :, 17:].any()
    # Hidden behavior is neither read nor scored as an input.
    hidden = prepare_inputs(small_config, lossy_batch, DECODE, choose(DECODE, lossy_batch))
    assert hidden.lost_behavior is None


def test_without_behavior_a_batch_has_no_share_of_it(make_batch):
    assert make_batch(behavior=False, channels=0).behavior_fraction == 0.0
    assert make_batch().behavior_fraction == 1.0


def test_a_window_does_not_depend_on_what_the_others_lost(
    small_config, make_model, lossy_batch, choose
):
    model, table = make_model(small_config)
    whole = model(lossy_batch, table, "mouse", FORECAST, choose(FORECAST, lossy_batch))
    assert bool(whole.responses.isfinite().all())
    for number in range(3):
        alone = one_window(lossy_batch, number)
        found = model(alone, table, "mouse", FORECAST, choose(FORECAST, alone))
        torch.testing.assert_close(found.responses[0], whole.responses[number])


def test_a_window_that_lost_all_behavior_has_the_latents_of_hidden_behavior(
    small_config, make_model
):
    model, _ = make_model(small_config)
    latents, session = model.latents, torch.randn(small_config.d_model)
    lost = latents(6, session, (True, True, True)) + latents.lost_behavior(torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(lost[0], latents(6, session, (True, True, False)))
    assert torch.equal(lost[1], latents(6, session, (True, True, True)))


def test_the_model_learns_from_what_is_left_without_nan(
    small_config, make_model, lossy_batch, choose
):
    for strategy in (FORECAST, DECODE):
        model, table = make_model(small_config)
        selection = choose(strategy, lossy_batch)
        prediction = model(lossy_batch, table, "mouse", strategy, selection)
        losses = compute_losses(prediction, lossy_batch, strategy, selection, "gaussian")
        sum(loss for loss in losses if loss is not None).backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(bool(gradient.isfinite().all()) for gradient in gradients)
        assert any(bool(gradient.any()) for gradient in gradients)


def test_the_loss_is_the_mean_over_samples_that_are_not_lost(lossy_batch, choose):
    predicted = torch.zeros(3, 3, 40, requires_grad=True)
    selection = choose(DECODE, lossy_batch)
    loss = compute_losses(
        Prediction(None, predicted), lossy_batch, DECODE, selection, "gaussian"
    ).behavior
    known = ~lossy_batch.behavior.isnan()
    expected = lossy_batch.behavior[known].square().clamp(max=10.0).mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert bool(predicted.grad[known].any())
    assert not bool(predicted.grad[~known].any())


def test_a_batch_that_lost_all_behavior_has_loss_0_and_no_gradient(lossy_batch, choose):
    batch = one_window(lossy_batch, 2)
    predicted = torch.ones(1, 3, 40, requires_grad=True)
    losses = compute_losses(
        Prediction(None, predicted), batch, DECODE, choose(DECODE, batch), "gaussian"
    )
    losses.behavior.backward()
    assert losses.behavior.item() == 0.0
    assert not bool(predicted.grad.any())
