"""Work on rows of numbers that no product is near: norms, and the gate of SwiGLU."""

from omnimouse_cli.kernels.rows.choose import gated, rms_norm

__all__ = ["gated", "rms_norm"]
