"""Who is trained at once: seeds and their settings, their images, their random numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.dendrites.images.images import Images, split_of
from omnimouse_cli.dendrites.images.network import Dropout
from omnimouse_cli.dendrites.images.settings import Setting
from omnimouse_cli.seeds import derive_seed

EVALUATED_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainee:
    """One training among those that run at once: its seed and its setting."""

    seed: int
    setting: Setting


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Data:
    """The images of several trainees: one copy of the pixels and each one's indices.

    Args:
        pixels: float32 `(images, channels, height, width)`, from 0 to 1.
        labels: int64 `(images,)`.
        train: int64 `(trainees, images)`.
        validation: The same.
        test: The same.
    """

    pixels: Tensor
    labels: Tensor
    train: Tensor
    validation: Tensor
    test: Tensor

    def batches(self, indices: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Give pixels and labels of indices `(trainees, images)`, some images at a time."""
        for some in torch.split(indices, EVALUATED_AT_ONCE, dim=1):
            yield self.pixels[some], self.labels[some]


def data_of(
    images: Images, seeds: Sequence[int], *, most_images: int | None, device: torch.device
) -> Data:
    """Divide the images for every seed; equal seeds divide them in the same way."""
    splits = [split_of(images, seed, most_images=most_images) for seed in seeds]

    def stacked(parts: list[np.ndarray[tuple[int], np.dtype[np.int64]]]) -> Tensor:
        return torch.from_numpy(np.stack(parts)).to(device)

    return Data(
        pixels=torch.from_numpy(images.pixels).to(device),
        labels=torch.from_numpy(images.labels).to(device),
        train=stacked([split.train for split in splits]),
        validation=stacked([split.validation for split in splits]),
        test=stacked([split.test for split in splits]),
    )


def generators_of(
    trainees: Sequence[Trainee], *purpose: int | str, device: str = "cpu"
) -> list[torch.Generator]:
    """Give a source of random numbers for each trainee, whoever else is trained beside it."""
    return [
        torch.Generator(device).manual_seed(derive_seed(trainee.seed, *purpose))
        for trainee in trainees
    ]


def dropout_of(trainees: Sequence[Trainee], generators: Sequence[torch.Generator]) -> Dropout:
    """Give a function that drops each trainee's share of activations `(batch, trainees, ...)`."""
    kept = [1 - trainee.setting.dropout for trainee in trainees]

    def drop(activations: Tensor) -> Tensor:
        mask = torch.empty(
            (len(kept), activations.shape[0], *activations.shape[2:]),
            dtype=activations.dtype,
            device=activations.device,
        )
        for place, (share, generator) in enumerate(zip(kept, generators, strict=True)):
            mask[place].bernoulli_(share, generator=generator).div_(share)
        return activations * mask.transpose(0, 1)

    return drop
