"""`--slurm`: what is read from it, what is refused, and how a job ends in time."""

import os
import pickle
import signal
import subprocess
import sys
import time
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
from typer.testing import CliRunner

from omnimouse_cli.cli.app import app
from omnimouse_cli.cli.console import reporter
from omnimouse_cli.cli.slurm import (
    CommandRunner,
    Submission,
    merge_gpus,
    parse_minutes,
    parse_request,
    print_submission,
    submit,
    warn_of_failures,
)
from omnimouse_cli.errors import OmniMouseError


def test_keys_become_options_of_sbatch():
    request = parse_request(
        "partition=gpu, time=1-2:30, gpus=a100:4,cpus=8,mem=40G,nodelist=n[1,3],at_once=2,name=x"
    )
    assert (request.minutes, request.gpus, request.tasks) == (1590, 4, None)
    assert request.options == {
        "partition": "gpu",
        "gpus_per_node": "a100:4",
        "cpus_per_task": 8,
        "mem": "40G",
        "nodelist": "n[1,3]",
        "array_parallelism": 2,
        "job_name": "x",
    }
    assert parse_request("time=5,tasks=50", also=("tasks",)).tasks == 50


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("partition=gpu", "--slurm needs a time limit, time=", "time=24:00:00"),
        ("time=5,partitoin=gpu", "--slurm has no key 'partitoin'", "did you mean `partition`"),
        ("time=5,tasks=3", "--slurm has no key 'tasks'", ""),
        ("time=5,gpu", "--slurm takes KEY=VALUE: 'gpu'", "as in --slurm partition=gpu"),
        ("time=5,gpus=", "--slurm takes KEY=VALUE: 'gpus='", ""),
        ("time=5,gpus=two", "--slurm gpus must be a positive whole number: 'two'", ""),
        ("time=5,cpus=0", "--slurm cpus must be a positive whole number: '0'", ""),
        ("time=soon", "--slurm time must be minutes, hours:minutes:seconds", ""),
        ("time=0", "--slurm time must be longer than 0: '0'", ""),
    ],
)
def test_what_cannot_be_read_is_a_sentence(text, problem, hint):
    with pytest.raises(OmniMouseError) as caught:
        parse_request(text)
    assert problem in caught.value.message
    assert hint in (caught.value.hint or "")


def test_times_are_rounded_up_to_minutes():
    assert [parse_minutes(text) for text in ("0:30", "1:01", "1-0:00:01")] == [1, 2, 1441]


def test_gpus_are_said_once():
    assert merge_gpus(parse_request("time=5"), None).gpus is None
    assert merge_gpus(parse_request("time=5"), 2).options == {"gpus_per_node": 2}
    assert merge_gpus(parse_request("time=5,gpus=2"), 2).gpus == 2
    with pytest.raises(OmniMouseError, match="--gpus 4 contradicts gpus=2 of --slurm"):
        merge_gpus(parse_request("time=5,gpus=2"), 4)


@pytest.mark.parametrize("command", ["sweep", "preprocess"])
def test_without_submitit_or_slurm_there_is_a_sentence(home, monkeypatch, command):
    def invoke() -> str:
        result = CliRunner().invoke(app, [command, "shards", "--slurm", "time=5"])
        assert result.exit_code == 1, result.exception
        return result.stderr

    monkeypatch.setenv("PATH", str(home))
    installed = ModuleType("submitit")
    installed.__spec__ = ModuleSpec("submitit", None)
    monkeypatch.setitem(sys.modules, "submitit", installed)
    assert "--slurm needs the commands sbatch and srun" in invoke()
    monkeypatch.setitem(sys.modules, "submitit", None)
    text = invoke()
    assert "--slurm needs submitit, which is not installed" in text
    assert "pip install 'omnimouse[slurm]'" in text


def test_nothing_to_submit_is_said(tmp_path, capsys):
    assert submit([], parse_request("time=5"), tmp_path) == Submission(
        job=None, tasks=(), logs=tmp_path
    )
    print_submission(Submission(job=None, tasks=(), logs=tmp_path), [], "run", json_output=False)
    assert capsys.readouterr().out == "nothing is submitted: no run is left to do\n"


def test_jobs_of_the_newest_submission_that_failed_are_named(tmp_path, capsys):
    for name, text in (
        ("7_0_0_log.out", "error: of an earlier submission\n"),
        ("12_0_0_log.out", "finished\n"),
        ("12_1_0_log.out", "error: 1 of 1 runs failed; a: no\nsrun: error: Exited with 1\n"),
    ):
        (tmp_path / name).write_text(text)
    with reporter() as progress:
        warn_of_failures(tmp_path, progress)
        warn_of_failures(tmp_path / "none", progress)
    path = tmp_path / "12_1_0_log.out"
    assert capsys.readouterr().err == (
        f"warning: a job has failed: 1 of 1 runs failed; a: no ({path})\n"
    )


# Ends as a training does: with 138 at SIGUSR1; SIGUSR2 is not meant for it.
PROGRAM = """
import os, signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(138))
os.kill(os.getpid(), signal.SIGUSR2)
open(sys.argv[1], "w").close()
time.sleep(60)
"""


def test_a_command_is_ended_in_time_and_continued(tmp_path):
    """As in a job: submitit's handler runs while the command is waited for."""
    pytest.importorskip("submitit")
    started = tmp_path / "started"
    command = (sys.executable, "-c", PROGRAM, str(started))
    runner = CommandRunner()
    continued = []

    def handle(number, frame):
        while not started.exists():
            time.sleep(0.05)
        continued.append(runner.checkpoint(command))
        sys.exit(0)

    previous = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(SystemExit):
            runner(command)
    finally:
        signal.signal(signal.SIGALRM, previous)
    (submission,) = continued
    assert submission.args == (command,)
    # The process is not part of what is stored.
    assert pickle.loads(pickle.dumps(runner)).process is None


def test_a_job_ends_with_the_exit_code_of_its_command():
    with pytest.raises(SystemExit) as caught:
        CommandRunner()((sys.executable, "-c", "raise SystemExit(1)"))
    assert caught.value.code == 1
    with pytest.raises(SystemExit) as caught:
        CommandRunner()((sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"))
    assert caught.value.code == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    ("state", "code", "is_requeued"),
    [("RUNNING", 143, True), ("COMPLETING", 143, False), ("RUNNING", 1, False)],
)
def test_a_preempted_job_is_queued_again_and_a_cancelled_one_is_not(
    tmp_path, monkeypatch, state, code, is_requeued
):
    for name, line in (("squeue", f"echo {state}"), ("scontrol", f'echo "$@" > {tmp_path}/done')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    with pytest.raises(SystemExit) as caught:
        CommandRunner()((sys.executable, "-c", f"raise SystemExit({code})"))
    assert caught.value.code == code
    done = tmp_path / "done"
    assert (done.read_text() if done.exists() else "") == ("requeue 77\n" if is_requeued else "")


def test_a_command_that_has_failed_is_not_continued():
    pytest.importorskip("submitit")
    runner = CommandRunner()
    program = "import signal, sys, time; signal.signal(signal.SIGUSR1, lambda *_: sys.exit(1)); "
    program += "print(1, flush=True); time.sleep(60)"
    runner.process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    with runner.process.stdout as output:
        output.readline()
        assert runner.checkpoint(("unused",)) is None
    # The signal of Slurm may also come when the command has just ended.
    runner.process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])
    runner.process.wait()
    assert runner.checkpoint(("unused",)) is None
