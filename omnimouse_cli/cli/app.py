"""The `omnimouse` command: its sub-commands, and how errors and interruptions end it."""

import functools
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from omnimouse_cli.cli.completion import add_completions
from omnimouse_cli.cli.console import print_error, print_line, report_interruption, reporter
from omnimouse_cli.cli.streams import prepare_streams, write_results
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import explain_file_errors
from omnimouse_cli.training.interrupt import raise_on_signals

# Name of each command and its function, as "module.function" in this package. Only the module of
# the command that runs is imported, so that a short command starts fast; `--help` imports all.
_COMMANDS = {
    "simulate": "simulate.command_simulate",
    "preprocess": "preprocess.command_preprocess",
    "inspect": "inspect.command_inspect",
    "train": "train.command_train",
    "sweep": "sweep.command_sweep",
    "eval": "eval.command_eval",
    "runs": "runs.command_runs",
    "compare": "compare.command_compare",
    "curves": "curves.command_curves",
    "report": "report.command_report",
    "predict": "predict.command_predict",
    "mei": "mei.command_mei",
    "probe": "probe.command_probe",
    "scaling-report": "scaling_report.command_scaling_report",
    "import-weights": "import_weights.command_import_weights",
    "export-weights": "export_weights.command_export_weights",
    "export-embeddings": "export_embeddings.command_export_embeddings",
    "regimes": "regimes.command_regimes",
    "doctor": "doctor.command_doctor",
}
_DENDRITES = {
    "surfaces": "dendrites.command_surfaces",
    "compare": "dendrites_compare.command_compare",
}
# Parameters of commands that name runs or folders of runs.
_RUNS = ("run", "runs", "init_from", "adapt_from", "validate")
# The largest number of an option: seeds have 63 bits.
LARGEST = 2**63 - 1


def _print_version(value: bool) -> None:  # noqa: FBT001 - Typer calls it so
    if value:
        import importlib.metadata

        print_line(f"omnimouse {importlib.metadata.version('omnimouse')}")
        raise typer.Exit


def _program_options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    """Declare the options of the program itself."""


def _with_exit_codes(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command: it exits with 1 for unusable input, with 128 + number after a signal."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:  # noqa: ANN401 - whatever Typer parsed
        for name, value in options.items():
            _require_number(name, value)
        try:
            with raise_on_signals(), explain_file_errors():
                command(*arguments, **(options | _find_runs(options)))
        except OmniMouseError as error:
            print_error(error)
            sys.exit(1)
        except KeyboardInterrupt as stop:
            sys.exit(report_interruption(stop))

    return run


def _find_runs(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the runs among the options of a command: a name in the runs folder becomes a path."""
    named = {name: options[name] for name in _RUNS if options.get(name)}
    if not named:
        return {}
    from omnimouse_cli.api.folders import find_run

    with reporter(quiet=bool(options.get("quiet"))) as progress:
        return {
            name: [find_run(path, progress) for path in value]
            if isinstance(value, list)
            else find_run(value, progress)
            for name, value in named.items()
        }


def _require_number(name: str, value: object) -> None:
    """Refuse numbers that no option means and that libraries fail on: NaN, 10**30.

    Raises:
        BadParameter: The value of the option is such a number.
    """
    if isinstance(value, int | float) and not abs(value) <= LARGEST:
        option = f"--{name.replace('_', '-')}"
        raise typer.BadParameter(f"it must be a number below 2**63: {value}", param_hint=option)


def program(only: str | None = None) -> typer.Typer:
    """Build the program.

    Args:
        only: The one command to add; None or an unknown name adds all commands.
    """
    groups = {"dendrites": _dendrites, "bench": _bench}
    if only not in (*_COMMANDS, *groups):
        only = None
    application = typer.Typer(
        name="omnimouse",
        help="Brain models at the scale of whole data sets: recordings to shards, training, "
        "scores.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    application.callback()(_program_options)
    for name, target in _COMMANDS.items():
        if only in (None, name):
            application.command(name)(_load_command(target))
    for name, group in groups.items():
        if only in (None, name):
            application.add_typer(group(), name=name)
    return application


def _load_command(target: str) -> Callable[..., None]:
    module, _, name = target.partition(".")
    command = getattr(importlib.import_module(f"omnimouse_cli.cli.{module}"), name)
    add_completions(command)
    return _with_exit_codes(command)


def _dendrites() -> typer.Typer:
    from omnimouse_cli.cli.dendrites import RunOrCommand

    group = typer.Typer(
        cls=RunOrCommand,
        help="What learned units compute: omnimouse dendrites RUN; and how activations compare.",
    )
    for name, target in _DENDRITES.items():
        group.command(name)(_load_command(target))
    return group


def _bench() -> typer.Typer:
    group = typer.Typer(help="Measure what this machine can do.", no_args_is_help=True)
    group.command("loader")(_load_command("bench.command_bench_loader"))
    return group


def __getattr__(name: str) -> typer.Typer:
    """Build the whole program when `app` is imported."""
    if name == "app":
        return program()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 1 unusable input, 2 usage, 130 Ctrl-C, 143 SIGTERM, 138 SIGUSR1.
    """
    prepare_streams()
    # Of a shell that completes a line, the words of the line.
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS")
    words = sys.argv if line is None else line.split()
    application = program(words[1] if len(words) > 1 else None)
    try:
        # Typer itself prints help.
        with write_results():
            application()
    except OmniMouseError as error:
        print_error(error)
        sys.exit(1)
