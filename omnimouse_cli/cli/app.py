"""The `omnimouse` command: its sub-commands, and how errors and interruptions end it."""

import functools
import gc
import importlib
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from omnimouse_cli.cli.console import print_error, print_line
from omnimouse_cli.errors import OmniMouseError

# The function behind each command. Its module is imported only when it is asked for by name, or
# all of them are listed: a short command should not wait for the modules of the others.
_COMMANDS = {
    "simulate": "simulate.command_simulate",
    "preprocess": "preprocess.command_preprocess",
    "inspect": "inspect.command_inspect",
    "train": "train.command_train",
    "sweep": "sweep.command_sweep",
    "eval": "eval.command_eval",
    "scaling-report": "scaling_report.command_scaling_report",
    "import-weights": "import_weights.command_import_weights",
    "export-weights": "export_weights.command_export_weights",
    "regimes": "regimes.command_regimes",
    "doctor": "doctor.command_doctor",
}
_DENDRITES = {
    "surfaces": "dendrites.command_surfaces",
    "compare": "dendrites_compare.command_compare",
}

_GARBAGE_THRESHOLDS = (10_000, 20, 20)


def _print_version(value: bool) -> None:  # noqa: FBT001 - Typer calls it so
    if value:
        import importlib.metadata

        print_line(f"omnimouse {importlib.metadata.version('omnimouse')}")
        raise typer.Exit


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


def program(wanted: str | None = None) -> typer.Typer:
    """Build the program.

    Args:
        wanted: The only command that is needed; None, or what is no command, gives all of them.
    """
    groups = {"dendrites": _dendrites, "bench": _bench}
    if wanted not in (*_COMMANDS, *groups):
        wanted = None
    made = typer.Typer(
        name="omnimouse",
        help="Brain models at the scale of whole data sets: recordings to shards, training, "
        "scores.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    made.callback()(_root)
    for name, place in _COMMANDS.items():
        if wanted in (None, name):
            made.command(name)(_function(place))
    for name, group in groups.items():
        if wanted in (None, name):
            made.add_typer(group(), name=name)
    return made


def _function(place: str) -> Callable[..., None]:
    module, _, name = place.partition(".")
    return _guarded(getattr(importlib.import_module(f"omnimouse_cli.cli.{module}"), name))


def _dendrites() -> typer.Typer:
    from omnimouse_cli.cli.dendrites import RunOrCommand

    group = typer.Typer(
        cls=RunOrCommand,
        help="What learned units do: omnimouse dendrites RUN, and how they compare with others.",
    )
    for name, place in _DENDRITES.items():
        group.command(name)(_function(place))
    return group


def _bench() -> typer.Typer:
    group = typer.Typer(help="Measure what this machine can do.", no_args_is_help=True)
    group.command("loader")(_function("bench.command_bench_loader"))
    return group


def __getattr__(name: str) -> typer.Typer:
    """Give the whole program as `app` to whoever asks for it."""
    if name == "app":
        return program()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Run the command line; exit 0 done, 1 unusable input, 2 wrong usage, 130 interrupted."""
    # Modules are made of many objects, of which none can go: looking for garbage among them is a
    # twelfth of the start of a short command.
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    try:
        program(sys.argv[1] if len(sys.argv) > 1 else None)()
    finally:
        # All memory goes back to the system at once; there is no use in first looking through it.
        # But torch's Triton does, and lists on stderr what was not taken down.
        if "torch" not in sys.modules:
            gc.freeze()
