"""The tables that training draws from: the published one, and a small one for small models."""

from collections.abc import Iterable
from typing import Literal

from omnimouse_cli.batch.published_strategies import (
    BOTH_WAYS,
    TEST_STRATEGIES,
    TRAINING_STRATEGIES,
    VALIDATION_STRATEGIES,
    causal,
    decode,
    named,
    population_curve,
    stimulus_only,
)
from omnimouse_cli.batch.strategy import REFERENCE_POPULATION, Strategy

__all__ = [
    "FAMILY_STRATEGIES",
    "TEST_STRATEGIES",
    "TRAINING_STRATEGIES",
    "VALIDATION_STRATEGIES",
    "population_curve",
    "training_table",
    "usable",
]


def _families() -> tuple[Strategy, ...]:
    """Four strategies per regime: with and without stimulus, with behavior seen and asked for."""
    shares: tuple[tuple[int, bool, bool], ...] = (
        (2048, False, True),
        (1024, True, True),
        (1024, False, False),
        (256, True, False),
    )
    return (
        stimulus_only("predict-behavior", "encoded", None),
        stimulus_only("predict", "absent", None),
        stimulus_only("predict-decode", "reconstructed", None),
        Strategy(name="predict-from-behavior", family="predict", num_visible=0),
        decode("decode"),
        decode("decode+stimulus", video=(0, 60)),
        *(
            Strategy(
                name=f"decode-{share}",
                family="decode",
                num_visible=share,
                prefix=(0, 60),
                context=(0, 60),
                num_targets=REFERENCE_POPULATION - share,
                behavior="reconstructed",
            )
            for share in (2048, 512)
        ),
        *(
            causal(
                named("forecast", stimulus=stimulus, behavior=behavior),
                (0, 25),
                context=(0, 30) if stimulus else (0, 60),
                video=(0, 60) if stimulus else None,
                behavior="encoded" if behavior else "reconstructed",
            )
            for stimulus, behavior in BOTH_WAYS
        ),
        *(
            Strategy(
                name=named(f"population_{share}", stimulus=stimulus, behavior=behavior),
                family="population",
                num_visible=share,
                prefix=(30, 60),
                context=(30, 60),
                num_targets=REFERENCE_POPULATION - share,
                video=(0, 60) if stimulus else None,
                behavior="encoded" if behavior else "reconstructed",
            )
            for share, stimulus, behavior in shares
        ),
    )


FAMILY_STRATEGIES: tuple[Strategy, ...] = _families()


def training_table(name: Literal["published", "families"]) -> tuple[Strategy, ...]:
    """The strategies that `masking.table` names."""
    return TRAINING_STRATEGIES if name == "published" else FAMILY_STRATEGIES


def usable(
    strategies: Iterable[Strategy], *, stimulus: bool, behavior: bool
) -> tuple[Strategy, ...]:
    """Keep the strategies that see something and ask for something where modalities are missing.

    Args:
        strategies: A table.
        stimulus: Whether any session has a screen.
        behavior: Whether any session has behavior.
    """
    return tuple(
        strategy
        for strategy in strategies
        if (strategy.targets is not None or behavior)
        and (
            strategy.prefix is not None
            or (stimulus and strategy.video is not None)
            or (behavior and strategy.behavior == "encoded")
        )
    )
