"""What is hidden changes nothing, what is visible does: for every kind of strategy."""

from dataclasses import replace

import pytest
import torch

from omnimouse_cli.batch.selection import scored_mask
from omnimouse_cli.batch.strategies import (
    FAMILY_STRATEGIES,
    TEST_STRATEGIES,
    TRAINING_STRATEGIES,
    VALIDATION_STRATEGIES,
    regime_strategies,
)
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.model.inputs import TargetNeurons

ONE_OF_EACH_ROW = {s.name.split("-")[0]: s for s in TRAINING_STRATEGIES}.values()
# Targets that are visible in part: scored samples must not depend on the others.
OVERLAPPING = Strategy(
    name="overlapping",
    family="population",
    num_visible=4,
    prefix=(10, 40),
    full_population_prefix=15,
    context=(0, 60),
    targets=(0, 60),
    literal_counts=True,
)
CAUSAL = tuple(
    strategy
    for strategy in regime_strategies("all", population=8, stimulus=True, behavior=True)
    if strategy.name.endswith("-causal")
)
STRATEGIES = (
    *ONE_OF_EACH_ROW,
    *FAMILY_STRATEGIES,
    *VALIDATION_STRATEGIES,
    *TEST_STRATEGIES[:9],
    OVERLAPPING,
    *CAUSAL,
)
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)


@pytest.fixture(scope="module")
def parts(small_config, make_model, make_batch):
    model, table = make_model(small_config)
    return model, table, make_batch()


def visible_responses(strategy, batch, selection):
    """Which responses a strategy shows, neuron by neuron: bool like the responses."""
    shown = torch.zeros_like(batch.responses, dtype=torch.bool)
    if strategy.prefix is not None:
        first, last = strategy.prefix
        shown[:, first : first + strategy.full_population_prefix] = True
        for window, neurons in enumerate(selection.visible.tolist()):
            shown[window, first:last, neurons] = True
    return shown


def outputs(parts, strategy, selection, batch):
    model, table, _ = parts
    with torch.no_grad():
        prediction = model(batch, table, "mouse", strategy, selection)
    scored = prediction.responses
    if scored is not None:
        scored = scored[:, scored_mask(strategy, selection)]
    return [part for part in (scored, prediction.behavior) if part is not None]


@each_strategy
def test_hidden_responses_frames_and_behavior_change_no_prediction(parts, strategy, choose):
    batch = parts[2]
    selection = choose(strategy, batch, seed=3)
    shown = visible_responses(strategy, batch, selection)
    frames = torch.zeros(60, dtype=torch.bool)
    frames[slice(*(strategy.video or (0, 0)))] = True
    behavior = batch.behavior + 9
    if strategy.behavior == "encoded":
        samples = slice(*strategy.behavior_samples)
        behavior[:, :, samples] = batch.behavior[:, :, samples]
    other = replace(
        batch,
        responses=batch.responses.where(shown, batch.responses + 7),
        video=batch.video.where(frames[None, :, None, None], -batch.video + 3),
        behavior=behavior,
    )
    before = outputs(parts, strategy, selection, batch)
    after = outputs(parts, strategy, selection, other)
    assert before
    for one, two in zip(before, after, strict=True):
        assert torch.equal(one, two)


def test_causal_strategies_see_nothing_later_than_their_first_target_sample():
    """In samples of 1/30 s; a behavior sample of 1/20 s is later if its time is."""
    assert [strategy.name for strategy in CAUSAL] == ["predict-causal", "forecast-causal"]
    for strategy in CAUSAL:
        latest = [(strategy.behavior_samples[1] - 1) * 1.5]
        latest += [part[1] - 1 for part in (strategy.prefix, strategy.video) if part]
        assert max(latest) <= strategy.targets[0]
    assert [strategy.behavior_samples for strategy in CAUSAL] == [(0, 21), (0, 17)]


def test_published_video_layout_reads_no_frame_after_the_visible_ones(
    small_config, make_model, make_batch, choose
):
    video = replace(small_config.video, layout="reference")
    model, table = make_model(replace(small_config, video=video))
    batch, strategy = make_batch(), CAUSAL[0]
    later = batch.video.clone()
    later[:, strategy.video[1] :] += 3
    before, after = (
        outputs((model, table, None), strategy, choose(strategy, batch, seed=3), one)
        for one in (batch, replace(batch, video=later))
    )
    assert torch.equal(before[0], after[0])


@each_strategy
def test_each_visible_modality_changes_predictions(parts, strategy, choose):
    batch = parts[2]
    selection = choose(strategy, batch, seed=3)
    before = outputs(parts, strategy, selection, batch)
    shown = visible_responses(strategy, batch, selection)
    changes = {}
    if strategy.prefix is not None:
        changes["responses"] = batch.responses.where(~shown, batch.responses + 7)
    if strategy.video is not None:
        video = batch.video.clone()
        video[:, strategy.video[1] - 8 : strategy.video[1]] *= -3
        changes["video"] = video
    if strategy.behavior == "encoded":
        changes["behavior"] = batch.behavior + 9
    assert len(changes) == len(strategy.inputs)
    for name, value in changes.items():
        after = outputs(parts, strategy, selection, replace(batch, **{name: value}))
        assert any(not torch.equal(one, two) for one, two in zip(before, after, strict=True)), name


def test_the_history_shortcut_reads_visible_samples_of_the_neuron_alone(parts, choose):
    """Through the filter, a neuron's sample moves its own prediction at once, not another's."""
    model, _, batch = parts
    strategy = FAMILY_STRATEGIES[8]
    assert strategy.name == "forecast"
    neurons = choose(strategy, batch).targets
    history = model.readout.own_history
    responses = batch.responses.requires_grad_()
    drive = history(TargetNeurons(neurons, responses, strategy, num_shared=neurons.shape[1]))
    (gradient,) = torch.autograd.grad(drive[:, :, 2].sum(), responses)
    assert bool((gradient[:, :25, 2] != 0).all())
    assert not bool(gradient[:, 25:].any())
    assert not bool(gradient[:, :, [0, 1, 3, 4, 5, 6]].any())
    responses.requires_grad_(requires_grad=False)
