"""Missing rows can never be read; each recorded minute is valid or has one reason."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnimouse_cli.recording.recording import Clock
from omnimouse_cli.recording.times import true_runs
from omnimouse_cli.shard.intervals import contains, total_seconds
from omnimouse_cli.shard.valid import (
    dropped_minutes,
    missing_behavior_time,
    missing_response_time,
    screen_span,
    signal_span,
    tier_minutes,
    trial_time,
    valid_fraction,
    valid_time,
)


def test_every_recorded_moment_is_usable_or_has_one_reason(shard_with_gaps):
    dropped = dropped_minutes(shard_with_gaps)
    assert dropped == pytest.approx({"invalid": 5.0 / 60, "margins": 1.0 / 60}, abs=1e-5)
    usable = total_seconds(valid_time(shard_with_gaps))
    assert usable / 60 + sum(dropped.values()) == pytest.approx(34.5 / 60, abs=1e-4)
    assert valid_fraction(shard_with_gaps) == pytest.approx(usable / 34.5)


def test_minutes_of_tiers_are_those_of_their_trials_while_responses_ran(shard_with_gaps):
    minutes = {"train": 19.5 / 60, "test": 10.0 / 60}
    assert tier_minutes(shard_with_gaps) == pytest.approx(minutes, abs=1e-5)
    assert total_seconds(trial_time(shard_with_gaps, kind="invalid")) == pytest.approx(5.0)
    assert len(trial_time(shard_with_gaps, kind="image")) == 0


@given(
    rate=st.sampled_from([6.3, 8.0, 30.0, 30.1]),
    start=st.floats(0, 10),
    missing=st.lists(st.integers(0, 199), min_size=1, max_size=10),
)
def test_no_grid_time_that_is_valid_reads_a_missing_row(rate, start, missing):
    clock = Clock(start_seconds=start, rate_hz=rate, num_samples=200)
    rows = np.zeros(200, dtype=bool)
    rows[missing] = True
    excluded = missing_response_time(clock, true_runs(rows))
    grid = start + np.arange(int(200 / rate * 30)) / 30
    read = np.floor((grid + 1e-4 - start) * rate).astype(int)
    grid, read = grid[read < 200], read[read < 200]
    valid = ~contains(excluded, grid)
    assert not rows[read[valid]].any()
    # Nor does it when times are advanced before they are looked up.
    assert not rows[read[~contains(excluded, grid + 1e-4)]].any()


def test_rows_beside_a_missing_row_stay_valid_on_a_clock_of_thirty_hertz():
    clock = Clock(start_seconds=5.0, rate_hz=30.0, num_samples=100)
    excluded = missing_response_time(clock, np.array([[10, 12]]))
    grid = 5.0 + np.arange(100) / 30 + 1e-4
    np.testing.assert_array_equal(np.flatnonzero(contains(excluded, grid)), [10, 11])


def test_a_missing_eye_tracker_row_excludes_the_wider_of_the_published_margins():
    clock = Clock(start_seconds=1.0, rate_hz=20.0, num_samples=1000)
    excluded = missing_behavior_time(clock, np.array([[100, 101]]))
    np.testing.assert_allclose(excluded, [[6.0 - 0.15, 6.0 + 0.15]])
    fast = Clock(start_seconds=1.0, rate_hz=1000.0, num_samples=1000)
    excluded = missing_behavior_time(fast, np.array([[100, 103]]))
    np.testing.assert_allclose(excluded, [[1.1 - 0.055, 1.102 + 0.055]])


def test_half_a_second_is_left_out_at_both_ends():
    clock = Clock(start_seconds=2.0, rate_hz=10.0, num_samples=50)
    np.testing.assert_allclose(signal_span(clock), [[2.5, 6.5]])
    np.testing.assert_allclose(screen_span(np.array([1.0, 2.0, 9.0])), [[1.5, 8.5]])


def test_a_signal_of_less_than_a_second_is_never_valid():
    assert len(signal_span(Clock(start_seconds=0.0, rate_hz=10.0, num_samples=10))) == 0
    assert len(screen_span(np.array([1.0, 1.5]))) == 0
    assert len(screen_span(np.empty(0))) == 0
