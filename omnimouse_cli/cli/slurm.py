"""Commands as an array job of Slurm, submitted by submitit; interrupted ones are queued again."""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnimouse_cli.cli.console import print_document, print_line
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import pluralize, suggest_name

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

# Keys of --slurm that become options of sbatch of another name, by name; others are their own.
OPTIONS = {
    "partition": "partition",
    "time": "time",
    "gpus": "gpus_per_node",
    "cpus": "cpus_per_task",
    "mem": "mem",
    "account": "account",
    "qos": "qos",
    "constraint": "constraint",
    "exclude": "exclude",
    "nodelist": "nodelist",
    "reservation": "reservation",
    "name": "job_name",
    "at_once": "array_parallelism",
}
EXAMPLE = "--slurm partition=gpu,time=24:00:00,gpus=1"
# A job is requeued at its time limit until its command has finished.
MAX_TIMEOUTS = 10_000
# Time before the limit of a job in which a step is finished and a checkpoint is written.
MIN_SIGNAL_SECONDS, MAX_SIGNAL_SECONDS = 60, 600

SlurmOption = Annotated[
    str | None,
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE,...",
        help="Submit to Slurm as an array job instead of running here: time=, and partition=, "
        "gpus=, cpus=, mem=, account=, qos=, ... as for sbatch; at_once= limits the jobs that run "
        "at the same time.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmRequest:
    """Resources of each job of an array.

    Args:
        minutes: Time limit.
        gpus: Number of GPUs; None for none.
        options: Options of sbatch by their names in submitit, without the time.
        tasks: Number of jobs among which work is divided, where the command divides it.
    """

    minutes: int
    gpus: int | None
    options: dict[str, str | int]
    tasks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Jobs that were submitted.

    Args:
        job: Number of the job, or of the array; None if there was nothing to submit.
        tasks: Number of each command's job.
        logs: Folder of what they print.
    """

    job: str | None
    tasks: tuple[str, ...]
    logs: Path


def parse_request(text: str, *, also: Collection[str] = ()) -> SlurmRequest:
    """Return the request of an option `--slurm`.

    Args:
        text: Pairs `key=value`, separated by commas.
        also: Further keys that the command knows: `tasks`.

    Raises:
        OmniMouseError: A key is not known, the time is missing, or a value is invalid.

    Example:
        >>> request = parse_request("partition=gpu,time=1-12,gpus=a100:2,at_once=8")
        >>> request.minutes, request.gpus, request.options["array_parallelism"]
        (2160, 2, 8)
    """
    known = (*OPTIONS, *also)
    values: dict[str, str] = {}
    for pair in _pairs(text):
        key, equals, value = pair.partition("=")
        if not equals or not value:
            raise OmniMouseError(f"--slurm takes KEY=VALUE: {pair!r}", hint=f"as in {EXAMPLE}")
        if key not in known:
            raise OmniMouseError(f"--slurm has no key {key!r}", hint=suggest_name(key, known))
        values[key] = value
    if "time" not in values:
        raise OmniMouseError("--slurm needs a time limit, time=", hint=f"as in {EXAMPLE}")
    options: dict[str, str | int] = {
        OPTIONS[key]: value for key, value in values.items() if key in OPTIONS and key != "time"
    }
    for key in ("cpus", "at_once"):
        if key in values:
            options[OPTIONS[key]] = _whole_number(key, values[key])
    gpus = values.get("gpus")
    return SlurmRequest(
        minutes=parse_minutes(values["time"]),
        # A kind of GPU may stand before the number.
        gpus=None if gpus is None else _whole_number("gpus", gpus.rpartition(":")[2]),
        options=options,
        tasks=_whole_number("tasks", values["tasks"]) if "tasks" in values else None,
    )


def _pairs(text: str) -> list[str]:
    """Split at commas; those inside a list of nodes (`n[1,3]`) separate nothing."""
    return [pair.strip() for pair in re.split(r",(?![^\[]*\])", text) if pair.strip()]


def _whole_number(key: str, text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise OmniMouseError(f"--slurm {key} must be a positive whole number: {text!r}")
    return int(text)


def parse_minutes(text: str) -> int:
    """Return a time limit of Slurm in minutes, rounded up.

    Raises:
        OmniMouseError: The text has none of the forms that Slurm accepts, or is 0.

    Example:
        >>> [parse_minutes(text) for text in ("90", "90:00", "1:30:00", "2-0", "1-2:30")]
        [90, 90, 90, 2880, 1590]
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if match is None:
        raise OmniMouseError(
            f"--slurm time must be minutes, hours:minutes:seconds or days-hours: {text!r}",
            hint=f"as in {EXAMPLE}",
        )
    days, first, second, third = (None if part is None else int(part) for part in match.groups())
    if days is not None:
        seconds = 86_400 * days + 3600 * (first or 0) + 60 * (second or 0) + (third or 0)
    elif third is not None:
        seconds = 3600 * (first or 0) + 60 * (second or 0) + third
    else:
        seconds = 60 * (first or 0) + (second or 0)
    if seconds == 0:
        raise OmniMouseError(f"--slurm time must be longer than 0: {text!r}")
    return -(-seconds // 60)


def require_slurm() -> None:
    """Check that jobs can be submitted from here.

    Raises:
        OmniMouseError: submitit is not installed, or there is no Slurm.
    """
    if importlib.util.find_spec("submitit") is None:
        raise OmniMouseError(
            "--slurm needs submitit, which is not installed",
            hint="install the extra: pip install 'omnimouse[slurm]'",
        )
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise OmniMouseError(
            "--slurm needs the commands sbatch and srun, which are not on this machine",
            hint="run the command on the login node of the cluster, or omit --slurm",
        )


class CommandRunner:
    """Runs a command in a job, and ends it in time for the job to be queued again.

    submitit pickles this object for the job. Before the job's time limit it calls `checkpoint`,
    which sends SIGUSR1 to the command: training then saves a checkpoint and ends.
    """

    process: "subprocess.Popen[bytes] | None" = None

    def __getstate__(self) -> dict[str, Any]:
        # A process cannot be pickled, and there is no other state.
        return {}

    def __call__(self, command: Sequence[str]) -> None:
        """Run the command; the job ends with its exit code."""
        # Slurm sends SIGUSR2 to every process of a job, and only submitit handles it.
        shell = ["sh", "-c", 'trap "" USR2; exec "$@"', "sh"]
        self.process = subprocess.Popen([*shell, *command])
        code = self.process.wait()
        if code == 128 + signal.SIGTERM and _is_preempted():
            # Slurm does not requeue a preempted job that ends within its grace time.
            subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=False)
        if code:
            sys.exit(code if code > 0 else 128 - code)

    def checkpoint(self, command: Sequence[str]) -> "DelayedSubmission | None":
        """Ask the command to save its state and wait until it has ended.

        Returns:
            What submitit runs when the job is started again; None if the command has failed with
            exit code 1 or 2, so that it is not started again.
        """
        from submitit.helpers import DelayedSubmission

        if self.process is not None:
            self.process.send_signal(signal.SIGUSR1)
            # This runs in a signal handler inside `process.wait`, which holds a lock.
            with contextlib.suppress(ChildProcessError):
                # Raised if the command has ended already; `wait` has its exit code then.
                _, status = os.waitpid(self.process.pid, 0)
                self.process.returncode = os.waitstatus_to_exitcode(status)
            if self.process.returncode in (1, 2):
                return None
        return DelayedSubmission(self, command)


def _is_preempted() -> bool:
    """Return whether Slurm still considers this job running; a cancelled one is not."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return False
    command = ["squeue", "--noheader", "--jobs", job, "--format=%T"]
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return state in ("RUNNING", "SIGNALING")


def submit(commands: Sequence[Sequence[str]], request: SlurmRequest, folder: Path) -> Submission:
    """Submit commands as one array job, a job for each.

    Args:
        commands: Programs with their arguments.
        request: Resources of each job.
        folder: Folder for submitit's files and the output of the jobs.

    Raises:
        OmniMouseError: Slurm refuses the job.
    """
    if not commands:
        return Submission(job=None, tasks=(), logs=folder)
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    # A tenth of the time, but at most half of a job of a minute.
    signal_seconds = min(max(6 * request.minutes, MIN_SIGNAL_SECONDS), MAX_SIGNAL_SECONDS)
    signal_seconds = min(signal_seconds, 30 * request.minutes)
    options: dict[str, Any] = {"job_name": "omnimouse", **request.options}
    extra: dict[str, Any] = {"requeue": True}
    if "reservation" in options:
        extra["reservation"] = options.pop("reservation")
    # srun inherits neither option from the job.
    options["srun_args"] = ["--open-mode=append"]
    if "cpus_per_task" in options:
        options["srun_args"].append(f"--cpus-per-task={options['cpus_per_task']}")
    try:
        executor = SlurmExecutor(folder=folder, max_num_timeout=MAX_TIMEOUTS)
        executor.update_parameters(
            time=request.minutes,
            signal_delay_s=signal_seconds,
            stderr_to_stdout=True,
            wckey=None,
            additional_parameters=extra,
            **options,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            jobs = executor.map_array(CommandRunner(), [tuple(command) for command in commands])
    except (FailedJobError, FailedSubmissionError, subprocess.SubprocessError) as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("sbatch: error: ")
        raise OmniMouseError(
            f"Slurm has refused the job: {reason}",
            hint="`sinfo` lists partitions and their time limits; nothing was submitted",
        ) from error
    tasks = tuple(str(job.job_id) for job in jobs)
    return Submission(job=tasks[0].partition("_")[0], tasks=tasks, logs=folder)


def warn_of_failures(folder: Path, progress: Reporter) -> None:
    """Warn of each job of the newest submission that ended with an error.

    Args:
        folder: Folder of what the jobs print.
        progress: Shows the warnings.
    """
    jobs = {path: int(path.name.partition("_")[0]) for path in folder.glob("*_log.out")}
    for path in sorted(path for path, job in jobs.items() if job == max(jobs.values())):
        lines = path.read_text(errors="replace").splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        if errors:
            progress.warn(f"a job has failed: {errors[-1].removeprefix('error: ')} ({path})")


def print_submission(
    submission: Submission, names: Sequence[str], noun: str, *, json_output: bool
) -> None:
    """Print which jobs were submitted, and how to watch and to cancel them.

    Args:
        submission: The jobs.
        names: Name of each job's run or recordings.
        noun: Singular of what is submitted, for example `run`.
        json_output: Whether to print a JSON document.
    """
    watch: str | None = None
    cancel: str | None = None
    if submission.job is not None:
        watch, cancel = f"squeue --jobs {submission.job}", f"scancel {submission.job}"
    if json_output:
        tasks = [
            {"job": job, "name": name, "log": submission.logs / f"{job}_0_log.out"}
            for job, name in zip(submission.tasks, names, strict=True)
        ]
        content = {"job": submission.job, "tasks": tasks, "watch": watch, "cancel": cancel}
        print_document("submission", content)
        return
    if submission.job is None:
        print_line(f"nothing is submitted: no {noun} is left to do")
        return
    print_line(f"submitted {pluralize(len(names), noun)} as job {submission.job}")
    print_line(f"watch:  {watch}; the output of the jobs is in {submission.logs}/")
    print_line(f"cancel: {cancel}; finished work and checkpoints are kept")
    print_line("When all jobs have ended, the same command submits what is unfinished again.")


def merge_gpus(request: SlurmRequest, gpus: int | None) -> SlurmRequest:
    """Return the request with the GPUs of an option `--gpus`.

    Raises:
        OmniMouseError: The two contradict each other.
    """
    if gpus is None or gpus == request.gpus:
        return request
    if request.gpus is not None:
        raise OmniMouseError(
            f"--gpus {gpus} contradicts gpus={request.gpus} of --slurm", hint="give one of them"
        )
    return replace(request, gpus=gpus, options={**request.options, "gpus_per_node": gpus})
