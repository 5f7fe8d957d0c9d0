"""The sets of the shared folder become shards that agree with their truths."""

import numpy as np
import pytest

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.windows import window_table
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.evaluation.session_reader import SessionReader
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard import open_shard
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess


def shard_of(name, shared, out):
    folder = shared / "data/formats" / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    (path,) = folder.glob("*.zip")
    recording = open_recording(path, OpenOptions(static=True))
    before = sorted(folder.rglob("*"))
    result = preprocess([recording], out, PreprocessOptions(), Silent())
    assert result.failed == ()
    assert sorted(folder.rglob("*")) == before
    shard = open_shard(result.catalogue.path_of(result.catalogue.entries[0]))
    return result.catalogue.entries[0], shard, np.load(folder / "truth.npz")


def windows(shard, tier):
    return window_table(shard, tiers=(tier,), include_blanks=True)


def test_a_video_set(shared_folder, tmp_path):
    entry, shard, truth = shard_of("sensorium_2023", shared_folder, tmp_path)
    assert open_dataset(tmp_path).sessions[0].has_time_course
    usable = truth["trial_usable"]
    assert entry.tokens == 21 * truth["trial_length"][usable].sum() == 13_587
    table, names = shard.trials, shard.description.tiers
    # Windows of a tier are those of its trials, each by itself; withheld tiers have none.
    for tier in names:
        lengths = truth["trial_length"][(truth["trial_tier"] == tier) & usable]
        assert windows(shard, tier).num_windows == np.maximum(lengths - 59, 0).sum()
    # The responses of the train trials, in the order of presentation.
    rows = shard.read_responses(0, shard.description.responses.clock.num_samples)
    # trial_idx of the set; one trial joins two numbers.
    index = (15, 1, 8, 6, 2, 7, 5, 4, 10, 12, 13, 11, 9, 3, 14)
    order = [number for number in np.argsort(index) if truth["trial_tier"][number] != "none"]
    assert [names[tier] for tier in table.tier] == [truth["trial_tier"][k] for k in order]
    for place, number in enumerate(order):
        first = round(table.start_seconds[place] * 30)
        part = rows[first : first + truth["trial_length"][number]]
        expected = truth[f"responses_{number}"] if usable[number] else np.nan
        np.testing.assert_allclose(part, np.broadcast_to(expected, part.shape), rtol=1e-3)
    same = truth["trial_condition"][order]
    for name in np.unique(same[usable[order]]):
        assert len(np.unique(table.condition[same == name])) == 1


def test_an_image_set(shared_folder, tmp_path):
    _, shard, truth = shard_of("sensorium_2022", shared_folder, tmp_path)
    assert not open_dataset(tmp_path).sessions[0].has_time_course
    order = truth["trial_order"]
    rows = shard.read_responses(0, len(order))
    np.testing.assert_allclose(rows, truth["responses"][order], rtol=1e-3)
    np.testing.assert_array_equal(shard.frames[shard.frame_index], truth["frames"][order])
    # A window is an image.
    for tier, count in zip(*np.unique(truth["trial_tier"], return_counts=True), strict=True):
        assert windows(shard, tier).num_windows == count


def test_withheld_behavior_costs_no_other_image(make_set, tmp_path):
    zeros = {"data/behavior/1.npy": np.zeros(3), "data/pupil_center/1.npy": np.zeros(2)}
    recording = open_recording(make_set(zeros, static=True).path, OpenOptions(static=True))
    result = preprocess([recording], tmp_path / "out", PreprocessOptions(), Silent())
    assert result.failed == ()
    shard = open_shard(tmp_path / "out" / "77-1-2.safetensors")
    # File 1 is shown fifth; its window is there, without behavior.
    assert np.isnan(shard.behavior("treadmill")[:, 0]).tolist() == [False] * 4 + [True, False]
    for required, count in ((False, 2), (True, 1)):
        table = window_table(shard, tiers=("test",), include_blanks=True, require_behavior=required)
        assert table.num_windows == count
    strict = window_table(shard, tiers=("train",), include_blanks=True, require_behavior=True)
    assert strict.num_windows == 3
    dataset = open_dataset(tmp_path / "out")
    reader = SessionReader(dataset, DataConfig(), "77-1-2")
    behavior = reader.behavior(60 * np.arange(6))
    assert np.isnan(behavior).all(axis=(1, 2)).tolist() == [False] * 4 + [True, False]
    assert np.isfinite(behavior[[0, 1, 2, 3, 5]]).all()
    # A window is one image: all its samples are the image's.
    responses = reader.responses(60 * np.arange(6), (0, 60))
    assert (responses == responses[:, :1]).all()
    np.testing.assert_allclose(
        responses[:, 0] * reader.scale, shard.read_responses(0, 6), rtol=1e-5
    )
