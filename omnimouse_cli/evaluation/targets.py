"""The targets of a masking strategy in one session: neurons or channels, at which samples."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from omnimouse_cli.batch.selection import Selection, scored_mask, select
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.batch.windows import window_table
from omnimouse_cli.config.data import (
    BEHAVIOR_RATE_HZ,
    NUM_BEHAVIOR_SAMPLES,
    NUM_RESPONSE_SAMPLES,
    RESPONSE_RATE_HZ,
)
from omnimouse_cli.evaluation.records import NEURONS
from omnimouse_cli.evaluation.repeats import RepeatCells, find_repeats
from omnimouse_cli.evaluation.session_reader import F32, I64, Range, SessionReader
from omnimouse_cli.evaluation.stimulus import (
    Familiarity,
    Phases,
    stimulus_phases,
    unseen_in_training,
)
from omnimouse_cli.evaluation.windows import EvalWindows

GAZE = ("pupil_x", "pupil_y")
# Suffix of the name of a strategy that is scored on stimuli of no training trial alone.
UNSEEN = "-unseen"
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
        draw: Which of several random draws of context neurons this is.
        order: int64 `(neurons,)`: a permutation of the neurons, of which the first are visible and
            the last are targets; None takes the recording's order.
        only_unseen: Whether only samples are scored that show a stimulus of no training trial.
    """

    strategy: Strategy
    reader: SessionReader
    windows: EvalWindows
    is_behavior: bool
    draw: int = 0
    order: I64 | None = None
    only_unseen: bool = False

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
        """Visible and target neurons of one window, each in the recording's order."""
        selection = select(
            self.strategy,
            num_neurons=self.reader.session.num_neurons,
            num_windows=1,
            generator=None,
        )
        if self.order is None:
            return selection
        order = torch.from_numpy(self.order)
        return replace(
            selection, visible=order[selection.visible], targets=order[selection.targets]
        )

    def selection_of(self, num_windows: int) -> Selection:
        """Return the same visible and target neurons for each of some windows."""
        one = self.selection
        return replace(
            one,
            visible=one.visible.expand(num_windows, -1),
            targets=one.targets.expand(num_windows, -1),
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

    def scored_seconds(self, num_samples: int) -> float:
        """Return the time of so many scored samples, with moments that several windows score once.

        Args:
            num_samples: Scored samples of one output, over all windows.
        """
        rate_hz = BEHAVIOR_RATE_HZ if self.is_behavior else RESPONSE_RATE_HZ
        step = self.windows.stride_samples / RESPONSE_RATE_HZ
        share = min(1.0, step / (self.num_samples / rate_hz))
        if not self.is_behavior:
            # Of slower rows, held in between, each is scored once.
            rate_hz = min(rate_hz, self.reader.shard.description.responses.clock.rate_hz)
        return num_samples / rate_hz * share

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
    def excluded(self) -> NDArray[np.bool_] | None:
        """Bool `(windows, samples)`: what is not scored; None if all is.

        That is what the window before scores, what training windows reach too (in blank screens
        without a tier, next to trials of both tiers), and samples that only hold the row of the
        sample before: where responses are slower than 30 Hz, they would count each row several
        times.
        """
        parts = [self.scored_before, self._in_training_windows()]
        if not self.is_behavior:
            parts.append(self._holds_row())
            parts.append(~self._unseen[0] if self.only_unseen else None)
        present = [part for part in parts if part is not None and part.any()]
        if not present:
            return None
        excluded: NDArray[np.bool_] = np.logical_or.reduce(present)
        return excluded

    def _in_training_windows(self) -> NDArray[np.bool_] | None:
        reader = self.reader
        # Who scores a training tier knows it.
        if self.windows.tier in reader.training_tiers:
            return None
        table = window_table(
            reader.shard,
            tiers=reader.training_tiers,
            include_blanks=True,
            require_behavior=reader.require_behavior,
        )
        rate_hz = BEHAVIOR_RATE_HZ if self.is_behavior else RESPONSE_RATE_HZ
        offsets = np.arange(*self.samples) * RESPONSE_RATE_HZ / rate_hz
        sample = self.windows.grid[:, None] + offsets.astype(np.int64)
        order = np.argsort(table.first)
        # A run of starts that ends before all samples, so that each sample has a run before it.
        first = np.append(-NUM_RESPONSE_SAMPLES, table.first[order])
        last_start = np.append(-NUM_RESPONSE_SAMPLES, (table.first + table.count - 1)[order])
        run = np.searchsorted(first, sample, side="right") - 1
        inside: NDArray[np.bool_] = sample < last_start[run] + NUM_RESPONSE_SAMPLES
        return inside

    def _holds_row(self) -> NDArray[np.bool_]:
        first, last = self.samples
        seconds = self.reader.sample_seconds(self.windows.grid, (first - 1, last))
        rows = self.reader.shard.description.responses.clock.row_at(seconds)
        holds: NDArray[np.bool_] = rows[:, 1:] == rows[:, :-1]
        return holds

    @cached_property
    def _unseen(self) -> tuple[NDArray[np.bool_], Familiarity | None]:
        return unseen_in_training(
            self.reader.shard,
            self.reader.sample_seconds(self.windows.grid, self.samples),
            tier=self.windows.tier,
            training_tiers=self.reader.training_tiers,
        )

    @property
    def stimulus_in_training(self) -> Familiarity | None:
        """Whether training trials show the scored stimuli; None for behavior or if not known."""
        if self.is_behavior:
            return None
        return "unseen" if self.only_unseen else self._unseen[1]

    @cached_property
    def views(self) -> tuple["Targets", ...]:
        """These targets and, where only some stimuli were seen in training, those of the others."""
        if "stimulus" not in self.inputs or self.stimulus_in_training != "mixed":
            return (self,)
        strategy = replace(self.strategy, name=self.strategy.name + UNSEEN)
        return (self, replace(self, strategy=strategy, only_unseen=True))

    @cached_property
    def repeats(self) -> RepeatCells | None:
        """Scored time points that occur in several repeats of a stimulus, if there are any."""
        # Windows that overlap in what is scored would make repeats out of one trial.
        if self.is_behavior or self.windows.stride_samples < self.num_samples:
            return None
        seconds = self.reader.sample_seconds(self.windows.grid, self.samples)
        return find_repeats(self.reader.shard, seconds, scored_before=self.excluded)

    @cached_property
    def scored_hash(self) -> str:
        """Hash of the recorded values that are scored: data, windows, samples and outputs."""
        recorded = "behavior" if self.is_behavior else "responses"
        checksums = self.reader.shard.description.checksums
        digest = hashlib.sha256(
            repr(
                (
                    self.reader.session.key,
                    self.samples,
                    sorted(item for item in checksums.items() if item[0].startswith(recorded)),
                )
            ).encode()
        )
        for array in (self.windows.grid, self.outputs, self.excluded, self.visible):
            digest.update(b"none" if array is None else array.tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def train_mean(self) -> F32:
        """float32 `(outputs,)`: scaled mean response of each target neuron in training trials."""
        mean = np.nan_to_num(np.asarray(self.reader.shard.neuron_mean, np.float32))
        scaled: F32 = ((mean - self.reader.shift) / self.reader.scale)[self.outputs]
        return scaled

    @property
    def groups(self) -> dict[str, I64]:
        """Positions among the outputs of each `target` of the records."""
        if not self.is_behavior:
            return {NEURONS: np.arange(self.num_outputs)}
        groups: dict[str, list[int]] = {}
        for position, channel in enumerate(self.reader.channels):
            groups.setdefault(channel_target(channel), []).append(position)
        return {name: np.array(positions) for name, positions in groups.items()}

    @property
    def neuron_groups(self) -> dict[str, I64]:
        """Positions among the target neurons of each area, layer and depth; empty for behavior."""
        if self.is_behavior:
            return {}
        groups = {
            name: np.flatnonzero(np.isin(self.outputs, neurons))
            for name, neurons in self.reader.neuron_groups.items()
        }
        return {name: positions for name, positions in groups.items() if len(positions)}

    def input_behavior(self, grid: I64) -> F32:
        """Return the behavior that is an input; a lost sample is 0, the mean of its channel.

        Args:
            grid: int64 `(windows,)`: first samples of any windows.

        Returns:
            float32 `(windows, visible behavior samples, channels)`.
        """
        return np.nan_to_num(self.reader.behavior(grid)[:, slice(*self.strategy.behavior_samples)])

    def phases(self, grid: I64, samples: Range | None = None) -> Phases:
        """Return the stimulus at target samples, as far as visible frames tell it.

        After the last visible frame the stimulus is taken to go on.

        Args:
            grid: int64 `(windows,)`: first samples of any windows.
            samples: Samples of the windows; None takes those of the targets.

        Returns:
            Phases of shape `(windows, samples)`.
        """
        first, last = self.samples if samples is None else samples
        video = self.strategy.video
        last_frame = last - 1 if video is None else video[1] - 1
        number = np.arange(first, last)
        known = np.minimum(number, last_frame)
        seconds = self.reader.sample_seconds(grid, (0, NUM_RESPONSE_SAMPLES))[:, known]
        phases = stimulus_phases(self.reader.shard, seconds)
        return replace(phases, bin=phases.bin + (number - known))

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
    strategy: Strategy,
    reader: SessionReader,
    windows: EvalWindows,
    *,
    draw: int = 0,
    order: I64 | None = None,
) -> tuple[Targets, ...]:
    """Return the targets of a strategy in a recording: responses, behavior, or both.

    Args:
        strategy: The masking strategy.
        reader: The session.
        windows: The windows that are scored.
        draw: Number of the draw of context neurons.
        order: The permutation of the neurons in this draw; None takes the recording's order.
    """
    is_target = {
        False: strategy.targets is not None,
        True: strategy.behavior == "reconstructed" and bool(reader.channels),
    }
    return tuple(
        Targets(
            strategy=strategy,
            reader=reader,
            windows=windows,
            is_behavior=is_behavior,
            draw=draw,
            order=order,
        )
        for is_behavior, predicted in is_target.items()
        if predicted
    )
