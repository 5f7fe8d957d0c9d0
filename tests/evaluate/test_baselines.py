"""Persistence and the training mean are exact; a row that shows no past has no persistence."""

import numpy as np
import pytest

from omnimouse_cli.batch.strategies import regime_strategies
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.evaluate.baselines.simple import (
    last_seen_sample,
    predict_persistence,
    predict_train_mean,
)
from omnimouse_cli.evaluate.scorer import Scorer
from omnimouse_cli.evaluate.signals import SessionSignals
from omnimouse_cli.evaluate.targets import asked_of, target_of
from omnimouse_cli.evaluate.windows import evaluation_windows

SPLIT = Strategy(
    name="split",
    family="population",
    num_visible=4,
    prefix=(10, 60),
    full_population_prefix=15,
    context=(10, 60),
    num_targets=16,
    literal_counts=True,
)


@pytest.fixture
def ask(simulated_data):
    session = simulated_data.sessions[0]
    signals = SessionSignals(simulated_data, DataConfig(), session.key)
    windows = evaluation_windows(session, tier="test", include_blanks=True, stride_samples=30)

    def make(name):
        rows = regime_strategies("all", population=20, stimulus=True, behavior=True)
        strategy = {**{row.name: row for row in rows}, "split": SPLIT}[name]
        return asked_of(name, strategy, signals, windows)[0]

    return make


@pytest.mark.parametrize(
    ("row", "last"),
    [
        ("forecast", 24),
        ("forecast+stimulus", 24),
        ("split", 24),
        ("predict", None),
        ("decode", None),
    ],
)
def test_the_last_seen_sample_is_the_last_one_before_the_asked(ask, row, last):
    assert last_seen_sample(ask(row)) == last


def test_asked_neurons_that_were_never_seen_have_no_persistence(ask):
    population = ask("population-10")
    assert last_seen_sample(population) is None


def test_persistence_holds_the_last_visible_sample(ask):
    asked = ask("forecast")
    grid = asked.windows.grid
    values = np.concatenate([piece.values for piece in predict_persistence(asked, 24)])
    expected = asked.signals.responses(grid, (24, 25))
    np.testing.assert_array_equal(values, np.repeat(expected, 30, axis=1))


def test_persistence_of_what_never_changes_is_perfect_in_loss(ask):
    asked = ask("forecast")
    scorer = Scorer(asked, response_loss="gaussian", repeats=None, seed=0)
    for piece in predict_persistence(asked, 24):
        scorer.add(piece)
    score = scorer.result().targets["neurons"]
    truth = asked.truth(asked.windows.grid).reshape(-1, 20)
    held = np.repeat(asked.signals.responses(asked.windows.grid, (24, 25)), 30, axis=1)
    held = held.reshape(-1, 20)
    expected = [np.corrcoef(truth[:, n], held[:, n])[0, 1] for n in range(20)]
    assert score.single_trial.value == pytest.approx(np.nan_to_num(expected).mean(), abs=1e-6)
    assert score.loss == pytest.approx(((truth - held) ** 2).mean(), rel=1e-5)
    assert score.samples == len(truth)


def test_the_training_mean_is_a_constant_without_a_correlation(ask):
    asked = ask("forecast")
    scorer = Scorer(asked, response_loss="poisson", repeats=None, seed=0)
    for piece in predict_train_mean(asked):
        assert np.ptp(piece.values, axis=(0, 1)).max() == 0
        scorer.add(piece)
    shard = asked.signals.shard
    np.testing.assert_allclose(
        piece.values[0, 0],
        (shard.neuron_mean - asked.signals.shift) / asked.signals.scale,
        rtol=1e-6,
    )
    score = scorer.result()
    assert score.targets["neurons"].single_trial.value is None
    assert np.isfinite(score.targets["neurons"].loss)


def test_samples_that_were_seen_are_not_scored(ask):
    # Neurons 4 to 7 of 8 targets overlap nothing; visible ones are seen until the window's end.
    asked = asked_of(
        "overlap",
        Strategy(
            name="overlap",
            family="population",
            num_visible=10,
            prefix=(30, 60),
            context=(30, 60),
            num_targets=16,
            literal_counts=True,
        ),
        ask("forecast").signals,
        ask("forecast").windows,
    )[0]
    truth = asked.truth(asked.windows.grid[:3])
    assert asked.columns.tolist() == list(range(4, 20))
    assert np.isnan(truth[:, :, :6]).all()
    assert np.isfinite(truth[:, :, 6:]).all()


def test_channels_count_for_their_targets(ask):
    groups = ask("decode").groups
    assert {name: len(positions) for name, positions in groups.items()} == {
        "gaze": 2,
        "pupil": 2,
        "running": 1,
    }
    assert target_of("whisker_0") == "whisker_0"
