"""A batch: some windows of one session, as tensors, and its transfer to a GPU."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnimouse_cli.batch.memory import BatchArrays
from omnimouse_cli.config.data import DataConfig


@dataclass(slots=True, kw_only=True)
class Batch:
    """`batch` windows of two seconds of one session.

    Args:
        number: Position in the global order of batches, which data set and seed determine.
        session: Session key.
        responses: float32 or bfloat16 (`data.dtype`) `(batch, 60, neurons)`: divided by the
            neuron's standard deviation (and centred before, where the run standardizes).
        neuron_index: int64 `(batch, neurons)`: columns in the recording, ascending in a window.
        video: of the same type `(batch, 60, height, width)`, `(grey - mean) / std`, or uint8 as it
            is stored (`data.video_dtype`); None without a screen.
        behavior: of the same type `(batch, channels, 40)`, z-scored, over the channels of the whole
            data set; a lost sample is NaN, a channel that the session lacks is 0. None if the
            session has no behavior.
        behavior_present: bool `(channels,)`: which of the data set's channels the session has.
        start_seconds: float64 `(batch,)`: the windows' first sample, from the recording's origin.
        kept: Keeps what `compute_once` computed; None computes it each time. Whoever changes a
            signal sets it to None.
    """

    number: int
    session: str
    responses: Tensor
    neuron_index: Tensor
    video: Tensor | None
    behavior: Tensor | None
    behavior_present: NDArray[np.bool_]
    start_seconds: NDArray[np.float64]
    kept: dict[Hashable, Tensor] | None = None

    def compute_once(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        """Return what depends on the windows alone, and not on what a strategy selects of them.

        An evaluation runs a model on the same windows for several draws of context neurons.

        Args:
            key: Names it, with all that it depends on beside the windows.
            compute: Computes it.
        """
        if self.kept is None:
            return compute()
        if key not in self.kept:
            self.kept[key] = compute()
        return self.kept[key]

    @property
    def num_windows(self) -> int:
        """Number of windows of the batch."""
        return self.responses.shape[0]

    @property
    def behavior_fraction(self) -> float:
        """Share of the samples of the session's behavior channels that are not lost."""
        num_present = int(self.behavior_present.sum())
        if self.behavior is None or num_present == 0:
            return 0.0
        num_lost = int(self.behavior.isnan().sum())
        # Channels that the session lacks are 0, which is not lost.
        return 1.0 - num_lost / (self.num_windows * num_present * self.behavior.shape[2])


def to_tensors(arrays: BatchArrays) -> Batch:
    """Return a batch whose tensors share the memory of `arrays` and keep it alive."""
    video, behavior = arrays.video, arrays.behavior
    return Batch(
        number=arrays.number,
        session=arrays.session,
        responses=_to_tensor(arrays.responses),
        neuron_index=_to_tensor(arrays.neuron_index),
        video=None if video is None else _to_tensor(video),
        behavior=None if behavior is None else _to_tensor(behavior),
        behavior_present=arrays.behavior_present,
        start_seconds=arrays.start_seconds,
    )


def _to_tensor(array: NDArray[Any]) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if tensor.dtype == torch.uint16 else tensor


def to_device(batch: Batch, device: torch.device, config: DataConfig) -> Batch:
    """Copy a batch to a device and convert its signals to float32 there.

    Args:
        batch: If in page-locked memory, it is copied while the device still computes.
        device: Where the model computes.
        config: `video_mean` and `video_std` scale grey levels that are still uint8.
    """
    signals = {"responses": batch.responses, "video": batch.video, "behavior": batch.behavior}
    present = {name: tensor for name, tensor in signals.items() if tensor is not None}
    neuron_index, *copies = _copy([batch.neuron_index, *present.values()], device)
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


def _copy(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Copy tensors to a device, to a GPU on a stream of its own.

    The copies run while the GPU still computes. The current stream waits for them, so an event
    recorded there afterwards marks when the memory of `tensors` may be written again.
    """
    if device.type != "cuda":
        return [tensor.to(device) for tensor in tensors]
    stream, current = _copy_stream(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(stream):
        copies = [tensor.to(device, non_blocking=True) for tensor in tensors]
    current.wait_stream(stream)
    for copy in copies:
        # Memory allocated on the copy stream must not be reused while the current stream reads it.
        copy.record_stream(current)
    return copies


def copy_without_wait(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a small tensor to a device without waiting for what the device still computes.

    Args:
        tensor: Of any shape; returned as it is if it is on the device already.
        device: Where it is needed.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        # The host waits for a copy from memory that is not page-locked.
        tensor = tensor.contiguous().pin_memory()
    return tensor.to(device, non_blocking=True)


@cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
