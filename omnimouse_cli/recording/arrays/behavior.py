"""Running, pupil, gaze and other behavior from tables with a column of times."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.source import BEHAVIOR, Source
from omnimouse_cli.recording.arrays.tables import TIME_NAMES, Table, split_unit
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.recording import Signal
from omnimouse_cli.recording.times import hold_on_grid
from omnimouse_cli.recording.units import CM_PER_SECOND, implausible_speed
from omnimouse_cli.text import pluralize

_SPEED_NAMES = ("running", "speed", "running_speed", "velocity", "treadmill")
_X_NAMES = ("x", "pupil_x", "gaze_x", "center_x", "azimuth", "horizontal")
_Y_NAMES = ("y", "pupil_y", "gaze_y", "center_y", "elevation", "altitude", "vertical")
# In order of preference.
_SIZE_NAMES = ("diameter", "pupil_diameter", "radius", "pupil_radius", "pupil_size", "size")
_AREA_NAMES = ("area", "pupil_area")
_DERIVATIVE_NAMES = ("pupil_size_derivative", "diameter_derivative", "derivative")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Channel:
    """One channel: its values as read, with the unit they have and the one of the file."""

    name: str
    values: NDArray[np.float64]
    unit: str
    source_unit: str


def open_behavior(
    source: Source, options: OpenOptions, *, zero_seconds: float
) -> tuple[tuple[Signal, ...], list[str]]:
    """Return the behavior signals: eye tracker, treadmill, others; and notes for the user.

    The tables are held in memory; at 100 Hz an hour of one channel is 1.4 MB.

    Args:
        source: Folder or `.npz` of the recording.
        options: `running` and `pupil` name files.
        zero_seconds: Time in the tables that is second 0 of the recording.

    Raises:
        RecordingError: A table has no times or no value column, times do not ascend, or two tables
            are of one device.
    """
    signals, notes = [], []
    for name, device, find_channels, given in (
        ("pupil", "eye_tracker", _find_eye, options.pupil),
        ("running", "treadmill", _find_running, options.running),
    ):
        table = source.table(name, given=given)
        if table is not None:
            channels, channel_notes = find_channels(table)
            signal, time_notes = _make_signal(device, table, channels, zero_seconds)
            signals.append(signal)
            notes += [*time_notes, *channel_notes]
            _note_content(source, table, signal)
    for name in source.behavior_names():
        if name in ("pupil", "running"):
            continue
        if name in ("responses", "screen", *(signal.name for signal in signals)):
            raise RecordingError(
                f"{source.path}: behavior/{name}.csv has the name of another signal",
                hint="rename the file: its name becomes that of a device",
            )
        table = source.table(f"{BEHAVIOR}/{name}")
        if table is not None:
            signal, time_notes = _make_signal(name, table, _find_all(name, table), zero_seconds)
            signals.append(signal)
            notes += time_notes
            _note_content(source, table, signal)
    return tuple(signals), notes


def _make_signal(
    device: str, table: Table, channels: list[_Channel], zero_seconds: float
) -> tuple[Signal, list[str]]:
    """Return the rows of a table on a regular clock, and notes on its times."""
    notes = []
    times = table.times()
    is_timed = np.isfinite(times)
    if not is_timed.all():
        notes.append(
            f"{device}: rows without a time are excluded: {int((~is_timed).sum())} of {times.size}"
        )
    regular = hold_on_grid(times[is_timed] - zero_seconds, table.source)
    values = np.stack([channel.values[is_timed] for channel in channels], axis=1)
    signal = Signal(
        name=device,
        clock=regular.clock,
        channels=tuple(channel.name for channel in channels),
        num_channels=len(channels),
        read_rows=regular.rows_of(values),
        units=tuple(channel.unit for channel in channels),
        source_units=tuple(channel.source_unit for channel in channels),
    )
    return signal, [*notes, *regular.notes]


def _note_content(source: Source, table: Table, signal: Signal) -> None:
    source.note_content(
        table.source,
        f"{pluralize(table.num_rows, 'row')}, {signal.clock.rate_hz:.2f} Hz, columns "
        f"{', '.join(table.columns)}",
        f"{signal.name}: {', '.join(signal.channels)}",
    )


def _find_running(table: Table) -> tuple[list[_Channel], list[str]]:
    notes = []
    names = _value_columns(table)
    name = table.find(_SPEED_NAMES)
    if name not in names:
        if len(names) != 1:
            raise RecordingError(
                f"{table.source} must have one column of speed, as `speed_cm_s`: found "
                f"{', '.join(names) or 'none'} beside the times",
                hint="name the speed's column `speed_cm_s` or `speed_m_s`",
            )
        name = names[0]
    unit = split_unit(name)[1]
    if unit is not None and unit not in CM_PER_SECOND:
        raise RecordingError(
            f"{table.source}: `{name}` is in {unit}, but running is a speed in cm/s, m/s, mm/s",
            hint="write the speed of the animal on the wheel's surface as `speed_cm_s`",
        )
    if unit is None:
        notes.append(f"treadmill: column `{name}` has no unit in its name; cm/s is taken")
    values = table.numbers(name) * CM_PER_SECOND[unit or "cm/s"]
    fastest = implausible_speed(values)
    if fastest is not None:
        notes.append(
            f"treadmill: the 99th percentile of running is {fastest:.3g} cm/s; check the unit of "
            f"`{name}`"
        )
    notes += _describe_unused("treadmill", names, {name})
    channel = _Channel(name="running", values=values, unit="cm/s", source_unit=unit or "")
    return [channel], notes


def _find_eye(table: Table) -> tuple[list[_Channel], list[str]]:
    notes: list[str] = []
    names = _value_columns(table)
    channels, used = [], set()
    for channel, quantities in (
        ("pupil_x", _X_NAMES),
        ("pupil_y", _Y_NAMES),
        ("pupil_size", (*_SIZE_NAMES, *_AREA_NAMES)),
        ("pupil_size_derivative", _DERIVATIVE_NAMES),
    ):
        name = table.find(quantities)
        if name is None:
            continue
        used.add(name)
        quantity, unit = split_unit(name)
        values, stored_unit = table.numbers(name), unit or ""
        if quantity in _AREA_NAMES:
            # A blink may be stored as a small negative area.
            values = np.sqrt(np.where(values >= 0, values, np.nan))
            stored_unit = stored_unit.removesuffix("^2")
            notes.append(f"eye_tracker: pupil_size is the square root of `{name}`, an area")
        channels.append(
            _Channel(name=channel, values=values, unit=stored_unit, source_unit=unit or "")
        )
    if not channels:
        raise RecordingError(
            f"{table.source} has no column of gaze or pupil: found "
            f"{', '.join(names) or 'none'} beside the times",
            hint="name columns x_px, y_px and diameter_px (or in mm, degrees; or radius, area)",
        )
    without = [channel.name for channel in channels if not channel.source_unit]
    if without:
        notes.append(
            f"eye_tracker: no unit is stated of {', '.join(without)}; the values are taken as they "
            "are (units stand in the names, as `x_px`)"
        )
    return channels, notes + _describe_unused("eye_tracker", names, used)


def _find_all(device: str, table: Table) -> list[_Channel]:
    names = _value_columns(table)
    if not names:
        raise RecordingError(
            f"{table.source} has no column beside the times",
            hint="add the channels as columns, or remove the file",
        )
    channels = []
    for name in names:
        quantity, unit = split_unit(name)
        channel = device if len(names) == 1 else f"{device}_{quantity}"
        channels.append(
            _Channel(
                name=channel, values=table.numbers(name), unit=unit or "", source_unit=unit or ""
            )
        )
    return channels


def _value_columns(table: Table) -> list[str]:
    time = table.find(TIME_NAMES)
    return [name for name in table.columns if name != time]


def _describe_unused(device: str, names: list[str], used: set[str]) -> list[str]:
    unused = [name for name in names if name not in used]
    return [f"{device}: columns not used: {', '.join(unused)}"] if unused else []
