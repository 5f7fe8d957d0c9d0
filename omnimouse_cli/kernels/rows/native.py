"""Work on rows on a CPU: one pass over torch's own memory, forward and backward."""

import torch
from torch import Tensor

from omnimouse_cli import _native
from omnimouse_cli.kernels.matrix import rows_of


def norm_forward(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Divide rows by the root of their mean square, and weigh them."""
    out = torch.empty(x.shape, dtype=torch.float32)
    if out.numel():
        _native.norm_forward(
            rows_of(x).numpy(),
            weight.detach().contiguous().numpy(),
            out.numpy(),
            epsilon=epsilon,
            threads=torch.get_num_threads(),
        )
    return out


def norm_backward(g: Tensor, x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Give the gradients of x and of the weight."""
    dx = torch.empty(x.shape, dtype=torch.float32)
    dweight = torch.zeros(weight.shape, dtype=torch.float32)
    if dx.numel():
        _native.norm_backward(
            rows_of(g).numpy(),
            rows_of(x).numpy(),
            weight.detach().contiguous().numpy(),
            dx.numpy(),
            dweight.numpy(),
            epsilon=epsilon,
            threads=torch.get_num_threads(),
        )
    return dx, dweight


def gate_forward(a: Tensor, b: Tensor) -> Tensor:
    """Give silu(a) b."""
    out = torch.empty(a.shape, dtype=torch.float32)
    if out.numel():
        _native.gate_forward(
            rows_of(a).numpy(),
            rows_of(b).numpy(),
            out.numpy(),
            threads=torch.get_num_threads(),
        )
    return out


def gate_backward(g: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Give the gradients of both arguments."""
    da, db = (torch.empty(a.shape, dtype=torch.float32) for _ in range(2))
    if da.numel():
        _native.gate_backward(
            rows_of(g).numpy(),
            rows_of(a).numpy(),
            rows_of(b).numpy(),
            da.numpy(),
            db.numpy(),
            threads=torch.get_num_threads(),
        )
    return da, db
