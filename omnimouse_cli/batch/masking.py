"""The masking strategy of a training step: drawn from seed and step, the same on every rank."""

import random
from collections.abc import Sequence
from pathlib import Path

from omnimouse_cli.batch.dataset import SessionInfo
from omnimouse_cli.batch.selection import continues_inputs
from omnimouse_cli.batch.strategies import training_table
from omnimouse_cli.batch.strategy import Strategy, read_strategies
from omnimouse_cli.config.training import MaskingConfig
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.seeds import derive_seed


def training_strategies(
    config: MaskingConfig, sessions: Sequence[SessionInfo]
) -> tuple[Strategy, ...]:
    """Return the strategies that have inputs and targets in at least one modality of the sessions.

    Args:
        config: The table and the user's own strategy files.
        sessions: Sessions to train on.

    Raises:
        ConfigError: No strategy is left, a name is used twice, or a strategy file is invalid.
    """
    own = [strategy for path in config.files for strategy in read_strategies(Path(path))]
    table = (*training_table(config.table), *own)
    names = [strategy.name for strategy in table]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two masking strategies have the name {name!r}")
    stimulus = any(session.frame_shape is not None for session in sessions)
    behavior = any(session.channels for session in sessions)
    kept = tuple(item for item in table if item.applies(stimulus=stimulus, behavior=behavior))
    if not kept:
        raise ConfigError(f"no masking strategy of {config.table} fits sessions without modalities")
    return kept


def draw(
    strategies: Sequence[Strategy], sessions: Sequence[SessionInfo], *, seed: int, step: int
) -> Strategy:
    """Draw the strategy of a training step.

    Args:
        strategies: Drawn uniformly from those that apply to at least one of the sessions.
        sessions: Sessions of the step's batches, over all ranks.
        seed: Seed of the run.
        step: Number of steps completed before.
    """
    fitting = [
        strategy for strategy in strategies if any(applies(strategy, item) for item in sessions)
    ]
    return random.Random(derive_seed(seed, "strategy", step)).choice(fitting or strategies)


def applies(strategy: Strategy, session: SessionInfo) -> bool:
    """Return whether a strategy has an input and a target in one session.

    A session without a time course has no target in a strategy that continues its inputs.
    """
    has_both = strategy.applies(
        stimulus=session.frame_shape is not None, behavior=bool(session.channels)
    )
    is_copy = not session.has_time_course and continues_inputs(strategy, session.num_neurons)
    return has_both and not is_copy
