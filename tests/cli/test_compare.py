"""`omnimouse compare`: tables, the document, and what is said of scores that cannot be paired."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import omnimouse_cli as om
from omnimouse_cli.cli.app import program


@pytest.fixture
def runs(kept_evaluations, tmp_path):
    make = kept_evaluations.number_of
    series = np.random.default_rng(0).normal(size=60)
    metric = "single_trial_correlation"
    first = [make(series, session=key, metric=metric, animal=key) for key in ("1", "2")]
    second = [make(series + 0.5, session="1", metric=metric, animal="1")]
    write = kept_evaluations.write_evaluation
    write(tmp_path / "first", first)
    write(tmp_path / "second", second, sets=("seed=1", "train.log_every=7"))
    return tmp_path / "first", tmp_path / "second"


def compare(*arguments):
    return CliRunner().invoke(program("compare"), ["compare", *map(str, arguments)])


def test_the_tables_have_both_scores_their_difference_and_the_keys_that_differ(runs):
    done = compare(*runs)
    assert done.exit_code == 0, done.output
    assert "+0.5000 [+0.5000, +0.5000]" in done.stdout
    assert "train.log_every" in done.stdout
    assert "A: first" in done.stdout
    assert "forecast (test) of second is not compared with that of first in 2: it has no" in (
        done.stderr
    )
    assert f"omnimouse eval {runs[1]} --regime forecast --tier test" in done.stderr
    assert "overall" in compare(*runs, "--by-session").stdout


def test_runs_without_scores_are_told_the_command_that_makes_them(kept_evaluations, tmp_path):
    runs = [tmp_path / "first", tmp_path / "second"]
    for run in runs:
        kept_evaluations.write_evaluation(run, [])
    done = compare(*runs)
    assert done.exit_code == 0, done.output
    command = f"omnimouse eval {runs[0]} {runs[1]}\n"
    assert done.stderr.splitlines(keepends=True) == [
        f"warning: no run has kept scores; evaluate them first: {command}",
        f"next: {command}",
    ]
    assert done.stdout.splitlines()[2:] == [
        "A and B have no scores on equal windows",
        "configuration: no key differs",
    ]


def test_one_warning_lists_the_strategies_that_the_same_command_evaluates(
    kept_evaluations, tmp_path
):
    number = kept_evaluations.number_of(np.ones(60), metric="single_trial_correlation")
    other = replace(number, record=replace(number.record, strategy="forecast+stimulus"))
    kept_evaluations.write_evaluation(tmp_path / "first", [number, other])
    kept_evaluations.write_evaluation(tmp_path / "second", [])
    lines = compare(tmp_path / "first", tmp_path / "second").stderr.splitlines()
    (warning,) = (line for line in lines if "not compared" in line)
    assert "forecast, forecast+stimulus (test) of second are not compared with those" in warning


def test_the_document_has_differences_with_intervals_and_configuration(runs):
    document = json.loads(compare(*runs, "--json").stdout)
    assert document["format"] == "omnimouse-compare"
    overall = document["differences"][-1]
    assert (overall["session"], overall["strategy"]) == ("overall", "forecast")
    assert overall["value"] == pytest.approx(0.5)
    assert {"low", "high", "values", "interval_over", "run", "minus"} <= set(overall)
    keys = {one["key"]: one["values"] for one in document["configuration"]}
    assert keys["seed"] == [42, 1]
    assert document["unpaired"][0]["sessions"] == ["2"]


def test_an_unknown_metric_is_an_error_with_the_nearest_name(runs):
    done = compare(*runs, "--metric", "single_trial_corelation")
    assert done.exit_code == 1
    assert "did you mean `single_trial_correlation`?" in done.stderr


def test_the_function_for_python_has_the_differences_of_the_document(runs):
    found = om.compare(runs)
    document = json.loads(compare(*runs, "--json").stdout)
    assert [one.value for one in found.differences] == [
        one["value"] for one in document["differences"]
    ]
    assert found.configuration["train.log_every"] == (20, 7)
