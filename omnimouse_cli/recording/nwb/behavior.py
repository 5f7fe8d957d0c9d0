"""Running, pupil and gaze of an NWB file as signals, found by type, name and unit."""

from dataclasses import dataclass

import numpy as np

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.eye import find_gaze, find_pupil
from omnimouse_cli.recording.nwb.measure import Measure, behavior_series, require_path
from omnimouse_cli.recording.nwb.profiles import Profile
from omnimouse_cli.recording.nwb.running import find_running
from omnimouse_cli.recording.nwb.series import behavior_clock
from omnimouse_cli.recording.nwb.tree import Node
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.recording import Signal


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Behavior:
    """The behavior of a file.

    Args:
        signals: On the file's clock.
        uses: What each series is taken for, by its path.
        notes: One sentence for each thing that was assumed, repaired or left out.
    """

    signals: tuple[Signal, ...]
    uses: dict[str, str]
    notes: tuple[str, ...]


def open_behavior(root: Node, options: OpenOptions, profile: Profile) -> Behavior:
    """Find running, pupil and gaze wherever they stand in a file, and read them.

    Args:
        root: The root of the file.
        options: Paths that the user names.
        profile: The data set.

    Raises:
        RecordingError: A path that the user names does not exist, or is not what it should be.
    """
    notes: list[str] = []
    series = behavior_series(root)
    eye = series
    if options.pupil is not None:
        named = require_path(root, options.pupil, "--pupil")
        eye = [node for node in series if (node.path + "/").startswith(named.path + "/")]
        if not eye:
            raise RecordingError(
                f"{named.where} is no time series and holds none",
                hint="--pupil takes the path of a series, or of a group with pupil and gaze",
            )
    is_named = options.pupil is not None
    gaze = find_gaze(eye, profile, notes, is_named=is_named)
    pupil = find_pupil(eye, profile, notes, is_named=is_named)
    running = find_running(root, series, options.running, profile, notes)
    measures = [measure for measure in (gaze, pupil, running) if measure is not None]
    signals = _signals(gaze, pupil, running, notes)
    uses = {
        path: f"not taken: {measure.use} is {', '.join(measure.paths)}"
        for measure in measures
        for path in measure.alternatives
    }
    uses |= {path: measure.use for measure in measures for path in measure.paths}
    missing = [
        name
        for name, measure in (("gaze", gaze), ("pupil", pupil), ("running", running))
        if measure is None
    ]
    if missing:
        notes.append(f"the file has no {', no '.join(missing)}")
    return Behavior(signals=signals, uses=uses, notes=tuple(notes))


def _signals(
    gaze: Measure | None, pupil: Measure | None, running: Measure | None, notes: list[str]
) -> tuple[Signal, ...]:
    """Return one signal for each clock: gaze and pupil of one camera together."""
    eye: list[tuple[str, list[Measure]]] = []
    if gaze is not None and pupil is not None and _same_times(gaze, pupil):
        eye = [("eye_tracker", [gaze, pupil])]
    else:
        # Two signals need two names.
        names = ("eye_tracker", "eye_tracker" if gaze is None else "pupil")
        eye = [
            (name, [measure])
            for name, measure in zip(names, (gaze, pupil), strict=True)
            if measure is not None
        ]
    devices = [*eye, *([("treadmill", [running])] if running is not None else [])]
    signals = []
    for name, measures in devices:
        try:
            signals.append(_signal(name, measures, notes))
        except RecordingError as error:
            paths = ", ".join(path for measure in measures for path in measure.paths)
            notes.append(f"{paths}: not taken, because {error.message}")
    return tuple(signals)


def _same_times(one: Measure, other: Measure) -> bool:
    return len(one.times) == len(other.times) and np.allclose(
        one.times, other.times, rtol=0.0, atol=1e-4, equal_nan=True
    )


def _signal(name: str, measures: list[Measure], notes: list[str]) -> Signal:
    regular = behavior_clock(measures[0].node, measures[0].times)
    notes.extend(regular.notes)
    # What does not fit into float32 is no measurement, and infinite values count as missing.
    with np.errstate(over="ignore"):
        values = np.concatenate([measure.values for measure in measures], axis=1, dtype=np.float32)
    return Signal(
        name=name,
        clock=regular.clock,
        channels=tuple(channel for measure in measures for channel in measure.channels),
        num_channels=values.shape[1],
        read_rows=regular.rows_of(values),
        units=tuple(unit for measure in measures for unit in measure.units),
        source_units=tuple(unit for measure in measures for unit in measure.source_units),
    )
