"""`omnimouse scaling-report`: default runs, a CSV file, stdout and stderr, exit codes."""

import json

import pytest
import typer
from typer.testing import CliRunner

from omnimouse_cli.cli.app import _with_exit_codes
from omnimouse_cli.cli.scaling_report import command_scaling_report
from omnimouse_cli.files import write_document

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(_with_exit_codes(command_scaling_report))
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def write_runs(folder, losses):
    for number, loss in enumerate(losses):
        run = folder / f"run{number}"
        run.mkdir(parents=True)
        (run / "config.toml").write_text("")
        summary = {
            "run": run.name,
            "parameters": {
                "core": 10 ** (5 + number),
                "tables": 10,
                "total": 10 ** (5 + number) + 10,
            },
            "unique_tokens": 1_000_000,
            "validation": {"neural_loss": loss},
            "seed": 42,
            "split": "validation",
        }
        write_document(run / "summary.json", "summary", summary)


def write_grid(path):
    lines = [
        f"{size},{data},{1 + 60 / size**0.35 + 200 / data**0.3}"
        for size in (1e6, 4e6, 1.6e7, 6.4e7)
        for data in (1e9, 4e9, 1.6e10, 6.4e10)
    ]
    path.write_text("\n".join(["size,data,loss", *lines]))


def test_the_runs_folder_is_taken_by_default_and_that_is_said(run, tmp_path):
    write_runs(tmp_path / "runs", [0.5, 0.4, 0.35])
    result = run()
    assert result.exit_code == 0, result.stderr
    assert "taking 3 runs of runs/ (default)" in result.stderr
    assert "verdict: undetermined" in result.stdout
    assert "needs at least 8 rows, and the table has 3" in result.stdout
    assert (tmp_path / "scaling-report" / "report.html").is_file()
    assert (tmp_path / "scaling-report" / "report.json").is_file()


def test_json_is_one_document_and_nothing_else(run, tmp_path):
    write_grid(tmp_path / "grid.csv")
    columns = "parameters=size,tokens=data"
    result = run(
        "--table", "grid.csv", "--columns", columns, "--bootstrap", "50", "--json", "--out", "here"
    )
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed == json.loads((tmp_path / "here" / "report.json").read_text())
    assert printed["format"] == "omnimouse-scaling-report"
    assert printed["law"]["alpha"]["value"] == pytest.approx(0.35, abs=0.01)
    assert printed["law"]["beta"]["value"] == pytest.approx(0.3, abs=0.01)
    assert any("50 resamples" in warning for warning in printed["warnings"])


def test_quiet_leaves_only_warnings_on_stderr(run, tmp_path):
    write_runs(tmp_path / "runs", [0.5, 0.4])
    (tmp_path / "runs" / "run0" / "summary.json").unlink()
    result = run("--quiet")
    assert result.exit_code == 0
    assert result.stderr == "warning: 1 row excluded; the table of rows has the reasons\n"
    assert "excluded: run0: it has not finished" in result.stdout


def test_the_law_and_its_alternatives_are_printed(run, tmp_path):
    write_grid(tmp_path / "grid.csv")
    result = run(
        "--table", "grid.csv", "--columns", "parameters=size,tokens=data", "--bootstrap", "50"
    )
    assert result.exit_code == 0, result.stderr
    for part in ("alpha", "95 % interval", "tied exponents", "held-out error", "runs that would"):
        assert part in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: no run was named and there is none in runs/"),
        (("nowhere",), "error: nowhere is not a folder of runs"),
        (("--table", "none.csv"), "error: none.csv is not a file that can be read"),
        (("--table", "grid.csv"), "error: grid.csv has no column 'parameters'"),
        (
            ("--table", "grid.csv", "--columns", "parameters=sizes"),
            "error: --columns names the column 'sizes', which grid.csv does not have\n\n"
            "hint: did you mean `size`?",
        ),
        (("--table", "grid.csv", "--where", "size=1"), "error: --where takes column==value"),
    ],
)
def test_unusable_input_is_one_sentence_and_exit_code_1(run, tmp_path, arguments, message):
    write_grid(tmp_path / "grid.csv")
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(message)
    assert result.stdout == ""
    assert not (tmp_path / "scaling-report").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("runs", "--table", "grid.csv"),
        ("--columns", "loss=x"),
        ("--parameters", "some"),
        ("--bootstrap", "many"),
        ("--unknown",),
    ],
)
def test_wrong_usage_is_exit_code_2(run, arguments):
    assert run(*arguments).exit_code == 2
