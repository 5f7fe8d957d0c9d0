"""Corruptions grow with severity; attacks do what arithmetic says they can, and no more."""

import numpy as np
import pytest
import torch

from omnimouse_cli.dendrites.images.robustness import (
    gradient_attack,
    has_square_attack,
    square_attack,
)
from omnimouse_cli.evaluation.robustness.corruption import CORRUPTIONS, corrupt


@pytest.mark.parametrize("family", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(12, 1, 8, 8), (4, 3, 20, 24)])
def test_a_corruption_grows_with_severity_and_is_the_same_twice(family, shape):
    places = np.linspace(0, 3, shape[2])[:, None] + np.linspace(0, 2, shape[3])
    pixels = np.broadcast_to(0.5 + 0.5 * np.sin(4 * places), shape).astype(np.float32)
    changes = []
    for severity in (1, 3, 5):
        worse = corrupt(pixels, family, severity, 7)
        assert worse.shape == shape
        assert np.array_equal(worse, corrupt(pixels, family, severity, 7))
        changes.append(float(np.abs(worse / 255 - pixels).mean()))
    assert 0 < changes[0] < changes[1] < changes[2]


def linear(weight):
    """Two classes, told apart by a weighted sum of pixels about their middle."""

    def predict(pixels):
        score = ((pixels - 0.5).flatten(2) * weight).sum(dim=2)
        return torch.stack([score, -score], dim=2)

    return predict


def far_and_near(weight, margins):
    """Images whose score is `margins`: the least change that fools is the score over |weight|_1."""
    direction = weight / weight.square().sum()
    pixels = 0.5 + torch.tensor(margins)[:, None] * direction
    return pixels.view(1, len(margins), 1, 2, 2), torch.zeros(1, len(margins), dtype=torch.int64)


def test_a_linear_network_is_fooled_exactly_where_the_budget_suffices():
    weight = torch.tensor([1.0, -2.0, 0.5, 0.5])
    margins = [0.05, 0.39, 0.41, 0.6]
    pixels, labels = far_and_near(weight, margins)
    reached = gradient_attack(
        linear(weight), pixels, labels, epsilon=0.1, steps=10, restarts=2, seed=0
    )
    assert reached.fooled[0].tolist() == [margin < 0.1 * 4 for margin in margins]
    least = torch.tensor(margins) - 0.4
    expected = torch.nn.functional.softplus(-2 * least)
    assert torch.allclose(reached.loss[0], expected, atol=1e-5)


def test_an_attack_stays_in_the_box_and_the_unbounded_one_always_succeeds():
    weight = torch.tensor([1.0, -2.0, 0.5, 0.5])
    pixels, labels = far_and_near(weight, [0.05, 0.6])
    seen = []

    def predict(moved):
        seen.append(moved.detach())
        return linear(weight)(moved)

    for epsilon in (0.05, 1.0):
        seen.clear()
        reached = gradient_attack(
            predict, pixels, labels, epsilon=epsilon, steps=5, restarts=2, seed=0
        )
        moved = torch.stack(seen)
        assert (moved - pixels).abs().max() <= epsilon + 1e-6
        assert moved.min() >= 0
        assert moved.max() <= 1
    assert reached.fooled.all()


@pytest.mark.skipif(not has_square_attack(), reason="needs the extra omnimouse[attack]")
def test_the_attack_without_gradients_fools_only_where_the_budget_suffices():
    weight = torch.tensor([1.0, -2.0, 0.5, 0.5])
    pixels, labels = far_and_near(weight, [0.05, 0.41, 0.6])
    before = np.random.get_state()[1].copy()
    fooled = square_attack(
        lambda some: linear(weight)(some[None])[0],
        pixels[0],
        labels[0],
        epsilon=0.1,
        queries=60,
        seed=0,
        num_classes=2,
    )
    assert fooled.tolist() == [True, False, False]
    assert np.array_equal(before, np.random.get_state()[1])
