"""Signals end a command with an exit code of their own, and a training with a checkpoint."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from omnimouse_cli.cli.app import _with_exit_codes
from omnimouse_cli.training.interrupt import catch_interrupts, raise_on_signals
from omnimouse_cli.training.loop import _synchronize
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.state import Counters
from tests.forked import ForkedCommand

SMALL = ["model.d_model=16", "model.layers=1", "model.d_embedding=8", "data.batch_size=2"]
SMALL += ["train.log_every=1", "model.decoder.linear_rank=none"]


@pytest.mark.parametrize(
    ("number", "code", "by"),
    [
        (signal.SIGINT, 130, ""),
        (signal.SIGTERM, 143, " by SIGTERM"),
        (signal.SIGUSR1, 138, " by SIGUSR1"),
    ],
)
def test_every_command_ends_with_128_and_the_number_of_the_signal(number, code, by):
    import typer

    def command() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt("3 of 4 sessions are kept") from stop

    application = typer.Typer()
    application.command()(_with_exit_codes(command))
    result = CliRunner().invoke(application, [])
    assert result.exit_code == code
    assert result.stderr == f"interrupted{by}: 3 of 4 sessions are kept\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_while_training_ends_the_same_signal_again_changes_nothing():
    with raise_on_signals():
        with catch_interrupts() as interrupt:
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupt.number == signal.SIGUSR1
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_is_kept_that_arrives_while_the_ranks_are_asked_for_one(monkeypatch):
    class Late(float):
        def __int__(self) -> int:
            os.kill(os.getpid(), signal.SIGTERM)
            return 0

    world = World()
    monkeypatch.setattr(World, "all_reduce_max", lambda *_: [Late(), Late(), 0.0])
    counters, writer = Counters(), SimpleNamespace(has_failed=False)
    with catch_interrupts() as interrupt:
        assert not _synchronize(counters, 0.0, world, interrupt, writer)
        assert interrupt.number == signal.SIGTERM
    monkeypatch.setattr(World, "all_reduce_max", lambda *_: [Late()])
    with catch_interrupts() as world.activity.interrupt:
        assert not world.is_stopping()
        assert world.stop_signal == signal.SIGTERM


def _start(home: Path, *arguments: str) -> subprocess.Popen[str] | ForkedCommand:
    sets = [word for text in SMALL for word in ("--set", text)]
    command = ["train", "shards", *sets, "--steps", "100000", "--out", "run", *arguments]
    # Several ranks are started as for a user.
    if "--procs" not in arguments:
        return ForkedCommand(*command, folder=home.parent / "streams")
    return subprocess.Popen(
        [sys.executable, "-m", "omnimouse_cli", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def _wait_for_step(process: subprocess.Popen[str] | ForkedCommand) -> None:
    metrics = Path("run/metrics.jsonl")
    while not metrics.exists() or not metrics.stat().st_size:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "number", "code"),
    [(["--device", "cpu"], signal.SIGTERM, 143), (["--procs", "2"], signal.SIGUSR1, 138)],
)
def test_a_signal_ends_a_training_with_a_checkpoint_of_its_step(home, arguments, number, code):
    process = _start(home, *arguments)
    _wait_for_step(process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == code, stderr
    (checkpoint,) = (home / "run" / "checkpoints").glob("step-*")
    step = int(checkpoint.name.removeprefix("step-"))
    assert step > 0
    assert f"interrupted by {number.name}: step {step} is saved in run" in stderr
    assert "omnimouse train --resume run" in stderr
