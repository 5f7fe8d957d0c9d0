"""Parametric stimuli: drifting gratings in discs and annuli, and noise in random squares."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.config.data import FRAME_RATE_HZ, NUM_FRAMES, DataConfig

# S stimuli, T frames, Y rows and X columns of pixels

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
# Spatial frequencies above this one are absent from noise: a period of 8 pixels.
NOISE_CUTOFF_CYCLES_PER_PIXEL = 0.125
# Noise changes as an exponential process with this time constant.
NOISE_SECONDS = 0.1
# Standard deviation of noise inside a square, as a share of the mean grey level.
NOISE_CONTRAST = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gratings:
    """Sinusoidal gratings, one per row; every array is float64 `(stimuli,)` but the center.

    Directions are directions of motion in degrees, counter-clockwise from rightward, as seen on
    the screen: 0 moves right, 90 moves up. Bars are perpendicular to it.

    Args:
        direction_deg: Direction of motion.
        cycles_per_pixel: Spatial frequency.
        hz: Temporal frequency.
        phase_deg: Phase at the center in the first frame; 0 is brightest there.
        contrast: Michelson contrast, 0 to 1.
        center_px: float64 `(stimuli, 2)`: row and column of the aperture's center; the center of
            the top left pixel is (0, 0).
        outer_px: Diameter of the disc, infinite for the whole screen; grey outside.
        inner_px: Diameter of a grey disc inside, 0 for none.
    """

    direction_deg: F64
    cycles_per_pixel: F64
    hz: F64
    phase_deg: F64
    contrast: F64
    center_px: F64
    outer_px: F64
    inner_px: F64

    def __len__(self) -> int:
        """Return the number of stimuli."""
        return len(self.direction_deg)

    def take(self, rows: NDArray[np.int64] | slice) -> "Gratings":
        """Return some of the gratings."""
        return Gratings(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})


def full_screen_gratings(
    *,
    directions_deg: Sequence[float],
    spatial_frequencies: Sequence[float],
    temporal_frequencies: Sequence[float],
    phases_deg: Sequence[float],
    contrast: float,
    frame_shape: tuple[int, int],
) -> Gratings:
    """Return every combination, the phase varying fastest and the direction slowest."""
    grid = itertools.product(directions_deg, spatial_frequencies, temporal_frequencies, phases_deg)
    direction, spatial, temporal, phase = np.array(list(grid), np.float64).T
    count = len(direction)
    return Gratings(
        direction_deg=direction,
        cycles_per_pixel=spatial,
        hz=temporal,
        phase_deg=phase,
        contrast=np.full(count, float(contrast)),
        center_px=np.tile((np.array(frame_shape) - 1) / 2, (count, 1)),
        outer_px=np.full(count, np.inf),
        inner_px=np.zeros(count),
    )


def make_gratings(gratings: Gratings, frame_shape: tuple[int, int], mean: float) -> F32:
    """Return the frames of gratings.

    Edges of apertures are linear over one pixel.

    Args:
        gratings: The stimuli.
        frame_shape: Height and width in pixels.
        mean: Mean grey level; that of the surround.

    Returns:
        float32 grey levels `(stimuli, 60, height, width)` at 30 frames per second.

    Example:
        >>> one = full_screen_gratings(
        ...     directions_deg=[0], spatial_frequencies=[0.1], temporal_frequencies=[2],
        ...     phases_deg=[0], contrast=0.5, frame_shape=(36, 64),
        ... )
        >>> frames = make_gratings(one, (36, 64), mean=100.0)
        >>> frames.shape, round(float(frames.max()))
        ((1, 60, 36, 64), 150)
    """
    row_Y, column_X = (np.arange(size, dtype=np.float64) for size in frame_shape)
    down_SY = row_Y - gratings.center_px[:, :1]
    right_SX = column_X - gratings.center_px[:, 1:]
    angle_S = np.deg2rad(gratings.direction_deg)
    # Rows count downwards.
    along_SYX = (
        right_SX[:, None, :] * np.cos(angle_S)[:, None, None]
        - down_SY[:, :, None] * np.sin(angle_S)[:, None, None]
    )
    cycles_SYX = gratings.cycles_per_pixel[:, None, None] * along_SYX
    drift_ST = gratings.hz[:, None] * np.arange(NUM_FRAMES) / FRAME_RATE_HZ
    drift_ST -= gratings.phase_deg[:, None] / 360
    # cos(a - b) as two products: cosines of every pixel of every frame take ten times as long.
    space_SYX, time_ST = 2 * np.pi * cycles_SYX, 2 * np.pi * drift_ST
    distance_SYX = np.hypot(down_SY[:, :, None], right_SX[:, None, :])
    outer, inner = gratings.outer_px[:, None, None] / 2, gratings.inner_px[:, None, None] / 2
    inside_SYX = np.clip(outer - distance_SYX + 0.5, 0, 1)
    # A hole of diameter 0 has no edge.
    inside_SYX *= np.where(inner > 0, np.clip(distance_SYX - inner + 0.5, 0, 1), 1.0)
    amplitude_SYX = mean * gratings.contrast[:, None, None] * inside_SYX
    even_SYX = (amplitude_SYX * np.cos(space_SYX)).astype(np.float32)
    odd_SYX = (amplitude_SYX * np.sin(space_SYX)).astype(np.float32)
    cosine_ST, sine_ST = np.cos(time_ST).astype(np.float32), np.sin(time_ST).astype(np.float32)
    frames = cosine_ST[:, :, None, None] * even_SYX[:, None]
    frames += sine_ST[:, :, None, None] * odd_SYX[:, None]
    frames += np.float32(mean)
    return np.asarray(frames)


def make_blank(frame_shape: tuple[int, int], mean: float) -> F32:
    """Return a window of grey: float32 `(1, 60, height, width)`."""
    return np.full((1, NUM_FRAMES, *frame_shape), mean, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SparseNoise:
    """Windows in which noise fills some squares of a grid; the others are grey.

    The noise is Gaussian, without spatial frequencies above 1/8 cycle per pixel, and changes within
    a tenth of a second. Squares, not grey levels, are sparse: neurons that answer to either sign
    of contrast are driven too.

    Args:
        shown: Bool `(windows, rows, columns)`: squares with noise.
        square_px: Side of a square.
        frame_shape: Height and width of a frame in pixels.
        mean: Mean grey level.
        seed: Seed of the noise.
    """

    shown: NDArray[np.bool_]
    square_px: int
    frame_shape: tuple[int, int]
    mean: float
    seed: int

    def square_centers(self) -> tuple[F64, F64]:
        """Return the rows and the columns of the centers of squares, in pixels."""
        rows, columns = (np.arange(count, dtype=np.float64) for count in self.shown.shape[1:])
        offset = (self.square_px - 1) / 2
        return rows * self.square_px + offset, columns * self.square_px + offset

    def frames(self, first: int, last: int) -> F32:
        """Return the frames of windows `first` to `last` (exclusive).

        Returns:
            float32 grey levels `(windows, 60, height, width)`, 0 to 255.
        """
        height, width = self.frame_shape
        squares = np.repeat(self.shown[first:last], self.square_px, axis=1)
        masks = np.repeat(squares, self.square_px, axis=2)[:, None, :height, :width]
        noise = np.stack(
            [make_noise(np.random.default_rng([self.seed, window]), self.frame_shape)
             for window in range(first, min(last, len(self.shown)))]
        )  # fmt: skip
        frames = self.mean * (1 + NOISE_CONTRAST * noise * masks)
        return np.asarray(np.clip(frames, 0, 255), dtype=np.float32)


def sparse_noise(
    num_windows: int,
    frame_shape: tuple[int, int],
    *,
    mean: float,
    square_px: int = 4,
    density: float = 0.1,
    seed: int = 0,
) -> SparseNoise:
    """Draw windows of sparse noise.

    Args:
        num_windows: Number of windows.
        frame_shape: Height and width of a frame in pixels.
        mean: Mean grey level.
        square_px: Side of a square; those at the lower and right edge may be cut.
        density: Share of squares with noise.
        seed: Seed of squares and noise.
    """
    height, width = frame_shape
    grid = (-(-height // square_px), -(-width // square_px))
    shown = np.random.default_rng(seed).random((num_windows, *grid)) < density
    return SparseNoise(
        shown=shown, square_px=square_px, frame_shape=frame_shape, mean=mean, seed=seed
    )


def make_noise(rng: np.random.Generator, frame_shape: tuple[int, int]) -> F32:
    """Draw a window of Gaussian noise of unit variance: float32 `(60, height, width)`."""
    white = rng.normal(size=(NUM_FRAMES, *frame_shape)).astype(np.float32)
    across, down = np.fft.rfftfreq(frame_shape[1]), np.fft.fftfreq(frame_shape[0])
    frequency = np.hypot(down[:, None], across)
    spectrum = np.fft.rfft2(white) * (frequency <= NOISE_CUTOFF_CYCLES_PER_PIXEL)
    noise = np.fft.irfft2(spectrum, s=frame_shape).astype(np.float32)
    keep = float(np.exp(-1 / (NOISE_SECONDS * FRAME_RATE_HZ)))
    for frame in range(1, NUM_FRAMES):
        noise[frame] = keep * noise[frame - 1] + np.sqrt(1 - keep**2) * noise[frame]
    return np.asarray(noise / noise.std())


def natural_windows(
    dataset: Dataset, config: DataConfig, session: str, *, count: int, seed: int
) -> F32:
    """Draw windows of the video of the trials that a run was trained on, without blanks.

    Args:
        dataset: Shards with the session.
        config: Training tiers, and mean and standard deviation that scale frames.
        session: Session key.
        count: Number of windows; fewer where there are fewer.
        seed: Seed of the draw.

    Returns:
        float32 `(windows, 60, height, width)`: `(grey - mean) / std`, as a model takes it; no
        windows where no trial is long enough.
    """
    config = replace(config, include_blanks=False)
    table = dataset.windows(config, session)
    number = min(count, table.num_windows)
    chosen = np.random.default_rng(seed).choice(table.num_windows, number, replace=False)
    reader = WindowReader(dataset, config)
    arrays = reader.read_arrays(session, table.grid_index(chosen), np.empty(0, np.int64))
    assert arrays.video is not None, "a model of video has sessions with a screen"
    return np.asarray(arrays.video, np.float32)
