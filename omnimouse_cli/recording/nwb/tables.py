"""Tables of trials and stimuli: when each row begins and ends, and what its columns call it."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.tree import Node
from omnimouse_cli.text import pluralize

_START_COLUMNS = ("start_time", "start_seconds", "start", "onset", "onset_time")
_STOP_COLUMNS = ("stop_time", "stop_seconds", "stop", "end_time", "end_seconds", "end", "offset")
# Rows that overlap by less have jitter in their times.
_OVERLAP_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Rows of a table in temporal order.

    Args:
        path: Path inside the file, for notes.
        name: Name of the table without `_stimulus` and `_presentations`.
        starts: float64 `(rows,)`, seconds of the file.
        ends: float64 `(rows,)`.
        columns: Other columns, each `(rows,)`; text as objects of type str.
        notes: What was assumed, for the user.
    """

    path: str
    name: str
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    columns: Mapping[str, NDArray[Any]]
    notes: tuple[str, ...] = ()


def is_table(node: Node) -> bool:
    """Return whether a node is a table of times; one that lacks its starts is a problem."""
    if node.get("start_time") is not None:
        return True
    if node.neurodata_type == "TimeIntervals":
        node.report(f"{node.path}: not taken, because it has no `start_time`")
    return False


def read_columns(node: Node) -> dict[str, NDArray[Any]]:
    """Return the columns of a table of times, without those of lists, images or links.

    A column of another length than the table is left out and is a problem.

    Raises:
        RecordingError: The column of stops has another length.
    """
    values = {
        child.name: child
        for child in node.children()
        if child.is_dataset and len(child.shape) == 1 and child.dtype.kind in "buifO"
    }
    num_rows = values["start_time"].shape[0] if "start_time" in values else 0
    columns = {}
    for name, child in values.items():
        if f"{name}_index" in values or name == "id":
            continue
        if child.shape[0] == num_rows:
            columns[name] = child.read()
            continue
        lengths = f"has {pluralize(child.shape[0], 'value')} for {pluralize(num_rows, 'row')}"
        if name in _STOP_COLUMNS:
            raise RecordingError(
                f"{child.where} {lengths}", hint="correct the table, or name another: --trials"
            )
        node.report(f"{child.path} {lengths} and is not used")
    return columns


def read_csv(path: Path, response_seconds: NDArray[np.float64]) -> Table | None:
    """Read a table of trials from a CSV file with a line of column names.

    Args:
        path: The file.
        response_seconds: float64 `(rows,)`: times of the imaging rows.

    Raises:
        RecordingError: It has no column of starts, or its times are contradictory.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first_line = file.readline()
            file.seek(0)
            rows = list(csv.DictReader(file, delimiter=max(",;\t", key=first_line.count)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(
            f"{path} is no table of trials: {error}", hint="save it as CSV (UTF-8)"
        ) from error
    names = [name for name in (rows[0] if rows else {}) if name]
    columns: dict[str, NDArray[Any]] = {}
    for name in names:
        text = [(row[name] or "").strip() for row in rows]
        try:
            columns[name.strip()] = np.array([float(value) if value else np.nan for value in text])
        except ValueError:
            columns[name.strip()] = np.array(text, dtype=object)
    return make_table(str(path), path.stem, columns, response_seconds, str(path))


def make_table(
    path: str,
    name: str,
    columns: Mapping[str, NDArray[Any]],
    response_seconds: NDArray[np.float64],
    where: str,
) -> Table | None:
    """Return a table with its rows in temporal order and its times in seconds.

    Times that are whole numbers, lie behind the recording for at least half of the rows, and are
    rows of the responses, count imaging frames.

    Args:
        path: Path inside the file.
        name: Name of the table.
        columns: All columns, each `(rows,)`.
        response_seconds: float64 `(rows,)`: times of the imaging rows.
        where: File and path inside it, for messages.

    Raises:
        RecordingError: Times are missing or contradictory, or all lie behind the recording.
    """
    start_column = next((name for name in _START_COLUMNS if name in columns), None)
    stop_column = next((name for name in _STOP_COLUMNS if name in columns), None)
    if start_column is None:
        raise RecordingError(
            f"{where} has no column of starts: {', '.join(columns) or 'it is empty'}",
            hint="name the columns `start_time` and `stop_time`, in seconds",
        )
    starts = _numbers(columns[start_column], where, start_column)
    ends = None if stop_column is None else _numbers(columns[stop_column], where, stop_column)
    order, starts, ends, notes = _sorted_times(path, starts, ends, where)
    if not len(order):
        return None
    starts, ends, unit_notes = _in_seconds(path, starts, ends, response_seconds)
    end_of_recording = recording_end(response_seconds)
    ends = np.where(np.isfinite(ends), ends, end_of_recording)
    is_inside = starts < end_of_recording
    if not is_inside.any():
        raise RecordingError(
            f"{where}: all {len(starts)} rows start behind the end of the recording: the first at "
            f"{starts[0]:g} s, the responses end at {end_of_recording:g} s",
            hint="times of the table must be seconds of the file's clock; correct them, or name "
            "another table with --trials",
        )
    notes += unit_notes
    if not is_inside.all():
        notes.append(
            f"{path}: rows that start behind the end of the recording "
            f"({end_of_recording:.3f} s) are dropped: {int((~is_inside).sum())} of {len(starts)}"
        )
    num_overlapping = int((ends[:-1] - starts[1:] > _OVERLAP_SECONDS).sum())
    if num_overlapping:
        notes.append(
            f"{path}: rows that overlap with the next one are cut at its start: {num_overlapping}"
        )
    ends = np.minimum(ends, np.append(starts[1:], np.inf))
    kept = is_inside & (ends > starts)
    others = {
        column: values[order][kept]
        for column, values in columns.items()
        if column not in (start_column, stop_column)
    }
    return Table(
        path=path,
        name=stimulus_name(name),
        starts=starts[kept],
        ends=ends[kept],
        columns=others,
        notes=tuple(notes),
    )


def _sorted_times(
    path: str,
    starts: NDArray[np.float64],
    stated_ends: NDArray[np.float64] | None,
    where: str,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Return the rows with a start in temporal order, their starts and ends, and notes.

    An end that is not known is that of the next start, the last one infinite.
    """
    notes = list[str]()
    order = np.argsort(starts, kind="stable")
    order = order[np.isfinite(starts[order])]
    if len(order) < len(starts):
        notes.append(f"{path}: rows without a start are dropped: {len(starts) - len(order)}")
    starts = starts[order]
    following = np.append(starts[1:], np.inf)[: len(starts)]
    ends = np.full(len(starts), np.nan) if stated_ends is None else stated_ends[order]
    # Ends that equal the starts, as those of events, are none.
    has_ends = bool((np.isfinite(ends) & (ends != starts)).any())
    if len(order) and not has_ends:
        notes.append(f"{path}: rows have no ends; each lasts until the next one starts")
    elif not np.isfinite(ends).all():
        notes.append(
            f"{path}: rows without an end last until the next one starts: "
            f"{int((~np.isfinite(ends)).sum())} of {len(ends)}"
        )
    ends = np.where(np.isfinite(ends) & has_ends, ends, following)
    if (ends < starts).any():
        row = int(np.argmax(ends < starts))
        raise RecordingError(
            f"{where}: a row ends before it starts: from {starts[row]:g} to {ends[row]:g}",
            hint="correct the times of the table",
        )
    return order, starts, ends, notes


def _in_seconds(
    path: str,
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    response_seconds: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Return times in seconds; those that count imaging frames are looked up."""
    finite = ends[np.isfinite(ends)]
    is_whole = bool((starts % 1 == 0).all() and (finite % 1 == 0).all())
    behind = float((starts > recording_end(response_seconds)).mean())
    num_rows = len(response_seconds)
    if not is_whole or behind < 0.5 or starts[0] < 0 or starts[0] >= num_rows:
        return starts, ends, []
    is_inside = starts < num_rows
    note = (
        f"{path}: times are whole numbers up to {max(starts[-1], finite.max(initial=0)):g} and the "
        f"recording ends at {recording_end(response_seconds):.1f} s: they count imaging frames"
    )
    frame_seconds = np.append(response_seconds, recording_end(response_seconds))
    rows = np.clip(starts, 0, num_rows).astype(np.int64)
    last = np.clip(np.where(np.isfinite(ends), ends, num_rows), 0, num_rows).astype(np.int64)
    seconds = np.where(is_inside, frame_seconds[rows], np.inf)
    return seconds, frame_seconds[last], [note]


def recording_end(response_seconds: NDArray[np.float64]) -> float:
    """Return the time until which the last imaging row is held."""
    step = float(np.median(np.diff(response_seconds))) if len(response_seconds) > 1 else 0.0
    return float(response_seconds[-1]) + step


def stimulus_name(name: str) -> str:
    """Return the name of a stimulus from that of its series or table.

    Example:
        >>> stimulus_name("natural_movie_one_stimulus")
        'natural_movie_one'
    """
    for suffix in ("_stimulus", "_presentations", "_presentation", "_image_stack", "_template"):
        name = name.removesuffix(suffix)
    return name


def _numbers(values: NDArray[Any], where: str, name: str) -> NDArray[np.float64]:
    try:
        return values.astype(np.float64)
    except ValueError as error:
        raise RecordingError(
            f"{where}: column {name} must hold times in seconds: {error}",
            hint="correct the table, or name another one with --trials",
        ) from error
