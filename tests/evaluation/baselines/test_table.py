"""Every baseline keeps the contract of predictors; persistence and the training mean are exact."""

import numpy as np
import pytest

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.evaluation.baselines import network, regression
from omnimouse_cli.evaluation.baselines.persistence import last_visible_sample, predict_persistence
from omnimouse_cli.evaluation.baselines.table import BASELINES, select_baselines
from omnimouse_cli.evaluation.baselines.train_mean import predict_train_mean

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
def select(simulated_data, targets_of):
    def make(name):
        return targets_of(simulated_data, SPLIT if name == "split" else name)

    return make


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("forecast", 24),
        ("forecast+stimulus", 24),
        ("split", 24),
        ("predict", None),
        ("decode", None),
    ],
)
def test_the_last_visible_sample_is_the_last_one_before_the_targets(select, name, last):
    assert last_visible_sample(select(name)) == last


def test_neurons_that_are_never_visible_have_no_persistence(select):
    population = select("population-10")
    assert last_visible_sample(population) is None
    assert predict_persistence(population, ("train",)) is None


def test_persistence_holds_the_last_visible_sample(select):
    targets = select("forecast")
    grid = targets.windows.grid
    values = np.concatenate([piece.values for piece in predict_persistence(targets, ("train",))])
    expected = targets.reader.responses(grid, (24, 25))
    np.testing.assert_array_equal(values, np.repeat(expected, 30, axis=1))


def test_scores_are_those_of_plain_numpy(select, score_pieces):
    targets = select("forecast")
    score = score_pieces(targets, predict_persistence(targets, ("train",)))
    scored = ~targets.excluded
    truth = targets.truth(targets.windows.grid)[scored]
    held = np.repeat(targets.reader.responses(targets.windows.grid, (24, 25)), 30, axis=1)[scored]
    expected = [np.corrcoef(truth[:, n], held[:, n])[0, 1] for n in range(20)]
    records = {number.record.metric: number.record for number in score.numbers}
    correlation, loss = records["single_trial_correlation"], records["loss"]
    assert correlation.value == pytest.approx(np.nan_to_num(expected).mean(), abs=1e-6)
    assert loss.value == pytest.approx(((truth - held) ** 2).mean(), rel=1e-5)
    assert correlation.samples == loss.samples == len(truth)


def test_the_training_mean_is_a_constant_without_a_correlation(select, score_pieces):
    targets = select("forecast")
    pieces = list(predict_train_mean(targets, ("train",)))
    for piece in pieces:
        assert np.ptp(piece.values, axis=(0, 1)).max() == 0
    reader = targets.reader
    np.testing.assert_allclose(
        pieces[0].values[0, 0],
        (reader.shard.neuron_mean - reader.shift) / reader.scale,
        rtol=1e-6,
    )
    numbers = score_pieces(targets, pieces, "poisson").numbers
    records = {number.record.metric: number.record for number in numbers}
    correlation, loss = records["single_trial_correlation"], records["loss"]
    assert correlation.value is None
    assert np.isfinite(loss.value)


@pytest.mark.parametrize("strategy", ["predict", "decode", "forecast+stimulus", "split"])
@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_predicts_every_window_and_output_once(select, monkeypatch, name, strategy):
    monkeypatch.setattr(regression, "MAX_SAMPLE_ROWS", 1000)
    monkeypatch.setattr(regression, "MAX_WINDOW_ROWS", 1000)
    monkeypatch.setattr(network, "MOST_PASSES", 1)
    targets = select(strategy)
    pieces = BASELINES[name].predict(targets, ("train",))
    if pieces is None or isinstance(pieces, str):
        assert pieces is None or len(pieces) > 10
        return
    counts = np.zeros((len(targets.windows), targets.num_outputs), int)
    for piece in pieces:
        counts[piece.windows, piece.outputs] += 1
        assert piece.values.shape[1] == targets.num_samples
        assert piece.values.dtype == np.float32
        assert np.isfinite(piece.values).all()
    assert (counts == 1).all()


def test_words_select_baselines_in_the_order_of_the_table():
    assert list(select_baselines(())) == []
    assert list(select_baselines(("all",))) == list(BASELINES)
    assert list(select_baselines(("psth", "ridge"))) == ["ridge", "psth", "ceiling"]
    fast = [name for name, baseline in BASELINES.items() if baseline.cost == "fast"]
    assert list(select_baselines(("fast",))) == fast


def test_an_unknown_baseline_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="there is no baseline redge") as error:
        select_baselines(("ridge", "redge"))
    assert error.value.hint == "did you mean `ridge`?"


def test_a_baseline_is_defined_for_no_other_regimes_than_its_own(select):
    for name, baseline in BASELINES.items():
        for strategy in ("predict", "decode", "forecast", "population-10"):
            if strategy.split("-")[0] not in baseline.regimes:
                found = baseline.predict(select(strategy), ("train",))
                assert found is None, (name, strategy)
