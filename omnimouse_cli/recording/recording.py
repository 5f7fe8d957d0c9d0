"""What a recording is, whatever its format: signals on clocks of their own, trials, neurons."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# Added to a time before the latest sample at or before it is looked up, so that the rounding of
# clocks never selects the sample before. The Rust extension has the same number.
HOLD_TOLERANCE_SECONDS = 1e-4

ResponseKind = Literal["rate", "dff", "unknown"]
TrialKind = Literal["video", "image", "blank", "invalid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A regular clock: row r is at `start_seconds + r / rate_hz` and is held until the next row.

    Args:
        start_seconds: Time of row 0, from the recording's origin.
        rate_hz: Rows per second.
        num_samples: Rows.
    """

    start_seconds: float
    rate_hz: float
    num_samples: int

    def __post_init__(self) -> None:
        """Refuse clocks that do not run."""
        if not self.rate_hz > 0:
            raise ValueError(f"`rate_hz` must be positive: {self.rate_hz}")
        if self.num_samples < 0:
            raise ValueError(f"`num_samples` must not be negative: {self.num_samples}")

    @property
    def end_seconds(self) -> float:
        """Time until which the last row is held."""
        return self.start_seconds + self.num_samples / self.rate_hz

    def row_at(self, seconds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the latest row at or before each time (sample-and-hold).

        Args:
            seconds: Times from the recording's origin, any shape.

        Returns:
            int64, the shape of `seconds`; below 0 before the clock starts, `num_samples` or more
            after it ends.

        Example:
            >>> clock = Clock(start_seconds=1.0, rate_hz=10.0, num_samples=5)
            >>> clock.row_at(np.array([0.95, 1.0, 1.19, 1.2])).tolist()
            [-1, 0, 1, 2]
        """
        rows = (seconds + HOLD_TOLERANCE_SECONDS - self.start_seconds) * self.rate_hz
        return np.floor(rows).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Rows of channels on a regular clock, read lazily.

    Args:
        name: `responses`, `eye_tracker`, `treadmill` or a device's own name.
        clock: When the rows were measured.
        channels: Names of the columns (for responses: empty, neurons have a table of their own).
        num_channels: Columns.
        read_rows: `read_rows(first, last)` gives float32 `(last - first, num_channels)`, NaN kept.
        file_mean: The file's own mean per column `(num_channels,)`, if it has one.
        file_std: The file's own standard deviation per column, if it has one.
    """

    name: str
    clock: Clock
    channels: tuple[str, ...]
    num_channels: int
    read_rows: Callable[[int, int], NDArray[np.float32]]
    file_mean: NDArray[np.float64] | None = None
    file_std: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One stretch of the stimulus.

    Args:
        start_seconds: First flip, from the recording's origin.
        end_seconds: First flip of the next trial.
        kind: What was on the screen; `invalid` time is never used.
        tier: `train`, `validation`, `oracle`, `test`, ...; None where the file names none.
        condition: Name of the stimulus; equal names are repeats of one stimulus. None where it has
            none.
        first_flip: Index of the trial's first flip in `Screen.flip_seconds`.
        num_flips: Flips of the trial.
        identified_by_frames: Whether a stimulus without a name is what it shows: trials of a kind that
            show the same frames are repeats. Who reads the frames names it.
    """

    start_seconds: float
    end_seconds: float
    kind: TrialKind
    tier: str | None
    condition: str | None
    first_flip: int
    num_flips: int
    identified_by_frames: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What was shown, frame by frame.

    Args:
        flip_seconds: float64 `(num_flips,)`, ascending: when each frame appeared; held until the
            next.
        frame_height: Rows of a stored frame, before any resizing; single trials may differ.
        frame_width: Columns of a stored frame.
        read_trial: `read_trial(trial_number)` gives uint8 `(num_flips, height, width)`, grey.
    """

    flip_seconds: NDArray[np.float64]
    frame_height: int
    frame_width: int
    read_trial: Callable[[int], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Neurons:
    """The recorded neurons, in column order of the responses.

    Args:
        num_neurons: Columns of the responses.
        unit_id: int64 `(num_neurons,)`, if the file has them.
        position_um: float32 `(num_neurons, 3)` in micrometres, if the file has them.
    """

    num_neurons: int
    unit_id: NDArray[np.int64] | None = None
    position_um: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One session, ready to be streamed.

    Args:
        path: Where it was read from.
        session: Session key, `animal-session-scan` where the file has one.
        animal: Text before the key's first "-".
        origin_seconds: Absolute time (Unix epoch) of second 0 of every clock here.
        responses: Activity, time x neuron.
        neurons: Who is in the columns.
        trials: In the order of their time.
        screen: None where nothing was shown or stored.
        behavior: Eye tracker, treadmill, ... ; may be empty.
        native_rate_hz: The scan rate before the export resampled it, where known.
        notes: What was repaired or left out, each a sentence for the user.
    """

    path: Path
    session: str
    animal: str
    origin_seconds: float
    responses: Signal
    neurons: Neurons
    trials: tuple[Trial, ...]
    screen: Screen | None
    behavior: tuple[Signal, ...]
    native_rate_hz: float | None = None
    notes: tuple[str, ...] = ()
