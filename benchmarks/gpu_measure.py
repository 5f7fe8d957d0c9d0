"""What the checks of gpu.py share: rows of results, parts that may fail, times on the device."""

import json
import math
import os
import statistics
from collections.abc import Callable
from typing import Any

import torch

from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES, TRAINING_STRATEGIES

GPU = torch.device("cuda")
IS_QUICK = bool(os.environ.get("OMNIMOUSE_GPU_QUICK"))
STRATEGIES = {s.name: s for s in (*FAMILY_STRATEGIES, *TRAINING_STRATEGIES)}
# Everything is an input, as in most training batches of a published size.
STRATEGY, SMALL_STRATEGY = "B4-10+50-fp15-n1024", "forecast_video_behavior"
WINDOWS = 8
ROUNDS = 2 if IS_QUICK else 20


def show(**row: object) -> None:
    """Print a row of results; a number that is not finite is null, for which JSON has a word."""
    print(json.dumps(_finite(row)), flush=True)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def attempt(work: Callable[..., dict[str, Any]], *arguments: object, **row: object) -> None:
    """Print what a part of a check measured; where it fails, the other parts still run.

    Args:
        work: Returns the numbers of a row.
        arguments: Arguments of `work`.
        row: What the row says beside them.
    """
    try:
        show(**row, **work(*arguments))
    except Exception as error:
        show(**row, error=f"{type(error).__name__}: {error}"[:600])
    torch.cuda.empty_cache()


def milliseconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median time on the device, after calls that warm it up."""
    for _ in range(3):
        work()
    times = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        times.append((start, end))
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in times)
