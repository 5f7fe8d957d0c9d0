"""The noise ceiling of a simulated mouse bounds every strategy."""

from pathlib import Path

import numpy as np
import pytest

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.evaluation.baselines.ceiling import predict_ceiling
from omnimouse_cli.recording.simulated.truth import load_truth

pytestmark = pytest.mark.slow


def test_predict_is_bounded_by_the_expected_response(simulated_data, targets_of, score_pieces):
    targets = targets_of(simulated_data, "predict")
    shard, grid = targets.reader.shard, targets.windows.grid
    truth = load_truth(Path(shard.description.source.path))
    # The simulated response clock is the grid of 1/30 s.
    rows = grid[:, None] + np.arange(30, 60)
    # Training windows reach into the blank screens before some trials.
    scored = ~targets.excluded
    assert 0.9 < scored.mean() < 1.0
    expected = truth.expected_predict(rows)[scored]
    measured = np.stack([shard.read_responses(row[0], row[-1] + 1) for row in rows])[scored]
    by_hand = [np.corrcoef(expected[:, n], measured[:, n])[0, 1] for n in range(20)]
    score = score_pieces(targets, predict_ceiling(targets, ("train",)))
    np.testing.assert_allclose(score.per_output, by_hand, atol=1e-5)


def test_more_inputs_allow_higher_scores(simulated_data, targets_of, score_pieces):
    scores = {}
    for name in ("predict", "forecast", "population-10"):
        targets = targets_of(simulated_data, name)
        score = score_pieces(targets, predict_ceiling(targets, ("train",)))
        scores[name] = score.correlations["neurons"].record.value
    assert 0.2 < scores["predict"] < scores["forecast"] < scores["population-10"] < 1.0


def test_behavior_is_bounded_by_the_reference_decoder(simulated_data, targets_of, score_pieces):
    targets = targets_of(simulated_data, "decode")
    found = score_pieces(targets, predict_ceiling(targets, ("train",))).correlations
    assert found["gaze"].record.value > 0.4
    assert found["running"].record.value > 0.4


def test_a_recording_that_was_not_simulated_has_no_known_ceiling(
    make_session, quiet_trials, moving_average, targets_of
):
    dataset = make_session(moving_average(), quiet_trials, eye_tracker=False, treadmill=False)
    assert predict_ceiling(targets_of(dataset, "forecast"), ("train",)) is None


def test_strategies_whose_best_prediction_is_not_known_say_so(simulated_data, targets_of):
    split = Strategy(
        name="split",
        family="population",
        num_visible=4,
        prefix=(10, 60),
        full_population_prefix=15,
        context=(10, 60),
        literal_counts=True,
    )
    assert "is not known" in predict_ceiling(targets_of(simulated_data, split), ("train",))
    assert not isinstance(predict_ceiling(targets_of(simulated_data, "predict"), ("train",)), str)
