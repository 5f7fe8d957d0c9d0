"""Files appear whole or not at all, and JSON documents keep the contract."""

import errno
import fcntl
import json
import os

import numpy as np
import pytest

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import (
    lock,
    read_document,
    require_folder,
    sync_folder,
    translate_full_disk,
    write_atomically,
    write_document,
    write_text,
)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "result.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), write_atomically(path) as stream:
        stream.write(b"half of the new")
        raise RuntimeError
    assert [item.name for item in tmp_path.iterdir()] == ["result.txt"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["n" * 251 + ".csv", "n" * 255, "é" * 127, "n" * 246])
def test_every_name_that_the_file_system_takes_can_be_written(tmp_path, name):
    write_text(tmp_path / name, "text")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_name_that_is_too_long_is_named_before_anything_is_computed(tmp_path):
    path = tmp_path / ("n" * 256)
    with pytest.raises(OSError, match="too long") as caught, write_atomically(path):
        pytest.fail("the block has begun")
    assert caught.value.filename == str(path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "big.bin"
    with pytest.raises(OmniMouseError) as caught, write_atomically(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.message == f"the disk is full: {path} could not be written"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_a_file_system_that_does_not_sync_folders_is_reported(tmp_path, monkeypatch, number):
    assert sync_folder(tmp_path)

    def refuse(_descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    assert not sync_folder(tmp_path)


def test_an_error_of_the_disk_is_not_taken_for_a_file_system_without_sync(tmp_path, monkeypatch):
    def fail(_descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        sync_folder(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF])
def test_a_file_system_without_locks_is_reported(tmp_path, monkeypatch, number):
    def refuse(_descriptor, _operation):
        raise OSError(number, os.strerror(number))

    with (tmp_path / "a").open("w") as one, (tmp_path / "a").open("w") as other:
        assert lock(one.fileno(), wait=False)
        with pytest.raises(BlockingIOError):
            lock(other.fileno(), wait=False)
        monkeypatch.setattr(fcntl, "flock", refuse)
        assert not lock(one.fileno(), wait=True)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("I/O error: No space left on device (os error 28)"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ],
)
def test_a_full_disk_is_known_in_whatever_error_a_library_wraps_it(tmp_path, error):
    with (
        pytest.raises(OmniMouseError, match="the disk is full"),
        translate_full_disk(tmp_path / "x"),
    ):
        raise error


def test_a_full_disk_is_known_by_its_free_space_where_the_error_does_not_say(tmp_path, monkeypatch):
    monkeypatch.setattr("omnimouse_cli.files.MIN_FREE_BYTES", 1 << 60)
    with (
        pytest.raises(OmniMouseError, match="the disk is full"),
        translate_full_disk(tmp_path / "x"),
    ):
        raise OSError("691200 requested and 12160 written")


def test_other_failures_of_the_system_are_not_called_a_full_disk(tmp_path):
    with pytest.raises(PermissionError), translate_full_disk(tmp_path):
        raise PermissionError(errno.EACCES, "denied")


def test_a_document_has_its_heading_and_no_nan(tmp_path):
    path = tmp_path / "numbers.json"
    content = {
        "nan": float("nan"),
        "array": np.array([1.0, np.inf]),
        "scalar": np.float32(2),
        "p": path,
    }
    write_document(path, "numbers", content)
    assert json.loads(path.read_text()) == {
        "format": "omnimouse-numbers", "version": 1, "nan": None, "array": [1.0, None],
        "scalar": 2.0, "p": str(path),
    }  # fmt: skip
    assert read_document(path, "numbers")["array"] == [1.0, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a JSON document"),
        ("[]", "is not an omnimouse-numbers document: its format is list"),
        ('{"format": "omnimouse-other"}', "its format is omnimouse-other"),
        ('{"format": "omnimouse-numbers", "version": 2}', "has version 2; this omnimouse reads"),
    ],
)
def test_a_wrong_document_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "numbers.json"
    path.write_text(text)
    with pytest.raises(OmniMouseError, match=message):
        read_document(path, "numbers")
    with pytest.raises(OmniMouseError, match="does not exist"):
        read_document(tmp_path / "absent.json", "numbers")


def test_a_folder_for_results_is_checked_before_they_are_computed(tmp_path, monkeypatch):
    require_folder(tmp_path / "new" / "results")
    (tmp_path / "file").write_text("")
    with pytest.raises(OmniMouseError, match="file is a file"):
        require_folder(tmp_path / "file")
    with pytest.raises(OmniMouseError, match=r"file/results cannot be made: .*/file is a file"):
        require_folder(tmp_path / "file" / "results")
    # A superuser may write anywhere.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OmniMouseError, match="is read-only"):
        require_folder(tmp_path / "new")
