"""Statistics in the files are read in every shape, and not used where they cannot be true."""

import numpy as np
import pytest

from omnimouse_cli.recording.open import open_recording


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (1, -1)])
def test_every_shape_of_means_and_stds_is_read(experanto_session, shape):
    path = experanto_session()
    folder = path / "responses/meta"
    mean, std = (np.load(folder / name).reshape(-1) for name in ("means.npy", "stds.npy"))
    np.save(folder / "means.npy", mean.reshape(shape))
    np.save(folder / "stds.npy", std.reshape(shape))
    recording = open_recording(path)
    np.testing.assert_array_equal(recording.responses.file_mean, mean)
    np.testing.assert_array_equal(recording.responses.file_std, std)
    assert recording.responses.file_std.dtype == np.float64
    assert recording.notes == ()


def test_the_file_name_of_the_documentation_is_read_too(experanto_session):
    path = experanto_session()
    folder = path / "responses/meta"
    (folder / "stds.npy").rename(folder / "std.npy")
    std = np.load(folder / "std.npy")[0]
    np.testing.assert_array_equal(open_recording(path).responses.file_std, std)


def test_absent_statistics_are_none(experanto_session):
    path = experanto_session()
    for name in ("means.npy", "stds.npy"):
        (path / "treadmill/meta" / name).unlink()
    treadmill = open_recording(path).behavior[1]
    assert treadmill.file_mean is None
    assert treadmill.file_std is None


@pytest.mark.parametrize("shape", [(5,), (2, 3), (6, 6)])
def test_statistics_of_another_size_are_noted_and_not_used(experanto_session, shape):
    path = experanto_session()
    np.save(path / "responses/meta/stds.npy", np.ones(shape))
    recording = open_recording(path)
    assert recording.responses.file_std is None
    assert recording.responses.file_mean is not None
    assert any("meta/stds.npy has shape" in note for note in recording.notes)


def test_means_written_into_stds_are_noticed(experanto_session):
    path = experanto_session()
    np.save(path / "responses/meta/stds.npy", np.load(path / "responses/meta/means.npy"))
    recording = open_recording(path)
    assert recording.responses.file_std is None
    assert any("stds.npy holds the means" in note for note in recording.notes)


def test_means_in_stds_are_noticed_when_means_npy_is_missing_or_wrong(experanto_session):
    values = np.random.default_rng(3).normal(10.0, 0.5, (840, 6))
    path = experanto_session(responses=values)
    np.save(path / "responses/meta/stds.npy", values.mean(0))
    np.save(path / "responses/meta/means.npy", values.std(0))
    recording = open_recording(path)
    assert recording.responses.file_std is None
    assert any("looks like the means" in note for note in recording.notes)


def test_negative_stds_are_noticed(experanto_session):
    path = experanto_session()
    np.save(path / "responses/meta/stds.npy", np.full((1, 6), -1.0))
    recording = open_recording(path)
    assert recording.responses.file_std is None
    assert any("has negative values" in note for note in recording.notes)


def test_true_statistics_are_believed_where_mean_and_std_are_alike(experanto_session):
    values = np.random.default_rng(3).exponential(2.0, (840, 6))
    recording = open_recording(experanto_session(responses=values))
    assert recording.responses.file_std is not None
    assert recording.notes == ()


def test_missing_rows_do_not_disturb_the_check(experanto_session):
    values = np.random.default_rng(3).normal(10.0, 0.5, (840, 6))
    values[::3] = np.nan
    recording = open_recording(experanto_session(responses=values))
    np.testing.assert_allclose(recording.responses.file_std, np.nanstd(values, axis=0))


@pytest.mark.parametrize(
    ("mean", "std", "dtype", "kind"),
    [
        (20_000, 30, "uint16", "fluorescence"),
        (400, 60, "int16", "fluorescence"),
        (400, 60, "float32", None),
        (3, 1, "uint16", None),
        (0, 30, "int16", None),
    ],
)
def test_whole_numbers_far_above_zero_are_raw_fluorescence(
    experanto_session, mean, std, dtype, kind
):
    values = np.random.default_rng(0).normal(mean, std, (840, 6)).clip(-300, 60_000)
    recording = open_recording(experanto_session(responses=values, dtype=dtype))
    assert recording.response_kind == kind
    noted = [note for note in recording.notes if "taken for raw fluorescence" in note]
    assert bool(noted) == (kind is not None)
    assert recording.contents[0].use == ("responses (fluorescence)" if kind else "responses")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
def test_counts_of_spikes_are_no_fluorescence(experanto_session, dtype):
    values = np.random.default_rng(0).poisson(0.4, (840, 6))
    assert open_recording(experanto_session(responses=values, dtype=dtype)).response_kind is None
