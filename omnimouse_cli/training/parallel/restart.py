"""Starts failed ranks again from the newest checkpoint, on as many GPUs as still work."""

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.checkpoints import latest_checkpoint
from omnimouse_cli.run.folder import is_run, read_config
from omnimouse_cli.text import pluralize
from omnimouse_cli.training.parallel.verdict import RankFailedError
from omnimouse_cli.training.prepare import TrainingJob

VISIBLE = "CUDA_VISIBLE_DEVICES"
# Loading torch and using a GPU once takes seconds; a broken one may never answer.
PROBE_SECONDS = 120
# Time in which the system frees the memory of dead processes.
PAUSE_SECONDS = 1.0
_PROBE = "import sys, torch; torch.ones(8, device=f'cuda:{sys.argv[1]}').sum().item()"


def launch_with_restarts(
    launch_ranks: Callable[[int, TrainingJob], None],
    job: TrainingJob,
    num_ranks: int,
    *,
    restarts: int,
    on_gpus: bool,
    reporter: Reporter,
) -> None:
    """Train, and train again from the newest checkpoint when a rank dies, hangs or fails.

    A step has the same batches for any number of ranks. After an error of the user training is not
    started again.

    Args:
        launch_ranks: Trains a job in a number of ranks; returns when it has finished.
        job: The training.
        num_ranks: Ranks of the first attempt.
        restarts: Number of failures without a new checkpoint in between after which it ends.
        on_gpus: Whether each rank has a GPU; GPUs that do not work any more are not used again.
        reporter: Shows each failure and restart.

    Raises:
        RankFailedError: It failed too often.
        OmniMouseError: The input cannot be used, or no GPU works any more.
        KeyboardInterrupt: Training was interrupted; the message says which step was saved.
    """
    failures, reached = 0, _saved_step(job)
    while True:
        try:
            launch_ranks(num_ranks, job)
        except RankFailedError as error:
            saved = _saved_step(job)
            failures = failures + 1 if saved <= reached else 1
            reached = saved
            if failures > restarts:
                raise RankFailedError(
                    f"{error.message}; it was failure {failures} without a new checkpoint, and "
                    f"--restarts is {restarts}",
                    hint=error.hint,
                    rank=error.rank,
                ) from error
            reporter.warn(error.message)
            if on_gpus:
                num_ranks = _leave_out_broken_gpus(num_ranks, reporter)
            reporter.say(
                f"starting again from step {saved} on {pluralize(num_ranks, 'rank')} "
                f"(restart {failures} of {restarts} without a new checkpoint)"
            )
            if is_run(job.run):
                # With the configuration that it has begun with.
                job = dataclasses.replace(job, config=read_config(job.run), resume=True)
            time.sleep(PAUSE_SECONDS)
        else:
            return


def _saved_step(job: TrainingJob) -> int:
    checkpoint = latest_checkpoint(job.run)
    # By its name: a damaged one is noticed by the ranks, which continue from the one before it.
    return 0 if checkpoint is None else int(checkpoint.name.removeprefix("step-"))


def _leave_out_broken_gpus(num_ranks: int, reporter: Reporter) -> int:
    """Hide GPUs that do not work from the ranks; return the number of ranks that are left.

    Raises:
        OmniMouseError: No GPU works.
    """
    names = [name for name in os.environ.get(VISIBLE, "").split(",") if name]
    names = (names or [str(index) for index in range(torch.cuda.device_count())])[:num_ranks]
    probes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROBE, str(index)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for index in range(len(names))
    ]
    deadline = time.monotonic() + PROBE_SECONDS
    working = [
        name for name, probe in zip(names, probes, strict=True) if _has_succeeded(probe, deadline)
    ]
    if not working:
        raise OmniMouseError(
            "no GPU works any more",
            hint="nvidia-smi and dmesg show why; --resume continues from the last checkpoint",
        )
    for name in sorted(set(names) - set(working)):
        reporter.warn(f"GPU {name} does not work any more and is not used")
    os.environ[VISIBLE] = ",".join(working)
    return len(working)


def _has_succeeded(probe: subprocess.Popen[bytes], deadline: float) -> bool:
    try:
        return probe.wait(max(0.0, deadline - time.monotonic())) == 0
    except subprocess.TimeoutExpired:
        probe.kill()
        return False
