"""Bytes are written in order, and their checksum is that of the file."""

import errno
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnimouse_cli._native import ByteWriter
from omnimouse_cli.shard.checksum import compute_checksum, format_checksum


@settings(max_examples=25)
@given(pieces=st.lists(st.binary(max_size=3000), max_size=12), first_byte=st.integers(0, 5000))
def test_pieces_are_written_in_order_with_their_checksum(tmp_path_factory, pieces, first_byte):
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(b"before")
    with path.open("r+b") as stream:
        writer = ByteWriter(stream.fileno(), first_byte=first_byte)
        for number, piece in enumerate(pieces):
            # An array may be read-only.
            writer.write(np.frombuffer(piece, dtype=np.uint8) if number % 2 else piece)
        digits = writer.finish()
    whole = b"".join(pieces)
    assert format_checksum(digits) == compute_checksum(whole)
    expected = b"before".ljust(first_byte, b"\0")[:first_byte] + whole if whole else b"before"
    assert path.read_bytes()[: len(expected)] == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((4, 4), dtype=np.uint8)[:, ::2], "`data` must be contiguous"),
        (np.zeros(4, dtype=np.float32), "`data`: "),
    ],
)
def test_only_contiguous_bytes_are_written(tmp_path, data, message):
    with (tmp_path / "bytes").open("wb") as stream:
        writer = ByteWriter(stream.fileno(), first_byte=0)
        with pytest.raises(ValueError, match=message):
            writer.write(data)
        assert format_checksum(writer.finish()) == compute_checksum(b"")


def test_a_full_disk_is_an_error_of_finish_at_the_latest():
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        writer = ByteWriter(descriptor, first_byte=0)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            for _ in range(9):
                writer.write(bytes(100))
            writer.finish()
    finally:
        os.close(descriptor)
