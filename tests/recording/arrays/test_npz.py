"""An .npz archive of arrays is read as the folder with the same arrays."""

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.session import is_session, open_session
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.options import OpenOptions

EPOCH = 1_709_632_800.0


def test_an_npz_with_the_same_arrays_is_the_same_recording(folder, truth, tmp_path):
    names = ["clip1" if number % 3 == 0 else "clip0" for number in range(9)]
    start = 2 + 3 * np.arange(9)
    first = np.array([20 if number % 3 == 0 else 0 for number in range(9)])
    shown = np.concatenate([np.append(number + np.arange(20), 40) for number in first])
    seconds = np.concatenate([s + np.append(np.arange(20) / 10, 2) for s in start])
    for save in (np.savez, np.savez_compressed):
        path = tmp_path / "m1.npz"
        save(
            path,
            session="m1-1",
            animal="m1",
            start="2024-03-05T10:00:00+00:00",
            responses=truth["responses"],
            times=truth["times"],
            frames=truth["frames"],
            flips=np.stack((seconds, shown), axis=1),
            trials_start_seconds=start,
            trials_end_seconds=start + 2,
            trials_stimulus=np.array(names),
            running_seconds=np.arange(750) / 25,
            running_speed_cm_s=truth["speed_cm_s"],
            neurons_id=np.arange(100, 107),
        )
        assert is_session(path)
        one, other = open_recording(path), open_recording(folder)
        assert one.session == other.session
        assert one.origin_seconds == other.origin_seconds
        assert one.trials == other.trials
        np.testing.assert_array_equal(
            one.responses.read_rows(7, 99), other.responses.read_rows(7, 99)
        )
        np.testing.assert_array_equal(one.read_trial(0), other.read_trial(0))
        np.testing.assert_array_equal(one.screen.flip_seconds, other.screen.flip_seconds)
        np.testing.assert_allclose(
            one.behavior[0].read_rows(0, 700), other.behavior[1].read_rows(0, 700), rtol=1e-6
        )
        assert one.neurons.unit_id.tolist() == other.neurons.unit_id.tolist()


def test_an_npz_of_anything_else_is_no_recording(tmp_path):
    np.savez(tmp_path / "truth.npz", responses=np.ones((3, 2)), response_times=np.ones(3))
    (tmp_path / "broken.npz").write_bytes(b"PK")
    assert not is_session(tmp_path / "truth.npz")
    assert not is_session(tmp_path / "broken.npz")


def test_a_rate_of_an_npz_may_be_a_matrix_of_one_number(tmp_path):
    np.savez(tmp_path / "a.npz", responses=np.ones((90, 3)), rate_hz=np.array([[8.0]]))
    assert open_session(tmp_path / "a.npz", OpenOptions()).responses.clock.rate_hz == 8


def test_texts_of_an_npz_may_be_bytes(tmp_path):
    trials = {
        "trials_start_seconds": [1.0, 4.0],
        "trials_end_seconds": [3.0, 6.0],
        "trials_stimulus": np.array(["größe".encode(), b"b"]),
    }
    path = tmp_path / "a.npz"
    np.savez(path, responses=np.ones((90, 3)), rate_hz=8.0, session=np.bytes_(b"m7"), **trials)
    recording = open_session(path, OpenOptions())
    assert recording.session == "m7"
    assert {trial.condition for trial in recording.trials} >= {"größe", "b"}
    np.savez(path, responses=np.ones((90, 3)), rate_hz=8.0, session=np.bytes_(b"\xff"))
    with pytest.raises(RecordingError, match="session cannot be read as an array"):
        open_session(path, OpenOptions())
