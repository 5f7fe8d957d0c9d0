"""Products and what surrounds them in plain PyTorch: for GPUs, and as the yardstick."""

from torch import Tensor
from torch.nn import functional

from omnimouse_cli.kernels.products.heads import HeadShape, split_heads
from omnimouse_cli.kernels.products.weights import EntryWeights, UpdateWeights
from omnimouse_cli.kernels.rows import gated, rms_norm

# B batch, L tokens, H heads, D width of a head, M width of a token, A = H x D


def reference_project_heads(
    x_BLM: Tensor,
    weights: EntryWeights,
    shape: HeadShape,
    angles: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, ...]:
    """Norm tokens, project them, and cut the projection into heads."""
    normed_BLM = rms_norm(x_BLM, weights.norm, weights.epsilon)
    projection = functional.linear(normed_BLM, weights.weight, weights.bias)
    return split_heads(projection, shape, angles)


def reference_update_tokens(x_BLM: Tensor, read_BHLD: Tensor, weights: UpdateWeights) -> Tensor:
    """Add to tokens what they read, and then what a gated feed-forward makes of them."""
    read_BLA = read_BHLD.transpose(1, 2).flatten(2)
    x_BLM = x_BLM + functional.linear(read_BLA, weights.out, weights.bias)
    normed_BLM = rms_norm(x_BLM, weights.norm, weights.epsilon)
    up_BLU = functional.linear(normed_BLM, weights.up)
    gate_BLU = functional.linear(normed_BLM, weights.gate)
    return x_BLM + functional.linear(gated(up_BLU, gate_BLU), weights.down)
