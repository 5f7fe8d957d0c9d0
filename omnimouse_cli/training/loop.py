"""The training loop."""

import time

from omnimouse_cli.batch.masking import draw
from omnimouse_cli.errors import ShardError
from omnimouse_cli.training.checkpoint_writer import CheckpointWriter
from omnimouse_cli.training.interrupt import Interrupt
from omnimouse_cli.training.optimizer import set_learning_rates
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.progress_log import ProgressLogger
from omnimouse_cli.training.state import Counters, TrainState
from omnimouse_cli.training.step import TrainingSetup, train_step
from omnimouse_cli.training.validate import validate


def train_until_over(
    state: TrainState, setup: TrainingSetup, log: ProgressLogger, interrupt: Interrupt
) -> bool:
    """Train until the duration is over or an interrupt is requested; save the last checkpoint.

    Args:
        state: State of the training; changed.
        setup: Data and settings.
        log: Receives steps and validations.
        interrupt: Requests of the user or the system to stop; a signal that another rank got is
            in it afterwards.

    Returns:
        Whether the duration is over.

    Raises:
        ShardError: A shard was replaced; the state is saved.
    """
    config, counters, world = setup.config, state.counters, setup.world
    duration, schedule = setup.duration, setup.schedule
    start_time = time.perf_counter() - counters.elapsed_seconds
    change: ShardError | None = None
    world.activity.begin("start", step=counters.step)
    with CheckpointWriter(setup.run, state, config=config, world=world) as writer:
        is_stopped = _synchronize(counters, start_time, world, interrupt, writer)
        while not is_stopped and not duration.is_over(counters.step, counters.elapsed_seconds):
            progress = duration.progress(counters.step, counters.elapsed_seconds)
            state.core.shortcuts_only = schedule.is_shortcuts_only(progress)
            set_learning_rates(state.core_optimizer, schedule, progress)
            set_learning_rates(state.session_optimizer, schedule, progress)
            sessions = setup.sessions_of_step(counters.step)
            strategy = draw(setup.strategies, sessions, seed=config.seed, step=counters.step)
            world.activity.begin("training", step=counters.step + 1)
            epoch = int(setup.epochs(counters.tokens))
            log.log_step(train_step(state, setup, strategy))
            # After the last step there is a validation anyway.
            is_last = duration.is_over(counters.step, counters.elapsed_seconds)
            is_validated = _is_due(config.train.validate_every, counters.step) and not is_last
            if is_validated or int(setup.epochs(counters.tokens)) > epoch:
                change = setup.shard_files.find_change(world)
            if is_validated and change is None:
                world.activity.begin("validation")
                with log.measure("validation"):
                    validation = validate(state, config, setup.dataset, world)
                if validation is not None:
                    log.log_validation(validation)
            is_stopped = _synchronize(counters, start_time, world, interrupt, writer)
            if change is not None:
                break
            if writer.is_due() and not is_stopped:
                world.activity.begin("checkpoint")
                with log.measure("checkpoint"):
                    writer.start()
        world.activity.begin("checkpoint")
        writer.start()
        writer.wait()
    if change is None and not is_stopped:
        change = setup.shard_files.find_change(world)
    if change is not None:
        raise change
    return not is_stopped


def _synchronize(
    counters: Counters,
    start_time: float,
    world: World,
    interrupt: Interrupt,
    writer: CheckpointWriter,
) -> bool:
    """Take the clock of the rank that is ahead; return whether any rank got a signal to stop.

    Raises:
        OmniMouseError: A checkpoint could not be written.
    """
    counters.elapsed_seconds, number, has_failed = world.all_reduce_max(
        [time.perf_counter() - start_time, float(interrupt.number), float(writer.has_failed)]
    )
    # A signal that arrives right now is in the next exchange, with all ranks.
    interrupt.request(int(number))
    if has_failed:
        # The threads of all ranks end with the same error.
        world.activity.begin("checkpoint")
        writer.wait()
    return number != 0


def _is_due(every: int | None, step: int) -> bool:
    return every is not None and step % every == 0
