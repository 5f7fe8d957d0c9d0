"""Labelled images in memory, and how they are divided for one seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.seeds import derive_seed

# Of images without a test part of their own: test, and validation; of others: validation.
TEST_SHARE = VALIDATION_SHARE = 0.2
VALIDATION_SHARE_BESIDE_TEST = 1 / 6
FEWEST_IMAGES = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """All images of a data set.

    Args:
        name: For titles and folders.
        pixels: float32 `(images, channels, height, width)`, from 0 to 1.
        labels: int64 `(images,)`, from 0.
        num_classes: Labels are below it.
        num_test: The last so many images are the test part; 0 where every seed draws its own.
    """

    name: str
    pixels: NDArray[np.float32]
    labels: NDArray[np.int64]
    num_classes: int
    num_test: int

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or len(self.pixels) != len(self.labels):
            raise ValueError(
                f"`pixels` must be (images, channels, height, width) with one label each: "
                f"{self.pixels.shape} and {self.labels.shape}"
            )
        if len(self.labels) - self.num_test < FEWEST_IMAGES:
            raise ValueError(
                f"at least {FEWEST_IMAGES} images must be left to train on: "
                f"{len(self.labels) - self.num_test}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width of one image."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Indices of images: int64, no image in two parts."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_of(images: Images, seed: int, *, most_images: int | None = None) -> Split:
    """Divide images at random; the same for whoever asks with the same seed.

    Args:
        images: All.
        seed: Of the division.
        most_images: No more than so many are used in all.
    """
    generator = np.random.default_rng(derive_seed(seed, "split"))
    total = len(images.labels)
    free = generator.permutation(total - images.num_test)
    if images.num_test:
        test = np.arange(total - images.num_test, total)
        share = VALIDATION_SHARE_BESIDE_TEST
    else:
        num_test = round(TEST_SHARE * total)
        test, free = free[:num_test], free[num_test:]
        share = VALIDATION_SHARE / (1 - TEST_SHARE)
    if most_images is not None and most_images < total:
        test = np.sort(generator.permutation(test)[: max(1, most_images * len(test) // total)])
        free = free[: max(2, most_images - len(test))]
    num_validation = max(1, round(share * len(free)))
    return Split(train=free[num_validation:], validation=free[:num_validation], test=test)
