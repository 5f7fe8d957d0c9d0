"""The masking strategies that are evaluated in a session, and why others are unavailable."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from omnimouse_cli.batch.dataset import SessionInfo
from omnimouse_cli.batch.selection import continues_inputs
from omnimouse_cli.batch.strategies import (
    CAUSAL,
    FAMILY_STRATEGIES,
    REGIMES,
    TEST_STRATEGIES,
    TRAINING_STRATEGIES,
    VALIDATION_STRATEGIES,
    WITH_STIMULUS,
    population_curve,
    regime_strategies,
)
from omnimouse_cli.batch.strategy import Strategy, read_strategies
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.evaluation.records import EvalOptions, Unavailable
from omnimouse_cli.files import names_a_file
from omnimouse_cli.model.build import unsupported_reason
from omnimouse_cli.text import split_words

# A population for which every strategy of a regime exists.
LARGE_POPULATION = 1 << 20
NO_SCREEN = "the recording has no screen"
NO_TIME_COURSE = "a static recording has no time course: the input is what is to be predicted"
NO_BEHAVIOR = "no behavior was recorded (no eye tracker, no treadmill)"


def evaluated_strategies(
    session: SessionInfo, options: EvalOptions, model: ModelConfig
) -> tuple[tuple[Strategy, ...], tuple[Unavailable, ...]]:
    """Select the masking strategies of a session.

    Args:
        session: The recording.
        options: `regime`, `stimulus` and `behavior` are used.
        model: Configuration of the model, some of which cannot predict in every regime.

    Returns:
        The strategies that the recording has the modalities and neurons for, and that the model can
        predict; the others, each with the reason.

    Raises:
        ConfigError: There is no such regime, strategy or file.
    """
    parts = [
        (_regime_strategies if part in (*REGIMES, "all") else _named_strategies)(
            part, session, options
        )
        for part in split_regime(options.regime)
    ]
    # A strategy that two parts name is scored once.
    found = tuple({one.name: one for available, _ in parts for one in available}.values())
    missing = tuple(dict.fromkeys(one for _, unavailable in parts for one in unavailable))
    reasons = [(one, unsupported_reason(model, one)) for one in found]
    unsupported = (_unavailable(one.name, session, why) for one, why in reasons if why)
    missing = (*unsupported, *missing)
    found = tuple(one for one, why in reasons if why is None)
    if session.has_time_course:
        return found, missing
    copies = [
        one
        for one in found
        if continues_inputs(one, session.num_neurons) or one.name.endswith(CAUSAL)
    ]
    missing += tuple(_unavailable(one.name, session, NO_TIME_COURSE) for one in copies)
    return tuple(one for one in found if one not in copies), missing


def _named_strategies(
    name: str, session: SessionInfo, options: EvalOptions
) -> tuple[tuple[Strategy, ...], tuple[Unavailable, ...]]:
    strategies, unavailable = [], []
    for strategy in _find_strategies(name):
        reason = _missing_modality(strategy, session)
        excluded_stimulus = strategy.video is not None and not options.stimulus
        excluded_behavior = strategy.behavior != "absent" and not options.behavior
        if reason is not None:
            unavailable.append(_unavailable(strategy.name, session, reason))
        elif not (excluded_stimulus or excluded_behavior):
            strategies.append(strategy)
    return tuple(strategies), tuple(unavailable)


def split_regime(regime: str) -> tuple[str, ...]:
    """Return the regimes, strategies and files that commas separate, each once.

    Example:
        >>> split_regime("predict,forecast+stimulus")
        ('predict', 'forecast+stimulus')
    """
    # A name of a file may have a comma.
    parts = [regime] if names_a_file(regime) else split_words(regime)
    return tuple(dict.fromkeys(parts)) or (regime,)


def require_regime(regime: str) -> None:
    """Refuse a regime, strategy or file that does not exist, before anything is loaded.

    Raises:
        ConfigError: Some do not exist; the message names each, the hint the nearest known one.
    """
    errors: dict[str, ConfigError] = {}
    for part in split_regime(regime):
        try:
            if part not in (*REGIMES, "all"):
                _find_strategies(part)
        except ConfigError as error:
            errors[part] = error
    if len(errors) > 1:
        hints = dict.fromkeys(error.hint for error in errors.values() if error.hint)
        raise ConfigError(
            "; ".join(error.message for error in errors.values()), hint=next(iter(hints), None)
        )
    for only in errors.values():
        raise only


def _regime_strategies(
    regime: str, session: SessionInfo, options: EvalOptions
) -> tuple[tuple[Strategy, ...], tuple[Unavailable, ...]]:
    available = regime_strategies(
        regime,
        population=session.num_neurons,
        stimulus=options.stimulus and session.frame_shape is not None,
        behavior=options.behavior and bool(session.channels),
    )
    requested = regime_strategies(
        regime,
        population=LARGE_POPULATION,
        stimulus=options.stimulus,
        behavior=options.behavior,
    )
    names = {strategy.name for strategy in available}
    unavailable = tuple(
        _unavailable(strategy.name, session, _missing_reason(strategy.name, session))
        for strategy in requested
        if strategy.name not in names
    )
    return available, unavailable


def _unavailable(strategy: str, session: SessionInfo, reason: str) -> Unavailable:
    return Unavailable(strategy=strategy, session=session.key, reason=reason)


def _missing_reason(name: str, session: SessionInfo) -> str:
    is_population = name.startswith("population-")
    if session.frame_shape is None and (
        name.endswith(WITH_STIMULUS) or name in ("predict", "predict" + CAUSAL)
    ):
        return NO_SCREEN
    if is_population and session.num_neurons < 2:
        return "one neuron has no others as context"
    if is_population:
        possible = regime_strategies(
            "population", population=session.num_neurons, stimulus=False, behavior=False
        )
        scored = ", ".join(one.name for one in possible) + (" is" if len(possible) == 1 else " are")
        return (
            f"at most half of the {session.num_neurons} neurons can be context; "
            f"{scored} scored instead"
        )
    return NO_BEHAVIOR


def _missing_modality(strategy: Strategy, session: SessionInfo) -> str | None:
    if strategy.video is not None and session.frame_shape is None:
        return NO_SCREEN
    only_behavior = strategy.behavior == "reconstructed" and strategy.targets is None
    if (only_behavior or strategy.inputs == ("behavior",)) and not session.channels:
        return NO_BEHAVIOR
    return None


def _find_strategies(name: str) -> tuple[Strategy, ...]:
    if name.endswith(".toml") or names_a_file(name):
        return read_strategies(Path(name))
    known: dict[str, Strategy] = {}
    tables: Iterable[Iterable[Strategy]] = (
        regime_strategies("all", population=LARGE_POPULATION, stimulus=True, behavior=True),
        TEST_STRATEGIES,
        VALIDATION_STRATEGIES,
        population_curve(),
        FAMILY_STRATEGIES,
        TRAINING_STRATEGIES,
    )
    for table in tables:
        for strategy in table:
            known.setdefault(strategy.name, strategy)
    if name not in known:
        # There are too many strategies to list.
        close = difflib.get_close_matches(name, [*REGIMES, "all", *known], n=1, cutoff=0.5)
        suggestion = f"did you mean `{close[0]}`? " if close else ""
        raise ConfigError(
            f"there is no regime or strategy {name}",
            hint=f"{suggestion}regimes are {', '.join(REGIMES)} and all; `omnimouse regimes --all` "
            "lists strategies; a file with strategies ends in .toml",
        )
    return (known[name],)
