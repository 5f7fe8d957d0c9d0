"""The configuration of a run from a size's name, a TOML file and `--set section.key=value`."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omnimouse_cli.config.convert import OFF, from_dict, to_dict
from omnimouse_cli.config.presets import default_run_config
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.text import suggest_name

# Sections of the model that may be written without the word `model` before them.
MODEL_SECTIONS = ("latents", "video", "decoder", "dendrite")
DEFAULT_SIZE = "nano"


def load_config(
    path: Path | None = None,
    sets: Sequence[str] = (),
    size: str | None = None,
    start: RunConfig | None = None,
) -> RunConfig:
    """Resolve a run's configuration: size, then file, then `--set`; the last word wins.

    Args:
        path: TOML file with any of the sections `data`, `model`, `masking`, `train`.
        sets: Texts `section.key=value`; the value is read as TOML, or as text if it is none.
        size: Name of a model size; by default the file's `model.size`, else that of `start`.
        start: Where everything comes from that nobody names, unless another size is asked for;
            None takes what the size starts from, by default nano.

    Raises:
        ConfigError: Unknown key, size or value; the message names the nearest known one.
    """
    values = _values(path, sets)
    model = values.setdefault("model", {})
    if not isinstance(model, dict):
        raise ConfigError(f"`model` is a section, not a value: {model!r}")
    for section in MODEL_SECTIONS:
        if isinstance(values.get(section), dict):
            _merge(model.setdefault(section, {}), values.pop(section))
    name = size or model.get("size", DEFAULT_SIZE if start is None else start.model.size)
    if name not in SIZES:
        raise ConfigError(f"there is no model size {name!r}", hint=suggest_name(str(name), SIZES))
    model["size"] = name
    if start is None or name != start.model.size:
        start = default_run_config(name)
    return from_dict(RunConfig, values, start)


def adapted_run(path: Path | None = None, sets: Sequence[str] = ()) -> Path | None:
    """Give the run that a configuration adapts, before the rest of it is resolved."""
    train = _values(path, sets).get("train")
    name = train.get("adapt_from", OFF) if isinstance(train, dict) else OFF
    return None if name == OFF else Path(str(name))


def to_toml(config: RunConfig) -> str:
    """Write the complete configuration as TOML; `load_config` reads the same one from it."""
    lines: list[str] = []
    _write_section(to_dict(config), "", lines)
    return "\n".join(lines).strip() + "\n"


def _values(path: Path | None, sets: Sequence[str]) -> dict[str, Any]:
    values = _read_toml(path) if path else {}
    for text in sets:
        _merge(values, _parse_set(text))
    return values


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"the configuration file {path} does not exist") from error
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
