"""Strategies of a session: what it allows, and the reason for what it does not."""

from dataclasses import replace

import pytest

from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.evaluation.strategies import evaluated_strategies, require_regime


@pytest.fixture
def mouse(simulated_data):
    return simulated_data.sessions[0]


@pytest.fixture
def blind(make_session, quiet_trials, moving_average):
    """A session without behavior."""
    dataset = make_session(moving_average(), quiet_trials, eye_tracker=False, treadmill=False)
    return dataset.sessions[0]


def names(session, **options):
    strategies, missing = evaluated_strategies(session, EvalOptions(**options), SIZES["nano"])
    return [one.name for one in strategies], {item.strategy: item.reason for item in missing}


def test_all_regimes_of_a_complete_recording(mouse):
    found, missing = names(mouse, regime="all")
    assert found[:3] == ["predict", "predict-causal", "decode"]
    assert found[3:6] == ["forecast", "forecast-causal", "forecast+stimulus"]
    assert found[6].startswith("population-")
    assert all(name.startswith("population-") for name in missing)
    reason = "at most half of the 20 neurons can be context; population-10 is scored instead"
    assert set(missing.values()) == {reason}


def test_excluded_modalities_leave_out_strategies_silently(mouse):
    found, missing = names(mouse, regime="forecast", stimulus=False)
    assert found == ["forecast", "forecast-causal"]
    assert missing == {}
    found, missing = names(mouse, regime="all", behavior=False)
    assert "decode" not in found
    assert "decode" not in missing


def test_strategies_that_a_recording_does_not_allow_have_a_reason(blind):
    found, missing = names(blind, regime="decode")
    assert found == []
    assert missing == {"decode": "no behavior was recorded (no eye tracker, no treadmill)"}
    found, _ = names(blind, regime="forecast")
    assert found == ["forecast", "forecast+stimulus"]


def test_a_recording_without_a_time_course_has_no_forecast(mouse):
    static = replace(mouse, has_time_course=False)
    found, missing = names(static, regime="all")
    assert found[:2] == ["predict", "decode"]
    assert all(name.startswith("population-") for name in found[2:])
    assert "no time course" in missing["forecast"]
    assert "no time course" in missing["predict-causal"]
    assert "no time course" in missing["forecast+stimulus"]
    # The past of the same neurons, under a name that no regime has.
    found, missing = names(static, regime="causal_response_25_video")
    assert (found, list(missing)) == ([], ["causal_response_25_video"])


def test_a_published_strategy_is_found_by_its_name(mouse, blind):
    assert names(mouse, regime="causal_response_25_video")[0] == ["causal_response_25_video"]
    found, missing = names(blind, regime="responses_from_behavior")
    assert found == []
    assert "no behavior" in missing["responses_from_behavior"]


def test_strategies_of_a_file_are_evaluated(mouse, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        '[[strategy]]\nname = "short"\nfamily = "forecast"\nprefix = [10, 25]\n'
        "context = [0, 60]\ntargets = [30, 60]\n"
        '\n[[strategy]]\nname = "seen"\nfamily = "predict"\nnum_visible = 0\n'
        "video = [0, 60]\ntargets = [30, 60]\n"
    )
    assert names(mouse, regime=str(path))[0] == ["short", "seen"]
    assert names(mouse, regime=str(path), stimulus=False, behavior=True)[0] == ["short"]


def test_a_name_like_no_regime_lists_the_regimes_and_not_all_strategies():
    with pytest.raises(ConfigError) as caught:
        require_regime("xyzzy")
    assert caught.value.hint == (
        "regimes are predict, decode, forecast, population and all; `omnimouse regimes --all` "
        "lists strategies; a file with strategies ends in .toml"
    )


def test_an_unknown_regime_names_the_nearest():
    with pytest.raises(ConfigError, match="no regime or strategy forcast") as caught:
        require_regime("forcast")
    assert "did you mean `forecast`?" in caught.value.hint
    require_regime("all")
    require_regime("population-256+stimulus")


def test_several_regimes_and_strategies_are_scored_once_each(mouse):
    found, missing = names(mouse, regime="forecast, decode,forecast+stimulus")
    assert found == ["forecast", "forecast-causal", "forecast+stimulus", "decode"]
    assert missing == {}


def test_every_unknown_regime_of_several_is_named():
    with pytest.raises(ConfigError, match=r"strategy forcast; .*strategy xyz") as caught:
        require_regime("forcast,decode,xyz")
    assert caught.value.hint.startswith("did you mean `forecast`?")
