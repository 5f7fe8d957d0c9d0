"""The published tables, strategies that apply without some modalities, and those of regimes."""

from collections import Counter

import pytest

from omnimouse_cli.batch.strategies import (
    FAMILY_STRATEGIES,
    TEST_STRATEGIES,
    TRAINING_STRATEGIES,
    VALIDATION_STRATEGIES,
    population_curve,
    regime_strategies,
    training_table,
)
from omnimouse_cli.errors import ConfigError

BY_NAME = {strategy.name: strategy for strategy in TRAINING_STRATEGIES}


def test_the_tables_have_the_published_numbers_of_entries():
    assert [len(t) for t in (TRAINING_STRATEGIES, VALIDATION_STRATEGIES, TEST_STRATEGIES)] == [
        120,
        8,
        21,
    ]
    roles = Counter(strategy.behavior for strategy in TRAINING_STRATEGIES)
    assert roles == {"encoded": 106, "reconstructed": 13, "absent": 1}
    assert sum(strategy.video is not None for strategy in TRAINING_STRATEGIES) == 83


@pytest.mark.parametrize(
    ("row", "entries"),
    [
        ("A1", 3), ("A2a", 1), ("A2", 3), ("A3", 3), ("A4", 9), ("A5", 9), ("A6", 9), ("B1", 3),
        ("B2", 3), ("B3", 9), ("B4", 6), ("C1", 3), ("C2", 3), ("C3", 9), ("C4", 6), ("D1", 3),
        ("D2", 3), ("D3", 9), ("D4", 6), ("E1", 3), ("E2", 2), ("E3", 6), ("F1", 3), ("F2", 1),
        ("F3", 3), ("G1", 1), ("G2", 1),
    ],
)  # fmt: skip
def test_every_published_row_has_its_entries(row, entries):
    assert sum(name.split("-")[0] == row for name in BY_NAME) == entries


def test_names_are_unique_in_each_table():
    tables = (
        TRAINING_STRATEGIES,
        VALIDATION_STRATEGIES,
        TEST_STRATEGIES,
        FAMILY_STRATEGIES,
        population_curve(),
    )
    for table in tables:
        assert len({strategy.name for strategy in table}) == len(table)


def test_some_published_entries_are_what_the_reference_says():
    split = BY_NAME["C4-15+35-fp10-n256"]
    assert (split.prefix, split.full_population_prefix, split.context) == ((15, 50), 10, (10, 50))
    assert (split.video, split.num_visible, split.num_targets) == ((40, 60), 256, 3072)
    decode = BY_NAME["A2a-0+60-n4096"]
    assert (decode.targets, decode.behavior, decode.num_visible) == (None, "reconstructed", None)
    test = {strategy.name: strategy for strategy in TEST_STRATEGIES}
    short = test["causal_response_10_video"]
    assert (short.prefix, short.context, short.behavior) == ((0, 10), (0, 30), "reconstructed")
    inverse = {s.name: s for s in VALIDATION_STRATEGIES}["invpopcaus_response_video_behavior"]
    assert (inverse.prefix, inverse.full_population_prefix) == ((10, 50), 15)


def test_everyones_part_and_causal_prefixes_end_a_buffer_before_the_targets():
    for strategy in TRAINING_STRATEGIES:
        if strategy.full_population_prefix:
            assert strategy.full_population_range[1] == 25
        elif strategy.family == "forecast":
            assert strategy.prefix[1] in (20, 25)


def test_small_models_draw_each_regime_equally_often():
    families = Counter(strategy.family for strategy in training_table("families"))
    assert set(families.values()) == {4}
    assert set(families) == {"predict", "decode", "forecast", "population"}
    assert training_table("published") is TRAINING_STRATEGIES


def test_strategies_without_anything_to_see_or_to_ask_are_left_out():
    def applying(**modalities):
        return tuple(item for item in FAMILY_STRATEGIES if item.applies(**modalities))

    blind = applying(stimulus=False, behavior=False)
    assert {strategy.family for strategy in blind} == {"decode", "forecast", "population"}
    assert all(strategy.prefix is not None and strategy.targets for strategy in blind)
    assert applying(stimulus=True, behavior=True) == FAMILY_STRATEGIES
    watching = applying(stimulus=True, behavior=False)
    assert "predict-from-behavior" not in {strategy.name for strategy in watching}


def regime_names(regime, *, population=254, stimulus=True, behavior=True):
    strategies = regime_strategies(
        regime, population=population, stimulus=stimulus, behavior=behavior
    )
    return [strategy.name for strategy in strategies]


def test_all_is_every_regime_in_order():
    assert regime_names("all") == [
        "predict",
        "predict-causal",
        "decode",
        "forecast",
        "forecast-causal",
        "forecast+stimulus",
        "population-16",
        "population-16+stimulus",
        "population-64",
        "population-64+stimulus",
        "population-128",
        "population-128+stimulus",
    ]


def test_strategies_that_need_what_is_not_there_are_left_out():
    assert regime_names("all", stimulus=False) == [
        "decode",
        "forecast",
        "forecast-causal",
        "population-16",
        "population-64",
        "population-128",
    ]
    assert regime_names("decode", behavior=False) == []
    assert regime_names("predict", stimulus=False) == []
    strategies = regime_strategies("all", population=254, stimulus=True, behavior=False)
    assert {strategy.behavior for strategy in strategies} == {"absent"}
    # Without behavior a forecast is causal as it is.
    assert "forecast-causal" not in {strategy.name for strategy in strategies}


def test_population_strategies_ask_for_all_other_neurons():
    for strategy in regime_strategies("population", population=5000, stimulus=True, behavior=True):
        assert strategy.num_visible + strategy.num_targets == 5000
        assert (strategy.prefix, strategy.targets) == ((30, 60), (30, 60))
    assert regime_names("population", population=5, stimulus=False) == ["population-2"]
    assert regime_names("population", population=1) == []


def test_forecast_strategies_see_the_first_25_samples_and_answer_for_the_last_30():
    for strategy in regime_strategies("forecast", population=10, stimulus=True, behavior=True):
        assert (strategy.prefix, strategy.targets) == ((0, 25), (30, 60))
        assert ("stimulus" in strategy.inputs) == strategy.name.endswith("+stimulus")


def test_an_unknown_regime_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="predict, decode, forecast, population or all: dream"):
        regime_strategies("dream", population=10, stimulus=True, behavior=True)
