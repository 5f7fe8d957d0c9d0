"""The training loop."""

from dataclasses import dataclass
from pathlib import Path

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.batch.masking import draw
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.train.checkpoint import save_checkpoint
from omnimouse_cli.train.clock import Clock
from omnimouse_cli.train.interrupt import Interrupt
from omnimouse_cli.train.progress_log import ProgressLogger
from omnimouse_cli.train.schedule import Length, Schedule
from omnimouse_cli.train.state import TrainState
from omnimouse_cli.train.step import Work, train_step
from omnimouse_cli.train.validate import validate


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a training does, and until when.

    Args:
        length: When it ends.
        schedule: Of the learning rates.
        strategies: What a step may ask.
        run: The run's folder.
        dataset: What is trained on.
    """

    length: Length
    schedule: Schedule
    strategies: tuple[Strategy, ...]
    run: Path
    dataset: Dataset


def train_until_over(
    state: TrainState, work: Work, plan: Plan, teller: ProgressLogger, interrupt: Interrupt
) -> bool:
    """Train until the plan's length is reached, or until somebody asks to stop.

    Args:
        state: Where training stands; changed.
        work: Data and settings of a step.
        plan: Length, schedule, strategies.
        teller: Gets what is measured.
        interrupt: Whether somebody asked to stop.

    Returns:
        Whether the length was reached. Either way the state is in a checkpoint.
    """
    config, counters = work.config, state.counters
    clock = Clock(counters.elapsed_seconds, work.world)
    while not plan.length.is_over(counters.step, counters.elapsed_seconds):
        progress = plan.length.progress(counters.step, counters.elapsed_seconds)
        sessions = work.sessions_of_step(counters.step)
        strategy = draw(plan.strategies, sessions, seed=config.seed, step=counters.step)
        result = train_step(state, work, strategy, plan.schedule.pace(progress))
        teller.tell_step(result, counters, plan.length)
        # The end has a validation of its own.
        is_last = plan.length.is_over(counters.step, counters.elapsed_seconds)
        if _is_due(config.train.validate_every, counters.step) and not is_last:
            teller.tell_validation(validate(state, config, plan.dataset, work.world), counters)
        counters.elapsed_seconds, is_asked = clock.read(is_asked=interrupt.is_asked)
        if is_asked or _is_due(config.train.checkpoint_every, counters.step):
            _keep(state, work, plan)
        if is_asked:
            return False
    _keep(state, work, plan)
    return True


def _is_due(every: int | None, step: int) -> bool:
    return every is not None and step % every == 0


def _keep(state: TrainState, work: Work, plan: Plan) -> None:
    save_checkpoint(
        plan.run,
        state,
        config=work.config,
        world=work.world,
        keep=work.config.train.keep_checkpoints,
    )
