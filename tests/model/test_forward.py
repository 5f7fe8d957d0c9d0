"""One forward pass for every subset of modalities, channels, neurons and animals."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES, TRAINING_STRATEGIES
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.kernels.attention import visible_pairs
from omnimouse_cli.model.inputs import prepare_inputs
from omnimouse_cli.model.losses import compute_losses
from omnimouse_cli.model.omnimouse import OmniMouse, fusion_pattern
from omnimouse_cli.model.sequences import token_intervals

ONE_OF_EACH_ROW = tuple({s.name.split("-")[0]: s for s in TRAINING_STRATEGIES}.values())
FORECAST = Strategy(
    name="forecast", family="forecast", prefix=(0, 25), context=(0, 60), video=(0, 60)
)
DECODE = Strategy(
    name="decode",
    family="decode",
    prefix=(0, 60),
    context=(0, 60),
    targets=None,
    behavior="reconstructed",
)


@pytest.mark.parametrize(
    "had",
    [
        {"video": False, "behavior": False},
        {"video": False, "behavior": True},
        {"video": True, "behavior": False},
        {"video": True, "behavior": True},
    ],
)
def test_any_subset_of_modalities_has_finite_losses(
    small_config, make_model, make_batch, choose, had
):
    video, behavior = had["video"], had["behavior"]
    model, table = make_model(small_config, channels=("running", "a", "b") if behavior else ())
    batch = make_batch(video=video, behavior=behavior, channels=3 if behavior else 0)
    for strategy in FAMILY_STRATEGIES + ONE_OF_EACH_ROW:
        if not strategy.applies(stimulus=video, behavior=behavior):
            continue
        selection = choose(strategy, batch, seed=1)
        prediction = model(batch, table, "mouse", strategy, selection)
        losses = compute_losses(prediction, batch, strategy, selection, "gaussian")
        parts = [loss for loss in losses if loss is not None]
        assert parts
        assert all(bool(torch.isfinite(loss)) for loss in parts)
        if prediction.responses is not None:
            samples = strategy.targets[1] - strategy.targets[0]
            assert prediction.responses.shape == (2, samples, selection.num_targets)
        asked = strategy.behavior == "reconstructed" and behavior
        assert (prediction.behavior is not None) == asked


def test_without_gradients_the_last_layer_computes_only_tokens_that_a_query_sees(
    small_config, make_model, make_batch, choose
):
    model, table = make_model(small_config)
    batch = make_batch()
    computed = []
    last = model.fusion[-1].feed_forward
    last.register_forward_pre_hook(lambda _, inputs: computed.append(inputs[0].shape[1]))
    some_are_not_read = 0
    for strategy in (*FAMILY_STRATEGIES, *ONE_OF_EACH_ROW, FORECAST, DECODE):
        selection = choose(strategy, batch)
        with_gradients = model(batch, table, "mouse", strategy, selection)
        inputs = prepare_inputs(small_config, batch, strategy, selection)
        queries, fusion = map(token_intervals, (inputs.sequences.queries, inputs.sequences.fusion))
        is_read = visible_pairs(queries, fusion, torch.device("cpu")).any(dim=0)
        with torch.no_grad():
            without = model(batch, table, "mouse", strategy, selection)
        assert computed[-2:] == [len(is_read), int(is_read.sum())], strategy.name
        some_are_not_read += not bool(is_read.all())
        for expected, found in zip(with_gradients, without, strict=True):
            if expected is not None:
                torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert some_are_not_read > 10


def test_training_goes_on_after_an_evaluation_in_inference_mode(
    small_config, make_model, make_batch, choose
):
    # No other test has so many neurons: whatever a forward pass keeps is made in inference mode.
    model, table = make_model(small_config, neurons=23)
    batch = make_batch(neurons=23)
    for strategy in FAMILY_STRATEGIES:
        selection = choose(strategy, batch)
        with torch.inference_mode():
            model(batch, table, "mouse", strategy, selection)
        prediction = model(batch, table, "mouse", strategy, selection)
        losses = compute_losses(prediction, batch, strategy, selection, "gaussian")
        sum(loss for loss in losses if loss is not None).backward()


def test_nothing_is_answered_where_a_session_lacks_what_is_asked(
    small_config, make_model, make_batch, choose
):
    model, table = make_model(small_config)
    batch = make_batch(behavior=False)
    selection = choose(DECODE, batch)
    prediction = model(batch, table, "mouse", DECODE, selection)
    assert prediction == (None, None)
    assert compute_losses(prediction, batch, DECODE, selection, "gaussian") == (None, None, None)


def test_a_channel_that_the_session_lacks_is_neither_seen_nor_scored(
    small_config, make_model, make_batch, choose
):
    model, table = make_model(small_config)
    batch = replace(make_batch(), behavior_present=np.array([True, False, True]))
    selection = choose(DECODE, batch)
    other = replace(batch, behavior=batch.behavior.clone())
    other.behavior[:, 1] = 1e6
    for strategy in (DECODE, replace(FORECAST, behavior="encoded")):
        one = model(batch, table, "mouse", strategy, selection)
        two = model(other, table, "mouse", strategy, selection)
        for mine, theirs in zip(one, two, strict=True):
            assert (mine is None) == (theirs is None)
            assert mine is None or torch.equal(mine, theirs)
    prediction = model(batch, table, "mouse", DECODE, selection)
    assert not bool(prediction.behavior[:, 1].any())
    losses = [compute_losses(prediction, b, DECODE, selection, "gaussian").behavior
              for b in (batch, other)]  # fmt: skip
    assert torch.equal(*losses)


@pytest.mark.parametrize("strategy", [FORECAST, DECODE, *ONE_OF_EACH_ROW], ids=lambda s: s.name)
def test_the_order_of_neurons_does_not_matter(
    small_config, make_model, make_batch, choose, strategy
):
    model, table = make_model(small_config)
    batch = make_batch()
    selection = choose(strategy, batch, seed=5)
    order = torch.tensor([3, 6, 0, 1, 5, 2, 4])
    place = order.argsort()
    shuffled = replace(
        batch, responses=batch.responses[:, :, order], neuron_index=batch.neuron_index[:, order]
    )
    moved = replace(selection, visible=place[selection.visible], targets=place[selection.targets])
    with torch.no_grad():
        one = model(batch, table, "mouse", strategy, selection)
        two = model(shuffled, table, "mouse", strategy, moved)
    for mine, theirs in zip(one, two, strict=True):
        if mine is not None:
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_windows_do_not_know_each_other(small_config, make_model, make_batch, choose):
    model, table = make_model(small_config)
    batch = make_batch(windows=3)
    selection = choose(FORECAST, batch, seed=0)
    alone = replace(
        batch,
        responses=batch.responses[1:2],
        neuron_index=batch.neuron_index[1:2],
        video=batch.video[1:2],
        behavior=batch.behavior[1:2],
    )
    alone_selection = replace(
        selection, visible=selection.visible[1:2], targets=selection.targets[1:2]
    )
    with torch.no_grad():
        together = model(batch, table, "mouse", FORECAST, selection).responses[1:2]
        single = model(alone, table, "mouse", FORECAST, alone_selection).responses
    torch.testing.assert_close(together, single, atol=1e-5, rtol=1e-5)


def test_gradient_reaches_every_parameter_over_the_strategies(
    small_config, make_model, make_batch, choose
):
    model, table = make_model(small_config)
    batch = make_batch()
    for strategy in FAMILY_STRATEGIES:
        selection = choose(strategy, batch, seed=2)
        prediction = model(batch, table, "mouse", strategy, selection)
        losses = compute_losses(prediction, batch, strategy, selection, "gaussian")
        sum(loss for loss in losses if loss is not None).backward()
    # Weights of the linear models are computed before training.
    assert table.neuron_weights.grad is None
    learned = [(name, x) for name, x in table.named_parameters() if name != "neuron_weights"]
    for name, parameter in [*model.named_parameters(), *learned]:
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
        assert bool(parameter.grad.any()), name


def test_dropout_acts_in_training_alone_and_follows_the_seed(
    small_config, make_model, make_batch, choose
):
    config = replace(small_config, dropout=0.3, neuron_dropout=0.3)
    config = replace(config, video=replace(config.video, drop_path=0.3))
    model, table = make_model(config)
    batch = make_batch()
    selection = choose(FORECAST, batch)

    def answer(seed):
        torch.manual_seed(seed)
        with torch.no_grad():
            return model(batch, table, "mouse", FORECAST, selection).responses

    assert torch.equal(answer(0), answer(1))
    model.train()
    assert torch.equal(answer(0), answer(0))
    assert not torch.equal(answer(0), answer(1))


def test_other_frame_sizes_work_and_a_wrong_one_is_told(
    small_config, make_model, make_batch, choose
):
    video = replace(small_config.video, frame_height=24, frame_width=32)
    model, table = make_model(replace(small_config, video=video))
    batch = make_batch(frame=(24, 32))
    selection = choose(FORECAST, batch)
    assert model(batch, table, "mouse", FORECAST, selection).responses.shape == (2, 30, 7)
    with pytest.raises(ConfigError, match="session has frames of 12 x 16 pixels"):
        model(make_batch(), table, "mouse", FORECAST, selection)


def test_an_unknown_animal_is_told(small_config, make_model, make_batch, choose):
    model, table = make_model(small_config)
    batch = make_batch()
    with pytest.raises(ConfigError, match="knows the animals mouse, and not rat"):
        model(batch, table, "rat", FORECAST, choose(FORECAST, batch))


def test_a_model_needs_to_know_its_loss(small_config):
    with pytest.raises(ValueError, match="`response_loss` must be set"):
        OmniMouse(replace(small_config, response_loss=None), behavior_channels=(), animals=("a",))


def test_patterns_end_with_whole_cycles():
    config = SIZES["nano"]
    assert fusion_pattern(replace(config, layers=8, pattern="LLG")) == "LLLLGLLG"
    assert fusion_pattern(SIZES["80M"]) == "LLLLLGLLLLLG"


@pytest.mark.parametrize("response_loss", ["poisson", "gaussian"])
def test_bfloat16_stays_near_float32(small_config, make_model, make_batch, choose, response_loss):
    model, table = make_model(replace(small_config, response_loss=response_loss))
    batch = make_batch()
    for strategy in (FORECAST, FAMILY_STRATEGIES[0], FAMILY_STRATEGIES[-1]):
        selection = choose(strategy, batch, seed=2)
        with torch.no_grad():
            exact = model(batch, table, "mouse", strategy, selection)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                rounded = model(batch, table, "mouse", strategy, selection)
        for mine, theirs in zip(exact, rounded, strict=True):
            if mine is not None:
                assert theirs.dtype == torch.float32
                torch.testing.assert_close(mine, theirs, atol=0.1, rtol=0.1)
