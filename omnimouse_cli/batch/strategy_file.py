"""Strategies of the user's own, from TOML files."""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from omnimouse_cli.batch.strategy import Family, Strategy
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.text import suggest_name

_RANGES = ("prefix", "context", "targets", "video")
_COUNTS = ("num_visible", "full_population_prefix", "num_targets")
_HINT = (
    'a strategy reads: [[strategy]] name = "past" prefix = [0, 25] context = [0, 60] '
    'targets = [30, 60] behavior = "absent"; a range that is left out is hidden or not asked'
)


def strategies_of(path: Path) -> tuple[Strategy, ...]:
    """Read the strategies of a TOML file: one `[[strategy]]` table each.

    Keys are the fields of `Strategy`; ranges are pairs of numbers. `family` may be left out, and
    is then concluded from what is seen and asked.

    Raises:
        ConfigError: The file cannot be read, or a strategy breaks a rule; which one is said.
    """
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the strategy file {path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}", hint=_HINT) from error
    tables = content.pop("strategy", None)
    if content:
        raise ConfigError(f"{path}: unknown key `{next(iter(content))}`", hint=_HINT)
    if not isinstance(tables, list) or not tables:
        raise ConfigError(f"{path} has no [[strategy]] table", hint=_HINT)
    strategies = tuple(_strategy(path, table) for table in tables)
    names = [strategy.name for strategy in strategies]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ConfigError(f"{path}: two strategies are named {repeated}")
    return strategies


def _strategy(path: Path, table: object) -> Strategy:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: a strategy is a table: {table!r}", hint=_HINT)
    known = [field.name for field in fields(Strategy)]
    for key in table:
        if key not in known:
            raise ConfigError(f"{path}: unknown key `{key}`", hint=suggest_name(key, known))
    if not isinstance(table.get("name"), str):
        raise ConfigError(f"{path}: a strategy needs a `name`", hint=_HINT)
    values = {key: _value(path, table["name"], key, value) for key, value in table.items()}
    values.setdefault("targets", None)
    if "prefix" not in values:
        values.setdefault("num_visible", 0)
    values.setdefault("family", _family(values))
    try:
        return Strategy(**values)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}", hint=_HINT) from error


def _value(path: Path, name: str, key: str, value: object) -> Any:  # noqa: ANN401 - of any field
    if key in _RANGES:
        if not (isinstance(value, list) and len(value) == 2 and all(map(_is_count, value))):
            raise ConfigError(
                f"{path}: strategy {name}: `{key}` must be a pair of whole numbers: {value}"
            )
        return (value[0], value[1])
    if key in _COUNTS and not _is_count(value):
        raise ConfigError(f"{path}: strategy {name}: `{key}` must be a whole number: {value}")
    if key == "literal_counts" and not isinstance(value, bool):
        raise ConfigError(f"{path}: strategy {name}: `{key}` must be true or false: {value}")
    if key in ("family", "behavior") and not isinstance(value, str):
        raise ConfigError(f"{path}: strategy {name}: `{key}` must be a word: {value}")
    return value


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _family(values: Mapping[str, Any]) -> Family:
    prefix, targets = values.get("prefix"), values.get("targets")
    if targets is None:
        return "decode"
    if prefix is None:
        return "predict"
    return "forecast" if prefix[1] <= targets[0] else "population"
