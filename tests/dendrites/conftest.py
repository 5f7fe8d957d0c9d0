"""Small images whose classes are easy, and helpers for networks of several seeds."""

import numpy as np
import pytest
import torch

from omnimouse_cli.dendrites.images.data import Images
from omnimouse_cli.dendrites.images.settings import ComparisonSettings


def bars(count, side=8, seed=0):
    """Images of a bright row or column, two classes, with noise."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    pixels = generator.uniform(0, 0.3, (count, 1, side, side)).astype(np.float32)
    for pixel, label, place in zip(
        pixels, labels, generator.integers(1, side - 1, count), strict=True
    ):
        if label:
            pixel[0, place] += 0.7
        else:
            pixel[0, :, place] += 0.7
    return pixels, labels


@pytest.fixture
def images():
    pixels, labels = bars(100)
    return Images(name="bars", pixels=pixels, labels=labels, num_classes=2, num_test=0)


@pytest.fixture
def small_settings():
    return ComparisonSettings(
        data="bars",
        seeds=2,
        epochs=2,
        pretrain_steps=20,
        batch=20,
        inner=(4, 4),
        networks=("mlp",),
        attack_images=6,
        attack_steps=3,
        attack_restarts=2,
        attack_queries=5,
    )


@pytest.fixture
def generators():
    return [torch.Generator().manual_seed(seed) for seed in (1, 2, 3)]
