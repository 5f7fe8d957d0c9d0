"""The stimulus drive of each neuron: contrast-normalized motion energy on a moving retina."""

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.simulated.population import Population
from omnimouse_cli.recording.simulated.settings import (
    FRAME_HEIGHT,
    FRAME_WIDTH,
    GREY,
    GREY_STD,
    RESPONSE_RATE_HZ,
    make_generator,
)
from omnimouse_cli.recording.simulated.video import draw_clip

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
FILTER_ROWS = 9
HALF_SATURATION = 1.0
EXPONENT = 1.2
CALIBRATION_CLIPS = 24
CALIBRATION_ROWS = 90
MARGIN = 8


def retinal_frames(frames: NDArray[np.uint8] | F32, shift: F64) -> F32:
    """Shift each frame against the gaze by bilinear interpolation; grey beyond the screen's edge.

    Args:
        frames: Grey levels, uint8 or float32 `(rows, 36, 64)`.
        shift: Shift of the receptive fields, `(rows, 2)` pixels down and right, at most 6.

    Returns:
        `(rows, 36, 64)` in standard deviations from grey.
    """
    rows = len(frames)
    padded = np.zeros((rows, FRAME_HEIGHT + 2 * MARGIN, FRAME_WIDTH + 2 * MARGIN), np.float32)
    padded[:, MARGIN:-MARGIN, MARGIN:-MARGIN] = (frames.astype(np.float32) - GREY) / GREY_STD
    whole = np.floor(shift).astype(np.int64)
    part = (shift - whole).astype(np.float32)[:, :, None, None]
    row = np.arange(rows)[:, None, None]
    down = (whole[:, 0, None] + MARGIN + np.arange(FRAME_HEIGHT + 1))[:, :, None]
    right = (whole[:, 1, None] + MARGIN + np.arange(FRAME_WIDTH + 1))[:, None, :]
    moved = padded[row, down, right]
    moved = (1 - part[:, 0]) * moved[:, :-1] + part[:, 0] * moved[:, 1:]
    return np.asarray((1 - part[:, 1]) * moved[:, :, :-1] + part[:, 1] * moved[:, :, 1:])


def gabor_pairs(population: Population) -> F32:
    """Return the even and odd Gabors of all neurons, of unit norm: `(36 * 64, 2 * neurons)`."""
    row = np.arange(FRAME_HEIGHT)[None, :, None] - population.center_row[:, None, None]
    column = np.arange(FRAME_WIDTH)[None, None, :] - population.center_column[:, None, None]
    angle = population.orientation[:, None, None]
    along = row * np.sin(angle) + column * np.cos(angle)
    envelope = np.exp(-(row**2 + column**2) / (2 * population.width[:, None, None] ** 2))
    phase = 2 * np.pi * along / population.wavelength[:, None, None]
    even = envelope * np.cos(phase)
    even -= envelope * (even.sum((1, 2)) / envelope.sum((1, 2)))[:, None, None]
    odd = envelope * np.sin(phase)
    both = np.concatenate([even, odd]).reshape(2 * population.num_neurons, -1)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    return np.ascontiguousarray(both.T, dtype=np.float32)


def temporal_filters() -> F32:
    """Return an early and a late causal filter over 300 ms, the newest row first: `(2, 9)`."""
    lag = (np.arange(FILTER_ROWS) + 0.5) / RESPONSE_RATE_HZ
    early = lag * np.exp(-lag / 0.035)
    late = lag**3 * np.exp(-lag / 0.035)
    both = np.stack([early / early.sum(), late / late.sum()])
    # Part of the early filter is subtracted: transients drive more than still images.
    both[1] -= 0.3 * both[0]
    return both.astype(np.float32)


class StimulusDrive:
    """Computes the stimulus drive block by block; keeps the rows that the filters need.

    Args:
        population: The neurons.
        seed: Seed of the simulation.
        session: Number of the session.

    Attributes:
        mean_energy: Mean energy of each neuron over calibration clips, which divides energies,
            `(neurons,)`.
    """

    def __init__(self, population: Population, seed: int, session: int) -> None:
        self._population = population
        self._gabors = gabor_pairs(population)
        self._filters = temporal_filters()
        self.forget()
        self.mean_energy = np.ones(population.num_neurons)
        self.mean_energy = self._calibrate(seed, session)
        self.forget()

    def forget(self) -> None:
        """Continue as if the rows before the next ones had been grey."""
        self._past = np.zeros((FILTER_ROWS - 1, self._gabors.shape[1] + 1), np.float32)

    def _calibrate(self, seed: int, session: int) -> F64:
        """Return the mean energy of each neuron on clips that are not shown."""
        rng = make_generator(seed, "calibration", session)
        no_shift = np.zeros((CALIBRATION_ROWS, 2))
        total = np.zeros(self._population.num_neurons)
        for clip in range(CALIBRATION_CLIPS):
            frames = draw_clip(rng, CALIBRATION_ROWS, "noise" if clip % 5 < 2 else "objects")
            total += self.energy(frames, no_shift).mean(axis=0)
        return total / CALIBRATION_CLIPS

    def energy(self, frames: NDArray[np.uint8] | F32, shift: F64) -> F64:
        """Return the motion energy of the next rows, one on average: `(rows, neurons)`.

        Args:
            frames: Frame shown at each response row, uint8 or float32 `(rows, 36, 64)`.
            shift: Shift of the receptive fields by the gaze, `(rows, 2)` pixels.
        """
        retina = retinal_frames(frames, shift).reshape(len(frames), -1)
        contrast = np.mean(retina**2, axis=1, keepdims=True)
        recent = np.concatenate([self._past, np.hstack([retina @ self._gabors, contrast])])
        self._past = recent[len(recent) - FILTER_ROWS + 1 :]
        windows = [recent[FILTER_ROWS - 1 - lag : len(recent) - lag] for lag in range(FILTER_ROWS)]
        early, late = (
            sum(weight * window for weight, window in zip(weights, windows, strict=True))
            for weights in self._filters
        )
        neurons = self._population.num_neurons
        bias = self._population.direction.astype(np.float32)
        forward = early[:, :neurons] + bias * late[:, neurons:-1]
        sideways = early[:, neurons:-1] - bias * late[:, :neurons]
        energy = (forward**2 + sideways**2) / (HALF_SATURATION + early[:, -1:])
        return np.asarray(energy**EXPONENT / self.mean_energy, dtype=np.float64)

    def gain(
        self,
        frames: NDArray[np.uint8] | F32,
        shift: F64,
        behavior: F64 | None = None,  # noqa: ARG002
    ) -> F64:
        """Return (1 + strength * energy) / (1 + strength) of the next rows: `(rows, neurons)`.

        Args:
            frames: Frame shown at each response row, uint8 or float32 `(rows, 36, 64)`.
            shift: Shift of the receptive fields by the gaze, `(rows, 2)` pixels.
            behavior: Not used: it multiplies the drive elsewhere.
        """
        strength = self._population.strength
        return (1 + strength * self.energy(frames, shift)) / (1 + strength)
