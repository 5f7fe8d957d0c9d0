"""Work on rows on a CPU: one pass over torch's own memory, forward and backward."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnimouse_cli import _native
from omnimouse_cli.kernels.matrix import rows_of
from omnimouse_cli.kernels.rows.heads import HeadShape

# R rows, C columns; B batch, L tokens, H heads, D width of a head, P pairs, M parts x heads x D


# torch's own threads go on spinning for a while after each of its operators: beside them, new ones
# pay only for long work. On two cores a step of nano was 7 and 15 % faster without them, and a gate
# of 2**23 numbers 1.4 times slower.
NUMBERS_WORTH_THREADS = 2**23


def threads_for(x: Tensor) -> int:
    """Say how many threads share the work on a tensor."""
    return torch.get_num_threads() if x.numel() >= NUMBERS_WORTH_THREADS else 1


def norm_forward(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Divide rows by the root of their mean square, and weigh them."""
    out = torch.empty(x.shape, dtype=torch.float32)
    if out.numel():
        _native.norm_forward(
            rows_of(x).numpy(),
            weight.detach().contiguous().numpy(),
            out.numpy(),
            epsilon=epsilon,
            threads=threads_for(x),
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
            threads=threads_for(x),
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
            threads=threads_for(a),
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
            threads=threads_for(a),
        )
    return da, db


def pool_forward(x_IRC: Tensor) -> Tensor:
    """Give the largest of every item's rows: `(items, columns)`."""
    items, rows, columns = x_IRC.shape
    out_IC = torch.empty(items, columns, dtype=torch.float32)
    if out_IC.numel():
        _native.pool_forward(
            x_IRC.detach().contiguous().flatten(1).numpy(),
            out_IC.numpy(),
            rows=rows,
            columns=columns,
            threads=threads_for(x_IRC),
        )
    return out_IC


def pool_backward(g_IC: Tensor, x_IRC: Tensor) -> Tensor:
    """Give the gradient of x; equally large numbers have equal shares."""
    items, rows, columns = x_IRC.shape
    dx_IRC = torch.empty(items, rows, columns, dtype=torch.float32)
    if dx_IRC.numel():
        _native.pool_backward(
            g_IC.detach().contiguous().numpy(),
            x_IRC.detach().contiguous().flatten(1).numpy(),
            dx_IRC.numpy(),
            rows=rows,
            columns=columns,
            threads=threads_for(x_IRC),
        )
    return dx_IRC


def heads_forward(
    projection_BLM: Tensor, angles: Sequence[Tensor], shape: HeadShape
) -> list[Tensor]:
    """Give every part, `(batch, heads, tokens, width)`, queries and keys normed and turned.

    Args:
        projection_BLM: Parts side by side, each of its heads.
        angles: Cosines and sines `(tokens, width / 2)`; nothing turns nothing.
        shape: What the parts are.
    """
    outs = [torch.empty(each) for each in shape.shapes(projection_BLM.shape)]
    if projection_BLM.numel():
        _native.heads_forward(
            rows_of(projection_BLM).numpy(),
            _arrays(angles),
            [out.numpy() for out in outs],
            shape=_numbers(projection_BLM, shape),
            pooling=(shape.pooled, shape.pools_neighbours),
            epsilon=shape.epsilon,
            threads=threads_for(projection_BLM),
        )
    return outs


def heads_backward(
    gs_BHLD: list[Tensor], projection_BLM: Tensor, angles: Sequence[Tensor], shape: HeadShape
) -> Tensor:
    """Give the gradient of the projection; arguments as above."""
    out_BLM = torch.empty(projection_BLM.shape, dtype=torch.float32)
    if projection_BLM.numel():
        gs = [g if g.stride(-1) == 1 else g.contiguous() for g in gs_BHLD]
        _native.heads_backward(
            [g.detach().numpy() for g in gs],
            rows_of(projection_BLM).numpy(),
            _arrays(angles),
            out_BLM.numpy(),
            shape=_numbers(projection_BLM, shape),
            pooling=(shape.pooled, shape.pools_neighbours),
            epsilon=shape.epsilon,
            threads=threads_for(projection_BLM),
        )
    return out_BLM


def _numbers(projection_BLM: Tensor, shape: HeadShape) -> tuple[int, int, int, int, int]:
    _, tokens, columns = projection_BLM.shape
    width = shape.head_width(columns)
    return tokens, shape.parts, shape.normed, shape.num_heads, width


def _arrays(angles: Sequence[Tensor]) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    if not angles:
        return None
    cos_LP, sin_LP = (rows_of(each).numpy() for each in angles)
    return cos_LP, sin_LP
