"""Simulated recordings that several tests use; each is made once."""

import pytest

from omnimouse_cli.recording.simulated.settings import SimulationConfig
from omnimouse_cli.recording.simulated.simulation import simulate
from omnimouse_cli.reporter import Silent


@pytest.fixture(scope="session")
def mouse(tmp_path_factory):
    """One recording like the demo's: (what `simulate` said, its configuration)."""
    config = SimulationConfig(sessions=1, neurons=128, minutes=6, seed=1)
    folder = tmp_path_factory.mktemp("mouse")
    return simulate(folder, config, reporter=Silent())[0], config


@pytest.fixture(scope="session")
def small_config():
    return SimulationConfig(sessions=2, animals=2, neurons=12, minutes=1, seed=5)


@pytest.fixture(scope="session")
def small_mice(tmp_path_factory, small_config):
    """Two recordings of a minute, of two animals."""
    return simulate(tmp_path_factory.mktemp("small"), small_config, reporter=Silent())
