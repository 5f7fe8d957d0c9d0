"""The rows of a regime's score table: what `eval` asks a model, by regime and population."""

from dataclasses import dataclass

from omnimouse_cli.batch.strategy import BehaviorRole, Family, Strategy
from omnimouse_cli.errors import ConfigError

REGIMES: tuple[Family, ...] = ("predict", "decode", "forecast", "population")
# Ends the name of a row that sees the screen beside the same row without it.
WITH_STIMULUS = "+stimulus"
POPULATION_SIZES: tuple[int, ...] = (16, 64, 128, 256, 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a score table.

    Args:
        name: As in `eval.json`: `forecast+stimulus`, `population-256`, ...
        strategy: What is seen and asked.
    """

    name: str
    strategy: Strategy


def regime_rows(regime: str, *, population: int, stimulus: bool, behavior: bool) -> tuple[Row, ...]:
    """Give the rows of a regime for a population.

    Args:
        regime: `predict`, `decode`, `forecast`, `population`, or `all` of them.
        population: Neurons of the session.
        stimulus: Whether rows may see the stimulus; rows that need it are left out if not.
        behavior: Whether rows may use behavior: as an input, and as what `decode` asks for.

    Returns:
        Rows in the table's order; empty where the regime cannot be had.

    Raises:
        ConfigError: There is no such regime.

    Example:
        >>> rows = regime_rows("population", population=254, stimulus=True, behavior=False)
        >>> [row.name for row in rows][:2]
        ['population-16', 'population-16+stimulus']
    """
    if regime == "all":
        parts = [
            regime_rows(part, population=population, stimulus=stimulus, behavior=behavior)
            for part in REGIMES
        ]
        return tuple(row for rows in parts for row in rows)
    role: BehaviorRole = "encoded" if behavior else "absent"
    if regime == "predict":
        strategies = [_predict(role)] if stimulus else []
    elif regime == "decode":
        strategies = [_decode()] if behavior else []
    elif regime == "forecast":
        strategies = [_forecast(role, stimulus=False)]
        strategies += [_forecast(role, stimulus=True)] if stimulus else []
    elif regime == "population":
        strategies = _populations(role, population=population, stimulus=stimulus)
    else:
        raise ConfigError(
            f"`regime` must be one of {', '.join(REGIMES)} or all: {regime}",
            hint="`omnimouse regimes` lists regimes and strategies",
        )
    return tuple(Row(name=strategy.name, strategy=strategy) for strategy in strategies)


def _predict(role: BehaviorRole) -> Strategy:
    return Strategy(name="predict", family="predict", num_visible=0, video=(0, 60), behavior=role)


def _decode() -> Strategy:
    return Strategy(
        name="decode",
        family="decode",
        prefix=(0, 60),
        context=(0, 60),
        targets=None,
        behavior="reconstructed",
    )


def _forecast(role: BehaviorRole, *, stimulus: bool) -> Strategy:
    return Strategy(
        name="forecast" + (WITH_STIMULUS if stimulus else ""),
        family="forecast",
        prefix=(0, 25),
        context=(0, 30) if stimulus else (0, 60),
        video=(0, 60) if stimulus else None,
        behavior=role,
    )


def _populations(role: BehaviorRole, *, population: int, stimulus: bool) -> list[Strategy]:
    """Half of the neurons at most are context, so that a score is over enough of the others."""
    sizes = [size for size in POPULATION_SIZES if size <= (population + 2) // 2]
    return [
        Strategy(
            name=f"population-{size}" + (WITH_STIMULUS if sees_stimulus else ""),
            family="population",
            num_visible=size,
            prefix=(30, 60),
            context=(30, 60),
            num_targets=population - size,
            video=(0, 60) if sees_stimulus else None,
            behavior=role,
            literal_counts=True,
        )
        for size in sizes or ([max(1, population // 2)] if population > 1 else [])
        for sees_stimulus in ((False, True) if stimulus else (False,))
    ]
