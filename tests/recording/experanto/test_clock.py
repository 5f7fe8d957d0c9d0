"""A device's rate is checked against the time span of its rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.clock import read_clock
from omnimouse_cli.recording.meta import Meta
from omnimouse_cli.recording.open import open_recording


def read_plain(folder, start, end, rate_hz, num_rows):
    """Read the clock of a device without timestamps.npy."""
    values = {"start_time": start, "end_time": end, "sampling_rate": rate_hz}
    meta = Meta(source="treadmill/meta.yml", values=values)
    read = read_clock(folder, meta, num_rows=num_rows, num_columns=1)
    assert read.source_row is None
    return read.clock, list(read.notes)


@given(
    rate_hz=st.floats(4, 120),
    minutes=st.floats(1, 216),
    start=st.floats(0, 1.8e9),
    end_error=st.floats(-0.4, 0.4),
)
@settings(max_examples=60, deadline=None)
def test_a_stated_rate_that_fits_is_kept_to_the_last_bit(
    tmp_path_factory, rate_hz, minutes, start, end_error
):
    num_rows = int(minutes * 60 * rate_hz)
    end = start + (num_rows - 1) / rate_hz + end_error
    clock, notes = read_plain(tmp_path_factory.getbasetemp(), start, end, rate_hz, num_rows)
    assert (clock.start_seconds, clock.rate_hz, clock.num_samples) == (start, rate_hz, num_rows)
    assert bool(notes) == (abs(end_error) > 0.05) or abs(abs(end_error) - 0.05) < 1e-4


@given(
    rate_hz=st.floats(15, 100),
    error=st.floats(0.001, 0.045),
    sign=st.sampled_from([-1, 1]),
    start=st.floats(0, 1.8e9),
)
@settings(max_examples=60, deadline=None)
def test_a_rate_that_drifts_is_derived_anew(tmp_path_factory, rate_hz, error, sign, start):
    num_rows = int(rate_hz * 3600)
    end = start + (num_rows - 1) / rate_hz
    stated = rate_hz * (1 + sign * error)
    clock, notes = read_plain(tmp_path_factory.getbasetemp(), start, end, stated, num_rows)
    assert clock.rate_hz == pytest.approx(rate_hz, rel=1e-6)
    last_row = clock.start_seconds - start + (num_rows - 1) / clock.rate_hz
    assert last_row == pytest.approx(end - start, abs=1e-3)
    assert "is used" in notes[0]


def test_a_rate_rounded_to_an_integer_is_corrected_and_its_drift_noted(
    experanto_session, edit_meta
):
    path = experanto_session(treadmill=False, eye_tracker=False)
    rows = np.zeros((77_460, 4), np.float32)
    experanto_session.sequence(path / "eye_tracker", rows, start=1.6e9, rate_hz=19.365)
    edit_meta(path, "eye_tracker", sampling_rate=19)
    recording = open_recording(path)
    assert recording.behavior[0].clock.rate_hz == pytest.approx(19.365, abs=1e-4)
    assert any(f"{77_459 / 19 - 77_459 / 19.365:.2f} s off" in note for note in recording.notes)


def test_rows_missing_at_the_end_shorten_the_signal_and_not_its_rate(experanto_session, edit_meta):
    path = experanto_session()
    before = open_recording(path).responses.clock
    edit_meta(path, "responses", end_time=1_600_000_002.25 + before.num_samples / 30 + 0.2)
    recording = open_recording(path)
    assert recording.responses.clock == before
    assert any("of rows are missing at the end" in note for note in recording.notes)


def test_rates_that_differ_by_more_than_five_percent_are_refused(experanto_session, edit_meta):
    path = experanto_session()
    edit_meta(path, "treadmill", sampling_rate=50.0)
    with pytest.raises(RecordingError, match=r"`sampling_rate` is 50 Hz, but 3150 rows .* 100 Hz"):
        open_recording(path)


def test_times_of_the_rows_come_before_start_and_end(experanto_session, edit_meta):
    path = experanto_session(seconds=61.5)
    start, num_rows = 1_600_000_000.25 - 1.5, 6300
    # 0.1 s of drift in 63 s: too little to conclude from end_time, plain from the times.
    times = start + np.arange(num_rows) / 100 * (1 + 0.1 / 63)
    np.save(path / "treadmill/timestamps.npy", times)
    recording = open_recording(path)
    assert recording.behavior[1].clock.rate_hz == pytest.approx(100 / (1 + 0.1 / 63), rel=1e-9)
    assert any("timestamps.npy is used" in note for note in recording.notes)


def test_times_that_fit_the_clock_change_nothing(experanto_session):
    path = experanto_session()
    clock = open_recording(path).behavior[0].clock
    times = 1_600_000_000.25 - 1.5 + np.arange(clock.num_samples) / 20
    np.save(path / "eye_tracker/timestamps.npy", times)
    recording = open_recording(path)
    assert recording.behavior[0].clock == clock
    assert recording.notes == ()


def test_times_of_another_number_than_the_rows_are_noted_and_not_used(experanto_session):
    path = experanto_session()
    np.save(path / "treadmill/timestamps.npy", np.arange(7.0))
    recording = open_recording(path)
    assert any("has 7 times for 3150 rows" in note for note in recording.notes)


@pytest.mark.parametrize(("device", "rate_hz"), [("responses", 30.0), ("treadmill", 100.0)])
@pytest.mark.parametrize("gap_seconds", [0.1, 0.45, 7.0])
def test_rows_after_a_gap_stand_at_their_times(experanto_session, device, rate_hz, gap_seconds):
    path = experanto_session()
    start = 1_600_000_000.25 + (2.0 if device == "responses" else -1.5)
    stored = np.fromfile(path / device / "data.mem", np.float32 if rate_hz == 30 else np.float64)
    num_columns = 6 if device == "responses" else 1
    stored = stored.reshape(-1, num_columns).astype(np.float32)
    times = start + np.arange(len(stored)) / rate_hz
    times[500:] += gap_seconds
    np.save(path / device / "timestamps.npy", times)
    recording = open_recording(path)
    signal = recording.responses if device == "responses" else recording.behavior[1]
    rows = signal.read_rows(0, signal.clock.num_samples)
    found = np.isfinite(rows).all(axis=1)
    np.testing.assert_array_equal(rows[found], stored)
    at = signal.clock.start_seconds + np.flatnonzero(found) / signal.clock.rate_hz
    np.testing.assert_allclose(at + recording.origin_seconds, times, atol=0.6 / rate_hz)
    assert signal.clock.rate_hz == pytest.approx(rate_hz, rel=1e-6)
    assert any("1 gap in the times" in note for note in recording.notes)
    # Only trials of kind `invalid` declare gaps in experanto; the user agrees with --allow-gaps.
    assert not recording.gaps.size


def test_uneven_times_of_behavior_are_held_on_a_grid(experanto_session):
    path = experanto_session()
    file = path / "treadmill/data.mem"
    stored = np.fromfile(file, np.float64)
    rng = np.random.default_rng(1)
    # A wheel that reports at uneven times.
    steps = rng.gamma(4.0, 1 / 400, stored.size)
    times = 1_600_000_000.25 - 1.5 + np.cumsum(steps) * 0.01 / steps.mean()
    np.save(path / "treadmill/timestamps.npy", times)
    recording = open_recording(path)
    treadmill = recording.behavior[1]
    grid = treadmill.clock.start_seconds + np.arange(1000, 2000) / treadmill.clock.rate_hz
    held = np.searchsorted(times, grid + recording.origin_seconds + 1e-4, side="right") - 1
    found = treadmill.read_rows(1000, 2000)[:, 0]
    np.testing.assert_array_equal(found, stored[held].astype(np.float32))
    assert any("samples are held on a grid" in note for note in recording.notes)


def test_uneven_times_of_responses_are_refused(experanto_session):
    path = experanto_session()
    times = 1_600_000_002.25 + np.arange(840) / 30
    times[400:600] += 0.06 * np.sin(np.arange(200))
    np.save(path / "responses/timestamps.npy", np.sort(times))
    with pytest.raises(RecordingError, match=r"timestamps\.npy is not a regular clock"):
        open_recording(path)


def test_times_of_a_coarse_resolution_keep_the_stated_clock(experanto_session):
    path = experanto_session()
    clock = open_recording(path).responses.clock
    times = 1_600_000_002.25 + np.arange(840) // 2 * 2 / 30
    np.save(path / "responses/timestamps.npy", times)
    recording = open_recording(path)
    assert recording.responses.clock == clock
    assert any("up to 0.033 s off a clock of 30 Hz" in note for note in recording.notes)


def test_times_from_zero_count_from_start_time(experanto_session):
    path = experanto_session()
    clock = open_recording(path).responses.clock
    np.save(path / "responses/timestamps.npy", np.arange(840) / 30)
    recording = open_recording(path)
    assert recording.responses.clock == clock
    assert any("counts from 0; start_time is added" in note for note in recording.notes)


@pytest.mark.parametrize("change", [lambda times: times * 1e3, lambda times: times + 1.0])
def test_times_that_begin_elsewhere_than_start_time_are_refused(experanto_session, change):
    path = experanto_session()
    np.save(path / "responses/timestamps.npy", change(1_600_000_002.25 + np.arange(840) / 30))
    with pytest.raises(RecordingError, match=r"begins at .* s, but `start_time` is 1600000002\."):
        open_recording(path)


def test_times_of_another_rate_are_refused(experanto_session):
    path = experanto_session()
    np.save(path / "responses/timestamps.npy", 1_600_000_002.25 + np.arange(840) / 20)
    with pytest.raises(RecordingError, match="its times give 20 Hz, but `sampling_rate` is 30 Hz"):
        open_recording(path)


def test_a_rate_that_is_seconds_per_row_is_noticed(experanto_session, edit_meta):
    path = experanto_session()
    edit_meta(path, "eye_tracker", sampling_rate=0.05)
    recording = open_recording(path)
    assert recording.behavior[0].clock.rate_hz == pytest.approx(20.0)
    assert any("0.05 is about the number of seconds per row" in note for note in recording.notes)


@pytest.mark.parametrize("device", ["treadmill", "screen"])
def test_times_that_run_backwards_are_refused_with_index_and_values(experanto_session, device):
    path = experanto_session()
    file = path / device / "timestamps.npy"
    times = np.load(file) if file.exists() else 1_600_000_000.25 + np.arange(3150) / 100
    times[40], times[41] = times[41], times[40]
    np.save(file, times)
    expected = rf"time 40 is {times[40]:.6f}, time 41 is {times[41]:.6f}"
    with pytest.raises(
        RecordingError, match=rf"{device}/timestamps\.npy runs backwards: {expected}"
    ):
        open_recording(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda times: times.astype(np.float32), "must be float64, but they are float32"),
        (lambda times: np.where(np.arange(times.size) == 3, np.nan, times), "time 3 is not finite"),
        (lambda times: times[None], "must be one column of times"),
        (lambda times: times[:0], "must be one column of times"),
    ],
)
def test_times_that_cannot_be_trusted_are_refused(experanto_session, change, message):
    path = experanto_session()
    file = path / "screen/timestamps.npy"
    np.save(file, change(np.load(file)))
    with pytest.raises(RecordingError, match=message):
        open_recording(path)


def test_a_clock_of_one_row_keeps_its_stated_rate(tmp_path):
    clock, notes = read_plain(tmp_path, 5.0, 6.0, 30.0, 1)
    assert (clock.rate_hz, notes) == (30.0, [])
