"""The program itself: help without torch, exit codes, error texts."""

import errno
import json
import os
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

import omnimouse_cli.cli.app
from omnimouse_cli.cli.app import _COMMANDS, _with_exit_codes, program
from omnimouse_cli.cli.console import print_next
from omnimouse_cli.errors import OmniMouseError
from tests.forked import ForkedCommand


def run(*arguments, cwd=None):
    command = [sys.executable, "-m", "omnimouse_cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def app_of(command):
    app = typer.Typer()
    app.command()(_with_exit_codes(command))
    return app


@pytest.mark.training
def test_no_help_imports_torch():
    # One process asks for every help text and then says which heavy libraries it holds.
    code = (
        "import sys\n"
        "from omnimouse_cli.cli.app import app, _COMMANDS, _DENDRITES\n"
        "groups = ['dendrites', *(f'dendrites {name}' for name in _DENDRITES)]\n"
        "for name in ['', *_COMMANDS, *groups]:\n"
        "    try: app([*name.split(), '--help'])\n"
        "    except SystemExit as end: assert end.code == 0, name\n"
        "heavy = {'torch', 'scipy', 'sklearn', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"
    assert all(name in done.stdout for name in _COMMANDS)


@pytest.mark.parametrize("name", [*_COMMANDS, "dendrites", "bench"])
def test_a_command_is_the_same_with_and_without_the_others(name):
    alone, among_all = (
        CliRunner().invoke(made, [name, "--help"]) for made in (program(name), program())
    )
    assert alone.exit_code == 0
    assert f"omnimouse {name}" in alone.output
    assert alone.output == among_all.output


@pytest.mark.training
def test_only_the_wanted_command_is_imported():
    code = (
        "import sys\n"
        "sys.argv = ['omnimouse', 'preprocess', '--help']\n"
        "from omnimouse_cli.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('omnimouse_cli.cli.')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = done.stdout.splitlines()[-1]
    assert "omnimouse_cli.cli.preprocess" in modules
    assert "train" not in modules


def test_a_name_that_no_module_has_is_no_program():
    with pytest.raises(AttributeError, match="has no attribute 'application'"):
        _ = omnimouse_cli.cli.app.application


def test_an_error_of_the_user_is_one_sentence_a_hint_and_exit_code_1():
    def command() -> None:
        raise OmniMouseError("the thing is 3, but must be 4", hint="make it 4")

    result = CliRunner().invoke(app_of(command))
    assert result.exit_code == 1
    assert result.stderr == "error: the thing is 3, but must be 4\n\nhint: make it 4\n"
    assert result.stdout == ""


def test_an_interruption_exits_with_130_and_says_what_was_kept():
    def command() -> None:
        raise KeyboardInterrupt("checkpoint at step 5; go on with --resume")

    result = CliRunner().invoke(app_of(command))
    assert result.exit_code == 130
    assert result.stderr == "interrupted: checkpoint at step 5; go on with --resume\n"


def test_the_next_command_is_ready_to_paste_and_is_named_to_people_only(capsys):
    print_next("eval", "runs/my run")
    print_next("eval", "runs/other", quiet=True)
    print_next("eval", "runs/other", json_output=True)
    assert capsys.readouterr() == ("", "next: omnimouse eval 'runs/my run'\n")


@pytest.mark.training
@pytest.mark.parametrize("name", ["probe", "mei"])
def test_help_says_that_neurons_are_columns_and_no_unit_ids(name):
    words = CliRunner().invoke(program(name), [name, "--help"], env={"COLUMNS": "200"}).stdout
    assert "Columns of the recording from 0, not unit ids" in words


def test_wrong_usage_exits_with_2():
    assert run("train", "--no-such-option").returncode == 2
    assert run("no-such-command").returncode == 2


@pytest.mark.training
def test_the_module_is_the_same_program_and_knows_its_version():
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("omnimouse 0.")


@pytest.mark.training
def test_doctor_reports_versions_and_devices():
    done = run("doctor", "--json")
    assert done.returncode == 0
    facts = json.loads(done.stdout)
    assert facts["format"] == "omnimouse-doctor"
    assert facts["versions"]["torch"]
    assert facts["missing"] == []


@pytest.mark.training
@pytest.mark.parametrize("command", ["preprocess", "inspect", "train", "eval", "scaling-report"])
def test_without_anything_in_the_folder_a_command_says_what_to_do(command, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    process = ForkedCommand(command, folder=tmp_path / "streams")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert out == ""
    lines = err.splitlines()
    assert any(line.startswith("error: ") for line in lines)
    assert any(line.startswith("hint: ") for line in lines)
    assert "Traceback" not in err


@pytest.mark.training
def test_nothing_but_what_the_command_says_is_on_stderr(tmp_path):
    """Libraries that torch brings complain at the end if they are not taken down."""
    done = run("train", "--dry-run", "--model", "nano", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_file_system_refuses_ends_in_a_sentence(monkeypatch, capsys):
    def refuse():
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "runs/a")

    with pytest.raises(SystemExit) as stop:
        _with_exit_codes(refuse)()
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith("error: runs/a: Permission denied\n\nhint: ")
