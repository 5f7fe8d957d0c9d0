"""Shell completion of values: models, strategies, tiers, sessions, runs, configuration keys.

Every function here is called on a press of the Tab key: it imports no NumPy and fails silently.
"""

import functools
import json
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from typer.models import ParameterInfo

Complete = Callable[[typer.Context, str], list[str]]
# The usual tiers, before those of the shards at hand.
TIERS = ("train", "validation", "test", "oracle")
# `shard.catalogue.CATALOGUE_NAME`, whose module imports NumPy.
_CATALOGUE = "catalogue.json"


def _completion(values: Callable[[typer.Context, str], Iterable[str]]) -> Complete:
    """Return a function for Typer: the values that begin as what is typed; none after an error."""

    @functools.wraps(values)
    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            found = dict.fromkeys(values(ctx, incomplete))
        except Exception:  # whatever it is, the user is at a prompt and wants no error there
            return []
        return [value for value in found if value.startswith(incomplete)]

    return complete


def in_list(complete: Complete) -> Complete:
    """Return the completion of the last word of a list with commas."""

    def complete_last(ctx: typer.Context, incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{value}" for value in complete(ctx, last)]

    return complete_last


@_completion
def complete_models(ctx: typer.Context, incomplete: str) -> Iterable[str]:  # noqa: ARG001 - the signature of completions
    """Return the names of model sizes."""
    from omnimouse_cli.config.sizes import MODELS

    return MODELS


@_completion
def complete_devices(ctx: typer.Context, incomplete: str) -> Iterable[str]:  # noqa: ARG001
    """Return the kinds of devices."""
    return ("auto", "cpu", "cuda")


@_completion
def complete_regimes(ctx: typer.Context, incomplete: str) -> Iterator[str]:  # noqa: ARG001
    """Return regimes, masking strategies of `eval`, and TOML files."""
    from omnimouse_cli.batch.strategies import REGIMES, TEST_STRATEGIES, regime_strategies

    yield from (*REGIMES, "all")
    scored = regime_strategies("all", population=4096, stimulus=True, behavior=True)
    yield from (strategy.name for strategy in (*scored, *TEST_STRATEGIES))
    yield from map(str, Path().glob("*.toml"))


@_completion
def complete_tiers(ctx: typer.Context, incomplete: str) -> Iterator[str]:  # noqa: ARG001
    """Return the usual tiers, and those of the shards."""
    yield from TIERS
    for session in _read_catalogue(ctx):
        yield from session["tiers"]


@_completion
def complete_sessions(ctx: typer.Context, incomplete: str) -> Iterable[str]:  # noqa: ARG001
    """Return the session keys of the shards."""
    return [session["session"] for session in _read_catalogue(ctx)]


@_completion
def complete_animals(ctx: typer.Context, incomplete: str) -> Iterable[str]:  # noqa: ARG001
    """Return the animal keys of the shards."""
    return [session["animal"] for session in _read_catalogue(ctx)]


@_completion
def complete_runs(ctx: typer.Context, incomplete: str) -> Iterable[str]:  # noqa: ARG001
    """Return the runs of the runs folder, the newest first, or else folders."""
    from omnimouse_cli.api.folders import all_runs

    runs = [str(run) for run in reversed(all_runs()) if str(run).startswith(incomplete)]
    if runs:
        return runs
    parent = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    return [str(path) for path in sorted(parent.iterdir()) if path.is_dir()]


@_completion
def complete_keys(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """Return the keys of the configuration, each with an equals sign."""
    from omnimouse_cli.config.convert import to_dict
    from omnimouse_cli.config.sizes import default_run_config

    size = ctx.params.get("model") or "nano"
    yield from _flatten(to_dict(default_run_config(size)))
    if "=" in incomplete:
        yield incomplete


@_completion
def complete_trackers(ctx: typer.Context, incomplete: str) -> Iterable[str]:  # noqa: ARG001
    """Return the names of experiment trackers."""
    from omnimouse_cli.training.trackers import NONE, TRACKERS

    return (*TRACKERS, NONE)


# By the names of parameters of commands.
_COMPLETIONS: dict[str, Complete] = {
    **dict.fromkeys(("run", "runs", "init_from", "adapt_from", "validate"), complete_runs),
    "model": complete_models,
    "models": in_list(complete_models),
    "overrides": complete_keys,
    "device": complete_devices,
    "regime": complete_regimes,
    "tier": complete_tiers,
    "session": complete_sessions,
    "animal": complete_animals,
    "track": in_list(complete_trackers),
}


def add_completions(command: Callable[..., None]) -> None:
    """Let the shell complete the parameters of a command whose names are known."""
    for name, hint in typing.get_type_hints(command, include_extras=True).items():
        for info in getattr(hint, "__metadata__", ()):
            if isinstance(info, ParameterInfo) and name in _COMPLETIONS:
                info.autocompletion = _COMPLETIONS[name]


def _flatten(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{above}{key}.")
        else:
            yield f"{above}{key}="


def _read_catalogue(ctx: typer.Context) -> list[dict[str, Any]]:
    """Return the sessions of the shards that the command names, or of the default folder."""
    from omnimouse_cli.api.folders import default_shards

    given = [ctx.params.get(name) for name in ("shards", "path", "paths")]
    named = [Path(str(path)) for value in given if value for path in _as_list(value)]
    for folder in (*named, default_shards()):
        path = folder / _CATALOGUE
        if path.is_file():
            sessions: list[dict[str, Any]] = json.loads(path.read_text())["sessions"]
            return sessions
    return []


def _as_list(value: Any) -> list[Any]:  # noqa: ANN401 - a path or several, as Typer parsed it
    return list(value) if isinstance(value, list | tuple) else [value]
