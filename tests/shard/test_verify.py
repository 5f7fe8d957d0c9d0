"""Every byte of a shard is covered by a checksum."""

import time

import pytest

from omnimouse_cli.errors import ShardError
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard import open_shard
from omnimouse_cli.shard.verify import BackgroundVerification, verify_shard, verify_shards


def flip(path, position):
    with path.open("r+b") as stream:
        stream.seek(position)
        byte = stream.read(1)[0]
        stream.seek(position)
        stream.write(bytes([byte ^ 1]))


def test_a_whole_shard_is_read_to_its_last_byte(make_recording, converted):
    shard = converted(make_recording())
    heard = []
    verify_shard(shard.path, heard.append)
    assert sum(heard) == shard.header.file_bytes - shard.header.data_start


def test_one_flipped_bit_is_found_in_whatever_tensor_it_is(make_recording, converted):
    shard = converted(make_recording(responses=None, neurons=7))
    names = [name for name, e in shard.header.tensors.items() if e.last_byte > e.first_byte]
    assert len(names) > 15
    for name in names:
        entry = shard.header.tensors[name]
        for position in (entry.first_byte, entry.last_byte - 1):
            flip(shard.path, shard.header.data_start + position)
            with pytest.raises(ShardError, match=rf"tensor `{name}` does not match its checksum"):
                verify_shard(shard.path, lambda _count: None)
            flip(shard.path, shard.header.data_start + position)
    verify_shard(shard.path, lambda _count: None)


def test_all_shards_are_verified_even_after_a_damaged_one(make_recording, converted):
    paths = [converted(make_recording(session=f"7-1-{n}")).path for n in range(3)]
    flip(paths[0], open_shard(paths[0]).header.data_start + 17)
    paths[2].write_bytes(paths[2].read_bytes()[:-3])
    found = verify_shards([*paths, paths[0].with_name("gone.safetensors")], Silent())
    assert ["tensor `responses`" in found[0].message, "cut short" in found[1].message] == [True] * 2
    assert "gone.safetensors is not a file" in found[2].message
    assert len(found) == 3


def test_verification_in_the_background_does_not_read_faster_than_it_may(make_recording, converted):
    """Only the lower bound of the time is tested, which a loaded machine keeps."""
    shard = converted(make_recording())
    num_bytes = shard.path.stat().st_size
    start = time.monotonic()
    verification = BackgroundVerification([shard.path], max_bytes_per_second=4 * num_bytes)
    assert verification.wait(60)
    verification.check()
    tensors = shard.header.tensors.values()
    read = sum(entry.last_byte - entry.first_byte for entry in tensors)
    assert time.monotonic() - start >= read / (4 * num_bytes)
