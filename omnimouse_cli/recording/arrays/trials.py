"""The rows of a table of trials."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import cast, get_args

import numpy as np

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.source import Source
from omnimouse_cli.recording.arrays.tables import Table
from omnimouse_cli.recording.recording import TrialKind
from omnimouse_cli.text import pluralize

_CONDITION = ("stimulus", "condition", "stimulus_name", "trial_type")
_TEXT_COLUMNS = (*_CONDITION, "kind", "tier")
_START = ("start", "start_time", "onset")
_END = ("end", "end_time", "stop", "stop_time", "offset")
# Trials may overlap by this, the rounding of logged times; the earlier one is cut.
_MAX_OVERLAP_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """One trial as a table states it.

    Args:
        start_seconds: Start, from second 0 of the recording.
        end_seconds: End.
        condition: Name of the stimulus; None without one.
        kind: Content of the screen; None where the table does not say.
        tier: Data split; None without one.
        where: File and line, for messages.
    """

    start_seconds: float
    end_seconds: float
    condition: str | None = None
    kind: TrialKind | None = None
    tier: str | None = None
    where: str = ""


def read_trial_rows(
    source: Source, given: str | None, *, zero_seconds: float
) -> tuple[list[TrialRow], list[str]]:
    """Return the trials of the table `trials` in temporal order, and notes for the user.

    Args:
        source: Folder or `.npz` of the recording.
        given: CSV file that the user names.
        zero_seconds: Time in the table that is second 0 of the recording.

    Raises:
        RecordingError: A trial has no start or no end, ends before it starts, or overlaps another.
    """
    table = source.table("trials", _TEXT_COLUMNS, given)
    if table is None:
        return [], []
    starts = table.seconds(_START)
    ends = table.seconds(_END)
    durations = table.seconds(("duration",))
    if starts is None or (ends is None and durations is None):
        raise RecordingError(
            f"{table.source} must have the columns `start_seconds` and `end_seconds`: found "
            f"{', '.join(table.columns)}",
            hint="`stimulus`, `kind` and `tier` may follow",
        )
    if ends is None:
        assert durations is not None, "one of them was found"
        ends = starts + durations
    conditions, kinds, tiers = (
        _texts(table, names) for names in (_CONDITION, ("kind",), ("tier",))
    )
    rows = []
    for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        where = table.row_name(number)
        if not (np.isfinite(start) and np.isfinite(end)) or end <= start:
            raise RecordingError(
                f"{where}: a trial must end after it starts, but it starts at {start:g} s and ends "
                f"at {end:g} s",
                hint="correct or remove the trial",
            )
        rows.append(
            TrialRow(
                start_seconds=start - zero_seconds,
                end_seconds=end - zero_seconds,
                condition=conditions[number] or None,
                kind=_parse_kind(kinds[number], where),
                tier=tiers[number] or None,
                where=where,
            )
        )
    source.note_content(table.source, pluralize(len(rows), "trial"), "trials")
    ordered, notes = _in_order(rows)
    return ordered, [*_describe_unused(table), *notes]


def _describe_unused(table: Table) -> list[str]:
    condition = next((name for name in _CONDITION if name in table.columns), None)
    used = {condition, "kind", "tier"}
    used |= {table.find(names) for names in (_START, _END, ("duration",))}
    unused = [name for name in table.columns if name not in used]
    if not unused:
        return []
    note = f"trials: columns not used: {', '.join(unused)}"
    if condition is None:
        note += f"; stimuli are named by a column {' or '.join(_CONDITION)}"
    return [note]


def _texts(table: Table, names: tuple[str, ...]) -> tuple[str, ...]:
    name = next((name for name in names if name in table.columns), None)
    return ("",) * table.num_rows if name is None else table.texts(name)


def _parse_kind(text: str, where: str) -> TrialKind | None:
    if not text:
        return None
    if text.lower() not in get_args(TrialKind):
        raise RecordingError(
            f"{where}: `kind` must be one of {', '.join(get_args(TrialKind))}: {text}",
            hint="correct the table, or leave `kind` out",
        )
    return cast("TrialKind", text.lower())


def _in_order(rows: list[TrialRow]) -> tuple[list[TrialRow], list[str]]:
    """Sort trials by start, and cut small overlaps."""
    notes = []
    ordered = sorted(rows, key=lambda row: row.start_seconds)
    if ordered != rows:
        notes.append("trials: the table is not in temporal order; trials were sorted by start")
    num_cut = 0
    for index, (row, following) in enumerate(pairwise(ordered)):
        overlap = row.end_seconds - following.start_seconds
        if overlap <= 0:
            continue
        if overlap > _MAX_OVERLAP_SECONDS or following.start_seconds <= row.start_seconds:
            raise RecordingError(
                f"{following.where}: the trial starts at {following.start_seconds:.3f} s, "
                f"{overlap:.3f} s before the trial of {row.where} ends",
                hint="trials must not overlap; correct `end_seconds`",
            )
        ordered[index] = replace(row, end_seconds=following.start_seconds)
        num_cut += 1
    if num_cut:
        notes.append(
            f"trials that end up to 0.1 s after the start of the next one are cut: {num_cut}"
        )
    return ordered, notes
