"""The `omnimouse` command: its sub-commands, and how errors and interruptions end it."""

import functools
import gc
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from omnimouse_cli.cli.bench import command_bench_loader
from omnimouse_cli.cli.console import print_error, print_line
from omnimouse_cli.cli.dendrites import DEFAULT_COMMAND, RunOrCommand, command_surfaces
from omnimouse_cli.cli.dendrites_compare import command_compare
from omnimouse_cli.cli.doctor import command_doctor
from omnimouse_cli.cli.eval import command_eval
from omnimouse_cli.cli.export_weights import command_export_weights
from omnimouse_cli.cli.import_weights import command_import_weights
from omnimouse_cli.cli.inspect import command_inspect
from omnimouse_cli.cli.preprocess import command_preprocess
from omnimouse_cli.cli.regimes import command_regimes
from omnimouse_cli.cli.scaling_report import command_scaling_report
from omnimouse_cli.cli.simulate import command_simulate
from omnimouse_cli.cli.sweep import command_sweep
from omnimouse_cli.cli.train import command_train
from omnimouse_cli.errors import OmniMouseError

app = typer.Typer(
    name="omnimouse",
    help="Brain models at the scale of whole data sets: recordings to shards, training, scores.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(value: bool) -> None:  # noqa: FBT001 - Typer calls it so
    if value:
        import importlib.metadata

        print_line(f"omnimouse {importlib.metadata.version('omnimouse')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    """Hold the options of the program itself."""


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """End a command as the contract says: 1 for unusable input, 130 when interrupted."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:  # noqa: ANN401 - whatever Typer parsed
        try:
            command(*arguments, **options)
        except OmniMouseError as error:
            print_error(error)
            sys.exit(1)
        except KeyboardInterrupt as interruption:
            kept = str(interruption) or "what was finished is kept; the same command goes on there"
            sys.stderr.write(f"interrupted: {kept}\n")
            sys.exit(130)
        except BrokenPipeError:
            # The reader of our output (head, less) has seen enough.
            sys.stderr.close()
            sys.exit(0)

    return run


_COMMANDS: dict[str, Callable[..., None]] = {
    "simulate": command_simulate,
    "preprocess": command_preprocess,
    "inspect": command_inspect,
    "train": command_train,
    "sweep": command_sweep,
    "eval": command_eval,
    "scaling-report": command_scaling_report,
    "import-weights": command_import_weights,
    "export-weights": command_export_weights,
    "regimes": command_regimes,
    "doctor": command_doctor,
}

_DENDRITES: dict[str, Callable[..., None]] = {
    DEFAULT_COMMAND: command_surfaces,
    "compare": command_compare,
}

for _name, _command in _COMMANDS.items():
    app.command(_name)(_guarded(_command))

_dendrites = typer.Typer(
    cls=RunOrCommand,
    help="What learned units do: omnimouse dendrites RUN, and how they compare with others.",
)
for _name, _command in _DENDRITES.items():
    _dendrites.command(_name)(_guarded(_command))
app.add_typer(_dendrites, name="dendrites")

_bench = typer.Typer(help="Measure what this machine can do.", no_args_is_help=True)
_bench.command("loader")(_guarded(command_bench_loader))
app.add_typer(_bench, name="bench")


def main() -> None:
    """Run the command line; exit 0 done, 1 unusable input, 2 wrong usage, 130 interrupted."""
    try:
        app()
    finally:
        # All memory goes back to the system at once; there is no use in first looking through it.
        gc.freeze()
