"""The screen as columns of a regression: brightness, contrast and change of coarse patches."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.evaluation.session_reader import F32, I64, Range, SessionReader
from omnimouse_cli.recording.recording import latest_index

# Patches of the screen over which brightness and contrast are averaged.
COARSE_ROWS, COARSE_COLUMNS = 6, 8
FRAMES_AT_ONCE = 4096


def screen_features(reader: SessionReader, grid: I64, samples: Range) -> F32:
    """Describe the screen by brightness, contrast and change of its patches.

    The change is against the flip before, which a window need not hold: only that tells motion
    from a still picture.

    Args:
        reader: The session.
        grid: int64 `(windows,)`.
        samples: First and last frame within the windows, half-open.

    Returns:
        float32 `(windows, samples, features)`.
    """
    coarse, frame_index = _coarse_session_frames(reader), reader.shard.frame_index
    flips = latest_index(reader.shard.flip_seconds, reader.sample_seconds(grid, samples))
    now = coarse[frame_index[flips]]
    num_patches = now.shape[-1] // 2
    change = now[..., :num_patches] - coarse[frame_index[np.maximum(flips - 1, 0)], :num_patches]
    np.abs(change, out=change)
    return np.concatenate([now, change], axis=-1)


# The strategies of a session share its frames.
@lru_cache(maxsize=1)
def _coarse_session_frames(reader: SessionReader) -> F32:
    return coarse_frames(reader.shard.frames)


def coarse_frames(frames: NDArray[np.uint8]) -> F32:
    """Return mean and standard deviation of each of 6 x 8 patches of every frame.

    Args:
        frames: uint8 `(frames, height, width)`.

    Returns:
        float32 `(frames, 96)`: 48 means, then 48 deviations, in grey levels / 59.
    """
    count, height, width = frames.shape
    rows = np.linspace(0, height, min(COARSE_ROWS, height) + 1).astype(int)
    columns = np.linspace(0, width, min(COARSE_COLUMNS, width) + 1).astype(int)
    area = np.outer(np.diff(rows), np.diff(columns)).astype(np.float32)
    features = np.empty((count, 2 * area.size), np.float32)
    for first in range(0, count, FRAMES_AT_ONCE):
        part = frames[first : first + FRAMES_AT_ONCE].astype(np.float32) / 59.0
        mean = _patch_sums(part, rows, columns) / area
        square = _patch_sums(part**2, rows, columns) / area
        deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
        both = np.stack([mean, deviation], axis=1)
        features[first : first + FRAMES_AT_ONCE] = both.reshape(len(part), -1)
    return features


def _patch_sums(frames: F32, rows: I64, columns: I64) -> F32:
    return np.add.reduceat(np.add.reduceat(frames, rows[:-1], axis=1), columns[:-1], axis=2)
