"""A shard is a safetensors file, and whatever has happened to its header is noticed."""

import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from omnimouse_cli.errors import LaterVersionError, ShardError
from omnimouse_cli.shard import open_shard
from omnimouse_cli.shard.format import VERSION, read_header


@pytest.fixture
def shard_file(make_recording, converted):
    return converted(make_recording()).path


def test_safetensors_reads_the_same_tensors(shard_file):
    shard = open_shard(shard_file)
    with safe_open(shard_file, "numpy") as reader:
        assert set(reader.keys()) == set(shard.header.tensors)
        for name in reader.keys():  # noqa: SIM118 - not a dictionary
            np.testing.assert_array_equal(reader.get_tensor(name), shard.tensor(name))
        assert reader.metadata()["format"] == "omnimouse-shard"
        assert json.loads(reader.metadata()["description"])["session"] == "7-1-2"


def test_data_start_on_a_page_and_every_tensor_on_its_item(shard_file):
    shard = open_shard(shard_file)
    assert shard.header.data_start % 4096 == 0
    assert shard.header.tensors["responses"].first_byte == 0
    for name, entry in shard.header.tensors.items():
        assert entry.first_byte % shard.tensor(name).itemsize == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_any_changed_byte_before_the_data_is_noticed(shard_file, position, flip):
    whole = shard_file.read_bytes()
    start = read_header(shard_file).data_start
    damaged = bytearray(whole)
    damaged[int(position * start)] ^= flip
    shard_file.write_bytes(damaged)
    try:
        with pytest.raises(ShardError):
            open_shard(shard_file)
    finally:
        shard_file.write_bytes(whole)


def test_the_changed_byte_may_also_be_in_the_padding_or_the_length(shard_file):
    whole = shard_file.read_bytes()
    start = read_header(shard_file).data_start
    for position in [0, 1, 4, 7, 8, start - 1, start - 100]:
        damaged = bytearray(whole)
        damaged[position] ^= 1
        shard_file.write_bytes(damaged)
        with pytest.raises(ShardError, match=r"damaged|cut short"):
            open_shard(shard_file)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.6, 0.9, 0.9999])
def test_a_shard_that_is_cut_short_is_an_error_that_names_the_file(shard_file, share):
    whole = shard_file.read_bytes()
    shard_file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ShardError, match=rf"{shard_file.name} is cut short"):
        open_shard(shard_file)


def test_the_tensor_that_is_cut_is_named(shard_file):
    shard = open_shard(shard_file)
    entry = shard.header.tensors["screen.frames"]
    with shard_file.open("r+b") as stream:
        stream.truncate(shard.header.data_start + entry.last_byte - 1)
    with pytest.raises(ShardError, match=r"tensor `screen.frames` ends at byte"):
        open_shard(shard_file)


def test_a_shard_that_is_too_long_is_an_error(shard_file):
    with shard_file.open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(ShardError, match=r"its tensors end at"):
        open_shard(shard_file)


def test_a_later_version_is_named_before_anything_else_is_judged(shard_file):
    whole = shard_file.read_bytes()
    old, new = f'"version":"{VERSION}"'.encode(), f'"version":"{VERSION + 8}"'.encode()
    shard_file.write_bytes(whole.replace(old, new, 1))
    with pytest.raises(LaterVersionError, match=r"version 9; this omnimouse reads version 1"):
        open_shard(shard_file)


def test_another_safetensors_file_is_no_shard(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"a": np.zeros(3)}, path)
    with pytest.raises(ShardError, match="is not an omnimouse shard"):
        open_shard(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        struct.pack("<Q", 2**60),
        struct.pack("<Q", 4) + b"null",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 3) + b"\xff\xfe{",
    ],
)
def test_garbage_is_no_shard(tmp_path, content):
    path = tmp_path / "garbage.safetensors"
    path.write_bytes(content)
    with pytest.raises(ShardError, match=r"garbage.safetensors"):
        open_shard(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ShardError, match=r"nowhere.safetensors is not a file"):
        open_shard(tmp_path / "nowhere.safetensors")


def test_a_tensor_that_is_not_there_is_named(shard_file):
    with pytest.raises(ShardError, match="has no tensor `spikes`"):
        open_shard(shard_file).tensor("spikes")
    with pytest.raises(ShardError, match="has no behavior signal `nose`"):
        open_shard(shard_file).device("nose")
