"""A rank's file is read as data: nothing in it runs, what is not data is refused by name."""

import collections
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.published.rank_file import read_rank_file


class Command:
    """Unpickled, it would run a command that makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.system, (f"touch {self.marker}",))


class OfThisTest:
    """A class that no reader of checkpoints knows."""


@pytest.fixture
def small(published_layout):
    """The second rank of a checkpoint: one session, and everything that is not weights."""
    return published_layout.Checkpoint().files[1]


@pytest.fixture
def written(tmp_path):
    def write(content):
        torch.save(content, tmp_path / "rank_1.ckpt")
        return tmp_path / "rank_1.ckpt"

    return write


def test_weights_come_without_prefix_and_all_else_is_passed_over(small, written):
    file = read_rank_file(written(small))
    prefix = "sess_params.300-4-7."
    assert set(file.tensors) == {
        f"{prefix}{name}"
        for name in ("_session_embedding", "_neuron_embeddings.weight", "_neuron_biases")
    }
    for name, value in file.tensors.items():
        assert torch.equal(value, small["state_dict"][f"_orig_mod.{name}"])
    assert (file.epoch, file.step) == (3, 20_000)
    assert file.sessions["300-4-7"] == {"n_neurons": 11, "animal_id": "300", "on_rank": 1}


def test_numbers_of_numpy_are_numbers(small, written):
    for step in (np.int64(-7), np.uint8(250), np.dtype(">i4").type(3)):
        assert read_rank_file(written({**small, "step": step})).step == int(step)


@pytest.mark.parametrize(
    "bend",
    [
        lambda _, evil: evil,
        lambda content, evil: {**content, "metrics": {"deep": [(1, {"deeper": evil})]}},
        lambda content, evil: {**content, "rng_state": {"numpy": ("MT19937", evil)}},
        lambda content, evil: {**content, "metrics": np.array([evil], dtype=object)},
        lambda content, evil: {**content, "session_map": collections.OrderedDict(a=evil)},
        lambda content, evil: {**content, "state_dict": {**content["state_dict"], "x": evil}},
    ],
    ids=["alone", "nested", "beside random states", "in an array", "in a map", "as a tensor"],
)
def test_a_pickle_that_would_run_a_command_is_refused_and_runs_nothing(
    bend, small, written, tmp_path
):
    marker = tmp_path / "ran"
    path = written(bend(small, Command(marker)))
    with pytest.raises(CheckpointError) as caught:
        read_rank_file(path)
    assert caught.value.message.startswith(f"{path} holds posix.system, and only tensors, ")
    assert not marker.exists()
    # The file is what it is said to be: a reader without care does run it.
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_any_other_class_is_refused_by_name(small, written):
    path = written({**small, "metrics": [OfThisTest()]})
    with pytest.raises(CheckpointError, match=r"holds .*OfThisTest, and only tensors"):
        read_rank_file(path)
    path = written({**small, "metrics": [print, OfThisTest]})
    with pytest.raises(CheckpointError, match=r"holds builtins\.print, .*OfThisTest, and only"):
        read_rank_file(path)


def test_a_known_name_cannot_be_used_for_more_than_data(small, written):
    class Sneaky:
        def __reduce__(self):
            return (np.dtype, ("O",), (3, "|", None, None, None, -1, -1, 63))

    class Scalar:
        def __reduce__(self):
            return (np.float64(0).__reduce__()[0], (Sneaky(), b"12345678"))

    with pytest.raises(CheckpointError, match="a pickle that does more than describe data"):
        read_rank_file(written({**small, "step": Scalar()}))


def test_other_formats_are_refused(small, tmp_path):
    path = tmp_path / "rank_0.ckpt"
    torch.save(small, path, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"not in the zip format of torch\.save"):
        read_rank_file(path)
    path.write_bytes(pickle.dumps({"state_dict": {}}))
    with pytest.raises(CheckpointError, match=r"not in the zip format of torch\.save"):
        read_rank_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("something/else", "text")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_rank_file(path)
    torch.save(small, path, pickle_protocol=4)
    with pytest.raises(CheckpointError, match="a pickle that does more than describe data"):
        read_rank_file(path)


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_file_that_is_cut_short_is_refused(kept, small, written):
    path = written(small)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(CheckpointError, match=f"{path} is damaged") as caught:
        read_rank_file(path)
    assert "copy the file again" in caught.value.hint


def test_every_damaged_byte_of_the_pickle_ends_in_a_sentence_or_in_data(small, written):
    """Whatever a flipped byte makes of the pickle, nothing but our own error comes out."""
    path = written({"state_dict": small["state_dict"], "session_map": small["session_map"]})
    content = bytearray(path.read_bytes())
    first = content.index(b"data.pkl") + len(b"data.pkl")
    last = content.index(b"PK", first)
    refused = 0
    for place in range(first, last, 7):
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        try:
            read_rank_file(path)
        except CheckpointError:
            refused += 1
    assert refused > 0


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("state_dict", None, "it has no `state_dict`"),
        ("state_dict", {"a": 3}, "holds a, which is not a tensor"),
        ("session_map", [1], "`session_map` does not describe each session"),
        ("step", "many", "`step` must be a whole number: 'many'"),
    ],
)
def test_what_is_not_as_published_is_refused(key, value, message, small, written):
    with pytest.raises(CheckpointError, match=message):
        read_rank_file(written({**small, key: value}))


def test_states_of_the_optimizer_are_never_read(small, written):
    """Mapped memory is read where it is touched, and not by calls that read."""
    moments = {"state": {0: {"exp_avg": torch.ones(2**22)}}}
    path = written({**small, "rank_optimizer_state_dict": moments})
    assert path.stat().st_size > 2**24
    before = bytes_read()
    file = read_rank_file(path)
    assert float(file.tensors["sess_params.300-4-7._neuron_biases"].sum()) != 0
    assert bytes_read() - before < 2**20


def bytes_read():
    """Bytes that this process has asked files for."""
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["rchar"])
