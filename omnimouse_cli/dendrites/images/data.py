"""Labeled images in memory, and their division into training, validation and test images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnimouse_cli.seeds import derive_seed

# Shares of a data set that has no test images of its own.
TEST_SHARE = VALIDATION_SHARE = 0.2
# Share of the training images where the data set has test images of its own.
VALIDATION_SHARE_BESIDE_TEST = 1 / 6
MIN_IMAGES = 20
EVALUATION_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """All images of a data set.

    Args:
        name: Name in titles and folders.
        pixels: float32 `(images, channels, height, width)`, from 0 to 1.
        labels: int64 `(images,)`, from 0 to `num_classes - 1`.
        num_classes: Number of classes.
        num_test: The last `num_test` images are the test images; with 0, every seed draws its own.
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
        if len(self.labels) - self.num_test < MIN_IMAGES:
            raise ValueError(
                f"at least {MIN_IMAGES} images must be left to train on: "
                f"{len(self.labels) - self.num_test}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Disjoint int64 indices of training, validation and test images."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_images(images: Images, seed: int, *, max_images: int | None = None) -> Split:
    """Divide images at random; equal seeds give equal splits.

    Args:
        images: The data set.
        seed: Seed of the division.
        max_images: Largest number of images used in all; None uses every image.
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
    if max_images is not None and max_images < total:
        test = np.sort(generator.permutation(test)[: max(1, max_images * len(test) // total)])
        free = free[: max(2, max_images - len(test))]
    num_validation = max(1, round(share * len(free)))
    return Split(train=free[num_validation:], validation=free[:num_validation], test=test)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SplitData:
    """One copy of the pixels on a device, and the split of every seed.

    Args:
        pixels: float32 `(images, channels, height, width)`, from 0 to 1.
        labels: int64 `(images,)`.
        train: int64 `(seeds, training images)`.
        validation: int64 `(seeds, validation images)`.
        test: int64 `(seeds, test images)`.
    """

    pixels: Tensor
    labels: Tensor
    train: Tensor
    validation: Tensor
    test: Tensor

    def batches(self, indices: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield pixels and labels of the images `indices (seeds, images)` in evaluation batches."""
        for batch in torch.split(indices, EVALUATION_BATCH, dim=1):
            yield self.pixels[batch], self.labels[batch]


def split_for_seeds(
    images: Images, seeds: Sequence[int], *, max_images: int | None, device: torch.device
) -> SplitData:
    """Move images to a device and divide them for every seed."""
    splits = [split_images(images, seed, max_images=max_images) for seed in seeds]

    def stack(parts: list[NDArray[np.int64]]) -> Tensor:
        return torch.from_numpy(np.stack(parts)).to(device)

    return SplitData(
        pixels=torch.from_numpy(images.pixels).to(device),
        labels=torch.from_numpy(images.labels).to(device),
        train=stack([split.train for split in splits]),
        validation=stack([split.validation for split in splits]),
        test=stack([split.test for split in splits]),
    )
