"""Evaluation windows: their second halves tile the tier once, and nothing else is scored."""

import numpy as np
import pytest

from omnimouse_cli.evaluation.windows import evaluation_windows


def windows_of(dataset, tier="test", stride=30, include_blanks=True):
    return evaluation_windows(
        dataset.sessions[0], tier=tier, include_blanks=include_blanks, stride_samples=stride
    )


def test_second_halves_tile_a_trial_once(make_session, quiet_trials, moving_average):
    dataset = make_session(moving_average(), quiet_trials, eye_tracker=False, treadmill=False)
    windows = windows_of(dataset)
    assert set(np.diff(windows.grid)) == {30}
    scored = (windows.grid[:, None] + np.arange(30, 60)).reshape(-1)
    assert len(np.unique(scored)) == len(scored)
    assert windows.start_seconds[0] >= 62.0 - 1e-3
    assert windows.start_seconds[-1] + 2.0 <= 102.0 + 1e-3
    assert len(windows) == 38


def test_the_stride_is_the_users(make_session, quiet_trials, moving_average):
    dataset = make_session(moving_average(), quiet_trials, eye_tracker=False, treadmill=False)
    assert set(np.diff(windows_of(dataset, stride=7).grid)) == {7}
    assert len(windows_of(dataset, stride=60)) == 19


def test_windows_of_nothing_but_untiered_blanks_are_not_of_the_tier(make_session, moving_average):
    def blank(tier, seconds):
        trial = {"modality": "blank", "interleave_value": 127, "seconds": seconds}
        return trial | ({"tier": tier} if tier else {})

    trials = [blank("train", 10), blank(None, 20), blank("test", 10), blank(None, 20)]
    dataset = make_session(moving_average(1800), trials, eye_tracker=False, treadmill=False)
    windows = windows_of(dataset)
    scored = windows.start_seconds[:, None] + np.array([1.0, 2.0])
    assert len(windows) > 0
    assert (scored[:, 1] > 30.0).all()
    assert (scored[:, 0] < 40.0).all()
    inside = windows_of(dataset, include_blanks=False)
    assert (inside.start_seconds >= 30.0 - 1e-3).all()
    assert (inside.start_seconds + 2.0 <= 40.0 + 1e-3).all()


@pytest.mark.parametrize("tier", ["oracle", "nothing"])
def test_a_tier_without_time_has_no_windows(make_session, quiet_trials, moving_average, tier):
    dataset = make_session(moving_average(), quiet_trials, eye_tracker=False, treadmill=False)
    windows = windows_of(dataset, tier=tier)
    assert len(windows) == 0
    assert windows.num_blocks == 0
