"""A damaged header of an array is a ValueError, whatever the damage."""

import contextlib
import io

import numpy as np
import pytest

from omnimouse_cli.recording.npy_header import parse_npy_header


def saved(values):
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def test_the_stream_stands_at_the_data():
    values = np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3))
    stream = io.BytesIO(saved(values))
    header = parse_npy_header(stream)
    assert (header.shape, header.dtype) == ((2, 3), np.dtype(">i2"))
    assert (header.column_major, header.offset_bytes) == (True, stream.tell())
    assert stream.read() == values.T.tobytes()


def test_an_unclosed_bracket_is_a_value_error():
    content = saved(np.zeros((2, 3))).replace(b"3), }", b"3,   ")
    with pytest.raises(ValueError, match="header is damaged"):
        parse_npy_header(io.BytesIO(content))


def test_damaged_bytes_raise_nothing_else():
    content = saved(np.zeros((2, 3)))
    generator = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content[: generator.integers(1, len(content))])
        for _ in range(generator.integers(1, 4)):
            damaged[generator.integers(len(damaged))] = generator.integers(256)
        with contextlib.suppress(ValueError):
            parse_npy_header(io.BytesIO(bytes(damaged)))
