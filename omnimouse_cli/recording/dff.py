"""dF/F of raw fluorescence: the baseline is a running low percentile of each neuron."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.recording import Recording, Signal

# The baseline is computed so many times per window, and interpolated linearly in between.
STEPS_PER_WINDOW = 4
# More rows of a window than fit are thinned out evenly: memory does not grow with the recording.
MAX_WINDOW_BYTES = 24 * 2**20


ReadRows = Callable[[int, int], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """How the baseline F0 in dF/F = (F - F0) / F0 is computed.

    Args:
        percentile: Percentile (0 to 100) of a neuron's values in the window.
        window_seconds: Length of the window, centered on the sample.
    """

    percentile: float = 8.0
    window_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Raise ValueError for a percentile outside 0 to 100 or a window without length."""
        if not 0 <= self.percentile <= 100:
            raise ValueError(f"`percentile` must be from 0 to 100: {self.percentile}")
        if not self.window_seconds > 0:
            raise ValueError(f"`window_seconds` must be positive: {self.window_seconds}")


def _ignore(_num_rows: int) -> None:
    pass


def to_dff(
    recording: Recording, baseline: Baseline, *, advance: Callable[[int], None] = _ignore
) -> Signal:
    """Return the responses of a recording as dF/F; its rows are computed when they are read.

    The recording is read once here. Missing values are ignored; where a window has none that is
    finite, the baseline is interpolated from the windows around it.

    Args:
        recording: A recording of raw fluorescence, each neuron with a finite value.
        baseline: How the baseline is computed.
        advance: Called with the number of rows of each part that was read; it may raise to stop.

    Returns:
        The responses with another `read_rows`, and without statistics of the raw files.

    Raises:
        RecordingError: A neuron has a baseline that is not positive.
    """
    signal = recording.responses
    clock = signal.clock
    step_rows = max(1, round(baseline.window_seconds * clock.rate_hz / STEPS_PER_WINDOW))
    watched = replace(signal, read_rows=_announcing(signal.read_rows, advance))
    knots = np.array(list(_window_percentiles(watched, step_rows, baseline.percentile)))
    knots = _fill_missing(knots.reshape(-1, signal.num_channels))
    _require_positive(recording, knots, step_rows, baseline)

    def read_rows(first: int, last: int) -> NDArray[np.float32]:
        raw = signal.read_rows(first, last)
        position = np.clip(np.arange(first, last) / step_rows, 0, len(knots) - 1)
        before = np.minimum(position.astype(np.int64), max(0, len(knots) - 2))
        after = np.minimum(before + 1, len(knots) - 1)
        weight = (position - before).astype(np.float32)[:, None]
        level = knots[before] + (knots[after] - knots[before]) * weight
        dff: NDArray[np.float32] = (raw - level) / level
        return dff

    return replace(signal, read_rows=read_rows, file_mean=None, file_std=None)


def _announcing(read_rows: ReadRows, advance: Callable[[int], None]) -> ReadRows:
    def read(first: int, last: int) -> NDArray[np.float32]:
        rows = read_rows(first, last)
        advance(last - first)
        return rows

    return read


def _window_percentiles(
    signal: Signal, step_rows: int, percentile: float
) -> Iterator[NDArray[np.float32]]:
    """Yield the percentile of each neuron around row 0, `step_rows`, 2 `step_rows`, ...

    Rows are read once: a window consists of the latest blocks of `step_rows` rows.
    """
    num_rows = signal.clock.num_samples
    most_rows = max(1, MAX_WINDOW_BYTES // (4 * max(1, signal.num_channels)))
    stride = -(-STEPS_PER_WINDOW * step_rows // most_rows)
    num_blocks = -(-num_rows // step_rows)
    half = STEPS_PER_WINDOW // 2
    window: dict[int, NDArray[np.float32]] = {}
    for knot in range(num_blocks + 1):
        blocks = range(max(0, knot - half), min(knot + half, num_blocks))
        window = {block: window[block] for block in blocks if block in window}
        for block in blocks:
            if block not in window:
                last = min((block + 1) * step_rows, num_rows)
                window[block] = _read_thinned(signal, block * step_rows, last, stride)
        yield _finite_percentile(np.concatenate(list(window.values())), percentile)


def _read_thinned(signal: Signal, first: int, last: int, stride: int) -> NDArray[np.float32]:
    """Read every `stride`-th row of a range, a few megabytes at a time."""
    rows = max(stride, MAX_WINDOW_BYTES // (8 * max(1, signal.num_channels)) // stride * stride)
    parts = [
        np.array(signal.read_rows(start, min(start + rows, last))[::stride], dtype=np.float32)
        for start in range(first, last, rows)
    ]
    return np.concatenate(parts)


def _finite_percentile(rows: NDArray[np.float32], percentile: float) -> NDArray[np.float32]:
    """Return the percentile of each column over its finite values; NaN for a column without one.

    A percentile between two values is the lower of them, so that it is a value of the column.
    """
    # Sorting puts NaN last; infinite values are missing as well.
    by_column = np.where(np.isfinite(rows), rows, np.float32(np.nan)).T.copy()
    by_column.sort(axis=1)
    num_finite = np.isfinite(by_column).sum(axis=1)
    position = np.floor(percentile / 100 * np.maximum(num_finite - 1, 0)).astype(np.int64)
    values: NDArray[np.float32] = by_column[np.arange(len(by_column)), position]
    return values


def _fill_missing(knots: NDArray[np.float32]) -> NDArray[np.float32]:
    """Interpolate knots that are NaN from those around them, for each neuron."""
    positions = np.arange(len(knots))
    for column in np.flatnonzero(np.isnan(knots).any(axis=0)):
        is_known = np.isfinite(knots[:, column])
        if is_known.any():
            knots[:, column] = np.interp(positions, positions[is_known], knots[is_known, column])
    return knots


def _require_positive(
    recording: Recording, knots: NDArray[np.float32], step_rows: int, baseline: Baseline
) -> None:
    is_wrong = ~(knots > 0)
    if not is_wrong.any():
        return
    knot, column = (int(index) for index in np.argwhere(is_wrong)[0])
    clock = recording.responses.clock
    seconds = clock.start_seconds + min(knot * step_rows, clock.num_samples - 1) / clock.rate_hz
    num_neurons = int(is_wrong.any(axis=0).sum())
    others = f" ({num_neurons} neurons have such baselines)" if num_neurons > 1 else ""
    raise RecordingError(
        f"{recording.path}: dF/F needs a positive baseline, but that of "
        f"{recording.neurons.label(column)} is {knots[knot, column]:g} at {seconds:.3f} s"
        f"{others}: percentile {baseline.percentile:g} of raw fluorescence over "
        f"{baseline.window_seconds:g} s",
        hint="--response-kind fluorescence stores the raw values; or name responses of another "
        "kind with --series",
    )
