"""Which rows an evaluation asks of a session, and why it cannot have the others."""

from collections.abc import Iterable
from pathlib import Path

from omnimouse_cli.batch.dataset import SessionInfo
from omnimouse_cli.batch.strategies import (
    FAMILY_STRATEGIES,
    POPULATION_SIZES,
    REGIMES,
    TEST_STRATEGIES,
    TRAINING_STRATEGIES,
    VALIDATION_STRATEGIES,
    WITH_STIMULUS,
    population_curve,
    regime_strategies,
)
from omnimouse_cli.batch.strategy import Strategy, read_strategies
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.evaluate.records import EvalOptions, Unavailable
from omnimouse_cli.text import suggest_name

LARGE_POPULATION = 1 << 20


def rows_of(
    session: SessionInfo, options: EvalOptions
) -> tuple[tuple[Strategy, ...], tuple[Unavailable, ...]]:
    """Find the rows of a session.

    Args:
        session: The recording.
        options: `regime`, `stimulus` and `behavior` are used.

    Returns:
        Rows that the recording has, and statements about those that it lacks.

    Raises:
        ConfigError: There is no such regime, strategy or file.
    """
    if options.regime in (*REGIMES, "all"):
        return _regime_rows(session, options)
    rows, missing = [], []
    for strategy in _named(options.regime):
        reason = _what_lacks(strategy, session)
        if reason is None:
            rows.append(strategy)
        else:
            missing.append(Unavailable(strategy=strategy.name, session=session.key, reason=reason))
    kept = tuple(row for row in rows if _is_wanted(row, options))
    return kept, tuple(missing)


def require_regime(regime: str) -> None:
    """Refuse a regime, strategy or file that does not exist, before anything is loaded.

    Raises:
        ConfigError: The message names the nearest known one.
    """
    if regime not in (*REGIMES, "all"):
        _named(regime)


def _regime_rows(
    session: SessionInfo, options: EvalOptions
) -> tuple[tuple[Strategy, ...], tuple[Unavailable, ...]]:
    stimulus, behavior = session.frame_shape is not None, bool(session.channels)
    rows = regime_strategies(
        options.regime,
        population=session.num_neurons,
        stimulus=options.stimulus and stimulus,
        behavior=options.behavior and behavior,
    )
    had = {row.name for row in rows}
    wanted = [
        name
        for regime in (REGIMES if options.regime == "all" else (options.regime,))
        for name in _wanted_names(regime, options)
    ]
    missing = tuple(
        Unavailable(strategy=name, session=session.key, reason=_why_no(name, session))
        for name in wanted
        if name not in had
    )
    return rows, missing


def _wanted_names(regime: str, options: EvalOptions) -> list[str]:
    rows = regime_strategies(
        regime,
        population=LARGE_POPULATION,
        stimulus=options.stimulus,
        behavior=options.behavior,
    )
    return [row.name for row in rows]


def _why_no(name: str, session: SessionInfo) -> str:
    size = next((size for size in POPULATION_SIZES if name.startswith(f"population-{size}")), None)
    if session.frame_shape is None and (name.endswith(WITH_STIMULUS) or name == "predict"):
        return "the recording has no screen"
    if name.startswith("population") and size is not None:
        return f"{session.num_neurons} neurons are too few to show so many and ask for the others"
    return "no behavior was recorded (no eye tracker, no treadmill)"


def _what_lacks(strategy: Strategy, session: SessionInfo) -> str | None:
    if strategy.video is not None and session.frame_shape is None:
        return "the recording has no screen"
    if strategy.behavior == "reconstructed" and strategy.targets is None and not session.channels:
        return "no behavior was recorded (no eye tracker, no treadmill)"
    if strategy.inputs == ("behavior",) and not session.channels:
        return "no behavior was recorded (no eye tracker, no treadmill)"
    return None


def _is_wanted(strategy: Strategy, options: EvalOptions) -> bool:
    sees_too_much = strategy.video is not None and not options.stimulus
    uses_behavior = strategy.behavior != "absent" and not options.behavior
    return not (sees_too_much or uses_behavior)


def _named(name: str) -> tuple[Strategy, ...]:
    if name.endswith(".toml") or Path(name).is_file():
        return read_strategies(Path(name))
    known = _known_strategies()
    if name not in known:
        raise ConfigError(
            f"there is no regime or strategy {name}",
            hint=f"{suggest_name(name, {*REGIMES, 'all', *known})} "
            "`omnimouse regimes` lists them; a file with strategies ends in .toml",
        )
    return (known[name],)


def _known_strategies() -> dict[str, Strategy]:
    tables: Iterable[Iterable[Strategy]] = (
        regime_strategies("all", population=LARGE_POPULATION, stimulus=True, behavior=True),
        TEST_STRATEGIES,
        VALIDATION_STRATEGIES,
        population_curve(),
        FAMILY_STRATEGIES,
        TRAINING_STRATEGIES,
    )
    known: dict[str, Strategy] = {}
    for table in tables:
        for strategy in table:
            known.setdefault(strategy.name, strategy)
    return known
