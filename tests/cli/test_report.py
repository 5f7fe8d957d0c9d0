"""`omnimouse report`: where the page lies, what is printed, how it ends."""

import json

import pytest
import typer
from typer.testing import CliRunner

from omnimouse_cli.cli.app import _with_exit_codes
from omnimouse_cli.cli.report import command_report

pytestmark = pytest.mark.slow


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(_with_exit_codes(command_report))
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def test_the_newest_finished_run_is_taken_and_its_page_lies_in_its_folder(
    invoke, run_folders, tmp_path
):
    run_folders.write_run(tmp_path / "runs" / "demo")
    result = invoke()
    assert result.exit_code == 0, result.stderr
    assert "taking runs/demo (the newest finished run)" in result.stderr
    assert result.stdout == "runs/demo/report.html\n"
    assert "<h1>demo</h1>" in (tmp_path / "runs/demo/report.html").read_text()


def test_the_name_of_a_run_is_taken_for_the_run_and_said_once(invoke, run_folders, tmp_path):
    run_folders.write_run(tmp_path / "runs" / "sweep" / "demo")
    result = invoke("sweep/demo")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("taking runs/sweep/demo\n") == 1
    assert result.stdout == "runs/sweep/demo/report.html\n"
    result = invoke("demmo")
    assert result.exit_code == 1
    assert "error: demmo does not exist\n" in result.stderr
    assert "did you mean `runs/sweep/demo`?" in result.stderr


def test_the_page_of_several_runs_lies_in_the_folder_of_all_of_them(invoke, run_folders, tmp_path):
    for name in ("one", "sweep/two"):
        run_folders.write_run(tmp_path / "runs" / name)
    result = invoke("runs", "runs/one", "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    content = json.loads(result.stdout)
    assert content["format"] == "omnimouse-report"
    assert content["page"] == str(tmp_path / "runs" / "report.html")
    text = (tmp_path / "runs" / "report.html").read_text()
    assert "<h1>one, two</h1>" in text
    result = invoke("runs", "--out", "here/mine.html")
    assert result.stdout == "here/mine.html\n"
    # A folder of runs cannot be probed.
    assert "next: omnimouse probe RUN" in result.stderr
    assert (tmp_path / "here/mine.html").read_text() == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: no run was named and there is no finished run in runs/"),
        (("nowhere",), "error: nowhere is neither a run nor a folder of runs"),
        (("begun", "--out", "begun"), "error: --out must be a file, and begun is a folder"),
        (("begun", "--out", "page.pdf"), "error: page.pdf is no HTML file: its name must end in"),
    ],
)
def test_unusable_input_is_one_sentence_and_exit_code_1(
    invoke, run_folders, tmp_path, arguments, message
):
    run_folders.write_run(tmp_path / "begun", finished=False)
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(message)
    assert result.stdout == ""


def test_without_matplotlib_the_extra_is_named(invoke, run_folders, tmp_path, monkeypatch):
    run_folders.write_run(tmp_path / "runs" / "demo")
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    result = invoke("runs/demo")
    assert result.exit_code == 1
    assert "matplotlib, which is not installed" in result.stderr
