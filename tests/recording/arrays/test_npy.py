"""Arrays on disk are read in parts as NumPy slices them."""

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays import npy
from omnimouse_cli.recording.arrays.npy import open_npy, open_npz_member


@pytest.mark.parametrize("dtype", ["f4", ">f8", "i2", "u1", "?", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(7,), (7, 5), (7, 3, 4), (7, 3, 4, 3)])
def test_a_part_is_the_slice_of_the_array(tmp_path, dtype, order, shape):
    values = (np.arange(np.prod(shape)) % 200).reshape(shape).astype(dtype)
    np.save(tmp_path / "a.npy", np.asarray(values, order=order))
    stored = open_npy(tmp_path / "a.npy")
    assert stored.shape == shape
    for first, last in ((0, 7), (2, 5), (6, 7), (3, 3)):
        np.testing.assert_array_equal(stored.read(first, last), values[first:last])
    if len(shape) == 2:
        lines = np.array([4, 0, 6])
        np.testing.assert_array_equal(stored.read_lines(lines, 1, 4), values[lines, 1:4])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_an_npz_are_read_where_they_are(tmp_path, save):
    path = tmp_path / "a.npz"
    rows = np.arange(12.0).reshape(4, 3)
    save(path, rate=7.5, rows=rows, fortran=np.asfortranarray(rows), names=np.array(["a", "bc"]))
    assert open_npz_member(path, "rate").load() == 7.5
    assert open_npz_member(path, "names").load().tolist() == ["a", "bc"]
    for name in ("rows", "fortran"):
        stored = open_npz_member(path, name)
        assert (stored.values is None) == (save is np.savez)
        np.testing.assert_array_equal(stored.read(1, 3), rows[1:3])
        np.testing.assert_array_equal(stored.read_lines(np.array([3, 0]), 1, 3), rows[[3, 0], 1:])


def test_a_truncated_file_is_named_with_what_is_missing(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((10, 3)))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(RecordingError, match=r"a\.npy .* truncated: 8 bytes are missing"):
        open_npy(path)


def test_a_file_that_is_cut_short_while_it_is_read_is_an_error(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((10, 3)))
    stored = open_npy(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(RecordingError, match="8 bytes early"):
        stored.read(5, 10)


def test_python_objects_and_texts_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}, None]), allow_pickle=True)
    with pytest.raises(RecordingError, match="pickled Python objects"):
        open_npy(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array(["a"]))
    with pytest.raises(RecordingError, match="must hold numbers: its dtype is <U1"):
        open_npy(tmp_path / "b.npy")


def test_what_is_no_array_is_said(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(RecordingError, match=r"a\.npy cannot be read as an array"):
        open_npy(tmp_path / "a.npy")


def test_a_damaged_npz_is_one_sentence(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, rows=np.random.default_rng(0).normal(size=(99, 9)))
    content = bytearray(path.read_bytes())
    content[200:300] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"a\.npz: rows cannot be read as an array"):
        open_npz_member(path, "rows")
    with pytest.raises(RecordingError, match=r"a\.npz: columns cannot be read as an array"):
        open_npz_member(path, "columns")


def test_a_large_compressed_array_is_refused_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(npy, "_MAX_UNPACKED_BYTES", 2**20)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, responses=np.zeros((2**10, 3000), np.uint8))
    with pytest.raises(RecordingError, match="3 MiB; compressed arrays") as caught:
        open_npz_member(path, "responses")
    assert "np.savez instead" in caught.value.hint
