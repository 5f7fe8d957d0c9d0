"""A shard appears whole or not at all."""

import errno
import fcntl
import io
import os

import numpy as np
import pytest

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.shard.checksum import compute_checksum
from omnimouse_cli.shard.write import ShardWriter, open_shard_writer, remove_abandoned


def test_blocks_are_stored_as_one_array_with_one_checksum():
    array = np.random.default_rng(0).normal(size=(101, 3)).astype(np.float32)
    stream = io.BytesIO()
    writer = ShardWriter(stream, header_bytes=4096)
    rows = writer.write_rows("a", "F32", (3,), np.split(array, [7, 7, 50]))
    assert rows == 101
    assert stream.getvalue()[4096:] == array.tobytes()
    assert writer.checksums["a"] == compute_checksum(array.tobytes())


def test_what_lies_between_tensors_is_a_tensor_too():
    stream = io.BytesIO()
    writer = ShardWriter(stream, header_bytes=4096)
    writer.write_array("odd", "U8", np.ones(3, dtype=np.uint8))
    writer.write_array("wide", "F64", np.ones(1))
    assert set(writer.checksums) == {"odd", "padding.1", "wide"}
    assert stream.getvalue()[4096:] == b"\x01" * 3 + bytes(5) + np.ones(1).tobytes()


def test_an_error_while_writing_leaves_nothing(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(RuntimeError, match="stop"), open_shard_writer(path, header_bytes=4096) as w:
        w.write_array("a", "U8", np.ones(3, dtype=np.uint8))
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.safetensors"
    with (
        pytest.raises(OmniMouseError, match=r"the disk is full: .*a\.safetensors"),
        open_shard_writer(path, header_bytes=4096),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_only_what_nobody_writes_any_more_is_removed(tmp_path):
    abandoned = tmp_path / ".b.safetensors.xyz.partial"
    abandoned.write_bytes(b"half")
    with open_shard_writer(tmp_path / "a.safetensors", header_bytes=4096) as writer:
        assert remove_abandoned(tmp_path) == 1
        writer.finish("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_leftovers_stay_where_nothing_says_whether_somebody_writes_them(tmp_path, monkeypatch):
    abandoned = tmp_path / ".b.safetensors.xyz.partial"
    abandoned.write_bytes(b"half")

    def refuse(_descriptor, _operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert remove_abandoned(tmp_path) == 0
    assert abandoned.exists()


def test_leftovers_are_opened_for_writing_because_nfs_locks_no_other_files(tmp_path, monkeypatch):
    (tmp_path / ".b.safetensors.xyz.partial").write_bytes(b"half")

    def lock_as_nfs(descriptor, _operation):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", lock_as_nfs)
    assert remove_abandoned(tmp_path) == 1
