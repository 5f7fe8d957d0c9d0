"""Start-up, first step, validation, evaluation and memory for 1 to 323 sessions, on a CPU.

Each number of sessions is measured in processes of its own, so that peaks of memory are its own.
Nothing may grow faster than the number of sessions; the first step of 323 sessions may take 60 s
of the CPU, and 2 GB beyond the session embeddings with their moments.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from machine import benchmark_parser, write_result
from synthetic import Extent, write_shards

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.config.load import load_config
from omnimouse_cli.cost.parameters import count_sessions
from omnimouse_cli.reporter import Silent
from omnimouse_cli.training import loop
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.run import train

SESSIONS = (1, 8, 64, 323)
# Trials of 10 s: a validation and a test trial each between three training trials.
EXTENT = Extent(neurons=500, rows=900)
TIERS = ("train", "validation", "train", "test")
# Weights and two moments of a session's embeddings, in float32.
TABLE_BYTES = 12
LARGEST_SECONDS, LARGEST_BYTES = 60.0, 2e9
TRAIN, DRY_RUN, EVALUATE = "train", "dry-run", "evaluate"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write the result."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure is not None:
        name, folder = options.measure
        print(json.dumps(MEASURES[name](Path(folder))))
        return
    counts = SESSIONS[:2] if options.quick else SESSIONS
    extent = Extent(neurons=50, rows=900) if options.quick else EXTENT
    with tempfile.TemporaryDirectory(prefix="omnimouse-scale-") as folder:
        rows = [measure(Path(folder), count, extent) for count in counts]
    for row in rows:
        print(json.dumps(row))
    write_result(
        options.out,
        "scale",
        torch.device("cpu"),
        {"neurons": extent.neurons, "seconds": extent.rows / 30, "model": "nano", "rows": rows},
    )


def measure(folder: Path, count: int, extent: Extent) -> dict[str, Any]:
    """Return everything measured for a number of sessions.

    Args:
        folder: Holds the shards of smaller numbers of sessions, which are used again.
        count: Sessions.
        extent: Size of a session.
    """
    there = len(list(folder.glob("shards/*.safetensors")))
    keys = [f"{100 + number // 8}-1-{number}" for number in range(there, count)]
    write_shards(folder / "shards", extent, keys, tiers=TIERS)
    row: dict[str, Any] = {"sessions": count}
    for name in MEASURES:
        command = [sys.executable, __file__, "--measure", name, str(folder)]
        process = subprocess.run(command, check=True, capture_output=True, text=True)
        row[name] = json.loads(process.stdout.splitlines()[-1])
    shutil.rmtree(folder / "run")
    config = load_config(size="nano")
    num_channels = len(open_dataset(folder / "shards").behavior_channels)
    tables = TABLE_BYTES * count_sessions(
        config.model, [extent.neurons] * count, num_channels=num_channels
    )
    row["table_bytes"] = tables
    row["bytes_beyond_tables"] = row[TRAIN]["first_step_bytes"] - tables
    return row


def used() -> dict[str, float]:
    """Return the seconds on the clock and of the CPU since the process began."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": time.perf_counter() - STARTED,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }


def peak_bytes() -> int:
    """Return the largest resident memory of this process."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def train_one_step(folder: Path) -> dict[str, Any]:
    """Train one step and validate; the first step is measured when it is over."""
    result: dict[str, Any] = {}
    step = loop.train_step

    def measured_step(*arguments: Any) -> Any:  # noqa: ANN401
        outcome = step(*arguments)
        result["first_step"], result["first_step_bytes"] = used(), peak_bytes()
        return outcome

    loop.train_step = measured_step
    config = load_config(size="nano", sets=["train.steps=1"])
    train(
        TrainingJob(config=config, shards=folder / "shards", run=folder / "run"), World(), Silent()
    )
    return {**result, "whole": used(), "whole_bytes": peak_bytes()}


def run_command(*arguments: str) -> dict[str, Any]:
    """Run the command line in this process."""
    from omnimouse_cli.cli.app import app

    app([*arguments, "--quiet", "--json"], standalone_mode=False)
    return {**used(), "bytes": peak_bytes()}


MEASURES: dict[str, Callable[[Path], dict[str, Any]]] = {
    DRY_RUN: lambda folder: run_command(
        "train", str(folder / "shards"), "--dry-run", "--model", "80M", "--procs", "8"
    ),
    TRAIN: train_one_step,
    EVALUATE: lambda folder: run_command(
        "eval", str(folder / "run"), "--regime", "forecast", "--no-baselines"
    ),
}
STARTED = time.perf_counter()


if __name__ == "__main__":
    main()
