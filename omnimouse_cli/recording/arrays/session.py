"""A folder or an `.npz` with responses `[time, neuron]` as a recording.

All files but the first are optional. Times are seconds on one clock, of the session or of the Unix
epoch; columns of tables carry their unit in the name (`speed_cm_s`, `x_px`, `time_ms`).

    responses.npy or .csv   [time, neuron]
    times.npy or .csv       time of each row; else `rate_hz` in session.json, or --rate
    session.json            session, animal, start (ISO 8601), rate_hz, native_rate_hz,
                            responses (rate, dff or fluorescence), id_namespace,
                            licence, citation, doi, institution,
                            monitor {width_cm, height_cm, distance_cm, warp}
    neurons.csv             id, x_um, y_um, z_um or depth_um, delay_s
    frames.npy              (frames, height, width), or with colors; 0 to 255 or 0 to 1
    flips.csv or .npy       seconds, frame (counted from 0): when which frame was shown
    trials.csv              start_seconds, end_seconds or duration_s, stimulus, kind, tier
    running.csv             seconds, speed_cm_s or speed_m_s
    pupil.csv               seconds, x_px, y_px, diameter_px (or radius, area; mm, degrees)
    behavior/NAME.csv       seconds and any channels

Frames and flips may stand in `stimulus/`, running and pupil in `behavior/`. Rows of responses are
taken to be scans unless `native_rate_hz` says otherwise. In an `.npz` a table's column is the array
`<table>_<column>`, as `running_speed_cm_s`, and a field of session.json an array without axes.
"""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.npy import StoredArray
from omnimouse_cli.recording.arrays.side_files import (
    ResponseRows,
    assemble,
    describe_overruled,
    read_times,
)
from omnimouse_cli.recording.arrays.source import Archive, Folder, Source, npz_names
from omnimouse_cli.recording.arrays.tables import Table
from omnimouse_cli.recording.meta import Meta
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.recording import Neurons, Recording, ResponseKind
from omnimouse_cli.text import pluralize

MARKERS = (
    "responses.npy or responses.csv, or an .npz with `responses` and `times` or `rate_hz` (arrays)"
)
_KINDS: tuple[ResponseKind, ...] = ("rate", "dff", "fluorescence")
_WHOLE_NUMBER = re.compile(r"[-+]?[0-9]{1,19}")
_MAX_ID = 2**63 - 1
_ID_COLUMNS = ("id", "unit_id", "neuron_id")
# A block of responses that are stored neuron by neuron has this many rows, as far as memory allows:
# each neuron is one read of a page.
_ROWS_PER_BLOCK = 1024
_BLOCK_BYTES = 32 * 2**20


def is_session(path: Path) -> bool:
    """Return whether a path looks like a folder or an `.npz` of arrays, even a damaged one.

    Of an `.npz` only the list of its arrays is read.
    """
    if path.suffix.lower() == ".npz":
        names = npz_names(path)
        return "responses" in names and ("times" in names or "rate_hz" in names)
    return (path / "responses.npy").is_file() or (path / "responses.csv").is_file()


def open_session(path: Path, options: OpenOptions) -> Recording:
    """Open a folder or an `.npz` of arrays; rows and frames stay on disk.

    Args:
        path: The folder or the `.npz`.
        options: What the user says about the recording; `series` names another array of responses.

    Raises:
        RecordingError: A file is missing, damaged or contradicts another one.
    """
    source: Source = Folder(path=path)
    if path.suffix.lower() == ".npz":
        source = Archive(path=path, names=npz_names(path))
    fields = source.fields()
    kind = _read_kind(fields)
    stored = _find_responses(source, _series_file(path, options.series, kind))
    stored_times = source.array("times")
    neuron_table = source.table("neurons", ("area", "layer", *_ID_COLUMNS))
    notes: list[str] = []
    num_times = None if stored_times is None else int(np.prod(stored_times.shape))
    num_neurons = None if neuron_table is None else neuron_table.num_rows
    is_transposed = _is_transposed(stored, num_times, num_neurons)
    num_rows, num_columns = stored.shape[::-1] if is_transposed else stored.shape
    if is_transposed:
        notes.append(f"responses: shape {stored.shape} is [neuron, time]; the array was transposed")
    stated_hz, stated_source = fields.optional_number("rate_hz"), f"{fields.source}: `rate_hz`"
    rate_hz, rate_source = options.rate_hz, "--rate"
    if rate_hz is None:
        rate_hz, rate_source = stated_hz, stated_source
    elif stored_times is None:
        notes += describe_overruled(rate_hz, stated_hz, stated_source)
    times = read_times(
        None if stored_times is None else stored_times.load(),
        rate_hz,
        num_rows=num_rows,
        where=str(path / "times.npy") if stored_times is None else stored_times.source,
        rate_source=rate_source,
    )
    source.note_content(
        stored.source,
        f"{num_rows} x {num_columns}, {stored.dtype}, {times.regular.clock.rate_hz:.4f} Hz",
        f"responses{f' ({kind})' if kind else ''}",
    )
    if stored_times is not None and num_times is not None:
        source.note_content(
            stored_times.source, pluralize(num_times, "time"), "times of the responses"
        )
    neurons, neuron_notes = _read_neurons(source, fields, neuron_table, num_columns)
    lines = np.arange(num_columns)
    is_by_neuron = is_transposed != stored.column_major

    def read_source(low: int, high: int) -> NDArray[Any]:
        return stored.read_lines(lines, low, high).T if is_transposed else stored.read(low, high)

    return assemble(
        source,
        fields,
        options,
        ResponseRows(
            times=times,
            neurons=neurons,
            read_rows=partial(
                times.regular.read_rows, read_source=read_source, num_columns=num_columns
            ),
            rows_per_block=rows_per_block(num_columns) if is_by_neuron else None,
            kind=kind,
            series=Path(stored.source).name,
            excluded={},
        ),
        default_session=path.resolve().name.removesuffix(".npz"),
        notes=[*notes, *neuron_notes],
    )


def rows_per_block(num_neurons: int) -> int:
    """Return how many rows are read at once best where each neuron is stored as one line."""
    return max(1, min(_ROWS_PER_BLOCK, _BLOCK_BYTES // max(1, 4 * num_neurons)))


def _series_file(path: Path, series: str | None, kind: ResponseKind | None) -> str | None:
    """Return the array that `series` names, None for the usual one, which a kind stands for."""
    wanted = next((known for known in _KINDS if known == series), None)
    if wanted is None:
        return series
    # Conversion makes dF/F of fluorescence.
    if kind in (None, wanted) or (wanted, kind) == ("dff", "fluorescence"):
        return None
    raise RecordingError(
        f"{path} has no series {series}: its responses are {kind}",
        hint="name an array with --series, or omit the option",
    )


def _find_responses(source: Source, given: str | None) -> StoredArray:
    stored = source.array("responses", given)
    if stored is None:
        raise RecordingError(
            f"{source.path} has no responses.npy", hint="write responses as [time, neuron]"
        )
    if len(stored.shape) == 1:
        stored = replace(stored, shape=(stored.shape[0], 1))
    if len(stored.shape) != 2 or 0 in stored.shape:
        raise RecordingError(
            f"{stored.source} must hold responses as [time, neuron]: its shape is {stored.shape}",
            hint="save responses with two axes: np.save(path, responses)",
        )
    return stored


def _is_transposed(stored: StoredArray, num_times: int | None, num_neurons: int | None) -> bool:
    """Return whether the array is [neuron, time]: times and neurons decide, else its shape.

    Raises:
        RecordingError: Neither axis fits, or it cannot be decided.
    """
    known = [
        (name, count, axis)
        for name, count, axis in (("times", num_times, 0), ("neurons", num_neurons, 1))
        if count is not None
    ]
    fits = [all(stored.shape[axis] == count for _, count, axis in known)]
    fits.append(all(stored.shape[1 - axis] == count for _, count, axis in known))
    if not any(fits):
        counts = " and ".join(f"{count} {name}" for name, count, _ in known)
        raise RecordingError(
            f"{stored.source} has shape {stored.shape}, which does not fit to {counts}",
            hint="responses must be [time, neuron], with a time for each row",
        )
    is_usual = stored.shape[0] > stored.shape[1]
    if fits[0] and (not fits[1] or is_usual):
        return False
    if fits[1] and not fits[0]:
        return True
    raise RecordingError(
        f"{stored.source} has shape {stored.shape}: whether it is [time, neuron] or "
        "[neuron, time] is not known",
        hint="add times.npy (a time for each row) or neurons.csv (a row for each neuron)",
    )


def _read_kind(fields: Meta) -> ResponseKind | None:
    text = fields.optional_text("responses") or fields.optional_text("response_kind")
    if text is None:
        return None
    kind = next((kind for kind in _KINDS if kind == text.lower()), None)
    if kind is None:
        raise RecordingError(
            f"{fields.source}: `responses` must be one of {', '.join(_KINDS)}: {text}",
            hint="rate: spikes, events or deconvolved activity; dff: dF/F; fluorescence: raw",
        )
    return kind


def _read_ids(table: Table, name: str) -> NDArray[np.int64]:
    ids = np.zeros(table.num_rows, np.int64)
    seen: set[int] = set()
    for row, text in enumerate(table.texts(name)):
        # Ids of 18 digits are common and have no float64.
        number = int(text) if _WHOLE_NUMBER.fullmatch(text) else _whole(text)
        if number is None or number in seen or abs(number) > _MAX_ID:
            raise RecordingError(
                f"{table.row_name(row)}: ids must be different whole numbers: {text!r}",
                hint=f"correct `{name}`, or leave the column out",
            )
        seen.add(number)
        ids[row] = number
    return ids


def _whole(text: str) -> int | None:
    """Return a whole number that is written as `3.0` or `1e3`; None if it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() else None


def _read_neurons(
    source: Source, fields: Meta, table: Table | None, num_neurons: int
) -> tuple[Neurons, list[str]]:
    """Return ids, positions and delays from the table `neurons`, and notes for the user."""
    if table is None:
        return Neurons(num_neurons=num_neurons), []
    notes: list[str] = []
    used = []
    unit_id = delay = position = None
    id_name = next((name for name in _ID_COLUMNS if name in table.columns), None)
    if id_name is not None:
        unit_id = _read_ids(table, id_name)
        used.append("ids")
    axes = [table.find((axis,)) for axis in ("x", "y", "z")]
    axes[2] = axes[2] or table.find(("depth",))
    if axes[0] is not None and axes[1] is not None:
        zeros = np.zeros(num_neurons)
        columns = [zeros if name is None else table.numbers(name) for name in axes]
        position = np.stack(columns, axis=1).astype(np.float32)
        used.append("positions")
        if axes[2] is None:
            notes.append("neurons: no depth is stated; z is 0")
    delays = table.seconds(("delay",))
    if delays is not None:
        delay = delays.astype(np.float32)
        used.append("delays")
    source.note_content(
        table.source,
        f"{pluralize(num_neurons, 'neuron')}, columns {', '.join(table.columns)}",
        " and ".join(used) or "not taken: no id, x_um and y_um, or delay_s",
    )
    return (
        Neurons(
            num_neurons=num_neurons,
            unit_id=unit_id,
            position_um=position,
            id_namespace=fields.optional_text("id_namespace"),
            delay_seconds=delay,
        ),
        notes,
    )
