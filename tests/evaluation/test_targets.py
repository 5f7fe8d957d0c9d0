"""Targets: which samples are scored, and which target a channel counts for."""

import numpy as np
import pytest

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.evaluation.baselines.choose import training_windows
from omnimouse_cli.evaluation.targets import channel_target

PREDICT = Strategy(name="predict", family="predict", num_visible=0, video=(0, 60))


def test_visible_samples_are_not_scored(simulated_data, targets_of):
    # Neurons 4 to 9 of the targets are visible until the window's end.
    overlap = Strategy(
        name="overlap",
        family="population",
        num_visible=10,
        prefix=(30, 60),
        context=(30, 60),
        num_targets=16,
        literal_counts=True,
    )
    targets = targets_of(simulated_data, overlap)
    truth = targets.truth(targets.windows.grid[:3])
    assert targets.outputs.tolist() == list(range(4, 20))
    assert np.isnan(truth[:, :, :6]).all()
    assert np.isfinite(truth[:, :, 6:]).all()


@pytest.mark.parametrize("strategy", ["forecast", "decode"])
def test_no_scored_sample_lies_in_a_training_window(
    make_session, moving_average, targets_of, strategy
):
    def blank(tier, seconds):
        trial = {"modality": "blank", "interleave_value": 127, "seconds": seconds}
        return trial | ({"tier": tier} if tier else {})

    trials = [blank("train", 20), blank(None, 4.7), blank("test", 20), blank(None, 4.7)]
    dataset = make_session(moving_average(1800), [*trials, blank("train", 5)])
    targets = targets_of(dataset, strategy)
    first = training_windows(targets.reader, ("train",))
    in_training = np.unique(first[:, None] + np.arange(60))
    rate = 1.5 if targets.is_behavior else 1.0
    sample = targets.windows.grid[:, None] + (np.arange(*targets.samples) * rate).astype(int)
    reached = np.isin(sample, in_training)
    assert reached.any()
    assert (targets.excluded >= reached).all()
    if targets.is_behavior:
        np.testing.assert_array_equal(targets.excluded, reached)


def test_rows_that_are_held_are_scored_once(make_session, quiet_trials, moving_average, targets_of):
    responses = moving_average(800, 3)
    dataset = make_session(
        responses, quiet_trials, eye_tracker=False, treadmill=False, rate_hz=800 / 110
    )
    targets = targets_of(dataset, "forecast")
    rows = dataset.sessions[0].shard.description.responses.clock.row_at(
        targets.reader.sample_seconds(targets.windows.grid, targets.samples)
    )
    scored = rows[~targets.excluded]
    assert len(scored) == len(np.unique(scored))
    # 7.3 rows a second; the first one of the stretch may have begun before it.
    assert abs(len(scored) - len(np.unique(rows))) <= 1
    last_seen = rows[:, 0] - 1
    assert (rows[~targets.excluded] > np.repeat(last_seen, (~targets.excluded).sum(axis=1))).all()


@pytest.mark.parametrize(
    ("in_test", "expected"), [("ab", "seen"), ("ac", "mixed"), ("cc", "unseen")]
)
def test_stimuli_of_no_training_trial_are_a_row_of_their_own(
    make_session, targets_of, in_test, expected
):
    shown = {"a": 50, "b": 100, "c": 150}

    def grating(condition, tier):
        frames = np.full((90, 9, 16), shown[condition], np.uint8)
        names = {"modality": "video", "tier": tier, "condition": condition}
        return {**names, "num_frames": 90, "frames": frames}

    trials = [grating(name, "train") for name in "abab"]
    trials += [grating(name, "test") for name in in_test]
    values = np.random.default_rng(0).normal(size=(560, 3))
    dataset = make_session(values, trials, eye_tracker=False, treadmill=False)
    targets = targets_of(dataset, PREDICT)
    assert targets.stimulus_in_training == expected
    assert len(targets_of(dataset, "forecast").views) == 1
    assert targets.views[0] is targets
    assert [view.strategy.name for view in targets.views[1:]] == (
        ["predict-unseen"] if expected == "mixed" else []
    )
    for view in targets.views[1:]:
        assert view.stimulus_in_training == "unseen"
        seconds = view.reader.sample_seconds(view.windows.grid, view.samples)
        # `c` is on from second 15 to 18.
        is_c = (seconds >= 15.0 - 1e-3) & (seconds < 18.0 - 1e-3)
        np.testing.assert_array_equal(~view.excluded, is_c)


def test_channels_count_for_their_targets(simulated_data, targets_of):
    groups = targets_of(simulated_data, "decode").groups
    assert {name: len(positions) for name, positions in groups.items()} == {
        "gaze": 2,
        "pupil": 2,
        "running": 1,
    }
    assert channel_target("whisker_0") == "whisker_0"
