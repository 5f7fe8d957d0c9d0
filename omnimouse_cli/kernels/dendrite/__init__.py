"""Dendritic units: a small shared network of two arguments in place of a fixed non-linearity."""

from omnimouse_cli.kernels.dendrite.function import DendriticFunction
from omnimouse_cli.kernels.dendrite.operators import (
    MAX_REGISTER_UNITS,
    dendrite,
    fits_registers,
)

__all__ = ["MAX_REGISTER_UNITS", "DendriticFunction", "dendrite", "fits_registers"]
