"""Frames at the size that the model sees, by area averaging."""

import numpy as np
from numpy.typing import NDArray

# The frames that the model sees. Source: OmniMouse (ICLR 2026, arXiv 2604.18827).
FRAME_HEIGHT = 36
FRAME_WIDTH = 64
# Frames are averaged in float64, this many bytes of them at once.
_BLOCK_BYTES = 2 * 2**20


def resize_frames(
    frames: NDArray[np.uint8], shape: tuple[int, int] = (FRAME_HEIGHT, FRAME_WIDTH)
) -> NDArray[np.uint8]:
    """Resize frames by area averaging.

    A new pixel is the mean of the area it covers, partly covered pixels weighted by their share.

    Args:
        frames: uint8 `(frames, height, width)`.
        shape: Height and width of the result in pixels.

    Returns:
        uint8 `(frames, *shape)`; the same array where it has this shape already.
    """
    height, width = frames.shape[1:]
    if (height, width) == shape:
        return frames
    rows, columns = _area_weights(height, shape[0]), _area_weights(width, shape[1])
    result = np.empty((len(frames), *shape), dtype=np.uint8)
    num_frames = max(1, _BLOCK_BYTES // (8 * height * width))
    for first in range(0, len(frames), num_frames):
        block = frames[first : first + num_frames].astype(np.float64)
        result[first : first + num_frames] = np.floor(rows @ block @ columns.T + 0.5)
    return result


def _area_weights(num_source: int, num_target: int) -> NDArray[np.float64]:
    """Return the weights of old pixels in new ones: `(num_target, num_source)`; rows sum to 1."""
    edges = np.arange(num_target + 1) * (num_source / num_target)
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(num_source)[None, :]
    overlap = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0.0, None)
    weights: NDArray[np.float64] = overlap / overlap.sum(axis=1, keepdims=True)
    return weights
