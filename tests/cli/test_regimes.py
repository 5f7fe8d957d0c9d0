"""`omnimouse regimes`: the document of the contract, and the table."""

import json
from collections import Counter

import pytest
from typer.testing import CliRunner

from omnimouse_cli.cli.app import app


@pytest.fixture
def document():
    result = CliRunner().invoke(app, ["regimes", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_document_lists_the_published_strategies(document):
    assert (document["format"], document["version"]) == ("omnimouse-regimes", 1)
    uses = Counter(strategy["use"] for strategy in document["strategies"])
    assert (uses["train"], uses["validation"], uses["test"]) == (120, 8, 21)
    curve = [s for s in document["strategies"] if s["use"] == "curve"]
    assert {s["family"] for s in curve} == {"population"}
    assert {s["num_visible"] for s in curve} == {16, 32, 64, 128, 256, 512, 1024, 2048}


def test_each_strategy_says_what_is_seen_and_asked(document):
    forecast = next(s for s in document["strategies"] if s["name"] == "D2-0+25-n4096")
    assert forecast["inputs"] == ["responses", "stimulus", "behavior"]
    assert (forecast["prefix"], forecast["targets"], forecast["video"]) == (
        [0, 25],
        [30, 60],
        [30, 60],
    )


def test_the_rows_of_eval_are_listed_for_a_population():
    result = CliRunner().invoke(app, ["regimes", "--json", "--population", "40"])
    names = [row["name"] for row in json.loads(result.stdout)["rows"]]
    assert "forecast+stimulus" in names
    assert "population-16" in names
    assert "population-64" not in names
    printed = CliRunner().invoke(app, ["regimes", "--population", "40"]).stdout
    assert "encoded 0-25" in printed


def test_one_use_can_be_listed_and_an_unknown_one_is_wrong_usage():
    listed = CliRunner().invoke(app, ["regimes", "--use", "validation"])
    assert "stimulus_driven" in listed.stdout
    assert "A1-" not in listed.stdout
    assert CliRunner().invoke(app, ["regimes", "--use", "dreams"]).exit_code == 2


def test_what_regime_takes_comes_first_and_strategies_stand_behind_all():
    short = CliRunner().invoke(app, ["regimes"]).stdout
    assert len(short.splitlines()) < 25
    assert [name in short for name in ("forecast+stimulus", "A1-", "--all")] == [True, False, True]
    every = CliRunner().invoke(app, ["regimes", "--all"]).stdout
    assert every.index("forecast+stimulus") < every.index("A1-")
