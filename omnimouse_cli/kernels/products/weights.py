"""The weights of a block of a transformer, as its products need them."""

from typing import NamedTuple

from torch import Tensor

# M width of a token, C columns of a projection, A numbers of what is read, U hidden units


class EntryWeights(NamedTuple):
    """What tokens go through on their way into attention.

    Args:
        norm_M: Weight of their norm.
        weight_CM: Of their projection.
        bias_C: Of their projection; None without one.
        epsilon: Of the norm.
    """

    norm_M: Tensor
    weight_CM: Tensor
    bias_C: Tensor | None
    epsilon: float

    @property
    def tensors(self) -> list[Tensor]:
        """All weights; without a bias its place is empty."""
        return [self.norm_M, self.weight_CM, _or_empty(self.bias_C, self.norm_M)]


class UpdateWeights(NamedTuple):
    """What tokens go through once they have read.

    Args:
        out_MA: Projects what they read.
        bias_M: Of that projection; None without one.
        norm_M: Weight of the norm before the feed-forward.
        up_UM: To what is activated.
        gate_UM: To what gates it.
        down_MU: Back to tokens.
        epsilon: Of the norm.
    """

    out_MA: Tensor
    bias_M: Tensor | None
    norm_M: Tensor
    up_UM: Tensor
    gate_UM: Tensor
    down_MU: Tensor
    epsilon: float

    @property
    def tensors(self) -> list[Tensor]:
        """All weights; without a bias its place is empty."""
        bias = _or_empty(self.bias_M, self.norm_M)
        return [self.out_MA, bias, self.norm_M, self.up_UM, self.gate_UM, self.down_MU]


def _or_empty(bias: Tensor | None, like: Tensor) -> Tensor:
    return like.new_empty(0) if bias is None else bias
