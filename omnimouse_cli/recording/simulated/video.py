"""Natural-like video: drifting and evolving 1/f noise, moving textured objects, still images."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.simulated.settings import (
    FRAME_HEIGHT,
    FRAME_RATE_HZ,
    FRAME_WIDTH,
    GREY,
    GREY_STD,
)

ClipStyle = Literal["noise", "objects"]
F32 = NDArray[np.float32]


def _draw_path(
    rng: np.random.Generator, num_frames: int, speed: float, memory_seconds: float
) -> NDArray[np.float64]:
    """Draw a smooth path, `(num_frames, 2)` pixels down and right; velocities have std `speed`."""
    keep = np.exp(-1.0 / (memory_seconds * FRAME_RATE_HZ))
    velocity = rng.normal(0.0, speed, 2)
    kicks = rng.normal(0.0, speed * np.sqrt(1 - keep**2), (num_frames, 2))
    path = np.empty((num_frames, 2))
    position = np.zeros(2)
    for frame in range(num_frames):
        path[frame] = position
        velocity = keep * velocity + kicks[frame]
        position = position + velocity / FRAME_RATE_HZ
    return path


def _draw_texture(
    rng: np.random.Generator, path: NDArray[np.float64], lifetime_seconds: float | None
) -> F32:
    """Draw 1/f noise of unit variance that moves along `path` and changes over time.

    Args:
        rng: Random numbers.
        path: Offset of the texture per frame, `(num_frames, 2)` pixels.
        lifetime_seconds: Time constant of the change; None keeps one rigid texture.

    Returns:
        `(num_frames, FRAME_HEIGHT, FRAME_WIDTH)`.
    """
    down = np.fft.fftfreq(FRAME_HEIGHT)[:, None]
    right = np.fft.rfftfreq(FRAME_WIDTH)[None, :]
    radius = np.hypot(down, right)
    amplitude = 1.0 / np.maximum(radius, 1.0 / FRAME_WIDTH)
    amplitude[0, 0] = 0.0

    def draw() -> NDArray[np.complex128]:
        noise = rng.normal(size=(2, *amplitude.shape))
        return np.asarray((noise[0] + 1j * noise[1]) * amplitude)

    num_frames = len(path)
    spectrum = np.empty((num_frames, *amplitude.shape), np.complex64)
    keep = 1.0 if lifetime_seconds is None else np.exp(-1 / (lifetime_seconds * FRAME_RATE_HZ))
    current = draw()
    for frame in range(num_frames):
        spectrum[frame] = current
        if keep < 1.0:
            current = keep * current + np.sqrt(1 - keep**2) * draw()
    shift = path[:, 0, None, None] * down + path[:, 1, None, None] * right
    spectrum *= np.exp(-2j * np.pi * shift).astype(np.complex64)
    movie = np.fft.irfft2(spectrum, s=(FRAME_HEIGHT, FRAME_WIDTH)).astype(np.float32)
    movie /= movie.std() + 1e-6
    return movie


def _paste_object(rng: np.random.Generator, movie: F32) -> None:
    """Draw one moving textured ellipse with a soft edge into `movie`, in place."""
    num_frames = len(movie)
    path = _draw_path(rng, num_frames, speed=14.0, memory_seconds=1.5)
    size = rng.uniform(5.0, 11.0)
    aspect = rng.uniform(0.6, 1.0)
    start = rng.uniform([4, 6], [FRAME_HEIGHT - 4, FRAME_WIDTH - 6])
    center = start + path
    # Objects wrap around the edges, as the texture under them does.
    row = np.arange(FRAME_HEIGHT)[None, :] - center[:, :1]
    column = np.arange(FRAME_WIDTH)[None, :] - center[:, 1:]
    row = (row + FRAME_HEIGHT / 2) % FRAME_HEIGHT - FRAME_HEIGHT / 2
    column = (column + FRAME_WIDTH / 2) % FRAME_WIDTH - FRAME_WIDTH / 2
    distance = np.hypot(row[:, :, None] / aspect, column[:, None, :]) / size
    mask = 1.0 / (1.0 + np.exp(12.0 * (distance - 1.0)))
    surface = rng.normal(0.0, 0.9) + 0.8 * _draw_texture(rng, path, None)
    movie += mask.astype(np.float32) * (surface.astype(np.float32) - movie)


def _to_grey_levels(rng: np.random.Generator, movie: F32) -> NDArray[np.uint8]:
    contrast = float(np.clip(np.exp(rng.normal(0.0, 0.35)), 0.5, 1.6))
    movie = GREY + rng.normal(0.0, 10.0) + GREY_STD * contrast * movie
    return np.clip(np.round(movie), 0, 255).astype(np.uint8)


def draw_clip(rng: np.random.Generator, num_frames: int, style: ClipStyle) -> NDArray[np.uint8]:
    """Draw a clip at 30 frames per second.

    Args:
        rng: Random numbers; equal generators give equal clips.
        num_frames: Number of frames.
        style: Moving and evolving noise, or objects before a moving background.

    Returns:
        `(num_frames, 36, 64)` grey levels, mean about 113, standard deviation about 55.
    """
    path = _draw_path(rng, num_frames, speed=rng.uniform(3.0, 18.0), memory_seconds=1.0)
    if style == "noise":
        movie = _draw_texture(rng, path, lifetime_seconds=rng.uniform(0.3, 2.0))
    else:
        movie = _draw_texture(rng, path, lifetime_seconds=None)
        for _ in range(rng.integers(2, 5)):
            _paste_object(rng, movie)
    return _to_grey_levels(rng, movie)


def draw_image(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a still image `(36, 64)`: objects before a background."""
    return np.asarray(draw_clip(rng, 1, "objects")[0])
