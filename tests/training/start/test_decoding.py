"""The linear decoder: behavior that follows responses is recovered, whatever is lost of it."""

import math

import pytest
import torch

from omnimouse_cli.config.model import DECODING_BINS
from omnimouse_cli.model.shortcuts.decoding import DecodingShortcut, average_sums, bin_averages
from omnimouse_cli.training.start import decoding
from omnimouse_cli.training.start.decoding import choose_decoding, fit_decoding
from omnimouse_cli.training.start.session_data import SessionData

NEURONS, CHANNELS = 12, 3


@pytest.fixture
def simulate():
    """Return windows of which behavior is a linear function, but for a constant last channel."""
    generator = torch.Generator().manual_seed(0)
    shape = (NEURONS, CHANNELS * len(DECODING_BINS))
    weights = torch.randn(shape, generator=generator)
    weights[:, -len(DECODING_BINS) :] = 0.0

    def make(windows, *, noise=0.05, rank=NEURONS):
        mixing = torch.randn(rank, NEURONS, generator=torch.Generator().manual_seed(1))
        mixing = torch.eye(NEURONS) if rank == NEURONS else mixing
        signals = torch.randn(windows, 60, rank, generator=generator) @ mixing
        averages = bin_averages((0, 60), torch.device("cpu"))
        traces = average_sums(signals @ weights, averages)
        traces[:, :-1] += noise * torch.randn(traces[:, :-1].shape, generator=generator)
        return SessionData(5 + signals, None, None, traces)

    return make, weights


def decode(data, penalty, clip=math.inf):
    shortcut = DecodingShortcut(CHANNELS)
    shortcut.get_buffer("clip").fill_(clip)
    shortcut.get_buffer("penalty").fill_(penalty)
    return fit_decoding(data, shortcut)


def correlation(data, test, penalty):
    # The last channel is constant, which counts as 0.
    regression = decoding.decoding_regression(data, math.inf)
    return decoding._score(test, regression, penalty) * CHANNELS / (CHANNELS - 1)


def test_weights_are_recovered_from_the_samples_that_are_left(simulate):
    make, weights = simulate
    data = make(150)
    lost = data.traces.clone()
    lost[:, 0, 5:15] = math.nan
    lost[::3, 1] = math.nan
    for traces in (data.traces, lost):
        found = decode(data._replace(traces=traces), 1e-4)
        torch.testing.assert_close(found[:, :-1], weights, atol=0.1, rtol=0)
        torch.testing.assert_close(found[:, -1], torch.full((NEURONS,), 5.0), atol=0.2, rtol=0)
    assert not found[:, -len(DECODING_BINS) - 1 : -1].any()


def test_a_channel_without_any_sample_gets_no_weights(simulate):
    make, _ = simulate
    data = make(40)
    data.traces[:, 1] = math.nan
    found = decode(data, 0.1)[:, :-1].reshape(NEURONS, CHANNELS, -1)
    assert not found[:, 1].any()
    assert found[:, 0].any()


def test_the_penalty_is_the_one_that_predicts_held_out_behavior(simulate):
    make, _ = simulate
    data, validation, test = make(60), make(30), make(30)
    buffers, text = choose_decoding([data], [validation])
    assert text == "penalty 0.03, not clipped"
    assert correlation(data, test, float(buffers["decoding.penalty"])) > 0.95
    noisy = make(60, noise=20.0)
    buffers, text = choose_decoding([noisy], [validation])
    assert float(buffers["decoding.penalty"]) >= 1


def test_behavior_that_responses_do_not_tell_is_left_out(simulate):
    make, _ = simulate
    data, validation = make(60), make(30)
    opposite = validation._replace(traces=-validation.traces)
    buffers, text = choose_decoding([data], [opposite])
    assert "does not predict" in text
    assert not decode(data, float(buffers["decoding.penalty"])).any()


def test_without_behavior_or_a_validation_tier(simulate):
    make, _ = simulate
    data = make(20)
    silent = data._replace(traces=None)
    assert choose_decoding([silent], [silent]) == ({}, "")
    assert not decode(silent, 1.0).any()
    assert fit_decoding(silent, None).shape == (NEURONS, 0)
    buffers, text = choose_decoding([data], [])
    assert float(buffers["decoding.penalty"]) == decoding.DEFAULT_PENALTY
    assert text == "penalty 3, clipped at 1 standard deviation"


def test_large_populations_are_decoded_from_principal_components(simulate, monkeypatch):
    make, _ = simulate
    data, test = make(100, rank=4), make(30, rank=4)
    assert correlation(data, test, 0.01) > 0.95
    monkeypatch.setattr(decoding, "NUM_COMPONENTS", 4)
    state = torch.get_rng_state()
    assert correlation(data, test, 0.01) > 0.95
    assert torch.get_rng_state().equal(state)
    assert torch.linalg.matrix_rank(decode(data, 0.01)[:, :-1]) <= 4


def test_clipping_is_chosen_where_large_responses_say_no_more_than_small_ones(simulate):
    make, _ = simulate
    data, validation = make(80), make(40)
    generator = torch.Generator().manual_seed(5)

    def exaggerate(windows):
        size = 1 + 20 * torch.rand(windows.responses.shape, generator=generator) ** 8
        return windows._replace(responses=5 + (windows.responses - 5) * size)

    buffers, text = choose_decoding([exaggerate(data)], [exaggerate(validation)])
    assert "clipped at 1" in text
    assert float(buffers["decoding.clip"]) == 1
    center = decode(data, 1.0, clip=0.25)[:, -1]
    clipped = (data.responses[:, ::10] - center).clamp(-0.25, 0.25)
    assert clipped.mean((0, 1)).abs().max() < 1e-3
