"""What a row asks of a session: which neurons or channels, at which samples, seeing what."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.batch.selection import Selection, scored_mask, select
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES
from omnimouse_cli.evaluate.signals import F32, I64, Range, SessionSignals
from omnimouse_cli.evaluate.windows import EvalWindows

GAZE = ("pupil_x", "pupil_y")
PUPIL = ("pupil_size", "pupil_size_derivative")


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """One kind of output of a row: responses or behavior.

    Args:
        row: Name of the row.
        strategy: What is seen and asked.
        signals: The session.
        windows: Which windows are scored.
        behavior: Whether behavior is asked for; else responses.
        inputs: Which of `responses`, `stimulus`, `behavior` are seen; what the recording lacks is
            not among them.
    """

    row: str
    strategy: Strategy
    signals: SessionSignals
    windows: EvalWindows
    behavior: bool
    inputs: tuple[str, ...]

    @cached_property
    def selection(self) -> Selection:
        """Visible neurons and targets, in the recording's order."""
        return select(
            self.strategy,
            num_neurons=self.signals.session.num_neurons,
            num_windows=1,
            generator=None,
        )

    @cached_property
    def visible(self) -> I64:
        """int64 `(visible,)`: neurons that are seen."""
        return self.selection.visible[0].numpy()

    @cached_property
    def columns(self) -> I64:
        """int64 `(outputs,)`: neurons, or channels of the session, that are asked for."""
        if self.behavior:
            return np.arange(len(self.signals.channels))
        return self.selection.targets[0].numpy()

    @property
    def samples(self) -> Range:
        """Samples that are asked for: of 1/30 s for responses, of 1/20 s for behavior."""
        if self.behavior:
            return (0, NUM_BEHAVIOR_SAMPLES)
        assert self.strategy.targets is not None, "responses are asked for"
        return self.strategy.targets

    @property
    def num_outputs(self) -> int:
        """Neurons or channels."""
        return len(self.columns)

    @property
    def num_samples(self) -> int:
        """Samples of a window that are asked for."""
        return self.samples[1] - self.samples[0]

    @cached_property
    def hidden(self) -> NDArray[np.bool_] | None:
        """What was seen and may not be scored: bool `(samples, outputs)`; None if nothing."""
        if self.behavior:
            return None
        seen = ~scored_mask(self.strategy, self.selection).numpy()
        return seen if seen.any() else None

    @property
    def groups(self) -> dict[str, I64]:
        """Targets of the records, each with the positions of its outputs."""
        if not self.behavior:
            return {"neurons": np.arange(self.num_outputs)}
        groups: dict[str, list[int]] = {}
        for position, channel in enumerate(self.signals.channels):
            groups.setdefault(target_of(channel), []).append(position)
        return {name: np.array(positions) for name, positions in groups.items()}

    def truth(self, grid: I64, outputs: slice = slice(None)) -> F32:
        """What was measured: float32 `(windows, samples, outputs)`, NaN where it may not be scored.

        Args:
            grid: int64 `(windows,)`: first samples of any windows.
            outputs: Which of the outputs.
        """
        if self.behavior:
            return self.signals.behavior(grid)[:, :, outputs]
        values = self.signals.responses(grid, self.samples, self.columns[outputs])
        if self.hidden is not None:
            values[:, self.hidden[:, outputs]] = np.nan
        return values


def target_of(channel: str) -> str:
    """Name of the target that a behavior channel counts for.

    Example:
        >>> target_of("pupil_y"), target_of("running"), target_of("licking_0")
        ('gaze', 'running', 'licking_0')
    """
    if channel in GAZE:
        return "gaze"
    return "pupil" if channel in PUPIL else channel


def available_inputs(strategy: Strategy, signals: SessionSignals) -> tuple[str, ...]:
    """What a strategy sees of a recording that may lack modalities."""
    has = {
        "responses": True,
        "stimulus": signals.session.frame_shape is not None,
        "behavior": bool(signals.channels),
    }
    return tuple(name for name in strategy.inputs if has[name])


def asked_of(
    row: str, strategy: Strategy, signals: SessionSignals, windows: EvalWindows
) -> tuple[Asked, ...]:
    """The outputs of a row that a recording has: responses, behavior, or both."""
    kinds = []
    if strategy.targets is not None:
        kinds.append(False)
    if strategy.behavior == "reconstructed" and signals.channels:
        kinds.append(True)
    inputs = available_inputs(strategy, signals)
    return tuple(
        Asked(
            row=row,
            strategy=strategy,
            signals=signals,
            windows=windows,
            behavior=behavior,
            inputs=inputs,
        )
        for behavior in kinds
    )
