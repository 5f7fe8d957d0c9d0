"""Minutes are accounted for: each has one reason or can be used."""

from dataclasses import replace

import numpy as np
import pytest

from omnimouse_cli.shard.summary import QUANTILES, summarize
from omnimouse_cli.shard.usable import (
    dropped_minutes,
    tier_minutes,
    trial_seconds,
    usable_seconds,
    valid_fraction,
)
from omnimouse_cli.shard.valid import total_seconds

SPECIFICATION = (
    ("video", "train", "a", 10.0),
    ("invalid", None, None, 5.0),
    ("video", "test", "a", 10.0),
    ("video", "train", "b", 5.0),
    ("video", "train", "a", 5.0),
)


@pytest.fixture
def shard(make_recording, converted, signal):
    # Responses from 0.6 to 35.1 s; trials from 0.4 to 35.4 s, the invalid one at 10.4 to 15.4 s.
    responses = np.random.default_rng(0).gamma(1.0, 1.0, (1035, 5))
    responses[:, 1] = 3.0
    responses[294:444] = np.nan
    eye = np.random.default_rng(1).normal(size=(720, 2))
    eye[500:520] = np.nan
    recording = make_recording(responses=responses, specification=SPECIFICATION)
    eye_tracker = signal("eye_tracker", 0.1, 20.0, eye, ("pupil_x", "pupil_y"))
    return converted(replace(recording, behavior=(eye_tracker,)))


def test_every_recorded_moment_is_usable_or_has_one_reason(shard):
    dropped = dropped_minutes(shard)
    assert dropped == pytest.approx(
        {"invalid": 5.0 / 60, "margins": 1.0 / 60, "eye_tracker lost": 1.25 / 60}, abs=1e-5
    )
    usable = total_seconds(usable_seconds(shard))
    assert usable / 60 + sum(dropped.values()) == pytest.approx(34.5 / 60, abs=1e-4)
    assert valid_fraction(shard) == pytest.approx(usable / 34.5)


def test_minutes_of_tiers_are_those_of_their_trials_while_responses_ran(shard):
    assert tier_minutes(shard) == pytest.approx({"train": 19.5 / 60, "test": 10.0 / 60})
    assert total_seconds(trial_seconds(shard, kind="invalid")) == pytest.approx(5.0)
    assert len(trial_seconds(shard, kind="image")) == 0


def test_a_summary_counts_trials_stimuli_and_repeats(shard):
    train, test = summarize(shard).tiers
    assert (train.tier, train.trials, train.stimuli, train.repeated_stimuli) == ("train", 3, 2, 1)
    assert (test.tier, test.trials, test.stimuli, test.repeated_stimuli) == ("test", 1, 1, 0)
    assert train.kinds == {"video": 3}
    # The eye tracker was lost from 24.95 to 26.2 s; the trial ends at 25.4 s.
    assert test.usable_minutes == pytest.approx((10.0 - 0.45) / 60, abs=1e-4)


def test_a_summary_describes_every_modality(shard):
    responses, screen, eye = summarize(shard).modalities
    assert (responses.modality, responses.rate_hz, responses.size) == ("responses", 30.0, "5")
    assert (screen.modality, screen.size) == ("screen", "36 x 64")
    assert screen.rate_hz == pytest.approx(30.0)
    assert (eye.channels, eye.samples) == (("pupil_x", "pupil_y"), 720)
    assert responses.valid_fraction == pytest.approx(1 - 6.0 / 34.5, abs=1e-4)


def test_a_summary_gives_quantiles_over_neurons(shard):
    responses = summarize(shard).responses
    assert responses.constant_neurons == 1
    assert responses.std[0] == 0
    assert responses.mean[-1] == shard.neuron_mean.max()
    assert responses.mean[QUANTILES.index(0.5)] == pytest.approx(np.median(shard.neuron_mean))
    assert responses.file_std_ratio is None
