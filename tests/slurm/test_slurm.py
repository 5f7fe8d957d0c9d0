"""On a real Slurm: ranks under srun, jobs that are queued again and go on, arrays of jobs.

Two nodes on this machine (`cluster.py`); all of it is skipped where Slurm is not installed.
"""

import json
import sys
from pathlib import Path

import pytest

from omnimouse_cli.run.metrics_log import read_metrics
from omnimouse_cli.training.parallel.world import read_launcher

pytestmark = [pytest.mark.slow, pytest.mark.training, pytest.mark.cluster]

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--set", "model.d_model=16", "--set", "model.layers=1", "--set", "model.d_embedding=8"]
SMALL += ["--set", "data.batch_size=2", "--set", "train.log_every=1", "--device", "cpu"]
GRID = ["shards", "--models", "nano", "--sessions", "1", "--seeds", "1,2", *SMALL]
NAMES = ["nano-sessions1-seed1", "nano-sessions1-seed2"]


def environment_of(run: Path) -> dict:
    return json.loads((run / "environment.json").read_text())


def has_trained(run: Path) -> bool:
    path = run / "metrics.jsonl"
    return path.exists() and path.stat().st_size > 0


def submit_training(slurm, *arguments: str, nodes: int = 1) -> str:
    """Submit the job script of docs/slurm.md with two ranks on CPUs."""
    return slurm.run(
        "sbatch",
        "--parsable",
        f"--nodes={nodes}",
        f"--ntasks-per-node={2 // nodes}",
        "--gpus-per-node=0",
        "--cpus-per-task=1",
        str(ROOT / "examples/slurm_train.sh"),
        *("shards", "--out", "runs/big", "--resume", *SMALL, *arguments),
        # The names of these nodes are not known to the machine.
        **({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "16999"} if nodes > 1 else {}),
    ).strip()


def test_a_job_is_queued_again_before_its_time_is_over_and_goes_on_to_the_end(slurm):
    job = submit_training(slurm, "--steps", "80")
    run = slurm.home / "runs/big"
    slurm.wait(lambda: has_trained(run), job)
    # What --signal=USR1@300 sends five minutes before the end: to the steps of the job.
    slurm.run("scancel", "--signal=USR1", job)
    slurm.wait_for_end(job)
    assert "interrupted by SIGUSR1: step" in slurm.logs()
    assert "continuing from runs/big/checkpoints/step-" in slurm.logs()
    environment = environment_of(run)
    assert (environment["num_ranks"], len(environment["resumes"])) == (2, 1)
    assert [line["step"] for line in read_metrics(run) if "loss" in line] == list(range(1, 81))
    assert json.loads((run / "summary.json").read_text())["steps"] == 80
    assert "Restarts=1" in slurm.state(job)


def test_a_job_that_is_preempted_is_queued_again_and_goes_on_to_the_end(slurm):
    job = submit_training(slurm, "--steps", "80")
    run = slurm.home / "runs/big"
    slurm.wait(lambda: has_trained(run), job)
    slurm.run("srun", "--partition=urgent", "--nodes=2", "--exclusive", "true")
    slurm.wait_for_end(job)
    assert "interrupted by SIGTERM: step" in slurm.logs()
    assert len(environment_of(run)["resumes"]) == 1
    assert [line["step"] for line in read_metrics(run) if "loss" in line] == list(range(1, 81))


def test_two_ranks_on_two_nodes_that_are_cancelled_keep_their_last_step(slurm):
    job = submit_training(slurm, "--steps", "100000", nodes=2)
    run = slurm.home / "runs/big"
    slurm.wait(lambda: has_trained(run), job)
    slurm.run("scancel", job)
    slurm.wait_for_end(job)
    slurm.wait(lambda: "interrupted by SIGTERM: step" in slurm.logs(), job)
    assert environment_of(run)["num_ranks"] == 2
    last = [line["step"] for line in read_metrics(run) if "loss" in line][-1]
    assert (run / f"checkpoints/step-{last:08d}").is_dir()
    assert (run / "checkpoints/latest").read_text().strip() == f"step-{last:08d}"


def test_two_steps_of_one_job_do_not_meet(slurm):
    arguments = ["shards", "--steps", "2", *SMALL, "--out"]
    one, other = (
        f"srun --ntasks=2 --exact omnimouse train {' '.join(arguments)} runs/{name}"
        for name in "ab"
    )
    script = f"{one} & one=$!; {other} && wait $one"
    slurm.run("sbatch", "--wait", "--nodes=1", "--ntasks=4", f"--wrap={script}")
    for name in "ab":
        assert environment_of(slurm.home / "runs" / name)["num_ranks"] == 2
        assert (slurm.home / "runs" / name / "summary.json").exists()


def test_tasks_of_srun_share_the_grid_of_a_sweep(slurm):
    command = ["srun", "--nodes=1", "--ntasks=2", "omnimouse", "sweep", *GRID, "--steps", "2"]
    document = json.loads(slurm.run(*command, "--json"))
    assert {row["run"] for row in document["runs"]} == set(NAMES)
    for name in NAMES:
        environment = environment_of(slurm.home / "runs/sweep" / name)
        assert (environment["num_ranks"], environment["resumes"]) == (1, [])
        assert (slurm.home / "runs/sweep" / name / "summary.json").exists()


def test_a_submitted_sweep_is_queued_again_with_a_checkpoint_and_ends(slurm):
    pytest.importorskip("submitit")
    command = ["omnimouse", "sweep", *GRID, "--steps", "80", "--slurm"]
    refusal = slurm.run(*command, "partition=none,time=5", code=1)
    assert "error: Slurm has refused the job: " in refusal
    assert "invalid partition" in refusal
    submission = json.loads(slurm.run(*command, "partition=cpu,time=5,cpus=1", "--json"))
    assert [task["name"] for task in submission["tasks"]] == NAMES
    assert submission["cancel"] == f"scancel {submission['job']}"
    runs = [slurm.home / "runs/sweep" / name for name in NAMES]
    slurm.wait(lambda: has_trained(runs[0]), submission["job"])
    # What Slurm sends before the end of a job's time.
    slurm.run("scancel", "--signal=USR2", submission["tasks"][0]["job"])
    slurm.wait_for_end(submission["job"])
    assert all((run / "summary.json").exists() for run in runs), slurm.logs()
    assert [len(environment_of(run)["resumes"]) for run in runs] == [1, 0]
    assert "continuing from" in Path(submission["tasks"][0]["log"]).read_text()
    again = slurm.run(*command, "partition=cpu,time=5")
    assert "nothing is submitted: no run is left to do" in again


def test_submitted_recordings_become_shards_of_one_catalogue(slurm, experanto_session):
    pytest.importorskip("submitit")
    for number in range(3):
        experanto_session(f"300-1-{number}", neurons=5, seconds=40.0, seed=number)
    recordings = str(experanto_session.folder)
    command = ["omnimouse", "preprocess", recordings, "--out", "new", "--dtype", "float32"]
    submission = json.loads(slurm.run(*command, "--slurm", "time=5,tasks=2", "--json"))
    assert len(submission["tasks"]) == 2
    slurm.wait_for_end(submission["job"])
    catalogue = json.loads((slurm.home / "new/catalogue.json").read_text())
    sessions = {entry["session"]: entry["dtype"] for entry in catalogue["sessions"]}
    names = {path.name for path in experanto_session.folder.iterdir()}
    assert sessions == dict.fromkeys(names, "F32"), slurm.logs()
    assert "no share is left to do" in slurm.run(*command, "--slurm", "time=5")


def test_each_task_takes_a_gpu_of_its_own_however_slurm_shows_them(slurm):
    if not (slurm.configuration.parent / "gres.conf").exists():
        pytest.skip("there are no devices here that could stand for GPUs")
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    for options, expected in (
        (["--gpus-per-task=1"], {("0", 0), ("1", 0)}),
        (["--gpus=2"], {("0,1", 0), ("0,1", 1)}),
    ):
        # Lines of this length from several tasks would mix.
        command = ["srun", "--nodes=1", "--ntasks=2", "--output=task-%t.json", *options]
        slurm.run(*command, sys.executable, "-c", program)
        tasks = [json.loads((slurm.home / f"task-{task}.json").read_text()) for task in (0, 1)]
        assert {
            (variables["CUDA_VISIBLE_DEVICES"], read_launcher(variables).gpu) for variables in tasks
        } == expected
