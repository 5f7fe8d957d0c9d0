"""Products and what surrounds them on a CPU, over torch's own memory, rows by rows in the cache."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnimouse_cli import _native
from omnimouse_cli.kernels.matrix import heads_of, rows_of
from omnimouse_cli.kernels.products.heads import HeadShape

# B batch, L tokens, M width of a token, C columns of a projection, A numbers of what is read,
# U hidden units; H heads, D width of a head


def entry_forward(
    x_BLM: Tensor, weights: list[Tensor], angles: Sequence[Tensor], given: "Given", *, keeps: bool
) -> list[Tensor]:
    """Give every part, and at last the projection; it is empty if it is not kept."""
    columns = weights[1].shape[0]
    outs = [_empty(each) for each in given.shape.shapes((*x_BLM.shape[:2], columns))]
    projection = _empty((*x_BLM.shape[:2], columns) if keeps else (0,))
    if x_BLM.numel():
        _native.entry_forward(
            rows_of(x_BLM).numpy(),
            _arrays(weights),
            _turns(angles),
            projection.numpy() if keeps else None,
            [out.numpy() for out in outs],
            **given.options(x_BLM, columns),
        )
    return [*outs, projection]


def entry_backward(  # noqa: PLR0917 - as the operator
    gs_BHLD: list[Tensor],
    x_BLM: Tensor,
    projection_BLC: Tensor,
    weights: list[Tensor],
    angles: Sequence[Tensor],
    given: "Given",
) -> list[Tensor]:
    """Give the gradients of the tokens and of every weight."""
    of_x, of_weights = (
        _empty(x_BLM.shape),
        [torch.zeros(each.shape, dtype=torch.float32) for each in weights],
    )
    if x_BLM.numel():
        _native.entry_backward(
            [heads_of(g).numpy() for g in gs_BHLD],
            rows_of(x_BLM).numpy(),
            rows_of(projection_BLC).numpy(),
            _arrays(weights),
            _turns(angles),
            (of_x.numpy(), _arrays(of_weights)),
            **given.options(x_BLM, weights[1].shape[0]),
        )
    return [of_x, *of_weights]


def update_forward(
    x_BLM: Tensor, read_BHLD: Tensor, weights: list[Tensor], epsilon: float, *, keeps: bool
) -> list[Tensor]:
    """Give what tokens become; then tokens in the middle and hidden units, empty if not kept."""
    units = weights[3].shape[0]
    sizes = (x_BLM.shape, *[(*x_BLM.shape[:-1], units)] * 2)
    out_BLM = _empty(x_BLM.shape)
    kept = [_empty(size if keeps else (0,)) for size in sizes]
    if x_BLM.numel():
        _native.update_forward(
            rows_of(x_BLM).numpy(),
            heads_of(read_BHLD).numpy(),
            _arrays(weights),
            _arrays(kept) if keeps else None,
            out_BLM.numpy(),
            epsilon=epsilon,
            threads=torch.get_num_threads(),
        )
    return [out_BLM, *kept]


def update_backward(
    g_BLM: Tensor, read_BHLD: Tensor, kept: list[Tensor], weights: list[Tensor], epsilon: float
) -> list[Tensor]:
    """Give the gradients of the tokens, of what they read, and of every weight."""
    # As tokens have it, side by side; attention is given a view by heads.
    of_read_BLHD = torch.empty_like(
        read_BHLD.transpose(1, 2), memory_format=torch.contiguous_format
    )
    of_tokens = [torch.empty_like(g_BLM, memory_format=torch.contiguous_format), of_read_BLHD]
    of_weights = [torch.zeros(each.shape, dtype=torch.float32) for each in weights]
    if g_BLM.numel():
        _native.update_backward(
            rows_of(g_BLM).numpy(),
            heads_of(read_BHLD).numpy(),
            _arrays([rows_of(each) for each in kept]),
            _arrays(weights),
            (*(each.numpy() for each in of_tokens), _arrays(of_weights)),
            epsilon=epsilon,
            threads=torch.get_num_threads(),
        )
    return [of_tokens[0], of_read_BLHD.transpose(1, 2), *of_weights]


def _empty(shape: Sequence[int]) -> Tensor:
    return torch.empty(shape, dtype=torch.float32)


def _arrays(tensors: Sequence[Tensor]) -> Any:  # noqa: ANN401 - tuples of two lengths
    return tuple(each.detach().contiguous().numpy() for each in tensors)


def _turns(angles: Sequence[Tensor]) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    if not angles:
        return None
    cos_LP, sin_LP = (rows_of(each).numpy() for each in angles)
    return cos_LP, sin_LP


class Given:
    """What an entry is given besides tensors.

    Args:
        shape: What the parts of its projection are; its epsilon is that of their norms.
        epsilon: Of the norm of its tokens.
    """

    def __init__(self, shape: HeadShape, epsilon: float) -> None:
        self.shape, self.epsilon = shape, epsilon

    def options(self, x_BLM: Tensor, columns: int) -> dict[str, Any]:
        """Give the native operators' options."""
        shape = self.shape
        width = shape.head_width(columns)
        return {
            "shape": (x_BLM.shape[1], shape.parts, shape.normed, shape.num_heads, width),
            "pooling": (shape.pooled, shape.pools_neighbours),
            "epsilons": (self.epsilon, shape.epsilon),
            "threads": torch.get_num_threads(),
        }
