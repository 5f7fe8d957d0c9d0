"""Rates, dF/F or raw fluorescence: what decides, what is clipped, and what the notes say."""

from dataclasses import replace

import numpy as np
import pytest

from omnimouse_cli.recording.recording import Neurons
from omnimouse_cli.shard.kind import ROUNDING, is_never_near_zero


def gamma(rows=900, neurons=6, seed=1):
    return np.random.default_rng(seed).gamma(1.0, 2.0, (rows, neurons)).astype(np.float32)


def test_negative_values_within_rounding_are_zero_and_counted(make_recording, converted):
    values = gamma()
    values[[100, 500], 3] = [-1e-9, -1e-6]
    shard = converted(make_recording(responses=values), dtype="float32")
    assert shard.description.response_kind == "rate"
    assert shard.read_responses(0, 900).min() == 0
    (note,) = shard.description.notes
    assert note.startswith("2 negative response values within rounding")
    assert "lowest -1e-06" in note
    np.testing.assert_array_equal(shard.read_responses(0, 900), np.maximum(values, 0))


@pytest.mark.parametrize(("factor", "kind"), [(0.9, "rate"), (1.1, "dff")])
def test_the_bound_is_relative_to_the_spread_of_each_neuron(
    make_recording, converted, factor, kind
):
    values = gamma() * np.float32([1, 1, 1e4, 1e-4, 1, 1])
    values[700, 2] = -factor * ROUNDING * values[:, 2].astype(float).std()
    shard = converted(make_recording(responses=values), dtype="float32")
    assert shard.description.response_kind == kind


def test_a_silent_neuron_is_judged_by_the_spread_of_the_others(make_recording, converted):
    values = gamma()
    values[:, 4] = 0
    values[::7, 4] = -1e-9
    shard = converted(make_recording(responses=values))
    assert shard.description.response_kind == "rate"
    assert (shard.read_responses(0, 900)[:, 4] == 0).all()


def test_a_negative_value_beyond_rounding_is_named(make_recording, converted):
    values = gamma()
    values[10, 0] = -1e-9
    values[450, 3] = -0.25
    values[451, 2] = -1e-9
    recording = make_recording(responses=values)
    recording = replace(recording, neurons=Neurons(num_neurons=6, unit_id=np.arange(11, 17)))
    shard = converted(recording, dtype="float32")
    assert shard.description.response_kind == "dff"
    # 0.6 s + 450 / 30 Hz
    assert "unit 14 is -0.25 in row 450 (at 15.600 s)" in shard.description.notes[-1]
    # From the block on that decides, values are those of the recording.
    assert shard.read_responses(451, 452)[0, 2] == values[451, 2]


def test_declared_rates_stay_rates_and_say_which_are_negative(make_recording, converted):
    values = gamma()
    values[450, 3] = -0.25
    values[451, 2] = -1e-9
    shard = converted(make_recording(responses=values, response_kind="rate"), dtype="float32")
    assert shard.description.response_kind == "rate"
    assert shard.read_responses(450, 452).min() == -0.25
    assert shard.read_responses(451, 452)[0, 2] == 0
    assert "responses are rates although some are negative: column 3" in shard.description.notes[-1]


@pytest.mark.parametrize("kind", ["dff", "unknown"])
def test_what_the_recording_declares_is_kept(make_recording, converted, kind):
    shard = converted(make_recording(responses=gamma(), response_kind=kind))
    assert shard.description.response_kind == kind
    assert shard.description.notes == ()


def test_raw_fluorescence_is_stored_as_dff(make_recording, converted):
    values = 400 * (1 + 0.1 * gamma())
    recording = make_recording(responses=values, response_kind="fluorescence")
    shard = converted(recording, dtype="float32")
    description = shard.description
    assert description.response_kind == "dff"
    assert description.responses.baseline.percentile == 8.0
    assert description.responses.baseline.window_seconds == 60.0
    assert "percentile 8 over 60 s" in description.notes[0]
    # The recording is shorter than half a window: one baseline for all.
    expected = values / np.percentile(values, 8, axis=0, method="lower") - 1
    np.testing.assert_allclose(shard.read_responses(0, 900), expected, rtol=1e-3, atol=1e-4)


def test_raw_fluorescence_is_kept_if_the_user_says_so(make_recording, converted):
    values = 400 * (1 + 0.1 * gamma())
    recording = make_recording(responses=values, response_kind="fluorescence")
    shard = converted(recording, dtype="float32", response_kind="fluorescence")
    assert shard.description.response_kind == "fluorescence"
    assert shard.description.responses.baseline is None
    np.testing.assert_array_equal(shard.read_responses(0, 900), values)
    assert converted(recording, response_kind="rate").description.response_kind == "rate"


def test_undeclared_responses_that_are_never_near_zero_are_raw_fluorescence(
    make_recording, converted
):
    values = 20_000 + 30 * gamma()
    shard = converted(make_recording(responses=values), dtype="float32")
    assert shard.description.response_kind == "fluorescence"
    assert "never near 0; --response-kind rate" in shard.description.notes[0]
    np.testing.assert_array_equal(shard.read_responses(0, 900), values)
    said = converted(make_recording(responses=values), response_kind="rate")
    assert said.description.response_kind == "rate"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda values: 100 + values, True),
        (lambda values: values, False),
        # A silent neuron, one that is stuck, transients that reach ten times the floor.
        (lambda values: np.where(np.arange(6) == 2, 0, 100 + values), False),
        (lambda values: np.where(np.arange(6) == 2, 7, 100 + values), True),
        (lambda values: 100 + 1000 * (values > 8), True),
        (lambda values: np.where(np.arange(6) < 1, values, 100 + values), False),
        (lambda values: 0 * values + 5, False),
        (lambda values: (100 + values)[:50], False),
        (lambda values: np.nan * values, False),
    ],
)
def test_raw_fluorescence_has_a_floor(change, expected):
    assert is_never_near_zero(change(gamma()).astype(np.float32)) is expected
