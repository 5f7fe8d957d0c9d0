"""The PyTorch simulation that most exciting stimuli are judged against is that of NumPy."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from omnimouse_cli.probing import mei_references
from omnimouse_cli.recording.simulated.expected import load_expected_response

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """Import a file of benchmarks/ as it is imported when one of them is run."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.fixture(scope="module")
def recording(small_mouse):
    return small_mouse.folder.parent / "recordings" / small_mouse.sessions[0].key


@pytest.fixture(scope="module")
def runs(small_mouse, write_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [str(write_run(folder / name, small_mouse)) for name in ("a", "b")]


@pytest.fixture(scope="module")
def exact(recording):
    return load_expected_response(recording)


def test_exact_responses_are_the_same_in_pytorch_and_numpy(script, exact):
    behavior = np.array([0.7, -1.1, 0.4, -0.2, 1.0])
    model = script("exact").ExactModel(exact, behavior)
    windows = np.random.default_rng(0).uniform(0, 255, (3, 60, 36, 64)).astype(np.float32)
    # A drifting Gabor drives neurons far more than noise.
    windows[2, :, 8:24, 20:40] = 127 + 127 * np.sin(np.arange(60)[:, None, None] / 3)
    neurons = torch.tensor([[4, 0], [11, 3], [2, 2]])
    found = model.predict_windows(model.scale_frames(torch.from_numpy(windows)), neurons_BN=neurons)
    expected = exact(windows, behavior)[:, 30:]
    for window, columns in enumerate(neurons):
        np.testing.assert_allclose(
            found[0, window].numpy(), expected[window][:, columns], rtol=2e-4
        )


def test_a_benchmark_judges_runs_by_the_optimum_of_the_simulation(
    script, recording, runs, tmp_path, monkeypatch
):
    arguments = ["--recording", str(recording), "--out", str(tmp_path), "--kinds", "image"]
    for name, few in (("MOST_NATURAL", 5), ("DIRECTIONS", 4), ("SPATIAL_FREQUENCIES", (0.06,))):
        monkeypatch.setattr(mei_references, name, few)
    monkeypatch.setattr(sys, "argv", ["mei.py", "--quick", "--starts", "2", *runs, *arguments])
    benchmark = script("mei")
    monkeypatch.setattr(benchmark, "OPTIMUM_STEPS", 5)
    monkeypatch.setattr(benchmark, "NOISE_STARTS", 1)
    benchmark.main()
    (condition,) = json.loads((tmp_path / "mei-cpu.json").read_text())["conditions"]
    assert set(condition["rows"]) == {"a", "ensemble", "natural", "grating"}
    for row in condition["rows"].values():
        assert row["mean"] > 0
        assert row["mean_above_grey"] < row["mean"]
