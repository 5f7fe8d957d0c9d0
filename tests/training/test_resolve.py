"""The response loss follows from the data, and one that does not fit them is refused."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.config.training import TrainConfig
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.reporter import Silent
from omnimouse_cli.training import resolve
from omnimouse_cli.training.resolve import resolve_response_loss


@pytest.fixture
def settle(make_shards, tiny):
    def settle(*sessions, response_loss=None, normalize=None):
        config = replace(
            tiny,
            model=replace(tiny.model, response_loss=response_loss),
            data=replace(tiny.data, normalize=normalize),
        )
        config = resolve_response_loss(config, open_dataset(make_shards(sessions)).sessions)
        return config.model.response_loss, config.data.normalize

    return settle


def test_rates_get_a_poisson_loss_on_scaled_responses(settle, session):
    assert settle(session(kind="rate")) == ("poisson", "scale")


def test_dff_gets_a_squared_error_on_standardized_responses(settle, session):
    assert settle(session(kind="dff", negative=True)) == ("gaussian", "standardize")


@pytest.mark.parametrize(
    ("negative", "expected"), [(False, ("poisson", "scale")), (True, ("gaussian", "standardize"))]
)
def test_what_nobody_named_is_decided_by_negative_values(settle, session, negative, expected):
    assert settle(session(kind="unknown", negative=negative)) == expected


def test_a_choice_of_the_user_stays(settle, session):
    assert settle(session(kind="rate"), response_loss="gaussian") == ("gaussian", "standardize")
    chosen = settle(session(kind="rate"), response_loss="gaussian", normalize="scale")
    assert chosen == ("gaussian", "scale")


@pytest.mark.parametrize(("loss", "name"), [("poisson", "Poisson"), ("gamma", "gamma")])
def test_losses_of_rates_are_refused_on_dff_with_the_reason(settle, session, loss, name):
    assert settle(session(kind="rate"), response_loss=loss) == (loss, "scale")
    with pytest.raises(ConfigError, match=rf"a {name} .*negative, and session 1-1-1 holds dF/F"):
        settle(session(kind="dff", negative=True), response_loss=loss)


def test_raw_fluorescence_is_never_trained_with_a_poisson_loss(settle, session):
    assert settle(session(kind="fluorescence")) == ("gaussian", "standardize")
    with pytest.raises(ConfigError, match=r"needs rates, and session 1-1-1 holds raw fluor"):
        settle(session(kind="fluorescence"), response_loss="poisson")


def test_poisson_on_standardized_rates_is_refused_with_the_reason(settle, session):
    with pytest.raises(ConfigError, match=r"`data.normalize` is standardize, which subtracts"):
        settle(session(kind="rate"), response_loss="poisson", normalize="standardize")


def test_sessions_of_different_kinds_are_named(settle, session):
    with pytest.raises(ConfigError, match=r"dff: 2-1-1; rate: 1-1-1, 3-1-1"):
        settle(
            session(kind="rate"),
            session(key="2-1-1", kind="dff", negative=True),
            session(key="3-1-1", kind="rate"),
        )


@pytest.mark.parametrize(
    ("tiers", "expected"),
    [
        ({"train", "oracle"}, ("oracle",)),
        ({"train", "oracle", "validation"}, ("validation",)),
        ({"train"}, ("validation",)),
    ],
)
def test_oracle_trials_validate_where_there_is_no_other_tier(tiers, expected, monkeypatch):
    monkeypatch.setattr(resolve, "used_tiers", lambda _sessions: tiers)
    train = resolve._resolve_validation_tiers(TrainConfig(), SimpleNamespace(sessions=()), Silent())
    assert train.validation_tiers == expected
