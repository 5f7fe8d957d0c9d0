"""The published masking strategies: 120 for training, 8 for validation, 21 for test, the curve."""

from collections.abc import Iterable
from typing import NamedTuple

from omnimouse_cli.batch.strategy import REFERENCE_POPULATION, BehaviorRole, Family, Strategy

Range = tuple[int, int]
FEW: tuple[int, ...] = (1024, 256, 64)
CURVE_NEURONS: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 1024, 2048)
PUBLISHED_TARGETS = 3072
_EVERYONE = (REFERENCE_POPULATION,)


class _Row(NamedTuple):
    """One line of the published table: every prefix with every number of visible neurons.

    `prefixes` holds (first sample, last sample, samples in which everyone is seen).
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

# Source: omnimouse reference, section 5.1.
_PUBLISHED: tuple[_Row, ...] = (
    _Row("A1", "population", _ALL, (0, 60), None),
    _Row("A2a", "decode", _ALL, (0, 60), None, _EVERYONE, "reconstructed", None),
    _Row("A2", "decode", _ALL, (0, 60), None, FEW, "reconstructed"),
    _Row("A3", "forecast", _CAUSAL, (0, 60), None, _EVERYONE),
    _Row("A4", "forecast", _CAUSAL, (0, 60), None),
    _Row("A5", "population", _SPLIT, (0, 60), None),
    _Row("A6", "decode", _SPLIT, (0, 60), None, FEW, "reconstructed"),
    _Row("B1", "population", ((10, 60, 0),), (10, 60), (50, 60)),
    _Row("B2", "forecast", _CAUSAL, (0, 50), (50, 60), _EVERYONE),
    _Row("B3", "forecast", _CAUSAL, (0, 50), (50, 60)),
    _Row("B4", "population", _SPLIT[:2], (10, 60), (50, 60)),
    _Row("C1", "population", ((20, 60, 0),), (20, 60), (40, 60)),
    _Row("C2", "forecast", _CAUSAL, (0, 40), (40, 60), _EVERYONE),
    _Row("C3", "forecast", _CAUSAL, (0, 40), (40, 60)),
    _Row("C4", "population", ((15, 50, 10), (10, 50, 15)), (10, 50), (40, 60)),
    _Row("D1", "population", ((30, 60, 0),), (30, 60), (30, 60)),
    _Row("D2", "forecast", _CAUSAL, (0, 30), (30, 60), _EVERYONE),
    _Row("D3", "forecast", _CAUSAL, (0, 30), (30, 60)),
    _Row("D4", "population", ((15, 40, 10), (10, 40, 15)), (10, 40), (30, 60)),
    _Row("E1", "population", ((30, 50, 0),), (30, 50), (20, 60)),
    _Row("E2", "forecast", _CAUSAL[:2], (10, 30), (20, 60), _EVERYONE),
    _Row("E3", "forecast", _CAUSAL[:2], (10, 30), (20, 60)),
    _Row("F1", "population", ((30, 40, 0),), (30, 40), (10, 60)),
    _Row("F2", "forecast", ((10, 20, 0),), (10, 20), (10, 60), _EVERYONE),
    _Row("F3", "forecast", ((10, 20, 0),), (10, 20), (10, 60)),
)


def _expanded(row: _Row) -> Iterable[Strategy]:
    for first, last, everyone in row.prefixes:
        for visible in row.visible:
            label = f"{row.id}-{first}+{last - first}" + (f"-fp{everyone}" if everyone else "")
            yield Strategy(
                name=f"{label}-n{visible}",
                family=row.family,
                num_visible=None if visible == REFERENCE_POPULATION else visible,
                prefix=(first, last),
                full_population_prefix=everyone,
                context=row.context,
                targets=row.targets,
                num_targets=PUBLISHED_TARGETS if row.targets else None,
                video=row.video,
                behavior=row.behavior,
            )


def stimulus_only(name: str, behavior: BehaviorRole, num_targets: int | None = None) -> Strategy:
    """A strategy that sees the whole stimulus and no responses."""
    return Strategy(
        name=name,
        family="predict",
        num_visible=0,
        video=(0, 60),
        num_targets=num_targets,
        behavior=behavior,
    )


def _training() -> tuple[Strategy, ...]:
    tabled = [strategy for row in _PUBLISHED for strategy in _expanded(row)]
    return (
        *tabled,
        stimulus_only("G1", "encoded", PUBLISHED_TARGETS),
        stimulus_only("G2", "absent", PUBLISHED_TARGETS),
    )


def causal(
    name: str,
    prefix: Range,
    *,
    context: Range = (0, 60),
    video: Range | None = None,
    behavior: BehaviorRole = "encoded",
) -> Strategy:
    """A strategy that sees everyone in `prefix` and is asked for what follows."""
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
    """A strategy that sees all responses and is asked for behavior alone."""
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
        stimulus_only("video_behavior", "encoded", None),
        stimulus_only("stimulus_driven", "absent", None),
        causal("causal_response_behavior", (0, 25)),
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
        causal("causal_response_video_behavior", (0, 25), context=(0, 30), video=(30, 60)),
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


def named(base: str, *, stimulus: bool, behavior: bool) -> str:
    """The published way to say in a name what is seen beside the responses."""
    return base + ("_video" if stimulus else "") + ("_behavior" if behavior else "")


BOTH_WAYS = ((False, False), (False, True), (True, False), (True, True))


def population_curve(neurons: Iterable[int] = CURVE_NEURONS) -> tuple[Strategy, ...]:
    """Strategies of the curve of correlation over context neurons, in its four conditions.

    Returns:
        For each count: responses alone, with behavior, with the stimulus, with both.
    """
    return tuple(
        _population(
            named(f"population_{count}_response", stimulus=stimulus, behavior=behavior),
            count,
            video=(0, 60) if stimulus else None,
            behavior="encoded" if behavior else "reconstructed",
        )
        for count in neurons
        for stimulus, behavior in BOTH_WAYS
    )


def _test() -> tuple[Strategy, ...]:
    forecasts = [
        causal(
            named(f"causal_response_{samples}", stimulus=stimulus, behavior=behavior),
            (0, samples),
            context=(0, 30) if stimulus else (0, 60),
            video=(0, 60) if stimulus else None,
            behavior="encoded" if behavior else "reconstructed",
        )
        for samples in (25, 10)
        for stimulus, behavior in BOTH_WAYS
    ]
    return (
        stimulus_only("video_behavior", "encoded", None),
        stimulus_only("video_only", "reconstructed", None),
        Strategy(name="responses_from_behavior", family="predict", num_visible=0),
        decode("all_response_only"),
        decode("all_response_video", video=(0, 60)),
        *population_curve((64, 1024)),
        *forecasts,
    )


TRAINING_STRATEGIES: tuple[Strategy, ...] = _training()
VALIDATION_STRATEGIES: tuple[Strategy, ...] = _validation()
TEST_STRATEGIES: tuple[Strategy, ...] = _test()
