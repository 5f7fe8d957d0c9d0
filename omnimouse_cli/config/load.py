"""Reads a run's configuration: size, TOML file, `--set section.key=value`, stored values."""

import copy
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omnimouse_cli.config.convert import (
    OFF,
    fill_stored_defaults,
    from_dict,
    rename_keys,
    to_dict,
)
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.config.sizes import MODELS, default_run_config
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.text import suggest_name

# Sections of the model that may be written without the word `model` before them.
MODEL_SECTIONS = ("latents", "video", "decoder", "dendrite", "twin")
DEFAULT_SIZE = "nano"
_SILENT = Silent()


def load_config(
    path: Path | None = None,
    sets: Sequence[str] = (),
    size: str | None = None,
    start: RunConfig | None = None,
    *,
    is_stored: bool = False,
    reporter: Reporter = _SILENT,
) -> RunConfig:
    """Return a run's configuration: the size's defaults, then the file's values, then `--set`.

    Later values replace earlier ones.

    Args:
        path: TOML file with any of the sections `data`, `model`, `masking`, `train`.
        sets: Texts `section.key=value`; the value is parsed as TOML, else taken as text.
        size: Name of a model size; by default the file's `model.size`, else that of `start`.
        start: Configuration of all values that neither file nor `sets` give, if its size is the
            wanted one; None takes the defaults of the size (nano if none is named).
        is_stored: Whether `path` is the config.toml of a run, whose old keys nobody can change and
            which may be older than a key.
        reporter: Shows the present names of old keys that the user wrote.

    Raises:
        ConfigError: A key, size or value is unknown; the hint suggests the most similar one.
    """
    values = _read_values(path, sets, is_stored=is_stored, reporter=reporter)
    model = values["model"]
    name = size or model.get("size", DEFAULT_SIZE if start is None else start.model.size)
    if not isinstance(name, str) or name not in MODELS:
        raise ConfigError(f"there is no model size {name!r}", hint=suggest_name(str(name), MODELS))
    model["size"] = name
    if start is None or name != start.model.size:
        start = default_run_config(name)
    return from_dict(RunConfig, values, start)


def config_from_dict(values: Mapping[str, Any]) -> RunConfig:
    """Return the configuration that a run stored as nested plain values; old keys are read too.

    Keys that did not exist yet get the value that the run had without them.

    Raises:
        ConfigError: A key does not exist or a value does not fit.
    """
    stored = copy.deepcopy(dict(values))
    rename_keys(stored)
    fill_stored_defaults(stored)
    return from_dict(RunConfig, stored)


def read_adapted_run(path: Path | None = None, sets: Sequence[str] = ()) -> Path | None:
    """Return `train.adapt_from`, which decides where the rest of a configuration comes from."""
    train = _read_values(path, sets).get("train")
    name = train.get("adapt_from", OFF) if isinstance(train, dict) else OFF
    return None if name == OFF else Path(str(name))


def to_toml(config: RunConfig) -> str:
    """Return the complete configuration as TOML; `load_config` reads the same one from it."""
    lines: list[str] = []
    _write_section(to_dict(config), "", lines)
    return "\n".join(lines).strip() + "\n"


def _read_values(
    path: Path | None,
    sets: Sequence[str],
    *,
    is_stored: bool = False,
    reporter: Reporter = _SILENT,
) -> dict[str, Any]:
    """Return the values of file and `sets`, renamed, with all sections of the model inside it."""
    of_file = _read_toml(path) if path else {}
    of_sets: dict[str, Any] = {}
    for text in sets:
        _merge(of_sets, _parse_set(text))
    renamed: dict[str, str] = {}
    for values in (of_file, of_sets):
        _nest_model_sections(values)
        found = rename_keys(values)
        if values is of_sets or not is_stored:
            renamed |= found
    if is_stored:
        fill_stored_defaults(of_file)
    for old, new in renamed.items():
        reporter.warn(f"the configuration key `{old}` is now called `{new}`")
    _merge(of_file, of_sets)
    return of_file


def _nest_model_sections(values: dict[str, Any]) -> None:
    model = values.setdefault("model", {})
    if not isinstance(model, dict):
        raise ConfigError(f"`model` is a section, not a value: {model!r}")
    for section in MODEL_SECTIONS:
        if isinstance(values.get(section), dict):
            _merge(model, {section: values.pop(section)})


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"the configuration file {path} does not exist") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a TOML file: {error}") from error


def _parse_set(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f"`--set {text}` is not of the form section.key=value",
            hint="for example --set model.layers=4",
        )
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    for name in reversed(key.strip().split(".")):
        parsed = {name: parsed}
    return dict(parsed)


def _merge(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, change in changes.items():
        if isinstance(change, Mapping) and isinstance(values.get(key), dict):
            _merge(values[key], change)
        else:
            values[key] = dict(change) if isinstance(change, Mapping) else change


def _write_section(values: Mapping[str, Any], name: str, lines: list[str]) -> None:
    scalars = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    if name and scalars:
        lines.append(f"\n[{name}]")
    # A JSON text of these values is the same text in TOML.
    lines.extend(
        f"{key} = {json.dumps(OFF if value is None else value)}" for key, value in scalars.items()
    )
    for key, value in values.items():
        if isinstance(value, Mapping):
            _write_section(value, f"{name}.{key}" if name else key, lines)
