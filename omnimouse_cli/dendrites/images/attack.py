"""Attacks on images within a box about each pixel: with gradients, and with answers alone."""

import importlib.util
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

# Gives logits `(seeds, batch, classes)` of images `(seeds, batch, channels, height, width)`.
Predict = Callable[[Tensor], Tensor]

# The whole way to the border and back fits into the steps.
STEP_SHARE = 2.5
LIBRARY = "art"
FIRST_SQUARE = 0.3


class Attacked(NamedTuple):
    """What an attack reached.

    Args:
        fooled: bool `(seeds, batch)`: some answer was wrong.
        loss: float32 `(seeds, batch)`: the largest cross-entropy met.
    """

    fooled: Tensor
    loss: Tensor


def gradient_attack(
    predict: Predict,
    pixels: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    steps: int,
    restarts: int,
    seed: int,
    box: tuple[float, float] = (0.0, 1.0),
) -> Attacked:
    """Follow the sign of the gradient from random starts, projected back at every step.

    Restarts take turns between cross-entropy and the margin between the best wrong class and the
    right one, whose gradient does not vanish where a network is sure.

    Args:
        predict: The attacked networks.
        pixels: `(seeds, batch, channels, height, width)`.
        labels: `(seeds, batch)`.
        epsilon: Largest change of a pixel.
        steps: Of each restart.
        restarts: Random starts.
        seed: Of the starts.
        box: Lowest and highest value of a pixel.
    """
    generator = torch.Generator(pixels.device).manual_seed(seed)
    fooled, worst = _judged(predict(pixels), labels)
    for restart in range(restarts):
        start = torch.rand(pixels.shape, generator=generator, device=pixels.device) * 2 - 1
        moved = (pixels + epsilon * start).clamp(*box)
        for _ in range(steps):
            moved = moved.detach().requires_grad_()
            logits = predict(moved)
            aim = _margin(logits, labels) if restart % 2 else _losses(logits, labels)
            gradient = torch.autograd.grad(aim.sum(), moved)[0]
            further = moved.detach() + STEP_SHARE * epsilon / steps * gradient.sign()
            moved = (pixels + (further - pixels).clamp(-epsilon, epsilon)).clamp(*box)
        now_fooled, loss = _judged(predict(moved), labels)
        fooled, worst = fooled | now_fooled, torch.maximum(worst, loss)
    return Attacked(fooled=fooled, loss=worst)


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return losses.view(labels.shape)


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    right = logits.gather(2, labels[..., None])[..., 0]
    others = logits.scatter(2, labels[..., None], -torch.inf)
    return others.amax(dim=2) - right


@torch.no_grad()
def _judged(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return logits.argmax(dim=2) != labels, _losses(logits, labels)


def has_square_attack() -> bool:
    """Say whether the library of the attack without gradients is installed."""
    return importlib.util.find_spec(LIBRARY) is not None


def square_attack(
    predict: Callable[[Tensor], Tensor],
    pixels: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    queries: int,
    seed: int,
    num_classes: int,
) -> Tensor:
    """Try random squares and keep what helps: the Square Attack of a well-kept toolbox (art).

    Args:
        predict: One network: logits `(batch, classes)` of `(batch, channels, height, width)`.
        pixels: float32 `(batch, channels, height, width)`, from 0 to 1.
        labels: `(batch,)`.
        epsilon: Largest change of a pixel.
        queries: Of the network, for each image.
        seed: Of the squares.
        num_classes: Of the network.

    Returns:
        bool `(batch,)`: which images are fooled.
    """
    from art.attacks.evasion import SquareAttack
    from art.estimators.classification import BlackBoxClassifierNeuralNetwork

    def answers(images: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> object:
        with torch.no_grad():
            given = torch.from_numpy(np.ascontiguousarray(images, np.float32)).to(pixels.device)
            return predict(given).softmax(dim=1).cpu().numpy()

    attacked = BlackBoxClassifierNeuralNetwork(
        answers, tuple(pixels.shape[1:]), num_classes, clip_values=(0.0, 1.0)
    )
    attack = SquareAttack(
        attacked,
        norm=np.inf,
        eps=epsilon,
        max_iter=queries,
        p_init=FIRST_SQUARE,
        nb_restarts=1,
        batch_size=len(pixels),
        verbose=False,
    )
    # The library draws from NumPy's global generator.
    before = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        changed = attack.generate(pixels.cpu().numpy(), labels.cpu().numpy())
    finally:
        np.random.set_state(before)
    within = np.clip(changed, pixels.cpu().numpy() - epsilon, pixels.cpu().numpy() + epsilon)
    with torch.no_grad():
        moved = torch.from_numpy(np.clip(within, 0, 1).astype(np.float32)).to(pixels.device)
        return predict(moved).argmax(dim=1) != labels
