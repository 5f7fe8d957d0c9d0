"""The behavior of the mouse: running bouts, a pupil that follows them, fixations and saccades."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.simulated.settings import BEHAVIOR_CHANNELS

LATENT_RATE_HZ = 100.0
# Receptive fields move by about two screen pixels.
SCREEN_PIXELS_PER_EYE_PIXEL = 0.3
MAX_SHIFT_PIXELS = 6.0
SMALLEST_SCALE = np.array([1.0, 1.0, 3.0, 3.0, 2.0])
F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """The true behavior of a session on a clock of 100 Hz.

    Args:
        start_seconds: Absolute time of row 0.
        values: `(rows, 5)`, columns BEHAVIOR_CHANNELS in eye-camera pixels, pixels/s and cm/s.
        center: Means over the session, `(5,)`.
        scale: Standard deviations over the session, `(5,)`.
    """

    start_seconds: float
    values: F64
    center: F64
    scale: F64

    def at(self, seconds: F64) -> F64:
        """Return the latest values at or before absolute times: `(times, 5)`."""
        rows = np.floor((seconds - self.start_seconds) * LATENT_RATE_HZ + 1e-4).astype(np.int64)
        return np.asarray(self.values[np.clip(rows, 0, len(self.values) - 1)])

    def standardized_at(self, seconds: F64) -> F64:
        """Return the values at absolute times in standard deviations from the session's mean."""
        return (self.at(seconds) - self.center) / self.scale

    def gaze_shift_at(self, seconds: F64) -> F64:
        """Return the shift of the receptive fields: `(times, 2)` screen pixels, down and right."""
        return shift_of_gaze(self.at(seconds)[:, :2] - self.center[:2])


def shift_of_gaze(gaze: F64) -> F64:
    """Return the shift of the receptive fields: `(..., 2)` screen pixels, down and right.

    Args:
        gaze: Deviations of `pupil_x` and `pupil_y` from their means, `(..., 2)` eye-camera pixels.
    """
    shift = np.clip(SCREEN_PIXELS_PER_EYE_PIXEL * gaze, -MAX_SHIFT_PIXELS, MAX_SHIFT_PIXELS)
    return np.ascontiguousarray(shift[..., ::-1])


def _smooth(values: F64, seconds: float) -> F64:
    """Return `values` filtered causally with an exponential kernel of unit area."""
    length = min(len(values), int(8 * seconds * LATENT_RATE_HZ) + 1)
    kernel = np.exp(-np.arange(length) / (seconds * LATENT_RATE_HZ))
    kernel /= kernel.sum()
    size = 1 << (len(values) + length - 1).bit_length()
    spectrum = np.fft.rfft(values, size) * np.fft.rfft(kernel, size)
    return np.asarray(np.fft.irfft(spectrum, size)[: len(values)])


def _draw_fluctuation(rng: np.random.Generator, rows: int, seconds: float) -> F64:
    """Draw twice-smoothed noise of unit variance and mean zero: its derivative is finite."""
    warm_up = int(12 * seconds * LATENT_RATE_HZ)
    noise = _smooth(_smooth(rng.normal(size=rows + warm_up), seconds), seconds)[warm_up:]
    # The exact standard deviation of white noise behind two equal exponential kernels.
    keep = np.exp(-1.0 / (seconds * LATENT_RATE_HZ))
    gain = (1 - keep) ** 2 * np.sqrt((1 + keep**2) / (1 - keep**2) ** 3)
    return np.asarray(noise / gain)


def _draw_running(rng: np.random.Generator, rows: int) -> F64:
    target = np.zeros(rows)
    row = 0
    while row < rows:
        row += int(rng.gamma(2.0, 4.5) * LATENT_RATE_HZ)
        bout = int((0.5 + rng.gamma(2.0, 2.8)) * LATENT_RATE_HZ)
        target[row : row + bout] = rng.lognormal(np.log(9.0), 0.4)
        row += bout
    pace = np.clip(1.0 + 0.35 * _draw_fluctuation(rng, rows, 0.5), 0.1, 2.5)
    speed = _smooth(target * pace, 0.4)
    return np.maximum(speed, 0.0)


def _draw_pupil(rng: np.random.Generator, running: F64) -> F64:
    rows = len(running)
    effort = _smooth(_smooth(np.minimum(running, 15.0) / 10.0, 0.9), 0.5)
    arousal = 0.45 * _draw_fluctuation(rng, rows, 4.0) + 0.45 * _draw_fluctuation(rng, rows, 0.5)
    # One more low-pass: the derivative must be smooth enough for a camera of 20 Hz.
    size = 42.0 + rng.normal(0.0, 4.0) + 14.0 * _smooth(1.5 * effort + arousal, 0.25)
    # A soft lower limit: the pupil never closes, and its derivative has no jumps.
    low = 14.0
    return np.asarray(low + np.logaddexp(0.0, (size - low) / 4.0) * 4.0)


def _draw_gaze(rng: np.random.Generator, rows: int) -> F64:
    """Draw fixations of two seconds on average, saccades of 30 ms, and a slow drift."""
    spread = np.array([5.5, 4.5])
    target = np.empty((rows, 2))
    position = rng.normal(0.0, spread)
    row = 0
    while row < rows:
        fixation = int((0.3 + rng.gamma(2.0, 0.9)) * LATENT_RATE_HZ)
        target[row : row + fixation] = position
        position = 0.4 * position + np.sqrt(1 - 0.4**2) * rng.normal(0.0, spread)
        row += fixation
    columns = [
        _smooth(target[:, axis], 0.03) + 0.6 * _draw_fluctuation(rng, rows, 1.0) for axis in (0, 1)
    ]
    return np.stack(columns, axis=1) + rng.normal([150.0, 145.0], 15.0)


def draw_behavior(
    rng: np.random.Generator, start_seconds: float, duration_seconds: float
) -> Behavior:
    """Draw the behavior of a session from the absolute time `start_seconds` on."""
    # The smoothed traces reach their stationary distribution before the first row.
    lead = int(20 * LATENT_RATE_HZ)
    rows = lead + int(np.ceil(duration_seconds * LATENT_RATE_HZ))
    running = _draw_running(rng, rows)
    pupil = _draw_pupil(rng, running)
    values = np.empty((rows, len(BEHAVIOR_CHANNELS)))
    values[:, :2] = _draw_gaze(rng, rows)
    values[:, 2] = pupil
    values[:, 3] = np.gradient(pupil) * LATENT_RATE_HZ
    values[:, 4] = running
    values = values[lead:]
    return Behavior(
        start_seconds=start_seconds,
        values=values,
        center=values.mean(axis=0),
        # In a mouse that hardly runs, small movements must not be many standard deviations.
        scale=np.maximum(values.std(axis=0), SMALLEST_SCALE),
    )
