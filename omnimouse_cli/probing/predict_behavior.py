"""Behavior during a movie, in the units of a recording, as a model takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import BEHAVIOR_RATE_HZ, NUM_BEHAVIOR_SAMPLES
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.recording.arrays.tables import read_csv
from omnimouse_cli.recording.recording import HOLD_TOLERANCE_SECONDS
from omnimouse_cli.shard import Shard
from omnimouse_cli.text import suggest_name

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
TIME = "time_seconds"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BehaviorTrace:
    """Behavior during a movie.

    Args:
        source: The file, or `behavior` of arrays.
        seconds: float64 `(rows,)`: ascending times from the first frame.
        values: float32 `(rows, channels)`: z-scores over the channels of the model, NaN where they
            are missing, 0 for channels that the session lacks.
    """

    source: str
    seconds: F64
    values: F32

    def windows(self, start_seconds: F64) -> F32:
        """Return behavior in windows by sample-and-hold at 20 Hz.

        Before the first row the first one is held, after the last row the last one.

        Args:
            start_seconds: float64 `(windows,)`: starts of windows, from the first frame.

        Returns:
            float32 `(windows, channels, 40)`.
        """
        offsets = np.arange(NUM_BEHAVIOR_SAMPLES) / BEHAVIOR_RATE_HZ
        seconds = start_seconds[:, None] + offsets + HOLD_TOLERANCE_SECONDS
        row = np.searchsorted(self.seconds, seconds, side="right") - 1
        return np.moveaxis(self.values[np.maximum(row, 0)], -1, 1)

    def require_span(self, movie_seconds: float) -> None:
        """Check that behavior lasts as long as the movie.

        Raises:
            OmniMouseError: It begins after the first frame, or ends more than two of its rows
                before the end of the movie, or lasts longer by more than a second.
        """
        step = float(np.median(np.diff(self.seconds))) if len(self.seconds) > 1 else 0.0
        first, last = float(self.seconds[0]), float(self.seconds[-1])
        if first > HOLD_TOLERANCE_SECONDS:
            problem = f"begins at {first:.3g} s, after the first frame"
        elif last + 2 * step < movie_seconds or last > movie_seconds + 1:
            problem = f"ends at {last + step:.4g} s and the movie at {movie_seconds:.4g} s"
        else:
            return
        raise OmniMouseError(
            f"{self.source} {problem}",
            hint=f"`{TIME}` counts from the first frame, and rows last until the end of the movie",
        )


def read_behavior(path: Path, channels: Sequence[str], shard: Shard) -> BehaviorTrace:
    """Read a CSV file of behavior: a column `time_seconds`, and one of each channel.

    Args:
        path: The file; an empty cell is missing.
        channels: Behavior channels of the model, in its order.
        shard: The session: the file must have its channels, which are z-scored by its means and
            standard deviations.

    Raises:
        OmniMouseError: The file cannot be read, or `make_behavior` refuses it.
    """
    if not path.is_file():
        raise OmniMouseError(
            f"{path} is not a file", hint="name a CSV file of behavior: --behavior FILE.csv"
        )
    table = read_csv(path)
    for name, (line, cell) in table.no_numbers.items():
        raise OmniMouseError(
            f"{path}, line {line}: `{name}` is no number: {cell!r}",
            hint="an empty cell is a missing sample",
        )
    columns = {name: np.asarray(values, np.float64) for name, values in table.columns.items()}
    seconds = columns.pop(TIME, None)
    if seconds is None:
        raise OmniMouseError(
            f"{path} has no column `{TIME}`: it has {', '.join(columns)}",
            hint=f"name a column `{TIME}`: seconds from the first frame of the movie",
        )
    return make_behavior(seconds, columns, channels, shard, source=str(path))


def make_behavior(
    time_seconds: F64,
    values: Mapping[str, F64],
    channels: Sequence[str],
    shard: Shard,
    *,
    source: str = "behavior",
) -> BehaviorTrace:
    """Return behavior z-scored and in the channel order of a model.

    Args:
        time_seconds: `(rows,)`: ascending times from the first frame of the movie.
        values: `(rows,)` of each channel of the session, by name in any case, in the unit of the
            recording; NaN is missing.
        channels: Behavior channels of the model, in its order.
        shard: The session, whose means and standard deviations z-score the channels.
        source: Where the behavior is from, for messages.

    Raises:
        OmniMouseError: Times do not ascend, a channel is unknown, missing or has another length, or
            the model takes no behavior.
    """
    seconds = np.asarray(time_seconds, np.float64)
    if not len(seconds) or not np.isfinite(seconds).all() or (np.diff(seconds) <= 0).any():
        raise OmniMouseError(
            f"{source}: `{TIME}` must ascend from row to row and have no empty cell",
            hint="one row for each time, in seconds from the first frame",
        )
    scales = {
        channel: (device.mean[column], device.std[column])
        for device in shard.description.behavior
        for column, channel in enumerate(device.channels)
        if channel in channels
    }
    if not scales:
        raise OmniMouseError(
            f"{shard.description.session} has no behavior that the model takes",
            hint="leave --behavior out",
        )
    names = {name.lower(): name for name in scales}
    given = {name.lower(): np.asarray(column, np.float64) for name, column in values.items()}
    for name, column in given.items():
        if name not in names:
            raise OmniMouseError(
                f"{source} has an unknown channel `{name}`",
                hint=suggest_name(name, scales, cutoff=0.0),
            )
        if column.shape != seconds.shape:
            raise OmniMouseError(
                f"{source}: `{name}` has {column.size} rows and `{TIME}` {len(seconds)}",
                hint="every channel has a value for each time",
            )
    missing = [name for key, name in names.items() if key not in given]
    if missing:
        raise OmniMouseError(
            f"{source} lacks the channels {', '.join(missing)} of {shard.description.session}",
            hint="add a column for each; an empty column is missing behavior",
        )
    scored = np.zeros((len(seconds), len(channels)), np.float32)
    for key, name in names.items():
        mean, std = scales[name]
        scored[:, list(channels).index(name)] = (given[key] - mean) / std
    return BehaviorTrace(source=source, seconds=seconds, values=scored)
