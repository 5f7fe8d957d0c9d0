"""Duration of a training, and the learning rates over it: warm-up, constant, cool-down."""

import math
from dataclasses import dataclass
from typing import Literal

from omnimouse_cli.config.training import TrainConfig

Phase = Literal["shortcuts", "warm-up", "constant", "cool-down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """When training ends: after a number of steps or of seconds, whichever is set.

    Args:
        steps: Optimizer steps.
        seconds: Wall-clock seconds, summed over all resumes.
    """

    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Raise ValueError unless exactly one is set."""
        if (self.steps is None) == (self.seconds is None):
            raise ValueError(
                f"one of `steps` and `seconds` must be set: {self.steps}, {self.seconds}"
            )

    def fraction_done(self, step: float, elapsed_seconds: float) -> float:
        """Return the fraction of training that is over.

        Args:
            step: Steps done.
            elapsed_seconds: Seconds trained, summed over all resumes.
        """
        if self.steps is not None:
            return step / self.steps
        assert self.seconds is not None
        return elapsed_seconds / self.seconds

    def progress(self, step: int, elapsed_seconds: float) -> float:
        """Return the fraction that is over in the middle of the next step, for the schedule."""
        return self.fraction_done(step + 0.5, elapsed_seconds)

    def is_over(self, step: int, elapsed_seconds: float) -> bool:
        """Whether no further step is to be done."""
        return self.fraction_done(step, elapsed_seconds) >= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Learning rates over a run, as factors of their peaks.

    Args:
        warmup_fraction: Fraction of the run in which a learning rate rises from 0.
        cooldown_fraction: Fraction of the run, at its end, in which it falls to 0.
        shape: Shape of the fall: `linear`, or `1-sqrt`, which falls fast first.
        shortcuts_first_fraction: Fraction of the run after which the warm-up of the transformer
            starts; the shortcuts' warm-up starts at once.
    """

    warmup_fraction: float
    cooldown_fraction: float
    shape: Literal["1-sqrt", "linear"] = "1-sqrt"
    shortcuts_first_fraction: float = 0.0

    def is_shortcuts_only(self, progress: float) -> bool:
        """Whether the transformer's learning rate has not begun to rise."""
        return progress < self.shortcuts_first_fraction

    def phase(self, progress: float) -> Phase:
        """Return the part of the schedule at a fraction of the run.

        Example:
            >>> schedule = Schedule(
            ...     warmup_fraction=0.1, cooldown_fraction=0.2, shortcuts_first_fraction=0.3
            ... )
            >>> [schedule.phase(progress) for progress in (0.2, 0.35, 0.5, 0.9)]
            ['shortcuts', 'warm-up', 'constant', 'cool-down']
        """
        if self.is_shortcuts_only(progress):
            return "shortcuts"
        if progress >= 1 - self.cooldown_fraction:
            return "cool-down"
        is_rising = progress < self.shortcuts_first_fraction + self.warmup_fraction
        return "warm-up" if is_rising else "constant"

    def transformer_factor(self, progress: float) -> float:
        """Return the factor of the transformer's learning rate."""
        return self.factor(progress, warmup_start=self.shortcuts_first_fraction)

    def factor(self, progress: float, *, warmup_start: float = 0.0) -> float:
        """Return the factor of a learning rate.

        Args:
            progress: Fraction of the run, from 0 to 1.
            warmup_start: Fraction of the run at which the warm-up starts; before, the factor is 0.

        Example:
            >>> schedule = Schedule(warmup_fraction=0.1, cooldown_fraction=0.5, shape="linear")
            >>> schedule.factor(0.25), schedule.factor(0.75)
            (1.0, 0.5)
            >>> schedule.factor(0.25, warmup_start=0.3), schedule.factor(0.5, warmup_start=0.3)
            (0.0, 1.0)
        """
        progress = min(max(progress, 0.0), 1.0)
        since_start = progress - warmup_start
        if since_start < 0:
            return 0.0
        rise = since_start / self.warmup_fraction if since_start < self.warmup_fraction else 1.0
        since_cooldown = progress - (1 - self.cooldown_fraction)
        if since_cooldown <= 0:
            return rise
        share = min(since_cooldown / self.cooldown_fraction, 1.0)
        return rise * (1 - (math.sqrt(share) if self.shape == "1-sqrt" else share))


def build_schedule(config: TrainConfig) -> Schedule:
    """Return the schedule of a resolved configuration."""
    assert config.shortcuts_first_fraction is not None, "resolved before training"
    return Schedule(
        warmup_fraction=config.warmup_fraction,
        cooldown_fraction=config.cooldown_fraction,
        shape=config.cooldown_shape,
        shortcuts_first_fraction=config.shortcuts_first_fraction,
    )


def build_duration(config: TrainConfig) -> Duration:
    """Return the duration of a resolved configuration, in which `minutes` or `steps` is set."""
    if config.minutes is not None:
        return Duration(seconds=60 * config.minutes)
    assert config.steps is not None, "resolved before training"
    return Duration(steps=config.steps)
