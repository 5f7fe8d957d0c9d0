"""The shape of a dendritic function: the size of its inner network and the order of its weights."""

from typing import NamedTuple

import torch
from torch import Tensor

# The CPU's tiles of one layer have to stay in the first cache.
MAX_HIDDEN = 64


class DendriticFunction(NamedTuple):
    """An inner network of two arguments, `2 -> hidden -> 1` or `2 -> hidden -> hidden -> 1`.

    Args:
        hidden: Units of a hidden layer.
        depth: Hidden layers, 1 or 2.
        inner: Their non-linearity: `relu`, or `smoothstep`, which is `s (3 - s^2) / 2` of an `s`
            clamped to -1 and 1, a tanh without an exponential.

    Example:
        >>> DendriticFunction().num_weights, DendriticFunction(64, 2).num_weights
        (33, 4417)
    """

    hidden: int = 8
    depth: int = 1
    inner: str = "relu"

    @property
    def num_weights(self) -> int:
        """Weights and biases of one inner network."""
        middle = self.hidden * (self.hidden + 1) if self.depth == 2 else 0
        return 4 * self.hidden + middle + 1

    @property
    def forward_flops(self) -> int:
        """Operations of one unit's forward pass; a multiplication with its addition is two."""
        middle = self.hidden**2 if self.depth == 2 else 0
        return 2 * (3 * self.hidden + middle)

    @property
    def name(self) -> str:
        """The shape as one word, which torch operators take as an argument."""
        return f"{self.hidden}-{self.depth}-{self.inner}"

    @classmethod
    def from_name(cls, name: str) -> "DendriticFunction":
        """Return the function of a `name`."""
        hidden, depth, inner = name.split("-")
        return cls(int(hidden), int(depth), inner)

    def layers(self, weights_KP: Tensor) -> list[Tensor]:
        """Split rows of weights into layers.

        Args:
            weights_KP: `(cell types, num_weights)`: three numbers of each first unit (of the first
                argument, of the second, its bias), with two layers `hidden + 1` of each second
                unit, then those of the output; a bias is the last number of its unit.

        Returns:
            Views `(cell types, units, inputs + 1)`.
        """
        sizes = [(self.hidden, 3), (1, self.hidden + 1)]
        if self.depth == 2:
            sizes.insert(1, (self.hidden, self.hidden + 1))
        parts = torch.split(weights_KP, [units * inputs for units, inputs in sizes], dim=1)
        return [part.reshape(-1, *size) for part, size in zip(parts, sizes, strict=True)]
