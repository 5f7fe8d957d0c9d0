"""Throughput and memory of a training: tokens and FLOPs per second, MFU, peak memory, waits."""

import dataclasses
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from omnimouse_cli.config.training import TrainConfig
from omnimouse_cli.model.precision import resolve_precision
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.metrics_log import Rates
from omnimouse_cli.training.parallel.world import World, device_name
from omnimouse_cli.training.state import Counters

# Dense bfloat16 FLOP/s by a part of the device's name, the first one that fits. Source: data sheets
# of NVIDIA, without sparsity.
PEAK_FLOPS_PER_SECOND = {
    "A100": 312e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "B200": 2250e12,
}


def peak_flops_per_second(name: str) -> float | None:
    """Return the dense bfloat16 FLOP/s of a device; None where they are not known.

    Args:
        name: Name of the device, as PyTorch gives it.

    Example:
        >>> peak_flops_per_second("NVIDIA H100 80GB HBM3") / 1e12
        989.0
        >>> peak_flops_per_second("cpu")
    """
    for part, peak in PEAK_FLOPS_PER_SECOND.items():
        if part in name:
            return peak
    return None


def peak_of_run(config: TrainConfig, world: World) -> float | None:
    """Return the FLOP/s of all ranks together that MFU is relative to; None where it has none.

    Args:
        config: `train.precision` is used: peaks are those of bfloat16.
        world: The ranks; each has a device like this one's.
    """
    if resolve_precision(config.precision, world.device.type) != "bfloat16":
        return None
    peak = peak_flops_per_second(device_name(world.device))
    return None if peak is None else peak * world.num_ranks


def report_unknown_peak(config: TrainConfig, world: World, reporter: Reporter) -> None:
    """Report once that a GPU has no MFU, and why."""
    if world.device.type == "cuda" and peak_of_run(config, world) is None:
        reporter.say(
            f"MFU is not logged: it needs bfloat16 and one of {', '.join(PEAK_FLOPS_PER_SECOND)}, "
            f"and this is {device_name(world.device)}"
        )


def counts_flops(config: TrainConfig) -> bool:
    """Whether the estimate of FLOPs holds.

    It does not know which gradients a frozen core needs nevertheless.
    """
    return config.adapt_from is None or "all" in config.unfreeze


def peak_memory_bytes(device: torch.device) -> int:
    """Return the most memory that this process has used on a device so far.

    On a GPU it is what PyTorch's allocator has handed out, on a CPU the resident memory.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Throughput:
    """Measures between the lines of metrics.jsonl, without waiting for the device.

    Args:
        counters: Amount of training, which the training loop updates.
        config: Section of the configuration.
        world: The ranks.
    """

    def __init__(self, counters: Counters, config: TrainConfig, world: World) -> None:
        self._counters, self._device = counters, world.device
        self._peak = peak_of_run(config, world)
        self._counts_flops = counts_flops(config)
        self._seconds = {"data": 0.0, "validation": 0.0, "checkpoint": 0.0}
        self._before, self._time = dataclasses.replace(counters), time.perf_counter()

    def add_wait(self, seconds: float) -> None:
        """Add time that this rank waited for its loader."""
        self._seconds["data"] += seconds

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the time of the block to a part, `validation` or `checkpoint`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[part] += time.perf_counter() - started

    def rates(self) -> Rates:
        """Return the rates since `start_over`, or since this object was made."""
        seconds = max(time.perf_counter() - self._time, 1e-9)
        counters, before = self._counters, self._before
        flops_per_second = None
        if self._counts_flops and counters.flops is not None and before.flops is not None:
            flops_per_second = (counters.flops - before.flops) / seconds
        mfu = None
        if flops_per_second is not None and self._peak is not None:
            mfu = flops_per_second / self._peak
        is_gpu = self._device.type == "cuda"
        return Rates(
            windows_per_second=(counters.windows - before.windows) / seconds,
            tokens_per_second=(counters.tokens - before.tokens) / seconds,
            flops_per_second=flops_per_second,
            mfu=mfu,
            wait_seconds=self._seconds["data"],
            validation_seconds=self._seconds["validation"],
            checkpoint_seconds=self._seconds["checkpoint"],
            peak_memory_bytes=peak_memory_bytes(self._device),
            peak_reserved_bytes=torch.cuda.max_memory_reserved(self._device) if is_gpu else None,
        )

    def start_over(self) -> None:
        """Measure from now on."""
        self._before, self._time = dataclasses.replace(self._counters), time.perf_counter()
        self._seconds = dict.fromkeys(self._seconds, 0.0)
