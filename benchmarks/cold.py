"""Batches from a cold page cache: bytes read from disk for each useful one, beside plain maps."""

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from machine import print_rows
from peers import WindowFiles, plain_batches, tuned_batches

from omnimouse_cli.batch.dataset import Dataset, open_dataset
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.config.data import (
    BEHAVIOR_RATE_HZ,
    NUM_BEHAVIOR_SAMPLES,
    NUM_FRAMES,
    NUM_RESPONSE_SAMPLES,
    DataConfig,
)

NUM_FIRST = 3

# Gives something that delivers a batch for every `next`, and ends with the context.
Start = Callable[[Dataset], Any]


def measure_cold(folder: Path, rounds: int, num_batches: int) -> dict[str, Any]:
    """Measure every loader once per round, each time from a page cache without the shard.

    Args:
        folder: Folder with the shard of one session, larger than what one measurement reads.
        rounds: Number of rounds.
        num_batches: Batches per measurement.
    """
    config = DataConfig()
    useful = num_batches * config.batch_size * window_bytes(open_dataset(folder))
    starts = _starts(config)
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in starts}
    for number in range(rounds):
        names = list(starts)
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            turns[name].append(_turn(starts[name], folder, num_batches))
    rows = []
    for name, found in turns.items():
        speeds, ratios = zip(*((speed, read / useful) for speed, read in found), strict=True)
        rows.append(
            {
                "name": name,
                "batches_per_second": statistics.median(speeds),
                "batches_per_second_rounds": speeds,
                "bytes_read_per_useful_byte": statistics.median(ratios),
                "bytes_read_per_useful_byte_rounds": ratios,
            }
        )
    return {
        "shard_bytes": next(folder.glob("*.safetensors")).stat().st_size,
        "useful_bytes": useful,
        "rows": rows,
    }


def print_cold(result: dict[str, Any]) -> None:
    """Print the table."""
    print("\nfrom a cold page cache")
    heads = ("", "batches/s", "bytes read / useful")
    rows = [
        (
            row["name"],
            f"{row['batches_per_second']:.0f}",
            f"{row['bytes_read_per_useful_byte']:.2f}",
        )
        for row in result["rows"]
    ]
    print_rows(heads, rows)


def window_bytes(dataset: Dataset) -> int:
    """Count what a window needs of the file, behavior by its rows."""
    session = dataset.sessions[0]
    height, width = session.frame_shape or (0, 0)
    stored = session.shard.responses.dtype.itemsize
    seconds = NUM_BEHAVIOR_SAMPLES / BEHAVIOR_RATE_HZ
    devices = session.shard.description.behavior
    behavior = sum(4 * len(d.channels) * round(seconds * d.clock.rate_hz) for d in devices)
    responses = NUM_RESPONSE_SAMPLES * session.num_neurons * stored
    return responses + NUM_FRAMES * height * width + behavior


def _starts(config: DataConfig) -> dict[str, Start]:
    def loader(changed: DataConfig) -> Start:
        return lambda dataset: Loader(dataset, changed, seed=time.monotonic_ns())

    return {
        "omnimouse, 1 thread": loader(config),
        "omnimouse, 2 threads": loader(replace(config, threads=2)),
        "omnimouse, 1 thread, without a map": loader(replace(config, access="read")),
        "numpy memmap, plain": lambda data: _generated(plain_batches(WindowFiles(data, config))),
        "numpy memmap, tuned": lambda data: _generated(tuned_batches(WindowFiles(data, config))),
    }


@contextmanager
def _generated(batches: Iterator[Any]) -> Iterator[Iterator[Any]]:
    yield batches


def _turn(start: Start, folder: Path, num_batches: int) -> tuple[float, float]:
    """Return batches per second, and the bytes read from disk for them."""
    # Opened again: mapped pages cannot be dropped from the cache.
    gc.collect()
    for path in folder.glob("*.safetensors"):
        forget(path)
    with start(open_dataset(folder)) as batches:
        # After these the read-ahead is as long as it is at the end.
        for _ in range(NUM_FIRST):
            next(batches)
        before, began = bytes_read(), time.perf_counter()
        for _ in range(num_batches):
            next(batches)
        elapsed = time.perf_counter() - began
        read = bytes_read() - before
    return num_batches / elapsed, read


def forget(path: Path) -> None:
    """Drop a file from the page cache; it must be on disk and mapped by nobody."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def bytes_read() -> int:
    """Count what this process has had read from disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))
