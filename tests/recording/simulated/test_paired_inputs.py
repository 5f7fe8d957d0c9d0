"""Neurons that multiply or add two inputs, as it is said; without them nothing changes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from omnimouse_cli.errors import ConfigError
from omnimouse_cli.recording.simulated.expected import load_expected_response
from omnimouse_cli.recording.simulated.paired_inputs import PairedDrive, input_filters, make_drive
from omnimouse_cli.recording.simulated.population import draw_population
from omnimouse_cli.recording.simulated.settings import GREY, SimulationConfig, make_generator
from omnimouse_cli.recording.simulated.simulation import simulate
from omnimouse_cli.recording.simulated.stimulus import StimulusDrive
from omnimouse_cli.recording.simulated.video import draw_clip
from omnimouse_cli.reporter import Silent

ROWS = 240


@pytest.fixture(scope="module")
def clip():
    return draw_clip(make_generator(3, "test clip"), ROWS, "noise")


def drive_of(multiplicative):
    return make_drive(draw_population(3, 0, 40, multiplicative), 3, 0)


def test_products_are_blind_to_one_input_alone_and_sums_are_not(clip):
    grey = np.full_like(clip, GREY)
    left = grey.copy()
    # Half of the screen; the filters of the inputs in the other half see grey.
    left[:, :, :32] = clip[:, :, :32]
    for fraction, is_blind in ((1.0, True), (0.0, False)):
        drive = drive_of(fraction)
        population = drive._population
        one_in_each_half = population.inputs[:, 0] % 2 != population.inputs[:, 1] % 2
        assert one_in_each_half.any()
        energy = drive.energy(left, np.zeros((ROWS, 2)))[:, one_in_each_half]
        # A filter reaches a little beyond its half.
        assert (energy.mean() < 0.25) == is_blind, energy.mean()


def test_the_drive_is_the_rectified_product_or_sum_of_the_inputs(clip):
    drive = drive_of(0.5)
    population = drive._population
    assert population.is_product.sum() == 20
    still = np.zeros((ROWS, 2))
    inputs = drive.inputs(clip, still)
    drive.forget()
    energy = drive.energy(clip, still) * drive.mean_energy
    for neuron in range(40):
        a, b = (
            inputs[:, population.inputs[neuron, n]] * population.signs[neuron, n] for n in (0, 1)
        )
        combined = a * b if population.is_product[neuron] else (a + b) / np.sqrt(2)
        expected = np.maximum(combined, 0) ** 1.2
        np.testing.assert_allclose(energy[:, neuron], expected, rtol=1e-6, atol=1e-9)


def test_a_linear_model_of_the_inputs_finds_sums_and_no_products():
    drive, still = drive_of(0.5), np.zeros((ROWS, 2))
    clips = [draw_clip(make_generator(4, "clip", n), ROWS, "noise") for n in range(12)]
    inputs = np.concatenate([drive.inputs(clip, still) for clip in clips])
    drive.forget()
    energy = np.concatenate([drive.energy(clip, still) for clip in clips])
    design = np.column_stack([inputs, np.ones(len(inputs))])
    fit = design @ np.linalg.lstsq(design, energy, rcond=None)[0]
    r2 = 1 - ((energy - fit) ** 2).sum(axis=0) / ((energy - energy.mean(axis=0)) ** 2).sum(axis=0)
    is_product = drive._population.is_product
    assert r2[~is_product].min() > 0.5
    assert np.median(r2[is_product]) < 0.15
    assert abs(np.corrcoef(inputs.T) - np.eye(4)).max() < 0.35


def test_without_a_fraction_nothing_changes(clip):
    population = draw_population(3, 0, 40)
    paired = draw_population(3, 0, 40, 1.0)
    assert type(make_drive(population, 3, 0)) is StimulusDrive
    assert isinstance(make_drive(paired, 3, 0), PairedDrive)
    assert not {"inputs", "signs", "is_product"} & set(population.arrays())
    for name, values in population.arrays().items():
        np.testing.assert_array_equal(values, paired.arrays()[name])
    assert "multiplicative" not in SimulationConfig().identity(0)
    assert input_filters().shape == (36 * 64, 4)


def test_the_exact_response_of_a_recording_is_that_of_its_truth(tmp_path):
    config = SimulationConfig(sessions=1, neurons=5, minutes=1, seed=6, multiplicative=0.6)
    path = simulate(tmp_path, config, reporter=Silent())[0].path
    exact = load_expected_response(path)
    truth = exact.truth
    assert truth.population.is_product.sum() == 3
    identity = json.loads((path / "truth" / "truth.json").read_text())["identity"]
    assert identity["multiplicative"] == 0.6
    # From the start of a recording on, the screen shows its first trial.
    trials = json.loads((path / "screen" / "combined_meta.json").read_text())
    flips = np.load(path / "screen" / "timestamps.npy")
    names = [name for name, trial in trials.items() if trial["modality"] == "video"]
    name = names[len(names) // 2]
    movie = np.load(path / "screen" / "data" / f"{name}.npy")
    start = flips[trials[name]["first_frame_idx"]]
    responses = (path / "responses" / "meta.yml").read_text()
    origin = float(responses.split("start_time: ")[1].split()[0])
    rows = np.arange(int(np.ceil((start - origin) * 30)), int((start - origin) * 30 + 200))
    shown = np.searchsorted(flips, origin + rows / 30 + 1e-6, side="right") - 1
    frames = movie[shown - trials[name]["first_frame_idx"]]
    behavior = np.asarray(truth.behavior[rows], np.float64)
    first = np.asarray(truth.expected_stimulus_behavior[rows[0] - 1], np.float64)
    predicted = exact(frames, behavior, previous=first)
    # What was shown before the trial lasts for the filters' 300 ms and the indicator's decay.
    later = slice(40, None)
    known = truth.expected_stimulus_behavior[rows][later]
    np.testing.assert_allclose(predicted[later], known, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_a_fraction_outside_zero_to_one_is_refused(fraction):
    with pytest.raises(ConfigError, match="multiplicative"):
        replace(SimulationConfig(), multiplicative=fraction)
