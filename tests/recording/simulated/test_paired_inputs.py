"""Neurons that multiply or add two behavioral signals; without a fraction nothing changes."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from omnimouse_cli.batch.published_strategies import decode
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.evaluation.baselines.ceiling import predict_ceiling
from omnimouse_cli.recording.simulated.behavior import draw_behavior
from omnimouse_cli.recording.simulated.expected import load_expected_response
from omnimouse_cli.recording.simulated.paired_inputs import PairedDrive, make_drive
from omnimouse_cli.recording.simulated.population import draw_population
from omnimouse_cli.recording.simulated.settings import SimulationConfig, make_generator
from omnimouse_cli.recording.simulated.simulation import simulate
from omnimouse_cli.recording.simulated.stimulus import StimulusDrive
from omnimouse_cli.reporter import Silent

POPULATION = draw_population(3, 0, 40, 0.5)
DRIVE = make_drive(POPULATION, 3, 0)


@pytest.fixture(scope="module")
def behavior():
    drawn = draw_behavior(make_generator(3, "test"), 0.0, 600.0)
    return drawn.standardized_at(np.arange(18000) / 30)


def test_the_drive_is_the_rectified_product_or_sum_of_two_signals(behavior):
    assert POPULATION.is_product.sum() == 20
    assert (POPULATION.coupling == 0).all()
    energy = DRIVE.energy(behavior) * DRIVE.mean_energy
    for neuron in range(40):
        a, b = behavior[:, POPULATION.inputs[neuron]].T * POPULATION.signs[neuron][:, None]
        combined = a * b if POPULATION.is_product[neuron] else (a + b) / np.sqrt(2)
        np.testing.assert_allclose(energy[:, neuron], np.maximum(combined, 0), rtol=1e-9)
    assert 0.6 < DRIVE.energy(behavior).mean() < 1.4


def test_a_linear_model_of_the_signals_finds_sums_and_no_products(behavior):
    energy = DRIVE.energy(behavior)
    design = np.column_stack([behavior[:, :3], np.ones(len(behavior))])
    fit = design @ np.linalg.lstsq(design, energy, rcond=None)[0]
    r2 = 1 - ((energy - fit) ** 2).sum(axis=0) / ((energy - energy.mean(axis=0)) ** 2).sum(axis=0)
    assert r2[~POPULATION.is_product].min() > 0.5
    assert r2[POPULATION.is_product].max() < 0.2


def test_without_a_fraction_nothing_changes():
    population = draw_population(3, 0, 40)
    assert type(make_drive(population, 3, 0)) is StimulusDrive
    assert isinstance(DRIVE, PairedDrive)
    assert not {"inputs", "signs", "is_product"} & set(population.arrays())
    paired = POPULATION.arrays()
    for name, values in population.arrays().items():
        if name != "coupling":
            np.testing.assert_array_equal(values, paired[name])
    assert "multiplicative" not in SimulationConfig().identity(0)


def test_the_exact_response_of_a_recording_is_that_of_its_truth(tmp_path):
    config = SimulationConfig(sessions=1, neurons=5, minutes=1, seed=6, multiplicative=0.6)
    simulated = simulate(tmp_path, config, reporter=Silent())[0]
    path = simulated.path
    assert simulated.ceilings.decode == {}
    decoding = decode("decode")
    source = SimpleNamespace(description=SimpleNamespace(source=SimpleNamespace(path=str(path))))
    reader = SimpleNamespace(shard=source)
    targets = SimpleNamespace(reader=reader, strategy=decoding, is_behavior=True)
    assert "no decoder is known" in predict_ceiling(targets, ("train",))
    exact = load_expected_response(path)
    truth = exact.truth
    assert truth.population.is_product.sum() == 3
    identity = json.loads((path / "truth" / "truth.json").read_text())["identity"]
    assert identity["multiplicative"] == 0.6
    rows = np.arange(100, 400)
    behavior = np.asarray(truth.behavior[rows], np.float64)
    first = np.asarray(truth.expected_stimulus_behavior[rows[0] - 1], np.float64)
    known = truth.expected_stimulus_behavior[rows]
    for grey in (0, 200):
        frames = np.full((len(rows), 36, 64), grey, np.uint8)
        predicted = exact(frames, behavior, previous=first)
        np.testing.assert_allclose(predicted, known, rtol=1e-4, atol=1e-4)
    still = exact(frames, behavior[0])
    np.testing.assert_allclose(still, np.broadcast_to(still[0], still.shape), rtol=1e-9)


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_a_fraction_outside_zero_to_one_is_refused(fraction):
    with pytest.raises(ConfigError, match="multiplicative"):
        replace(SimulationConfig(), multiplicative=fraction)
