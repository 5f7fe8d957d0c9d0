"""One pass over the responses of a recording: stored rows, statistics, valid time, rounding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli._native import ResponseEncoder
from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.recording import Recording
from omnimouse_cli.recording.times import true_runs
from omnimouse_cli.shard.blocks import Block, column_std, iterate_blocks, rows_within
from omnimouse_cli.shard.description import Rounding
from omnimouse_cli.shard.intervals import ALL_TIME, Intervals, merge_intervals, subtract
from omnimouse_cli.shard.kind import NegativeValues
from omnimouse_cli.shard.trials import invalid_time, statistics_time
from omnimouse_cli.shard.valid import end_margin_seconds, missing_response_time, signal_span

StoredDtype = Literal["float16", "bfloat16", "float32"]

# Type of the tensor in the shard for each number type.
TENSOR_DTYPES: dict[StoredDtype, str] = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResponseStatistics:
    """Results of one pass over the responses.

    Args:
        mean: float64 `(neurons,)` on the statistics tier.
        std: float64 `(neurons,)` on the statistics tier, ddof 0.
        first_alike: int64 `(neurons,)`: the first neuron with the same statistics, bit by bit; that
            is the neuron itself, except for copies. Neurons that never change are not compared.
        missing_rows: Number of rows in which a value is missing.
        valid: Times in which responses are valid.
        rounding: Rounding error of the stored number type.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    first_alike: NDArray[np.int64]
    missing_rows: int
    valid: Intervals
    rounding: Rounding


class ResponseWriter:
    """Writes the responses in their stored type, block by block, and computes their statistics.

    Args:
        recording: The recording.
        dtype: Number type to store.
        negatives: Clips negative values of rates, and decides the kind.
        allow_gaps: Whether rows that are not finite outside the recording's gaps and trials of kind
            `invalid` are gaps; else they are an error.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        dtype: StoredDtype,
        negatives: NegativeValues,
        allow_gaps: bool,
    ) -> None:
        self._recording = recording
        self._negatives = negatives
        self._dtype: StoredDtype = dtype
        self._clock = recording.responses.clock
        self._margin_seconds = end_margin_seconds(within_trials=recording.windows_within_trials)
        # A gap's rows and its trial end up to a row apart from each other.
        slack = np.array([-1.0, 1.0]) / self._clock.rate_hz
        declared = np.concatenate((invalid_time(recording), recording.gaps))
        near_declared = merge_intervals(declared + slack)
        self._may_be_missing = ALL_TIME if allow_gaps else near_declared

    def write(
        self, descriptor: int, first_byte: int, *, advance: Callable[[int], None]
    ) -> tuple[int, str]:
        """Write all rows as they are stored; `statistics` is set afterwards.

        Args:
            descriptor: File descriptor, open for writing.
            first_byte: Position of the first row in the file.
            advance: Called with the number of rows of each block.

        Returns:
            The number of rows, and the hexadecimal digits of their checksum.

        Raises:
            RecordingError: A value is not finite where it must be, or does not fit the stored type,
                or the statistics tier has no row with values.
        """
        num_rows, num_neurons = self._clock.num_samples, self._recording.responses.num_channels
        encoder = ResponseEncoder(
            descriptor,
            first_byte=first_byte,
            dtype=self._dtype,
            num_columns=num_neurons,
            expected_rows=num_rows,
        )
        tier, times = statistics_time(self._recording)
        counted = rows_within(self._clock, times, 0, num_rows).view(np.uint8)
        finite = np.empty(num_rows, dtype=np.bool_)
        for block in iterate_blocks(self._recording.responses):
            rows = slice(block.first_row, block.first_row + len(block.rows))
            stored = self._negatives.clip(block)
            too_large = encoder.write(stored, counted[rows], finite[rows].view(np.uint8))
            if not finite[rows].all():
                allowed = rows_within(self._clock, self._may_be_missing, rows.start, rows.stop)
                self._require_finite(block, finite[rows] | allowed)
            if too_large is not None:
                raise self._overflow_error(block, *too_large)
            advance(len(block.rows))
        self.statistics = self._compute_statistics(encoder, tier, finite)
        return num_rows, encoder.finish()

    def _compute_statistics(
        self, encoder: ResponseEncoder, tier: str, finite: NDArray[np.bool_]
    ) -> ResponseStatistics:
        num_neurons = self._recording.responses.num_channels
        mean, squares, square_error = (np.empty(num_neurons) for _ in range(3))
        largest_error = np.empty(num_neurons, dtype=np.float32)
        num_finite, num_counted, _ = encoder.statistics(mean, squares, square_error, largest_error)
        if num_neurons and num_counted == 0:
            raise RecordingError(
                f"{self._recording.path}: no row of tier {tier} has responses",
                hint="the statistics that responses are scaled with are computed on that tier",
            )
        std = column_std(squares, num_counted, mean)
        rounding = Rounding(rms_relative=0.0, max_relative=0.0)
        varies = std > 0
        if varies.any() and num_finite:
            square = square_error[varies] / num_finite / std[varies] ** 2
            rounding = Rounding(
                rms_relative=float(np.sqrt(square.mean())),
                max_relative=float((largest_error[varies] / std[varies]).max()),
            )
        missing = missing_response_time(self._clock, true_runs(~finite))
        return ResponseStatistics(
            mean=mean,
            std=std,
            first_alike=_first_alike(np.stack((mean, squares, square_error, largest_error)), std),
            missing_rows=int((~finite).sum()),
            valid=subtract(signal_span(self._clock, margin_seconds=self._margin_seconds), missing),
            rounding=rounding,
        )

    def _require_finite(self, block: Block, is_allowed: NDArray[np.bool_]) -> None:
        if is_allowed.all():
            return
        row = int(np.flatnonzero(~is_allowed)[0])
        num_neurons = int((~np.isfinite(block.rows[row])).sum())
        seconds = self._clock.start_seconds + (block.first_row + row) / self._clock.rate_hz
        where = f"in row {block.first_row + row} (at {seconds:.3f} s)"
        fault = f"{num_neurons} of {block.rows.shape[1]} neurons are NaN or infinite {where}"
        if num_neurons == block.rows.shape[1]:
            fault = f"there are none {where}"
        raise RecordingError(
            f"{self._recording.path}: responses must be finite outside gaps of the recording and "
            f"trials of kind `invalid`, but {fault}",
            hint="mark the stretch as a trial of kind `invalid`, or treat all such rows as gaps "
            "with --allow-gaps",
        )

    def _overflow_error(self, block: Block, row: int, neuron: int) -> RecordingError:
        return RecordingError(
            f"{self._recording.path}: the response of neuron {neuron} in row "
            f"{block.first_row + row} does not fit into {self._dtype}: "
            f"{block.rows[row, neuron]:g}",
            hint="store it as --dtype float32",
        )


def _first_alike(statistics: NDArray[np.float64], std: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the first neuron with equal statistics `(statistics, neurons)`, for each neuron."""
    first_alike = np.arange(len(std))
    varies = np.flatnonzero(std > 0)
    columns = np.ascontiguousarray(statistics[:, varies].T)
    rows = columns.view([("", columns.dtype)] * columns.shape[1]).ravel()
    _, first, group = np.unique(rows, return_index=True, return_inverse=True)
    first_alike[varies] = varies[first[group.ravel()]]
    return first_alike
