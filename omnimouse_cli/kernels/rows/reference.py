"""Work on rows in plain PyTorch: for GPUs, whose compilers fuse it, and as the yardstick."""

from torch import Tensor
from torch.nn import functional


def reference_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Divide rows by the root of their mean square, and weigh them."""
    return functional.rms_norm(x, x.shape[-1:], weight, eps=epsilon)


def reference_gated(a: Tensor, b: Tensor) -> Tensor:
    """Give silu(a) b."""
    return functional.silu(a) * b
