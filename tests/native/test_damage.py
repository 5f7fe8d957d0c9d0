"""Damaged files are refused by name and reason, and never crash."""

import os

import numpy as np
import pytest

from omnimouse_cli import _native

pytestmark = pytest.mark.slow

# The long run: OMNIMOUSE_MUTATIONS=10000 pytest tests/native/test_damage.py
NUM_MUTATIONS = int(os.environ.get("OMNIMOUSE_MUTATIONS", "1500"))
NUM_DATA_BYTES = 774


def slot_for(session_frames=6):
    return _native.Slot(
        grid_indices=np.zeros(1, np.int64),
        neuron_index=np.arange(2, dtype=np.int64),
        responses=np.zeros(120, np.float32),
        video=np.zeros(60 * session_frames, np.float32),
        behavior=np.zeros(40, np.float32),
    )


def read(path):
    shard = _native.Shard(path)
    session = _native.Session(
        shard,
        shift=np.zeros(shard.num_neurons, np.float32),
        scale=np.ones(shard.num_neurons, np.float32),
        video_mean=0.0,
        video_std=1.0,
        channel_rows=[0] * len(shard.channels),
        num_channels=1,
    )
    height, width = shard.frame_shape or (0, 0)
    session.read(slot_for(height * width), 1, 2)


@pytest.fixture
def whole(write_file, good_table):
    return write_file(good_table).read_bytes()


def test_the_good_file_is_read(write_file, good_table):
    path = write_file(good_table)
    shard = _native.Shard(path)
    assert (shard.session, shard.num_neurons) == ("1-1-1", 2)
    assert (shard.frame_shape, shard.channels) == ((2, 3), ["running"])
    read(path)


def test_a_file_that_is_not_there_stays_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors is not a file"):
        _native.Shard(tmp_path / "nothing.safetensors")


def test_every_truncation_is_refused_by_name(tmp_path, whole):
    path = tmp_path / "1-1-1.safetensors"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(_native.ShardFormatError, match=r"1-1-1\.safetensors is cut short"):
            _native.Shard(path)


@pytest.mark.parametrize(
    "promise",
    [
        ("responses", None, "tensor `responses` is missing"),
        ("responses", ("U8", [100, 4], 352, 752), "U8"),
        ("responses", ("F16", [200, 1], 352, 752), "its description"),
        ("responses", ("F16", [100, 2], 352, 750), "offset"),
        ("behavior.treadmill", ("F32", [40, 2], 32, 352), "its description"),
        ("valid.treadmill", None, "tensor `valid.treadmill` is missing"),
        ("valid.treadmill", ("F64", [2], 752, 768), r"not \(intervals, 2\)"),
        ("screen.frames", ("U8", [1, 3, 2], 768, 774), r"not \(frames, 2, 3\)"),
        ("screen.frames", ("U8", [6], 768, 774), r"not \(frames, 2, 3\)"),
        ("screen.frame_index", ("I64", [2, 1], 16, 32), "differ in length"),
        ("__metadata__", None, "not an omnimouse shard"),
        ("__metadata__", {"format": "omnimouse-shard", "version": "2"}, "shard version 2"),
        ("__metadata__", {"format": "omnimouse-shard", "version": "1"}, "no description"),
    ],
)
def test_a_broken_promise_is_named(write_file, good_table, tensor, promise):
    name, change, reason = promise
    good_table["filler"] = good_table.pop(name)
    if name == "__metadata__":
        del good_table["filler"]
    if change is not None:
        good_table.pop("filler", None)
        good_table[name] = tensor(*change) if isinstance(change, tuple) else change
    path = write_file(good_table)
    with pytest.raises(_native.ShardFormatError, match=reason):
        _native.Shard(path)


def test_mutated_headers_are_read_or_refused_but_never_crash(tmp_path, whole):
    generator = np.random.default_rng(0)
    header_bytes = len(whole) - NUM_DATA_BYTES
    path = tmp_path / "1-1-1.safetensors"
    refusals, too_small = [], []
    for _ in range(NUM_MUTATIONS):
        raw = bytearray(whole)
        for _ in range(generator.integers(1, 4)):
            place = int(generator.integers(header_bytes))
            if generator.random() < 0.5 and chr(raw[place]).isdigit():
                raw[place] = ord(str(generator.integers(10)))
            else:
                raw[place] = int(generator.integers(256))
        path.write_bytes(raw)
        try:
            read(path)
        except ValueError as error:
            refusals.append(str(error))
        except RuntimeError as error:
            # The mutation made a good shard of another size, for which the slot is too small.
            too_small.append(str(error))
    assert all("1-1-1.safetensors" in message for message in refusals)
    assert all("must have at least" in message for message in too_small)
    assert len(refusals) > NUM_MUTATIONS / 2


def test_mutated_data_are_read_or_refused_but_never_crash(tmp_path, whole):
    generator = np.random.default_rng(1)
    header_bytes = len(whole) - NUM_DATA_BYTES
    path = tmp_path / "1-1-1.safetensors"
    refusals = []
    for _ in range(300):
        noise = generator.integers(0, 256, NUM_DATA_BYTES, np.uint8).tobytes()
        path.write_bytes(whole[:header_bytes] + noise)
        try:
            read(path)
        except ValueError as error:
            refusals.append(str(error))
    assert all("1-1-1.safetensors" in message for message in refusals)
