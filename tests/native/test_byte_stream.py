"""Bytes that a thread writes are in the file in their order, and their checksum is of them."""

import errno
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnimouse_cli._native import ByteStream
from omnimouse_cli.shard.checksum import compute_checksum, format_checksum


@settings(max_examples=25)
@given(pieces=st.lists(st.binary(max_size=3000), max_size=12), first_byte=st.integers(0, 5000))
def test_pieces_are_written_in_order_and_summed(tmp_path_factory, pieces, first_byte):
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(b"before")
    with path.open("r+b") as stream:
        written = ByteStream(stream.fileno(), first_byte=first_byte)
        for number, piece in enumerate(pieces):
            # An array may be one that must not be written to.
            written.write(np.frombuffer(piece, dtype=np.uint8) if number % 2 else piece)
        digits = written.finish()
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
def test_only_bytes_side_by_side_are_taken(tmp_path, data, message):
    with (tmp_path / "bytes").open("wb") as stream:
        written = ByteStream(stream.fileno(), first_byte=0)
        with pytest.raises(ValueError, match=message):
            written.write(data)
        assert format_checksum(written.finish()) == compute_checksum(b"")


def test_a_full_disk_is_told_at_the_latest_in_the_end():
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        written = ByteStream(descriptor, first_byte=0)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            for _ in range(9):
                written.write(bytes(100))
            written.finish()
    finally:
        os.close(descriptor)
