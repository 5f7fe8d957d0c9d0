"""How far training is and what that makes of the learning rate: warm-up, constant, cool-down."""

import math
from dataclasses import dataclass
from typing import Literal

from omnimouse_cli.config.training import TrainConfig

CooldownShape = Literal["1-sqrt", "linear"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """When training ends: after steps or after seconds, whichever is set.

    Args:
        steps: Optimizer steps.
        seconds: Wall-clock seconds, over all resumes.
    """

    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse a length that is none, or two."""
        if (self.steps is None) == (self.seconds is None):
            raise ValueError(
                f"one of `steps` and `seconds` must be set: {self.steps}, {self.seconds}"
            )

    def progress(self, step: int, elapsed_seconds: float) -> float:
        """Give the share of training that is over, in the middle of the step that is next.

        Args:
            step: Steps done.
            elapsed_seconds: Seconds trained, over all resumes.
        """
        if self.steps is not None:
            return (step + 0.5) / self.steps
        assert self.seconds is not None
        return elapsed_seconds / self.seconds

    def share_done(self, step: int, elapsed_seconds: float) -> float:
        """Give the share of training that is over, for who watches."""
        if self.steps is not None:
            return step / self.steps
        return self.progress(step, elapsed_seconds)

    def is_over(self, step: int, elapsed_seconds: float) -> bool:
        """Whether no further step is to be done."""
        if self.steps is not None:
            return step >= self.steps
        return self.progress(step, elapsed_seconds) >= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a step learns.

    Args:
        factor: Of the base learning rates.
        transformer_factor: The same of all that is neither a short way nor a session's table.
        is_short: Whether the step goes past the transformer.
    """

    factor: float
    transformer_factor: float
    is_short: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The learning rate over a run, as a factor of its base.

    Args:
        warmup_fraction: Share of the run in which it rises from 0.
        cooldown_fraction: Share of the run, at its end, in which it falls to 0.
        shape: `linear`, or `1-sqrt`, which falls fast first.
        short_ways_fraction: Share of the run, at its beginning, in which the transformer rests.
    """

    warmup_fraction: float
    cooldown_fraction: float
    shape: CooldownShape = "1-sqrt"
    short_ways_fraction: float = 0.0

    def pace(self, progress: float) -> Pace:
        """Say what learns at a share of the run, and how fast."""
        factor, since = self.factor(progress), progress - self.short_ways_fraction
        if since < 0:
            return Pace(factor=factor, transformer_factor=0.0, is_short=True)
        rising = 1.0
        if self.short_ways_fraction and since < self.warmup_fraction:
            rising = since / self.warmup_fraction
        return Pace(factor=factor, transformer_factor=rising * factor, is_short=False)

    def factor(self, progress: float) -> float:
        """Give the factor at a share of the run.

        Args:
            progress: From 0 at the beginning to 1 at the end.

        Example:
            >>> schedule = Schedule(warmup_fraction=0.1, cooldown_fraction=0.5, shape="linear")
            >>> schedule.factor(0.3), schedule.factor(0.75)
            (1.0, 0.5)
        """
        progress = min(max(progress, 0.0), 1.0)
        if progress < self.warmup_fraction:
            return progress / self.warmup_fraction
        cooled = progress - (1 - self.cooldown_fraction)
        if cooled <= 0:
            return 1.0
        share = min(cooled / self.cooldown_fraction, 1.0)
        return 1 - (math.sqrt(share) if self.shape == "1-sqrt" else share)


def schedule_of(config: TrainConfig) -> Schedule:
    """Take the schedule from a run's configuration."""
    return Schedule(
        warmup_fraction=config.warmup_fraction,
        cooldown_fraction=config.cooldown_fraction,
        shape=config.cooldown_shape,
        short_ways_fraction=config.short_ways_fraction,
    )


def length_of(config: TrainConfig, *, batches_per_epoch: int, batches_per_step: int) -> Length:
    """Take the length from a run's configuration; one of its three ways to say it must be set.

    Args:
        config: Of training.
        batches_per_epoch: Batches that make one pass over the data.
        batches_per_step: Batches that a step consumes, over all ranks.
    """
    if config.minutes is not None:
        return Length(seconds=60 * config.minutes)
    if config.epochs is not None:
        return Length(steps=max(1, math.ceil(config.epochs * batches_per_epoch / batches_per_step)))
    assert config.steps is not None, "the length of training is resolved before it begins"
    return Length(steps=config.steps)
