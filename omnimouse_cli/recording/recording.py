"""A recording independent of its raw format: signals with their clocks, trials, neurons."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# Added to a time before the latest row at or before it is looked up, so that the rounding of clocks
# never selects the row before: float64 seconds of the Unix epoch are .24 microseconds apart. The
# Rust extension has the same two numbers.
HOLD_TOLERANCE_SECONDS = 1e-6
# The same for flips of a screen. Source: the experanto package, whose screens have this tolerance.
FLIP_TOLERANCE_SECONDS = 1e-4

# rate: events, deconvolved activity, spikes. fluorescence: raw and positive; it is not trained on
# as it is (recording/dff.py).
ResponseKind = Literal["rate", "dff", "fluorescence", "unknown"]
# unknown: something that is not known was, or may have been, on the screen.
TrialKind = Literal["video", "image", "blank", "invalid", "unknown"]


def latest_index(
    event_seconds: NDArray[np.float64], seconds: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the latest flip at or before each time (sample-and-hold of an irregular clock).

    Args:
        event_seconds: float64 `(events,)`, ascending, as the flips of a screen.
        seconds: Times from the recording's origin, any shape.

    Returns:
        int64, the shape of `seconds`; -1 before the first event.

    Example:
        >>> latest_index(np.array([1.0, 2.0]), np.array([0.5, 1.0, 1.99995, 3.0])).tolist()
        [-1, 0, 1, 1]
    """
    held = np.searchsorted(event_seconds, seconds + FLIP_TOLERANCE_SECONDS, side="right")
    return held.astype(np.int64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A regular clock: row r is at `start_seconds + r / rate_hz` and valid until the next row.

    Args:
        start_seconds: Time of row 0, from the recording's origin.
        rate_hz: Rows per second.
        num_samples: Number of rows.
    """

    start_seconds: float
    rate_hz: float
    num_samples: int

    def __post_init__(self) -> None:
        """Raise ValueError for a rate that is not positive or a negative number of rows."""
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
        name: `responses`, `eye_tracker`, `treadmill` or the signal's name in the raw format.
        clock: Times of the rows.
        channels: Names of the columns; empty for responses, whose columns are `Neurons`. The gaze
            is `pupil_x` (horizontal, azimuth) and `pupil_y` (vertical, altitude), the pupil
            `pupil_size` (a diameter, or a radius, never an area) and `pupil_size_derivative`, the
            treadmill `running` (cm/s): evaluation/targets.py groups them by these names.
        num_channels: Number of columns.
        read_rows: `read_rows(first, last)` returns float32 `(last - first, num_channels)`; missing
            values are NaN.
        file_mean: Means of the columns as the raw files state them, float64 `(num_channels,)`.
        file_std: Standard deviations of the columns as the raw files state them.
        units: Unit of each channel as `read_rows` returns it, as `cm/s`, `px`, `mm`, `degrees`;
            empty where no unit is known.
        source_units: Unit of each channel in the raw file, as its text says; empty if unknown.
        rows_per_block: Rows that are read at once best, as a chunk of the raw file; None if any.
    """

    name: str
    clock: Clock
    channels: tuple[str, ...]
    num_channels: int
    read_rows: Callable[[int, int], NDArray[np.float32]]
    file_mean: NDArray[np.float64] | None = None
    file_std: NDArray[np.float64] | None = None
    units: tuple[str, ...] = ()
    source_units: tuple[str, ...] = ()
    rows_per_block: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One stretch of the stimulus. Time between trials is not used.

    Args:
        start_seconds: Time of the first flip, from the recording's origin.
        end_seconds: Time at which the stimulus ends, at most that of the next trial's first flip.
        kind: Content of the screen; `invalid` time is never used, `unknown` time only where the
            recording has no screen.
        tier: Data split (`train`, `validation`, `oracle`, `test` or another); None without one. If
            no trial of a recording has a tier, `recording/split/` makes tiers.
        condition: Name of the stimulus; trials with the same name are repeats. None without one.
        first_flip: Index of the trial's first flip in `Screen.flip_seconds`; 0 without a screen.
        num_flips: Number of flips of the trial; 0 without a screen.
        identified_by_frames: Whether the stimulus has no name, so that trials of one kind with
            equal frames are repeats of it.
        stimulus: If the recording was given tiers, the name of the stimulus that the trial, or the
            trial that it is a part of, shows; None where it is not known.
        cut_seconds: Seconds of that trial before this part; 0 for a whole trial.
    """

    start_seconds: float
    end_seconds: float
    kind: TrialKind
    tier: str | None
    condition: str | None
    first_flip: int
    num_flips: int
    identified_by_frames: bool = False
    stimulus: str | None = None
    cut_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """The monitor, and how frames were made for it.

    Args:
        policy: What a frame shows, in words: `the monitor`, or `the template, stretched` where the
            geometry is not known.
        width_cm: Width of the monitor in centimetres; None if unknown.
        height_cm: Height of the monitor.
        distance_cm: Distance from the eye to the monitor.
        warp: Correction for the flat monitor, as `spherical`; None without one or if unknown.
    """

    policy: str
    width_cm: float | None = None
    height_cm: float | None = None
    distance_cm: float | None = None
    warp: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """The frames that were shown.

    Args:
        flip_seconds: float64 `(num_flips,)`, ascending: onset of each frame, which stays until the
            next.
        frame_height: Rows of a stored frame, before any resizing; single trials may differ.
        frame_width: Columns of a stored frame.
        read_frames: `read_frames(trial_number, first, last)` returns grey levels, uint8
            `(last - first, height, width)`, of flips `first` to `last` (excluded) of a trial.
        monitor: The monitor; None if nothing is known of it.
    """

    flip_seconds: NDArray[np.float64]
    frame_height: int
    frame_width: int
    read_frames: Callable[[int, int, int], NDArray[np.uint8]]
    monitor: Monitor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Neurons:
    """The recorded neurons, in column order of the responses.

    Args:
        num_neurons: Number of neurons.
        unit_id: int64 `(num_neurons,)`; None without ids.
        position_um: float32 `(num_neurons, 3)` in micrometres; None without positions.
        id_namespace: What `unit_id` counts, as `allen_cell_specimen_id`: equal ids of one animal
            are one cell only within one namespace. None if ids are of this recording alone.
        delay_seconds: float32 `(num_neurons,)`: how long after its scan's time each neuron was
            scanned, as the raw files say; None if unknown. Rows that a reader resampled have it
            applied already, which its notes say.
        area: Visual area of each neuron, as `V1` or `VISp`; an empty text where one is not known.
            None without areas.
        layer: Cortical layer of each neuron, as `L2/3`, likewise.
    """

    num_neurons: int
    unit_id: NDArray[np.int64] | None = None
    position_um: NDArray[np.float32] | None = None
    id_namespace: str | None = None
    delay_seconds: NDArray[np.float32] | None = None
    area: NDArray[np.str_] | None = None
    layer: NDArray[np.str_] | None = None

    def label(self, column: int) -> str:
        """Return how messages name a neuron: `unit 17`, or `column 3` without ids.

        Example:
            >>> Neurons(num_neurons=4).label(3)
            'column 3'
        """
        return f"column {column}" if self.unit_id is None else f"unit {self.unit_id[column]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the responses come from, and under which terms.

    Args:
        series: Path of the responses inside the raw file or folder.
        excluded: Number of excluded ROIs by reason.
        licence: Licence of the data, as `CC-BY-4.0`.
        citation: How to cite them.
        doi: Digital object identifier.
        institution: Institution and laboratory.
    """

    series: str = ""
    excluded: Mapping[str, int] = field(default_factory=dict)
    licence: str | None = None
    citation: str | None = None
    doi: str | None = None
    institution: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One thing that a raw file holds, for `omnimouse inspect FILE`.

    Args:
        path: Path inside the raw file or folder.
        what: What it is, with its shape and rate.
        use: What it is taken for; or why it is not taken, beginning with `not taken`.
    """

    path: str
    what: str
    use: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One session; its signals and frames are read on demand.

    Args:
        path: Raw file or folder.
        session: Session key, usually `animal-session-scan`.
        animal: Animal key; experanto has none, so there it is the session key up to its first "-".
        origin_seconds: Absolute time (Unix epoch) of second 0 of every clock here.
        responses: Activity, time x neuron.
        neurons: The columns of the responses.
        trials: The trials, ascending by start.
        screen: None where nothing was shown or stored.
        behavior: Behavior signals, as of eye tracker and treadmill; may be empty.
        native_rate_hz: The scan rate before the export resampled the responses; None if unknown.
        notes: What was corrected, assumed or excluded, one sentence each, for the user.
        format: Name of the raw format (`RawFormat.name`).
        response_kind: What the responses are, where the raw format says so; None infers it.
        gaps: float64 `(gaps, 2)`: stretches in which rows of the responses are NaN because nothing
            was recorded, seconds from the origin. NaN elsewhere is an error of the raw files.
        windows_within_trials: Whether no window may reach from one trial into the next, because
            trials were not recorded one after the other.
        provenance: Where the responses come from.
        split: How tiers were made: `file` if the raw files have them, else a name of
            `recording/split/`.
        contents: What the raw file holds, for `omnimouse inspect FILE`.
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
    format: str = "experanto"
    response_kind: ResponseKind | None = None
    gaps: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))
    windows_within_trials: bool = False
    provenance: Provenance = field(default_factory=Provenance)
    split: str = "file"
    contents: tuple[Content, ...] = ()

    def read_trial(self, number: int) -> NDArray[np.uint8]:
        """Return all frames of a trial, grey levels, uint8 `(num_flips, height, width)`.

        Raises:
            ValueError: The recording has no screen.
        """
        if self.screen is None:
            raise ValueError(f"{self.path} has no screen")
        return self.screen.read_frames(number, 0, self.trials[number].num_flips)
