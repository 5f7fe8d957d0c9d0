"""dF/F of raw fluorescence with a known baseline, at the edges and across missing rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording import dff
from omnimouse_cli.recording.dff import Baseline, to_dff
from omnimouse_cli.recording.recording import Clock, Neurons, Recording, Signal

RATE_HZ = 5.0


def raw_recording(values, *, unit_id=None):
    values = np.asarray(values, np.float32)
    signal = Signal(
        name="responses",
        clock=Clock(start_seconds=2.0, rate_hz=RATE_HZ, num_samples=len(values)),
        channels=(),
        num_channels=values.shape[1],
        read_rows=lambda first, last: values[first:last],
        file_std=np.ones(values.shape[1]),
    )
    return Recording(
        path=Path("raw"),
        session="1",
        animal="1",
        origin_seconds=0.0,
        responses=signal,
        neurons=Neurons(num_neurons=values.shape[1], unit_id=unit_id),
        trials=(),
        screen=None,
        behavior=(),
    )


def all_rows(signal):
    return signal.read_rows(0, signal.clock.num_samples)


def transients(rows, neurons, seed=0):
    """Sparse decaying transients, 0 most of the time."""
    rng = np.random.default_rng(seed)
    events = (rng.random((rows, neurons)) < 0.01) * rng.gamma(4.0, 0.2, (rows, neurons))
    trace = np.zeros((rows, neurons))
    for row in range(1, rows):
        trace[row] = 0.7 * trace[row - 1] + events[row]
    return trace


def test_a_constant_baseline_gives_back_the_transients():
    truth = transients(3000, 4)
    level = np.array([10.0, 100.0, 1000.0, 40000.0])
    found = to_dff(raw_recording(level * (1 + truth)), Baseline())
    np.testing.assert_allclose(all_rows(found), truth, atol=1e-4)
    assert found.file_std is None


def test_a_baseline_that_bleaches_is_followed():
    truth = transients(6000, 3)
    minutes = np.arange(6000)[:, None] / RATE_HZ / 60
    level = 500.0 * np.exp(-minutes / 30)
    found = all_rows(to_dff(raw_recording(level * (1 + truth)), Baseline()))
    # Bleaching is 3 % a minute: the percentile lies within the window, the ends have half of it.
    assert np.abs(found - truth)[600:-600].max() < 0.02 * (1 + truth.max())
    assert np.abs(found - truth).max() < 0.04 * (1 + truth.max())


def test_between_steps_the_baseline_is_the_percentile_of_the_centered_window():
    values = 100 + np.cumsum(np.random.default_rng(1).normal(size=(2000, 2)), axis=0)
    baseline = Baseline(percentile=20.0, window_seconds=40.0)
    step = round(40 * RATE_HZ / dff.STEPS_PER_WINDOW)
    found = all_rows(to_dff(raw_recording(values), baseline))
    for row in (0, 5 * step, 21 * step):
        window = values[max(0, row - 2 * step) : row + 2 * step].astype(np.float32)
        expected = np.percentile(window, 20.0, axis=0, method="lower")
        np.testing.assert_allclose(found[row], values[row] / expected - 1, rtol=1e-5, atol=1e-6)
    level = values / (1 + found)
    np.testing.assert_allclose(
        level[5 * step + step // 2], (level[5 * step] + level[6 * step]) / 2, rtol=1e-5
    )


def test_any_cut_of_the_rows_gives_the_same_values():
    signal = to_dff(raw_recording(50 + np.random.default_rng(0).random((1000, 3))), Baseline())
    parts = [signal.read_rows(*cut) for cut in ((0, 1), (1, 400), (400, 1000))]
    np.testing.assert_array_equal(np.concatenate(parts), all_rows(signal))


@pytest.mark.parametrize("rows", [1, 60, 75, 76, 151, 300])
def test_recordings_shorter_than_a_window_have_a_baseline(rows):
    found = all_rows(to_dff(raw_recording(np.full((rows, 2), 7.0)), Baseline()))
    np.testing.assert_array_equal(found, np.zeros((rows, 2)))


def test_missing_rows_and_values_are_ignored_and_stay_missing():
    truth = transients(4000, 3)
    values = 200.0 * (1 + truth)
    # A gap longer than a window, in which no baseline can be computed; one neuron lost longer.
    values[1000:2000] = np.nan
    values[1000:3000, 1] = np.nan
    found = all_rows(to_dff(raw_recording(values), Baseline()))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))
    np.testing.assert_allclose(found[np.isfinite(values)], truth[np.isfinite(values)], atol=1e-4)


def test_windows_of_many_rows_are_thinned_out(monkeypatch):
    truth = transients(6000, 4)
    monkeypatch.setattr(dff, "MAX_WINDOW_BYTES", 4 * 4 * 100)
    sizes = []
    recording = raw_recording(300 * (1 + truth))

    def read_rows(first, last):
        sizes.append(last - first)
        return recording.responses.read_rows(first, last)

    watched = replace(recording, responses=replace(recording.responses, read_rows=read_rows))
    found = to_dff(watched, Baseline())
    assert sum(sizes) <= 6000
    assert max(sizes) <= 100
    np.testing.assert_allclose(all_rows(found), truth, atol=1e-3)


def test_a_baseline_that_is_not_positive_names_the_neuron():
    values = np.full((900, 3), 80.0)
    values[500:, 2] = 0.0
    with pytest.raises(
        RecordingError,
        match=r"raw: dF/F needs a positive baseline, but that of unit 9 is 0 at [\d.]+ s: "
        r"percentile 8 of raw fluorescence over 60 s",
    ) as caught:
        to_dff(raw_recording(values, unit_id=np.array([4, 6, 9])), Baseline())
    assert "--response-kind fluorescence" in caught.value.hint
    values[:, 0] = -5.0
    with pytest.raises(RecordingError, match=r"that of column 0 is -5 .*2 neurons have such"):
        to_dff(raw_recording(values), Baseline())


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"percentile": 101.0}, "from 0 to 100: 101"), ({"window_seconds": 0.0}, "positive: 0")],
)
def test_impossible_baselines_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Baseline(**fields)
