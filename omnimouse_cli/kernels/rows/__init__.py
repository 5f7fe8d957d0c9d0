"""Work on rows of numbers: norms, heads of attention, the gate of SwiGLU, pooling."""

from omnimouse_cli.kernels.rows.choose import gated, largest_of, rms_norm, split_heads
from omnimouse_cli.kernels.rows.heads import HeadShape
from omnimouse_cli.kernels.rows.reference import rotate, unit_norm

__all__ = ["HeadShape", "gated", "largest_of", "rms_norm", "rotate", "split_heads", "unit_norm"]
