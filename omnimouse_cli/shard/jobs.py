"""Several jobs at once, in threads that all end when one fails or the user interrupts."""

import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Called by a job between its steps; raises if the job was cancelled.
Check = Callable[[], None]


class JobCancelledError(Exception):
    """The job was cancelled; the error that caused it is raised elsewhere."""


def number_of_jobs(requested: int | None, num_items: int) -> int:
    """Return how many jobs run at once: `requested` or one per core, at most one per item."""
    if requested is None:
        has_affinity = hasattr(os, "sched_getaffinity")
        requested = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, min(requested, num_items))


def map_as_completed(
    work: Callable[[Item, Check], Result], items: Sequence[Item], jobs: int
) -> Generator[tuple[Item, Result], None, None]:
    """Yield each item with the result of `work(item, check)`, in the order of completion.

    One job runs in the calling thread, in the order of the items. When a job fails, or the iterator
    is closed or interrupted, the other jobs are cancelled, and have ended when this returns.
    Threads help where the work is outside the interpreter: in the extension, NumPy or the system.

    Args:
        work: Does the work for one item, and calls `check` often.
        items: The items.
        jobs: Number of items that are worked on at once.
    """
    if jobs == 1:
        for item in items:
            yield item, work(item, lambda: None)
        return
    is_cancelled = threading.Event()

    def check() -> None:
        if is_cancelled.is_set():
            raise JobCancelledError

    with ThreadPoolExecutor(jobs, thread_name_prefix="omnimouse-job") as pool:
        try:
            futures = {pool.submit(work, item, check): item for item in items}
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            is_cancelled.set()
            pool.shutdown(wait=False, cancel_futures=True)
