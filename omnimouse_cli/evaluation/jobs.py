"""Sessions that are evaluated at once on a CPU: each in a thread, with a share of the cores."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TypeVar

import torch

from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.run.load import LoadedRun
from omnimouse_cli.shard.jobs import Check, map_as_completed, number_of_jobs

Result = TypeVar("Result")

# Each session keeps up to a gigabyte of batches, beside its activations.
MOST_SESSIONS = 4
# Matrix products of a wider transformer keep all cores busy by themselves.
MOST_WIDTH = 128


def sessions_at_once(run: LoadedRun, options: EvalOptions, num_sessions: int) -> int:
    """Return how many sessions are evaluated at once.

    Half the time of a small model goes into steps that a second core does not speed up: sessions at
    once use both. On a GPU and with baselines there is one session at a time: fits of baselines use
    all cores, and in another thread they could not be interrupted.

    Args:
        run: The model.
        options: `device` and `baselines` are used.
        num_sessions: Sessions that are evaluated.
    """
    model = run.config.model
    is_wide = model.kind == "transformer" and model.d_model > MOST_WIDTH
    if options.device != "cpu" or options.baselines or is_wide:
        return 1
    return number_of_jobs(min(MOST_SESSIONS, torch.get_num_threads()), num_sessions)


def map_sessions(
    work: Callable[[str, Check], Result], keys: Sequence[str], jobs: int
) -> Iterator[tuple[str, Result]]:
    """Yield each session key with the result of `work(key, check)`, in the order of completion.

    Args:
        work: Evaluates a session, and calls `check` often: it raises once another session failed or
            the user interrupted.
        keys: Session keys.
        jobs: Sessions that are evaluated at once.
    """
    num_threads = torch.get_num_threads()

    def work_with_share(key: str, check: Check) -> Result:
        # Sets the number for this thread and for threads that start later.
        torch.set_num_threads(max(1, num_threads // jobs))
        return work(key, check)

    try:
        with closing(map_as_completed(work_with_share, keys, jobs)) as completed:
            yield from completed
    finally:
        torch.set_num_threads(num_threads)
