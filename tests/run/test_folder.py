"""Run folders: which there are, which have finished, their lock and their environment."""

import errno
import fcntl
import os
import subprocess

import pytest

from omnimouse_cli.config.sizes import default_run_config
from omnimouse_cli.errors import ConfigError, OmniMouseError
from omnimouse_cli.files import read_document, write_document
from omnimouse_cli.run.folder import (
    evaluation_folder,
    find_commit,
    find_run_of_job,
    find_runs,
    is_finished,
    is_run,
    lock_run,
    newest_finished_run,
    newest_unfinished_run,
    read_config,
    read_shards_folder,
    read_summary,
    remove_summary,
    write_config,
    write_environment,
    write_summary,
)
from tests.reporter import MessageReporter


@pytest.fixture
def make_run(tmp_path):
    def make(name, *, finished_at=None):
        run = tmp_path / name
        run.mkdir(parents=True)
        write_config(run, default_run_config("nano"))
        if finished_at is not None:
            write_summary(run, {"run": run.name})
            os.utime(run / "summary.json", (finished_at, finished_at))
        return run

    return make


def test_epochs_are_tokens_seen_over_unique_tokens_in_runs_of_earlier_versions_too(make_run):
    run = make_run("run")
    for summary, expected in (
        ({"epochs": 0.16, "tokens_seen": 880, "unique_tokens": 100}, 8.8),
        ({"epochs": 3, "tokens_seen": None, "unique_tokens": None}, 3),
    ):
        write_summary(run, summary)
        assert read_summary(run)["epochs"] == expected


def test_runs_are_found_at_any_depth_but_not_in_runs_or_hidden_folders(make_run, tmp_path):
    runs = [make_run(name) for name in ("a", "sweeps/c", "sweeps/large/b")]
    make_run(".hidden/d")
    make_run("a/eval/e")
    assert find_runs(tmp_path) == runs
    assert find_runs(runs[0]) == [runs[0]]
    assert find_runs(tmp_path / "nothing") == []


@pytest.mark.parametrize("name", ["config.toml", "summary.json", "model.safetensors"])
def test_a_folder_with_any_file_of_a_run_is_one(tmp_path, name):
    assert not is_run(tmp_path)
    (tmp_path / name).touch()
    assert is_run(tmp_path)


def test_the_newest_run_is_the_one_that_finished_or_changed_last(make_run, tmp_path):
    assert newest_finished_run(tmp_path) is newest_unfinished_run(tmp_path) is None
    make_run("a", finished_at=300)
    last = make_run("b", finished_at=400)
    make_run("c", finished_at=100)
    assert newest_finished_run(tmp_path) == last
    for name, changed_at in (("d", 900), ("e", 500)):
        os.utime(make_run(name), (changed_at, changed_at))
    assert newest_unfinished_run(tmp_path) == tmp_path / "d"


def test_a_summary_marks_a_run_as_finished_until_it_is_removed(make_run):
    run = make_run("a", finished_at=100)
    assert is_finished(run)
    assert read_summary(run)["run"] == "a"
    remove_summary(run)
    remove_summary(run)
    assert not is_finished(run)
    with pytest.raises(OmniMouseError, match=r"summary\.json does not exist"):
        read_summary(run)


def test_a_configuration_is_read_back_with_changes(make_run):
    run = make_run("a")
    assert read_config(run) == default_run_config("nano")
    assert read_config(run, ["seed=9"]).seed == 9
    with pytest.raises(ConfigError, match=r"config\.toml does not exist"):
        read_config(run.parent)


def test_an_empty_folder_is_removed_when_its_lock_ends(tmp_path):
    with lock_run(tmp_path / "a"):
        assert (tmp_path / "a").is_dir()
        with (
            pytest.raises(OmniMouseError, match="is being trained by another process"),
            lock_run(tmp_path / "a"),
        ):
            pass
    assert not (tmp_path / "a").exists()
    with lock_run(tmp_path / "b"):
        (tmp_path / "b" / "config.toml").touch()
    assert (tmp_path / "b" / "config.toml").exists()


def test_a_run_on_a_file_system_without_locks_is_trained_with_a_warning(tmp_path, monkeypatch):
    def refuse(_descriptor, _operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    reporter = MessageReporter()
    monkeypatch.setattr(fcntl, "flock", refuse)
    with lock_run(tmp_path / "a", reporter):
        assert (tmp_path / "a").is_dir()
    (warning,) = reporter.warnings
    assert "has no locks" in warning


def test_the_shards_of_a_resumed_run_are_those_of_the_last_training(make_run, tmp_path):
    run = make_run("a")
    facts = {"device": "cpu", "num_ranks": 2, "seed": 3, "command_line": ["omnimouse", "train"]}
    write_environment(run, **facts, shards=tmp_path / "one")
    assert read_shards_folder(run) == tmp_path / "one"
    write_environment(run, **facts, shards=tmp_path / "two")
    assert read_shards_folder(run) == tmp_path / "two"
    environment = read_document(run / "environment.json", "environment")
    assert [part["shards"] for part in environment["resumes"]] == [str(tmp_path / "two")]
    assert environment.items() >= facts.items()
    assert set(environment["versions"]) == {"python", "omnimouse", "torch", "numpy", "safetensors"}
    assert "imported_from" not in environment


def test_a_job_finds_its_own_run_among_others_and_damaged_ones(make_run, tmp_path, monkeypatch):
    facts = {"device": "cpu", "num_ranks": 1, "seed": 3, "shards": None}
    runs = [make_run(name) for name in ("a", "b", "c")]
    (runs[0] / "environment.json").write_text("{")
    for run, job in ((runs[1], "7"), (runs[2], "8"), (runs[1], "9")):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        write_environment(run, **facts, command_line=["omnimouse", "train"])

    def find(job):
        return find_run_of_job(runs, job, ["omnimouse", "train"])

    assert [find(job) for job in ("7", "8", "9", "10")] == [runs[1], runs[2], runs[1], None]
    assert find_run_of_job(runs, "8", ["omnimouse", "train", "--steps", "1"]) is None
    # Runs of other jobs are not locked for the search: they would seem to be trained.
    assert not (runs[0] / ".lock").exists()
    with lock_run(runs[2]):
        assert find("8") is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"resumes": None}, "`resumes` must be a list"),
        ({"resumes": [3]}, "`resumes` must be a list"),
        ({"shards": {"path": "x"}}, "does not name its shards"),
    ],
)
def test_an_environment_of_other_types_is_refused(make_run, tmp_path, changes, reason):
    run = make_run("a")
    facts = {"device": "cpu", "num_ranks": 2, "seed": 3, "command_line": ["omnimouse", "train"]}
    write_environment(run, **facts, shards=tmp_path / "one")
    content = read_document(run / "environment.json", "environment")
    write_document(run / "environment.json", "environment", {**content, **changes})
    with pytest.raises(OmniMouseError, match=reason):
        read_shards_folder(run)


def test_the_folder_of_an_evaluation_is_in_the_run(tmp_path):
    assert evaluation_folder(tmp_path, "test-all") == tmp_path / "eval" / "test-all"


@pytest.mark.training
def test_the_commit_is_that_of_the_repository_that_has_the_file(tmp_path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    source, installed = tmp_path / "source.py", tmp_path / "installed.py"
    source.touch()
    installed.touch()
    assert find_commit(source) is None
    for command in (["init"], ["add", "source.py"], ["commit", "--message", "first"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert find_commit(source) == head.stdout.strip()
    assert find_commit(installed) is None


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a/../../b", "/tmp"])
def test_an_evaluation_stays_inside_its_run(name, tmp_path):
    with pytest.raises(OmniMouseError, match="must be that of a single folder"):
        evaluation_folder(tmp_path, name)


def test_a_disk_is_not_searched_for_runs(make_run, tmp_path, monkeypatch):
    monkeypatch.setattr("omnimouse_cli.run.folder.MAX_FOLDERS", 3)
    for name in ("a", "b", "c"):
        (tmp_path / "disk" / name).mkdir(parents=True)
    with pytest.raises(OmniMouseError, match="has more than 3 folders"):
        find_runs(tmp_path / "disk")
