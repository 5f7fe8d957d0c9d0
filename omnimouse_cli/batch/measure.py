"""How fast batches come on this machine, and what they cost."""

import ctypes
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnimouse_cli.batch.dataset import Dataset, open_dataset
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.batch.reader import warn_if_not_mapped
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.reporter import Reporter

COPIED_BYTES = 2**27
NUM_COPIES = 3
WARM_BATCHES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderSpeed:
    """What was measured.

    Args:
        batches_per_second: Taken by one consumer.
        windows_per_second: The same in windows.
        output_bytes_per_second: Responses, video and behavior that came out.
        cpu_ms_per_batch: Of all threads of the process.
        wait_fraction: Share of the time that the consumer waited for a batch.
        resident_bytes: Anonymous memory of the process at the end; None where it cannot be known.
        loader_bytes: By how much that grew since before the data set was opened.
        growth_bytes: By how much of that while batches were timed: what leaks, if anything.
        mapped_bytes: Pages of files that the process sees at the end; the system may drop them.
        threads: That assemble batches.
        memcpy_bytes_per_second: Copied by one thread, median of copies before and after.
        open_seconds: To open the data set.
        first_batch_seconds: From then on until the first batch was there.
        batches: Measured.
        sessions: Of the data set.
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
        shards: The folder.
        config: Which windows, how many threads.
        seed: Of the order.
        num_batches: How many are timed.
        step_seconds: What the consumer takes for each; 0 takes batches as fast as they come.
        reporter: Hears if shards cannot be mapped.

    Raises:
        ShardError: As the data set and the loader raise it.
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
        settled, _ = resident_bytes()
        num_bytes, waited, cpu_began, timed = 0, 0.0, time.process_time(), time.perf_counter()
        for _ in range(num_batches):
            asked = time.perf_counter()
            num_bytes += loader.take().num_bytes
            waited += time.perf_counter() - asked
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
        growth_bytes=None if anonymous is None or settled is None else anonymous - settled,
        mapped_bytes=mapped,
        threads=config.threads,
        memcpy_bytes_per_second=statistics.median(copies),
        open_seconds=opened - began,
        first_batch_seconds=arrived - opened,
        batches=num_batches,
        sessions=len(dataset.sessions),
        samples=_samples(dataset),
    )


def memcpy_bytes_per_second(num_bytes: int) -> float:
    """Measure how fast one thread copies memory that it has touched before."""
    source, target = np.ones(num_bytes, np.uint8), np.ones(num_bytes, np.uint8)
    began = time.perf_counter()
    ctypes.memmove(target.ctypes.data, source.ctypes.data, num_bytes)
    return num_bytes / (time.perf_counter() - began)


def resident_bytes() -> tuple[int, int] | tuple[None, None]:
    """Give the anonymous and the file-backed resident memory of this process, where Linux says."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return None, None
    resident, of_files = (int(pages) for pages in status.read_text().split()[1:3])
    page = os.sysconf("SC_PAGE_SIZE")
    return (resident - of_files) * page, of_files * page


def _samples(dataset: Dataset) -> int:
    return sum(
        session.num_neurons * session.shard.description.responses.clock.num_samples
        for session in dataset.sessions
    )
