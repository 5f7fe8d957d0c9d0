"""Trials and the screen from `trials`, `flips` and `frames`."""

from dataclasses import dataclass

import numpy as np

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.frames import Frames, open_frames
from omnimouse_cli.recording.arrays.source import Source
from omnimouse_cli.recording.arrays.timeline import Flips, Timeline, without_screen
from omnimouse_cli.recording.arrays.trials import read_trial_rows
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.recording import Monitor, Screen, Trial
from omnimouse_cli.recording.times import require_times


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stimulus:
    """What was shown.

    Args:
        trials: The trials, ascending by start.
        screen: None without frames.
        notes: One sentence for each thing that was assumed, repaired or left out.
    """

    trials: tuple[Trial, ...] = ()
    screen: Screen | None = None
    notes: tuple[str, ...] = ()


def open_stimulus(
    source: Source, options: OpenOptions, *, zero_seconds: float, monitor: Monitor | None
) -> Stimulus:
    """Return trials and screen; frames stay on disk.

    Args:
        source: Folder or `.npz` of the recording.
        options: `stimulus` and `trials` name files.
        zero_seconds: Time in the files that is second 0 of the recording.
        monitor: Geometry of the monitor; None if unknown.

    Raises:
        RecordingError: Trials, flips and frames do not fit together.
    """
    rows, notes = read_trial_rows(source, options.trials, zero_seconds=zero_seconds)
    stored = source.array("frames", options.stimulus)
    flips = _read_flips(source, zero_seconds)
    if stored is None and flips is None:
        return Stimulus(trials=tuple(without_screen(row) for row in rows), notes=tuple(notes))
    if stored is None or flips is None:
        found, missing = ("frames", "flips") if flips is None else ("flips", "frames")
        raise RecordingError(
            f"{source.path} has {found} but no {missing}: what was shown when is not known",
            hint="write frames.npy (frames, height, width) and flips.csv (seconds, frame), or "
            "neither of them",
        )
    frames = open_frames(stored)
    flips = _check_frames(flips, frames)
    source.note_content(
        stored.source,
        f"{frames.num_frames} frames of {frames.height} x {frames.width}, {stored.dtype}",
        "frames of the screen",
    )
    source.note_content(flips.source, f"{len(flips.seconds)} flips", "times of the frames")
    if int(flips.frame.min()) == 1:
        notes.append("flips: frame 0 is never shown; frames must be counted from 0, not from 1")
    timeline = Timeline(flips=flips, frames=frames)
    if rows:
        timeline.add_rows(rows)
    else:
        timeline.add_runs()
        notes.append(
            "trials: there is no table of trials; runs of consecutive frames are trials, named by "
            "the frames"
        )
    screen = timeline.screen(monitor or Monitor(policy="the template, stretched"))
    notes = [*notes, *frames.notes, *timeline.notes]
    return Stimulus(trials=tuple(timeline.trials), screen=screen, notes=tuple(notes))


def _read_flips(source: Source, zero_seconds: float) -> Flips | None:
    """Read flips from a table (seconds, frame) or an array of times or of times and frames."""
    table = source.table("flips")
    if table is not None:
        seconds, where = table.times(), table.source
        name = table.find(("frame", "frame_index", "index"))
        numbers = np.arange(len(seconds), dtype=np.float64) if name is None else table.numbers(name)
    else:
        stored = source.array("flips")
        if stored is None:
            return None
        values, where = stored.load().astype(np.float64), stored.source
        if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] != 2):
            raise RecordingError(
                f"{where} must hold times, or times and frame numbers in two columns: its shape is "
                f"{values.shape}",
                hint="write flips as (flips, 2): seconds and frame",
            )
        seconds = values if values.ndim == 1 else values[:, 0]
        numbers = np.arange(len(values), dtype=np.float64) if values.ndim == 1 else values[:, 1]
    require_times(seconds, where)
    whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (numbers >= 0)
    if not whole.all():
        row = int(np.argmin(whole))
        raise RecordingError(
            f"{where}: frame numbers must be whole numbers from 0 on, but flip {row} has "
            f"{numbers[row]:g}",
            hint="frames are counted from 0: MATLAB's frame 1 is frame 0 here",
        )
    return Flips(
        seconds=seconds - zero_seconds,
        frame=numbers.astype(np.int64),
        step_seconds=float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1 / 30,
        source=where,
    )


def _check_frames(flips: Flips, frames: Frames) -> Flips:
    if int(flips.frame.max()) < frames.num_frames:
        return flips
    row = int(np.argmax(flips.frame))
    raise RecordingError(
        f"{flips.source}: flip {row} shows frame {flips.frame[row]}, but {frames.stored.source} "
        f"has {frames.num_frames} frames, counted from 0",
        hint="write frames as (frames, height, width), and count them from 0",
    )
