"""Adam with decoupled weight decay, with a learning rate and a decay for each seed."""

from collections.abc import Mapping

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class StackedAdam:
    """Trains weights whose first dimension is the seed, as that many optimizers would.

    Args:
        weights: What is trained, changed in place.
        learning_rates: float32 `(seeds,)`.
        weight_decays: float32 `(seeds,)`; biases do not decay.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], learning_rates: Tensor, weight_decays: Tensor
    ) -> None:
        self._weights = list(weights.values())
        self._means = [torch.zeros_like(weight) for weight in self._weights]
        self._squares = [torch.zeros_like(weight) for weight in self._weights]
        shapes = [(-1,) + (1,) * (weight.ndim - 1) for weight in self._weights]
        self._rates = [learning_rates.view(shape) for shape in shapes]
        self._kept = [
            1 - (learning_rates * weight_decays).view(shape) if len(shape) > 2 else None
            for shape in shapes
        ]
        self._steps = 0

    @torch.no_grad()
    def step(self, gradients: tuple[Tensor, ...]) -> None:
        """Change every weight against its gradient."""
        self._steps += 1
        torch._foreach_lerp_(self._means, gradients, 1 - BETA1)
        torch._foreach_mul_(self._squares, BETA2)
        torch._foreach_addcmul_(self._squares, gradients, gradients, 1 - BETA2)
        size = 1 / (1 - BETA1**self._steps)
        spread = torch._foreach_sqrt(self._squares)
        torch._foreach_mul_(spread, (1 - BETA2**self._steps) ** -0.5)
        torch._foreach_add_(spread, EPSILON)
        for weight, mean, root, rate, kept in zip(
            self._weights, self._means, spread, self._rates, self._kept, strict=True
        ):
            if kept is not None:
                weight.mul_(kept)
            weight.sub_(mean / root * (rate * size))
