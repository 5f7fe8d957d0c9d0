"""Responses and behavior of a Sensorium set as signals: one array per trial, read when needed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.recording import Signal
from omnimouse_cli.recording.sensorium.layout import RESPONSES, Layout, PlacedTrial
from omnimouse_cli.recording.sensorium.store import Store
from omnimouse_cli.text import pluralize

F32 = NDArray[np.float32]

BEHAVIOR = "behavior"
PUPIL_CENTER = "pupil_center"
# Rows of `behavior`: two in video sets, three in image sets.
_BEHAVIOR_CHANNELS = {
    2: ("pupil_size", "running"),
    3: ("pupil_size", "pupil_size_derivative", "running"),
}
_GAZE = ("pupil_x", "pupil_y")


class TrialRows:
    """Rows of a variable, trial after trial. The array of the trial read last stays in memory.

    Args:
        store: The files of the set.
        files: File of the variable by number of the trial; trials without one are missing.
        layout: Where the trials lie.
        num_columns: Number of columns.
        num_rows: Number of rows of a trial that have values; the others are NaN.
    """

    def __init__(
        self,
        store: Store,
        files: Mapping[int, str],
        layout: Layout,
        *,
        num_columns: int,
        num_rows: Callable[[PlacedTrial], int],
    ) -> None:
        self._store = store
        self._files = files
        self._layout = layout
        self._num_columns = num_columns
        self._num_rows = num_rows
        self._ends = np.array([trial.first_row + trial.num_rows for trial in layout.trials])
        self._latest: tuple[int, F32] | None = None

    def read(self, first: int, last: int) -> F32:
        """Return rows of the time axis: float32 `(last - first, columns)`, NaN where none is."""
        rows = np.full((last - first, self._num_columns), np.nan, np.float32)
        for index in range(int(np.searchsorted(self._ends, first, "right")), len(self._ends)):
            trial = self._layout.trials[index]
            if trial.first_row >= last:
                break
            values = self._trial(index)
            low, high = max(first, trial.first_row), min(last, trial.first_row + len(values))
            if low < high:
                values = values[low - trial.first_row : high - trial.first_row]
                rows[low - first : high - first] = values
        return rows

    def _trial(self, index: int) -> F32:
        latest = self._latest
        if latest is None or latest[0] != index:
            latest = (index, self._read_trial(self._layout.trials[index]))
            self._latest = latest
        return latest[1]

    def _read_trial(self, trial: PlacedTrial) -> F32:
        """Return the rows of a trial that have values: float32 `(rows, columns)`."""
        num_rows, file = self._num_rows(trial), self._files.get(trial.number)
        if file is None or num_rows == 0:
            return np.empty((0, self._num_columns), np.float32)
        values = self._store.read_array(file)
        if values.ndim == 1:
            values = values[:, None]
        if values.ndim != 2 or len(values) != self._num_columns or values.dtype.kind not in "iuf":
            raise RecordingError(
                f"{self._store.where(file)} must hold numbers in {self._num_columns} rows, as the "
                f"other trials: {values.dtype} of shape {values.shape}",
                hint="download or copy it again",
            )
        return np.ascontiguousarray(values[:, :num_rows].T, np.float32)


def open_responses(store: Store, layout: Layout) -> Signal:
    """Return the responses; rows of withheld trials are NaN."""
    rows = TrialRows(
        store,
        store.variable(RESPONSES),
        layout,
        num_columns=layout.num_neurons,
        num_rows=lambda trial: trial.num_recorded,
    )
    return Signal(
        name=RESPONSES,
        clock=layout.clock,
        channels=(),
        num_channels=layout.num_neurons,
        read_rows=rows.read,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A behavior variable of the set, and the names of its rows."""

    files: Mapping[int, str]
    channels: tuple[str, ...]


def open_behavior(store: Store, layout: Layout) -> tuple[tuple[Signal, ...], list[str]]:
    """Return eye tracker and treadmill, and notes for the user.

    Raises:
        RecordingError: A file is damaged.
    """
    notes: list[str] = []
    behavior = _find_variable(store, layout, BEHAVIOR)
    gaze = _find_variable(store, layout, PUPIL_CENTER)
    variables = [variable for variable in (behavior, gaze) if variable is not None]
    if not variables:
        return (), ["no behavior: the set has neither data/behavior nor data/pupil_center"]
    values = _BehaviorRows(store, layout, variables)
    channels = values.channels
    named = [*_GAZE, *_BEHAVIOR_CHANNELS[3]]
    others = tuple(name for name in channels if name not in named)
    devices = {
        "eye_tracker": tuple(name for name in channels if name in named and name != "running"),
        "treadmill": tuple(name for name in channels if name == "running"),
        BEHAVIOR: others,
    }
    if others:
        notes.append(
            f"rows of data/behavior that are not named in the set keep numbers: {len(others)}; "
            "names are known for two rows (pupil size, running) and three"
        )
    notes += [note for variable in variables for note in _missing_notes(store, layout, variable)]
    units = "units of behavior are not stated in the set"
    notes.append(f"{units}; running is taken to be in cm/s" if devices["treadmill"] else units)
    return tuple(
        Signal(
            name=name,
            clock=layout.clock,
            channels=wanted,
            num_channels=len(wanted),
            read_rows=values.reader(wanted),
            units=tuple("cm/s" if channel == "running" else "" for channel in wanted),
        )
        for name, wanted in devices.items()
        if wanted
    ), notes


def _find_variable(store: Store, layout: Layout, name: str) -> Variable | None:
    files = store.variable(name)
    number = next((trial.number for trial in layout.trials if trial.number in files), None)
    if number is None:
        return None
    num_rows = int(store.read_header(files[number]).shape[0])
    unnamed = tuple(f"{name}_{row}" for row in range(num_rows))
    if name == PUPIL_CENTER:
        channels = _GAZE if num_rows == 2 else unnamed
    else:
        channels = _BEHAVIOR_CHANNELS.get(num_rows, unnamed)
    return Variable(files=files, channels=channels)


def _missing_notes(store: Store, layout: Layout, variable: Variable) -> list[str]:
    """Return a sentence about trials without a file, and one about trials that are withheld."""
    folder = next(iter(variable.files.values())).rsplit("/", 1)[0]
    absent = [trial for trial in layout.trials if trial.number not in variable.files]
    # Where behavior was withheld, responses were as well.
    withheld = [
        trial
        for trial in layout.trials
        if trial.num_recorded == 0
        and trial.number in variable.files
        and not store.has_value(variable.files[trial.number])
    ]
    reasons = ((absent, "no file"), (withheld, "only zeros"))
    return [
        f"{folder} of {pluralize(len(trials), 'trial')} has {reason} and counts as missing"
        for trials, reason in reasons
        if trials
    ]


class _BehaviorRows:
    """All behavior of a set, read whole at the first access: some numbers per row.

    Args:
        store: The files of the set.
        layout: Where the trials lie.
        variables: The variables whose rows are the columns here.
    """

    def __init__(self, store: Store, layout: Layout, variables: list[Variable]) -> None:
        self._store = store
        self._layout = layout
        self._variables = variables
        self._values: F32 | None = None
        self.channels = tuple(name for variable in variables for name in variable.channels)

    def reader(self, channels: tuple[str, ...]) -> Callable[[int, int], F32]:
        """Return `read_rows` of some channels."""
        columns = [self.channels.index(name) for name in channels]
        return lambda first, last: self._read()[first:last, columns]

    def _read(self) -> F32:
        if self._values is None:
            self._values = np.concatenate([self._read_variable(one) for one in self._variables], 1)
        return self._values

    def _read_variable(self, variable: Variable) -> F32:
        layout, files = self._layout, variable.files
        rows = TrialRows(
            self._store,
            files,
            layout,
            num_columns=len(variable.channels),
            num_rows=lambda trial: trial.num_rows,
        )
        values = rows.read(0, layout.clock.num_samples)
        for trial in layout.trials:
            part = values[trial.first_row : trial.first_row + trial.num_rows]
            # A pupil has a size, so zeros everywhere stand for behavior that was withheld.
            if not ((part > 0) | (part < 0)).any():
                part[:] = np.nan
        return values
