"""Copies to a GPU on a stream of their own, which run while the GPU still computes."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor


def copied(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Copy tensors to a device; whatever the current stream does with them comes after the copy.

    What is queued on the current stream after this also comes after it, so an event there tells
    that the memory of `tensors` may be written to again.

    Args:
        tensors: In page-locked memory, nobody waits for the copy.
        device: Where to.
    """
    if device.type != "cuda":
        return [tensor.to(device) for tensor in tensors]
    stream, current = _copy_stream(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(stream):
        copies = [tensor.to(device, non_blocking=True) for tensor in tensors]
    current.wait_stream(stream)
    for copy in copies:
        # Its memory belongs to the stream of the copies, which must not take it back too early.
        copy.record_stream(current)
    return copies


@cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
