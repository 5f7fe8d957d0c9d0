"""The published masking strategies: 120 for training, 8 for validation, 21 for test, the curve.

These tables are fixed by the publication. New strategies go into `strategies.py`.
"""

from collections.abc import Iterable
from typing import NamedTuple

from omnimouse_cli.batch.strategy import REFERENCE_POPULATION, BehaviorRole, Family, Strategy

Range = tuple[int, int]
FEW: tuple[int, ...] = (1024, 256, 64)
CURVE_NEURONS: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 1024, 2048)
PUBLISHED_TARGETS = 3072
_FULL_POPULATION = (REFERENCE_POPULATION,)


class _Group(NamedTuple):
    """Published masking strategies: every prefix with every number of visible neurons.

    `prefixes` holds (first sample, last sample, samples in which the full population is visible).
    """

    id: str
    family: Family
    prefixes: tuple[tuple[int, int, int], ...]
    context: Range
    video: Range | None
    visible: tuple[int, ...] = FEW
    behavior: BehaviorRole = "encoded"
    targets: Range | None = (30, 60)


_ALL = ((0, 60, 0),)
_CAUSAL = ((15, 25, 0), (10, 25, 0), (0, 25, 0))
_SPLIT = ((15, 60, 10), (10, 60, 15), (0, 60, 25))

# Source: OmniMouse (ICLR 2026, arXiv 2604.18827).
_PUBLISHED: tuple[_Group, ...] = (
    _Group("A1", "population", _ALL, (0, 60), None),
    _Group("A2a", "decode", _ALL, (0, 60), None, _FULL_POPULATION, "reconstructed", None),
    _Group("A2", "decode", _ALL, (0, 60), None, FEW, "reconstructed"),
    _Group("A3", "forecast", _CAUSAL, (0, 60), None, _FULL_POPULATION),
    _Group("A4", "forecast", _CAUSAL, (0, 60), None),
    _Group("A5", "population", _SPLIT, (0, 60), None),
    _Group("A6", "decode", _SPLIT, (0, 60), None, FEW, "reconstructed"),
    _Group("B1", "population", ((10, 60, 0),), (10, 60), (50, 60)),
    _Group("B2", "forecast", _CAUSAL, (0, 50), (50, 60), _FULL_POPULATION),
    _Group("B3", "forecast", _CAUSAL, (0, 50), (50, 60)),
    _Group("B4", "population", _SPLIT[:2], (10, 60), (50, 60)),
    _Group("C1", "population", ((20, 60, 0),), (20, 60), (40, 60)),
    _Group("C2", "forecast", _CAUSAL, (0, 40), (40, 60), _FULL_POPULATION),
    _Group("C3", "forecast", _CAUSAL, (0, 40), (40, 60)),
    _Group("C4", "population", ((15, 50, 10), (10, 50, 15)), (10, 50), (40, 60)),
    _Group("D1", "population", ((30, 60, 0),), (30, 60), (30, 60)),
    _Group("D2", "forecast", _CAUSAL, (0, 30), (30, 60), _FULL_POPULATION),
    _Group("D3", "forecast", _CAUSAL, (0, 30), (30, 60)),
    _Group("D4", "population", ((15, 40, 10), (10, 40, 15)), (10, 40), (30, 60)),
    _Group("E1", "population", ((30, 50, 0),), (30, 50), (20, 60)),
    _Group("E2", "forecast", _CAUSAL[:2], (10, 30), (20, 60), _FULL_POPULATION),
    _Group("E3", "forecast", _CAUSAL[:2], (10, 30), (20, 60)),
    _Group("F1", "population", ((30, 40, 0),), (30, 40), (10, 60)),
    _Group("F2", "forecast", ((10, 20, 0),), (10, 20), (10, 60), _FULL_POPULATION),
    _Group("F3", "forecast", ((10, 20, 0),), (10, 20), (10, 60)),
)


def _expand(group: _Group) -> Iterable[Strategy]:
    for first, last, full_population in group.prefixes:
        suffix = f"-fp{full_population}" if full_population else ""
        for visible in group.visible:
            yield Strategy(
                name=f"{group.id}-{first}+{last - first}{suffix}-n{visible}",
                family=group.family,
                num_visible=None if visible == REFERENCE_POPULATION else visible,
                prefix=(first, last),
                full_population_prefix=full_population,
                context=group.context,
                targets=group.targets,
                num_targets=PUBLISHED_TARGETS if group.targets else None,
                video=group.video,
                behavior=group.behavior,
            )


def predict_from_stimulus(
    name: str, behavior: BehaviorRole, num_targets: int | None = None
) -> Strategy:
    """Return a strategy whose inputs are the whole stimulus and no responses."""
    return Strategy(
        name=name,
        family="predict",
        num_visible=0,
        video=(0, 60),
        num_targets=num_targets,
        behavior=behavior,
    )


def _training() -> tuple[Strategy, ...]:
    tabled = [strategy for group in _PUBLISHED for strategy in _expand(group)]
    return (
        *tabled,
        predict_from_stimulus("G1", "encoded", PUBLISHED_TARGETS),
        predict_from_stimulus("G2", "absent", PUBLISHED_TARGETS),
    )


def forecast(
    name: str,
    prefix: Range,
    *,
    context: Range = (0, 60),
    video: Range | None = None,
    behavior: BehaviorRole = "encoded",
) -> Strategy:
    """Return a strategy with all neurons visible in `prefix` and all of them as targets."""
    return Strategy(
        name=name,
        family="forecast",
        prefix=prefix,
        context=context,
        video=video,
        behavior=behavior,
    )


def _population(
    name: str, visible: int, *, video: Range | None, behavior: BehaviorRole
) -> Strategy:
    return Strategy(
        name=name,
        family="population",
        num_visible=visible,
        prefix=(30, 60),
        context=(30, 60),
        num_targets=PUBLISHED_TARGETS,
        video=video,
        behavior=behavior,
    )


def decode(name: str, *, video: Range | None = None) -> Strategy:
    """Return a strategy whose inputs are all responses and whose target is behavior alone."""
    return Strategy(
        name=name,
        family="decode",
        prefix=(0, 60),
        context=(0, 60),
        targets=None,
        video=video,
        behavior="reconstructed",
    )


def _validation() -> tuple[Strategy, ...]:
    return (
        predict_from_stimulus("video_behavior", "encoded"),
        predict_from_stimulus("stimulus_driven", "absent"),
        forecast("causal_response_behavior", (0, 25)),
        decode("all_response_only"),
        Strategy(
            name="population_1024_response_behavior",
            family="population",
            num_visible=1024,
            prefix=(0, 60),
            context=(0, 60),
            num_targets=PUBLISHED_TARGETS,
        ),
        _population(
            "population_1024_response_video_behavior", 1024, video=(30, 60), behavior="encoded"
        ),
        forecast("causal_response_video_behavior", (0, 25), context=(0, 30), video=(30, 60)),
        Strategy(
            name="invpopcaus_response_video_behavior",
            family="population",
            num_visible=1024,
            prefix=(10, 50),
            full_population_prefix=15,
            context=(10, 50),
            num_targets=PUBLISHED_TARGETS,
            video=(40, 60),
        ),
    )


def name_with_inputs(base: str, *, stimulus: bool, behavior: bool) -> str:
    """Return `base` with the inputs beside the responses appended, as published names have it."""
    return base + ("_video" if stimulus else "") + ("_behavior" if behavior else "")


STIMULUS_AND_BEHAVIOR = ((False, False), (False, True), (True, False), (True, True))


def population_curve(neurons: Iterable[int] = CURVE_NEURONS) -> tuple[Strategy, ...]:
    """Return the strategies of the curve of correlation over number of context neurons.

    Returns:
        For each count: responses alone, with behavior, with the stimulus, with both.
    """
    return tuple(
        _population(
            name_with_inputs(f"population_{count}_response", stimulus=stimulus, behavior=behavior),
            count,
            video=(0, 60) if stimulus else None,
            behavior="encoded" if behavior else "reconstructed",
        )
        for count in neurons
        for stimulus, behavior in STIMULUS_AND_BEHAVIOR
    )


def _test() -> tuple[Strategy, ...]:
    forecasts = [
        forecast(
            name_with_inputs(f"causal_response_{samples}", stimulus=stimulus, behavior=behavior),
            (0, samples),
            context=(0, 30) if stimulus else (0, 60),
            video=(0, 60) if stimulus else None,
            behavior="encoded" if behavior else "reconstructed",
        )
        for samples in (25, 10)
        for stimulus, behavior in STIMULUS_AND_BEHAVIOR
    ]
    return (
        predict_from_stimulus("video_behavior", "encoded"),
        predict_from_stimulus("video_only", "reconstructed"),
        Strategy(name="responses_from_behavior", family="predict", num_visible=0),
        decode("all_response_only"),
        decode("all_response_video", video=(0, 60)),
        *population_curve((64, 1024)),
        *forecasts,
    )


TRAINING_STRATEGIES: tuple[Strategy, ...] = _training()
VALIDATION_STRATEGIES: tuple[Strategy, ...] = _validation()
TEST_STRATEGIES: tuple[Strategy, ...] = _test()
