"""The table's kernels compiled for a GPU that is not here."""

import torch

from omnimouse_cli.kernels.dendrite.disassemble import POINTER_TYPES, WIDE, Machine, compiled
from omnimouse_cli.kernels.dendrite.tiles import walk_constants
from omnimouse_cli.kernels.dendrite_table.grid import Grid
from omnimouse_cli.kernels.dendrite_table.triton import (
    backward_kernel,
    constants_of,
    forward_kernel,
)


def compiled_forward(grid: Grid, dtype: str, capability: int) -> Machine:
    """Compile the forward pass of wide layers; see `compiled` for the arguments."""
    names = ("a_pointer", "b_pointer", "out_pointer")
    pointers = {**dict.fromkeys(names, POINTER_TYPES[dtype]), "pairs": "*i64"}
    numbers = ("rows", "share", "a_stride", "b_stride", "out_stride")
    walk = walk_constants(getattr(torch, dtype), WIDE, is_flat=True)
    return compiled(forward_kernel, pointers, numbers, {**constants_of(grid), **walk}, capability)


def compiled_backward(grid: Grid, dtype: str, capability: int) -> Machine:
    """Compile the backward pass of wide layers."""
    names = ("g_pointer", "a_pointer", "b_pointer", "da_pointer", "db_pointer")
    pointers = {**dict.fromkeys(names, POINTER_TYPES[dtype]), "pairs": "*i64"}
    numbers = ("rows", "share", "g_stride", "a_stride", "b_stride", "d_stride")
    walk = walk_constants(getattr(torch, dtype), WIDE, is_flat=True)
    return compiled(backward_kernel, pointers, numbers, {**constants_of(grid), **walk}, capability)
