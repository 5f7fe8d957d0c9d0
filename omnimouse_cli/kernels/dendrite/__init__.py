"""Dendritic units: a small shared network of two arguments in place of a fixed non-linearity."""

from omnimouse_cli.kernels.dendrite.choose import (
    MOST_IN_REGISTERS,
    dendrite,
    dendrite_packed,
    fits_registers,
)
from omnimouse_cli.kernels.dendrite.function import DendriticFunction

__all__ = [
    "MOST_IN_REGISTERS",
    "DendriticFunction",
    "dendrite",
    "dendrite_packed",
    "fits_registers",
]
