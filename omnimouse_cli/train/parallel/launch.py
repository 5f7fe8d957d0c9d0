"""Several ranks on one machine, started by torch's own elastic launcher."""

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
from omnimouse_cli.train.parallel.environment import place_of

# Until an interrupted rank has finished its step and written a checkpoint.
PATIENCE_SECONDS = 300
THREADS = "OMP_NUM_THREADS"


def is_launched() -> bool:
    """Whether somebody has already started this process as one rank of several."""
    return place_of(os.environ).num_ranks > 1


def require_gpus(wanted: int) -> None:
    """Refuse more ranks than there are GPUs.

    Raises:
        OmniMouseError: This machine has fewer.
    """
    present = torch.cuda.device_count()
    if wanted > present:
        raise OmniMouseError(
            f"{wanted} GPUs are asked for and this machine has {present}",
            hint=f"use --gpus {present}, or --procs N for N processes on the CPU"
            if present
            else "use --procs N for N processes on the CPU",
        )


def launch(num_ranks: int, entry: Callable[..., None], *arguments: object) -> None:
    """Run `entry(*arguments)` in so many new processes and wait for all.

    Args:
        num_ranks: Processes.
        entry: A function of a module; every rank finds its place in the environment.
        arguments: Picklable.

    Raises:
        OmniMouseError: A rank's own user error, or the failure of a rank as one sentence.
        KeyboardInterrupt: Somebody asked to stop; the message says what was kept.
    """
    with tempfile.TemporaryDirectory(prefix="omnimouse-") as name, _prepared(num_ranks):
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
            shutdown_timeout=PATIENCE_SECONDS,
        )
        try:
            elastic_launch(config, run_rank)(str(reports), entry, arguments)
        except SignalException as stop:
            raise KeyboardInterrupt(_interruption(reports)) from stop
        except ChildFailedError as failure:
            _raise_failure(reports, failure, num_ranks)


def run_rank(reports: str, entry: Callable[..., None], arguments: tuple[object, ...]) -> None:
    """Be one rank; what the user has to know is written where the launcher finds it."""
    place = place_of(os.environ)
    report = Path(reports) / f"rank-{place.rank}.json"
    try:
        entry(*arguments)
    except OmniMouseError as error:
        _write(report, {"kind": "error", "message": error.message, "hint": error.hint})
        sys.exit(1)
    except KeyboardInterrupt as stop:
        _write(report, {"kind": "interrupted", "message": str(stop)})
        sys.exit(130)
    except Exception as error:
        # Also what a rank says whose neighbor is gone: only the first report is the reason.
        text = f"{type(error).__name__}: {error}"
        _write(report, {"kind": "bug", "message": text, "trace": traceback.format_exc()})
        sys.exit(1)


@contextmanager
def _prepared(num_ranks: int) -> Iterator[None]:
    """Share the cores among ranks, keep torch's launcher quiet, and undo what it leaves behind."""
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


def _write(path: Path, content: dict[str, str | None]) -> None:
    path.write_text(json.dumps(content))


def _reports(folder: Path) -> list[dict[str, str | None]]:
    """Read what ranks reported, the first report first."""
    paths = sorted(folder.glob("rank-*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(path.read_text()) for path in paths]


def _interruption(folder: Path) -> str:
    for report in _reports(folder):
        if report["kind"] == "interrupted" and report["message"]:
            return report["message"]
    return ""


def _raise_failure(folder: Path, failure: ChildFailedError, num_ranks: int) -> None:
    reports = _reports(folder)
    for report in reports:
        if report["kind"] == "interrupted":
            raise KeyboardInterrupt(_interruption(folder))
        if report["kind"] == "error":
            raise OmniMouseError(str(report["message"]), hint=report["hint"])
    rank, first = failure.get_first_failure()
    if first.exitcode < 0:
        raise OmniMouseError(
            f"rank {rank} of {num_ranks} was ended by {first.signal_name()}",
            hint="SIGKILL mostly means that the machine's memory ran out; the last checkpoint is "
            "kept and --resume goes on from it",
        )
    if reports:
        sys.stderr.write(f"{reports[0]['trace']}\n")
        raise OmniMouseError(
            f"rank {rank} of {num_ranks} failed: {reports[0]['message']}",
            hint="this is a mistake in omnimouse; the lines above help to find it",
        )
    raise OmniMouseError(
        f"rank {rank} of {num_ranks} ended with exit code {first.exitcode} and no word",
        hint="--resume goes on from the last checkpoint",
    )
