"""Neurons without values are excluded, stuck and repeated ones are named."""

from dataclasses import replace

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.recording import Neurons
from omnimouse_cli.shard import population


def gamma(rows=900, neurons=6, seed=1):
    return np.random.default_rng(seed).gamma(1.0, 2.0, (rows, neurons)).astype(np.float32)


def test_neurons_without_a_value_are_excluded_with_all_that_is_theirs(
    make_recording, converted, signal
):
    values = gamma()
    values[:, [1, 4]] = [np.nan, np.inf]
    neurons = Neurons(
        num_neurons=6,
        unit_id=np.arange(10, 16),
        position_um=np.arange(18, dtype=np.float32).reshape(6, 3),
        delay_seconds=np.arange(6, dtype=np.float32) / 100,
        area=np.array(["V1", "V1", "", "LM", "V1", "V1"]),
    )
    recording = replace(
        make_recording(),
        responses=signal("responses", 0.6, 30.0, values, file_std=np.arange(1.0, 7.0)),
        neurons=neurons,
    )
    shard = converted(recording, dtype="float32")
    kept = [0, 2, 3, 5]
    np.testing.assert_array_equal(shard.read_responses(0, 900), values[:, kept])
    np.testing.assert_array_equal(shard.unit_id, neurons.unit_id[kept])
    np.testing.assert_array_equal(shard.position_um, neurons.position_um[kept])
    np.testing.assert_array_equal(shard.delay_seconds, neurons.delay_seconds[kept])
    np.testing.assert_array_equal(shard.file_std, np.float32([1, 3, 4, 6]))
    assert shard.description.responses.areas == ("LM", "V1")
    assert shard.area.tolist() == ["V1", "", "LM", "V1"]
    assert shard.layer is None
    assert shard.description.responses.num_neurons == 4
    assert shard.description.provenance.excluded == {"no finite value": 2}
    assert "2 neurons without a finite value excluded: unit 11, unit 14" in shard.description.notes


def test_a_neuron_with_one_value_is_kept_even_if_the_sample_misses_it(make_recording, monkeypatch):
    monkeypatch.setattr("omnimouse_cli.shard.blocks.BLOCK_BYTES", 4 * 6 * 10)
    monkeypatch.setattr(population, "SAMPLED_BLOCKS", 3)
    values = gamma()
    values[:, 2] = np.nan
    values[333, 2] = 1.0
    sample = population.sample_responses(make_recording(responses=values).responses)
    assert sample.shape == (30, 6)
    kept, _, notes = population.exclude_empty(make_recording(responses=values), sample)
    assert kept.responses.num_channels == 6
    assert notes == []


def test_a_recording_without_any_value_is_refused(make_recording, converted):
    with pytest.raises(RecordingError, match="no response has a finite value"):
        converted(make_recording(responses=np.full((900, 3), np.nan)))


def test_a_sample_is_taken_from_all_over_the_recording(signal, monkeypatch):
    monkeypatch.setattr("omnimouse_cli.shard.blocks.BLOCK_BYTES", 4 * 2 * 10)
    rows = np.arange(2000, dtype=np.float32).reshape(1000, 2)
    sample = population.sample_responses(signal("responses", 0.0, 30.0, rows))
    assert len(sample) == 80
    assert sample[0, 0] == 0
    assert sample[-1, -1] == 1999
    short = population.sample_responses(signal("responses", 0.0, 30.0, rows[:75]))
    np.testing.assert_array_equal(short, rows[:75])


def test_neurons_that_never_change_are_named(make_recording, converted):
    values = gamma(neurons=8)
    values[:, [1, 2, 3, 4, 6, 7]] = [0, 0.1, 0, 5, 0, 0]
    # Changes on a tier of test only: the train tier lasts from 0.4 to 8.4 s, then 16.9 to 24.9 s.
    values[300:320, 7] = 1.0
    (note,) = converted(make_recording(responses=values)).description.notes
    assert note == (
        "6 of 8 neurons never change on tier train (stuck or silent): column 1, column 2, "
        "column 3, column 4, column 6, ..."
    )


def test_neurons_that_are_there_twice_are_named(make_recording, converted):
    values = gamma(neurons=6)
    values[:, 4] = values[:, 1]
    values[:, 5] = values[:, 1]
    values[:, 0] = values[:, 3] = 0
    notes = converted(make_recording(responses=values)).description.notes
    assert "2 of 6 neurons have the same values as another neuron" in notes[-1]
    assert notes[-1].endswith("column 4 as column 1, column 5 as column 1")
    # The same statistics on the train tier, which ends at 24.9 s, and another value after it.
    values[760, [4, 5]] = values[760, 1] + np.float32([0, 1])
    values[761, [4, 5]] = values[761, 1] - np.float32([0, 1])
    notes = converted(make_recording(responses=values)).description.notes
    assert "1 of 6 neurons have the same values" in notes[-1]


def test_equal_statistics_do_not_make_a_copy(make_recording):
    values = gamma(neurons=3)
    values[:, 2] = values[:, 0]
    values[899, 2] += 1
    recording = make_recording(responses=values)
    assert population.describe_copies(recording, np.array([0, 1, 0])) == []
