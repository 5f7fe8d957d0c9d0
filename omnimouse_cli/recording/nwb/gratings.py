"""Gratings, drawn from the parameters of a table."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.nwb.geometry import GREY, Display, grating_samples
from omnimouse_cli.recording.nwb.timeline import Segment, grey_segment
from omnimouse_cli.recording.resize import FRAME_HEIGHT, FRAME_WIDTH

# Gratings that move are drawn this often, whatever the rate of the monitor.
_FRAME_RATE_HZ = 30.0
# Contrast of gratings without a stated one, as in Allen's protocols.
_DEFAULT_CONTRAST = 0.8
# Names of parameters, in the order in which conditions state them, and how columns call them.
_COLUMNS = {
    "orientation": r"(grating_)?(orientation|direction|ori|dir)(_(in_)?deg(rees)?)?",
    "spatial_frequency": r"(grating_)?(spatial_?freq(uency)?|sf)(_(in_)?(cycles_per_degree|cpd))?",
    "temporal_frequency": r"(grating_)?(temporal_?freq(uency)?|tf)(_(in_)?hz)?",
    "phase": r"(grating_)?phase",
    "contrast": r"(grating_)?contrast",
}
_BLANK_COLUMN = r"(is_)?blank(_sweep)?"


@dataclass(frozen=True, slots=True, kw_only=True)
class GratingTable:
    """Parameters of gratings by row.

    Args:
        path: Path of the table, for notes.
        parameters: Name of a parameter and its values, float64 `(rows,)`; NaN where a row has none.
        is_blank: bool `(rows,)`: whether nothing but grey is shown.
        default_frequency: Cycles per degree of rows without a spatial frequency.
        notes: What was assumed, for the user.
    """

    path: str
    parameters: Mapping[str, NDArray[np.float64]]
    is_blank: NDArray[np.bool_]
    default_frequency: float
    notes: tuple[str, ...]

    def condition(self, row: int) -> str:
        """Return the parameters of a row as text, as `orientation=45 contrast=0.8`."""
        values = ((name, column[row]) for name, column in self.parameters.items())
        return " ".join(f"{name}={value:g}" for name, value in values if np.isfinite(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grating:
    """One grating.

    Args:
        display: The monitor.
        orientation: Direction in which it drifts, in degrees anticlockwise from the right.
        cycles_per_degree: Spatial frequency.
        hertz: Temporal frequency; 0 if it does not move.
        phase: Phase at the centre of the monitor at the start, in cycles.
        contrast: Contrast, 0 to 1.
    """

    display: Display
    orientation: float
    cycles_per_degree: float
    hertz: float
    phase: float
    contrast: float

    def read(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return frames, uint8 `(len(numbers), 36, 64)`; frame k is at k / 30 seconds."""
        wave = _mean_wave(self.display, self.orientation % 360.0, self.cycles_per_degree)
        turns = self.phase - self.hertz * numbers / _FRAME_RATE_HZ
        shifted = np.exp(2j * np.pi * turns)[:, None, None] * wave
        levels = GREY * (1 + self.contrast * shifted.real)
        frames: NDArray[np.uint8] = np.floor(levels + 0.5).astype(np.uint8)
        return frames.reshape(-1, FRAME_HEIGHT, FRAME_WIDTH)


# Trials repeat some hundred gratings at most.
@lru_cache(maxsize=512)
def _mean_wave(
    display: Display, orientation: float, cycles_per_degree: float
) -> NDArray[np.complex128]:
    """Return the mean of exp(i phase) over every pixel of a frame, complex128 `(36, 64)`.

    Args:
        display: The monitor.
        orientation: Direction in which the phase grows, degrees anticlockwise from the right.
        cycles_per_degree: Spatial frequency.
    """
    x, y = grating_samples(display)
    angle = np.radians(orientation)
    distance = x * np.cos(angle) + y * np.sin(angle)
    wave: NDArray[np.complex128] = np.exp(2j * np.pi * cycles_per_degree * distance).mean(axis=2)
    return wave


def has_orientation(columns: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether a column of a table is an orientation."""
    return any(re.fullmatch(_COLUMNS["orientation"], name.lower()) for name in columns)


def parse_gratings(
    columns: Mapping[str, NDArray[Any]], path: str, *, default_frequency: float | None
) -> GratingTable | None:
    """Return the parameters of gratings from the columns of a table.

    Args:
        columns: Name and values of each column.
        path: Path of the table, for notes.
        default_frequency: Cycles per degree of drifting gratings in tables without that column.

    Returns:
        The parameters; None if no column is an orientation or no spatial frequency is known.
    """
    parameters, notes = {}, list[str]()
    for name, pattern in _COLUMNS.items():
        for column, values in columns.items():
            numbers = _as_numbers(values) if re.fullmatch(pattern, column.lower()) else None
            if numbers is not None:
                parameters[name] = numbers
                break
    orientation = parameters.get("orientation")
    if orientation is None or not np.isfinite(orientation).any():
        return None
    is_blank = ~np.isfinite(orientation)
    for column, values in columns.items():
        numbers = _as_numbers(values) if re.fullmatch(_BLANK_COLUMN, column.lower()) else None
        if numbers is not None:
            is_blank |= np.nan_to_num(numbers) != 0
    if "spatial_frequency" not in parameters:
        if default_frequency is None:
            return None
        notes.append(f"{path}: gratings have {default_frequency:g} cycles/degree by the protocol")
    return GratingTable(
        path=path,
        parameters=parameters,
        is_blank=is_blank,
        default_frequency=default_frequency or 0.0,
        notes=tuple(notes),
    )


def grating_segments(
    table: GratingTable,
    starts: Sequence[float],
    ends: Sequence[float],
    *,
    name: str,
    display: Display,
) -> tuple[list[Segment], list[str]]:
    """Return the stretch of each row of a table of gratings.

    Args:
        table: Parameters of the gratings.
        starts: Start of each row, in seconds.
        ends: End of each row.
        name: Name of the stimulus.
        display: The monitor.

    Returns:
        The segments, and notes for the user.
    """
    unit, notes = _scales(table)
    segments = []
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if table.is_blank[row]:
            segments.append(grey_segment(start, end, table.path))
            continue
        value = {key: float(column[row]) for key, column in table.parameters.items()}
        hertz = _finite(value.get("temporal_frequency"), 0.0)
        num_flips = max(1, int(np.ceil((end - start) * _FRAME_RATE_HZ - 0.01))) if hertz else 1
        grating = Grating(
            display=display,
            orientation=value["orientation"],
            cycles_per_degree=_finite(value.get("spatial_frequency"), table.default_frequency),
            hertz=hertz,
            phase=_finite(value.get("phase"), 0.0) * unit["phase"],
            contrast=min(_finite(value.get("contrast"), _DEFAULT_CONTRAST) * unit["contrast"], 1.0),
        )
        segments.append(
            Segment(
                start=start,
                end=end,
                kind="video" if hertz else "image",
                condition=f"{name} {table.condition(row)}",
                origin=table.path,
                source=grating,
                flips=start + np.arange(num_flips) / _FRAME_RATE_HZ,
                numbers=np.arange(num_flips),
            )
        )
    return segments, notes


def _scales(table: GratingTable) -> tuple[dict[str, float], list[str]]:
    """Return the factors that make phases cycles and contrasts shares of 1, and notes."""
    unit, notes, path = {"phase": 1.0, "contrast": 1.0}, [], table.path
    phase, contrast = table.parameters.get("phase"), table.parameters.get("contrast")
    hertz = table.parameters.get("temporal_frequency")
    largest = float(np.nanmax(np.abs(phase), initial=0.0)) if phase is not None else 0.0
    if largest > 1:
        is_radians = largest <= 2 * np.pi
        unit["phase"] = 1 / (2 * np.pi) if is_radians else 1 / 360
        notes.append(f"{path}: phases are in {'radians' if is_radians else 'degrees'}")
    if contrast is None:
        notes.append(f"{path}: no column of contrast; {_DEFAULT_CONTRAST:.0%} is taken")
    elif float(np.nanmax(contrast, initial=0.0)) > 1:
        unit["contrast"] = 0.01
        notes.append(f"{path}: contrasts are in percent")
    if hertz is not None:
        notes.append(
            f"{path}: gratings drift in the direction of their orientation, anticlockwise from "
            "the right, which is not recorded"
        )
        if phase is None:
            notes.append(f"{path}: the phase at the start of drifting gratings is taken as 0")
        num_fast = int((np.nan_to_num(hertz) >= _FRAME_RATE_HZ / 2).sum())
        if num_fast:
            notes.append(
                f"{path}: {num_fast} gratings of {_FRAME_RATE_HZ / 2:g} Hz or more are drawn at "
                f"{_FRAME_RATE_HZ:g} frames per second, which does not show in what direction they "
                "drift"
            )
    return unit, notes


def _finite(value: float | None, default: float) -> float:
    return value if value is not None and np.isfinite(value) else default


def _as_numbers(values: NDArray[Any]) -> NDArray[np.float64] | None:
    """Return a column as numbers, text that is no number as NaN; None without any number."""
    if values.ndim != 1:
        return None
    if values.dtype.kind in "buif":
        return values.astype(np.float64)
    numbers = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        with contextlib.suppress(ValueError):
            numbers[row] = float(str(value))
    return numbers if np.isfinite(numbers).any() else None
