"""The targets of a masking strategy in one session: neurons or channels, at which samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.batch.selection import Selection, scored_mask, select
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES
from omnimouse_cli.evaluate.records import NEURONS
from omnimouse_cli.evaluate.session_reader import F32, I64, Range, SessionReader
from omnimouse_cli.evaluate.stimulus import RepeatCells, find_repeats
from omnimouse_cli.evaluate.windows import EvalWindows

GAZE = ("pupil_x", "pupil_y")
PUPIL = ("pupil_size", "pupil_size_derivative")
WINDOWS_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Targets:
    """The responses, or the behavior, that a strategy predicts in the windows of one session.

    Args:
        strategy: The masking strategy.
        reader: The session.
        windows: The windows that are scored.
        is_behavior: Whether behavior is predicted; else responses.
    """

    strategy: Strategy
    reader: SessionReader
    windows: EvalWindows
    is_behavior: bool

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Which of `responses`, `stimulus`, `behavior` are inputs: those that the recording has."""
        has = {
            "responses": True,
            "stimulus": self.reader.session.frame_shape is not None,
            "behavior": bool(self.reader.channels),
        }
        return tuple(name for name in self.strategy.inputs if has[name])

    @cached_property
    def selection(self) -> Selection:
        """Visible and target neurons, in the recording's order, of one window."""
        return select(
            self.strategy,
            num_neurons=self.reader.session.num_neurons,
            num_windows=1,
            generator=None,
        )

    @cached_property
    def outputs(self) -> I64:
        """int64 `(outputs,)`: the neurons, or channels of the session, that are predicted."""
        if self.is_behavior:
            return np.arange(len(self.reader.channels))
        return self.selection.targets[0].numpy()

    @property
    def samples(self) -> Range:
        """Predicted samples of a window: of 1/30 s for responses, of 1/20 s for behavior."""
        if self.is_behavior:
            return (0, NUM_BEHAVIOR_SAMPLES)
        assert self.strategy.targets is not None, "the strategy has response targets"
        return self.strategy.targets

    @property
    def num_outputs(self) -> int:
        """Predicted neurons or channels."""
        return len(self.outputs)

    @property
    def num_samples(self) -> int:
        """Predicted samples of a window."""
        return self.samples[1] - self.samples[0]

    @cached_property
    def visible(self) -> NDArray[np.bool_] | None:
        """Bool `(samples, outputs)`: what is an input too and is not scored; None if nothing is."""
        if self.is_behavior:
            return None
        visible = ~scored_mask(self.strategy, self.selection).numpy()
        return visible if visible.any() else None

    @cached_property
    def scored_before(self) -> NDArray[np.bool_] | None:
        """Bool `(windows, samples)`: what the window before scores; None if that is nothing.

        Windows that the user lays closer than their targets are long are all scored whole.
        """
        if self.is_behavior or self.windows.stride_samples < self.num_samples:
            return None
        steps = np.diff(self.windows.grid, prepend=-self.num_samples)
        before: NDArray[np.bool_] = np.arange(self.num_samples) < self.num_samples - steps[:, None]
        return before if before.any() else None

    @cached_property
    def repeats(self) -> RepeatCells | None:
        """Scored time points that occur in several repeats of a stimulus, if there are any."""
        # Windows that overlap in what is scored would make repeats out of one trial.
        if self.is_behavior or self.windows.stride_samples < self.num_samples:
            return None
        seconds = self.reader.sample_seconds(self.windows.grid, self.samples)
        return find_repeats(self.reader.shard, seconds, scored_before=self.scored_before)

    @property
    def groups(self) -> dict[str, I64]:
        """Positions among the outputs of each `target` of the records."""
        if not self.is_behavior:
            return {NEURONS: np.arange(self.num_outputs)}
        groups: dict[str, list[int]] = {}
        for position, channel in enumerate(self.reader.channels):
            groups.setdefault(channel_target(channel), []).append(position)
        return {name: np.array(positions) for name, positions in groups.items()}

    def truth(self, grid: I64, outputs: slice = slice(None)) -> F32:
        """Return what was measured; NaN where it is lost or not scored.

        Args:
            grid: int64 `(windows,)`: first samples of any windows.
            outputs: Which of the outputs.

        Returns:
            float32 `(windows, samples, outputs)`.
        """
        if self.is_behavior:
            return self.reader.behavior(grid)[:, :, outputs]
        values = self.reader.responses(grid, self.samples, self.outputs[outputs])
        if self.visible is not None:
            values[:, self.visible[:, outputs]] = np.nan
        return values

    def window_slices(self, windows_at_once: int = WINDOWS_AT_ONCE) -> Iterator[slice]:
        """Cut the scored windows into slices that fit in memory."""
        for first in range(0, len(self.windows), windows_at_once):
            yield slice(first, min(first + windows_at_once, len(self.windows)))


def channel_target(channel: str) -> str:
    """Return the target that a behavior channel counts for.

    Example:
        >>> channel_target("pupil_y"), channel_target("running"), channel_target("licking_0")
        ('gaze', 'running', 'licking_0')
    """
    if channel in GAZE:
        return "gaze"
    return "pupil" if channel in PUPIL else channel


def select_targets(
    strategy: Strategy, reader: SessionReader, windows: EvalWindows
) -> tuple[Targets, ...]:
    """Return the targets of a strategy in a recording: responses, behavior, or both."""
    is_target = {
        False: strategy.targets is not None,
        True: strategy.behavior == "reconstructed" and bool(reader.channels),
    }
    return tuple(
        Targets(strategy=strategy, reader=reader, windows=windows, is_behavior=is_behavior)
        for is_behavior, predicted in is_target.items()
        if predicted
    )
