"""What a shard says about itself beside its tensors, as data and as JSON."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast, get_args

from omnimouse_cli.files import to_json_value
from omnimouse_cli.recording.recording import Clock, ResponseKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """What storing the responses in fewer bits has cost, in standard deviations of each neuron.

    Args:
        rms_relative: Root mean square of the error, over neurons and finite rows.
        max_relative: Largest error of any value.
    """

    rms_relative: float
    max_relative: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesDescription:
    """The tensor `responses`: its clock, its columns, its rounding error."""

    clock: Clock
    num_neurons: int
    rounding: Rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenDescription:
    """Size of the stored frames, and of the frames of the recording that they were made from."""

    frame_height: int
    frame_width: int
    source_height: int
    source_width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BehaviorDescription:
    """One behavior device; `mean` and `std` (never 0) per channel on the statistics tier."""

    name: str
    clock: Clock
    channels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse statistics that cannot be divided by."""
        if not len(self.channels) == len(self.mean) == len(self.std):
            raise ValueError(f"`behavior` {self.name}: as many means and stds as channels")
        if not all(std > 0 for std in self.std):
            raise ValueError(f"`behavior` {self.name}: `std` must be positive: {self.std}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDescription:
    """Where a shard comes from; the fingerprint changes with the files and the options."""

    path: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardDescription:
    """Everything about a session that is not an array.

    Args:
        session: Session key.
        animal: Animal key.
        origin_seconds: Absolute time (Unix epoch) of second 0 of all clocks.
        response_kind: What the responses are.
        native_rate_hz: Scan rate before the export resampled it, where known.
        statistics_tier: The tier that means and standard deviations were computed on; `all` where
            the recording has no train tier.
        responses: The responses.
        screen: The screen, None without one.
        behavior: The behavior devices.
        tiers: Names that `trials.tier` counts in.
        kinds: Names that `trials.kind` counts in.
        conditions: Names that `trials.condition` counts in.
        checksums: `algorithm:hex` of the bytes of every tensor.
        source: The recording.
        notes: What was repaired or left out, each a sentence.
    """

    session: str
    animal: str
    origin_seconds: float
    response_kind: ResponseKind
    native_rate_hz: float | None
    statistics_tier: str
    responses: ResponsesDescription
    screen: ScreenDescription | None
    behavior: tuple[BehaviorDescription, ...]
    tiers: tuple[str, ...]
    kinds: tuple[str, ...]
    conditions: tuple[str, ...]
    checksums: Mapping[str, str]
    source: SourceDescription
    notes: tuple[str, ...]

    @property
    def modalities(self) -> tuple[str, ...]:
        """`responses`, `screen` if there is one, and the behavior devices."""
        screen = () if self.screen is None else ("screen",)
        return ("responses", *screen, *(device.name for device in self.behavior))


def to_json(description: ShardDescription) -> str:
    """Give the JSON text of a description; the same description gives the same text."""
    return json.dumps(to_json_value(asdict(description)), separators=(",", ":"), allow_nan=False)


def from_json(text: str) -> ShardDescription:
    """Read what `to_json` wrote; fields that are not known are ignored.

    Raises:
        ValueError: A field is missing or has the wrong type; the text names it.
    """
    return _shard(_Fields(json.loads(text), "description"))


class _Fields:
    """A JSON object whose fields are taken by name and type, or refused by name."""

    def __init__(self, content: object, name: str) -> None:
        if not isinstance(content, dict):
            raise ValueError(f"`{name}` must be an object: {type(content).__name__}")
        self._content = cast("dict[str, Any]", content)
        self._name = name

    def get(self, key: str) -> object:
        """The field as it is."""
        if key not in self._content:
            raise ValueError(f"`{self._name}` lacks `{key}`")
        return self._content[key]

    def text(self, key: str) -> str:
        """A text field."""
        return _text(self.get(key), f"{self._name}.{key}")

    def number(self, key: str) -> float:
        """A number."""
        return _number(self.get(key), f"{self._name}.{key}")

    def count(self, key: str) -> int:
        """A whole number of things."""
        value = self.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"`{self._name}.{key}` must be a whole number: {value!r}")
        return value

    def optional_number(self, key: str) -> float | None:
        """A number or null."""
        return None if self.get(key) is None else self.number(key)

    def fields(self, key: str) -> "_Fields":
        """An object."""
        return _Fields(self.get(key), f"{self._name}.{key}")

    def items(self, key: str) -> list[object]:
        """A list."""
        value = self.get(key)
        if not isinstance(value, list):
            raise ValueError(f"`{self._name}.{key}` must be a list: {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        items = self.items(key)
        # A corpus has a million conditions: their types are looked at all at once.
        if set(map(type, items)) <= {str}:
            return tuple(cast("list[str]", items))
        return tuple(_text(item, f"{self._name}.{key}") for item in items)

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of numbers."""
        return tuple(_number(item, f"{self._name}.{key}") for item in self.items(key))

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """One of some words."""
        value = self.text(key)
        if value not in allowed:
            raise ValueError(f"`{self._name}.{key}` must be one of {', '.join(allowed)}: {value}")
        return value

    def mapping(self, key: str, read: Callable[[object, str], str]) -> dict[str, str]:
        """An object with any keys."""
        inner = self.fields(key)
        return {name: read(value, f"{inner._name}.{name}") for name, value in inner._pairs()}

    def _pairs(self) -> list[tuple[str, object]]:
        return list(self._content.items())


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"`{name}` must be text: {value!r}")
    return value


def _number(value: object, name: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"`{name}` must be a number: {value!r}")
    return float(value)


def _shard(fields: _Fields) -> ShardDescription:
    kind = fields.choice("response_kind", get_args(ResponseKind))
    return ShardDescription(
        session=fields.text("session"),
        animal=fields.text("animal"),
        origin_seconds=fields.number("origin_seconds"),
        response_kind=cast("ResponseKind", kind),
        native_rate_hz=fields.optional_number("native_rate_hz"),
        statistics_tier=fields.text("statistics_tier"),
        responses=_responses(fields.fields("responses")),
        screen=None if fields.get("screen") is None else _screen(fields.fields("screen")),
        behavior=tuple(_behavior(_Fields(item, "behavior")) for item in fields.items("behavior")),
        tiers=fields.texts("tiers"),
        kinds=fields.texts("kinds"),
        conditions=fields.texts("conditions"),
        checksums=fields.mapping("checksums", _text),
        source=_source(fields.fields("source")),
        notes=fields.texts("notes"),
    )


def _clock(fields: _Fields) -> Clock:
    return Clock(
        start_seconds=fields.number("start_seconds"),
        rate_hz=fields.number("rate_hz"),
        num_samples=fields.count("num_samples"),
    )


def _responses(fields: _Fields) -> ResponsesDescription:
    rounding = fields.fields("rounding")
    return ResponsesDescription(
        clock=_clock(fields.fields("clock")),
        num_neurons=fields.count("num_neurons"),
        rounding=Rounding(
            rms_relative=rounding.number("rms_relative"),
            max_relative=rounding.number("max_relative"),
        ),
    )


def _screen(fields: _Fields) -> ScreenDescription:
    return ScreenDescription(
        frame_height=fields.count("frame_height"),
        frame_width=fields.count("frame_width"),
        source_height=fields.count("source_height"),
        source_width=fields.count("source_width"),
    )


def _behavior(fields: _Fields) -> BehaviorDescription:
    return BehaviorDescription(
        name=fields.text("name"),
        clock=_clock(fields.fields("clock")),
        channels=fields.texts("channels"),
        mean=fields.numbers("mean"),
        std=fields.numbers("std"),
    )


def _source(fields: _Fields) -> SourceDescription:
    return SourceDescription(path=fields.text("path"), fingerprint=fields.text("fingerprint"))
