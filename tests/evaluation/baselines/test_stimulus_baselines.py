"""Baselines of the stimulus recover what responses were made of: smoothed PSTH, GLM, energies."""

import numpy as np
import pytest

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.evaluation.baselines import regression
from omnimouse_cli.evaluation.baselines.choose import describe_choices, make_choice
from omnimouse_cli.evaluation.baselines.energy_ridge import predict_energy_ridge
from omnimouse_cli.evaluation.baselines.glm import predict_glm
from omnimouse_cli.evaluation.baselines.psth import Psth, predict_psth
from omnimouse_cli.evaluation.baselines.smoothed_psth import (
    choose_width,
    predict_smoothed_psth,
    smooth,
)

PREDICT = Strategy(
    name="predict", family="predict", num_visible=0, video=(0, 60), behavior="absent"
)
# Flashes of half a second; responses last 1.2 s and add up.
FLASH, LENGTH = 15, 36
CONDITIONS = "abcd"


@pytest.fixture(autouse=True)
def _few_rows(monkeypatch):
    monkeypatch.setattr(regression, "MAX_SAMPLE_ROWS", 4500)


def flashes(order, tiers):
    return [
        {
            "modality": "video",
            "num_frames": FLASH,
            "tier": tier,
            "condition": name,
            "frames": np.full((FLASH, 9, 16), 40 + 50 * CONDITIONS.index(name), np.uint8),
        }
        for name, tier in zip(order, tiers, strict=True)
    ]


@pytest.fixture
def make_flashes(make_session):
    """Responses that are sums of a time course for each flash, and noise."""

    def make(noise=0.3, with_validation=True):
        rng = np.random.default_rng(0)
        order = [str(name) for name in rng.choice(list(CONDITIONS), 240)]
        tiers = ["train"] * 160 + ["validation" if with_validation else "train"] * 40
        tiers += ["test"] * 40
        time = np.arange(LENGTH) / LENGTH
        courses = np.sin(np.pi * time)[:, None] * rng.normal(size=(len(CONDITIONS), 1, 5))
        values = np.zeros((FLASH * len(order) + 120, 5))
        for number, name in enumerate(order):
            first = number * FLASH
            values[first : first + LENGTH] += courses[CONDITIONS.index(name)]
        values += noise * rng.normal(size=values.shape)
        blank = {"modality": "blank", "interleave_value": 127, "seconds": 5.0, "tier": "none"}
        return make_session(
            values, [*flashes(order, tiers), blank], eye_tracker=False, treadmill=False
        )

    return make


def test_a_glm_separates_responses_that_overlap(make_flashes, targets_of, score_pieces):
    targets = targets_of(make_flashes(), PREDICT)
    score = {
        predict: score_pieces(targets, predict(targets, ("train",)))
        .correlations["neurons"]
        .record.value
        for predict in (predict_psth, predict_glm)
    }
    # The time courses alone have this correlation with the noisy responses.
    truth = targets.truth(targets.windows.grid).reshape(-1, 5)
    ceiling = np.sqrt(np.maximum(1 - (0.3 / (truth.std(axis=0) * targets.reader.scale)) ** 2, 0))
    assert score[predict_glm] > ceiling.mean() - 0.03
    assert score[predict_glm] > score[predict_psth] + 0.1


def test_the_width_is_no_longer_than_responses_change(make_flashes, targets_of):
    dataset = make_flashes(noise=0.05)
    choice = make_choice(targets_of(dataset, PREDICT), ("train",))
    assert choose_width(choice, ("train",)) <= 3
    without = targets_of(dataset, "forecast", stimulus=False)
    assert predict_smoothed_psth(without, ("train",)) is None
    assert predict_glm(without, ("train",)) is None


def test_noise_is_averaged_over_nearby_times(make_flashes, targets_of, score_pieces):
    targets = targets_of(make_flashes(noise=6.0), PREDICT)
    values = [
        score_pieces(targets, predict(targets, ("train",))).correlations["neurons"].record.value
        for predict in (predict_psth, predict_smoothed_psth)
    ]
    assert values[1] > values[0] + 0.01
    assert choose_width(make_choice(targets, ("train",)), ("train",)) > 0


def test_without_a_validation_tier_the_last_training_time_is_held_out(make_flashes, targets_of):
    dataset = make_flashes(with_validation=False)
    targets = targets_of(dataset, PREDICT)
    choice = make_choice(targets, ("train",))
    assert choice.is_held_out
    assert choice.training.max() + 60 <= choice.grid.min()
    assert list(describe_choices(dataset.sessions, ("train",), scored_tier="test")) == [
        "penalties of baselines are chosen on the last 20% of the training time, for lack of a "
        "validation tier: 100-1-1"
    ]
    assert choose_width(choice, ("train",)) is not None


def test_a_validation_tier_is_where_choices_are_made(make_flashes, targets_of):
    dataset = make_flashes()
    choice = make_choice(targets_of(dataset, PREDICT), ("train",))
    seconds = choice.grid / 30
    assert not choice.is_held_out
    assert seconds.min() >= 160 * 0.5 - 0.01
    assert seconds.max() + 2 <= 200 * 0.5 + 0.01
    assert not list(describe_choices(dataset.sessions, ("train",), scored_tier="test"))
    (scored,) = describe_choices(dataset.sessions, ("train",), scored_tier="validation")
    assert "which is scored here: this favors the baselines" in scored


def test_smoothing_is_an_average_weighted_by_samples_within_each_stimulus():
    rng = np.random.default_rng(1)
    counts = np.array([3.0, 0.0, 5.0, 1.0, 2.0, 2.0, 4.0, 0.0])
    mean = rng.normal(size=(8, 2)).astype(np.float32)
    psth = Psth(
        conditions=np.array([4, 9]),
        bin_samples=1,
        num_bins=4,
        mean=mean,
        counts=counts,
        rest=np.zeros(2, np.float32),
    )
    found = smooth(psth, 1.5).mean
    for cell in range(8):
        same = np.arange(4) + 4 * (cell // 4)
        weights = counts[same] * np.exp(-0.5 * ((same - cell) / 1.5) ** 2)
        np.testing.assert_allclose(found[cell], weights @ mean[same] / weights.sum(), rtol=1e-5)
    assert smooth(psth, 0.0) is psth


def test_energies_predict_a_neuron_that_follows_motion(make_session, targets_of, score_pieces):
    rng = np.random.default_rng(2)
    columns = np.arange(64)
    trials, drive = [], []
    for number in range(100):
        length, moves = int(rng.integers(20, 40)), number % 2
        phase = np.arange(length)[:, None] * 0.8 * moves
        frame = 127 + 90 * np.sin(2 * np.pi * columns / 12 + phase)
        frames = np.repeat(frame[:, None], 36, axis=1).astype(np.uint8)
        tier = "train" if number < 60 else "validation" if number < 80 else "test"
        trials.append({"modality": "video", "num_frames": length, "tier": tier, "frames": frames})
        drive += [moves] * length
    blank = {"modality": "blank", "interleave_value": 127, "seconds": 5.0, "tier": "none"}
    lagged = np.convolve(np.array(drive, float), np.ones(8) / 8)[: len(drive)]
    values = np.concatenate([lagged, np.zeros(150)])[:, None] * np.array([1.0, -2.0])
    values = values + 0.2 * rng.normal(size=values.shape)
    dataset = make_session(
        values, [*trials, blank], eye_tracker=False, treadmill=False, frame_size=(36, 64)
    )
    targets = targets_of(dataset, PREDICT)
    found = score_pieces(targets, predict_energy_ridge(targets, ("train",)))
    assert found.per_output.min() > 0.75
