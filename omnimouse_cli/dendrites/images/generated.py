"""Generated images whose class is a product of features, or their sum: the answer is known."""

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.dendrites.images.data import Images
from omnimouse_cli.seeds import derive_seed

XOR_IMAGES, LINEAR_IMAGES = "xor-images", "linear-images"
GENERATED = (XOR_IMAGES, LINEAR_IMAGES)
NUM_IMAGES, SIDE = 1800, 8
# Gratings in the four quarters of an image, and the noise of every pixel; around mid-grey.
CONTRAST, NOISE = 0.3, 0.1


def generate_images(name: str, *, seed: int = 0) -> Images:
    """Draw images with a grating in each quarter, whose contrast is from -1 to 1.

    Of `xor-images` the class is the sign of ab + cd, where a and b are the contrasts in the upper
    quarters and c and d those in the lower ones: whether contrasts that stand side by side agree.
    No linear rule on pixels is better than chance. Of `linear-images` it is the sign of
    a + b + c + d. With equal seeds both are the same images.

    Args:
        name: One of `GENERATED`.
        seed: Seed of contrasts and noise.
    """
    generator = np.random.default_rng(derive_seed(seed, "generated images"))
    contrasts = generator.uniform(-1, 1, (NUM_IMAGES, 4))
    noise = generator.normal(0, NOISE, (NUM_IMAGES, SIDE, SIDE))
    pixels = 0.5 + CONTRAST * np.tensordot(contrasts, _draw_gratings(), 1) + noise
    first, second, third, fourth = contrasts.T
    values = first * second + third * fourth if name == XOR_IMAGES else contrasts.sum(axis=1)
    return Images(
        name=name,
        pixels=np.asarray(pixels.clip(0, 1), np.float32)[:, None],
        labels=np.asarray(values > 0, np.int64),
        num_classes=2,
        num_test=0,
    )


def _draw_gratings() -> NDArray[np.float64]:
    """Return a grating of -1 and 1 in each quarter, `(quarters, height, width)`."""
    half = SIDE // 2
    bars = np.tile([1.0, 1.0, -1.0, -1.0], (half, half // 4))
    gratings = np.zeros((4, SIDE, SIDE))
    for number in range(4):
        top, left = half * (number // 2), half * (number % 2)
        gratings[number, top : top + half, left : left + half] = bars.T if number % 2 else bars
    return gratings
