"""The known answer of a simulated mouse bounds every row, and is told from the recording."""

import numpy as np
import pytest

from omnimouse_cli.batch.strategies import regime_strategies
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.evaluate.baselines.ceiling import ceiling_problem, known_truth, predict_ceiling
from omnimouse_cli.evaluate.scorer import Scorer
from omnimouse_cli.evaluate.signals import SessionSignals
from omnimouse_cli.evaluate.targets import asked_of
from omnimouse_cli.evaluate.windows import evaluation_windows


@pytest.fixture(scope="module")
def asked(simulated_data):
    session = simulated_data.sessions[0]
    signals = SessionSignals(simulated_data, DataConfig(), session.key)
    windows = evaluation_windows(session, tier="test", include_blanks=True, stride_samples=30)
    rows = regime_strategies("all", population=20, stimulus=True, behavior=True)
    return {row.name: asked_of(row.name, row, signals, windows)[0] for row in rows}


def score_of(asked, seed=0):
    scorer = Scorer(asked, response_loss="poisson", repeats=None, seed=seed)
    truth = known_truth(asked)
    assert truth is not None
    for piece in predict_ceiling(asked, truth):
        scorer.add(piece)
    return scorer.result()


def test_predict_is_bounded_by_the_expected_response(asked):
    row = asked["predict"]
    truth, grid = known_truth(row), row.windows.grid
    expected = truth.expected_predict(row.signals.rows(grid, (30, 60))).reshape(-1, 20)
    measured = row.signals.raw_responses(grid, (30, 60)).reshape(-1, 20)
    by_hand = [np.corrcoef(expected[:, n], measured[:, n])[0, 1] for n in range(20)]
    np.testing.assert_allclose(score_of(row).per_output, by_hand, atol=1e-5)


def test_who_sees_more_may_score_more(asked):
    scores = {
        name: score_of(asked[name]).targets["neurons"].single_trial.value
        for name in ("predict", "forecast", "population-10")
    }
    assert 0.2 < scores["predict"] < scores["forecast"] < scores["population-10"] < 1.0


def test_behavior_is_bounded_by_the_reference_decoder(asked):
    found = score_of(asked["decode"])
    assert found.targets["gaze"].single_trial.value > 0.4
    assert found.targets["running"].single_trial.value > 0.4


def test_a_recording_that_is_gone_has_no_known_answer(make_session, quiet_trials, moving_average):
    dataset = make_session(moving_average(), quiet_trials, eye_tracker=False, treadmill=False)
    signals = SessionSignals(dataset, DataConfig(), "100-1-1")
    windows = evaluation_windows(
        dataset.sessions[0], tier="test", include_blanks=True, stride_samples=30
    )
    row = regime_strategies("forecast", population=6, stimulus=False, behavior=False)[0]
    assert known_truth(asked_of(row.name, row, signals, windows)[0]) is None


def test_rows_whose_best_prediction_is_not_known_say_so(asked):
    split = Strategy(
        name="split",
        family="population",
        num_visible=4,
        prefix=(10, 60),
        full_population_prefix=15,
        context=(10, 60),
        literal_counts=True,
    )
    other = asked["predict"]
    row = asked_of("split", split, other.signals, other.windows)[0]
    assert "is not known" in ceiling_problem(row)
    assert ceiling_problem(other) is None
