"""`om.open_shards`: what is read is what the shard holds, by time."""

import shutil

import numpy as np
import pytest

import omnimouse_cli as om
from omnimouse_cli.shard import open_shard

KEY = "20001-1-1"


@pytest.fixture(scope="module")
def session(api_folder):
    return om.open_shards(api_folder / "shards")[KEY]


@pytest.fixture(scope="module")
def shard(api_folder):
    return open_shard(api_folder / "shards" / f"{KEY}.safetensors")


def test_a_folder_is_a_mapping_of_sessions(api_folder):
    shards = om.open_shards(api_folder / "shards")
    assert (list(shards), len(shards), KEY in shards) == ([KEY], 1, True)
    assert repr(shards).endswith(f"1 session: {KEY}")
    assert shards.get("20001-1-2") is None
    with pytest.raises(om.OmniMouseError, match="has no session 20001-1-2") as caught:
        shards["20001-1-2"]
    assert caught.value.hint == f"did you mean `{KEY}`?"
    assert str(caught.value) == caught.value.message


def test_a_session_says_what_it_holds(session):
    facts = (session.key, session.animal, session.num_neurons, session.unit, session.frame_shape)
    assert facts == (KEY, "20001", 6, "rate", (36, 64))
    for word in ("6 neurons (rate) at 30 Hz", "frames of 36 x 64", "running", "train"):
        assert word in repr(session)
    assert session.channels[-1] == "running"
    assert len(session.neurons) == 6


def test_responses_are_the_rows_from_start_and_before_stop(session, shard):
    every = session.responses()
    np.testing.assert_array_equal(every, shard.read_responses(0, len(every)))
    assert every.dtype == np.float32
    times = every.time_seconds
    # A time of a row belongs to what begins there, not to what ends there.
    part = session.responses(times[30], times[60])
    np.testing.assert_array_equal(part.time_seconds, times[30:60])
    np.testing.assert_array_equal(part.values, every.values[30:60])
    assert len(session.responses(times[-1] + 100)) == 0


def test_the_frame_on_the_screen_at_the_start_comes_first(session, shard):
    flips = shard.flip_seconds
    gap = int(np.argmax(np.diff(flips)))
    shown = session.frames((flips[gap] + flips[gap + 1]) / 2, flips[gap + 3])
    np.testing.assert_array_equal(shown.time_seconds, flips[gap : gap + 3])
    np.testing.assert_array_equal(shown, shard.frames[shard.frame_index[gap : gap + 3]])
    assert len(session.frames(None, flips[0])) == 0
    assert len(session.frames()) == len(flips)


def test_behavior_is_by_channel_in_its_unit(session, shard):
    behavior = session.behavior(5, 6)
    assert tuple(behavior) == session.channels
    clock = shard.device("treadmill").clock
    speed = behavior["running"]
    first = round((speed.time_seconds[0] - clock.start_seconds) * clock.rate_hz)
    stored = shard.behavior("treadmill")[first : first + len(speed), 0]
    np.testing.assert_array_equal(speed, stored)
    assert ((speed.time_seconds >= 5) & (speed.time_seconds < 6)).all()
    # What is returned is the caller's.
    speed.values[:] = 0
    assert session.behavior(5, 6)["running"].values.any()


def test_trials_have_names(session, shard):
    trials = session.trials
    assert len(trials) == len(shard.trials.tier)
    tiers = shard.description.tiers
    assert trials.tier.tolist() == [tiers[i] if i >= 0 else "" for i in shard.trials.tier]
    oracle = trials.condition[trials.tier == "oracle"].tolist()
    assert len(set(oracle)) < len(oracle), "these stimuli repeat"


def test_times_that_go_back_are_refused(session):
    with pytest.raises(
        om.OmniMouseError, match="`start` must be before `stop`, both in seconds: 2"
    ):
        session.responses(2, 1)
    with pytest.raises(om.OmniMouseError, match="nan"):
        session.frames(float("nan"))


def test_a_damaged_shard_is_refused_when_it_is_asked_for(api_folder, tmp_path):
    folder = shutil.copytree(api_folder / "shards", tmp_path / "shards")
    with (folder / f"{KEY}.safetensors").open("r+b") as file:
        file.truncate(1000)
    shards = om.open_shards(folder)
    with pytest.raises(om.OmniMouseError, match=f"{KEY}.safetensors"):
        shards[KEY]


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(om.OmniMouseError, match="nowhere does not exist"):
        om.open_shards(tmp_path / "nowhere")
