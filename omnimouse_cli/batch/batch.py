"""What a batch is: some windows of one session, as tensors."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(slots=True, kw_only=True)
class Batch:
    """`batch` windows of two seconds of one session.

    Args:
        number: Which batch of the global order; a pure function of it, the data set and the seed.
        session: Session key.
        responses: float32 `(batch, 60, neurons)`: divided by the neuron's standard deviation (and
            centred before, where the run standardizes).
        neuron_index: int64 `(batch, neurons)`: columns in the recording, ascending in a window.
        video: float32 `(batch, 60, height, width)`, `(grey - mean) / std`; None without a screen.
        behavior: float32 `(batch, channels, 40)`, z-scored, over the channels of the whole data
            set; a channel that the session lacks is 0. None if the session has no behavior.
        behavior_present: bool `(channels,)`: which of the data set's channels the session has.
        start_seconds: float64 `(batch,)`: the windows' first sample, from the recording's origin.
    """

    number: int
    session: str
    responses: Tensor
    neuron_index: Tensor
    video: Tensor | None
    behavior: Tensor | None
    behavior_present: NDArray[np.bool_]
    start_seconds: NDArray[np.float64]

    @property
    def num_windows(self) -> int:
        """Windows in the batch."""
        return self.responses.shape[0]
