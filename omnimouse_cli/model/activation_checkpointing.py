"""Activation checkpointing: the backward pass computes a block again instead of reading it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def run_block(block: Callable[..., Tensor], *inputs: Any, recomputes: bool) -> Tensor:  # noqa: ANN401
    """Return the output of a block.

    Args:
        block: A block of the model, compiled or not.
        inputs: Arguments of the block's forward pass: tokens, angles and masks.
        recomputes: Whether only the inputs are stored for the backward pass, which then computes
            the block again, with the same random numbers and so the same result.
    """
    if not (recomputes and torch.is_grad_enabled()):
        return block(*inputs)
    out: Tensor = checkpoint(block, *inputs, use_reentrant=False)
    return out
