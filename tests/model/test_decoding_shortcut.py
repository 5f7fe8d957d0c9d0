"""The decoding shortcut: equal to the regression's columns, from visible responses alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.model import DECODING_BINS
from omnimouse_cli.evaluation.baselines.bins import RESPONSES_AT_BEHAVIOR, average_around
from omnimouse_cli.evaluation.baselines.ridge_features import DECODE_LAGS
from omnimouse_cli.model.inputs import prepare_inputs
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.shortcuts.decoding import DecodingShortcut

NEURONS, CHANNELS = 7, 3
DECODE = next(each for each in FAMILY_STRATEGIES if each.name == "decode")
FORECAST = next(each for each in FAMILY_STRATEGIES if each.name == "forecast")
# All neurons at first, then three of them.
TWO_SEGMENTS = Strategy(
    name="two",
    family="population",
    num_visible=3,
    prefix=(0, 60),
    full_population_prefix=30,
    context=(0, 60),
    num_targets=4,
    behavior="reconstructed",
    literal_counts=True,
)


@pytest.fixture
def weights():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(NEURONS, CHANNELS * len(DECODING_BINS) + 1, generator=generator)


@pytest.fixture
def decode(small_config, make_batch, choose, weights):
    def run(strategy, batch=None, clip=0.6):
        batch = make_batch(neurons=NEURONS, channels=CHANNELS) if batch is None else batch
        inputs = prepare_inputs(small_config, batch, strategy, choose(strategy, batch))
        shortcut = DecodingShortcut(CHANNELS)
        shortcut.get_buffer("clip").fill_(clip)
        deviations = (inputs.batch.responses - weights[:, -1]).clamp(-clip, clip)
        return shortcut(inputs, weights), inputs, deviations.numpy()

    return run


def test_a_whole_window_is_read_as_the_baseline_ridge_reads_it(decode, weights):
    assert DECODING_BINS == DECODE_LAGS
    traces, _, deviations = decode(DECODE)
    columns = average_around(deviations, RESPONSES_AT_BEHAVIOR, DECODE_LAGS)
    slopes = weights[:, :-1].reshape(NEURONS, CHANNELS, -1).permute(2, 0, 1).flatten(0, 1).numpy()
    np.testing.assert_allclose(traces.numpy(), (columns @ slopes).transpose(0, 2, 1), atol=1e-4)


@pytest.mark.parametrize("strategy", [TWO_SEGMENTS, FORECAST])
def test_bins_average_the_visible_samples(decode, weights, strategy):
    traces, inputs, deviations = decode(strategy)
    first, last = strategy.visible_range
    expected = np.zeros(traces.shape)
    for window, of_window in enumerate(deviations):
        shown = np.zeros((60, NEURONS))
        shown[first:last] = of_window[first:last]
        if strategy.num_visible is not None:
            others = np.setdiff1d(np.arange(NEURONS), inputs.selection.visible[window])
            shown[strategy.full_population_prefix :, others] = 0
        for sample in range(40):
            center = sample * 3 // 2
            for number, (low, high) in enumerate(DECODING_BINS):
                in_bin = np.unique(np.clip(np.arange(center + low, center + high), 0, 59))
                # A bin that reaches beyond the window is shorter there, unless it lies outside.
                inside = np.arange(center + low, center + high)
                inside = inside[(inside >= 0) & (inside < 60)]
                in_bin = inside if len(inside) else in_bin
                in_bin = in_bin[(in_bin >= first) & (in_bin < last)]
                if len(in_bin):
                    of_bin = weights[:, :-1].reshape(NEURONS, CHANNELS, -1)[:, :, number]
                    expected[window, :, sample] += shown[in_bin].mean(0) @ of_bin.numpy()
    np.testing.assert_allclose(traces.numpy(), expected, atol=1e-4)


def test_only_the_channels_of_the_session_are_decoded(decode, make_batch):
    batch = make_batch(neurons=NEURONS, channels=CHANNELS)
    whole, *_ = decode(DECODE)
    present = np.array([True, False, True])
    some, *_ = decode(DECODE, replace(batch, behavior_present=present))
    assert some.equal(whole[:, present])


def test_the_model_adds_it_to_its_read_out(small_config, make_model, make_batch, choose):
    model, table = make_model(small_config, neurons=NEURONS)
    batch = make_batch(neurons=NEURONS, channels=CHANNELS)
    selection = choose(DECODE, batch)
    one = model(batch, table, "mouse", DECODE, selection).behavior
    columns = CHANNELS * len(DECODING_BINS) + 1
    weights = table.neuron_weights.data[:, -columns:].clone()
    table.neuron_weights.data[:, -columns:] = 0
    other = model(batch, table, "mouse", DECODE, selection).behavior
    inputs = prepare_inputs(small_config, batch, DECODE, selection)
    expected = DecodingShortcut(CHANNELS)(inputs, weights)
    torch.testing.assert_close(one - other, expected, atol=1e-4, rtol=0)


def test_a_model_with_linear_models_starts_with_a_read_out_of_0(small_config):
    config = replace(small_config, response_loss="gaussian")
    model = OmniMouse(config, behavior_channels=("running",), animals=("mouse",))
    assert not model.behavior.readout.any()
    without = replace(config, decoder=replace(config.decoder, linear_rank=None))
    model = OmniMouse(without, behavior_channels=("running",), animals=("mouse",))
    assert model.behavior.readout.any()
    assert model.linear_paths.decoding is None
    dark = OmniMouse(config, behavior_channels=(), animals=("mouse",))
    assert dark.linear_paths.decoding is None
