"""What responses are, rates or dF/F: by declaration, or by their negative values."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import Recording, ResponseKind
from omnimouse_cli.shard.blocks import Block

# A deconvolved rate is the difference of two calcium traces c(t) - g c(t-1), which are larger than
# the rate by 1 / (1 - g), about 30 at 30 Hz and a decay of one second. In float32 each trace and
# their product are rounded by half an epsilon, so that a rate of 0 comes out within some 64
# epsilons of the trace's scale; twice that is the bound.
ROUNDING = 128 * float(np.finfo(np.float32).eps)
# A silent neuron has no scale of its own: at least this share of the mean scale of all.
LEAST_SCALE = 0.01
# Rates are often near 0; raw fluorescence has a floor. Most neurons must have one to count.
FLOOR_OF_MEDIAN = 0.5
MOST_NEURONS = 0.9
LEAST_SAMPLED_ROWS = 100
MIXED_KINDS_HINT = (
    "choose sessions of one kind with --set data.sessions=[...], or convert all recordings to one "
    "with `omnimouse preprocess --series dff`"
)
_MOST_NAMED_SESSIONS = 5


def describe_mixed_kinds(kinds: Mapping[str, str]) -> str | None:
    """Return a sentence if sessions hold different kinds of responses, else None.

    Args:
        kinds: Kind of each session, by its key; sessions of kind `unknown` are passed over.

    Example:
        >>> describe_mixed_kinds({"7-1": "rate", "7-2": "dff"})
        'one model cannot be trained on responses of different kinds (dff: 7-2; rate: 7-1)'
    """
    by_kind: dict[str, list[str]] = {}
    for session, kind in kinds.items():
        if kind != "unknown":
            by_kind.setdefault(kind, []).append(session)
    if len(by_kind) < 2:
        return None
    parts = []
    for kind, sessions in sorted(by_kind.items()):
        more = ", ..." if len(sessions) > _MOST_NAMED_SESSIONS else ""
        parts.append(f"{kind}: {', '.join(sessions[:_MOST_NAMED_SESSIONS])}{more}")
    return f"one model cannot be trained on responses of different kinds ({'; '.join(parts)})"


def is_never_near_zero(sample: NDArray[np.float32]) -> bool:
    """Return whether responses look like raw fluorescence: positive, and never near 0.

    Args:
        sample: float32 `(rows, neurons)`: rows from all over the recording.

    Returns:
        True if all values are positive, and the lowest value of most neurons that vary is more than
        half of their median.
    """
    rows = sample[np.isfinite(sample).all(axis=1)]
    if len(rows) < LEAST_SAMPLED_ROWS:
        return False
    lowest = rows.min(axis=0)
    varies = lowest < rows.max(axis=0)
    if not varies.any() or not (lowest > 0).all():
        return False
    # A few hundred rows have the median of all.
    few = rows[:: -(-len(rows) // 500), varies]
    has_floor = lowest[varies] > FLOOR_OF_MEDIAN * np.median(few, axis=0)
    return float(has_floor.mean()) >= MOST_NEURONS


class NegativeValues:
    """Negative values of responses that are, or may be, rates: rounding is set to 0.

    A value is within rounding if it is at most `ROUNDING` (1.5e-5) standard deviations of its
    neuron below 0. Responses of unknown kind are dF/F from the first value on that is lower.

    Args:
        recording: The recording.
        kind: What the responses are; None decides by their values.
        sample: float32 `(rows, neurons)`: rows from all over the recording.
    """

    def __init__(
        self, recording: Recording, kind: ResponseKind | None, sample: NDArray[np.float32]
    ) -> None:
        self._recording = recording
        self._declared = kind
        self._sample = sample
        self._num_clipped = 0
        self._lowest_clipped = 0.0
        self._evidence: tuple[int, int, float] | None = None

    @cached_property
    def _lowest_rounding(self) -> NDArray[np.float64]:
        """float64 `(neurons,)`: the lowest value of each neuron that is within rounding of 0."""
        finite = np.isfinite(self._sample)
        with np.errstate(invalid="ignore", divide="ignore"):
            count = finite.sum(axis=0)
            mean = np.where(finite, self._sample, 0).sum(axis=0, dtype=np.float64) / count
            square = np.where(finite, self._sample - mean, 0) ** 2
            spread = np.nan_to_num(np.sqrt(square.sum(axis=0) / count))
        least = LEAST_SCALE * float(spread.mean())
        bound: NDArray[np.float64] = -ROUNDING * np.maximum(spread, least)
        return bound

    @property
    def kind(self) -> ResponseKind:
        """What the responses are, by the blocks until now."""
        if self._declared is not None:
            return self._declared
        return "rate" if self._evidence is None else "dff"

    def clip(self, block: Block) -> NDArray[np.float32]:
        """Return the rows of a block, with negative values within rounding set to 0."""
        rows = block.rows
        # The minimum of all values is much quicker than a look at each.
        if self.kind != "rate" or not np.fmin.reduce(rows, axis=None) < 0:
            return rows
        is_finite = np.isfinite(rows)
        beyond = is_finite & (rows < self._lowest_rounding)
        if beyond.any() and self._evidence is None:
            row, column = (int(index) for index in np.argwhere(beyond)[0])
            self._evidence = (block.first_row + row, column, float(rows[row, column]))
            if self._declared is None:
                return rows
        within = is_finite & ~beyond & (rows < 0)
        self._num_clipped += int(within.sum())
        self._lowest_clipped = min(self._lowest_clipped, float(rows[within].min(initial=0.0)))
        return np.where(within, np.float32(0), rows)

    def notes(self) -> list[str]:
        """Return a sentence about the values that were set to 0, and one about what decided."""
        notes = []
        if self._num_clipped:
            values = "value" if self._num_clipped == 1 else "values"
            notes.append(
                f"{self._num_clipped} negative response {values} within rounding (at most "
                f"{ROUNDING:.1e} standard deviations of the neuron; lowest "
                f"{self._lowest_clipped:.3g}) set to 0"
            )
        if self._evidence is None:
            return notes
        row, column, value = self._evidence
        clock = self._recording.responses.clock
        where = (
            f"{self._recording.neurons.label(column)} is {value:.4g} in row {row} "
            f"(at {clock.start_seconds + row / clock.rate_hz:.3f} s)"
        )
        if self._declared is None:
            notes.append(
                f"responses are taken as dF/F, because {where}, which is no rounding error; "
                "--response-kind rate says otherwise"
            )
        else:
            notes.append(f"responses are rates although some are negative: {where}")
        return notes
