"""A session in numbers: trials, modalities, distribution of responses."""

import numpy as np
import pytest

from omnimouse_cli.shard.summary import QUANTILES, summarize


def test_a_summary_counts_trials_stimuli_and_repeats(shard_with_gaps):
    train, test = summarize(shard_with_gaps).tiers
    assert (train.tier, train.trials, train.stimuli, train.repeated_stimuli) == ("train", 3, 2, 1)
    assert (test.tier, test.trials, test.stimuli, test.repeated_stimuli) == ("test", 1, 1, 0)
    assert train.kinds == {"video": 3}
    assert (train.seen_in_train, test.seen_in_train) == (None, True)
    # The eye tracker was missing from 24.95 to 26.2 s, which costs nothing.
    assert test.usable_minutes == pytest.approx(10.0 / 60, abs=1e-4)


def test_a_summary_describes_every_modality(shard_with_gaps):
    responses, screen, eye = summarize(shard_with_gaps).modalities
    assert (responses.modality, responses.rate_hz, responses.size) == ("responses", 30.0, "5")
    assert (screen.modality, screen.size) == ("screen", "36 x 64")
    assert screen.rate_hz == pytest.approx(30.0)
    assert (eye.channels, eye.samples) == (("pupil_x", "pupil_y"), 720)
    assert (responses.missing, eye.missing) == (150, 0)
    assert responses.valid_fraction == pytest.approx(1 - 6.0 / 34.5, abs=1e-4)


def test_a_summary_gives_quantiles_over_neurons(shard_with_gaps):
    responses = summarize(shard_with_gaps).responses
    assert responses.constant_neurons == 1
    assert responses.std[0] == 0
    assert responses.mean[-1] == shard_with_gaps.neuron_mean.max()
    assert responses.mean[QUANTILES.index(0.5)] == pytest.approx(
        np.median(shard_with_gaps.neuron_mean)
    )
    assert responses.file_std_ratio is None
