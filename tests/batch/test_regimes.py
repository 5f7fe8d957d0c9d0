"""The rows of the score table."""

import pytest

from omnimouse_cli.batch.strategies import regime_strategies
from omnimouse_cli.errors import ConfigError


def names(regime, *, population=254, stimulus=True, behavior=True):
    rows = regime_strategies(regime, population=population, stimulus=stimulus, behavior=behavior)
    return [row.name for row in rows]


def test_all_is_every_regime_in_order():
    assert names("all") == [
        "predict",
        "decode",
        "forecast",
        "forecast+stimulus",
        "population-16",
        "population-16+stimulus",
        "population-64",
        "population-64+stimulus",
        "population-128",
        "population-128+stimulus",
    ]


def test_rows_that_need_what_is_not_there_are_left_out():
    assert names("all", stimulus=False) == [
        "decode",
        "forecast",
        "population-16",
        "population-64",
        "population-128",
    ]
    assert names("decode", behavior=False) == []
    assert names("predict", stimulus=False) == []
    rows = regime_strategies("all", population=254, stimulus=True, behavior=False)
    assert {row.behavior for row in rows} == {"absent"}


def test_population_rows_ask_for_all_other_neurons():
    for row in regime_strategies("population", population=5000, stimulus=True, behavior=True):
        assert row.num_visible + row.num_targets == 5000
        assert (row.prefix, row.targets) == ((30, 60), (30, 60))
    assert names("population", population=5, stimulus=False) == ["population-2"]
    assert names("population", population=1) == []


def test_forecast_rows_see_the_first_25_samples_and_answer_for_the_last_30():
    for row in regime_strategies("forecast", population=10, stimulus=True, behavior=True):
        assert (row.prefix, row.targets) == ((0, 25), (30, 60))
        assert ("stimulus" in row.inputs) == row.name.endswith("+stimulus")


def test_an_unknown_regime_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="predict, decode, forecast, population or all: dream"):
        regime_strategies("dream", population=10, stimulus=True, behavior=True)
