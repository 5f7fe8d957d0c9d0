"""Reads arrays of numbers and times of a session, with errors that name file and value."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.npy_header import read_npy_header, require_numbers


def read_array(path: Path) -> NDArray[Any]:
    """Read an array of numbers.

    Raises:
        RecordingError: The file is no `.npy` file, truncated, or holds no numbers.
    """
    try:
        read_npy_header(path)
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise RecordingError(
            f"{path} cannot be read as an array: {error}", hint="copy or export the file again"
        ) from error
    require_numbers(str(path), array.dtype)
    return array


def read_times(path: Path) -> NDArray[np.float64]:
    """Read absolute times in seconds, float64 `(num_times,)`, that never decrease.

    Raises:
        RecordingError: They decrease, are not one column, not finite or not float64.
    """
    stored = read_array(path)
    if stored.ndim != 1 or stored.size == 0:
        raise RecordingError(f"{path} must be one column of times: its shape is {stored.shape}")
    times = stored.astype(np.float64)
    if not np.isfinite(times).all():
        index = int(np.flatnonzero(~np.isfinite(times))[0])
        raise RecordingError(f"{path}: time {index} is not finite: {times[index]}")
    if stored.dtype.kind == "f" and float(np.spacing(np.abs(stored).max())) > 1e-3:
        raise RecordingError(
            f"{path}: times must be float64, but they are {stored.dtype}, which resolves only "
            f"{float(np.spacing(np.abs(stored).max())):g} s there",
            hint="export the times again in float64",
        )
    backwards = np.flatnonzero(np.diff(times) < 0)
    if backwards.size:
        index = int(backwards[0])
        raise RecordingError(
            f"{path} runs backwards: time {index} is {times[index]:.6f}, "
            f"time {index + 1} is {times[index + 1]:.6f}",
            hint="times of one device must ascend; export the recording again",
        )
    return times
