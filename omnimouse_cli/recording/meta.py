"""Fields of YAML and JSON files, with errors that name file, key and value."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from omnimouse_cli.errors import RecordingError

# The pure Python loader needs minutes for the 18,000 trial files of a long session.
_YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# The C loader calls itself for each level, and a file of 100 kB could exhaust the stack.
_MAX_YAML_LEVELS = 200

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """The fields of one file, or of one trial in a file.

    Args:
        source: The path, or the path and the trial, for messages.
        values: The fields by name.
    """

    source: str
    values: Mapping[str, Any]

    def number(self, key: str) -> float:
        """Return a finite number; raise RecordingError without one."""
        return self._require(key, self.optional_number(key))

    def optional_number(self, key: str) -> float | None:
        """Return a finite number, or None where the field is absent or null."""
        value = self.values.get(key)
        if value is None:
            return None
        # YAML 1.1 parses 1.5e9 (no sign in the exponent) as a text.
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise RecordingError(
                f"{self.source}: `{key}` must be a finite number: {value!r}",
                hint="correct the file",
            )
        return number

    def count(self, key: str) -> int:
        """Return a whole number from 0 on; raise RecordingError without one."""
        return self._require(key, self.optional_count(key))

    def optional_count(self, key: str) -> int | None:
        """Return a whole number from 0 on, or None where the field is absent or null."""
        number = self.optional_number(key)
        if number is None:
            return None
        if number < 0 or number != int(number):
            raise RecordingError(
                f"{self.source}: `{key}` must be a whole number from 0 on: {self.values[key]!r}",
                hint="correct the file",
            )
        return int(number)

    def text(self, key: str) -> str:
        """Return a text; raise RecordingError where it is missing or empty."""
        return self._require(key, self.optional_text(key))

    def optional_text(self, key: str) -> str | None:
        """Return a text without surrounding space, or None where it is absent, null or empty."""
        value = self.values.get(key)
        if value is None or str(value).strip() == "":
            return None
        return str(value).strip()

    def flag(self, key: str) -> bool | None:
        """Return a truth value, or None where the field is absent or null."""
        value = self.values.get(key)
        if value is None or isinstance(value, bool):
            return value
        raise RecordingError(
            f"{self.source}: `{key}` must be true or false: {value!r}", hint="correct the file"
        )

    def _require(self, key: str, value: Value | None) -> Value:
        if value is None:
            raise RecordingError(
                f"{self.source} has no `{key}`", hint=f"add `{key}` from the recording's source"
            )
        return value


def read_yaml(path: Path) -> Meta:
    """Read the fields of a YAML file.

    Raises:
        RecordingError: The file is missing, no valid YAML, or no mapping.
    """
    try:
        content = path.read_bytes()
        _require_few_levels(path, content)
        values = yaml.load(content, Loader=_YAML_LOADER)
    except FileNotFoundError as error:
        raise RecordingError(
            f"{path} is missing", hint="every device folder of an experanto session has a meta.yml"
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RecordingError(
            f"{path} is not valid YAML: {reason}", hint="correct the file or export it again"
        ) from error
    return _to_meta(path, values)


def _require_few_levels(path: Path, content: bytes) -> None:
    """Raise RecordingError if fields lie inside fields more than 200 times."""
    # A level has one of these marks or, in a block, more space before it than the level around it.
    marks = sum(content.count(mark) for mark in (b"[", b"{", b"- ", b"? "))
    if marks + math.isqrt(2 * len(content)) <= _MAX_YAML_LEVELS:
        return
    levels = 0
    for event in yaml.parse(content, Loader=_YAML_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            levels += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            levels -= 1
        if levels > _MAX_YAML_LEVELS:
            raise _too_many_levels(path)


def _too_many_levels(path: Path) -> RecordingError:
    return RecordingError(
        f"{path} cannot be read: its fields lie inside each other in too many levels",
        hint="export the file again; the files of a session have a few levels",
    )


def read_json(path: Path) -> Meta:
    """Read the fields of a JSON file.

    Raises:
        RecordingError: The file is no valid JSON, or no object.
    """
    try:
        values = json.loads(path.read_bytes())
    except RecursionError as error:
        raise _too_many_levels(path) from error
    except ValueError as error:
        raise RecordingError(
            f"{path} is not valid JSON: {error}", hint="correct the file or export it again"
        ) from error
    return _to_meta(path, values)


def _to_meta(path: Path, values: object) -> Meta:
    if not isinstance(values, dict):
        kind = "empty" if values is None else f"a {type(values).__name__}"
        raise RecordingError(
            f"{path} must hold named fields, but it is {kind}",
            hint='write the fields as {"name": value}',
        )
    return Meta(source=str(path), values={str(key): value for key, value in values.items()})
