"""Frozen dendritic units: their function read from a table, with a stated error."""

from omnimouse_cli.kernels.dendrite_table.choose import served, served_packed
from omnimouse_cli.kernels.dendrite_table.grid import BACKWARD_FLOPS, FORWARD_FLOPS, Grid
from omnimouse_cli.kernels.dendrite_table.tabulate import TableError, Tables, tabulate

__all__ = [
    "BACKWARD_FLOPS",
    "FORWARD_FLOPS",
    "Grid",
    "TableError",
    "Tables",
    "served",
    "served_packed",
    "tabulate",
]
