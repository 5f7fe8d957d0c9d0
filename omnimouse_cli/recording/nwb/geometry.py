"""Geometry of the monitor: what a template of the stimulus looks like on it, at 36 x 64 pixels."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import Monitor
from omnimouse_cli.recording.resize import FRAME_HEIGHT, FRAME_WIDTH

# Grey around templates and between stimuli.
GREY = 127
# Samples of a template per pixel of a frame, about one per pixel of a monitor of 1200 x 1920.
_ROWS_PER_PIXEL = 34
_COLUMNS_PER_PIXEL = 30
# Samples of a grating per pixel of a frame, along each axis: enough for .5 cycles per degree.
_GRATING_SAMPLES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Display:
    """A monitor in front of the eye, which looks at its centre at a right angle.

    Stimuli are drawn in a texture plane as large as the monitor. With the spherical warp, the
    texture's distance from the centre is an arc on a sphere round the eye: a point of the monitor
    at distance r from the centre shows the texture at distance d arctan(r / d), d being the
    distance of the eye, in the same direction. Without it, monitor and texture are one plane.

    Args:
        width_cm: Width of the monitor in centimetres.
        height_cm: Height of the monitor.
        distance_cm: Distance from the eye to the monitor.
        warp: Correction for the flat monitor.
        num_rows: Pixels of the monitor, vertically.
        num_columns: Pixels of the monitor, horizontally.
    """

    width_cm: float
    height_cm: float
    distance_cm: float
    warp: Literal["spherical"] | None
    num_rows: int
    num_columns: int

    @property
    def monitor(self) -> Monitor:
        """The monitor, as recordings describe it."""
        return Monitor(
            policy="the monitor",
            width_cm=self.width_cm,
            height_cm=self.height_cm,
            distance_cm=self.distance_cm,
            warp=self.warp,
        )

    def texture_cm(
        self, x_cm: NDArray[np.float64], y_cm: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return which points of the texture the monitor shows at some of its points.

        Args:
            x_cm: Distance from the centre of the monitor, to the right.
            y_cm: Distance from the centre, of a shape that broadcasts with `x_cm`.

        Returns:
            The texture's x and y, centimetres from its centre.

        Example:
            >>> x, y = ALLEN.texture_cm(np.array([25.95]), np.array([0.0]))
            >>> print(f"{x.item() / 25.95:.3f} of the texture's width is on the screen")
            0.605 of the texture's width is on the screen
        """
        if self.warp is None:
            return np.broadcast_to(x_cm, np.broadcast_shapes(x_cm.shape, y_cm.shape)), y_cm
        share = np.hypot(x_cm, y_cm) / self.distance_cm
        # arctan(share) / share tends to 1 at the centre.
        scale = np.divide(np.arctan(share), share, out=np.ones_like(share), where=share > 0)
        return x_cm * scale, y_cm * scale


# Monitor of Allen's Visual Coding (ASUS PA248Q at 15 cm). Source: white paper, AllenSDK.
ALLEN = Display(
    width_cm=51.9,
    height_cm=32.4,
    distance_cm=15.0,
    warp="spherical",
    num_rows=1200,
    num_columns=1920,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PixelMap:
    """A sparse linear operator from the pixels of a template to those of a frame.

    Args:
        pixels: int64: template pixels with a weight, in the order of the frame's pixels.
        weights: float32, of the same length.
        first: int64: where each frame pixel that shows the template begins in `pixels`.
        shown: int64: these frame pixels.
        background: float32 `(36 * 64,)`: grey levels where the template is not.
    """

    pixels: NDArray[np.int64]
    weights: NDArray[np.float32]
    first: NDArray[np.int64]
    shown: NDArray[np.int64]
    background: NDArray[np.float32]

    def render(self, template: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the frame that shows a template.

        Args:
            template: Grey levels, uint8, of the size for which the operator was made.

        Returns:
            uint8 `(36, 64)`.
        """
        frame = self.background.copy()
        values = template.reshape(-1)[self.pixels] * self.weights
        frame[self.shown] += np.add.reduceat(values, self.first)
        levels: NDArray[np.uint8] = np.clip(np.floor(frame + 0.5), 0, 255).astype(np.uint8)
        return levels.reshape(FRAME_HEIGHT, FRAME_WIDTH)


def map_template(
    display: Display, template_shape: tuple[int, int], rectangle: tuple[int, int]
) -> PixelMap:
    """Return the operator that shows a template on a monitor, averaged to 36 x 64 pixels.

    The template fills a rectangle in the centre of the texture plane, without smoothing; round it
    is grey 127.

    Args:
        display: The monitor.
        template_shape: Rows and columns of the template.
        rectangle: Rows and columns of the rectangle, in pixels of the monitor.
    """
    rows, columns = template_shape
    height_cm = display.height_cm * rectangle[0] / display.num_rows
    width_cm = display.width_cm * rectangle[1] / display.num_columns
    x_cm = _midpoints(FRAME_WIDTH * _COLUMNS_PER_PIXEL, display.width_cm)
    y_cm = _midpoints(FRAME_HEIGHT * _ROWS_PER_PIXEL, display.height_cm)
    frame_column = np.repeat(np.arange(FRAME_WIDTH), _COLUMNS_PER_PIXEL)
    keys, counts = [], []
    # One row of the frame at a time, so that few megabytes are needed.
    for frame_row in range(FRAME_HEIGHT):
        inside = y_cm[frame_row * _ROWS_PER_PIXEL : (frame_row + 1) * _ROWS_PER_PIXEL, None]
        x, y = display.texture_cm(x_cm[None, :], inside)
        column = np.floor((x / width_cm + 0.5) * columns).astype(np.int64)
        row = np.floor((y / height_cm + 0.5) * rows).astype(np.int64)
        is_shown = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        target = np.broadcast_to(frame_row * FRAME_WIDTH + frame_column, column.shape)
        key = (target * (rows * columns) + row * columns + column)[is_shown]
        unique, count = np.unique(key, return_counts=True)
        keys.append(unique)
        counts.append(count)
    target, pixels = np.divmod(np.concatenate(keys), rows * columns)
    weights = np.concatenate(counts) / (_ROWS_PER_PIXEL * _COLUMNS_PER_PIXEL)
    shown, first = np.unique(target, return_index=True)
    covered = np.bincount(target, weights=weights, minlength=FRAME_HEIGHT * FRAME_WIDTH)
    return PixelMap(
        pixels=pixels,
        weights=weights.astype(np.float32),
        first=first.astype(np.int64),
        shown=shown,
        background=(GREY * (1 - covered)).astype(np.float32),
    )


@lru_cache(maxsize=1)
def grating_samples(display: Display) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points of the texture in every pixel of a frame, in degrees, for drawing gratings.

    Args:
        display: The monitor.

    Returns:
        x and y (upwards), float64 `(36, 64, points)`; the mean over `points` is that over a pixel.
    """
    x_cm = _midpoints(FRAME_WIDTH * _GRATING_SAMPLES, display.width_cm)
    # Rows of a frame run downwards.
    y_cm = -_midpoints(FRAME_HEIGHT * _GRATING_SAMPLES, display.height_cm)
    shape = (FRAME_HEIGHT, _GRATING_SAMPLES, FRAME_WIDTH, _GRATING_SAMPLES)
    points = (FRAME_HEIGHT, FRAME_WIDTH, _GRATING_SAMPLES**2)
    x, y = (
        np.broadcast_to(np.degrees(axis / display.distance_cm), (len(y_cm), len(x_cm)))
        .reshape(shape)
        .transpose(0, 2, 1, 3)
        .reshape(points)
        for axis in display.texture_cm(x_cm[None, :], y_cm[:, None])
    )
    return x, y


def _midpoints(num_samples: int, length: float) -> NDArray[np.float64]:
    """Return the midpoints of equal parts of a line, from its centre."""
    return ((np.arange(num_samples) + 0.5) / num_samples - 0.5) * length
