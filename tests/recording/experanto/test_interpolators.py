"""Recordings have the values that the experanto library's interpolators give, at every sample.

The interpolators are written anew here from their definition: a row is held from its time to the
next (floor), columns with phase shifts each at their own time, and the screen shows the last flip
strictly before t + 0.1 ms.
"""

import numpy as np
import pytest

from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.recording import latest_index

RATES_HZ = (6.3, 7.83, 8.6, 15.0, 19.97, 29.67, 30.0, 62.5, 100.0)
SECONDS = 40.0
START = 1_600_000_000.25


def held_rows(seconds, *, start, rate_hz):
    """Nearest neighbor of the experanto library: the latest row, float64 `(samples,)`."""
    return np.floor((seconds - start) * rate_hz).astype(int)


def held_columns(values, seconds, *, start, rate_hz, shifts):
    """Phase-shifted nearest neighbor: `(samples, columns)` of the values at each column's time."""
    rows = np.floor((seconds[:, None] - shifts - start) * rate_hz).astype(int)
    return np.take_along_axis(values, rows, axis=0)


def shown_frames(seconds, flips):
    """The screen: index of the last flip strictly before t + 0.1 ms."""
    return np.searchsorted(flips, seconds + 1e-4, side="left") - 1


def read_all(signal):
    return signal.read_rows(0, signal.clock.num_samples)


def grid_times(clock, rate_hz, *, start=None):
    """Every sample of a grid while a clock runs, beginning with it or at a later time."""
    first = clock.start_seconds if start is None else start
    return first + np.arange(int((clock.end_seconds - first - 1e-3) * rate_hz)) / rate_hz


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("phase", [0.0, 0.271, 0.694])
def test_rows_are_those_of_the_library(experanto_session, rate_hz, phase):
    """But for the 0.1 ms before a row, in which a shard has that row, as the screen does."""
    rng = np.random.default_rng(int(rate_hz * 100))
    values = rng.normal(size=(int(SECONDS * rate_hz), 3)).astype(np.float32)
    path = experanto_session(
        seconds=SECONDS, responses=values, rate_hz=rate_hz, responses_start=1.0, treadmill=False
    )
    experanto_session.sequence(
        path / "wheel", values, start=START + 0.3 + phase / rate_hz, rate_hz=rate_hz
    )
    recording = open_recording(path)
    (wheel,) = (signal for signal in recording.behavior if signal.name == "wheel")
    responses = recording.responses
    samples = {
        "responses": (responses, grid_times(responses.clock, 30.0)),
        "wheel": (wheel, grid_times(wheel.clock, 20.0, start=responses.clock.start_seconds)),
    }
    for signal, times in samples.values():
        clock = signal.clock
        # Exactly on a row the library's result depends on the rounding of absolute times.
        expected = held_rows(times + 1e-7, start=clock.start_seconds, rate_hz=rate_hz)
        rows = clock.row_at(times)
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_array_equal(read_all(signal)[rows], values[expected])


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_columns_with_phase_shifts_are_those_of_the_library(experanto_session, edit_meta, rate_hz):
    rng = np.random.default_rng(int(rate_hz * 100))
    shifts = rng.uniform(-0.2, 0.9, 12) / rate_hz
    values = rng.normal(size=(int(SECONDS * rate_hz), 12)).astype(np.float32)
    path = experanto_session(
        seconds=SECONDS, responses=values, rate_hz=rate_hz, start=0.0, responses_start=0.0
    )
    np.save(path / "responses/meta/phase_shifts.npy", shifts)
    edit_meta(path, "responses", phase_shift_per_signal=True)
    recording = open_recording(path)
    clock = recording.responses.clock
    zero = -recording.origin_seconds
    times = grid_times(clock, 30.0)
    assert clock.start_seconds == pytest.approx(zero + shifts.max())
    assert len(times) > (SECONDS - 1.5) * 30
    # Seconds of the responses' own clock, whose first sample is exactly the largest shift.
    own = shifts.max() + np.arange(len(times)) / 30.0
    expected = held_columns(values, own + 1e-9, start=0.0, rate_hz=rate_hz, shifts=shifts)
    rows = read_all(recording.responses)
    np.testing.assert_array_equal(rows[clock.row_at(times)], expected)
    np.testing.assert_array_equal(recording.neurons.delay_seconds, shifts.astype(np.float32))
    assert clock.rate_hz == 30.0
    is_resampled = rate_hz != 30.0
    assert recording.native_rate_hz == (rate_hz if is_resampled else None)
    assert any("held at its own time" in note for note in recording.notes) == is_resampled


def test_absolute_times_change_nothing(experanto_session, edit_meta):
    rate_hz, shifts = 7.83, np.linspace(0.0, 0.12, 9)
    values = np.random.default_rng(5).normal(size=(500, 9)).astype(np.float32)
    path = experanto_session(seconds=60, responses=values, rate_hz=rate_hz, responses_start=1.5)
    np.save(path / "responses/meta/phase_shifts.npy", shifts)
    edit_meta(path, "responses", phase_shift_per_signal=True)
    recording = open_recording(path)
    clock = recording.responses.clock
    times = recording.origin_seconds + grid_times(clock, 30.0)
    own = times + 2e-6
    expected = held_columns(values, own, start=START + 1.5, rate_hz=rate_hz, shifts=shifts)
    found = read_all(recording.responses)[: len(times)]
    # Absolute times resolve .24 microseconds: of 16,000 values one may lie so close to a scan.
    assert (found != expected).mean() < 1e-4


@pytest.mark.parametrize("rate_hz", [7.83, 30.0, 100.0])
def test_shifts_of_whole_rows_keep_the_stored_rows(experanto_session, edit_meta, rate_hz):
    shifts = np.array([0.0, 2.0, 1.0, 1.0, 3.0]) / rate_hz
    values = np.random.default_rng(5).normal(size=(int(SECONDS * rate_hz), 5)).astype(np.float32)
    path = experanto_session(seconds=SECONDS, responses=values, rate_hz=rate_hz)
    np.save(path / "responses/meta/phase_shifts.npy", shifts.astype(np.float32))
    edit_meta(path, "responses", phase_shift_per_signal=True)
    responses = open_recording(path).responses
    assert (responses.clock.rate_hz, responses.clock.num_samples) == (rate_hz, len(values) - 3)
    lags = (3, 1, 2, 2, 0)
    expected = np.stack([values[lag:][: len(values) - 3, k] for k, lag in enumerate(lags)], axis=1)
    np.testing.assert_array_equal(read_all(responses), expected)


@pytest.mark.parametrize("rate_hz", [19.97, 62.5])
def test_shifts_of_behavior_are_held_at_every_behavior_sample(experanto_session, rate_hz):
    rng = np.random.default_rng(8)
    shifts = np.array([0.0, 0.011])
    values = rng.normal(size=(int(35 * rate_hz), 2)).astype(np.float32)
    path = experanto_session(seconds=30, responses_start=2.0)
    experanto_session.sequence(
        path / "whiskers",
        values,
        start=START + 0.4321,
        rate_hz=rate_hz,
        phase_shift_per_signal=True,
    )
    np.save(path / "whiskers/meta/phase_shifts.npy", shifts)
    recording = open_recording(path)
    signal = recording.behavior[-1]
    # A window begins with any row of the responses, and behavior is read at 20 Hz from there.
    times = recording.responses.clock.start_seconds + np.arange(1500) / 60
    start = START + 0.4321 - recording.origin_seconds
    expected = held_columns(values, times, start=start, rate_hz=rate_hz, shifts=shifts)
    np.testing.assert_array_equal(read_all(signal)[signal.clock.row_at(times)], expected)


def test_frames_are_those_of_the_library(experanto_session):
    recording = open_recording(experanto_session(seconds=SECONDS, start=START + 0.0123))
    flips = recording.screen.flip_seconds
    times = grid_times(recording.responses.clock, 30.0)
    np.testing.assert_array_equal(latest_index(flips, times), shown_frames(times, flips))


def test_blocks_of_held_columns_put_together_are_the_whole(experanto_session, edit_meta):
    values = np.random.default_rng(5).normal(size=(300, 4)).astype(np.float32)
    path = experanto_session(seconds=50, responses=values, rate_hz=6.3)
    np.save(path / "responses/meta/phase_shifts.npy", [0.0, 0.05, 0.1, 0.15])
    edit_meta(path, "responses", phase_shift_per_signal=True)
    responses = open_recording(path).responses
    num_rows = responses.clock.num_samples
    blocks = [responses.read_rows(at, min(at + 97, num_rows)) for at in range(0, num_rows, 97)]
    np.testing.assert_array_equal(np.concatenate(blocks), read_all(responses))
    assert responses.read_rows(5, 5).shape == (0, 4)
