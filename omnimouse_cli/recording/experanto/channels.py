"""What the columns of a behavior device are: names, units, and whether a derivative is one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.rows import RowFile
from omnimouse_cli.recording.meta import Meta

_CHANNELS = {
    ("eye_tracker", 4): ("pupil_x", "pupil_y", "pupil_size", "pupil_size_derivative"),
    ("eye_tracker", 2): ("pupil_x", "pupil_y"),
    ("treadmill", 1): ("running",),
}
_DERIVATIVE = "pupil_size_derivative"
# The derivative of a smoothed size and that of its samples differ, but hardly by more than this.
_LEAST_CORRELATION = 0.5
_SAMPLED_BLOCKS = 8
_SAMPLED_ROWS = 256
_CENTIMETRES_PER_SECOND = {"cm/s": 1.0, "m/s": 100.0, "mm/s": 0.1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """The columns of a behavior device.

    Args:
        names: Name of each column.
        units: Unit of each column as it is read; empty if unknown.
        source_units: Unit of each column as meta.yml states it; empty if unknown.
        factor: Factor from the stored unit to the one that is read.
        notes: One sentence for each thing that was assumed, repaired or left out.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    source_units: tuple[str, ...]
    factor: float
    notes: tuple[str, ...]


def name_channels(device: str, meta: Meta, rows: RowFile) -> Channels:
    """Return what the columns of a behavior device are.

    Running is read in cm/s where meta.yml states another unit of speed.

    Args:
        device: Name of the device's folder.
        meta: Its meta.yml; `units` is a text, or a list with one text per column.
        rows: Its rows, of which at most 2,048 are read.

    Raises:
        RecordingError: `units` is no list of one unit per column.
    """
    numbered = tuple(f"{device}_{column}" for column in range(rows.num_columns))
    names = _CHANNELS.get((device, rows.num_columns), numbered)
    notes: list[str] = []
    if _DERIVATIVE in names:
        correlation = _correlate_with_derivative(rows, size=2, derivative=3)
        if not correlation >= _LEAST_CORRELATION:
            names = (*names[:3], numbered[3])
            notes.append(
                f"{device}: the fourth channel is named {numbered[3]}, because it is no derivative "
                f"of the third (correlation {correlation:.2f})"
            )
    stated = _read_units(meta, rows.num_columns)
    units, factor = stated, 1.0
    if names == ("running",) and stated and stated[0] in _CENTIMETRES_PER_SECOND:
        units, factor = ("cm/s",), _CENTIMETRES_PER_SECOND[stated[0]]
        if factor != 1:
            notes.append(f"{device}: converted from {stated[0]} to cm/s")
    return Channels(
        names=names, units=units, source_units=stated, factor=factor, notes=tuple(notes)
    )


def _read_units(meta: Meta, num_columns: int) -> tuple[str, ...]:
    stated = meta.values.get("units", meta.values.get("unit"))
    if stated is None:
        return ()
    units = [stated] * num_columns if isinstance(stated, str) else stated
    if (
        not isinstance(units, list)
        or len(units) != num_columns
        or not all(isinstance(unit, str) for unit in units)
    ):
        raise RecordingError(
            f"{meta.source}: `units` must be one text, or a list of {num_columns}: {stated!r}"
        )
    return tuple(unit.strip() for unit in units)


def _correlate_with_derivative(rows: RowFile, *, size: int, derivative: int) -> float:
    """Return the correlation of a column with differences of another, 0 without values.

    The larger one of differences over one row and over two: exporters use either.
    """
    last_start = max(rows.num_rows - _SAMPLED_ROWS, 0)
    starts = np.unique(np.linspace(0, last_start, _SAMPLED_BLOCKS).astype(int)).tolist()
    blocks = [rows.read(start, min(start + _SAMPLED_ROWS, rows.num_rows)) for start in starts]
    values = [block[:, [size, derivative]].astype(np.float64) for block in blocks]
    pairs = []
    for before, after in ((1, 0), (0, 1), (1, 1)):
        differences, found = [], []
        for block in values:
            last = len(block) - after
            differences.append(block[before + after :, 0] - block[: last - before, 0])
            found.append(block[before:last, 1])
        pairs.append(_correlation(np.concatenate(differences), np.concatenate(found)))
    return max(pairs)


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < 3:
        return 0.0
    one, other = one[both] - one[both].mean(), other[both] - other[both].mean()
    norm = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / norm if norm > 0 else 0.0
