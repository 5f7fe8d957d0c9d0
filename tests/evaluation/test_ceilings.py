"""Records of noise ceilings from repeats: their source, their intervals and when there is none."""

import numpy as np
import pytest

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.evaluation.records import CC_MAX, CC_NORM, CEILING, FEVE, ORACLE, SINGLE_TRIAL
from omnimouse_cli.evaluation.scorer import Piece, Scorer

PREDICT = Strategy(name="predict", family="predict", num_visible=0, video=(0, 60))
REPEATS, NEURONS, SHARE = 5, 12, 0.4
CLIP_ROWS = 240


def trials():
    grey = {"modality": "blank", "interleave_value": 127}
    listed = [{**grey, "tier": "train", "seconds": 10.0}]
    for number in range(2 * REPEATS):
        clip = number % 2
        frames = np.full((CLIP_ROWS, 9, 16), 60 + 90 * clip, np.uint8)
        listed += [
            {
                "modality": "video",
                "num_frames": CLIP_ROWS,
                "tier": "test",
                "condition": f"clip-{clip}",
                "frames": frames,
            },
            {**grey, "tier": "train", "seconds": 3.0},
        ]
    return listed


def signals(*, seed=0):
    """A signal that repeats, in rows of the recording, and responses of unit variance."""
    rng = np.random.default_rng(seed)
    rows = 300 + 2 * REPEATS * (CLIP_ROWS + 90)
    signal = np.zeros((rows, NEURONS))
    clips = rng.normal(size=(2, CLIP_ROWS, NEURONS)) * np.sqrt(SHARE)
    for number in range(2 * REPEATS):
        first = 300 + number * (CLIP_ROWS + 90)
        signal[first : first + CLIP_ROWS] = clips[number % 2]
    noise = rng.normal(size=(rows, NEURONS)) * np.sqrt(1 - SHARE)
    return signal, noise


def scored(make_session, targets_of, responses, prediction):
    dataset = make_session(responses, trials(), eye_tracker=False, treadmill=False)
    targets = targets_of(dataset, PREDICT)
    rows = targets.windows.grid[:, None] + np.arange(*targets.samples)
    scorer = Scorer(
        targets,
        predictor="model",
        response_loss="gaussian",
        repeats=targets.repeats,
    )
    scaled = (prediction - targets.reader.shift) / targets.reader.scale
    for part in targets.window_slices():
        scorer.add(Piece(part, slice(None), scaled[rows[part]].astype(np.float32)))
    return targets, scorer.score()


def test_a_perfect_prediction_reaches_the_ceiling(make_session, targets_of):
    signal, noise = signals()
    targets, scores = scored(make_session, targets_of, signal + noise, signal)
    assert targets.repeats.covers_most
    records = {one.record.metric: one.record for one in scores.repeats.ceilings}
    assert list(records) == [SINGLE_TRIAL, CC_MAX, ORACLE]
    for record in records.values():
        assert (record.predictor, record.source) == (CEILING, "repeats")
        assert record.repeats == pytest.approx(REPEATS, abs=0.1)
        assert record.samples == targets.repeats.num_repeated
        assert record.low < record.value < record.high
    # Grey screens before and after the clips are scored too: their signal is 0.
    own = scores.correlations["neurons"].record
    assert records[SINGLE_TRIAL].value == pytest.approx(own.value, abs=0.03)
    found = {one.record.metric: one.record for one in scores.numbers}
    assert found[CC_NORM].value == pytest.approx(1.0, abs=0.03)
    assert found[FEVE].value == pytest.approx(1.0, abs=0.05)
    assert found[FEVE].excluded == 0
    assert scores.repeats.fraction.record.value == found[CC_NORM].value
    assert scores.repeats.missing == []


def test_noise_has_ceilings_of_0_and_nothing_is_divided_by_them(make_session, targets_of):
    signal, noise = signals()
    _, scores = scored(make_session, targets_of, noise, signal)
    for one in scores.repeats.ceilings:
        assert one.record.low < 0 < one.record.high
        assert abs(one.record.value) < 0.15
    assert not {CC_NORM, FEVE} & {one.record.metric for one in scores.numbers}
    assert scores.repeats.fraction is None
    assert "the interval of the signal power includes 0" in scores.repeats.missing[0]
