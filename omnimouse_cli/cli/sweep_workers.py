"""The processes that train the runs of a sweep: this one, several at once, or tasks of srun."""

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from omnimouse_cli.cli.sweep_job import Sweep
from omnimouse_cli.cli.train_ranks import run_job
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import is_finished, read_config
from omnimouse_cli.run.metrics_log import read_metrics
from omnimouse_cli.text import pluralize
from omnimouse_cli.training.interrupt import signal_of

if TYPE_CHECKING:
    from omnimouse_cli.training.sweep import Cell

RUNS_TASK = "runs"
# How often the metrics logs of runs that train at once are read.
PROGRESS_SECONDS = 2.0
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
THREADS = "OMP_NUM_THREADS"


def join_step(*, gpus: int | None, device: str, jobs: int | None) -> int:
    """Make this process a worker of its own, with GPUs of its own, if it is a task of srun.

    Args:
        gpus: GPUs of each run; None for one, where there are any.
        device: `cpu`, `cuda` or `auto`.
        jobs: Number of runs that each task is to train at once.

    Returns:
        The number of this worker, from 0.

    Raises:
        OmniMouseError: The process was started by torchrun, or there are too few GPUs.
    """
    from omnimouse_cli.training.parallel.world import leave_step, read_launcher

    launcher = read_launcher(os.environ)
    if launcher.num_ranks == 1:
        return 0
    if "RANK" in os.environ:
        raise OmniMouseError(
            "a sweep starts its own ranks and cannot run under torchrun",
            hint="use --gpus N or --procs N for each run, and --jobs N for several runs at once",
        )
    if jobs is not None:
        raise OmniMouseError(
            "--jobs cannot be given under srun, whose tasks share the grid",
            hint="start more tasks: srun --ntasks N omnimouse sweep",
        )
    leave_step(os.environ)
    names = visible_gpus(device)
    if names:
        os.environ[VISIBLE_GPUS] = ",".join(gpus_of_worker(names, launcher.gpu, gpus))
    return launcher.rank


def visible_gpus(device: str) -> tuple[str, ...]:
    """Return the names of the GPUs that this process sees, as CUDA_VISIBLE_DEVICES has them."""
    if device == "cpu":
        return ()
    import torch

    listed = os.environ.get(VISIBLE_GPUS)
    if listed is None:
        return tuple(str(index) for index in range(torch.cuda.device_count()))
    names = tuple(name.strip() for name in listed.split(",") if name.strip())
    return names[: torch.cuda.device_count()]


def gpus_of_worker(names: Sequence[str], worker: int, gpus: int | None) -> tuple[str, ...]:
    """Return the GPUs of one of several workers on a machine.

    Args:
        names: All GPUs.
        worker: Number of the worker on this machine, from 0.
        gpus: GPUs of each worker; None for one, which workers share if there are too few.

    Raises:
        OmniMouseError: There are too few.

    Example:
        >>> gpus_of_worker("0123", 1, 2)
        ('2', '3')
        >>> gpus_of_worker("01", 2, None)
        ('0',)
    """
    if gpus is None:
        return (names[worker % len(names)],)
    chosen = tuple(names[worker * gpus : (worker + 1) * gpus])
    if len(chosen) < gpus:
        raise OmniMouseError(
            f"{worker + 1} runs at once with --gpus {gpus} need {(worker + 1) * gpus} GPUs, and "
            f"{len(names)} can be used here",
            hint="train fewer runs at once, or give each fewer GPUs",
        )
    return chosen


def train_in_turn(
    sweep: Sweep, cells: Sequence["Cell"], progress: Reporter, *, quiet: bool
) -> dict["Cell", OmniMouseError]:
    """Train one run after the other in this process; return the errors of those that failed."""
    from omnimouse_cli.training.sweep import train_all

    shared = _SharedProgress(progress)

    def train_cell(cell: "Cell") -> None:
        run_job(sweep.job_of(cell), sweep.ranks, shared, quiet=quiet)

    return train_all(cells, sweep.root, train_cell, shared)


class _SharedProgress:
    """A reporter in which the task of all runs advances with the steps of each run.

    Args:
        reporter: Receives everything.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        # Of the run in training.
        self._share = 0.0
        self.start, self.finish = reporter.start, reporter.finish
        self.say, self.warn = reporter.say, reporter.warn

    def advance(self, task: str, amount: float = 1.0, note: str = "") -> None:
        """Add units to a task; those of a training are a share of one run."""
        from omnimouse_cli.training.progress_log import PROGRESS_TASK

        if task == RUNS_TASK:
            amount, self._share = amount - self._share, 0.0
        self._reporter.advance(task, amount, note)
        if task == PROGRESS_TASK:
            self._share += amount
            self._reporter.advance(RUNS_TASK, amount)


@dataclass(slots=True, kw_only=True)
class _Child:
    """A process that trains one run.

    Args:
        cell: The run.
        slot: Index of its environment (GPUs, threads) among the runs at once.
        process: The process.
        messages: The `error` and `hint` that it has printed, if any.
        share: Share of the run that the progress bar shows as trained.
    """

    cell: "Cell"
    slot: int
    process: subprocess.Popen[str]
    messages: dict[str, str] = field(default_factory=dict)
    share: float = 0.0

    def read(self, events: "queue.SimpleQueue[tuple[_Child, str | None]]") -> None:
        """Append the warnings of the process to `events`, and None when it has ended."""
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                kind, _, text = line.rstrip().partition(": ")
                if kind == "warning":
                    events.put((self, text))
                elif kind in ("error", "hint"):
                    self.messages[kind] = text
                elif kind.startswith("interrupted"):
                    self.messages["error"] = line.rstrip()
        self.process.wait()
        events.put((self, None))


def train_at_once(
    sweep: Sweep, cells: Sequence["Cell"], num_jobs: int, progress: Reporter
) -> dict["Cell", OmniMouseError]:
    """Train several runs at once, each in a process of its own; one that fails stops no other.

    Args:
        sweep: The sweep.
        cells: The runs.
        num_jobs: Number of runs at once.
        progress: Shows the start, the end and the warnings of each run.

    Returns:
        The error of each run that failed.

    Raises:
        OmniMouseError: There are too few GPUs.
        KeyboardInterrupt: Interrupted; every run has kept its last step.
    """
    from omnimouse_cli.training.sweep import interruption_message, unfinished

    waiting = unfinished(cells, sweep.root)
    num_jobs = min(num_jobs, max(1, len(waiting)))
    environments = _environments(sweep, num_jobs, progress)
    failures: dict[Cell, OmniMouseError] = {}
    running: list[_Child] = []
    events: queue.SimpleQueue[tuple[_Child, str | None]] = queue.SimpleQueue()
    progress.start(RUNS_TASK, len(waiting))
    try:
        while waiting or running:
            while waiting and len(running) < num_jobs:
                slot = min(set(range(num_jobs)) - {child.slot for child in running})
                running.append(_start(sweep, waiting.pop(0), slot, environments[slot]))
                threading.Thread(target=running[-1].read, args=(events,), daemon=True).start()
                progress.say(f"{running[-1].cell.name}: started")
            # Only this thread reports: an error of stderr, such as a closed pipe, ends the sweep.
            child, warning = _next_event(events, running, sweep, progress)
            if warning is not None:
                progress.warn(f"{child.cell.name}: {warning}")
                continue
            running.remove(child)
            error = _error_of(child)
            if error is not None:
                progress.warn(f"{child.cell.name}: {error.message}")
                failures[child.cell] = error
            elif is_finished(sweep.run_of(child.cell)):
                progress.say(f"{child.cell.name}: finished")
            else:
                progress.say(f"{child.cell.name} is skipped: another process trains it")
            progress.advance(RUNS_TASK, 1 - child.share)
    except KeyboardInterrupt as stop:
        _end(running, signal_of(stop))
        raise KeyboardInterrupt(interruption_message(sweep.root)) from stop
    except BaseException:
        # The processes have sessions of their own and would train on without this one.
        _end(running, signal.SIGTERM)
        raise
    progress.finish(RUNS_TASK)
    return failures


def _next_event(
    events: "queue.SimpleQueue[tuple[_Child, str | None]]",
    running: Sequence[_Child],
    sweep: Sweep,
    progress: Reporter,
) -> tuple[_Child, str | None]:
    """Return the next event; until it comes, the progress of all runs advances with their steps."""
    while True:
        try:
            return events.get(timeout=PROGRESS_SECONDS)
        except queue.Empty:
            for child in running:
                share = max(child.share, _share_trained(sweep.run_of(child.cell)))
                progress.advance(RUNS_TASK, share - child.share)
                child.share = share


def _share_trained(run: Path) -> float:
    """Return which share of its steps a run has logged; 0 where its length is in minutes."""
    try:
        lines, steps = read_metrics(run), read_config(run).train.steps
    except (OmniMouseError, OSError):
        # It has not begun, or its own process reports what is wrong.
        return 0.0
    return min(1.0, lines[-1]["step"] / steps) if lines and steps else 0.0


def _environments(sweep: Sweep, num_jobs: int, progress: Reporter) -> list[dict[str, str]]:
    """Return the environment variables of the runs that are trained at once: GPUs and threads."""
    gpus, procs = sweep.options.gpus, sweep.options.procs
    names = () if procs is not None else visible_gpus(sweep.options.device)
    if names:
        if gpus is None and num_jobs > len(names):
            progress.say(f"{num_jobs} runs at once share {pluralize(len(names), 'GPU')}")
        # The last one first: its error names the GPUs that all of them need.
        shares = [gpus_of_worker(names, slot, gpus) for slot in reversed(range(num_jobs))]
        return [{VISIBLE_GPUS: ",".join(chosen)} for chosen in reversed(shares)]
    if THREADS in os.environ:
        return [{}] * num_jobs
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [{THREADS: str(max(1, (cores or 1) // (num_jobs * (procs or 1))))}] * num_jobs


def _start(sweep: Sweep, cell: "Cell", slot: int, environment: Mapping[str, str]) -> _Child:
    process = subprocess.Popen(
        [*sweep.options.command(cell.name), "--quiet"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **environment},
        # Ctrl-C in a terminal reaches this process only, which forwards it once.
        start_new_session=True,
    )
    return _Child(cell=cell, slot=slot, process=process)


def _end(running: Sequence[_Child], number: int) -> None:
    """Send a signal to all processes and wait until they have ended; Ctrl-C sends SIGINT.

    Args:
        running: The processes.
        number: Number of the signal.
    """
    while any(child.process.poll() is None for child in running):
        try:
            for child in running:
                child.process.send_signal(number)
            for child in running:
                child.process.wait()
        except KeyboardInterrupt:
            number = signal.SIGINT


def _error_of(child: _Child) -> OmniMouseError | None:
    """Return why a process has failed; None if it has not."""
    code = child.process.returncode
    if code == 0:
        return None
    default = f"the process ended with exit code {code} and without a message"
    if code < 0:
        default = f"the process was killed by signal {-code}"
    return OmniMouseError(child.messages.get("error", default), hint=child.messages.get("hint"))
