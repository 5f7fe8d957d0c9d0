"""Conversion of configuration dataclasses from and to nested plain values, with checks."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from omnimouse_cli.errors import ConfigError
from omnimouse_cli.text import suggest_name

Section = TypeVar("Section")

# TOML has no null; this word stands for "off" wherever a value may be None.
OFF = "none"

# Old keys of a run's configuration and their present names, in the same section. Old keys are read
# from TOML files, from `--set` and from stored runs.
RENAMED_KEYS = {"train.short_ways_fraction": "train.shortcuts_first_fraction"}

# Values, in the configuration of a run that was stored before a key existed, that give the run the
# windows and the model that it had.
STORED_DEFAULTS = {
    "data.require_behavior": True,
    "train.validation_windows": "all",
    "model.decoder.fitted_fields": False,
    "model.decoder.fitted_tuning": False,
    "model.decoder.motion_envelope": 0.4,
    "model.decoder.motion_transience": 0.0,
    "model.decoder.fitted_width": OFF,
    "model.decoder.shared_filters": False,
}


def to_dict(section: Any) -> dict[str, Any]:  # noqa: ANN401 - any configuration dataclass
    """Return a configuration as nested plain values; tuples become lists."""
    result: dict[str, Any] = {}
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            result[field.name] = to_dict(value)
        else:
            result[field.name] = list(value) if isinstance(value, tuple) else value
    return result


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by their dotted keys.

    Example:
        >>> flatten({"seed": 1, "model": {"video": {"start": "noise"}}})
        {'seed': 1, 'model.video.start': 'noise'}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def rename_keys(values: Mapping[str, Any]) -> dict[str, str]:
    """Replace, in place, the old keys of a run's configuration by their present names.

    Args:
        values: Nested plain values of a `RunConfig`, of which any may be absent.

    Returns:
        The old keys that were found, with their present names.

    Raises:
        ConfigError: A key is there under both names.
    """
    found = {}
    for old, new in RENAMED_KEYS.items():
        *path, old_name = old.split(".")
        section: Any = values
        for name in path:
            section = section.get(name) if isinstance(section, Mapping) else None
        if not isinstance(section, dict) or old_name not in section:
            continue
        new_name = new.rpartition(".")[2]
        if new_name in section:
            raise ConfigError(
                f"`{old}` is the old name of `{new}`, and both are set", hint=f"remove `{old}`"
            )
        section[new_name] = section.pop(old_name)
        found[old] = new
    return found


def fill_stored_defaults(values: dict[str, Any]) -> None:
    """Add, in place, the keys that a stored run lacks because it is older than they are.

    Args:
        values: Nested plain values of a `RunConfig` as a run stored them.
    """
    for key, value in STORED_DEFAULTS.items():
        *sections, name = key.split(".")
        of_section: Any = values
        for section in sections:
            of_section = (
                of_section.setdefault(section, {}) if isinstance(of_section, dict) else None
            )
        if isinstance(of_section, dict):
            of_section.setdefault(name, value)


def from_dict(
    kind: type[Section], values: Mapping[str, Any], base: Section | None = None, prefix: str = ""
) -> Section:
    """Build a configuration dataclass from nested plain values.

    Args:
        kind: The configuration dataclass.
        values: Nested values by field name.
        base: Source of the fields that `values` lacks; None takes the defaults.
        prefix: Dotted path of this section, with a dot at its end, for messages.

    Raises:
        ConfigError: A key does not exist (the hint suggests the most similar one), or a value has
            the wrong type or is out of range.
    """
    hints = typing.get_type_hints(kind)
    fields = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{prefix}{key}"
        if key not in fields:
            raise ConfigError(
                f"there is no configuration key `{path}`",
                hint=suggest_name(path, {f"{prefix}{name}" for name in fields}),
            )
        current = getattr(base, key, None)
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(value, Mapping):
                raise ConfigError(f"`{path}` is a section, not a value: {value!r}")
            changes[key] = from_dict(hints[key], value, current, f"{path}.")
        else:
            changes[key] = _convert(value, hints[key], path)
    try:
        if base is None:
            return kind(**changes)
        return dataclasses.replace(base, **changes)  # type: ignore[type-var]
    except ValueError as error:
        raise ConfigError(
            f"configuration section `{prefix.rstrip('.') or 'run'}`: {error}"
        ) from error


def _convert(value: Any, hint: Any, path: str) -> Any:  # noqa: ANN401 - as annotated in the section
    """Convert a TOML value to the type that a field is annotated with, or raise ConfigError."""
    origin = typing.get_origin(hint)
    choices = typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None or value == OFF:
            return None
        options = [item for item in choices if item is not types.NoneType]
        # A word of a `Literal` beside a number, as "auto" | int.
        words = [item for item in options if value in typing.get_args(item)]
        return _convert(value, (words or options[::-1])[0], path)
    if origin is typing.Literal:
        if value not in choices:
            raise ConfigError(
                f"`{path}` cannot be {value!r}", hint=suggest_name(str(value), map(str, choices))
            )
        return value
    if origin is tuple:
        return _convert_tuple(value, choices, path)
    return _convert_scalar(value, hint, path)


def _convert_tuple(value: Any, items: tuple[Any, ...], path: str) -> tuple[Any, ...]:  # noqa: ANN401
    if not isinstance(value, list | tuple):
        raise ConfigError(f"`{path}` must be a list: {value!r}")
    if items == (str, Ellipsis):
        # Keys of sessions may be numbers, which TOML needs no quotes for.
        value = [str(item) if type(item) is int else item for item in value]
    if items[-1] is Ellipsis:
        return tuple(_convert(item, items[0], path) for item in value)
    if len(value) != len(items):
        raise ConfigError(f"`{path}` must have {len(items)} values: {value!r}")
    return tuple(_convert(item, hint, path) for item, hint in zip(value, items, strict=True))


def _convert_scalar(value: Any, kind: type, path: str) -> Any:  # noqa: ANN401
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # bool is an int to Python, but `layers = true` is a mistake.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"`{path}` must be of type {kind.__name__}: {value!r}")
    return value
