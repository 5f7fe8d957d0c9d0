"""The three number types that responses are stored in, and what they cost."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

StoredDtype = Literal["float16", "bfloat16", "float32"]

TENSOR_DTYPES: dict[StoredDtype, str] = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}


def encode(values: NDArray[np.float32], dtype: StoredDtype) -> NDArray[Any]:
    """Round float32 values to nearest, ties to even; too large ones become infinite.

    bfloat16 comes as its bits in uint16. The extension stores what this gives: this is the plain
    reference of its rounding.
    """
    if dtype == "float32":
        return values
    if dtype == "float16":
        with np.errstate(over="ignore", under="ignore"):
            return values.astype(np.float16)
    bits = values.view(np.uint32)
    rounded = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    upper = (rounded >> np.uint32(16)).astype(np.uint16)
    # Rounding the bits of a NaN could give an infinity or a zero.
    upper[np.isnan(values)] = 0x7FC0
    return upper


def decode(stored: NDArray[Any], tensor_dtype: str) -> NDArray[np.float32]:
    """Give stored responses (`F16`, `BF16` or `F32`) as float32."""
    if tensor_dtype == "BF16":
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return stored.astype(np.float32)
