"""The weights of a block of a transformer, as its products need them."""

from typing import NamedTuple

from torch import Tensor


class EntryWeights(NamedTuple):
    """What tokens go through on their way into attention.

    Args:
        norm: Weight of their norm, `(width,)`.
        weight: Of their projection, `(columns, width)`.
        bias: Of their projection, `(columns,)`; None without one.
        epsilon: Of the norm.
    """

    norm: Tensor
    weight: Tensor
    bias: Tensor | None
    epsilon: float

    @property
    def tensors(self) -> list[Tensor]:
        """All weights; without a bias its place is empty."""
        return [self.norm, self.weight, _or_empty(self.bias, self.norm)]


class UpdateWeights(NamedTuple):
    """What tokens go through once they have read.

    Args:
        out: Projects what they read, `(width, numbers read)`.
        bias: Of that projection, `(width,)`; None without one.
        norm: Weight of the norm before the feed-forward, `(width,)`.
        up: To what is activated, `(units, width)`.
        gate: To what gates it, as `up`.
        down: Back to tokens, `(width, units)`.
        epsilon: Of the norm.
    """

    out: Tensor
    bias: Tensor | None
    norm: Tensor
    up: Tensor
    gate: Tensor
    down: Tensor
    epsilon: float

    @property
    def tensors(self) -> list[Tensor]:
        """All weights; without a bias its place is empty."""
        bias = _or_empty(self.bias, self.norm)
        return [self.out, bias, self.norm, self.up, self.gate, self.down]


def _or_empty(bias: Tensor | None, like: Tensor) -> Tensor:
    return like.new_empty(0) if bias is None else bias
