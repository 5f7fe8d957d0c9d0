"""Starts several ranks on one machine with torch's elastic launcher."""

import json
import logging
import os
import signal
import sys
import tempfile
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.train.parallel.world import read_launcher

# Enough for an interrupted rank to finish its step and write a checkpoint.
SHUTDOWN_SECONDS = 300
THREADS = "OMP_NUM_THREADS"


def require_gpus(wanted: int) -> None:
    """Check that this machine has the requested number of GPUs.

    Raises:
        OmniMouseError: It has fewer.
    """
    present = torch.cuda.device_count()
    if wanted > present:
        raise OmniMouseError(
            f"{wanted} GPUs were requested and this machine has {present}",
            hint=f"use --gpus {present}, or --procs N for N processes on the CPU"
            if present
            else "use --procs N for N processes on the CPU",
        )


def launch(num_ranks: int, entry: Callable[..., None], *arguments: object) -> None:
    """Run `entry(*arguments)` in new processes on this machine and wait for all of them.

    Args:
        num_ranks: Number of processes.
        entry: A function of a module; every process reads its rank from the environment.
        arguments: Picklable.

    Raises:
        OmniMouseError: The error that a rank raised, or one sentence about a rank that failed.
        KeyboardInterrupt: Training was interrupted; the message says which step was saved.
    """
    with (
        tempfile.TemporaryDirectory(prefix="omnimouse-") as name,
        _launcher_environment(num_ranks),
    ):
        reports = Path(name)
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=num_ranks,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            monitor_interval=0.1,
            start_method="spawn",
            logs_specs=DefaultLogsSpecs(log_dir=name),
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        try:
            elastic_launch(config, run_rank)(str(reports), entry, arguments)
        except SignalException as stop:
            raise KeyboardInterrupt(_interrupt_message(reports)) from stop
        except ChildFailedError as failure:
            _raise_failure(reports, failure, num_ranks)


def run_rank(reports: str, entry: Callable[..., None], arguments: tuple[object, ...]) -> None:
    """Run `entry` as one rank; an error is written to a file that the launcher reads."""
    rank = read_launcher(os.environ).rank
    report = Path(reports) / f"rank-{rank}.json"
    try:
        entry(*arguments)
    except OmniMouseError as error:
        report.write_text(
            json.dumps({"kind": "error", "message": error.message, "hint": error.hint})
        )
        sys.exit(1)
    except KeyboardInterrupt as stop:
        report.write_text(json.dumps({"kind": "interrupted", "message": str(stop)}))
        sys.exit(130)
    except Exception as error:
        # A rank whose neighbor has died ends here, too: only the first report is the reason.
        text = f"{type(error).__name__}: {error}"
        content = {"kind": "bug", "message": text, "trace": traceback.format_exc()}
        report.write_text(json.dumps(content))
        sys.exit(1)


@contextmanager
def _launcher_environment(num_ranks: int) -> Iterator[None]:
    """Divide the cores among ranks, silence torch's launcher, then restore signal handlers."""
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    handlers = {number: signal.getsignal(number) for number in signals}
    threads = os.environ.get(THREADS)
    if threads is None:
        os.environ[THREADS] = str(max(1, len(os.sched_getaffinity(0)) // num_ranks))
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if threads is None:
            del os.environ[THREADS]


def _read_reports(folder: Path) -> list[dict[str, str | None]]:
    """Read the reports of all ranks, in the order in which they were written."""
    paths = sorted(folder.glob("rank-*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(path.read_text()) for path in paths]


def _interrupt_message(folder: Path) -> str:
    for report in _read_reports(folder):
        if report["kind"] == "interrupted" and report["message"]:
            return report["message"]
    return ""


def _raise_failure(folder: Path, failure: ChildFailedError, num_ranks: int) -> None:
    reports = _read_reports(folder)
    for report in reports:
        if report["kind"] == "interrupted":
            raise KeyboardInterrupt(_interrupt_message(folder))
        if report["kind"] == "error":
            raise OmniMouseError(str(report["message"]), hint=report["hint"])
    rank, first = failure.get_first_failure()
    if first.exitcode < 0:
        raise OmniMouseError(
            f"rank {rank} of {num_ranks} was killed by {first.signal_name()}",
            hint="SIGKILL usually means that the machine ran out of memory; --resume continues "
            "from the last checkpoint",
        )
    if reports:
        sys.stderr.write(f"{reports[0]['trace']}\n")
        raise OmniMouseError(
            f"rank {rank} of {num_ranks} failed: {reports[0]['message']}",
            hint="this is a bug in omnimouse; the traceback above helps to find it",
        )
    raise OmniMouseError(
        f"rank {rank} of {num_ranks} ended with exit code {first.exitcode} and without a message",
        hint="--resume continues from the last checkpoint",
    )
