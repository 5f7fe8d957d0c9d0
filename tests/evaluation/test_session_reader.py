"""Signals at the samples of windows: those of the recording, held at the sample times."""

import numpy as np
import pytest

from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.evaluation.session_reader import SessionReader


@pytest.fixture
def reader(simulated_data):
    return SessionReader(simulated_data, DataConfig(), simulated_data.sessions[0].key)


@pytest.fixture
def grid(simulated_data):
    table = simulated_data.windows(DataConfig(tiers=("train",)), simulated_data.sessions[0].key)
    return table.grid_index(np.arange(0, table.num_windows, 97))


def test_responses_and_behavior_are_those_of_a_batch(simulated_data, reader, grid):
    batch = WindowReader(simulated_data, DataConfig()).read(reader.session.key, grid)
    np.testing.assert_array_equal(reader.responses(grid, (0, 60)), batch.responses.numpy())
    behavior = reader.behavior(grid).transpose(0, 2, 1)
    np.testing.assert_array_equal(behavior, batch.behavior.numpy())


def test_some_samples_of_some_neurons_are_a_part_of_all(reader, grid):
    columns = np.array([4, 1, 17])
    part = reader.responses(grid, (20, 45), columns)
    np.testing.assert_array_equal(part, reader.responses(grid, (0, 60))[:, 20:45, columns])


def test_responses_are_the_rows_that_the_clock_holds_at_the_sample_times(reader, grid):
    clock = reader.shard.description.responses.clock
    rows = clock.row_at(reader.sample_seconds(grid, (20, 45)))
    stored = reader.shard.read_responses(0, clock.num_samples)
    scaled = (stored[rows] - reader.shift) / reader.scale
    np.testing.assert_allclose(reader.responses(grid, (20, 45)), scaled, rtol=1e-6)
