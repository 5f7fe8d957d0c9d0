"""Which masking strategy a step uses: drawn from the seed and the step, the same on every rank."""

import random
from collections.abc import Sequence
from pathlib import Path

from omnimouse_cli.batch.dataset import SessionInfo
from omnimouse_cli.batch.strategies import training_table, usable
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.batch.strategy_file import strategies_of
from omnimouse_cli.config.training import MaskingConfig
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.seeds import derive_seed


def training_strategies(
    config: MaskingConfig, sessions: Sequence[SessionInfo]
) -> tuple[Strategy, ...]:
    """Give the strategies that see something and ask something of the sessions at hand.

    Args:
        config: The table and the user's own files.
        sessions: What is trained on.

    Raises:
        ConfigError: None is left, or a file with strategies that cannot be used.
    """
    own = [strategy for path in config.files for strategy in strategies_of(Path(path))]
    table = (*training_table(config.table), *own)
    names = [strategy.name for strategy in table]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two masking strategies have the name {name!r}")
    kept = usable(
        table,
        stimulus=any(session.frame_shape is not None for session in sessions),
        behavior=any(session.channels for session in sessions),
    )
    if not kept:
        raise ConfigError(f"no masking strategy of {config.table} fits sessions without modalities")
    return kept


def draw(
    strategies: Sequence[Strategy], sessions: Sequence[SessionInfo], *, seed: int, step: int
) -> Strategy:
    """Choose the strategy of a step.

    Args:
        strategies: Equally likely, those left out that none of the step's sessions can use.
        sessions: Of the step's batches, over all ranks.
        seed: Of the run.
        step: Steps done before.
    """
    fitting = [
        strategy for strategy in strategies if any(applies(strategy, item) for item in sessions)
    ]
    return random.Random(derive_seed(seed, "strategy", step)).choice(fitting or strategies)


def applies(strategy: Strategy, session: SessionInfo) -> bool:
    """Whether a strategy sees something and asks something of one session."""
    return bool(
        usable(
            (strategy,),
            stimulus=session.frame_shape is not None,
            behavior=bool(session.channels),
        )
    )
