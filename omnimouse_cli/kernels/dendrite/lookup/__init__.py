"""Frozen dendritic functions read from a lookup table by bilinear interpolation.

For inner networks that are too large for a GPU's registers, as the published one of 64-64 units:
reading a table takes the same time whatever the network is.
"""

from omnimouse_cli.kernels.dendrite.lookup.build import LookupTables, TableAccuracy, build_tables
from omnimouse_cli.kernels.dendrite.lookup.grid import BACKWARD_FLOPS, FORWARD_FLOPS, Grid
from omnimouse_cli.kernels.dendrite.lookup.operators import interpolate

__all__ = [
    "BACKWARD_FLOPS",
    "FORWARD_FLOPS",
    "Grid",
    "LookupTables",
    "TableAccuracy",
    "build_tables",
    "interpolate",
]
