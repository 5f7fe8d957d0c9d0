"""Ridge finds linear systems; its columns are the averages that their names say."""

import numpy as np
import pytest

from omnimouse_cli.batch.strategies import regime_strategies
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.evaluate.baselines.ridge import predict_ridge
from omnimouse_cli.evaluate.baselines.ridge_features import Features, around, every, recent
from omnimouse_cli.evaluate.scorer import Scorer
from omnimouse_cli.evaluate.signals import SessionSignals
from omnimouse_cli.evaluate.targets import asked_of
from omnimouse_cli.evaluate.windows import evaluation_windows


def score_of(dataset, row, *, stimulus=False):
    session = dataset.sessions[0]
    signals = SessionSignals(dataset, DataConfig(), session.key)
    windows = evaluation_windows(session, tier="test", include_blanks=True, stride_samples=30)
    rows = regime_strategies(
        "all",
        population=session.num_neurons,
        stimulus=stimulus,
        behavior=bool(session.channels),
    )
    strategy = next(item.strategy for item in rows if item.name == row)
    asked = asked_of(row, strategy, signals, windows)[0]
    scorer = Scorer(asked, response_loss="gaussian", repeats=None, seed=0)
    for piece in predict_ridge(asked, ("train",)):
        scorer.add(piece)
    return scorer.result()


def test_recent_bins_widen_backwards_and_cover_the_past():
    past = np.arange(25, dtype=np.float32)[None, :, None]
    assert recent(past)[0].tolist() == [23.5, 20.5, 15.0, 5.5]
    assert recent(past[:, :3])[0].tolist() == [1.5, 0.0]


def test_bins_of_one_size_keep_what_is_left_over():
    values = np.arange(7, dtype=np.float32)[None, :, None] * np.array([1.0, 10.0], np.float32)
    assert every(values, 3)[0].tolist() == [1.0, 10.0, 4.0, 40.0, 6.0, 60.0]


def test_bins_around_a_sample_stop_at_the_window():
    values = np.arange(10, dtype=np.float32)[None, :, None]
    found = around(values, np.array([0, 5, 9]), ((-3, -1), (0, 1), (2, 4)))
    assert found[0].tolist() == [[0.0, 0.0, 2.5], [2.5, 5.0, 7.5], [6.5, 9.0, 9.0]]


def test_a_linear_system_is_forecast_as_well_as_can_be(make_session, quiet_trials):
    # Slow rotations that noise hardly disturbs: the last samples tell the next second.
    rng = np.random.default_rng(0)
    time = np.arange(3300)
    phases = np.cumsum(2 * np.pi / 60 + 0.005 * rng.normal(size=(3300, 3)), axis=0)
    values = np.concatenate([np.cos(phases), np.sin(phases)], axis=1)
    values += 0.02 * rng.normal(size=(len(time), 6))
    dataset = make_session(values, quiet_trials, eye_tracker=False, treadmill=False)
    found = score_of(dataset, "forecast")
    assert found.per_output.min() > 0.97


def test_other_neurons_predict_a_linear_mixture_of_them(make_session, quiet_trials, moving_average):
    shared = moving_average(neurons=4)
    mixed = shared @ np.random.default_rng(1).normal(size=(4, 34))
    dataset = make_session(mixed, quiet_trials, eye_tracker=False, treadmill=False)
    found = score_of(dataset, "population-16")
    assert found.per_output.shape == (18,)
    assert found.per_output.min() > 0.8


def test_noise_is_not_predicted(make_session, quiet_trials):
    noise = np.random.default_rng(2).normal(size=(3300, 8))
    dataset = make_session(noise, quiet_trials, eye_tracker=False, treadmill=False)
    assert abs(score_of(dataset, "forecast").targets["neurons"].single_trial.value) < 0.05


def test_a_useless_screen_does_not_spoil_a_forecast(make_session, quiet_trials, moving_average):
    dataset = make_session(moving_average(keep=0.99), quiet_trials, treadmill=False)
    alone = score_of(dataset, "forecast").targets["neurons"].single_trial.value
    both = score_of(dataset, "forecast+stimulus", stimulus=True)
    assert both.targets["neurons"].single_trial.value > alone - 0.02


def test_behavior_is_decoded_where_the_population_tells_it(simulated_data):
    found = score_of(simulated_data, "decode", stimulus=True)
    assert found.targets["running"].single_trial.value > 0.2
    assert found.per_output.shape == (5,)


def test_a_window_is_a_row_only_where_the_past_alone_is_seen(simulated_data):
    session = simulated_data.sessions[0]
    signals = SessionSignals(simulated_data, DataConfig(), session.key)
    windows = evaluation_windows(session, tier="test", include_blanks=True, stride_samples=30)
    rows = regime_strategies("all", population=40, stimulus=True, behavior=True)
    shapes = {}
    for row in rows:
        asked = asked_of(row.name, row, signals, windows)[0]
        features = Features(asked=asked, training=windows.grid)
        groups = features.of(windows.grid[:2], np.array([*asked.samples][:1]))
        shapes[row.name] = (features.per_sample, len(groups), groups[0].ndim)
    assert shapes["forecast"] == (False, 2, 2)
    assert shapes["forecast+stimulus"] == (False, 3, 2)
    assert shapes["predict"] == (True, 2, 3)
    assert shapes["population-16+stimulus"] == (True, 3, 3)
    assert shapes["decode"] == (True, 1, 3)


def test_too_little_training_time_is_a_reason(make_session, moving_average):
    trials = [
        {"modality": "blank", "interleave_value": 127, "seconds": s, "tier": t}
        for t, s in (("train", 1.0), ("test", 20.0), ("none", 5.0))
    ]
    dataset = make_session(moving_average(750), trials, eye_tracker=False, treadmill=False)
    session = dataset.sessions[0]
    signals = SessionSignals(dataset, DataConfig(), session.key)
    windows = evaluation_windows(session, tier="test", include_blanks=True, stride_samples=30)
    row = regime_strategies("forecast", population=6, stimulus=False, behavior=False)[0]
    asked = asked_of(row.name, row, signals, windows)[0]
    assert predict_ridge(asked, ("train",)) == "the tiers train have only 0 windows to fit on"


@pytest.mark.slow
def test_measured_numbers_of_the_drifting_grating_recording(allen_recording, tmp_path):
    from omnimouse_cli.batch.dataset import open_dataset
    from omnimouse_cli.evaluate.baselines.simple import last_seen_sample, predict_persistence
    from omnimouse_cli.recording.open import open_recording
    from omnimouse_cli.reporter import Silent
    from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess

    preprocess([open_recording(allen_recording)], tmp_path, PreprocessOptions(), Silent())
    dataset = open_dataset(tmp_path)
    session = dataset.sessions[0]
    signals = SessionSignals(dataset, DataConfig(), session.key)
    windows = evaluation_windows(session, tier="test", include_blanks=True, stride_samples=60)
    row = regime_strategies("forecast", population=254, stimulus=False, behavior=False)[0]
    asked = asked_of(row.name, row, signals, windows)[0]
    values = {}
    last_seen = last_seen_sample(asked)
    for name, pieces in (
        ("persistence", predict_persistence(asked, last_seen)),
        ("ridge", predict_ridge(asked, ("train",))),
    ):
        scorer = Scorer(asked, response_loss="gaussian", repeats=None, seed=0)
        for piece in pieces:
            scorer.add(piece)
        values[name] = scorer.result().targets["neurons"].single_trial.value
    # Measured elsewhere on the same recording: .265 and .307.
    assert values["persistence"] == pytest.approx(0.265, abs=0.015)
    assert values["ridge"] == pytest.approx(0.307, abs=0.015)
