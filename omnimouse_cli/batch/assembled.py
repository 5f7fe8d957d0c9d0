"""What the extension has assembled, as arrays: a batch before it becomes tensors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assembled:
    """The arrays of a `Batch`, with the same shapes and meaning.

    As long as one of them lives, its memory is not used again; views of it do not count.

    Args:
        number: As in a batch.
        session: As in a batch.
        responses: float32, or uint16: the bits of bfloat16, which NumPy lacks.
        neuron_index: int64.
        video: Of the type of the responses, or uint8; None without a screen.
        behavior: Of the type of the responses; None without behavior.
        behavior_present: bool.
        start_seconds: float64.
    """

    number: int
    session: str
    responses: NDArray[Any]
    neuron_index: NDArray[np.int64]
    video: NDArray[Any] | None
    behavior: NDArray[Any] | None
    behavior_present: NDArray[np.bool_]
    start_seconds: NDArray[np.float64]

    @property
    def num_bytes(self) -> int:
        """Bytes of responses, video and behavior."""
        arrays = (self.responses, self.video, self.behavior)
        return sum(array.nbytes for array in arrays if array is not None)
