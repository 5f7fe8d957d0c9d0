"""`omnimouse sweep`: which runs a process trains, several at once, and what ends them."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from omnimouse_cli.cli import sweep_workers
from omnimouse_cli.cli.app import app
from omnimouse_cli.cli.sweep_job import SweepOptions
from omnimouse_cli.cli.sweep_workers import gpus_of_worker, join_step, train_at_once
from omnimouse_cli.config.load import to_toml
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.config.training import TrainConfig
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.folder import write_summary
from omnimouse_cli.training.sweep import grid
from tests.forked import ForkedCommand

SMALL = ["--set", "model.d_model=16", "--set", "model.layers=1", "--set", "model.d_embedding=8"]
SMALL += ["--set", "data.batch_size=2", "--set", "train.log_every=1"]
SMALL += ["--set", "model.decoder.linear_rank=none"]
GRID = ["sweep", "shards", "--models", "nano", "--seeds", "1,2", "--device", "cpu", *SMALL]
NAMES = [f"nano-sessions{count}-seed{seed}" for seed in (1, 2) for count in (1, 2)]
SUMMARY = {
    "parameters": {"core": 1},
    "unique_tokens": 2,
    "epochs": 3.0,
    "validation": {"neural_loss": 0.5},
}


def omnimouse(*arguments, code=0):
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.stderr or result.exception
    return result


@pytest.fixture
def trained(monkeypatch):
    """Names of the runs that were trained, by a training that only writes a summary."""
    names = []

    def run_job(job, ranks, progress, *, quiet):
        names.append(job.run.name)
        write_summary(job.run, SUMMARY)
        (job.run / "config.toml").write_text(to_toml(job.config))

    monkeypatch.setattr("omnimouse_cli.cli.sweep_workers.run_job", run_job)
    return names


def test_one_run_is_trained_by_its_name_and_a_share_by_its_number(home, trained):
    document = json.loads(omnimouse(*GRID, "--only", NAMES[2], "--json").stdout)
    assert trained == [NAMES[2]]
    assert [(row["run"], row["state"]) for row in document["runs"]] == [(NAMES[2], "finished")]
    omnimouse(*GRID, "--task", "1/3")
    assert trained == [NAMES[2], NAMES[0], NAMES[3]]
    result = omnimouse(*GRID, "--task", "3/3")
    assert "1 run in runs/sweep, 1 already finished" in result.stderr
    assert len(trained) == 3


@pytest.mark.parametrize(
    ("arguments", "problem", "hint"),
    [
        (["--only", "nano-sessions1-seed3"], "no run 'nano-sessions1-seed3'", "did you mean"),
        (["--task", "3/2"], "--task 3/2: tasks are numbered from 1 to N", "sbatch --array=1-8"),
        (["--task", "2"], "--task must be two whole numbers, I/N: '2'", "--task 1/8"),
        (["--task", "1/2", "--only", NAMES[0]], "cannot be given together", "choose one"),
    ],
)
def test_runs_that_do_not_exist_are_refused(home, trained, arguments, problem, hint):
    result = omnimouse(*GRID, *arguments, code=1)
    assert problem in result.stderr
    assert hint in result.stderr
    assert trained == []


def test_runs_with_other_options_are_not_taken_for_those_of_the_sweep(home, trained):
    once = [*GRID, "--only", NAMES[0], "--steps", "4"]
    omnimouse(*once)
    omnimouse(*once, "--set", "train.log_every=7")
    result = omnimouse(*once[:-1], "6", "--set", "model.dropout=0.2", code=1)
    assert "was trained with other options: " in result.stderr
    assert "train.steps 4, now 6" in result.stderr
    assert "another folder with --out" in result.stderr


def test_the_progress_of_a_sweep_counts_the_steps_of_its_runs():
    seen = {"runs": 0.0, "training": 0.0}

    class Counting(Silent):
        def advance(self, task, amount=1.0, note=""):  # noqa: ARG002 - the protocol
            seen[task] += amount

    shared = sweep_workers._SharedProgress(Counting())
    shared.advance("training", 0.25)
    assert seen["runs"] == 0.25
    shared.advance("training", 0.5)
    shared.advance("runs")
    assert seen == {"runs": 1.0, "training": 0.75}
    # Another process has trained the next one.
    shared.advance("runs")
    assert seen["runs"] == 2.0


def test_the_command_for_another_process_has_all_options():
    options = SweepOptions(
        shards=Path("shards"),
        root=Path("runs/x"),
        models=["nano", "tiny"],
        sessions="1,2",
        seeds=(7,),
        subsets=2,
        tune=False,
        config=Path("a.toml"),
        overrides=("train.log_every=1", "data.batch_size=2"),
        steps=None,
        epochs=2.5,
        minutes=None,
        gpus=2,
        procs=None,
        device="auto",
        no_compile=True,
    )
    text = "shards --models nano,tiny --sessions 1,2 --seeds 7 --subsets 2 --out runs/x "
    text += "--config a.toml --epochs 2.5 --gpus 2 --only r --set train.log_every=1 "
    text += "--set data.batch_size=2 "
    text += "--no-compile"
    assert options.command("r")[3:] == ("sweep", *text.split())
    on_cpu = dataclasses.replace(options, gpus=None, device="cpu").command("r")
    assert on_cpu[on_cpu.index("--device") + 1] == "cpu"


def test_keys_choose_the_sessions_of_which_subsets_are_taken(home, trained):
    command = ["sweep", "shards", "--models", "nano", "--json"]
    omnimouse(*command, "--sessions", "200-1-1", "--seeds", "3")
    assert trained == ["nano-sessions1-seed3"]
    omnimouse(*command, "--seeds", "4")
    assert trained[1:] == ["nano-sessions1-seed4", "nano-sessions2-seed4"]
    omnimouse(*command, "--sessions", "2,1", "--seeds", "5", "--set", "data.max_sessions=2")
    assert trained[3:] == ["nano-sessions1-seed5", "nano-sessions2-seed5"]


def test_a_grid_has_as_many_sessions_as_the_configuration_leaves(home, trained):
    omnimouse("sweep", "shards", "--models", "nano", "--set", "data.max_sessions=1")
    assert trained == [f"nano-sessions1-seed{seed}" for seed in (42, 43, 44)]


def test_a_task_of_srun_is_a_worker_of_its_own_and_the_first_prints(home, trained, monkeypatch):
    step = {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "2"}
    step |= {"SLURM_STEP_NODELIST": "n1", "SLURM_JOB_ID": "5", "SLURM_STEP_ID": "0"}
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    result = omnimouse(*GRID, "--only", NAMES[0], "--json")
    assert trained == [NAMES[0]]
    assert result.stdout == ""
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    assert "srun --ntasks N" in omnimouse(*GRID, "--jobs", "2", code=1).stderr


def test_ranks_of_torchrun_cannot_share_a_sweep(home, trained, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "cannot run under torchrun" in omnimouse(*GRID, code=1).stderr
    assert trained == []


@pytest.mark.parametrize("option", ["--gpus", "--procs"])
@pytest.mark.parametrize("launcher", ["torchrun", "srun"])
def test_training_refuses_a_number_of_ranks_beside_that_of_a_launcher(
    home, monkeypatch, option, launcher
):
    variables = {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0"}
    if launcher == "srun":
        variables = {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "4"}
        variables |= {"SLURM_STEP_NODELIST": "n1", "SLURM_JOB_ID": "5"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = omnimouse("train", "shards", option, "2", code=1)
    assert f"{option} cannot be given under torchrun or srun" in result.stderr
    assert "started 4 ranks already" in result.stderr


def test_tasks_divide_the_gpus_of_their_machine(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    step = {"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "8"}
    step |= {"SLURM_STEP_NODELIST": "n[1-4]", "SLURM_JOB_ID": "5", "SLURM_GPUS_ON_NODE": "4"}
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert join_step(gpus=2, device="auto", jobs=None) == 5
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"
    # Where Slurm has divided them, each task has all that it sees.
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "8")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    join_step(gpus=2, device="auto", jobs=None)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"


def test_too_few_gpus_for_the_runs_at_once_are_a_sentence():
    assert [gpus_of_worker("01234567", worker, 4) for worker in (0, 1)] == [
        ("0", "1", "2", "3"),
        ("4", "5", "6", "7"),
    ]
    with pytest.raises(OmniMouseError, match="3 runs at once with --gpus 4 need 12 GPUs, and 8"):
        gpus_of_worker("01234567", 2, 4)


def test_no_process_is_left_where_another_one_cannot_be_started(tmp_path, monkeypatch):
    processes = []

    def start_first(sweep, cell, slot, environment):
        if processes:
            raise OSError("no more processes")
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return sweep_workers._Child(cell=cell, slot=slot, process=processes[0])

    monkeypatch.setattr(sweep_workers, "_start", start_first)
    sweep = SimpleNamespace(root=tmp_path, options=SimpleNamespace(gpus=None, procs=1))
    with pytest.raises(OSError, match="no more processes"):
        train_at_once(sweep, grid(["nano"], [1, 2], [1]), 2, Silent())
    assert processes[0].returncode == -signal.SIGTERM


def test_the_progress_of_runs_at_once_counts_their_steps(tmp_path, monkeypatch):
    # Half of the steps of the first run are logged; both end when this was seen.
    program = (
        "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(.01)"
    )
    run, seen = tmp_path / "nano-sessions1-seed1", []
    run.mkdir()
    (run / "config.toml").write_text(to_toml(RunConfig(train=TrainConfig(steps=8))))
    (run / "metrics.jsonl").write_text('{"step": 1}\n{"step": 4}\n')

    def start_one(sweep, cell, slot, environment):
        command = [sys.executable, "-c", program, str(tmp_path / "end")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        return sweep_workers._Child(cell=cell, slot=slot, process=process)

    class Counting(Silent):
        def advance(self, task, amount=1.0, note=""):  # noqa: ARG002 - the protocol
            seen.append(amount)
            if amount == 0.5:
                (tmp_path / "end").touch()

    monkeypatch.setattr(sweep_workers, "_start", start_one)
    monkeypatch.setattr(sweep_workers, "PROGRESS_SECONDS", 0.02)
    sweep = SimpleNamespace(
        root=tmp_path,
        options=SimpleNamespace(gpus=None, procs=1),
        run_of=lambda cell: tmp_path / cell.name,
    )
    train_at_once(sweep, grid(["nano"], [1, 2], [1]), 2, Counting())
    assert 0.5 in seen
    assert sum(seen) == 2.0


class _Closed(Silent):
    """A reporter whose reader has gone."""

    def warn(self, *_):
        raise BrokenPipeError


def test_a_warning_that_nobody_reads_ends_the_sweep_and_its_runs(tmp_path, monkeypatch):
    program = "import sys, time; print('warning: x', file=sys.stderr, flush=True); time.sleep(60)"
    processes = []

    def start_one(sweep, cell, slot, environment):
        command = [sys.executable, "-c", program]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return sweep_workers._Child(cell=cell, slot=slot, process=processes[-1])

    monkeypatch.setattr(sweep_workers, "_start", start_one)
    sweep = SimpleNamespace(root=tmp_path, options=SimpleNamespace(gpus=None, procs=1))
    with pytest.raises(BrokenPipeError):
        train_at_once(sweep, grid(["nano"], [1, 2], [1]), 2, _Closed())
    assert [process.returncode for process in processes] == [-signal.SIGTERM] * 2


def resumes(root: Path) -> dict[str, int]:
    """Number of times that each run was resumed."""
    return {
        path.parent.name: len(json.loads(path.read_text())["resumes"])
        for path in sorted(root.glob("nano*/environment.json"))
    }


@pytest.mark.training
@pytest.mark.slow
def test_two_sweeps_on_one_folder_train_every_run_once(home):
    command = [*GRID, "--sessions", "1", "--steps", "2", "--json"]
    processes = [ForkedCommand(*command, folder=home.parent / name) for name in "ab"]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    names = [name for name in NAMES if "sessions1" in name]
    assert resumes(home / "runs/sweep") == dict.fromkeys(names, 0)
    assert all((home / "runs/sweep" / name / "summary.json").exists() for name in names)
    states = [row["state"] for out, _ in outputs for row in json.loads(out)["runs"]]
    assert set(states) <= {"finished", "training"}


@pytest.mark.training
@pytest.mark.slow
def test_several_runs_at_once_one_of_which_fails(home):
    broken = home / "runs/sweep" / NAMES[0]
    broken.mkdir(parents=True)
    (broken / "config.toml").write_text("no table")
    words = [*GRID, "--sessions", "1", "--steps", "2", "--jobs", "2", "--json"]
    process = ForkedCommand(*words, folder=home.parent / "streams")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1
    states = {row["run"]: row["state"] for row in json.loads(out)["runs"]}
    assert states == {NAMES[0]: "failed", NAMES[2]: "finished"}
    assert f"warning: {NAMES[0]}: " in err
    assert "error: 1 of 2 runs failed" in err
    assert "config.toml" in err
    assert f"{NAMES[2]}: finished" in err


@pytest.mark.training
@pytest.mark.slow
def test_ctrl_c_ends_all_runs_with_a_checkpoint_and_they_go_on(home):
    grid = [*GRID, "--sessions", "2", "--jobs", "2", "--steps", "100000"]
    process = ForkedCommand(*grid, folder=home.parent / "streams")
    runs = [home / "runs/sweep" / name for name in (NAMES[1], NAMES[3])]
    deadline = time.monotonic() + 200
    while not all(_has_metrics(run) for run in runs):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    # As in a terminal: all processes in the foreground get it.
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 130, err
    assert "run the same command again to continue" in err
    for run in runs:
        (checkpoint,) = (run / "checkpoints").glob("step-*")
        assert (run / "checkpoints/latest").exists()
        assert not (run / "summary.json").exists()
        assert int(checkpoint.name.removeprefix("step-")) > 0


def _has_metrics(run: Path) -> bool:
    path = run / "metrics.jsonl"
    return path.exists() and path.stat().st_size > 0


def test_learning_rates_are_chosen_for_each_size_and_taken_by_the_grid(home, monkeypatch):
    configs = {}

    def run_job(job, ranks, progress, *, quiet):
        configs[job.run.name] = job.config
        rate = job.config.train.learning_rate
        # The smaller size learns best at twice its learning rate, the larger one at half.
        best = 4e-3 if job.config.model.size == "nano" else 1e-3
        loss = 1 + abs(rate / best - 1)
        write_summary(job.run, {**SUMMARY, "validation": {"neural_loss": loss}})

    monkeypatch.setattr("omnimouse_cli.cli.sweep_workers.run_job", run_job)
    command = ["sweep", "shards", "--models", "nano,tiny", "--seeds", "1", "--device", "cpu"]
    command += ["--set", "train.learning_rate=2e-3", "--set", "train.table_learning_rate=5e-3"]
    result = omnimouse(*command, "--tune")
    assert "learning rates: 2 times for nano, 0.5 times for tiny" in result.stderr
    assert sorted(configs) == sorted(
        f"{model}-sessions1-seed1-rate{factor}"
        for model in ("nano", "tiny")
        for factor in ("0.5", "1", "2")
    )
    assert not list((home / "runs" / "sweep").glob("*-rate*"))
    result = omnimouse(*command)
    assert "tuned learning rates: 0.004 for nano, 0.001 for tiny" in result.stderr
    assert configs["nano-sessions2-seed1"].train.learning_rate == pytest.approx(4e-3)
    assert configs["tiny-sessions2-seed1"].train.table_learning_rate == pytest.approx(2.5e-3)
    other = omnimouse(*command[:2], "--models", "1M", *command[4:], code=1)
    assert "has no learning rate for 1M" in other.stderr
    (home / "runs" / "sweep" / "learning_rates.json").write_text('{"nano": "fast"}')
    assert "learning_rates.json does not hold a factor" in omnimouse(*command, code=1).stderr
