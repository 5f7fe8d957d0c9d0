"""The one place that chooses how a frozen function is read from its table."""

from torch import Tensor

from omnimouse_cli.kernels.dendrite.choose import FUSED_PRECISIONS
from omnimouse_cli.kernels.dendrite_table.operators import table_operator, table_packed_operator
from omnimouse_cli.kernels.dendrite_table.reference import reference_served


def is_fused(x: Tensor) -> bool:
    """Whether one pass over memory reads the table for `x`, and not plain PyTorch."""
    return x.dtype in FUSED_PRECISIONS and (x.is_cuda or x.device.type == "cpu")


def served(a: Tensor, b: Tensor, pairs: Tensor, reach: float) -> Tensor:
    """Apply a frozen function of two arguments to every unit.

    Args:
        a: First arguments `(..., units)`; float32, or 16-bit numbers computed in float32.
        b: Second arguments, as `a`; both may be views of one tensor.
        pairs: Of `tabulate`, a table of each cell type, which has an equal share of the units,
            side by side. It has no gradient.
        reach: The largest argument of the table's grid.

    Returns:
        As `a`. Gradients are the exact slopes of what the table says between its points.

    Example:
        >>> import torch
        >>> from omnimouse_cli.kernels.dendrite import DendriticFunction
        >>> from omnimouse_cli.kernels.dendrite_table import Grid, tabulate
        >>> weights = torch.tensor([[1.0, 0.0, 0.0, 2.0, 0.5]])
        >>> tables = tabulate(weights, DendriticFunction(1), Grid(8, 1.0))
        >>> served(torch.tensor([-1.0, 0.3, 7.0]), torch.zeros(3), tables.pairs, 1.0)
        tensor([ 0.5000,  1.1000, 14.5000])
    """
    if not is_fused(a):
        return reference_served(a, b, pairs, reach)
    out: Tensor = table_operator(a, b, pairs, reach)
    return out


def served_packed(both: Tensor, pairs: Tensor, reach: float) -> Tensor:
    """Apply a frozen function of two arguments that are the halves of one tensor.

    Args:
        both: First arguments of all units and then second ones, `(..., 2 units)`.
        pairs: Table of each cell type.
        reach: The largest argument of the table's grid.

    Returns:
        `(..., units)`.
    """
    if not is_fused(both):
        a, b = both.chunk(2, -1)
        return reference_served(a, b, pairs, reach)
    out: Tensor = table_packed_operator(both, pairs, reach)
    return out
