"""A folder of shards as a data set: sessions, channels, scaling, and what is refused."""

import errno
import os

import numpy as np
import pytest

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.batch.reader import warn_if_not_mapped
from omnimouse_cli.batch.windows import window_table
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.errors import ShardError
from omnimouse_cli.shard import Shard
from tests.reporter import MessageReporter


def test_channels_are_known_ones_first_then_by_name(tiny_dataset):
    assert tiny_dataset.behavior_channels == (
        "pupil_x",
        "pupil_y",
        "pupil_size",
        "pupil_size_derivative",
        "running",
        "whisker_0",
    )
    assert tiny_dataset.behavior_present("4-1-1").tolist() == [True] * 4 + [False] * 2


def test_channels_may_be_named_in_an_order_and_others_are_left_out(tiny_dataset):
    order = ("running", "tail", "pupil_y")
    dataset = open_dataset(tiny_dataset.folder, behavior_channels=order)
    assert dataset.behavior_channels == order
    assert dataset.session("1-1-1").channels == ("pupil_y", "running")
    assert dataset.behavior_present("4-1-1").tolist() == [False, False, True]
    assert dataset.session("2-1-1").channels == ()
    with pytest.raises(ValueError, match="`behavior_channels` must name each channel once"):
        DataConfig(behavior_channels=("running", "running"))


def test_sessions_and_animals_come_in_order(tiny_dataset):
    keys = [session.key for session in tiny_dataset.sessions]
    assert keys == ["1-1-1", "1-1-2", "2-1-1", "3-1-1", "4-1-1"]
    assert tiny_dataset.animals == ("1", "2", "3", "4")
    facts = tiny_dataset.session("3-1-1")
    assert (facts.num_neurons, facts.frame_shape, facts.channels) == (5, (3, 5), ())
    assert tiny_dataset.session("2-1-1").frame_shape is None


def test_sessions_may_be_chosen_and_counted(tiny_dataset):
    chosen = open_dataset(tiny_dataset.folder, sessions=["3-1-1", "1-1-2", "3-1-1"])
    assert [session.key for session in chosen.sessions] == ["3-1-1", "1-1-2"]
    first = open_dataset(tiny_dataset.folder, max_sessions=2)
    assert [session.key for session in first.sessions] == ["1-1-1", "1-1-2"]
    fingerprints = {data.fingerprint for data in (tiny_dataset, chosen, first)}
    assert len(fingerprints) == 3
    assert open_dataset(tiny_dataset.folder, max_sessions=2).fingerprint == first.fingerprint


def test_a_missing_folder_and_a_folder_without_shards_are_refused(tmp_path):
    with pytest.raises(ShardError, match="nothing does not exist") as caught:
        open_dataset(tmp_path / "nothing")
    assert "check the path" in caught.value.hint
    with pytest.raises(ShardError) as caught:
        open_dataset(tmp_path)
    assert "omnimouse preprocess" in caught.value.hint


def test_an_empty_choice_is_refused(tiny_dataset):
    with pytest.raises(ShardError, match=r"no session of .* was chosen"):
        open_dataset(tiny_dataset.folder, sessions=[])


def test_an_unknown_session_is_refused_with_the_nearest(tiny_dataset):
    with pytest.raises(ShardError, match="has no session 2-1-2") as caught:
        open_dataset(tiny_dataset.folder, sessions=["1-1-1", "2-1-2"])
    assert caught.value.hint == "did you mean `2-1-1`?"


@pytest.mark.parametrize("length", [0, 5, 8, 100, 4096, -1])
def test_a_shard_that_is_cut_short_is_refused_at_open(tmp_path, write_shard, length):
    shard = write_shard(tmp_path)
    shard.path.write_bytes(shard.path.read_bytes()[:length])
    with pytest.raises(ShardError, match=r"1-1-1\.safetensors"):
        open_dataset(tmp_path)


def test_a_tier_that_no_trial_has_is_refused_with_those_there_are(tmp_path, write_shard):
    trials = ((0.0, 20.0, "train", "video"), (20.0, 40.0, "test", "video"))
    write_shard(tmp_path, trials=trials)
    dataset = open_dataset(tmp_path)
    with pytest.raises(ShardError, match="no trial has tier oracle; tiers are test, train"):
        dataset.require_windows(DataConfig(tiers=("train", "oracle")))


def test_a_session_too_short_for_a_window_is_refused_by_name(tmp_path, write_shard):
    write_shard(tmp_path, key="1-1-1")
    write_shard(tmp_path, key="1-1-2", trials=((0.0, 2.4, "train", "video"),))
    dataset = open_dataset(tmp_path)
    with pytest.raises(ShardError, match=r"session 1-1-2 has no window: .* tiers train .* 2 s"):
        dataset.require_windows(DataConfig())
    assert dataset.windows(DataConfig(), "1-1-2").num_windows == 0
    assert dataset.windows(DataConfig(), "1-1-1").num_windows > 0


def test_windows_are_computed_once_for_each_selection(tmp_path, write_shard, monkeypatch):
    for key in ("1-1-1", "1-1-2"):
        write_shard(tmp_path, key=key)
    dataset, computed = open_dataset(tmp_path), []

    def counting(shard, **selection):
        computed.append(shard.description.session)
        return window_table(shard, **selection)

    monkeypatch.setattr("omnimouse_cli.batch.dataset.window_table", counting)
    tables = dataset.require_windows(DataConfig())
    assert list(tables) == computed == ["1-1-1", "1-1-2"]
    with Loader(dataset, DataConfig(batch_size=3, max_neurons=6), seed=0):
        assert dataset.windows(DataConfig(), "1-1-2") is tables["1-1-2"]
    assert len(computed) == 2
    assert dataset.windows(DataConfig(stride_samples=60), "1-1-2").num_windows < 100
    assert len(computed) == 3


def test_rates_are_divided_and_fluorescence_is_centred_first(tiny_shards, tiny_dataset):
    for key, centred in [("1-1-1", False), ("3-1-1", True)]:
        shift, scale = tiny_dataset.normalization(DataConfig(), key)
        shard = tiny_shards[key]
        expected = shard.mean if centred else np.zeros_like(shard.mean)
        np.testing.assert_array_equal(shift, expected)
        np.testing.assert_array_equal(scale, shard.std)
    standardized, _ = tiny_dataset.normalization(DataConfig(normalize="standardize"), "1-1-1")
    np.testing.assert_array_equal(standardized, tiny_shards["1-1-1"].mean)
    divided, _ = tiny_dataset.normalization(DataConfig(normalize="scale"), "3-1-1")
    assert not divided.any()


def test_small_deviations_are_raised_to_the_floor(tiny_shards, tiny_dataset):
    std = tiny_shards["1-1-1"].std
    _, scale = tiny_dataset.normalization(DataConfig(std_floor_relative=1.0), "1-1-1")
    np.testing.assert_allclose(scale, np.maximum(std, std.astype(np.float64).mean()), rtol=1e-6)
    _, scale = tiny_dataset.normalization(DataConfig(std_floor_absolute=2.0), "1-1-1")
    np.testing.assert_array_equal(scale, np.maximum(std, 2.0))


def test_a_neuron_without_a_deviation_is_left_finite(tmp_path, write_shard, monkeypatch):
    write_shard(tmp_path)
    dataset = open_dataset(tmp_path)
    mean = float(dataset.sessions[0].shard.neuron_mean[0])
    absolute = DataConfig(std_floor_absolute=1e-3)
    for values, expected, published in [
        # A neuron that is stuck at a rate is scaled to 1, one that hardly varies to at most 50.
        ([np.nan, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0], mean, 1e-3),
        ([0.0] * 7, mean, 1e-3),
        ([np.nan] * 7, mean, 1e-3),
        ([1e-6 * mean, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], mean / 50, 1e-3),
    ]:
        std = np.array(values, np.float32)
        monkeypatch.setattr(Shard, "neuron_std", property(lambda _, std=std: std))
        _, scale = dataset.normalization(DataConfig(), "1-1-1")
        np.testing.assert_allclose(scale[0], expected, rtol=1e-6)
        _, scale = dataset.normalization(absolute, "1-1-1")
        np.testing.assert_allclose(scale[0], published, rtol=1e-6)
        _, scale = dataset.normalization(DataConfig(normalize="standardize"), "1-1-1")
        assert 0 < scale[0] <= 1


def test_shards_that_cannot_be_mapped_are_read_with_one_warning(tiny_dataset, monkeypatch):
    config = DataConfig(batch_size=3, max_neurons=6)
    heard = MessageReporter()
    warn_if_not_mapped(tiny_dataset, config, heard)
    assert heard.warnings == []
    with Loader(tiny_dataset, config, seed=2) as loader:
        expected = [next(loader) for _ in range(5)]

    def refused(*_arguments, **_options):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(np, "memmap", refused)
    unmapped = open_dataset(tiny_dataset.folder)
    warn_if_not_mapped(unmapped, config, heard)
    (warning,) = heard.warnings
    assert "1-1-1.safetensors and 4 other shards cannot be mapped" in warning
    alone = open_dataset(tiny_dataset.folder, sessions=["3-1-1"])
    warn_if_not_mapped(alone, config, heard)
    assert "3-1-1.safetensors cannot be mapped" in heard.warnings[1]
    reading = DataConfig(batch_size=3, max_neurons=6, access="read")
    warn_if_not_mapped(unmapped, reading, heard)
    assert len(heard.warnings) == 2
    with Loader(unmapped, reading, seed=2) as loader:
        for batch in expected:
            again = next(loader)
            assert again.session == batch.session
            np.testing.assert_array_equal(again.responses, batch.responses)
