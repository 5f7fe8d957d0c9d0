"""The real recording of mouse V1 is read as it is described."""

import json
from collections import Counter

import numpy as np
import pytest

from omnimouse_cli.recording.find import find_recordings
from omnimouse_cli.recording.open import open_recording


@pytest.fixture(scope="module")
def recording(allen_recording):
    return open_recording(allen_recording)


def test_its_facts(recording, allen_recording):
    assert find_recordings([allen_recording.parent]).recordings == (allen_recording,)
    assert recording.session == "527550471-527745328-0"
    assert recording.animal == "527550471"
    assert recording.origin_seconds == 1.5e9
    clock = recording.responses.clock
    assert (clock.start_seconds, clock.rate_hz, clock.num_samples) == (0.0, 30.1, 58_348)
    assert recording.responses.num_channels == recording.neurons.num_neurons == 254
    assert recording.behavior == ()
    assert recording.notes == ()


def test_its_trials(recording, allen_recording):
    trials = recording.trials
    kinds = Counter(trial.kind for trial in trials)
    assert len(trials) == 1268
    assert kinds == {"video": 599, "blank": 663, "invalid": 6}
    assert recording.screen.flip_seconds.size == 36_609
    metas = json.loads((allen_recording / "screen/combined_meta.json").read_text())
    assert [trial.first_flip for trial in trials] == [m["first_frame_idx"] for m in metas.values()]
    assert Counter(trial.tier for trial in trials) == Counter(
        meta.get("tier") for meta in metas.values()
    )


def test_each_of_forty_gratings_is_one_condition(recording):
    gratings = [trial for trial in recording.trials if trial.kind == "video"]
    assert len({trial.condition for trial in gratings}) == 40
    same = [n for n, t in enumerate(recording.trials) if t.condition == gratings[0].condition]
    first = recording.read_trial(same[0])
    for number in same[1:]:
        np.testing.assert_array_equal(recording.read_trial(number), first)


def test_its_rows_are_the_bytes_of_the_file(recording, allen_recording):
    stored = np.memmap(
        allen_recording / "responses/data.mem", np.float16, mode="r", shape=(58_348, 254)
    )
    for first, last in ((0, 7), (30_000, 31_000), (58_340, 58_348)):
        np.testing.assert_array_equal(
            recording.responses.read_rows(first, last), stored[first:last].astype(np.float32)
        )


def test_its_missing_rows_lie_under_invalid_trials(recording):
    clock = recording.responses.clock
    missing = np.isnan(recording.responses.read_rows(0, clock.num_samples)).any(axis=1)
    assert missing.sum() == 1500
    invalid = [trial for trial in recording.trials if trial.kind == "invalid"][:5]
    covered = np.zeros(clock.num_samples, bool)
    for trial in invalid:
        first, last = trial.start_seconds * clock.rate_hz, trial.end_seconds * clock.rate_hz
        covered[int(np.floor(first + 1e-3)) : int(np.ceil(last - 1e-3))] = True
    assert not (missing & ~covered).any()
    assert covered.sum() - missing.sum() <= 2 * len(invalid)
