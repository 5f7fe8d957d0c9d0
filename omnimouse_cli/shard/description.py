"""Description of a session in the header of its shard, as data and as JSON."""

import hashlib
import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from omnimouse_cli.files import parse_json, to_json_value
from omnimouse_cli.recording.dff import Baseline
from omnimouse_cli.recording.recording import Clock, Monitor, Provenance, ResponseKind


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
    """The tensor `responses`.

    Args:
        clock: Times of its rows.
        num_neurons: Number of its columns.
        rounding: Rounding error of its values.
        missing_rows: Number of rows in which a value is missing; they are never in a window.
        baseline: Baseline with which raw fluorescence was turned into dF/F; None if the values are
            those of the recording.
        id_namespace: What `neurons.unit_id` counts; None if ids are of this recording alone.
        areas: Names of the visual areas, in the order of the numbers in `neurons.area`.
        layers: Names of the cortical layers, in the order of the numbers in `neurons.layer`.
    """

    clock: Clock
    num_neurons: int
    rounding: Rounding
    missing_rows: int = 0
    baseline: Baseline | None = None
    id_namespace: str | None = None
    areas: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenDescription:
    """Size of the stored frames and of the recording's frames, in pixels; the monitor if known."""

    frame_height: int
    frame_width: int
    source_height: int
    source_width: int
    monitor: Monitor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BehaviorDescription:
    """One behavior signal.

    Args:
        name: Name of the signal.
        clock: Times of its rows.
        channels: Names of its columns.
        mean: Mean of each channel on the statistics tier.
        std: Standard deviation of each channel on the statistics tier, 1 for a constant one.
        units: Unit of each channel as it is stored; empty where no unit is known.
        source_units: Unit of each channel in the raw file, as its text says; empty if unknown.
    """

    name: str
    clock: Clock
    channels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    units: tuple[str, ...] = ()
    source_units: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for statistics that cannot be divided by."""
        if not len(self.channels) == len(self.mean) == len(self.std):
            raise ValueError(f"`behavior` {self.name}: as many means and stds as channels")
        if not {len(self.units), len(self.source_units)} <= {0, len(self.channels)}:
            raise ValueError(f"`behavior` {self.name}: as many units as channels, or none")
        if not all(std > 0 for std in self.std):
            raise ValueError(f"`behavior` {self.name}: `std` must be positive: {self.std}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDescription:
    """Source of a shard; its fingerprint tells whether the shard is up to date.

    Args:
        path: Path of the recording.
        fingerprint: Changes with names, sizes and times of the raw files, and with the options;
            that of the stored values is `ShardDescription.fingerprint`.
    """

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
        format: Raw format of the recording.
        provenance: Where the responses come from, and under which terms.
        split: How tiers were made: `file` if the raw files have them, else the name of the policy.
        stimulus_seen_in_train: For each tier but train, whether a condition of its trials is shown
            in train trials too; None where conditions are not known.
        windows_within_trials: Whether no window may reach from one trial into the next.
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
    format: str = "experanto"
    provenance: Provenance = field(default_factory=Provenance)
    split: str = "file"
    stimulus_seen_in_train: Mapping[str, bool | None] = field(default_factory=dict)
    windows_within_trials: bool = False

    @property
    def fingerprint(self) -> str:
        """Hash of all stored values, 32 hexadecimal digits: the same wherever they were made."""
        text = "\n".join(f"{name} {self.checksums[name]}" for name in sorted(self.checksums))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

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

    Fields with a default may be missing: shards of earlier releases lack them.

    Raises:
        ValueError: A field is missing or has the wrong type; the text names it.
    """
    return cast("ShardDescription", read_value(ShardDescription, parse_json(text), "description"))


def read_value(kind: Any, value: Any, name: str) -> Any:  # noqa: ANN401 - as fields are annotated
    """Return a JSON value as a type that fields of dataclasses have here.

    Args:
        kind: A dataclass, or the annotation of a field.
        value: What a JSON document holds in its place.
        name: Name of the value in messages.

    Raises:
        ValueError: A field is missing or has the wrong type; the text names it.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        _require(isinstance(value, dict), name, "an object", value)
        hints = _field_types(cast("type", kind))
        present = [key for key in hints if key in value]
        missing = next(
            (key for key in _required_fields(cast("type", kind)) if key not in value), None
        )
        if missing is not None:
            raise ValueError(f"`{name}` lacks `{missing}`")
        values = {key: read_value(hints[key], value[key], f"{name}.{key}") for key in present}
        return cast("type", kind)(**values)
    if origin is types.UnionType:
        return None if value is None else read_value(arguments[0], value, name)
    if origin is tuple:
        _require(isinstance(value, list), name, "a list", value)
        # A data set has a million conditions: their types are checked all at once.
        if arguments[0] is str and set(map(type, value)) <= {str}:
            return tuple(value)
        return tuple(read_value(arguments[0], item, name) for item in value)
    if origin is Mapping:
        _require(isinstance(value, dict), name, "an object", value)
        return {key: read_value(arguments[1], value[key], f"{name}.{key}") for key in value}
    return _read_scalar(kind, value, name)


def _read_scalar(kind: Any, value: Any, name: str) -> Any:  # noqa: ANN401
    if get_origin(kind) is Literal:
        _require(value in get_args(kind), name, f"one of {', '.join(get_args(kind))}", value)
    elif kind is str:
        _require(isinstance(value, str), name, "text", value)
    elif kind is bool:
        _require(isinstance(value, bool), name, "true or false", value)
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


@cache
def _required_fields(kind: type) -> tuple[str, ...]:
    """Return the fields of a dataclass without a default."""
    return tuple(
        entry.name
        for entry in fields(kind)
        if entry.default is MISSING and entry.default_factory is MISSING
    )
