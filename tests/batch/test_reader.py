"""Windows of the extension against plain NumPy on the same arrays."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.errors import ShardError

SESSIONS = ("1-1-1", "1-1-2", "2-1-1", "3-1-1", "4-1-1")
SIGNALS = ("responses", "video", "behavior")


def assert_equal_to_numpy(batch, shard, grid, neurons, channels, *, centred=False):
    for position, (start, columns) in enumerate(zip(grid, neurons, strict=True)):
        expected = shard.window(int(start), columns, channels, centred=centred)
        for name in SIGNALS:
            found = getattr(batch, name)
            assert (found is None) == (name not in expected), name
            if found is not None:
                np.testing.assert_array_equal(found[position].numpy(), expected[name], name)


@pytest.mark.parametrize("key", SESSIONS)
def test_every_signal_of_random_windows_equals_numpy_bit_by_bit(tiny_shards, tiny_dataset, key):
    generator = np.random.default_rng(3)
    config = DataConfig(require_behavior=True)
    table = tiny_dataset.windows(config, key)
    grid = table.grid_index(generator.integers(table.num_windows, size=20))
    population = tiny_shards[key].session.neurons
    neurons = np.sort([generator.permutation(population)[:4] for _ in grid], axis=1)
    batch = WindowReader(tiny_dataset, config).read(key, grid, neurons)
    centred = tiny_shards[key].session.response_kind == "dff"
    channels = tiny_dataset.behavior_channels
    assert_equal_to_numpy(batch, tiny_shards[key], grid, neurons, channels, centred=centred)
    np.testing.assert_array_equal(batch.neuron_index.numpy(), neurons)
    assert batch.number == -1
    assert batch.session == key
    assert all(
        torch.isfinite(getattr(batch, name)).all()
        for name in SIGNALS
        if getattr(batch, name) is not None
    )


@pytest.mark.parametrize("access", ["map", "read"])
def test_lost_behavior_samples_are_nan_and_all_others_are_read(tiny_shards, tiny_dataset, access):
    # The eye tracker of this session is missing from 10 to 11 s and from 25 to 25.2 s.
    config = DataConfig(access=access)
    grid = tiny_dataset.windows(config, "4-1-1").grid_index(np.arange(0, 1000, 7))
    whole = tiny_dataset.windows(replace(config, require_behavior=True), "4-1-1")
    channels = tiny_dataset.behavior_channels
    is_whole = np.isin(grid, whole.grid_index(np.arange(whole.num_windows)))
    assert 0.5 < is_whole.mean() < 0.95
    batch = WindowReader(tiny_dataset, config).read("4-1-1", grid)
    lost = batch.behavior[:, :4].isnan().numpy()
    assert (lost.any(axis=(1, 2)) == ~is_whole).all()
    for position, start in enumerate(grid):
        expected = tiny_shards["4-1-1"].window(int(start), np.arange(7), channels)["behavior"]
        found = batch.behavior[position].numpy()
        np.testing.assert_array_equal(found, expected)
    seconds = batch.start_seconds[:, None] + np.arange(40) / 20
    near = (seconds > 9.86) & (seconds < 11.14) | (seconds > 24.86) & (seconds < 25.34)
    assert lost.all(axis=1)[near].all()
    assert 0 < lost.mean() < 0.2
    assert batch.behavior_fraction == pytest.approx(1 - lost.mean())


@pytest.mark.parametrize("key", SESSIONS)
def test_the_first_and_the_last_window_equal_numpy(tiny_shards, tiny_dataset, key):
    config = DataConfig(normalize="scale")
    table = tiny_dataset.windows(config, key)
    grid = table.grid_index(np.array([0, table.num_windows - 1]))
    batch = WindowReader(tiny_dataset, config).read(key, grid)
    all_neurons = np.tile(np.arange(tiny_shards[key].session.neurons), (2, 1))
    channels = tiny_dataset.behavior_channels
    assert_equal_to_numpy(batch, tiny_shards[key], grid, all_neurons, channels)
    np.testing.assert_array_equal(
        batch.start_seconds, table.start_seconds(np.array([0, -1 + table.num_windows]))
    )


def test_missing_signals_are_none_and_missing_channels_zero(tiny_dataset):
    reader = WindowReader(tiny_dataset, DataConfig())
    grid = np.array([30])
    without_screen = reader.read("2-1-1", grid)
    assert without_screen.video is None
    present = dict(
        zip(tiny_dataset.behavior_channels, without_screen.behavior_present, strict=True)
    )
    assert [name for name, here in present.items() if here] == ["whisker_0"]
    assert without_screen.behavior is not None
    assert (without_screen.behavior[:, ~without_screen.behavior_present] == 0).all()
    without_behavior = reader.read("3-1-1", grid)
    assert without_behavior.behavior is None
    assert not without_behavior.behavior_present.any()


def test_channels_come_in_the_order_that_was_named(tiny_dataset):
    grid, order = np.array([30, 90]), ("running", "tail", "pupil_y")
    named = open_dataset(tiny_dataset.folder, behavior_channels=order)
    batch = WindowReader(named, DataConfig()).read("1-1-1", grid)
    all_channels = WindowReader(tiny_dataset, DataConfig()).read("1-1-1", grid).behavior
    known = tiny_dataset.behavior_channels
    assert batch.behavior_present.tolist() == [True, False, True]
    assert batch.behavior[:, 0].equal(all_channels[:, known.index("running")])
    assert batch.behavior[:, 1].eq(0).all()
    assert batch.behavior[:, 2].equal(all_channels[:, known.index("pupil_y")])
    # All that this session has was left out.
    assert WindowReader(named, DataConfig()).read("2-1-1", grid).behavior is None


def test_neurons_may_be_asked_for_in_any_order(tiny_shards, tiny_dataset):
    neurons = np.array([[6, 0, 3, 3]])
    batch = WindowReader(tiny_dataset, DataConfig()).read("1-1-1", np.array([100]), neurons)
    expected = tiny_shards["1-1-1"].window(100, neurons[0], tiny_dataset.behavior_channels)
    np.testing.assert_array_equal(batch.responses[0].numpy(), expected["responses"])


def test_every_half_precision_number_is_read_exactly(tmp_path, write_shard):
    # 120 rows of 1024 neurons hold every positive finite number of the type, subnormal ones too.
    shard = write_shard(tmp_path, neurons=1024, seconds=4.0, devices={}, screen=False)
    raw = bytearray(shard.path.read_bytes())
    patterns = (np.arange(120 * 1024) % 0x7C00).astype("<u2")
    dataset = open_dataset(tmp_path)
    entry = dataset.sessions[0].shard.header.tensors["responses"]
    start = dataset.sessions[0].shard.header.data_start + entry.first_byte
    raw[start : start + patterns.nbytes] = patterns.tobytes()
    shard.path.write_bytes(raw)
    dataset = open_dataset(tmp_path)
    batch = WindowReader(dataset, DataConfig()).read("1-1-1", np.array([0, 60]))
    _, scale = dataset.normalization(DataConfig(), "1-1-1")
    values = patterns.view(np.float16).astype(np.float32).reshape(2, 60, 1024)
    np.testing.assert_array_equal(batch.responses.numpy(), values / scale)


@pytest.mark.parametrize("grid", [-1, -(2**62), 1150, 2**62])
def test_a_window_outside_the_recording_is_refused(tiny_dataset, grid):
    reader = WindowReader(tiny_dataset, DataConfig())
    with pytest.raises(ValueError, match=r"1-1-1\.safetensors: a window needs responses"):
        reader.read("1-1-1", np.array([grid]))


@pytest.mark.parametrize("neuron", [-1, 7, 2**40])
def test_a_neuron_that_does_not_exist_is_refused(tiny_dataset, neuron):
    reader = WindowReader(tiny_dataset, DataConfig())
    with pytest.raises(ValueError, match=f"neuron {neuron} does not exist: there are 7"):
        reader.read("1-1-1", np.array([30]), np.array([[neuron]]))


def test_shapes_that_do_not_fit_are_refused(tiny_dataset):
    reader = WindowReader(tiny_dataset, DataConfig())
    with pytest.raises(ValueError, match="grid_indices"):
        reader.read("1-1-1", np.array([30, 31]), np.array([[0]]))


def test_an_unknown_session_is_named_with_the_nearest(tiny_dataset):
    with pytest.raises(ShardError, match="has no session 1-1-3") as caught:
        WindowReader(tiny_dataset, DataConfig()).read("1-1-3", np.array([0]))
    assert caught.value.hint in ("did you mean `1-1-1`?", "did you mean `1-1-2`?")


def test_a_shard_that_shrinks_while_open_is_an_error_with_its_name(tmp_path, write_shard):
    shard = write_shard(tmp_path)
    reader = WindowReader(open_dataset(tmp_path), DataConfig())
    reader.read("1-1-1", np.array([30]))
    os.truncate(shard.path, shard.path.stat().st_size - 5000)
    with pytest.raises(ShardError, match=r"1-1-1\.safetensors is damaged: it shrank") as caught:
        reader.read("1-1-1", np.array([30]))
    assert "--verify" in caught.value.hint


def test_a_shard_that_vanishes_before_it_is_read_is_an_error_with_its_name(tmp_path, write_shard):
    shard = write_shard(tmp_path)
    dataset = open_dataset(tmp_path)
    reader = WindowReader(dataset, DataConfig(normalize="scale"))
    assert dataset.sessions[0].shard.neuron_std.size == 7
    shard.path.unlink()
    with pytest.raises(ShardError, match=r"1-1-1\.safetensors is not a file"):
        reader.read("1-1-1", np.array([30]))


def test_a_flip_that_shows_no_stored_frame_is_an_error(tmp_path, write_shard):
    shard = write_shard(tmp_path)
    header = open_dataset(tmp_path).sessions[0].shard.header
    entry = header.tensors["screen.frame_index"]
    raw = bytearray(shard.path.read_bytes())
    first, last = header.data_start + entry.first_byte, header.data_start + entry.last_byte
    raw[first:last] = np.full((last - first) // 8, 20, "<i8").tobytes()
    shard.path.write_bytes(raw)
    with pytest.raises(ShardError, match="shows frame 20 of 20"):
        WindowReader(open_dataset(tmp_path), DataConfig()).read("1-1-1", np.array([30]))


def test_the_video_is_scaled_as_configured(tiny_shards, tiny_dataset):
    config = DataConfig(video_mean=100.5, video_std=12.25)
    batch = WindowReader(tiny_dataset, config).read("1-1-1", np.array([30]))
    plain = WindowReader(tiny_dataset, DataConfig(video_mean=0.0, video_std=1.0))
    greys = plain.read("1-1-1", np.array([30])).video
    np.testing.assert_array_equal(batch.video.numpy(), (greys.numpy() - 100.5) / np.float32(12.25))
