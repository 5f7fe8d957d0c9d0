"""Regular clocks from times: gaps become missing rows, and bad times are named."""

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.recording import Clock
from omnimouse_cli.recording.times import RegularTimes, hold_on_grid, regular_times


def test_jitter_gives_the_true_rate_and_every_row():
    rng = np.random.default_rng(0)
    times = 3.855 + np.arange(200_000) / 30.141 + rng.uniform(-5e-6, 5e-6, 200_000)
    fitted = regular_times(times, "times")
    assert fitted.clock.rate_hz == pytest.approx(30.141, rel=1e-7)
    assert fitted.clock.start_seconds == pytest.approx(3.855, abs=1e-3)
    np.testing.assert_array_equal(fitted.source_row, np.arange(200_000))
    assert fitted.notes == ()
    assert len(fitted.gaps) == 0


@pytest.mark.parametrize("num_gaps", [1, 12])
def test_no_row_is_farther_from_its_time_than_half_a_period(num_gaps):
    rng = np.random.default_rng(num_gaps)
    times = np.arange(30_000) / 30.0
    for row in np.linspace(1000, 29_000, num_gaps).astype(int):
        times[row:] += rng.uniform(0.1, 2.0)
    fitted = regular_times(times, "times")
    rows = np.flatnonzero(fitted.source_row >= 0)
    np.testing.assert_array_equal(fitted.source_row[rows], np.arange(30_000))
    placed = fitted.clock.start_seconds + rows / fitted.clock.rate_hz
    assert np.abs(placed - times).max() <= 0.6 / 30
    assert fitted.clock.rate_hz == pytest.approx(30.0, rel=1e-9)
    assert len(fitted.gaps) == num_gaps
    assert f"{num_gaps} gap{'s' * (num_gaps > 1)} in" in fitted.notes[0]


def test_times_that_change_their_rate_are_refused():
    times = np.concatenate((np.arange(1000) / 30.0, 1000 / 30.0 + np.arange(1000) / 25.0))
    with pytest.raises(RecordingError, match="is not a regular clock"):
        regular_times(times, "times")


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([], "is empty"),
        ([1.0], "one time only"),
        ([1.0, 2.0, 1.5], "row 2 is at 1.5"),
        ([1.0, 1.0, 2.0], "row 1 is at 1.0"),
        ([1.0, np.nan, 2.0], "1 of 3 times are not finite, the first in row 1"),
        ([1.0, 2.0, np.inf], "1 of 3 times are not finite, the first in row 2"),
        ([1.0, 2.0, 3.0, 1e12], r"4 times, 1 s apart, cannot span 1e\+12 s"),
        ([0.0, 1e-9, 2e-9, 3e-9, 60.0], "5 times, 1e-09 s apart, cannot span 60 s"),
    ],
)
def test_impossible_times_are_named(times, message):
    for fit in (regular_times, hold_on_grid):
        with pytest.raises(RecordingError, match=message):
            fit(np.array(times), "times")


def test_uneven_behavior_is_held_and_long_silence_is_a_gap():
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.01, 0.07, 2000))
    times[1000:] += 10.0
    fitted = hold_on_grid(times, "wheel")
    grid = fitted.clock.start_seconds + np.arange(fitted.clock.num_samples) / fitted.clock.rate_hz
    taken = fitted.source_row >= 0
    held = grid[taken] - times[fitted.source_row[taken]]
    assert held.min() >= -1e-4
    assert held.max() <= 2.0
    assert fitted.gaps.tolist() == [[times[999] + 2.0, times[1000]]]
    assert (~taken).sum() == pytest.approx(8.0 * fitted.clock.rate_hz, abs=2)
    true_rate = 1998 / (times[-1] - times[0] - (times[1000] - times[999]))
    assert f"{true_rate:.4g} samples per second on average" in fitted.notes[0]


def test_rows_are_those_of_their_sources():
    values = np.arange(24.0).reshape(8, 3)
    for source in (
        [3, 4, 5],
        [3, 3, 5],
        [3, 5, 5],
        [-1, 3, 4],
        [3, -1, 5],
        [-1, -1, -1],
        [7, 0, 1],
    ):
        times = RegularTimes(
            clock=Clock(start_seconds=0.0, rate_hz=1.0, num_samples=4),
            source_row=np.array([0, *source]),
            gaps=np.empty((0, 2)),
            notes=(),
        )
        expected = np.array([values[row] if row >= 0 else np.full(3, np.nan) for row in source])
        rows = times.rows_of(values)(1, 4)
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_array_equal(times.rows_of(values)(2, 3), expected[1:2])
        assert times.rows_of(values)(2, 2).shape == (0, 3)
