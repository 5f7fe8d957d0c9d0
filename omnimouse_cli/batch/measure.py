"""Throughput and cost of the loader on this machine."""

import ctypes
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.batch.reader import warn_if_not_mapped
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.reporter import Reporter

COPIED_BYTES = 2**27
NUM_COPIES = 3
WARM_BATCHES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderSpeed:
    """Result of a measurement.

    Args:
        batches_per_second: Batches that one consumer took per second.
        windows_per_second: Windows that one consumer took per second.
        output_bytes_per_second: Bytes of responses, video and behavior per second.
        cpu_ms_per_batch: CPU time of all threads of the process, per batch.
        wait_fraction: Share of the time in which the consumer waited for a batch.
        resident_bytes: Anonymous memory of the process at the end; None where it is unknown.
        loader_bytes: Growth of that memory since before the data set was opened.
        growth_bytes: Growth of that memory while batches were timed; positive if it leaks.
        mapped_bytes: Resident pages of files at the end; the system may drop them.
        threads: Number of threads that assemble batches.
        memcpy_bytes_per_second: Copy speed of one thread, median of copies before and after.
        open_seconds: Time to open the data set.
        first_batch_seconds: Time from then on until the first batch.
        batches: Number of batches that were timed.
        sessions: Number of sessions of the data set.
        samples: Stored response samples of all sessions: neurons times rows.
    """

    batches_per_second: float
    windows_per_second: float
    output_bytes_per_second: float
    cpu_ms_per_batch: float
    wait_fraction: float
    resident_bytes: int | None
    loader_bytes: int | None
    growth_bytes: int | None
    mapped_bytes: int | None
    threads: int
    memcpy_bytes_per_second: float
    open_seconds: float
    first_batch_seconds: float
    batches: int
    sessions: int
    samples: int


def measure_loader(
    shards: Path,
    config: DataConfig,
    *,
    seed: int,
    num_batches: int,
    step_seconds: float = 0.0,
    reporter: Reporter | None = None,
) -> LoaderSpeed:
    """Open a folder of shards, draw batches as arrays and time them.

    Args:
        shards: Folder of shards.
        config: Windows, scaling and number of threads.
        seed: Seed of the order of batches.
        num_batches: Number of batches to time.
        step_seconds: Time that the consumer spends on each batch; 0 takes them as fast as possible.
        reporter: Warned if shards cannot be memory-mapped.

    Raises:
        ShardError: The folder or a shard cannot be used, or a session has no window.
    """
    copies = [memcpy_bytes_per_second(COPIED_BYTES) for _ in range(NUM_COPIES)]
    before, _ = resident_bytes()
    began = time.perf_counter()
    dataset = open_dataset(shards, sessions=config.sessions, max_sessions=config.max_sessions)
    opened = time.perf_counter()
    if reporter is not None:
        warn_if_not_mapped(dataset, config, reporter)
    with Loader(dataset, config, seed=seed) as loader:
        loader.take()
        arrived = time.perf_counter()
        for _ in range(WARM_BATCHES):
            loader.take()
        warm, _ = resident_bytes()
        num_bytes, waited, cpu_began, timed = 0, 0.0, time.process_time(), time.perf_counter()
        for _ in range(num_batches):
            called = time.perf_counter()
            num_bytes += loader.take().num_bytes
            waited += time.perf_counter() - called
            if step_seconds:
                time.sleep(step_seconds)
        elapsed, cpu_seconds = time.perf_counter() - timed, time.process_time() - cpu_began
        anonymous, mapped = resident_bytes()
    copies += [memcpy_bytes_per_second(COPIED_BYTES) for _ in range(NUM_COPIES)]
    return LoaderSpeed(
        batches_per_second=num_batches / elapsed,
        windows_per_second=num_batches * config.batch_size / elapsed,
        output_bytes_per_second=num_bytes / elapsed,
        cpu_ms_per_batch=1000 * cpu_seconds / num_batches,
        wait_fraction=waited / elapsed,
        resident_bytes=anonymous,
        loader_bytes=None if anonymous is None or before is None else anonymous - before,
        growth_bytes=None if anonymous is None or warm is None else anonymous - warm,
        mapped_bytes=mapped,
        threads=config.threads,
        memcpy_bytes_per_second=statistics.median(copies),
        open_seconds=opened - began,
        first_batch_seconds=arrived - opened,
        batches=num_batches,
        sessions=len(dataset.sessions),
        samples=sum(
            session.num_neurons * session.shard.description.responses.clock.num_samples
            for session in dataset.sessions
        ),
    )


def memcpy_bytes_per_second(num_bytes: int) -> float:
    """Measure how fast one thread copies memory that is already resident."""
    source, target = np.ones(num_bytes, np.uint8), np.ones(num_bytes, np.uint8)
    began = time.perf_counter()
    ctypes.memmove(target.ctypes.data, source.ctypes.data, num_bytes)
    return num_bytes / (time.perf_counter() - began)


def resident_bytes() -> tuple[int, int] | tuple[None, None]:
    """Return anonymous and file-backed resident memory of this process; None outside Linux."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return None, None
    resident, of_files = (int(pages) for pages in status.read_text().split()[1:3])
    page = os.sysconf("SC_PAGE_SIZE")
    return (resident - of_files) * page, of_files * page
