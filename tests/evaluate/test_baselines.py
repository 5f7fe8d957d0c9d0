"""Persistence and the training mean are exact; a row that shows no past has no persistence."""

import numpy as np
import pytest

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.evaluate.baselines.persistence import last_visible_sample, predict_persistence
from omnimouse_cli.evaluate.baselines.train_mean import predict_train_mean
from omnimouse_cli.evaluate.targets import channel_target

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
    truth = targets.truth(targets.windows.grid).reshape(-1, 20)
    held = np.repeat(targets.reader.responses(targets.windows.grid, (24, 25)), 30, axis=1)
    held = held.reshape(-1, 20)
    expected = [np.corrcoef(truth[:, n], held[:, n])[0, 1] for n in range(20)]
    correlation, loss = (number.record for number in score.numbers)
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
    correlation, loss = (
        number.record for number in score_pieces(targets, pieces, "poisson").numbers
    )
    assert correlation.value is None
    assert np.isfinite(loss.value)


def test_visible_samples_are_not_scored(simulated_data, targets_of):
    # Neurons 4 to 9 of the targets are visible until the window's end.
    overlap = Strategy(
        name="overlap",
        family="population",
        num_visible=10,
        prefix=(30, 60),
        context=(30, 60),
        num_targets=16,
        literal_counts=True,
    )
    targets = targets_of(simulated_data, overlap)
    truth = targets.truth(targets.windows.grid[:3])
    assert targets.outputs.tolist() == list(range(4, 20))
    assert np.isnan(truth[:, :, :6]).all()
    assert np.isfinite(truth[:, :, 6:]).all()


def test_channels_count_for_their_targets(select):
    groups = select("decode").groups
    assert {name: len(positions) for name, positions in groups.items()} == {
        "gaze": 2,
        "pupil": 2,
        "running": 1,
    }
    assert channel_target("whisker_0") == "whisker_0"
