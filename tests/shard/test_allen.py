"""A real recording of mouse V1, where it is present: NaN gaps, 30.1 Hz, repeated gratings."""

import numpy as np
import pytest

from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard import open_shard
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess
from omnimouse_cli.shard.verify import verify_shards


@pytest.fixture(scope="module")
def real(allen_recording, tmp_path_factory):
    out = tmp_path_factory.mktemp("shards")
    recording = open_recording(allen_recording)
    result = preprocess([recording], out, PreprocessOptions(), Silent())
    assert result.failed == ()
    return (
        recording,
        result.catalogue.entries[0],
        open_shard(out / result.catalogue.entries[0].file),
    )


def test_the_catalogue_has_the_documented_facts(real):
    _, entry, _ = real
    assert (entry.neurons, entry.samples, entry.sample_rate_hz) == (254, 58_348, 30.1)
    assert entry.response_kind == "dff"
    assert entry.modalities == ("responses", "screen")
    assert set(entry.tiers) == {"train", "validation", "test", "none"}
    # Five joints of 300 rows.
    assert entry.dropped["invalid"] * 60 * 30.1 == pytest.approx(1500, abs=10)


def test_responses_are_those_of_the_file_bit_by_bit(real, allen_recording):
    _, _, shard = real
    source = np.fromfile(allen_recording / "responses" / "data.mem", dtype=np.float16)
    np.testing.assert_array_equal(
        shard.responses.view(np.uint16), source.reshape(-1, 254).view(np.uint16)
    )
    assert shard.description.responses.rounding.max_relative == 0


def test_missing_rows_are_exactly_outside_the_valid_time(real):
    _, _, shard = real
    missing = np.isnan(shard.read_responses(0, 58_348)).any(axis=1)
    assert missing.sum() == 1500
    times = np.arange(58_348) / 30.1 + 1e-4
    inside = np.zeros(len(times), dtype=bool)
    for first, last in shard.valid("responses"):
        inside |= (times >= first) & (times < last)
    assert not (inside & missing).any()
    assert (~inside & ~missing).sum() <= 2 * 16


def test_every_trial_shows_its_own_frames(real):
    recording, _, shard = real
    for number in range(0, len(recording.trials), 97):
        trial = recording.trials[number]
        rows = shard.frame_index[trial.first_flip : trial.first_flip + trial.num_flips]
        np.testing.assert_array_equal(shard.frames[rows], recording.read_trial(number))
    assert len(shard.frames) < len(shard.flip_seconds) / 10


def test_every_byte_matches_its_checksum(real):
    assert verify_shards([real[2].path], Silent()) == ()
