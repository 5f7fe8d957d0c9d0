"""Fixtures of evaluation tests: a simulated mouse, runs with random weights, made-up sessions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from omnimouse_cli.batch.dataset import Dataset, open_dataset
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.simulated.mouse import simulate
from omnimouse_cli.recording.simulated.settings import SimulationConfig
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess


def shards_of(recordings, out: Path) -> Dataset:
    """Preprocess some recordings and open them."""
    opened = [open_recording(path) for path in recordings]
    result = preprocess(opened, out, PreprocessOptions(), Silent())
    assert not result.failed, [failure.error.message for failure in result.failed]
    return open_dataset(out)


@pytest.fixture(scope="session")
def simulated_data(tmp_path_factory) -> Dataset:
    """Two sessions of one simulated mouse, 20 neurons, three minutes each."""
    folder = tmp_path_factory.mktemp("simulated")
    config = SimulationConfig(sessions=2, animals=1, neurons=20, minutes=3.0, seed=3)
    recordings = [item.path for item in simulate(folder / "raw", config, reporter=Silent())]
    return shards_of(recordings, folder / "shards")


@pytest.fixture(scope="session")
def simulated_run(simulated_data, write_run, tmp_path_factory) -> Path:
    """An untrained run on the simulated mouse."""
    return write_run(tmp_path_factory.mktemp("run") / "run", simulated_data)


@pytest.fixture
def make_session(experanto_session, tmp_path):
    """Give a function that makes a data set of one session from responses and trials."""

    def make(responses, trials, *, name="100-1-1", **fields) -> Dataset:
        path = experanto_session(
            name,
            responses=responses,
            trials=trials,
            seconds=len(responses) / 30,
            responses_start=0.0,
            **fields,
        )
        return shards_of([path], tmp_path / "shards")

    return make


def blank(tier: str | None, seconds: float) -> dict[str, object]:
    """A trial of a grey screen that has a tier."""
    trial: dict[str, object] = {
        "modality": "blank",
        "interleave_value": 127,
        "seconds": seconds,
    }
    return trial | ({"tier": tier} if tier else {})


@pytest.fixture
def quiet_trials():
    """Trials of a grey screen: a long train one, a short gap, a test one."""
    return [blank("train", 60.0), blank("none", 2.0), blank("test", 40.0), blank("none", 5.0)]


@pytest.fixture
def moving_average() -> Callable[..., np.ndarray]:
    """Give a function that makes smooth responses which their past predicts linearly."""

    def make(samples=3300, neurons=6, *, keep=0.95, seed=0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        mix = np.linalg.qr(rng.normal(size=(neurons, neurons)))[0] * keep
        values = np.zeros((samples, neurons))
        for row in range(1, samples):
            values[row] = mix @ values[row - 1] + rng.normal(size=neurons)
        return values

    return make
