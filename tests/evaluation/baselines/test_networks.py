"""Networks among the baselines: they learn what can be learned, twice the same, in a budget."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from omnimouse_cli.evaluation.baselines import cebra, network, network_data, poco, tcn
from omnimouse_cli.evaluation.baselines.cebra import predict_cebra
from omnimouse_cli.evaluation.baselines.network_data import ColumnScaling, choose_windows
from omnimouse_cli.evaluation.baselines.poco import predict_poco
from omnimouse_cli.evaluation.baselines.tcn import predict_tcn

TIERS = ("train",)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """One setting and one thread: these networks are small."""
    monkeypatch.setattr(poco, "SETTINGS", poco.SETTINGS[:1])
    monkeypatch.setattr(tcn, "SETTINGS", tcn.SETTINGS[:1])
    monkeypatch.setattr(network, "MOST_PASSES", 15)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def values_of(pieces):
    return np.concatenate([piece.values for piece in pieces])


@pytest.fixture
def rotations(make_session, quiet_trials):
    """Slow rotations that noise hardly disturbs: the last samples tell the next second."""
    rng = np.random.default_rng(0)
    phases = np.cumsum(2 * np.pi / 60 + 0.005 * rng.normal(size=(3300, 3)), axis=0)
    values = np.concatenate([np.cos(phases), np.sin(phases)], axis=1)
    values += 0.02 * rng.normal(size=values.shape)
    return make_session(values, quiet_trials, eye_tracker=False, treadmill=False)


@pytest.mark.training
def test_a_forecaster_learns_rotations_and_repeats_itself(rotations, targets_of, score_pieces):
    targets = targets_of(rotations, "forecast", stimulus=False)
    state = torch.random.get_rng_state()
    pieces = list(predict_poco(targets, TIERS))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert score_pieces(targets, pieces).per_output.min() > 0.9
    again = values_of(predict_poco(targets, TIERS))
    np.testing.assert_array_equal(again, values_of(pieces))


@pytest.mark.training
def test_a_tcn_decodes_a_simulated_mouse(simulated_data, targets_of, score_pieces):
    targets = targets_of(simulated_data, "decode")
    score = score_pieces(targets, predict_tcn(targets, TIERS))
    assert np.nanmean(score.per_output) > 0.2


def test_networks_are_for_their_own_regime(simulated_data, targets_of):
    for name in ("predict", "population-10", "decode"):
        assert predict_poco(targets_of(simulated_data, name), TIERS) is None
    for name in ("predict", "forecast"):
        assert predict_tcn(targets_of(simulated_data, name), TIERS) is None
        assert predict_cebra(targets_of(simulated_data, name), TIERS) is None


def test_a_tier_that_is_too_short_is_the_reason(rotations, targets_of, monkeypatch):
    monkeypatch.setattr(network_data, "LEAST_WINDOWS", 10_000)
    targets = targets_of(rotations, "forecast", stimulus=False)
    assert "have only" in predict_poco(targets, TIERS)


def test_hidden_columns_are_zero(simulated_data, targets_of):
    targets = targets_of(simulated_data, "forecast+stimulus")
    choice = choose_windows(targets, TIERS)
    columns = ColumnScaling.fit(targets, choice.training).columns(targets.windows.grid[:3])
    assert columns.shape[:2] == (3, 60)
    assert columns[:, 25:, :20].abs().max() == 0
    assert columns[:, :25, :20].abs().min(dim=1).values.max() > 0
    assert columns[:, 25:, 20:].abs().max() > 0


def test_without_the_package_cebra_says_how_to_install_it(simulated_data, targets_of, monkeypatch):
    monkeypatch.setattr(cebra.importlib.util, "find_spec", lambda _: None)
    reason = predict_cebra(targets_of(simulated_data, "decode"), TIERS)
    assert reason == "cebra is not installed: pip install 'omnimouse[cebra]'"


class _Copies:
    """An embedding that copies the responses, in the place of the package's."""

    def __init__(self, **options):
        assert options == cebra.OPTIONS

    def fit(self, responses, labels):
        assert len(responses) == len(labels)
        assert np.isfinite(labels).all()

    def transform(self, responses):
        return responses


def test_neighbors_in_the_embedding_decode_behavior(
    simulated_data, targets_of, score_pieces, monkeypatch
):
    monkeypatch.setitem(sys.modules, "cebra", SimpleNamespace(CEBRA=_Copies, __spec__=object()))
    targets = targets_of(simulated_data, "decode")
    score = score_pieces(targets, predict_cebra(targets, TIERS))
    assert np.nanmean(score.per_output) > 0.1
