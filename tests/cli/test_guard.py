"""No input ends a command with a traceback: every command, with every kind of bad input."""

import builtins
import functools
import inspect
import io
import os
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import omnimouse_cli.cli
from omnimouse_cli.cli.app import _COMMANDS, _DENDRITES, _load_command, program
from omnimouse_cli.cli.console import reporter
from omnimouse_cli.cli.streams import TolerantStream
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import explain_file_errors

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_mei_references")]

# Arguments with which a command would work, and soon.
SMALL = ("--device", "cpu", "--set", "model.d_model=16", "--set", "model.layers=1")
SMALL += ("--set", "model.decoder.linear_rank=none")
PROBED = ("--neurons", "0", "--directions", "4", "--spatial", "0.05", "--temporal", "2")
PROBED += ("--noise-windows", "16")
COMMANDS = {
    "simulate": ("new", "--neurons", "2", "--minutes", "1", "--sessions", "1"),
    "preprocess": ("--jobs", "1"),
    "inspect": (),
    "train": ("--steps", "1", *SMALL),
    "sweep": ("--models", "nano", "--sessions", "1", "--steps", "1", *SMALL),
    "eval": ("runs/a", "--regime", "predict", "--no-baselines", "--device", "cpu"),
    "runs": (),
    "compare": ("runs/a", "runs/b"),
    "curves": ("runs/a",),
    "report": ("runs/a", "runs/b"),
    "predict": ("runs/a", "--out", "predicted.npz", "--device", "cpu"),
    "mei": ("runs/a", "--neurons", "0", "--steps", "1", "--starts", "1", "--device", "cpu"),
    "probe": ("runs/a", "--device", "cpu", *PROBED),
    "scaling-report": ("--bootstrap", "10"),
    "import-weights": ("checkpoint", "--out", "imported"),
    "export-weights": ("runs/a", "--out", "weights.safetensors"),
    "export-embeddings": ("runs/a",),
    "regimes": (),
    "doctor": (),
    "dendrites surfaces": ("runs/a", "--device", "cpu"),
    "dendrites compare": ("--quick", "--epochs", "1", "--networks", "mlp", "--no-robustness"),
    "bench loader": ("--batches", "1"),
}
LONG = ("train", "sweep", "eval", "probe", "mei", "scaling-report", "dendrites compare")
TARGETS = {
    **_COMMANDS,
    **{f"dendrites {name}": target for name, target in _DENDRITES.items()},
    "bench loader": "bench.command_bench_loader",
}


def list_parameters(kinds):
    """Names of commands with each of their parameters that take a value of one of these types."""
    found = []
    for command, target in TARGETS.items():
        function = inspect.unwrap(_load_command(target))
        hints = typing.get_type_hints(function, include_extras=True)
        for name, hint in hints.items():
            if name != "return" and kinds & _types_in(hint.__origin__):
                info = hint.__metadata__[0]
                words = [word for word in info.param_decls or () if word.startswith("--")]
                is_argument = isinstance(info, typer.models.ArgumentInfo)
                flag = None if is_argument else (words or [f"--{name.replace('_', '-')}"])[0]
                found.append((command, flag))
    return found


def _types_in(hint):
    return {hint}.union(*map(_types_in, typing.get_args(hint)))


def put(command, flag, value):
    """Arguments of a command with one of them replaced."""
    usual = COMMANDS[command]
    if flag is not None:
        return (*usual, flag, str(value))
    has_argument = bool(usual) and not usual[0].startswith("-")
    return (str(value), *usual[has_argument:])


# Building the program takes longer than most of its errors.
only = functools.cache(program)


def run(command, *arguments):
    """Run a command in this process; anything but an exit code is a traceback."""
    result = CliRunner().invoke(only(command.split()[0]), [*command.split(), *arguments])
    if result.exc_info is not None and not isinstance(result.exception, SystemExit | None):
        raise AssertionError(f"traceback of {command} {arguments}") from result.exception
    assert result.exit_code in (0, 1, 2), result.stderr
    if result.exit_code == 1:
        assert "error: " in result.stderr
    return result


@pytest.fixture(scope="module")
def folder(small_mouse, write_run, tmp_path_factory):
    """A working folder with shards, two runs and files that are of no use."""
    folder = tmp_path_factory.mktemp("guard")
    # A copy: commands write into it.
    shutil.copytree(small_mouse.folder, folder / "shards")
    sets = ("model.feed_forward=dendritic", "model.d_model=16", "model.layers=1")
    for seed, name in enumerate(("a", "b")):
        write_run(folder / "runs" / name, small_mouse, sets=(*sets, f"seed={seed}"))
    (folder / "recordings").mkdir()
    (folder / "checkpoint").mkdir()
    (folder / "binary").write_bytes(bytes(range(256)))
    return folder


@pytest.fixture
def home(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def test_every_command_is_tried():
    assert set(COMMANDS) == set(TARGETS)


@pytest.mark.parametrize(("command", "flag"), list_parameters({int, float}))
def test_a_number_that_no_option_means_is_wrong_usage(home, command, flag):
    for value in (10**30, -(10**30), "nan", "inf", "1e300"):
        arguments = put(command, flag, value) if flag else (str(value),)
        result = run(command, *arguments)
        assert result.exit_code == 2, (arguments, result.stderr)


@pytest.mark.parametrize(
    ("command", "flag"), [one for one in list_parameters({int}) if one[1] == "--seed"]
)
def test_a_negative_seed_is_wrong_usage(home, command, flag):
    assert run(command, *put(command, flag, -1)).exit_code == 2


@pytest.mark.parametrize(("command", "flag"), list_parameters({Path}))
def test_a_path_that_cannot_be_used_ends_in_a_sentence(home, command, flag):
    paths = ["binary/below", "binary", "a" * 300]
    # These take any folder for their results, and would work long.
    if (command, flag) not in {(name, "--out") for name in ("probe", "mei", "sweep")}:
        paths.append(".")
    for path in paths:
        run(command, *put(command, flag, path))


@pytest.mark.parametrize(("command", "flag"), list_parameters({str}))
def test_a_text_that_means_nothing_ends_in_a_sentence(home, command, flag):
    # An empty text is none for some options, and the command would work.
    texts = [] if command in LONG else [""]
    for text in (*texts, "a" * 300, "../[bold]\x1b[31m,=1/0"):
        # A name may be anything, and results are stored under it after the work.
        if flag != "--name":
            run(command, *put(command, flag, text))


def test_a_sweep_without_sizes_is_refused(home):
    result = run("sweep", *put("sweep", "--models", ""))
    assert result.stderr.endswith(
        "error: --models names no size\n\nhint: for example --models nano,tiny\n"
    )


def _is_refused(path, home):
    return isinstance(path, str | os.PathLike) and Path(os.fspath(path)).absolute().is_relative_to(
        home
    )


def refuse(monkeypatch, home, kind):
    """Make the system refuse to read, to write or to list files below a folder."""

    def guard(module, name, applies):
        real = getattr(module, name)

        def call(path=".", *arguments, **options):
            if _is_refused(path, home) and applies(*arguments, **options):
                raise PermissionError(13, "Permission denied", os.fspath(path))
            return real(path, *arguments, **options)

        monkeypatch.setattr(module, name, call)

    def is_kind(mode="r", *_arguments, **_options):
        return ("w" if set(str(mode)) & set("wxa+") else "r") == kind[0]

    def is_new(flags=0, *_arguments, **_options):
        return bool(flags & os.O_CREAT)

    if kind == "list":
        guard(os, "listdir", lambda *_: True)
        guard(os, "scandir", lambda *_: True)
        return
    guard(io, "open", is_kind)
    guard(builtins, "open", is_kind)
    if kind == "write":
        guard(os, "open", is_new)
        guard(os, "mkdir", lambda *_, **__: True)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["read", "write", "list"])
def test_what_the_file_system_refuses_ends_in_a_sentence(home, monkeypatch, command, kind):
    refuse(monkeypatch, home, kind)
    # These compute for long before they write, and list no folders but those of their libraries.
    skipped = {"read": (), "write": ("probe", "mei"), "list": (*LONG, "dendrites surfaces")}
    if command not in skipped[kind]:
        run(command, *COMMANDS[command])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("unable to open file"), "unable to open file"),
        (IsADirectoryError(21, "Is a directory", "runs"), "runs: Is a directory"),
        (MemoryError(), "there is not enough memory"),
        (MemoryError("Unable to allocate 7 PiB"), "there is not enough memory: Unable to"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "not text in UTF-8"),
    ],
)
def test_errors_of_the_system_become_sentences(error, message):
    with pytest.raises(OmniMouseError, match=message), explain_file_errors():
        raise error


def shell(line, **options):
    line = line.replace("omnimouse", f"{sys.executable} -m omnimouse_cli")
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, **options
    )


@pytest.mark.training
@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("omnimouse regimes > /dev/full", 1, "could not be written to stdout: No space left"),
        ("omnimouse regimes --json > /dev/full", 1, "could not be written to stdout: No space"),
        ("omnimouse --version > /dev/full", 1, "could not be written to stdout: No space left"),
        ("omnimouse regimes --help > /dev/full", 1, "could not be written to stdout: No space"),
        ("omnimouse regimes >&-", 1, "could not be written to stdout: Bad file descriptor"),
        ("omnimouse regimes --use x 2>&-", 2, ""),
        ("omnimouse inspect nowhere 2>&-", 1, ""),
        ("omnimouse inspect nowhere 2> /dev/full", 1, ""),
        ("omnimouse inspect nowhere 0<&- >&- 2>&-", 1, ""),
        ("omnimouse regimes --json | head -n 1 > /dev/null; exit ${PIPESTATUS[0]}", 0, ""),
        ("omnimouse regimes --json | true; exit ${PIPESTATUS[0]}", 0, ""),
    ],
)
def test_streams_that_are_full_closed_or_not_read_are_no_traceback(line, code, message):
    done = shell(line)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert message in done.stderr
    if not message:
        assert done.stderr == ""


class Gone(io.StringIO):
    """A stream whose reader has ended."""

    def write(self, *_):
        raise BrokenPipeError(32, "Broken pipe")

    flush = write


def test_messages_that_nobody_reads_stop_no_work(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Gone())
    with reporter() as talk:
        talk.say("step 1")
        talk.warn("slow")
    monkeypatch.setattr(sys, "stderr", None)
    with reporter() as talk:
        talk.warn("slow")
    assert TolerantStream(None).write("text") == 4


@pytest.mark.training
def test_a_training_whose_messages_are_not_read_goes_on_to_its_end(home):
    words = " ".join(COMMANDS["train"])
    done = shell(
        f"omnimouse train shards {words} --out runs/piped 2>&1 | true; exit ${{PIPESTATUS[0]}}"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (home / "runs" / "piped" / "summary.json").is_file()


def test_only_the_console_writes_to_stdout():
    folder = Path(omnimouse_cli.cli.__file__).parent
    writers = {path.name for path in folder.glob("*.py") if "sys.stdout.write" in path.read_text()}
    assert writers == {"console.py"}
