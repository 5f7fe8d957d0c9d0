"""Description of a session in the header of its shard, as data and as JSON."""

import json
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from omnimouse_cli.files import to_json_value
from omnimouse_cli.recording.recording import Clock, ResponseKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """Rounding error of the stored responses, in standard deviations of each neuron.

    Args:
        rms_relative: Root mean square of the error, over neurons and finite rows.
        max_relative: Largest error of a value.
    """

    rms_relative: float
    max_relative: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesDescription:
    """The tensor `responses`: clock, number of columns, rounding error."""

    clock: Clock
    num_neurons: int
    rounding: Rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenDescription:
    """Size of the stored frames and of the recording's frames, in pixels."""

    frame_height: int
    frame_width: int
    source_height: int
    source_width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BehaviorDescription:
    """One behavior signal; `mean` and `std` (never 0) per channel on the statistics tier."""

    name: str
    clock: Clock
    channels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raise ValueError for statistics that cannot be divided by."""
        if not len(self.channels) == len(self.mean) == len(self.std):
            raise ValueError(f"`behavior` {self.name}: as many means and stds as channels")
        if not all(std > 0 for std in self.std):
            raise ValueError(f"`behavior` {self.name}: `std` must be positive: {self.std}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDescription:
    """Source of a shard; the fingerprint changes with the files and the options."""

    path: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardDescription:
    """Whatever is stored of a session that is not an array.

    Args:
        session: Session key.
        animal: Animal key.
        origin_seconds: Absolute time (Unix epoch) of second 0 of all clocks.
        response_kind: What the responses are.
        native_rate_hz: Scan rate before the export resampled it, where known.
        statistics_tier: The tier that means and standard deviations were computed on; `all` if the
            recording has no train tier.
        responses: Clock, size and rounding error of the responses.
        screen: Sizes of the frames; None without a screen.
        behavior: Behavior signals.
        tiers: Names of the tiers, in the order of the numbers in `trials.tier`.
        kinds: Names of the kinds, in the order of the numbers in `trials.kind`.
        conditions: Names of the conditions, in the order of the numbers in `trials.condition`.
        checksums: `algorithm:hex` of the bytes of each tensor.
        source: Recording that the shard was made from.
        notes: Sentences about what was repaired or dropped.
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
        """`responses`, `screen` if there is one, and the behavior signals."""
        screen = () if self.screen is None else ("screen",)
        return ("responses", *screen, *(device.name for device in self.behavior))


def to_json(description: ShardDescription) -> str:
    """Return the JSON text of a description; equal descriptions have equal texts."""
    return json.dumps(to_json_value(asdict(description)), separators=(",", ":"), allow_nan=False)


def from_json(text: str) -> ShardDescription:
    """Read the text that `to_json` wrote; unknown fields are ignored.

    Raises:
        ValueError: A field is missing or has the wrong type; the text names it.
    """
    return cast("ShardDescription", _read_value(ShardDescription, json.loads(text), "description"))


def _read_value(kind: Any, value: Any, name: str) -> Any:  # noqa: ANN401 - as fields are annotated
    """Return a JSON value as the type of a field, or raise ValueError with the field's name."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        _require(isinstance(value, dict), name, "an object", value)
        hints = _field_types(cast("type", kind))
        missing = next((field for field in hints if field not in value), None)
        if missing is not None:
            raise ValueError(f"`{name}` lacks `{missing}`")
        fields = {key: _read_value(hints[key], value[key], f"{name}.{key}") for key in hints}
        return cast("type", kind)(**fields)
    if origin is types.UnionType:
        return None if value is None else _read_value(arguments[0], value, name)
    if origin is tuple:
        _require(isinstance(value, list), name, "a list", value)
        # A data set has a million conditions: their types are checked all at once.
        if arguments[0] is str and set(map(type, value)) <= {str}:
            return tuple(value)
        return tuple(_read_value(arguments[0], item, name) for item in value)
    if origin is Mapping:
        _require(isinstance(value, dict), name, "an object", value)
        return {key: _read_value(arguments[1], value[key], f"{name}.{key}") for key in value}
    return _read_scalar(kind, value, name)


def _read_scalar(kind: Any, value: Any, name: str) -> Any:  # noqa: ANN401
    if get_origin(kind) is Literal:
        _require(value in get_args(kind), name, f"one of {', '.join(get_args(kind))}", value)
    elif kind is str:
        _require(isinstance(value, str), name, "text", value)
    elif kind is int:
        _require(type(value) is int and value >= 0, name, "a whole number", value)
    else:
        _require(type(value) in (int, float), name, "a number", value)
        return float(value)
    return value


def _require(is_right: bool, name: str, rule: str, value: object) -> None:  # noqa: FBT001
    if not is_right:
        raise ValueError(f"`{name}` must be {rule}: {value!r}")


# Looking the annotations of a class up takes longer than reading a description.
_field_types = cache(get_type_hints)
