"""A device's own means and standard deviations, in whichever shape it stored them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.experanto.meta import read_array
from omnimouse_cli.recording.experanto.rows import RowFile

_SAMPLED_BLOCKS = 16
_SAMPLED_ROWS = 32

_Columns = NDArray[np.float64]


def read_statistics(
    folder: Path, rows: RowFile
) -> tuple[_Columns | None, _Columns | None, list[str]]:
    """Read meta/means.npy and meta/stds.npy as `(num_columns,)`, if they can be believed.

    Shapes `(n,)`, `(n, 1)` and `(1, n)` all occur, and one exporter wrote the means into stds.npy.

    Args:
        folder: The device's folder.
        rows: Its data, of which a few hundred rows are read for a sanity check.

    Returns:
        Means, standard deviations (None where absent or not usable), and notes for the user.
    """
    notes: list[str] = []
    mean = _read_columns(folder / "meta" / "means.npy", rows.num_columns, notes)
    # The library's code reads stds.npy, its documentation says std.npy.
    names = ("stds.npy", "std.npy")
    path = next(
        (folder / "meta" / name for name in names if (folder / "meta" / name).is_file()), None
    )
    std = None if path is None else _read_columns(path, rows.num_columns, notes)
    if std is not None and path is not None:
        fault = _fault(mean, std, rows)
        if fault is not None:
            notes.append(f"{folder.name}: meta/{path.name} {fault} and is not used")
            std = None
    return mean, std, notes


def _read_columns(path: Path, num_columns: int, notes: list[str]) -> _Columns | None:
    if not path.is_file():
        return None
    stored = read_array(path)
    if stored.size != num_columns or max(stored.shape, default=1) != num_columns:
        notes.append(
            f"{path.parent.parent.name}: meta/{path.name} has shape {stored.shape} for "
            f"{num_columns} signals and is not used"
        )
        return None
    return stored.reshape(-1).astype(np.float64)


def _fault(mean: _Columns | None, std: _Columns, rows: RowFile) -> str | None:
    if bool((std < 0).any()):
        return "has negative values"
    if mean is not None and np.array_equal(mean, std) and bool((std != 0).any()):
        return "holds the means"
    sampled_mean, sampled_std = _sampled(rows)
    off_std, off_mean = _log_distance(std, sampled_std), _log_distance(std, np.abs(sampled_mean))
    # Sampled rows know a statistic to about 20 %; a doubt is no fault.
    if off_mean < 0.2 and off_std > 0.5:
        return "looks like the means of the data, not their standard deviations"
    return None


def _sampled(rows: RowFile) -> tuple[_Columns, _Columns]:
    last_start = max(rows.num_rows - _SAMPLED_ROWS, 0)
    starts = np.unique(np.linspace(0, last_start, _SAMPLED_BLOCKS).astype(int)).tolist()
    blocks = [rows.read(start, min(start + _SAMPLED_ROWS, rows.num_rows)) for start in starts]
    sample = np.concatenate(blocks).astype(np.float64)
    known = np.isfinite(sample)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, sample, 0).sum(0) / count
    variance = np.where(known, (sample - mean) ** 2, 0).sum(0) / count
    return mean, np.sqrt(variance)


def _log_distance(one: _Columns, other: _Columns) -> float:
    """Median factor between two sets of positive numbers, as its logarithm."""
    both = (one > 0) & (other > 0)
    if not both.any():
        return float("inf")
    return float(np.median(np.abs(np.log(one[both] / other[both]))))
