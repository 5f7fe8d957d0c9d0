"""One pass over the responses of a recording: what is stored, and what is learned meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli._native import ResponseStream
from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.recording import Recording
from omnimouse_cli.shard.blocks import Block, blocks_of, rows_within
from omnimouse_cli.shard.description import Rounding
from omnimouse_cli.shard.numbers import StoredDtype
from omnimouse_cli.shard.statistics import ColumnStatistics
from omnimouse_cli.shard.trials import invalid_times, statistics_times
from omnimouse_cli.shard.valid import (
    Intervals,
    LostRows,
    as_intervals,
    lost_response_seconds,
    signal_span,
    subtract,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResponseFacts:
    """What one pass over the responses has found.

    Args:
        mean: float64 `(neurons,)` on the statistics tier.
        std: float64 `(neurons,)` on the statistics tier, ddof 0.
        negative: Whether any finite value is below zero.
        lost: int64 `(stretches, 2)`: rows with a value that is not finite.
        valid: Times in which responses can be used.
        rounding: What the stored number type has cost.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    negative: bool
    lost: NDArray[np.int64]
    valid: Intervals
    rounding: Rounding


class ResponsePass:
    """Writes the responses in their stored type, block by block, and gathers facts meanwhile.

    Args:
        recording: The recording.
        dtype: Number type to store.
        allow_gaps: Whether lost rows outside invalid trials are gaps; otherwise they are an error.
    """

    def __init__(self, recording: Recording, *, dtype: StoredDtype, allow_gaps: bool) -> None:
        self._recording = recording
        self._dtype: StoredDtype = dtype
        self._clock = recording.responses.clock
        num_neurons = recording.responses.num_channels
        # A gap's rows and its trial end up to a row apart from each other.
        slack = np.array([-1.0, 1.0]) / self._clock.rate_hz
        everywhere = np.array([[-np.inf, np.inf]])
        near_invalid = as_intervals(invalid_times(recording) + slack)
        self._may_be_lost = everywhere if allow_gaps else near_invalid
        self.statistics_tier, self._statistics_times = statistics_times(recording)
        self._lost = LostRows()
        self._statistics = ColumnStatistics(num_neurons)
        self._negative = False
        self._num_finite = 0
        self._square_error = np.zeros(num_neurons)
        self._largest_error = np.zeros(num_neurons, dtype=np.float32)

    def write(
        self, descriptor: int, first_byte: int, *, advance: Callable[[int], None]
    ) -> tuple[int, str]:
        """Write all rows as they are stored, in one pass over them.

        Args:
            descriptor: Of the open file.
            first_byte: Where in it the first row goes.
            advance: Hears of rows.

        Returns:
            How many rows there are, and the hexadecimal digits of their checksum.

        Raises:
            RecordingError: A value is lost where it must not be, or does not fit the stored type.
        """
        stream = ResponseStream(
            descriptor,
            first_byte=first_byte,
            dtype=self._dtype,
            num_columns=self._recording.responses.num_channels,
            expected_rows=self._clock.num_samples,
        )
        num_rows = self._clock.num_samples
        counted = rows_within(self._clock, self._statistics_times, 0, num_rows).view(np.uint8)
        finite = np.empty(num_rows, dtype=np.bool_)
        for block in blocks_of(self._recording.responses):
            rows = slice(block.first_row, block.first_row + len(block.rows))
            too_large = stream.feed(block.rows, counted[rows], finite[rows].view(np.uint8))
            if not finite[rows].all():
                allowed = rows_within(self._clock, self._may_be_lost, rows.start, rows.stop)
                self._refuse_lost(block, ~finite[rows] & ~allowed)
            if too_large is not None:
                self._refuse_overflow(block, *too_large)
            advance(len(block.rows))
        self._lost.feed(0, ~finite)
        self._learn(stream)
        return num_rows, stream.finish()

    def _learn(self, stream: ResponseStream) -> None:
        mean, squares = np.empty_like(self._square_error), np.empty_like(self._square_error)
        self._num_finite, num_counted, self._negative = stream.facts(
            mean, squares, self._square_error, self._largest_error
        )
        self._statistics.merge(np.full(mean.shape, num_counted), mean, squares)

    def _refuse_lost(self, block: Block, refused: NDArray[np.bool_]) -> None:
        if not refused.any():
            return
        row = int(np.flatnonzero(refused)[0])
        num_neurons = int((~np.isfinite(block.rows[row])).sum())
        seconds = self._clock.start_seconds + (block.first_row + row) / self._clock.rate_hz
        raise RecordingError(
            f"{self._recording.path}: responses must be finite outside INVALID trials, but "
            f"{num_neurons} of {block.rows.shape[1]} neurons are NaN or infinite in row "
            f"{block.first_row + row} (at {seconds:.3f} s)",
            hint="mark the stretch as an INVALID trial, or take all such rows as gaps with "
            "--allow-gaps",
        )

    def _refuse_overflow(self, block: Block, row: int, neuron: int) -> None:
        raise RecordingError(
            f"{self._recording.path}: the response of neuron {neuron} in row "
            f"{block.first_row + row} does not fit into {self._dtype}: "
            f"{block.rows[row, neuron]:g}",
            hint="store it as --dtype float32"
            if self._dtype == "bfloat16"
            else "store it as --dtype bfloat16",
        )

    def facts(self) -> ResponseFacts:
        """Give what the pass has found, after its last block.

        Raises:
            RecordingError: The statistics tier has no row with values.
        """
        if self._statistics.counts.size and not self._statistics.counts.min() > 0:
            raise RecordingError(
                f"{self._recording.path}: no row of tier {self.statistics_tier} has responses",
                hint="the statistics that responses are scaled with are taken on that tier",
            )
        lost = self._lost.stretches(self._clock.num_samples)
        std = self._statistics.std()
        return ResponseFacts(
            mean=self._statistics.mean(),
            std=std,
            negative=self._negative,
            lost=lost,
            valid=subtract(signal_span(self._clock), lost_response_seconds(self._clock, lost)),
            rounding=self._rounding(std),
        )

    def _rounding(self, std: NDArray[np.float64]) -> Rounding:
        varies = std > 0
        if not varies.any() or self._num_finite == 0:
            return Rounding(rms_relative=0.0, max_relative=0.0)
        square = self._square_error[varies] / self._num_finite / std[varies] ** 2
        return Rounding(
            rms_relative=float(np.sqrt(square.mean())),
            max_relative=float((self._largest_error[varies] / std[varies]).max()),
        )
