"""The training loop."""

import time

from omnimouse_cli.batch.masking import draw
from omnimouse_cli.train.checkpoint import save_checkpoint
from omnimouse_cli.train.interrupt import Interrupt
from omnimouse_cli.train.optimizer import set_learning_rates
from omnimouse_cli.train.progress_log import ProgressLogger
from omnimouse_cli.train.state import TrainState
from omnimouse_cli.train.step import TrainingSetup, train_step
from omnimouse_cli.train.validate import validate


def train_until_over(
    state: TrainState, setup: TrainingSetup, log: ProgressLogger, interrupt: Interrupt
) -> bool:
    """Train until the duration is over or an interrupt is requested; save the last checkpoint.

    Args:
        state: State of the training; changed.
        setup: Data and settings.
        log: Receives steps and validations.
        interrupt: Requests of the user or the system to stop.

    Returns:
        Whether the duration is over.
    """
    config, counters, world = setup.config, state.counters, setup.world
    duration, schedule = setup.duration, setup.schedule
    start_time = time.perf_counter() - counters.elapsed_seconds
    while not duration.is_over(counters.step, counters.elapsed_seconds):
        progress = duration.progress(counters.step, counters.elapsed_seconds)
        state.core.shortcuts_only = schedule.is_shortcuts_only(progress)
        set_learning_rates(state.core_optimizer, schedule, progress)
        set_learning_rates(state.session_optimizer, schedule, progress)
        sessions = setup.sessions_of_step(counters.step)
        strategy = draw(setup.strategies, sessions, seed=config.seed, step=counters.step)
        log.log_step(train_step(state, setup, strategy))
        # After the last step there is a validation anyway.
        is_last = duration.is_over(counters.step, counters.elapsed_seconds)
        if _is_due(config.train.validate_every, counters.step) and not is_last:
            log.log_validation(validate(state, config, setup.dataset, world))
        # All ranks stop at the same step, by the clock of the rank that is ahead.
        counters.elapsed_seconds, stop = world.all_reduce_max(
            [time.perf_counter() - start_time, float(interrupt.is_requested)]
        )
        if stop or _is_due(config.train.checkpoint_every, counters.step):
            save_checkpoint(setup.run, state, config=config, world=world)
        if stop:
            return False
    save_checkpoint(setup.run, state, config=config, world=world)
    return True


def _is_due(every: int | None, step: int) -> bool:
    return every is not None and step % every == 0
