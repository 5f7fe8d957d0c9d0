"""Sequence lengths, times and intervals of the published sizes, and masks by brute force."""

import pytest
import torch

from omnimouse_cli.batch.strategies import (
    FAMILY_STRATEGIES,
    TEST_STRATEGIES,
    TRAINING_STRATEGIES,
    VALIDATION_STRATEGIES,
    population_curve,
)
from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.cost.training import make_task
from omnimouse_cli.kernels.attention import visible_pairs
from omnimouse_cli.model.sequences import build_sequences, num_tokens, token_intervals

PUBLISHED = SIZES["1M"]
TRAINING = {strategy.name: strategy for strategy in TRAINING_STRATEGIES}
EVERY_STRATEGY = (
    TRAINING_STRATEGIES
    + VALIDATION_STRATEGIES
    + TEST_STRATEGIES
    + FAMILY_STRATEGIES
    + population_curve()
)


def sequences_of(strategy, *, neurons=4096, channels=5, has_screen=True, config=PUBLISHED):
    task = make_task(
        config, strategy, num_neurons=neurons, num_channels=channels, has_screen=has_screen
    )
    return build_sequences(config, task)


@pytest.mark.parametrize(
    ("context", "latents"),
    [((0, 60), 4096), ((10, 60), 3456), ((0, 50), 3456), ((20, 60), 2816), ((10, 50), 2816),
     ((0, 40), 2816), ((30, 60), 2176), ((10, 40), 2176), ((30, 50), 1536), ((30, 40), 896),
     ((10, 20), 896), (None, 256)],
)  # fmt: skip
def test_latents_of_a_context_are_as_many_as_published(context, latents):
    chosen = [s for s in TRAINING_STRATEGIES if s.context == context]
    assert chosen
    for strategy in chosen:
        assert num_tokens(sequences_of(strategy).latents) == latents


@pytest.mark.parametrize(
    ("name", "times"),
    [("A3-15+10-n4096", 1), ("A3-10+15-n4096", 2), ("A3-0+25-n4096", 4), ("F2-10+10-n4096", 1)],
)
def test_a_prefix_of_everyone_has_its_tokens(name, times):
    strategy = TRAINING[name]
    assert num_tokens(sequences_of(strategy).context) == times * 4096 + 5


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("A1-0+60-n256", 11 * 256 + 5),
        ("A5-0+60-fp25-n64", 4 * 4096 + 6 * 64 + 5),
        ("A5-15+45-fp10-n256", 4096 + 6 * 256 + 5),
        ("C4-10+40-fp15-n1024", 2 * 4096 + 4 * 1024 + 5),
        ("A6-10+50-fp15-n64", 2 * 4096 + 6 * 64),
        ("E1-30+20-n64", 3 * 64 + 5),
        ("G1", 5),
        ("G2", 0),
    ],
)
def test_two_pieces_of_a_prefix_are_cut_apart(name, tokens):
    assert num_tokens(sequences_of(TRAINING[name]).context) == tokens


@pytest.mark.parametrize(
    ("frames", "features"),
    [((50, 60), (25, 30)), ((40, 60), (20, 30)), ((30, 60), (15, 30)), ((20, 60), (10, 30)),
     ((10, 60), (5, 30)), ((0, 60), (0, 30))],
)  # fmt: skip
def test_frames_keep_the_published_time_steps(frames, features):
    chosen = [s for s in TRAINING_STRATEGIES if s.video == frames]
    assert chosen
    for strategy in chosen:
        sequences = sequences_of(strategy)
        assert sequences.video_steps == features
        assert num_tokens(sequences.video) == (features[1] - features[0]) * 128


def test_a_video_tokens_time_is_the_latest_frame_that_it_saw():
    video = sequences_of(TRAINING["G2"]).video
    assert [tokens.time for tokens in video] == [*range(3, 60, 2), 59]
    assert all(tokens.interval.end - tokens.interval.start == 6 for tokens in video)
    assert num_tokens(video) == 3840


def test_times_and_intervals_of_the_other_tokens():
    sequences = sequences_of(TRAINING["B4-15+45-fp10-n64"])
    assert [tuple(tokens) for tokens in sequences.context[:3]] == [
        (15, (15, 25, 4096)),
        (25, (25, 35, 64)),
        (30, (30, 40, 64)),
    ]
    assert tuple(sequences.context[-1]) == (0, (0, 60, 5))
    assert [tuple(tokens) for tokens in sequences.latents] == [
        *((10 * k, (10 * k, 10 * k + 10, 640)) for k in range(1, 6)),
        (0, (0, 60, 256)),
    ]
    assert [tuple(tokens) for tokens in sequences.queries] == [
        (start, (start, start + 10, 3072)) for start in range(30, 60, 5)
    ]


def test_modalities_that_a_session_lacks_have_no_tokens():
    strategy = TRAINING["D1-30+30-n64"]
    sequences = sequences_of(strategy, channels=0, has_screen=False)
    assert sequences.video_steps is None
    assert sequences.lengths == {
        "context": 5 * 64, "latents": 2176, "video": 0, "fusion": 2176, "queries": 6 * 3072,
    }  # fmt: skip
    decode = sequences_of(TRAINING["A2a-0+60-n4096"], channels=2)
    assert num_tokens(decode.queries) == 2


def token_bounds(sequence):
    return [
        (tokens.interval.start / 30, tokens.interval.end / 30)
        for tokens in sequence
        for _ in range(tokens.interval.tokens)
    ]


@pytest.mark.parametrize("strategy", EVERY_STRATEGY, ids=lambda strategy: strategy.name)
def test_masks_equal_a_brute_force_interval_test(strategy, small_config):
    """Over all strategies: every pair of the three masked attentions, token by token."""
    sequences = sequences_of(strategy, neurons=5, channels=2, config=small_config)
    for queries, keys in (
        (sequences.latents, sequences.context),
        (sequences.fusion, sequences.fusion),
        (sequences.queries, sequences.fusion),
    ):
        if not queries or not keys:
            continue
        starts, ends = torch.tensor(token_bounds(queries)).T
        key_starts, key_ends = torch.tensor(token_bounds(keys)).T
        # Intervals touch where times differ by rounding: half a sample is added to be sure.
        half = 0.5 / 30
        expected = (key_ends[None] > starts[:, None] + half) & (
            key_starts[None] < ends[:, None] - half
        )
        found = visible_pairs(token_intervals(queries), token_intervals(keys), torch.device("cpu"))
        assert torch.equal(found, expected)
