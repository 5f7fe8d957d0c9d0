"""Stimuli by time: what is on, for how long, and which samples are repeats of each other."""

from types import SimpleNamespace

import numpy as np
import pytest

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.evaluation.baselines.psth import predict_psth
from omnimouse_cli.evaluation.repeats import find_repeats
from omnimouse_cli.evaluation.stimulus import (
    AFTERMATH_SECONDS,
    describe_seen,
    stimulus_phases,
)

PREDICT = Strategy(name="predict", family="predict", num_visible=0, video=(0, 60))
ORDER = ["a", "b", "b", "a", "b", "a", "a", "b"]


def grating(condition, tier):
    return {
        "modality": "video",
        "num_frames": 60,
        "tier": tier,
        "condition": condition,
        "frames": np.full((60, 9, 16), 50 + 100 * (condition == "b"), np.uint8),
    }


def grey(tier, seconds):
    return {"modality": "blank", "interleave_value": 127, "tier": tier, "seconds": seconds}


def trials():
    listed = [grey("train", 3.0)]
    for tier, names in (("train", ORDER[:4]), ("test", ORDER[4:])):
        for name in names:
            listed += [grating(name, tier), grey(tier, 3.0)]
    return listed


@pytest.fixture
def dataset(make_session):
    """Responses that follow the stimulus: a ramp during `a`, its mirror image during `b`."""
    rows = 30 * 43
    values = np.zeros((rows, 3))
    for number, name in enumerate(ORDER):
        first = 90 + number * 150
        ramp = np.linspace(0, 1, 60) * (1 if name == "a" else -1)
        values[first : first + 60] = ramp[:, None] * np.array([1.0, 2.0, -3.0])
    # A response that never varies at rest would be called constant by nobody: add a slow wave.
    values += 0.01 * np.sin(np.arange(rows) / 50)[:, None]
    return make_session(values, trials(), eye_tracker=False, treadmill=False)


def test_a_stimulus_is_on_from_its_first_frame_to_its_aftermath(dataset):
    shard = dataset.sessions[0].shard
    a, b = (shard.description.conditions.index(name) for name in "ab")
    times = np.array([1.0, 3.0, 4.0, 4.999, 5.0, 5.0 + AFTERMATH_SECONDS - 0.05, 7.0, 8.0, 9.5])
    found = stimulus_phases(shard, times)
    assert found.condition.tolist() == [-1, a, a, a, a, a, -1, b, b]
    assert found.bin.tolist() == [0, 0, 30, 59, 60, 88, 0, 0, 45]


def test_samples_of_the_same_moment_share_a_cell(dataset):
    shard = dataset.sessions[0].shard
    # The third and the fourth test trial show a and b again.
    times = np.array([[23.0, 23.5], [33.0, 33.5], [28.0, 38.5]])
    cells = find_repeats(shard, times)
    a, b = shard.description.conditions.index("a"), shard.description.conditions.index("b")
    phases = stimulus_phases(shard, times)
    assert phases.condition.tolist() == [[b, b], [a, a], [a, b]]
    assert cells.cells[0, 1] == cells.cells[2, 1]
    assert cells.cells[1, 0] == cells.cells[2, 0]
    assert len({cells.cells[0, 0], cells.cells[0, 1], cells.cells[1, 0], cells.cells[1, 1]}) == 4
    assert cells.num_cells == 4


def test_one_trial_is_no_repeat_of_itself(dataset):
    shard = dataset.sessions[0].shard
    assert find_repeats(shard, np.array([[3.1, 3.2, 3.3], [0.5, 1.0, 2.0]])) is None


def test_the_psth_is_the_mean_training_response_at_that_moment(dataset, targets_of):
    targets = targets_of(dataset, PREDICT)
    values = np.concatenate([piece.values for piece in predict_psth(targets, ("train",))])
    truth = targets.truth(targets.windows.grid)
    assert values.shape == truth.shape
    seconds = targets.reader.sample_seconds(targets.windows.grid, targets.samples)
    phases = stimulus_phases(targets.reader.shard, seconds)
    on = (phases.condition >= 0) & (phases.bin < 60)
    assert on.sum() > 100
    # Training and test trials differ by the slow wave alone.
    assert np.abs(values[on] - truth[on]).max() < 0.1 * np.abs(truth).max()
    assert np.corrcoef(values[on][:, 2], truth[on][:, 2])[0, 1] > 0.999


def test_a_stimulus_that_training_never_showed_has_no_psth(dataset, targets_of):
    reason = predict_psth(targets_of(dataset, PREDICT), ("validation",))
    assert "no stimulus of the scored trials was shown in training" in reason


def test_without_the_stimulus_there_is_no_psth(dataset, targets_of):
    assert predict_psth(targets_of(dataset, "forecast", stimulus=False), ("train",)) is None


def test_sessions_whose_stimuli_were_trained_on_are_named():
    def shard(session, **seen):
        return SimpleNamespace(
            description=SimpleNamespace(session=session, stimulus_seen_in_train=seen)
        )

    shards = [shard("1", test=True), shard("2", test=False), shard("3", test=None), shard("4")]
    assert describe_seen(shards, "test") == [
        "stimuli of tier test are shown in train trials too: 1",
        "whether stimuli of tier test are shown in train trials too is not known: 3",
    ]
    assert describe_seen(shards, "oracle") == []
    many = describe_seen([shard(str(number), test=True) for number in range(6)], "test")
    assert many == ["stimuli of tier test are shown in train trials too: 0, 1, 2, 3, 4, ..."]
