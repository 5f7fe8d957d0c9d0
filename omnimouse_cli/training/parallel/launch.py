"""Starts several ranks on one machine, passes signals on to them and reports how they ended."""

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch._C._distributed_c10d import TCPStore

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.text import pluralize
from omnimouse_cli.training.interrupt import (
    CAUGHT,
    exit_code,
    handle_signals,
    interruption,
    raise_on_signals,
)
from omnimouse_cli.training.parallel.heartbeat import REPORT_FILE, write_report
from omnimouse_cli.training.parallel.meet import STORE_IS_SERVED
from omnimouse_cli.training.parallel.verdict import RankFailedError

THREADS = "OMP_NUM_THREADS"
HOST = "127.0.0.1"
POLL_SECONDS = 0.2
# Ranks whose neighbor has failed end by themselves within this time, or are killed.
FAILURE_SECONDS = 10.0

Report = dict[str, Any]


def require_gpus(wanted: int) -> None:
    """Check that this machine has the requested number of GPUs.

    Raises:
        OmniMouseError: It has fewer.
    """
    present = torch.cuda.device_count()
    if wanted > present:
        raise OmniMouseError(
            f"{pluralize(wanted, 'GPU was', 'GPUs were')} requested and this machine has {present}",
            hint=f"use --gpus {present}, or --procs N for N processes on the CPU"
            if present
            else "use --procs N for N processes on the CPU",
        )


def launch(num_ranks: int, entry: Callable[..., None], *arguments: object) -> None:
    """Run `entry(*arguments)` in new processes on this machine and wait for all of them.

    Signals are passed on to the ranks, which end training at the same step; a second Ctrl-C kills
    them.

    Args:
        num_ranks: Number of processes.
        entry: A function of a module; every process reads its rank from the environment.
        arguments: Picklable.

    Raises:
        OmniMouseError: The error that a rank raised, or one sentence about a rank that failed.
        KeyboardInterrupt: Training was interrupted; the message says which step was saved.
    """
    signals: list[int] = []
    with (
        tempfile.TemporaryDirectory(prefix="omnimouse-") as name,
        handle_signals(CAUGHT, lambda number, _frame: signals.append(number)),
    ):
        reports = Path(name)
        exit_codes = _run_ranks(num_ranks, signals, reports, (entry, arguments))
        if any(exit_codes.values()):
            _raise_failure(_read_reports(reports), exit_codes, signals)


def run_rank(entry: Callable[..., None], arguments: tuple[object, ...]) -> NoReturn:
    """Run `entry` as one rank; why it ends is written to a file that the launcher reads."""
    code = 0
    try:
        with raise_on_signals():
            # A signal that arrived while this process started is delivered now.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, CAUGHT)
            threading.Thread(target=_stop_without_launcher, daemon=True).start()
            entry(*arguments)
    except BaseException as error:
        write_report(error)
        code = exit_code(error) if isinstance(error, KeyboardInterrupt) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    # A process group whose other ranks are gone may never let the interpreter end.
    os._exit(code)


def _stop_without_launcher() -> None:
    """Stop training when the launcher has died."""
    launcher = multiprocessing.parent_process()
    assert launcher is not None, "a rank is started by a launcher"
    launcher.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _run_ranks(
    num_ranks: int, signals: list[int], reports: Path, arguments: tuple[object, ...]
) -> dict[int, int]:
    """Start the ranks and wait for all; return the exit code of each, first of those that failed.

    Args:
        num_ranks: Number of processes.
        signals: Numbers of signals, which grow as signals arrive.
        reports: Folder into which each rank writes why it ended.
        arguments: Of `run_rank`.
    """
    # The store through which ranks find each other lives as long as the slowest of them.
    store = TCPStore(HOST, 0, is_master=True, wait_for_workers=False)
    processes: list[BaseProcess] = []
    try:
        with _block_signals():
            for rank in range(num_ranks):
                process: BaseProcess = multiprocessing.get_context("spawn").Process(
                    target=run_rank, args=arguments, name=f"rank {rank}"
                )
                with _rank_environment(rank, num_ranks, store.port, reports):
                    process.start()
                processes.append(process)
        first = _wait(processes, signals)
    finally:
        for process in processes:
            process.kill()
            process.join()
    codes = {rank: process.exitcode or 0 for rank, process in enumerate(processes)}
    # A rank that was killed is the reason of what others failed with in the same moment.
    order = sorted(codes, key=lambda rank: (rank not in first, codes[rank] >= 0))
    return {rank: codes[rank] for rank in order}


@contextmanager
def _block_signals() -> Iterator[None]:
    """Block signals; a process that is started in the block gets them when it unblocks them."""
    # Starting it later would unblock the signals.
    resource_tracker.ensure_running()
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, CAUGHT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


@contextmanager
def _rank_environment(rank: int, num_ranks: int, port: int, reports: Path) -> Iterator[None]:
    """Set the environment variables of a rank for a process that is started in the block."""
    variables = {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(num_ranks),
        "MASTER_ADDR": HOST,
        "MASTER_PORT": str(port),
        REPORT_FILE: str(reports / f"rank-{rank}.json"),
        # The store is served by this process, not by the first rank.
        STORE_IS_SERVED: "True",
    }
    if THREADS not in os.environ:
        variables[THREADS] = str(max(1, len(os.sched_getaffinity(0)) // num_ranks))
    previous = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in previous.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _wait(processes: list[BaseProcess], signals: list[int]) -> set[int]:
    """Wait until all processes have ended; pass signals on, end the others when one has failed.

    Returns:
        The ranks that failed before any other, by themselves.
    """
    num_passed_on = 0
    first: set[int] = set()
    deadline: float | None = None
    while alive := [process for process in processes if process.is_alive()]:
        connection.wait([process.sentinel for process in alive], timeout=POLL_SECONDS)
        for number in signals[num_passed_on:]:
            num_passed_on += 1
            for process in alive:
                assert process.pid is not None
                os.kill(process.pid, number)
        if deadline is None:
            # Neither at work, nor ended well or because of a signal to stop.
            first = {
                rank
                for rank, process in enumerate(processes)
                if process.exitcode not in (None, 0, *(128 + number for number in CAUGHT))
            }
            deadline = time.monotonic() + FAILURE_SECONDS if first else None
        is_late = deadline is not None and time.monotonic() > deadline
        if is_late or signals.count(signal.SIGINT) > 1:
            for process in alive:
                process.kill()
    return first


def _read_reports(folder: Path) -> list[Report]:
    """Read the reports, in the order in which they were written.

    `rank` is the rank that wrote a report, of kind `failed` the one that it names.
    """
    paths = sorted(folder.glob("rank-*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [
        {"rank": int(path.stem.removeprefix("rank-")), **json.loads(path.read_text())}
        for path in paths
    ]


def _raise_failure(
    reports: list[Report], exit_codes: dict[int, int], signals: list[int]
) -> NoReturn:
    """Raise why the ranks ended: the first reason, not what followed from it."""
    by_kind = {
        kind: [report for report in reports if report["kind"] == kind]
        for kind in ("error", "interrupted", "bug", "failed")
    }
    if by_kind["error"]:
        report = by_kind["error"][0]
        raise OmniMouseError(report["message"], hint=report["hint"])
    interrupted = by_kind["interrupted"]
    if signals or (interrupted and min(exit_codes.values()) >= 0):
        messages = [report["message"] for report in interrupted if report["message"]]
        numbers = [*signals, *(report["number"] for report in interrupted)]
        raise interruption(numbers[0], messages[0] if messages else "")
    num_ranks = len(exit_codes)
    rank, code = next(iter(exit_codes.items()))
    if code < 0:
        steps = [report["step"] for report in by_kind["failed"] if report["rank"] == rank]
        at = f" at step {steps[0]}" if steps and steps[0] else ""
        raise RankFailedError(
            f"rank {rank} of {num_ranks} was killed by {signal.Signals(-code).name}{at}",
            hint="SIGKILL usually means that the machine ran out of memory; --resume continues "
            "from the last checkpoint",
            rank=rank,
        )
    if by_kind["bug"]:
        report = by_kind["bug"][0]
        sys.stderr.write(f"{report['trace']}\n")
        raise RankFailedError(
            f"rank {report['rank']} of {num_ranks} failed: {report['message']}",
            hint="this is a bug in omnimouse; the traceback above helps to find it",
            rank=report["rank"],
        )
    if by_kind["failed"]:
        report = by_kind["failed"][0]
        raise RankFailedError(report["message"], hint=report["hint"], rank=report["rank"])
    rank, code = next((rank, code) for rank, code in exit_codes.items() if code)
    raise RankFailedError(
        f"rank {rank} of {num_ranks} ended with exit code {code} and without a message",
        hint="--resume continues from the last checkpoint",
        rank=rank,
    )
