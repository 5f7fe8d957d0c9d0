"""Arrays are read, with equal values, where a file system cannot map a shard."""

import errno
import os

import numpy as np
import pytest

from omnimouse_cli.errors import ShardError
from omnimouse_cli.shard import open_shard
from omnimouse_cli.shard.summary import tier_minutes


@pytest.fixture
def refuse(monkeypatch):
    """Lets every attempt to map a file fail with an error of the system."""

    def fail(number):
        def memmap(*_arguments, **_options):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(np, "memmap", memmap)

    return fail


@pytest.mark.parametrize("number", [errno.ENODEV, errno.EINVAL])
def test_every_tensor_is_read_as_it_would_be_mapped(make_recording, converted, refuse, number):
    mapped = converted(make_recording())
    assert mapped.is_mapped
    tensors = {name: mapped.tensor(name) for name in mapped.header.tensors}
    rows = [mapped.read_responses(first, last) for first, last in ((0, 60), (3, 4), (700, 10**9))]
    minutes = tier_minutes(mapped)
    refuse(number)
    shard = open_shard(mapped.path)
    assert not shard.is_mapped
    for name, expected in tensors.items():
        found = shard.tensor(name)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert not found.flags.writeable
        np.testing.assert_array_equal(found, expected)
    for (first, last), expected in zip(((0, 60), (3, 4), (700, 10**9)), rows, strict=True):
        np.testing.assert_array_equal(shard.read_responses(first, last), expected)
    assert tier_minutes(shard) == minutes


def test_only_the_asked_rows_are_read(make_recording, converted, refuse):
    path = converted(make_recording()).path
    refuse(errno.ENODEV)
    shard = open_shard(path)
    whole = shard.read_responses(0, 60)
    entry = shard.header.tensors["responses"]
    row_bytes = (entry.last_byte - entry.first_byte) // entry.shape[0]
    os.truncate(path, shard.header.data_start + entry.first_byte + 60 * row_bytes)
    np.testing.assert_array_equal(shard.read_responses(0, 60), whole)
    with pytest.raises(ShardError, match="has become shorter while tensor `responses` was read"):
        shard.read_responses(0, 61)


def test_any_other_refusal_is_an_error(make_recording, converted, refuse):
    path = converted(make_recording()).path
    refuse(errno.ENOMEM)
    with pytest.raises(OSError, match=os.strerror(errno.ENOMEM)):
        open_shard(path).tensor("neurons.std")
