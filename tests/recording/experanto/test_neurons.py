"""Ids and positions of neurons are optional: what cannot be kept is told and ends nothing."""

from pathlib import Path

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.open import open_recording


def neurons_with(path, name, values):
    np.save(path / f"responses/meta/{name}.npy", values, allow_pickle=True)
    recording = open_recording(path)
    return recording.neurons, recording.notes


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (np.array(["951980471", "7", "0", "3", "4", "5"]), [951980471, 7, 0, 3, 4, 5]),
        (np.array([b"12", b"7", b"0", b"3", b"4", b"5"]), [12, 7, 0, 3, 4, 5]),
        (np.array([1.0, 2, 3, 4, 5, 2.0**53]), [1, 2, 3, 4, 5, 2**53]),
        (np.arange(6, dtype=np.uint64), range(6)),
        (np.arange(6, dtype=np.int8)[:, None], range(6)),
    ],
)
def test_ids_that_are_whole_numbers_are_kept_exactly(experanto_session, ids, expected):
    neurons, notes = neurons_with(experanto_session(), "unit_ids", ids)
    assert neurons.unit_id.tolist() == list(expected)
    assert neurons.unit_id.dtype == np.int64
    assert bool(notes) == (ids.dtype.kind in "SU")


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        (np.array([f"roi{n}" for n in range(6)]), "'roi0' is no number"),
        (np.array(["007", "1", "2", "3", "4", "5"]), "'007' is no number"),
        (np.array(["9" * 5000, "1", "2", "3", "4", "5"]), "is no number"),
        (np.array([f"roi{n}" for n in range(6)], object), "'roi0' is no number"),
        (np.array([1.0, 2, np.nan, 4, 5, 6]), "nan is no whole number"),
        (np.arange(6) + 0.5, "0.5 is no whole number"),
        (np.arange(2**63, 2**63 + 6, dtype=np.uint64), "9223372036854775808 is no whole number"),
        (np.array([1.0, 2, 3, 4, 5, 2.0**60]), "is no whole number of 64 bits"),
        (np.zeros(6, "M8[s]"), "datetime64"),
    ],
)
def test_ids_that_are_no_whole_numbers_are_not_kept_and_that_is_told(
    experanto_session, ids, reason
):
    neurons, notes = neurons_with(experanto_session(), "unit_ids", ids)
    assert neurons.unit_id is None
    (note,) = notes
    assert reason in note


class _Marker:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_ids_that_would_run_something_are_refused_and_nothing_runs(experanto_session, tmp_path):
    path, marker = experanto_session(), tmp_path / "ran"
    ids = np.empty(6, object)
    ids[:] = [_Marker(marker)] * 6
    np.save(path / "responses/meta/unit_ids.npy", ids, allow_pickle=True)
    with pytest.raises(RecordingError, match="is not run"):
        open_recording(path)
    assert not marker.exists()


def test_a_damaged_file_of_ids_is_refused(experanto_session):
    path = experanto_session()
    (path / "responses/meta/unit_ids.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(RecordingError, match=r"unit_ids\.npy cannot be read as an array"):
        open_recording(path)


@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("num_axes", [2, 3])
def test_positions_of_either_layout_are_read(experanto_session, num_axes, is_transposed):
    stored = np.random.default_rng(0).uniform(0, 500, (6, num_axes))
    neurons, notes = neurons_with(
        experanto_session(), "cell_motor_coordinates", stored.T if is_transposed else stored
    )
    assert neurons.position_um.shape == (6, 3)
    np.testing.assert_array_equal(neurons.position_um[:, :num_axes], stored.astype(np.float32))
    assert np.isnan(neurons.position_um[:, num_axes:]).all()
    assert any("z is unknown" in note for note in notes) == (num_axes == 2)
    assert any("was transposed" in note for note in notes) == is_transposed


def test_as_many_neurons_as_axes_are_not_transposed(experanto_session):
    stored = np.arange(9.0).reshape(3, 3)
    neurons, notes = neurons_with(experanto_session(neurons=3), "cell_motor_coordinates", stored)
    np.testing.assert_array_equal(neurons.position_um, stored)
    assert notes == ()


def test_areas_and_layers_are_texts_of_each_neuron(experanto_session):
    path = experanto_session(neurons=3)
    np.save(path / "responses/meta/layer.npy", np.array([b"L4", b"L4", b"L2/3"]))
    neurons, notes = neurons_with(path, "area", np.array(["V1 ", "", "LM"]))
    assert neurons.area.tolist() == ["V1", "", "LM"]
    assert neurons.layer.tolist() == ["L4", "L4", "L2/3"]
    assert notes == ()
    neurons, notes = neurons_with(path, "area", np.arange(3))
    assert neurons.area is None
    assert any("area.npy is not used: int64 of shape (3,), not a text" in note for note in notes)
    neurons, notes = neurons_with(path, "area", np.array([None] * 3, object))
    assert neurons.area is None
    assert any("area.npy is not used" in note for note in notes)
