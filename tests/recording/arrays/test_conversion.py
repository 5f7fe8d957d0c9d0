"""A folder of arrays as a shard: what is held at any moment is what the files say."""

import numpy as np
import pytest

from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.recording import latest_index
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard.convert import Storage
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess
from omnimouse_cli.shard.read import open_shard


@pytest.fixture
def shard(folder, tmp_path):
    options = PreprocessOptions(storage=Storage(dtype="float32"))
    result = preprocess([open_recording(folder)], tmp_path / "shards", options, Silent())
    assert result.failed == ()
    return open_shard(tmp_path / "shards/m1-1.safetensors")


def test_responses_behavior_and_frames_at_any_moment(shard, truth):
    description = shard.description
    assert description.origin_seconds == 1_709_632_800.0
    moments = np.random.default_rng(0).uniform(2.0, 27.0, 200)

    rows = description.responses.clock.row_at(moments)
    stored = shard.read_responses(0, len(truth["responses"]))
    # A moment within the jitter of the times may be of one row or the other.
    is_clear = np.abs(moments[:, None] - truth["times"]).min(axis=1) > 1e-3
    latest = latest_index(truth["times"], moments)
    np.testing.assert_array_equal(stored[rows[is_clear]], truth["responses"][latest[is_clear]])

    running = description.behavior[1]
    assert running.channels == ("running",)
    held = shard.behavior(running.name)[running.clock.row_at(moments), 0]
    expected = truth["speed_cm_s"][latest_index(np.arange(750) / 25, moments)]
    np.testing.assert_allclose(held, expected, rtol=1e-6)

    shown = shard.frame_index[latest_index(shard.flip_seconds, moments)]
    since, number = (moments - 2) % 3, ((moments - 2) // 3).astype(int)
    clip = np.where(number % 3 == 0, 20, 0)
    frame = np.where(since < 2, clip + np.floor(since * 10 + 1e-3).astype(int), 40)
    is_clear = np.abs(since * 10 - np.round(since * 10)) > 1e-2
    means = truth["frames"].mean(axis=(1, 2))
    # Frames of 6 x 8 are enlarged to 36 x 64, where every pixel has the same weight.
    found = shard.frames[shown].mean(axis=(1, 2))
    np.testing.assert_allclose(found[is_clear], means[frame[is_clear]], atol=0.5)


def test_ids_positions_and_repeats(shard):
    assert shard.unit_id.tolist() == list(range(100, 107))
    np.testing.assert_array_equal(shard.position_um[2], [2.5, 4, -2])
    names = np.array(shard.description.conditions)[shard.trials.condition]
    assert set(names) >= {"clip0", "clip1"}
