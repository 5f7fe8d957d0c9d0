"""A job that torchrun or Slurm has started again goes on with its own run, without --resume."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from omnimouse_cli.api.folders import all_runs
from omnimouse_cli.api.train_job import TrainOptions
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import find_run_of_job, is_run

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

_RUN = "omnimouse/run"


def continue_own_run(
    options: TrainOptions, store: "Store | None", progress: Reporter
) -> TrainOptions:
    """Return options that continue the run of the attempt before; unchanged in the first attempt.

    torchrun serves a store to all attempts of a job, in which the first attempt names its run.
    Slurm numbers the attempts of a job, whose number is in the run's environment.json.

    Args:
        options: The options of `omnimouse train`.
        store: The store of torchrun; None without.
        progress: Says which run goes on.
    """
    run = None
    if store is not None and store.check([_RUN]):
        run = Path(store.get(_RUN).decode())
    elif int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0:
        candidates = reversed(all_runs()) if options.out is None else [options.out]
        run = find_run_of_job(candidates, os.environ["SLURM_JOB_ID"], sys.argv)
    if run is None:
        return options
    if not is_run(run):
        progress.say(f"this job was started again, before its run {run} had begun: starting it")
        return dataclasses.replace(options, out=run)
    progress.say(f"this job was started again: continuing its run {run}")
    shards = [path for path in options.paths if not is_run(path)]
    return dataclasses.replace(options, paths=(*shards, run), out=None, resume=True)


def remember_run(store: "Store | None", run: Path) -> None:
    """Name the run of this job for an attempt that torchrun starts later."""
    if store is not None:
        store.set(_RUN, str(run))
