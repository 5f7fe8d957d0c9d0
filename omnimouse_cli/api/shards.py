"""Shards in NumPy: `om.open_shards`, a mapping of sessions whose arrays are read by time."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.api.arguments import PathLike, as_path
from omnimouse_cli.api.folders import default_shards
from omnimouse_cli.api.neurons import Neurons, describe_neurons
from omnimouse_cli.api.series import F64, TimeSeries
from omnimouse_cli.errors import OmniMouseError, ShardError
from omnimouse_cli.files import explain_file_errors
from omnimouse_cli.recording.recording import HOLD_TOLERANCE_SECONDS, Clock, latest_index
from omnimouse_cli.shard import CatalogueEntry, Shard, open_shard
from omnimouse_cli.shard.catalogue import open_shards as find_shards
from omnimouse_cli.shard.valid import tier_minutes
from omnimouse_cli.text import format_minutes, pluralize, suggest_name


class UnknownSessionError(ShardError, KeyError):
    """A session that a folder of shards does not have; `Mapping.get` expects a KeyError."""

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trials:
    """The trials of a session in the order of their time.

    Args:
        start_seconds: float64 `(trials,)`.
        end_seconds: float64 `(trials,)`.
        tier: Text `(trials,)`: `train`, `validation`, `oracle`, `test`, ...; empty for none.
        kind: Text `(trials,)`: `video`, `image`, `blank`, `invalid` or `unknown`.
        condition: Text `(trials,)`: name of the stimulus; trials of one name are repeats; empty for
            none.
    """

    start_seconds: F64
    end_seconds: F64
    tier: NDArray[np.str_]
    kind: NDArray[np.str_]
    condition: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.start_seconds)

    def __repr__(self) -> str:
        return f"Trials: {len(self)}, tiers {', '.join(sorted(set(self.tier.tolist()) - {''}))}"


class Session:
    """One session of a folder of shards; arrays are read from the file when they are asked for.

    All times are in seconds from the origin of the recording.

    Args:
        shard: The open shard.
    """

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    @property
    def key(self) -> str:
        """Session key."""
        return self._shard.description.session

    @property
    def animal(self) -> str:
        """Animal key."""
        return self._shard.description.animal

    @property
    def path(self) -> Path:
        """Path of the shard."""
        return self._shard.path

    @property
    def num_neurons(self) -> int:
        """Number of neurons."""
        return self._shard.description.responses.num_neurons

    @property
    def unit(self) -> str:
        """What responses are: `rate`, `dff`, `fluorescence` or `unknown`."""
        return self._shard.description.response_kind

    @property
    def rate_hz(self) -> float:
        """Rows of the responses per second."""
        return self._clock.rate_hz

    @property
    def start_seconds(self) -> float:
        """Time of the first row of responses."""
        return self._clock.start_seconds

    @property
    def end_seconds(self) -> float:
        """Time until which the last row of responses is held."""
        return self._clock.end_seconds

    @property
    def frame_shape(self) -> tuple[int, int] | None:
        """Height and width of a frame in pixels; None without a screen."""
        screen = self._shard.description.screen
        return None if screen is None else (screen.frame_height, screen.frame_width)

    @property
    def channels(self) -> tuple[str, ...]:
        """Behavior channels."""
        return tuple(name for one in self._shard.description.behavior for name in one.channels)

    @cached_property
    def tiers(self) -> dict[str, float]:
        """Minutes of the trials of each tier while responses were recorded."""
        return tier_minutes(self._shard)

    @cached_property
    def neurons(self) -> Neurons:
        """Ids, positions, areas and layers of the neurons."""
        return describe_neurons(self.key, self.num_neurons, shard=self._shard)

    @cached_property
    def trials(self) -> Trials:
        """The trials."""
        table, description = self._shard.trials, self._shard.description
        return Trials(
            start_seconds=table.start_seconds.copy(),
            end_seconds=table.end_seconds.copy(),
            tier=_names(description.tiers, table.tier),
            kind=_names(description.kinds, table.kind),
            condition=_names(description.conditions, table.condition),
        )

    def responses(self, start: float | None = None, stop: float | None = None) -> TimeSeries:
        """Return responses: float32 `(time, neurons)` in `unit`, NaN where a row is missing.

        Args:
            start: First time; None is that of the first row.
            stop: Time before which the last row lies; None is the end.

        Raises:
            OmniMouseError: `stop` is before `start`.
        """
        rows = _rows(self._clock, start, stop)
        return TimeSeries(
            values=self._shard.read_responses(rows.start, rows.stop),
            time_seconds=_seconds(self._clock, rows),
            unit=self.unit,
        )

    def frames(self, start: float | None = None, stop: float | None = None) -> TimeSeries:
        """Return the frames that were shown: uint8 `(flips, height, width)`, in grey levels.

        The times are those at which frames appeared; a frame stays until the next one.

        Args:
            start: First time; the frame on the screen at this time comes first. None is that of the
                first flip.
            stop: Time before which the last flip lies; None is the end.

        Raises:
            OmniMouseError: The session has no screen, or `stop` is before `start`.
        """
        if self.frame_shape is None:
            raise OmniMouseError(f"session {self.key} has no screen, so that it has no frames")
        start, stop = _span(start, stop)
        flips = self._shard.flip_seconds
        first = max(0, int(latest_index(flips, np.array([start]))[0]))
        last = int(np.searchsorted(flips, stop - HOLD_TOLERANCE_SECONDS))
        shown = slice(first, max(first, last))
        return TimeSeries(
            values=self._shard.frames[self._shard.frame_index[shown]],
            time_seconds=flips[shown].copy(),
            unit="grey level",
        )

    def behavior(
        self, start: float | None = None, stop: float | None = None
    ) -> dict[str, TimeSeries]:
        """Return behavior by channel: float32 `(time,)` each, NaN where a sample is missing.

        Channels of different devices have different times.

        Args:
            start: First time; None is that of the first sample.
            stop: Time before which the last sample lies; None is the end.

        Raises:
            OmniMouseError: `stop` is before `start`.
        """
        series = {}
        for device in self._shard.description.behavior:
            rows = _rows(device.clock, start, stop)
            values = np.array(self._shard.behavior(device.name)[rows])
            for column, name in enumerate(device.channels):
                series[name] = TimeSeries(
                    values=values[:, column],
                    time_seconds=_seconds(device.clock, rows),
                    unit=device.units[column] if device.units else "",
                )
        return series

    @property
    def _clock(self) -> Clock:
        return self._shard.description.responses.clock

    def __repr__(self) -> str:
        minutes = format_minutes((self.end_seconds - self.start_seconds) / 60)
        shape = self.frame_shape
        screen = "no screen" if shape is None else f"frames of {shape[0]} x {shape[1]}"
        tiers = ", ".join(f"{name} {format_minutes(time)}" for name, time in self.tiers.items())
        return (
            f"Session {self.key} of animal {self.animal}: "
            f"{pluralize(self.num_neurons, 'neuron')} ({self.unit}) at {self.rate_hz:.4g} Hz, "
            f"{minutes} min, {screen}, behavior {', '.join(self.channels) or 'none'}, "
            f"minutes per tier: {tiers or 'none'}"
        )


class Shards(Mapping[str, Session]):
    """The sessions of a folder of shards by session key, ascending.

    Args:
        folder: The folder.
        found: The open shard of each session, or its entry in the catalogue where it is damaged.
    """

    def __init__(self, folder: Path, found: Mapping[str, Shard | CatalogueEntry]) -> None:
        self.folder = folder
        self._found = found

    def __getitem__(self, key: str) -> Session:
        if key not in self._found:
            raise UnknownSessionError(
                f"{self.folder} has no session {key}",
                hint=suggest_name(str(key), self._found, cutoff=0.0),
            )
        found = self._found[key]
        # Opening a damaged shard once more says what is wrong with it.
        return Session(
            open_shard(self.folder / found.file) if isinstance(found, CatalogueEntry) else found
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __fspath__(self) -> str:
        """Return the path of the folder, so that functions take this in its place."""
        return str(self.folder)

    def __repr__(self) -> str:
        return f"Shards {self.folder}: {pluralize(len(self), 'session')}: {', '.join(self)}"


@explain_file_errors()
def open_shards(shards: PathLike | None = None) -> Shards:
    """Open a folder of shards; only headers are read.

    Args:
        shards: The folder; by default shards/.

    Returns:
        A mapping from session keys to sessions.

    Raises:
        ShardError: There is no such folder, it has no shards, or one is missing or damaged.

    Example:
        >>> import omnimouse_cli as om
        >>> session = om.open_shards("shards")["20001-1-1"]
        >>> session.responses(10, 12)
        TimeSeries: float32 (60, 6), unit rate, 10.027 to 11.994 s
        >>> session.frames(20, 21).shape, session.behavior(20, 21)["running"].shape
        ((31, 36, 64), (100,))
        >>> session.neurons.position_um.shape, sorted(session.tiers)
        ((6, 3), ['oracle', 'test', 'train', 'validation'])
    """
    folder = as_path(shards) or default_shards()
    return Shards(folder, find_shards(folder).shards)


def _names(names: tuple[str, ...], numbers: NDArray[np.int32]) -> NDArray[np.str_]:
    """Return names by their numbers; -1, which stands for none, takes the empty text."""
    return np.array([*names, ""])[numbers]


def _span(start: float | None, stop: float | None) -> tuple[float, float]:
    first = -math.inf if start is None else float(start)
    last = math.inf if stop is None else float(stop)
    if not first <= last:
        raise OmniMouseError(
            f"`start` must be before `stop`, both in seconds: {start} and {stop}",
            hint="times count from the origin of the recording",
        )
    return first, last


def _rows(clock: Clock, start: float | None, stop: float | None) -> slice:
    """Return the rows whose times lie from `start` on and before `stop`."""
    since = np.array(_span(start, stop)) - clock.start_seconds - HOLD_TOLERANCE_SECONDS
    first, last = np.clip(np.ceil(since * clock.rate_hz), 0, clock.num_samples)
    return slice(int(first), int(last))


def _seconds(clock: Clock, rows: slice) -> NDArray[Any]:
    return clock.start_seconds + np.arange(rows.start, rows.stop) / clock.rate_hz
