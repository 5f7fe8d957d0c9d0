"""Behavior channels are named by what they are, with their units."""

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.open import open_recording


def eye_of(rows=600):
    size = 30 + np.cumsum(np.random.default_rng(2).normal(0, 0.3, rows))
    return np.stack((np.sin(size), np.cos(size), size, np.zeros(rows)), axis=1)


def with_eye(experanto_session, values, **fields):
    path = experanto_session(eye_tracker=False, treadmill=False)
    folder = path / "eye_tracker"
    return path, experanto_session.sequence(folder, values, start=1.6e9, rate_hz=20.0, **fields)


@pytest.mark.parametrize(
    "differentiate",
    [
        np.gradient,
        lambda size: 20 * np.diff(size, prepend=size[0]),
        lambda size: np.diff(size, append=size[-1]),
        lambda size: np.convolve(np.gradient(size), np.ones(3) / 3, mode="same"),
    ],
)
def test_a_fourth_channel_that_is_the_derivative_of_the_third_is_named_so(
    experanto_session, differentiate
):
    values = eye_of()
    values[:, 3] = differentiate(values[:, 2])
    values[100:130] = np.nan
    path, _ = with_eye(experanto_session, values)
    recording = open_recording(path)
    names = ("pupil_x", "pupil_y", "pupil_size", "pupil_size_derivative")
    assert recording.behavior[0].channels == names
    assert recording.notes == ()


@pytest.mark.parametrize(
    "make",
    [
        lambda size: np.random.default_rng(3).normal(size=size.size),
        lambda size: size,
        lambda size: -np.gradient(size),
        lambda size: np.zeros(size.size),
        lambda size: np.where(np.arange(size.size) < 2, 1.0, np.nan),
    ],
)
def test_another_fourth_channel_is_numbered_with_a_note(experanto_session, make):
    values = eye_of()
    values[:, 3] = make(values[:, 2])
    path, _ = with_eye(experanto_session, values)
    recording = open_recording(path)
    assert recording.behavior[0].channels == ("pupil_x", "pupil_y", "pupil_size", "eye_tracker_3")
    assert any("no derivative of the third" in note for note in recording.notes)


def test_units_that_meta_yml_states_are_kept(experanto_session):
    values = eye_of()
    values[:, 3] = np.gradient(values[:, 2])
    path, _ = with_eye(experanto_session, values, units=["deg", "deg", "mm", "mm/s"])
    eye = open_recording(path).behavior[0]
    assert eye.units == eye.source_units == ("deg", "deg", "mm", "mm/s")


@pytest.mark.parametrize(("unit", "factor"), [("m/s", 100.0), ("cm/s", 1.0), ("ticks", 1.0)])
def test_running_is_read_in_centimetres_per_second(experanto_session, edit_meta, unit, factor):
    path = experanto_session(eye_tracker=False)
    before = open_recording(path).behavior[0]
    assert before.units == before.source_units == ()
    edit_meta(path, "treadmill", unit=unit)
    running = open_recording(path).behavior[0]
    assert running.source_units == (unit,)
    assert running.units == (("cm/s",) if unit != "ticks" else ("ticks",))
    expected = before.read_rows(5, 90) * factor
    np.testing.assert_allclose(running.read_rows(5, 90), expected, rtol=1e-6)
    np.testing.assert_allclose(running.file_std, before.file_std * factor)


def test_units_of_another_number_are_refused(experanto_session, edit_meta):
    path = experanto_session()
    edit_meta(path, "eye_tracker", units=["px", "px"])
    with pytest.raises(RecordingError, match="`units` must be one text, or a list of 4"):
        open_recording(path)
