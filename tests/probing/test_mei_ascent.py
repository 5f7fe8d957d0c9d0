"""Ascents reach known optima and keep mean, contrast and range of pixels."""

import numpy as np
import pytest
import torch

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.probing.mei_ascent import AscentOptions, ascend, make_windows, respond
from omnimouse_cli.probing.mei_constraints import (
    FINAL_STEPS,
    SMOOTH_FRAMES,
    SMOOTH_PIXELS,
    draw_noise,
    hold_contrast,
    require_feasible,
    smooth_gradient,
)

MEAN, CONTRAST = 113.0, 10.0
SHAPE = (24, 32)


def gabor(row, column, angle, *, wavelength=8.0, width=3.0, phase=0.0):
    """A Gabor of mean 0 and norm 1."""
    down, right = np.arange(SHAPE[0])[:, None] - row, np.arange(SHAPE[1]) - column
    along = down * np.sin(angle) + right * np.cos(angle)
    envelope = np.exp(-(down**2 + right**2) / (2 * width**2))
    values = envelope * np.cos(2 * np.pi * along / wavelength + phase)
    values -= envelope * values.sum() / envelope.sum()
    return (values / np.linalg.norm(values)).astype(np.float32)


class Energies:
    """Neurons that answer at once with the energy of a Gabor pair; the last one never answers."""

    device = torch.device("cpu")

    def __init__(self):
        places = [(10.0, 12.0, 0.4), (14.0, 20.0, 2.0)]
        pairs = [[gabor(*place), gabor(*place, phase=np.pi / 2)] for place in places] + [
            [np.zeros(SHAPE, np.float32)] * 2
        ]
        self.gabors = torch.from_numpy(np.array(pairs))

    def scale_frames(self, grey):
        return grey - MEAN

    def predict_windows(self, video, neurons_BN=None):
        pairs = self.gabors[neurons_BN]
        drive = torch.einsum("btyx,bkpyx->btkp", video[:, 30:], pairs)
        return 1 + drive.square().sum(-1)[None]

    def mean_responses(self, windows, neurons=None):
        video = self.scale_frames(torch.from_numpy(windows))
        return self.predict_windows(video, torch.from_numpy(neurons)).mean(2).numpy()


@pytest.fixture(scope="module")
def model():
    return Energies()


def ascend_noise(model, neurons, signs, *, frames=1, prior="none", steps=60):
    noise = draw_noise((len(neurons), frames, *SHAPE), torch.Generator().manual_seed(0)).numpy()
    options = AscentOptions(mean=MEAN, contrast=CONTRAST, prior=prior, steps=steps)
    done = []
    columns, directions = np.array(neurons), np.array(signs)
    result = ascend(model, noise, columns, directions, options, advance=done.append)
    assert sum(done) == len(neurons)
    return result


@pytest.mark.parametrize(("prior", "overlap"), [("none", 0.99), ("smooth", 0.9), ("natural", 0.9)])
def test_the_optimum_of_a_gabor_energy_is_its_gabor(model, prior, overlap):
    result = ascend_noise(model, [0, 0, 1, 1], [1, 1, 1, 1], prior=prior)
    patterns = (result.stimuli[:, 0] - MEAN).reshape(4, -1)
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    for pattern, neuron in zip(patterns, [0, 0, 1, 1], strict=True):
        # In the plane of the pair: any phase is as good.
        inside = model.gabors[neuron].numpy().reshape(2, -1) @ pattern
        assert np.linalg.norm(inside) > overlap
    # Nearly all of the contrast drives the neuron.
    norm = CONTRAST * np.sqrt(np.prod(SHAPE))
    assert (result.responses > overlap**2 * norm**2).all()
    assert (result.responses < 1.01 * norm**2).all()


def test_a_least_exciting_stimulus_does_not_drive_and_no_frame_leaves_the_constraints(model):
    result = ascend_noise(model, [0, 1], [-1, -1], frames=30, steps=25)
    noise = ascend_noise(model, [0, 1], [-1, -1], frames=30, steps=1)
    assert (result.responses < 0.03 * noise.responses).all()
    assert result.stimuli.shape == (2, 30, *SHAPE)
    np.testing.assert_allclose(result.stimuli.mean((2, 3)), MEAN, atol=0.02)
    np.testing.assert_allclose(result.stimuli.std((2, 3)), CONTRAST, atol=0.02)


def test_a_neuron_that_does_not_depend_on_the_video_has_no_gradient(model):
    result = ascend_noise(model, [0, 2], [1, 1], steps=2)
    assert result.has_gradient.tolist() == [True, False]
    assert np.isfinite(result.stimuli).all()


def test_starts_do_not_depend_on_each_other(model):
    # More than one batch of stimuli.
    result = ascend_noise(model, [0] * 20, [1] * 20, steps=2)
    noise = draw_noise((20, 1, *SHAPE), torch.Generator().manual_seed(0)).numpy()
    options = AscentOptions(mean=MEAN, contrast=CONTRAST, prior="none", steps=2)
    alone = ascend(model, noise[18:], np.zeros(2, int), np.ones(2, int), options)
    np.testing.assert_allclose(result.stimuli[18:], alone.stimuli, rtol=1e-5, atol=1e-3)


def test_a_stimulus_is_shown_for_a_second_after_a_second_of_grey(model):
    image = hold_contrast(torch.rand(2, 1, *SHAPE), MEAN, CONTRAST)
    windows = make_windows(image, MEAN)
    assert windows.shape == (2, 60, *SHAPE)
    assert (windows[:, :30] == MEAN).all()
    assert (windows[:, 30:] == image).all()
    # Each stimulus has its own neuron.
    found = respond(model, image.numpy(), MEAN, np.array([[0], [1]]))
    pattern = image[:, 0].numpy() - MEAN
    drive = np.einsum("byx,bpyx->bp", pattern, model.gabors[:2].numpy())
    np.testing.assert_allclose(found[0, :, 0], 1 + (drive**2).sum(1), rtol=1e-4)


@pytest.mark.parametrize(("mean", "contrast"), [(113.0, 3.0), (60.0, 50.0), (200.0, 85.0)])
def test_frames_have_exactly_the_mean_and_contrast_with_pixels_in_range(mean, contrast):
    frames = torch.randn(3, 4, *SHAPE, generator=torch.Generator().manual_seed(1)) ** 3
    held = hold_contrast(frames, mean, contrast, steps=FINAL_STEPS)
    assert held.min() >= 0
    assert held.max() <= 255
    np.testing.assert_allclose(held.mean((2, 3)), mean, atol=0.02)
    np.testing.assert_allclose(held.std((2, 3), correction=0), contrast, atol=0.02)
    # A frame that keeps them is kept.
    again = hold_contrast(held, mean, contrast)
    np.testing.assert_allclose(again, held, atol=0.1)


@pytest.mark.parametrize(
    ("mean", "contrast", "message"),
    [(0.0, 10.0, "mean"), (300.0, 10.0, "mean"), (113.0, 0.0, "contrast"), (113.0, 120.0, "114")],
)
def test_a_mean_and_contrast_that_no_frame_has_are_refused(mean, contrast, message):
    with pytest.raises(OmniMouseError, match=message):
        require_feasible(mean, contrast)


def test_priors_filter_gradients_in_space_and_time():
    gradient = torch.zeros(1, 30, 32, 32)
    gradient[0, 15, 16, 16] = 1.0
    smooth = smooth_gradient(gradient, "smooth")[0]
    assert smooth.sum().item() == pytest.approx(1.0, abs=1e-4)
    # The spectrum of a Gaussian is one: neighbors are of no use where it is narrower than a frame.
    spectrum = torch.fft.fftn(smooth).abs()
    for number, length, width in (
        ((5, 0, 0), 30, SMOOTH_FRAMES),
        ((0, 4, 0), 32, SMOOTH_PIXELS),
        ((0, 0, 4), 32, SMOOTH_PIXELS),
    ):
        frequency = max(number) / length
        expected = np.exp(-2 * (np.pi * width * frequency) ** 2)
        assert spectrum[number].item() == pytest.approx(expected, abs=1e-4)
    natural = torch.fft.fft2(smooth_gradient(gradient, "natural")[0, 15]).abs()
    assert (natural[0, 4] / natural[0, 8]).item() == pytest.approx(2.0, rel=1e-3)
    assert (natural[2, 0] / natural[8, 0]).item() == pytest.approx(4.0, rel=1e-3)
    assert smooth_gradient(gradient, "none") is gradient
