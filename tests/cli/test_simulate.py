"""`omnimouse simulate` prints what it made, as a table or as one JSON document."""

import json

import pytest
import typer
from typer.testing import CliRunner

from omnimouse_cli.cli.simulate import command_simulate

SMALL = ("--sessions", "1", "--neurons", "4", "--minutes", "1", "--seed", "3")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("simulate")


def invoke(*arguments):
    app = typer.Typer()
    app.command()(command_simulate)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_json_is_one_document_with_the_ceiling_of_every_regime(out):
    result = invoke(out, *SMALL, "--json")
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    assert (content["format"], content["version"]) == ("omnimouse-simulation", 1)
    (session,) = content["sessions"]
    assert session["session"] == "23001-1-1"
    assert session["animal"] == "23001"
    assert session["neurons"] == 4
    assert session["path"] == str(out / "23001-1-1")
    names = {"predict", "population", "forecast", "gaze", "pupil", "running"}
    assert set(session["ceilings"]) == names
    assert all(-1 <= value <= 1 for value in session["ceilings"].values())


def test_a_second_run_skips_says_so_on_stderr_and_prints_the_same_table(out):
    invoke(out, *SMALL)
    result = invoke(out, *SMALL)
    assert result.exit_code == 0
    assert "complete: skipped" in result.stderr
    assert "23001-1-1" in result.stdout
    assert "skipped" not in result.stdout
    assert result.stderr.endswith(f"next: omnimouse preprocess {out}\n")
    assert invoke(out, *SMALL, "--quiet").stderr == ""


def test_neurons_that_multiply_have_no_ceiling_of_decoding(tmp_path):
    result = invoke(tmp_path, *SMALL, "--multiplicative", "1", "--json")
    assert result.exit_code == 0
    (session,) = json.loads(result.stdout)["sessions"]
    assert set(session["ceilings"]) == {"predict", "population", "forecast"}
    assert invoke(tmp_path, *SMALL, "--multiplicative", "2").exit_code != 0
