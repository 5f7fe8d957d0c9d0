"""What the benchmark of `probe` reads from raw responses to gratings."""

import importlib
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def measured_gratings(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("measured_gratings")


def make_trials(module, noise):
    """Return eight trials of each of eight directions and two frequencies; 90 degrees is best."""
    direction, hz, _ = (
        one.ravel() for one in np.meshgrid(np.arange(8) * 45.0, [1.0, 4.0], range(8))
    )
    away = np.deg2rad(direction - 90)
    tuned = (2 + np.cos(2 * away) + np.cos(away)) * np.where(hz == 4, 2.0, 1.0)
    rng = np.random.default_rng(0)
    responses = np.stack([tuned, 0 * tuned], axis=1) + noise * rng.normal(size=(len(hz), 2))
    in_train = np.arange(len(hz)) % 8 < 6
    return module.Trials(responses=responses, direction_deg=direction, hz=hz, in_train=in_train)


def test_tuning_of_trials_is_that_of_the_best_frequency(measured_gratings):
    trials = make_trials(measured_gratings, noise=0.01)
    found = trials.tuning()
    assert found.direction_deg[0] == pytest.approx(90, abs=1)
    assert found.orientation_deg[0] % 180 == pytest.approx(0, abs=1)
    # Means of 4 + 2 cos(2 d) + 2 cos(d): the second harmonic is a quarter of the mean.
    assert found.osi[0] == pytest.approx(0.25, abs=0.01)
    assert trials.take(~trials.in_train).curves().shape == (8, 2, 2)


def test_split_halves_agree_where_there_is_a_signal(measured_gratings):
    trials = make_trials(measured_gratings, noise=0.5)
    reliability = measured_gratings.split_half(trials, np.random.default_rng(0))
    assert reliability[0] > 0.9
    assert abs(reliability[1]) < 0.4
