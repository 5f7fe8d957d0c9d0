"""Several pieces of work at once, in threads that all end when one fails or the user interrupts."""

import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Called between steps; raises where the work should end.
Check = Callable[[], None]


class JobStoppedError(Exception):
    """This piece of work is not wanted any more; whatever stopped it is told elsewhere."""


def number_of_jobs(wanted: int | None, num_items: int) -> int:
    """Give how many pieces run at once: `wanted`, else one for each core, at most all of them."""
    return max(1, min(_num_cores() if wanted is None else wanted, num_items))


def as_they_end(
    work: Callable[[Item, Check], Result], items: Sequence[Item], jobs: int
) -> Generator[tuple[Item, Result], None, None]:
    """Do `work(item, check)` for every item, `jobs` at a time, and give results as they come.

    One job runs in the calling thread, in the order of the items. When a piece of work fails, or
    the iterator is closed or interrupted, the others are asked to end, and have ended when this
    does. Threads pay where the work is outside the interpreter: in the extension, NumPy, checksums
    or the system.

    Args:
        work: What is done; it calls `check` often.
        items: What it is done with.
        jobs: How many at once.
    """
    if jobs == 1:
        for item in items:
            yield item, work(item, _go_on)
        return
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise JobStoppedError

    with ThreadPoolExecutor(jobs, thread_name_prefix="omnimouse-job") as pool:
        try:
            futures: dict[Future[Result], Item] = {}
            for item in items:
                futures[pool.submit(work, item, check)] = item
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _go_on() -> None:
    """Stop nothing: what runs in the calling thread is interrupted by its exceptions."""


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
