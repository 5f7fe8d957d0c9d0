"""Settings of suite2p are read without running anything that a pickle names."""

import collections
import contextlib
import datetime
import os
import pathlib
import pickle

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.pickles import read_pickled_dict


def save(path, value, protocol=None):
    """Write an object as np.save does, with any protocol."""
    array = np.empty((), object)
    array[()] = value
    np.save(path, array, allow_pickle=True)
    if protocol is not None:
        header = path.read_bytes().split(b"\n", 1)[0] + b"\n"
        path.write_bytes(header + pickle.dumps(array, protocol))
    return path


SETTINGS = {
    "fs": 7.8125,
    "nplanes": np.int64(2),
    "tau": np.float32(0.5),
    "flag": np.bool_(True),
    "text": np.str_("a"),
    "xoff": np.arange(5, dtype=">i4"),
    "meanImg": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "badframes": np.zeros(3, bool),
    "list": [1, 2.5],
    "ordered": collections.OrderedDict(a=1),
    "date": datetime.datetime(2024, 3, 5, tzinfo=datetime.UTC),
    "took": datetime.timedelta(seconds=3),
    "path": pathlib.PurePosixPath("/data/m21"),
    "objects": np.array([{"a": 1}, None], object),
}


@pytest.mark.parametrize("protocol", [None, 0, 2, 3, 4, 5])
def test_numbers_texts_arrays_dates_and_paths(tmp_path, protocol):
    read = read_pickled_dict(save(tmp_path / "ops.npy", SETTINGS, protocol))
    assert read.keys() == SETTINGS.keys()
    assert read["path"].lstrip("/") == "data/m21"
    for key in read.keys() - {"path"}:
        np.testing.assert_array_equal(read[key], SETTINGS[key])
    assert read["meanImg"].dtype == np.float64
    assert read["xoff"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("module", [b"numpy.core", b"numpy._core"])
def test_both_names_of_numpy_s_core(tmp_path, module):
    path = save(tmp_path / "ops.npy", {"a": np.arange(3)}, 0)
    path.write_bytes(path.read_bytes().replace(b"numpy._core", module))
    assert read_pickled_dict(path)["a"].tolist() == [0, 1, 2]


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(
    "place", [lambda call: call, lambda call: {"fs": call}, lambda call: {"x": [call]}]
)
def test_a_pickle_runs_nothing(tmp_path, protocol, place):
    marker = tmp_path / "ran"
    path = save(tmp_path / "ops.npy", place(Call(os.system, f"touch {marker}")), protocol)
    with pytest.raises(RecordingError, match=r"names (posix|os|nt)\.system.*is not run") as caught:
        read_pickled_dict(path)
    assert not marker.exists()
    assert caught.value.hint
    # The file would have run it.
    np.load(path, allow_pickle=True)
    assert marker.exists()


@pytest.mark.parametrize(
    "function", [eval, exec, getattr, __import__, open, np.load, np.memmap, np.fromfile]
)
def test_functions_of_python_and_numpy_are_refused(tmp_path, function):
    path = save(tmp_path / "ops.npy", {"a": Call(function, "x")})
    with pytest.raises(RecordingError, match="which is not needed for data"):
        read_pickled_dict(path)


def test_damaged_files_are_one_sentence(tmp_path):
    path = save(tmp_path / "ops.npy", SETTINGS)
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(content[: generator.integers(1, len(content))])
        damaged[generator.integers(len(damaged))] ^= int(generator.integers(1, 256))
        path.write_bytes(bytes(damaged))
        # Any other exception fails the test.
        with contextlib.suppress(RecordingError):
            read_pickled_dict(path)


@pytest.mark.parametrize("value", [[1, 2], "text", None, np.arange(3)])
def test_what_is_no_dictionary_is_said(tmp_path, value):
    path = tmp_path / "ops.npy"
    np.save(path, np.array([value, value], object), allow_pickle=True)
    with pytest.raises(RecordingError, match="must hold a dictionary"):
        read_pickled_dict(path)
    np.save(path, np.arange(3))
    with pytest.raises(RecordingError, match="it is an array of int64"):
        read_pickled_dict(path)
