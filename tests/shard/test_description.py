"""A description survives JSON, and a broken one is refused by the field's name."""

import json
from dataclasses import replace

import pytest

from omnimouse_cli.recording.dff import Baseline
from omnimouse_cli.recording.recording import Clock, Monitor, Provenance
from omnimouse_cli.shard.description import (
    BehaviorDescription,
    ResponsesDescription,
    Rounding,
    ScreenDescription,
    ShardDescription,
    SourceDescription,
    from_json,
    to_json,
)

CLOCK = Clock(start_seconds=8.3, rate_hz=30.1, num_samples=1000)
DESCRIPTION = ShardDescription(
    session="7-1-2",
    animal="7",
    origin_seconds=1_555_555_555.123456,
    response_kind="rate",
    native_rate_hz=7.8,
    statistics_tier="train",
    responses=ResponsesDescription(
        clock=CLOCK, num_neurons=12, rounding=Rounding(rms_relative=1e-4, max_relative=0.1)
    ),
    screen=ScreenDescription(frame_height=36, frame_width=64, source_height=144, source_width=256),
    behavior=(
        BehaviorDescription(
            name="treadmill", clock=CLOCK, channels=("running",), mean=(0.25,), std=(1.5,)
        ),
    ),
    tiers=("train", "test"),
    kinds=("video",),
    conditions=('a "quoted" name', "Fußgänger"),
    checksums={"responses": "blake3-128:00"},
    source=SourceDescription(path="/recordings/7-1-2", fingerprint="abc"),
    notes=("a note",),
)
FULL = replace(
    DESCRIPTION,
    responses=replace(
        DESCRIPTION.responses, missing_rows=3, baseline=Baseline(), id_namespace="allen"
    ),
    screen=replace(DESCRIPTION.screen, monitor=Monitor(policy="the monitor", width_cm=51.9)),
    behavior=(replace(DESCRIPTION.behavior[0], units=("cm/s",), source_units=("m/s",)),),
    format="nwb",
    provenance=Provenance(series="/acquisition", excluded={"no cell": 4}, licence="CC-BY-4.0"),
    split="conditions",
    stimulus_seen_in_train={"validation": False, "test": True, "oracle": None},
    windows_within_trials=True,
)


@pytest.mark.parametrize(
    "description",
    [
        DESCRIPTION,
        FULL,
        replace(DESCRIPTION, screen=None, behavior=(), native_rate_hz=None, notes=()),
    ],
)
def test_a_description_survives_json(description):
    assert from_json(to_json(description)) == description


def test_modalities_are_responses_screen_and_devices():
    assert DESCRIPTION.modalities == ("responses", "screen", "treadmill")
    assert replace(DESCRIPTION, screen=None, behavior=()).modalities == ("responses",)


def changed(change):
    content = json.loads(to_json(DESCRIPTION))
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("session"), "`description` lacks `session`"),
        (lambda d: d.update(origin_seconds="now"), "`description.origin_seconds` must be a number"),
        (
            lambda d: d.update(response_kind="spikes"),
            "one of rate, dff, fluorescence, unknown: .spikes.",
        ),
        (lambda d: d["responses"].update(num_neurons=-3), "must be a whole number: -3"),
        (lambda d: d["responses"]["clock"].update(rate_hz=0), "`rate_hz` must be positive: 0"),
        (lambda d: d["behavior"][0].update(std=[0.0]), "`std` must be positive"),
        (lambda d: d["behavior"][0].update(mean=[]), "as many means and stds as channels"),
        (lambda d: d.update(tiers="train"), "`description.tiers` must be a list"),
        (lambda d: d.update(checksums=[]), "`description.checksums` must be an object"),
        (lambda d: d.update(notes=[3]), "`description.notes` must be text: 3"),
        (lambda d: d["behavior"][0].update(units=["cm", "s"]), "as many units as channels"),
        (lambda d: d.update(windows_within_trials=1), "must be true or false: 1"),
        (lambda d: d.update(stimulus_seen_in_train={"test": "no"}), "test` must be true or false"),
        (lambda d: d["screen"].update(monitor={}), "`description.screen.monitor` lacks `policy`"),
        (lambda d: d["responses"].update(baseline={"percentile": 200}), "from 0 to 100: 200"),
    ],
)
def test_a_broken_field_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        from_json(changed(change))


def test_fields_of_later_releases_are_ignored():
    assert from_json(changed(lambda d: d.update(added_later=1))) == DESCRIPTION


def test_fields_that_earlier_releases_lack_have_their_defaults():
    def take_away(content):
        for name in ("format", "provenance", "split", "stimulus_seen_in_train"):
            content.pop(name)
        content.pop("windows_within_trials")
        for name in ("missing_rows", "baseline", "id_namespace"):
            content["responses"].pop(name)
        content["screen"].pop("monitor")
        content["behavior"][0].pop("units")
        content["behavior"][0].pop("source_units")

    assert from_json(changed(take_away)) == DESCRIPTION
