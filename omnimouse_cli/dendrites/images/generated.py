"""Generated images whose class is a product of features, or their sum: the answer is known."""

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.dendrites.images.data import Images
from omnimouse_cli.seeds import derive_seed

XOR_IMAGES, LINEAR_IMAGES = "xor-images", "linear-images"
GENERATED = (XOR_IMAGES, LINEAR_IMAGES)
NUM_IMAGES, SIDE = 1800, 8
# Contrast of a grating around mid-grey, and the noise of every pixel.
CONTRAST, NOISE = 0.25, 0.1


def generate_images(name: str, *, seed: int = 0) -> Images:
    """Draw images with a vertical and a horizontal grating in each quarter.

    Contrasts are from -1 to 1. Of `xor-images` the class is the sign of the sum over quarters of
    the product of both contrasts: whether the two gratings of a place agree. No linear rule on
    pixels is better than chance. Of `linear-images` it is the sign of the sum of all contrasts.
    With equal seeds both are the same images.

    Args:
        name: One of `GENERATED`.
        seed: Seed of contrasts and noise.
    """
    generator = np.random.default_rng(derive_seed(seed, "generated images"))
    contrasts = generator.uniform(-1, 1, (NUM_IMAGES, 2, 4))
    noise = generator.normal(0, NOISE, (NUM_IMAGES, SIDE, SIDE))
    pixels = 0.5 + CONTRAST * np.tensordot(contrasts, _draw_gratings(), 2) + noise
    features = contrasts.prod(axis=1) if name == XOR_IMAGES else contrasts.sum(axis=1)
    return Images(
        name=name,
        pixels=np.asarray(pixels.clip(0, 1), np.float32)[:, None],
        labels=np.asarray(features.sum(axis=1) > 0, np.int64),
        num_classes=2,
        num_test=0,
    )


def _draw_gratings() -> NDArray[np.float64]:
    """Return gratings of -1 and 1, float64 `(orientations, quarters, height, width)`."""
    half = SIDE // 2
    vertical = np.tile([1.0, 1.0, -1.0, -1.0], (half, 1))
    gratings = np.zeros((2, 4, SIDE, SIDE))
    for number in range(4):
        top, left = half * (number // 2), half * (number % 2)
        place = (number, slice(top, top + half), slice(left, left + half))
        gratings[0, *place], gratings[1, *place] = vertical, vertical.T
    return gratings
