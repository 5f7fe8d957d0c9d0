"""Receptive fields can be recovered from probes, and behavior from the population."""

from dataclasses import replace

import numpy as np
import pytest

from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.simulated.decoder import reference_decode
from omnimouse_cli.recording.simulated.population import draw_population
from omnimouse_cli.recording.simulated.stimulus import (
    StimulusDrive,
    gabor_pairs,
    retinal_frames,
)
from omnimouse_cli.recording.simulated.truth import load_truth


@pytest.fixture(scope="module")
def one_neuron():
    drawn = draw_population(2, 0, 1)
    return replace(drawn, center_row=np.array([17.0]), center_column=np.array([30.0]))


@pytest.fixture(scope="module")
def drive(one_neuron):
    return StimulusDrive(one_neuron, 0, 0)


def probe_energy(drive, neuron, place, shift):
    """Energy while the neuron's own Gabor has stood still at a place for 400 ms."""
    patch = replace(neuron, center_row=place[:1], center_column=place[1:])
    image = 113 + 400 * gabor_pairs(patch)[:, 0].reshape(36, 64)
    frames = np.tile(np.clip(image, 0, 255).astype(np.uint8), (12, 1, 1))
    return drive.energy(frames, np.tile(shift, (12, 1)))[-1, 0]


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.0, -4.0), (-1.5, 2.5)])
def test_the_best_place_of_a_probe_is_the_receptive_field_moved_by_the_gaze(
    one_neuron, drive, shift
):
    expected = np.array([17.0, 30.0]) + shift
    offsets = np.arange(-5.0, 5.5)
    energy = np.array(
        [
            [
                probe_energy(drive, one_neuron, np.add(expected, (down, right)), shift)
                for right in offsets
            ]
            for down in offsets
        ]
    )
    # The energy is nearly a Gaussian bump: its center of mass is the receptive field.
    weight = energy / energy.sum()
    assert abs(weight.sum(axis=1) @ offsets) < 0.5
    assert abs(weight.sum(axis=0) @ offsets) < 0.5
    assert energy[0, 0] < 0.5 * energy.max()


def test_a_probe_of_the_other_orientation_drives_less(one_neuron, drive):
    crossed = replace(one_neuron, orientation=one_neuron.orientation + np.pi / 2)
    place = np.array([17.0, 30.0])
    along, across = (probe_energy(drive, each, place, (0, 0)) for each in (one_neuron, crossed))
    assert along > 4 * across


def test_a_blank_screen_drives_nothing_and_chunks_do_not_matter(one_neuron):
    frames = np.random.default_rng(0).integers(0, 255, (40, 36, 64)).astype(np.uint8)
    shift = np.random.default_rng(1).uniform(-6, 6, (40, 2))
    whole = StimulusDrive(one_neuron, 0, 0).energy(frames, shift)
    drive = StimulusDrive(one_neuron, 0, 0)
    parts = [drive.energy(frames[a:b], shift[a:b]) for a, b in ((0, 1), (1, 13), (13, 40))]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-4)
    blank = np.full((12, 36, 64), 113, np.uint8)
    assert drive.energy(blank, np.zeros((12, 2)))[-1, 0] == 0


def test_the_response_comes_after_the_frame_never_before(one_neuron):
    rng = np.random.default_rng(2)
    frames = rng.integers(0, 255, (30, 36, 64)).astype(np.uint8)
    changed = frames.copy()
    changed[15] = rng.integers(0, 255, (36, 64))
    still = np.zeros((30, 2))
    first = StimulusDrive(one_neuron, 0, 0).energy(frames, still)
    second = StimulusDrive(one_neuron, 0, 0).energy(changed, still)
    differs = np.nonzero(np.abs(first - second)[:, 0] > 1e-6)[0]
    assert differs[0] == 15
    assert 2 <= differs[-1] - 15 < 9


def test_a_whole_pixel_of_gaze_moves_the_image_by_a_whole_pixel():
    frames = np.random.default_rng(3).integers(0, 255, (1, 36, 64)).astype(np.uint8)
    still = retinal_frames(frames, np.zeros((1, 2)))
    moved = retinal_frames(frames, np.array([[2.0, -3.0]]))
    np.testing.assert_allclose(moved[0, :-2, 3:], still[0, 2:, :-3], atol=1e-6)
    half = retinal_frames(frames, np.array([[0.5, 0.0]]))
    np.testing.assert_allclose(half[0, :-1], (still[0, 1:] + still[0, :-1]) / 2, atol=1e-6)


def moving_mean(values, radius):
    total = np.cumsum(np.vstack([np.zeros((1, values.shape[1])), values]), axis=0)
    row = np.arange(len(values))
    low, high = np.maximum(row - radius, 0), np.minimum(row + radius + 1, len(values))
    return (total[high] - total[low]) / (high - low)[:, None]


@pytest.fixture(scope="module")
def activity(mouse):
    responses = open_recording(mouse[0].path).responses
    return responses.read_rows(0, responses.clock.num_samples)


def test_a_plain_ridge_reads_behavior_from_the_population(mouse, activity):
    truth = load_truth(mouse[0].path)
    scaled = np.sqrt(np.nan_to_num(activity) / np.nanstd(activity, axis=0))
    features = np.hstack([moving_mean(scaled, radius) for radius in (8, 30)])
    features = np.hstack([features, np.ones((len(features), 1))])
    block = np.arange(len(features)) // 900 % 4
    train, test = block != 3, block == 3
    gram = features[train].T @ features[train] + 300 * np.eye(features.shape[1])
    weights = np.linalg.solve(gram, features[train].T @ truth.behavior[train])
    guess = features[test] @ weights
    score = {
        name: np.corrcoef(guess[:, column], truth.behavior[test, column])[0, 1]
        for column, name in enumerate(truth.channels)
    }
    assert score["running"] > 0.6, score
    assert score["pupil_size"] > 0.5, score
    assert score["pupil_x"] > 0.4, score


def test_the_reference_decoder_is_good_and_better_with_more_neurons(mouse, activity):
    truth = load_truth(mouse[0].path)
    usable = np.nonzero(~np.isnan(activity).any(axis=1))[0]
    start = np.arange(100, 10_000, 90)
    start = start[np.isin(start, usable) & np.isin(start + 59, usable)]
    window = activity[start[:, None] + np.arange(60)]
    target = truth.behavior[start[:, None] + np.arange(60)].reshape(-1, 5)
    scores = []
    for neurons in (16, 128):
        arrays = {name: each[:neurons] for name, each in truth.population.arrays().items()}
        seen = replace(
            truth,
            population=type(truth.population)(**arrays),
            expected_stimulus_behavior=truth.expected_stimulus_behavior[:, :neurons],
        )
        guess = reference_decode(seen, start, window[..., :neurons]).reshape(-1, 5)
        scores.append([np.corrcoef(guess[:, c], target[:, c])[0, 1] for c in range(5)])
    few, all_of_them = np.array(scores)
    assert np.all(all_of_them > few + 0.1), scores
    assert np.all(all_of_them > [0.7, 0.7, 0.7, 0.6, 0.8]), scores


def test_the_ceilings_leave_room_for_every_regime(mouse):
    ceilings = mouse[0].ceilings
    assert ceilings.windows >= 30
    assert 0.36 < ceilings.predict < 0.56
    assert ceilings.predict + 0.05 < ceilings.forecast < ceilings.population
    assert 0.5 < ceilings.population < 0.75
    assert min(ceilings.decode.values()) > 0.7
