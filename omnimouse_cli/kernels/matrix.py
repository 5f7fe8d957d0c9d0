"""Tensors as the matrices that the Rust and the Triton kernels read."""

from torch import Tensor

# R rows, C columns


def rows_of(x: Tensor) -> Tensor:
    """View a tensor as a matrix whose rows have no gaps; only other layouts are copied."""
    x_RC = x.detach().reshape(-1, x.shape[-1]) if x.dim() != 2 else x.detach()
    # Numbers of one column lie side by side whatever the stride; a step of 0 or back is none.
    is_plain = x_RC.shape[-1] <= 1 or x_RC.stride(-1) == 1
    is_apart = x_RC.shape[0] <= 1 or x_RC.stride(0) >= x_RC.shape[1]
    return x_RC if is_plain and is_apart else x_RC.contiguous()
