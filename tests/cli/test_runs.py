"""`omnimouse runs`: the list, tags and notes; and the same list by `inspect`."""

import json
import os
import shutil

import pytest
from typer.testing import CliRunner

from omnimouse_cli.cli.app import program
from omnimouse_cli.config.load import load_config
from omnimouse_cli.files import write_document
from omnimouse_cli.run.folder import write_config, write_summary

SUMMARY = {
    "steps": 120,
    "sessions": 3,
    "animals": 2,
    "seed": 7,
    "validation": {"neural_loss": 0.75, "records": []},
}
SCORE = {
    "predictor": "model",
    "session": "overall",
    "target": "neurons",
    "metric": "single_trial_correlation",
    "strategy": "forecast",
    "value": 0.25,
}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A working folder with a finished, evaluated run and one that has logged a validation."""
    monkeypatch.chdir(tmp_path)
    finished, begun = tmp_path / "runs" / "finished", tmp_path / "runs" / "begun"
    for folder in (finished, begun):
        write_config(folder, load_config(sets=("seed=7",), size="tiny"))
    write_summary(finished, SUMMARY)
    ridge = {**SCORE, "predictor": "ridge", "value": 0.5}
    content = {"options": {"tier": "test"}, "records": [ridge, SCORE]}
    write_document(finished / "eval" / "test-forecast" / "eval.json", "eval", content)
    record = {"strategy": "predict", "session": "overall", "target": "neurons", "value": 0.5}
    line = {"step": 4, "epoch": 0.4, "windows": 32, "tokens": 400, "validation": record}
    (begun / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    return tmp_path / "runs"


def run(*arguments):
    return CliRunner().invoke(program(arguments[0]), list(map(str, arguments)))


def listed(*arguments):
    done = run("runs", *arguments, "--json")
    assert done.exit_code == 0, done.output
    return {one["run"]: one for one in json.loads(done.stdout)["runs"]}


def test_json_has_what_the_contract_promises(runs):
    found = listed()
    finished, begun = found["finished"], found["begun"]
    promised = (
        *("run", "model", "step", "sessions", "animals", "seed", "finished", "validation"),
        *("evaluations", "bytes", "tags", "note"),
    )
    assert set(promised) <= set(finished)
    assert [finished[name] for name in promised[:9]] == [
        *("finished", "tiny", 120, 3, 2, 7, True, 0.75, ["test-forecast"])
    ]
    assert finished["scores"] == {"forecast": 0.25}
    files = [path for path in (runs / "finished").rglob("*") if path.is_file()]
    assert finished["bytes"] == sum(path.stat().st_size for path in files)
    assert (begun["finished"], begun["step"], begun["validation"]) == (False, None, 0.5)


def test_the_table_shows_predict_also_behind_a_newer_evaluation_without_it(runs):
    older = runs / "finished" / "eval" / "test-all" / "eval.json"
    score = {**SCORE, "strategy": "predict", "value": 0.125}
    write_document(older, "eval", {"options": {"tier": "test"}, "records": [SCORE, score]})
    os.utime(older, (0, 0))
    assert "test-all: predict 0.125" in run("runs").stdout
    assert listed()["finished"]["evaluations"] == ["test-all", "test-forecast"]


def test_only_evaluated_runs_are_named_for_a_comparison(runs):
    assert "omnimouse compare" not in run("runs").stderr
    shutil.copytree(runs / "finished", runs / "another")
    last = run("runs").stderr.splitlines()[-1]
    assert last == "next: omnimouse compare runs/another runs/finished"


def test_tags_and_notes_are_set_changed_and_removed(runs):
    found = listed(runs / "begun", "--tag", "baseline, first", "--note", "before the <new> masking")
    assert found["begun"]["tags"] == ["baseline", "first"]
    assert found["begun"]["note"] == "before the <new> masking"
    listed(runs / "begun", "--tag", "first,last", "--untag", "baseline")
    assert listed()["begun"]["tags"] == ["first", "last"]
    assert listed()["begun"]["note"] == "before the <new> masking"
    assert listed(runs / "begun", "--note", "")["begun"]["note"] == ""


def test_runs_are_selected_by_their_tags(runs):
    listed(runs / "begun", "--tag", "a,b")
    listed(runs / "finished", "--tag", "b")
    assert list(listed("--tagged", "a,b")) == ["begun"]
    assert list(listed("--tagged", "b")) == ["begun", "finished"]
    done = run("runs", "--tagged", "c")
    assert done.exit_code == 1
    assert "no run has the tag 'c'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tag", "x"), "--tag, --untag and --note need a run"),
        (("runs", "--tag", "x"), "runs is not a run"),
        (("runs/begun", "--untag", "x"), "runs/begun has no tag 'x'"),
        (("runs/begun", "--tag", "x" * 65), "a tag must be a word of at most 64 letters"),
        (("nothing",), "nothing does not exist"),
    ],
)
def test_a_tag_that_cannot_be_is_refused_and_nothing_is_written(runs, arguments, message):
    done = run("runs", *arguments)
    assert done.exit_code == 1
    assert message in done.stderr
    assert not list(runs.glob("*/labels.json"))


def test_the_table_names_runs_notes_and_what_is_damaged(runs):
    run("runs", runs / "begun", "--note", "kept")
    (runs / "finished" / "labels.json").write_text("{}")
    done = run("runs")
    assert done.exit_code == 1
    assert "damaged" in done.stdout
    assert "note of begun: kept" in done.stdout
    assert "labels.json is not an omnimouse-labels document" in done.stderr


def test_inspect_lists_the_same_records(runs):
    done = run("inspect", "runs", "--json")
    records = {one["run"]: one for one in json.loads(done.stdout)["runs"]}
    assert records == listed()


def test_curves_are_drawn_of_named_runs_and_described(runs):
    done = run("curves", runs / "begun", "--json")
    assert done.exit_code == 0, done.output
    (curves,) = json.loads(done.stdout)["runs"]
    assert curves["validation"] == {"neural": [{"step": 4, "loss": 0.5}]}
    assert (runs / "begun" / "curves.png").read_bytes().startswith(b"\x89PNG")
    done = run("curves", runs / "begun", "--out", "curves.svg", "--against", "tokens")
    assert "0.5000" in done.stdout
    assert "tokens (neurons x samples)" in (runs.parent / "curves.svg").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--out", "curves.txt"), "curves.txt is no image file"),
        (("--against", "time"), "--against must be one of step, epoch, windows, tokens"),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_refused(runs, options, message):
    done = run("curves", runs / "begun", *options)
    assert done.exit_code == 1
    assert message in done.stderr


def test_a_run_without_a_log_is_named_and_left_out_where_others_are_drawn(runs):
    done = run("curves", runs / "finished")
    assert done.exit_code == 1
    assert "error: " in done.stderr
    assert "finished/metrics.jsonl has no loss yet" in done.stderr
    done = run("curves")
    assert done.exit_code == 0
    assert "left out: runs/finished/metrics.jsonl has no loss yet" in done.stderr
