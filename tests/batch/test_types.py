"""Number types, ways to read and background checks: the same values, however they come."""

import importlib
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from omnimouse_cli import _native
from omnimouse_cli.batch.batch import to_device
from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.errors import ShardError

pytestmark = pytest.mark.slow

CONFIG = DataConfig(batch_size=3, max_neurons=40)
SIGNALS = ("responses", "video", "behavior")
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SPAWNING = """
import multiprocessing, sys
from pathlib import Path
from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.config.data import DataConfig

def count(folder):
    with Loader(open_dataset(folder), DataConfig(), seed=4) as loader:
        print("child:", *(next(loader).number for _ in range(3)), flush=True)

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with Loader(open_dataset(folder), DataConfig(), seed=4) as loader:
        next(loader)
        child = multiprocessing.get_context("spawn").Process(target=count, args=(folder,))
        child.start()
        child.join()
        print("parent:", next(loader).number)
"""


@pytest.fixture(scope="module")
def wide_dataset(tmp_path_factory, write_shard):
    """Sessions of each stored type, wide enough for whole vectors and a rest."""
    folder = tmp_path_factory.mktemp("wide")
    for number, dtype in enumerate(("F16", "BF16", "F32"), 1):
        kind = "dff" if number == 2 else "rate"
        write_shard(folder, key=f"1-1-{number}", neurons=67, dtype=dtype, response_kind=kind)
    return open_dataset(folder)


def take(dataset, config, count=9):
    with Loader(dataset, config, seed=4) as loader:
        return [next(loader) for _ in range(count)]


def test_bfloat16_is_float32_rounded_to_nearest(wide_dataset):
    whole = take(wide_dataset, CONFIG)
    halved = take(wide_dataset, replace(CONFIG, dtype="bfloat16"))
    for left, right in zip(whole, halved, strict=True):
        for name in SIGNALS:
            found = getattr(right, name)
            assert found.dtype == torch.bfloat16
            assert torch.equal(found, getattr(left, name).to(torch.bfloat16)), name


def test_grey_levels_may_stay_as_they_are_stored(wide_dataset):
    config = replace(CONFIG, video_dtype="uint8")
    for left, right in zip(take(wide_dataset, CONFIG), take(wide_dataset, config), strict=True):
        assert right.video.dtype == torch.uint8
        assert torch.equal((right.video.float() - 113.0) / 59.0, left.video)
        assert torch.equal(right.responses, left.responses)


def test_where_the_model_computes_every_batch_is_float32(wide_dataset):
    whole = take(wide_dataset, CONFIG)
    config = replace(CONFIG, dtype="bfloat16", video_dtype="uint8")
    for left, right in zip(whole, take(wide_dataset, config), strict=True):
        moved = to_device(right, torch.device("cpu"), config)
        assert torch.equal(moved.video, left.video)
        for name in ("responses", "behavior"):
            expected = getattr(left, name).to(torch.bfloat16).float()
            assert torch.equal(getattr(moved, name), expected)
        assert to_device(left, torch.device("cpu"), CONFIG).responses is left.responses


@pytest.mark.parametrize(
    "changes", [{"access": "read"}, {"read_ahead_megabytes": None}, {"read_ahead_megabytes": 1}]
)
def test_ways_to_read_change_no_byte(wide_dataset, tiny_dataset, changes):
    for dataset in (wide_dataset, tiny_dataset):
        config = replace(CONFIG, **changes)
        for left, right in zip(take(dataset, CONFIG), take(dataset, config), strict=True):
            for name in (*SIGNALS, "neuron_index"):
                first, second = getattr(left, name), getattr(right, name)
                assert (first is None) == (second is None)
                assert first is None or torch.equal(first, second)


@pytest.mark.parametrize("order", ["ascending", "any"])
@pytest.mark.parametrize("key", ["1-1-1", "1-1-2", "1-1-3"])
def test_vector_instructions_change_no_byte(wide_dataset, key, order):
    shard = _native.Shard(wide_dataset.session(key).path)
    shift, scale = wide_dataset.normalization(CONFIG, key)
    neurons = np.random.default_rng(1).permutation(67)[:45]
    neurons = np.sort(neurons) if order == "ascending" else neurons
    found = []
    for portable in (True, False):
        session = _native.Session(
            shard,
            shift=shift,
            scale=scale,
            video_mean=113.0,
            video_std=59.0,
            channel_rows=list(range(5)),
            num_channels=5,
            portable=portable,
        )
        memory = {
            "grid_indices": np.array([40]),
            "neuron_index": neurons,
            "responses": np.zeros(60 * 45, np.float32),
            "video": np.zeros(60 * 24, np.uint16),
            "behavior": np.zeros(5 * 40, np.float32),
        }
        session.read(_native.Slot(**memory), 1, 45)
        found.append(memory)
    assert found[0]["responses"].any()
    for name in SIGNALS:
        np.testing.assert_array_equal(found[0][name].view("u1"), found[1][name].view("u1"))
    config = replace(CONFIG, access="read")
    batch = WindowReader(wide_dataset, config).read(key, np.array([40]), neurons[None])
    np.testing.assert_array_equal(batch.responses.numpy().ravel(), found[0]["responses"])


def test_damage_that_no_header_shows_is_found_in_the_background(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    synthetic = importlib.import_module("synthetic")
    dataset = synthetic.synthetic_dataset(tmp_path, synthetic.Extent(neurons=20, rows=300))
    config = DataConfig(batch_size=2, verify=True)
    with Loader(dataset, config, seed=0) as loader:
        next(loader)
        assert loader._verification.wait(30)
        next(loader)
    shard = dataset.sessions[0].shard
    place = shard.header.data_start + shard.header.tensors["responses"].first_byte + 5
    with shard.path.open("r+b") as stream:
        stream.seek(place)
        byte = stream.read(1)[0]
        stream.seek(place)
        stream.write(bytes([byte ^ 1]))
    loader = Loader(open_dataset(tmp_path), config, seed=0)
    assert loader._verification.wait(30)
    with pytest.raises(ShardError, match=r"1-1-1\.safetensors is damaged: tensor `responses`"):
        next(loader)


def test_a_training_verifies_shards_until_its_first_epoch_has_ended(wide_dataset):
    def is_verified(config=CONFIG, first_batch=0, by_default=True):
        options = {"first_batch": first_batch, "verify_at_start": by_default}
        with Loader(wide_dataset, config, seed=0, **options) as loader:
            return loader._verification is not None

    with Loader(wide_dataset, CONFIG, seed=0) as loader:
        epoch = loader.batches_of_all_windows
    assert is_verified()
    assert is_verified(first_batch=epoch - 1)
    assert not is_verified(first_batch=epoch)
    assert not is_verified(by_default=False)
    assert not is_verified(replace(CONFIG, verify=False))
    assert is_verified(replace(CONFIG, verify=True), first_batch=epoch, by_default=False)


def test_ranks_verify_a_part_of_the_shards_each(tiny_dataset):
    paths = []
    for rank in range(2):
        options = {"rank": rank, "num_ranks": 2, "verify_at_start": True}
        with Loader(tiny_dataset, CONFIG, seed=0, **options) as loader:
            paths += loader._verification._paths
    assert sorted(paths) == sorted(session.path for session in tiny_dataset.sessions)


def test_a_loader_that_is_closed_ends_its_verification(wide_dataset):
    loader = Loader(wide_dataset, replace(CONFIG, verify=True), seed=0)
    loader.close()
    assert loader._verification.wait(0)


@pytest.mark.training
def test_a_shard_cut_while_it_is_read_is_an_error_and_not_the_end(tmp_path, write_shard):
    write_shard(tmp_path, key="1-1-1", neurons=500, seconds=60.0, valid=((0.5, 59.5),))
    program = textwrap.dedent(
        """
        import os, sys, threading, time
        from pathlib import Path
        from omnimouse_cli.batch.dataset import open_dataset
        from omnimouse_cli.batch.loader import Loader
        from omnimouse_cli.config.data import DataConfig
        from omnimouse_cli.errors import ShardError
        folder = Path(sys.argv[1])
        loader = Loader(open_dataset(folder), DataConfig(threads=2, prefetch_batches=8), seed=0)
        timer = threading.Timer(0.2, os.truncate, (folder / "1-1-1.safetensors", 100_000))
        timer.start()
        try:
            while True:
                next(loader)
        except ShardError as error:
            print("error:", error)
        """
    )
    arguments = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path)]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert "1-1-1.safetensors is damaged: it shrank" in result.stdout


@pytest.mark.training
def test_a_spawned_process_opens_a_loader_of_its_own(tmp_path, wide_dataset):
    program = tmp_path / "program.py"
    program.write_text(SPAWNING)
    arguments = [sys.executable, "-W", "ignore", program, str(wide_dataset.folder)]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    assert result.stdout == "child: 0 1 2\nparent: 1\n", result.stderr
