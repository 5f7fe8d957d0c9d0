"""Frozen dendritic units on a CPU: one pass over torch's own memory, forward and backward."""

import torch
from torch import Tensor

from omnimouse_cli import _native

# R rows, U units; tables are (cell types, rows of a table, cells, 2)


def native_forward(a_RU: Tensor, b_RU: Tensor, pairs: Tensor, reach: float) -> Tensor:
    """Read values; 16-bit numbers are computed, and kept meanwhile, in float32.

    Args:
        a_RU: First arguments; rows may lie apart.
        b_RU: Second arguments.
        pairs: Table of each cell type.
        reach: The largest argument of the grid.

    Returns:
        `(rows, units)`, without gaps.
    """
    out_RU = torch.empty(a_RU.shape, dtype=torch.float32)
    if out_RU.numel():
        _native.dendrite_table_forward(
            a_RU.float().numpy(),
            b_RU.float().numpy(),
            pairs.flatten(0, 1).flatten(1).numpy(),
            out_RU.numpy(),
            reach=reach,
            threads=torch.get_num_threads(),
        )
    return out_RU.to(a_RU.dtype)


def native_backward(
    g_RU: Tensor, a_RU: Tensor, b_RU: Tensor, pairs: Tensor, reach: float, *, is_packed: bool
) -> tuple[Tensor, ...]:
    """Give the gradients of the arguments: one tensor `(rows, 2 units)` if packed, or two.

    Args:
        g_RU: Of the output.
        a_RU: As in the forward pass, like the next three.
        b_RU: Second arguments.
        pairs: Table of each cell type.
        reach: The largest argument of the grid.
        is_packed: Whether the gradients are one tensor.
    """
    rows, units = a_RU.shape
    shapes = [(rows, 2 * units)] if is_packed else [(rows, units)] * 2
    of_arguments = [torch.empty(shape, dtype=torch.float32) for shape in shapes]
    if a_RU.numel():
        outputs = [x.numpy() for x in of_arguments]
        _native.dendrite_table_backward(
            g_RU.float().numpy(),
            a_RU.float().numpy(),
            b_RU.float().numpy(),
            pairs.flatten(0, 1).flatten(1).numpy(),
            outputs[0],
            None if is_packed else outputs[1],
            reach=reach,
            threads=torch.get_num_threads(),
        )
    return tuple(x.to(a_RU.dtype) for x in of_arguments)
