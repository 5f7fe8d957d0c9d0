"""What a batch is: some windows of one session, as tensors."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnimouse_cli.batch.assembled import Assembled
from omnimouse_cli.batch.copies import copied
from omnimouse_cli.config.data import DataConfig


@dataclass(slots=True, kw_only=True)
class Batch:
    """`batch` windows of two seconds of one session.

    Args:
        number: Which batch of the global order; a pure function of it, the data set and the seed.
        session: Session key.
        responses: float32 or bfloat16 (`data.dtype`) `(batch, 60, neurons)`: divided by the
            neuron's standard deviation (and centred before, where the run standardizes).
        neuron_index: int64 `(batch, neurons)`: columns in the recording, ascending in a window.
        video: of the same type `(batch, 60, height, width)`, `(grey - mean) / std`, or uint8 as it
            is stored (`data.video_dtype`); None without a screen.
        behavior: of the same type `(batch, channels, 40)`, z-scored, over the channels of the whole
            data set; a channel that the session lacks is 0. None if the session has no behavior.
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


def as_batch(assembled: Assembled) -> Batch:
    """Show assembled arrays as tensors, which keep them alive."""
    video, behavior = assembled.video, assembled.behavior
    return Batch(
        number=assembled.number,
        session=assembled.session,
        responses=_tensor(assembled.responses),
        neuron_index=_tensor(assembled.neuron_index),
        video=None if video is None else _tensor(video),
        behavior=None if behavior is None else _tensor(behavior),
        behavior_present=assembled.behavior_present,
        start_seconds=assembled.start_seconds,
    )


def _tensor(array: NDArray[Any]) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if tensor.dtype == torch.uint16 else tensor


def on_device(batch: Batch, device: torch.device, config: DataConfig) -> Batch:
    """Copy a batch to where it is computed, and make it float32 there.

    Args:
        batch: In page-locked memory, it is copied while the device still computes.
        device: Where to.
        config: `video_mean` and `video_std` scale grey levels that were left as they are stored.
    """
    signals = {"responses": batch.responses, "video": batch.video, "behavior": batch.behavior}
    present = {name: tensor for name, tensor in signals.items() if tensor is not None}
    neuron_index, *copies = copied([batch.neuron_index, *present.values()], device)
    moved = {name: copy.to(torch.float32) for name, copy in zip(present, copies, strict=True)}
    if batch.video is not None and batch.video.dtype == torch.uint8:
        moved["video"] = (moved["video"] - config.video_mean) / config.video_std
    return replace(
        batch,
        responses=moved["responses"],
        neuron_index=neuron_index,
        video=moved.get("video"),
        behavior=moved.get("behavior"),
    )
