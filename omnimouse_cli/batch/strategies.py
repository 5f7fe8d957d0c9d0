"""Tables of masking strategies: what training draws from, and what each regime of `eval` scores.

To add a masking strategy, add a `Strategy` here: to `_families` if small models shall train on it,
to `regime_strategies` if `eval` shall score it. Nothing else has to know it: the model, the losses
and the scores read the fields of `Strategy`. `published_strategies.py` holds the tables of the
published model, which stay as they are. Users add strategies in TOML files (`read_strategies`).
"""

from dataclasses import replace

from omnimouse_cli.batch.published_strategies import (
    STIMULUS_AND_BEHAVIOR,
    TEST_STRATEGIES,
    TRAINING_STRATEGIES,
    VALIDATION_STRATEGIES,
    decode,
    forecast,
    name_with_inputs,
    population_curve,
    predict_from_stimulus,
)
from omnimouse_cli.batch.strategy import (
    QUERY_SAMPLES,
    REFERENCE_POPULATION,
    WHOLE_WINDOW,
    BehaviorRole,
    Family,
    Strategy,
)
from omnimouse_cli.config.training import TrainingTable
from omnimouse_cli.errors import ConfigError

__all__ = [
    "FAMILY_STRATEGIES",
    "POPULATION_SIZES",
    "REGIMES",
    "TEST_STRATEGIES",
    "TRAINING_STRATEGIES",
    "VALIDATION_STRATEGIES",
    "WITH_STIMULUS",
    "population_curve",
    "regime_strategies",
    "training_table",
]

REGIMES: tuple[Family, ...] = ("predict", "decode", "forecast", "population")
# Suffix of the name of a strategy that has the stimulus as an input beside the same one without.
WITH_STIMULUS = "+stimulus"
# Suffix of the name of a strategy whose inputs all lie before its targets, beside the published one
# that conditions on later frames or behavior too.
CAUSAL = "-causal"
FORECAST_PREFIX = (0, 25)
# Samples of a window that published strategies predict.
PUBLISHED_TARGET_SAMPLES = (30, 60)
POPULATION_SIZES: tuple[int, ...] = (16, 64, 128, 256, 1024)


def _families() -> tuple[Strategy, ...]:
    """Four strategies per regime: with and without stimulus, behavior as input and as target."""
    visible_stimulus_behavior: tuple[tuple[int, bool, bool], ...] = (
        (2048, False, True),
        (1024, True, True),
        (1024, False, False),
        (256, True, False),
    )
    return (
        predict_from_stimulus("predict-behavior", "encoded"),
        predict_from_stimulus("predict", "absent"),
        predict_from_stimulus("predict-decode", "reconstructed"),
        Strategy(name="predict-from-behavior", family="predict", num_visible=0),
        decode("decode"),
        decode("decode+stimulus", video=(0, 60)),
        *(
            Strategy(
                name=f"decode-{visible}",
                family="decode",
                num_visible=visible,
                prefix=(0, 60),
                context=(0, 60),
                num_targets=REFERENCE_POPULATION - visible,
                behavior="reconstructed",
            )
            for visible in (2048, 512)
        ),
        *(
            forecast(
                name_with_inputs("forecast", stimulus=stimulus, behavior=behavior),
                FORECAST_PREFIX,
                context=(0, 30) if stimulus else (0, 60),
                video=(0, 60) if stimulus else None,
                behavior="encoded" if behavior else "reconstructed",
            )
            for stimulus, behavior in STIMULUS_AND_BEHAVIOR
        ),
        *(
            Strategy(
                name=name_with_inputs(
                    f"population_{visible}", stimulus=stimulus, behavior=behavior
                ),
                family="population",
                num_visible=visible,
                prefix=(30, 60),
                context=(30, 60),
                num_targets=REFERENCE_POPULATION - visible,
                video=(0, 60) if stimulus else None,
                behavior="encoded" if behavior else "reconstructed",
            )
            for visible, stimulus, behavior in visible_stimulus_behavior
        ),
    )


FAMILY_STRATEGIES: tuple[Strategy, ...] = _families()


def _predict_causal(behavior: BehaviorRole) -> Strategy:
    first = PUBLISHED_TARGET_SAMPLES[0]
    visible = (0, first + 1)
    return Strategy(
        name="predict" + CAUSAL,
        family="predict",
        num_visible=0,
        video=visible,
        targets=(first, first + QUERY_SAMPLES),
        behavior=behavior,
        behavior_range=visible if behavior == "encoded" else WHOLE_WINDOW,
    )


def _forecast_causal() -> Strategy:
    strategy = forecast("forecast" + CAUSAL, FORECAST_PREFIX)
    return replace(strategy, behavior_range=FORECAST_PREFIX)


def training_table(name: TrainingTable) -> tuple[Strategy, ...]:
    """Return the strategies that `masking.table` names."""
    tables: dict[TrainingTable, tuple[Strategy, ...]] = {
        "published": TRAINING_STRATEGIES,
        "families": FAMILY_STRATEGIES,
        "predict": (predict_from_stimulus("predict", "encoded"),),
    }
    return tables[name]


def regime_strategies(
    regime: str, *, population: int, stimulus: bool, behavior: bool, causal: bool = True
) -> tuple[Strategy, ...]:
    """Return the strategies that `eval` scores for a regime.

    As published, `predict` has the frames of the whole window as inputs, those after a target
    sample included, and all strategies with behavior have that of the whole window.
    `predict-causal` ends its inputs with the frame of the first target sample and has targets as
    short as a query, five samples, so that their frames are at most four samples out of date.
    `forecast-causal` has behavior of the time of its visible responses.

    Args:
        regime: `predict`, `decode`, `forecast`, `population`, or `all` of them.
        population: Number of neurons of the session.
        stimulus: Whether the stimulus may be an input; strategies that need it are omitted if not.
        behavior: Whether behavior may be used: as an input, and as the target of `decode`.
        causal: Whether to include strategies whose inputs all lie before their targets.

    Returns:
        Strategies in the order of the score table; empty if their modalities are missing.

    Raises:
        ConfigError: There is no such regime.

    Example:
        >>> strategies = regime_strategies(
        ...     "population", population=254, stimulus=True, behavior=False
        ... )
        >>> [strategy.name for strategy in strategies][:2]
        ['population-16', 'population-16+stimulus']
    """
    if regime == "all":
        return tuple(
            strategy
            for part in REGIMES
            for strategy in regime_strategies(
                part, population=population, stimulus=stimulus, behavior=behavior, causal=causal
            )
        )
    role: BehaviorRole = "encoded" if behavior else "absent"
    with_stimulus = (False, True) if stimulus else (False,)
    if regime == "predict":
        strategies = (predict_from_stimulus("predict", role), *([_predict_causal(role)] * causal))
        return strategies if stimulus else ()
    if regime == "decode":
        return (decode("decode"),) if behavior else ()
    if regime == "forecast":
        strategies = tuple(
            forecast(
                "forecast" + (WITH_STIMULUS if has_stimulus else ""),
                FORECAST_PREFIX,
                context=(0, 30) if has_stimulus else (0, 60),
                video=(0, 60) if has_stimulus else None,
                behavior=role,
            )
            for has_stimulus in with_stimulus
        )
        # Without behavior all inputs of `forecast` lie before its targets.
        return (strategies[0], *([_forecast_causal()] * (causal and behavior)), *strategies[1:])
    if regime == "population":
        # At most half of the neurons are context, so that the score is over enough of the others.
        sizes = [size for size in POPULATION_SIZES if size <= (population + 2) // 2]
        return tuple(
            Strategy(
                name=f"population-{size}" + (WITH_STIMULUS if has_stimulus else ""),
                family="population",
                num_visible=size,
                prefix=(30, 60),
                context=(30, 60),
                num_targets=population - size,
                video=(0, 60) if has_stimulus else None,
                behavior=role,
                literal_counts=True,
            )
            for size in sizes or ([max(1, population // 2)] if population > 1 else [])
            for has_stimulus in with_stimulus
        )
    raise ConfigError(
        f"`regime` must be one of {', '.join(REGIMES)} or all: {regime}",
        hint="`omnimouse regimes` lists regimes and strategies",
    )
