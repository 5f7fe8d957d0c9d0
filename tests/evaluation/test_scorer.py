"""Scores beside the correlation: which there are for rates, dF/F and behavior, and for groups."""

from dataclasses import replace

import numpy as np
import pytest

from omnimouse_cli.evaluation.scorer import Piece


def pieces_of(targets, change):
    for windows in targets.window_slices():
        truth = targets.truth(targets.windows.grid[windows])
        yield Piece(windows, slice(None), change(np.nan_to_num(truth)))


def values_of(scores, target="neurons"):
    return {
        number.record.metric: number.record.value
        for number in scores.numbers
        if number.record.target == target
    }


def test_a_perfect_prediction_explains_everything(simulated_data, targets_of, score_pieces):
    forecast, decode = (targets_of(simulated_data, name) for name in ("forecast", "decode"))
    rates = values_of(score_pieces(forecast, pieces_of(forecast, np.copy), "poisson"))
    # Rates of 0 are raised to the floor, a hundredth of the mean.
    assert rates["deviance_explained"] == pytest.approx(1.0, abs=0.02)
    assert rates["bits_per_sample"] > 0.1
    dff = values_of(score_pieces(forecast, pieces_of(forecast, np.copy), "gaussian"))
    assert dff["deviance_explained"] == pytest.approx(1.0)
    assert "bits_per_sample" not in dff
    behavior = score_pieces(decode, pieces_of(decode, np.copy))
    for target in ("gaze", "pupil", "running"):
        assert values_of(behavior, target)["r2"] == pytest.approx(1.0)


def test_a_scaled_prediction_keeps_its_correlation_and_loses_r2(
    simulated_data, targets_of, score_pieces
):
    decode = targets_of(simulated_data, "decode")
    found = score_pieces(decode, pieces_of(decode, lambda truth: 2 * truth))
    running = values_of(found, "running")
    assert running["single_trial_correlation"] == pytest.approx(1.0)
    assert running["r2"] < 0.1
    record = next(n.record for n in found.numbers if n.record.metric == "r2")
    assert record.low < record.value < record.high


def test_groups_of_neurons_have_correlations_of_their_own(simulated_data, targets_of, score_pieces):
    targets = targets_of(simulated_data, "forecast")
    targets = replace(targets)
    groups = {"area:V1": np.arange(12), "area:LM": np.arange(12, 20)}
    # A cached property of the reader.
    targets.reader.__dict__["neuron_groups"] = groups
    scores = score_pieces(targets, pieces_of(targets, lambda truth: truth + np.sin(truth * 9)))
    for name, neurons in groups.items():
        metric = f"single_trial_correlation.{name}"
        (record,) = (n.record for n in scores.numbers if n.record.metric == metric)
        assert (record.target, record.neurons) == ("neurons", len(neurons))
        assert record.value == pytest.approx(np.nan_to_num(scores.per_output[neurons]).mean())
        assert record.low < record.value < record.high <= 1


def test_areas_layers_and_depths_of_at_least_ten_neurons_are_groups(simulated_data, targets_of):
    reader = targets_of(simulated_data, "forecast").reader
    reader.__dict__.pop("neuron_groups", None)
    depth = np.repeat([120.0, 180.0, 250.0, np.nan], 5)

    class Shard:
        area = np.array(["V1"] * 11 + ["LM"] * 9)
        layer = np.array(["L4"] * 20)
        position_um = np.stack([depth, depth, depth], axis=1)

    reader.shard = Shard
    groups = reader.neuron_groups
    assert {name: len(part) for name, part in groups.items()} == {
        "area:V1": 11,
        "depth:100-200um": 10,
    }
