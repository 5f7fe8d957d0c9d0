"""Keys and values of groups of queries on a CPU: gathered once, and their gradients added up."""

from typing import Any

import torch
from torch import Tensor

from omnimouse_cli import _native
from omnimouse_cli.kernels.matrix import heads_of

# B batch, H heads, K keys, D width of a head


@torch.library.custom_op("omnimouse::attention_keys", mutates_args=())
def keys_operator(x: Tensor, keys: Tensor, counts: list[int]) -> list[Tensor]:
    """Give what each group sees of float32 keys or values `(batch, heads, keys, width)`."""
    batch, heads, _, width = x.shape
    outs = [torch.empty(batch, heads, count, width, dtype=torch.float32) for count in counts]
    if x.numel():
        _native.keys_forward(
            heads_of(x).numpy(),
            keys.numpy(),
            counts,
            [out.numpy() for out in outs],
            threads=torch.get_num_threads(),
        )
    return outs


@torch.library.custom_op("omnimouse::attention_keys_backward", mutates_args=())
def keys_backward_operator(
    gs: list[Tensor], keys: Tensor, counts: list[int], shape: list[int]
) -> Tensor:
    """Give the gradient of all keys or values."""
    batch, heads, num_keys, width = shape
    out_BHKD = torch.empty(batch, heads, num_keys, width, dtype=torch.float32)
    if out_BHKD.numel():
        _native.keys_backward(
            [heads_of(g).numpy() for g in gs],
            keys.numpy(),
            counts,
            out_BHKD.numpy(),
            shape=(batch, heads, num_keys, width),
            threads=torch.get_num_threads(),
        )
    return out_BHKD


@keys_operator.register_fake
def _(x: Tensor, keys: Tensor, counts: list[int]) -> list[Tensor]:  # noqa: ARG001
    return [x.new_empty(*x.shape[:2], count, x.shape[3]) for count in counts]


@keys_backward_operator.register_fake
def _(
    gs: list[Tensor],
    keys: Tensor,  # noqa: ARG001
    counts: list[int],  # noqa: ARG001
    shape: list[int],
) -> Tensor:
    return gs[0].new_empty(shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:  # noqa: ANN401, ARG001
    x, keys, ctx.counts = inputs
    ctx.shape = list(x.shape)
    ctx.save_for_backward(keys)


def _differentiate(ctx: Any, gs: list[Tensor]) -> tuple[Any, ...]:  # noqa: ANN401
    (keys,) = ctx.saved_tensors
    return keys_backward_operator(gs, keys, ctx.counts, ctx.shape), None, None


keys_operator.register_autograd(_differentiate, setup_context=_keep)


def gathered(x_BHKD: Tensor, keys: Tensor, counts: list[int]) -> list[Tensor]:
    """Give what each group sees of keys or values.

    Args:
        x_BHKD: `(batch, heads, keys, width)`.
        keys: int64 numbers of the keys that groups see, group after group.
        counts: How many each group sees.

    Returns:
        `(batch, heads, keys of the group, width)` for each group.
    """
    if x_BHKD.device.type == "cpu" and x_BHKD.dtype == torch.float32:
        parts: list[Tensor] = keys_operator(x_BHKD, keys, counts)
        return parts
    return list(torch.split(x_BHKD.index_select(2, keys), counts, dim=2))
