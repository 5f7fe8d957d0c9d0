"""The stimulus of an NWB file: what was on the screen when, as a screen and trials."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.conditions import is_grey_name, row_conditions
from omnimouse_cli.recording.nwb.external_films import ExternalFilm
from omnimouse_cli.recording.nwb.movies import Film, name_pieces
from omnimouse_cli.recording.nwb.sources import describe, find_sources, list_templates
from omnimouse_cli.recording.nwb.stimulus_reader import RANKS, StimulusReader
from omnimouse_cli.recording.nwb.tables import recording_end
from omnimouse_cli.recording.nwb.timeline import (
    JITTER_SECONDS,
    Segment,
    Spans,
    abut,
    build_screen,
    cut,
    cut_by_rows,
    fill_gaps,
    grey_segment,
    resolve,
)
from omnimouse_cli.recording.nwb.tree import Node
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.recording import Content, Screen, Trial
from omnimouse_cli.text import pluralize

# Time of an epoch that no stimulus covers is unknown from this length on.
_UNKNOWN_SECONDS = 0.1
# Drifting gratings are this far apart at most.
_GRATING_GAP_SECONDS = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Stimulus:
    """The stimulus of a file, in seconds of the file.

    Args:
        screen: The frames that were shown; None if none of them is known.
        trials: The trials, ascending by start.
        contents: What the file holds of the stimulus, for `omnimouse inspect FILE`.
        notes: What was assumed, repaired or excluded, for the user.
    """

    screen: Screen | None
    trials: tuple[Trial, ...]
    contents: tuple[Content, ...]
    notes: tuple[str, ...]


def open_stimulus(
    root: Node, options: OpenOptions, *, response_seconds: NDArray[np.float64]
) -> Stimulus:
    """Open the stimulus of a file: tables and times are read, frames on demand.

    Args:
        root: Root of the open file.
        options: What the user says of the stimulus and the trials.
        response_seconds: float64 `(rows,)`, ascending: times of the imaging rows.

    Raises:
        RecordingError: A path that the user names does not exist, or times are contradictory.
    """
    reader = StimulusReader(root, options, response_seconds)
    for source in find_sources(root, options):
        reader.read(source)
    segments, notes = _cut_by_trials(reader, has_named_trials=options.trials is not None)
    segments, end_notes = _until_end(segments, root, recording_end(response_seconds))
    segments, grey_notes = _with_grey(segments)
    if any(segment.source is not None for segment in segments):
        segments += _uncovered_epochs(reader, segments)
        segments.sort(key=lambda segment: segment.start)
        profile = reader.profile
        segments = fill_gaps(segments, profile.grey_seconds, profile.name)
    monitor = reader.profile.monitor(
        is_film=bool(reader.groups["film"]), is_stretched=reader.is_stretched
    )
    if reader.film_monitor is not None and reader.profile.display is None:
        monitor = replace(reader.film_monitor, policy=monitor.policy)
    screen, trials = build_screen(abut(segments), monitor)
    notes = [*reader.notes, *notes, *end_notes, *grey_notes]
    if screen is not None:
        size = ""
        if reader.profile.display is not None:
            size = (
                f" ({monitor.width_cm:g} x {monitor.height_cm:g} cm at {monitor.distance_cm:g} cm, "
                f"{monitor.warp} warp, as {reader.profile.name} had it; grey round templates)"
            )
        notes.append(f"screen: frames show {monitor.policy}{size}")
    elif trials:
        notes.append("screen: absent, because no frames are known; trials have conditions only")
    for node in list_templates(root):
        reader.uses.setdefault(node.path, (node, "not taken: no series shows it"))
    contents = tuple(
        Content(path=path, what=describe(node), use=use)
        for path, (node, use) in sorted(reader.uses.items())
    )
    return Stimulus(screen=screen, trials=trials, contents=contents, notes=tuple(notes))


def _cut_by_trials(
    reader: StimulusReader, *, has_named_trials: bool
) -> tuple[list[Segment], list[str]]:
    """Return all segments without overlaps, and notes; rows of tables cut films.

    Args:
        reader: What the sources say.
        has_named_trials: Whether the user named the table: its rows then cut everything.
    """
    groups = dict(reader.groups)
    rows, row_notes = resolve(reader.rows)
    track, notes = resolve(groups["film"])
    if has_named_trials:
        ranks = [rank for rank in RANKS if rank != "invalid"]
        track, notes = resolve([group for rank in ranks for group in groups[rank]])
        groups = {rank: [] for rank in RANKS} | {"invalid": groups["invalid"]}
    if rows and track:
        rows, track = cut_by_rows(track, rows)
        groups["named"] = [[row for row in rows if row.source is not None]]
        rows = [row for row in rows if row.source is None]
    groups["unseen"] = [rows]
    pieces = list[Segment]()
    for part in track:
        if part.end - part.start >= JITTER_SECONDS:
            pieces += name_pieces(part) if isinstance(part.source, Film | ExternalFilm) else [part]
    groups["film"] = [pieces]
    resolved, more_notes = resolve([g for rank in RANKS for g in groups[rank] if g])
    return resolved, [*row_notes, *notes, *more_notes]


def _until_end(
    segments: Sequence[Segment], root: Node, end: float
) -> tuple[list[Segment], list[str]]:
    """Return the segments until the end of the recording, and a note on the others.

    Raises:
        RecordingError: All of them are behind the end.
    """
    parts = [cut(segment, segment.start, end) for segment in segments]
    kept = [part for part in parts if part is not None]
    if segments and not kept:
        raise RecordingError(
            f"{root.file}: the whole stimulus ({segments[0].origin}) is behind the end of the "
            f"recording: it starts at {segments[0].start:g} s, the responses end at {end:g} s",
            hint="stimulus and responses must count seconds from one moment; correct the times",
        )
    num_late = len(segments) - len(kept)
    num_cut = sum(part.end > end + JITTER_SECONDS for part in segments) - num_late
    if not (num_late or num_cut):
        return kept, []
    late = f"{num_late} are behind it and are dropped" if num_late else ""
    across = f"{num_cut} reach beyond it and are cut there" if num_cut else ""
    return kept, [
        f"stimulus: the recording ends at {end:.3f} s; of {pluralize(len(segments), 'trial')} "
        f"{', '.join(filter(None, (late, across)))}"
    ]


def _with_grey(segments: Sequence[Segment]) -> tuple[list[Segment], list[str]]:
    """Return segments whose grey has frames if other stimuli have frames, and else none."""
    has_frames = any(s.source is not None and s.kind != "blank" for s in segments)
    if not has_frames:
        nothing, none = np.empty(0), np.empty(0, np.int64)
        return [replace(s, source=None, flips=nothing, numbers=none) for s in segments], []
    result, num_stated = list[Segment](), 0
    for segment in segments:
        if segment.source is None and segment.kind == "blank":
            grey = grey_segment(segment.start, segment.end, segment.origin)
            num_stated += 1
            result.append(replace(grey, condition=segment.condition, tier=segment.tier))
        else:
            result.append(segment)
    note = (
        f"screen: {pluralize(num_stated, 'trial is', 'trials are')} grey by name; grey 127 is taken"
    )
    return result, [note] if num_stated else []


def _uncovered_epochs(reader: StimulusReader, segments: Sequence[Segment]) -> list[Segment]:
    """Return segments for the time of epochs that no stimulus covers: its stimulus is unknown.

    Grey is what lies between drifting gratings, and epochs of grey, where the data set is known.
    """
    is_known = reader.profile.grey_seconds > 0
    spans, result = Spans(), list[Segment]()
    spans.add(segments)
    for table in reader.epochs:
        before = len(result)
        names = row_conditions(table.columns, len(table.starts))
        rows = zip(table.starts.tolist(), table.ends.tolist(), names, strict=True)
        for start, end, name in rows:
            for first, last in spans.free(start, end):
                if name is None or last - first < _UNKNOWN_SECONDS:
                    continue
                if is_known and is_grey_name(name):
                    result.append(grey_segment(first, last, table.path))
                elif not (is_known and "drifting" in name and last - first <= _GRATING_GAP_SECONDS):
                    result.append(
                        Segment(
                            start=first, end=last, kind="unknown", condition=None, origin=table.path
                        )
                    )
        unknown = [s for s in result[before:] if s.kind == "unknown"]
        if unknown:
            seconds = sum(s.end - s.start for s in unknown)
            reader.notes.append(
                f"{table.path}: {seconds:.1f} s of its epochs have no known stimulus and are not "
                "used with a screen"
            )
    return result
