"""Tiers are made where files have none: each flip once, repeats together, guards between tiers."""

import pickle
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.split.movies import segment_tiers, stable_hash
from omnimouse_cli.recording.split.tiers import assign_tiers
from tests.recording.split.recordings import (
    ROUNDING,
    allen,
    check_blanks,
    check_whole,
    minutes,
    read_frames,
    record,
    shares,
    shortest_gap,
    tiers_by_condition,
)

LENGTHS = {"video": (0.5, 40.0), "image": (0.25, 5.0), "blank": (0.2, 90.0), "invalid": (0.5, 5.0)}
NAMES = st.sampled_from(["a", "b", "c", "d", None])


@st.composite
def shown_trials(draw):
    shown = []
    lengths = {}
    for _ in range(draw(st.integers(1, 40))):
        kind = draw(st.sampled_from([*LENGTHS, "video", "image"]))
        name = draw(NAMES) if kind in ("video", "image") else None
        length = draw(st.floats(*LENGTHS[kind]))
        # Repeats of a stimulus are as long as each other.
        length = lengths.setdefault((kind, name), length) if name else length
        gap = draw(st.sampled_from([0.0, 0.0, 0.3, 1.0, 15.0]))
        shown.append((kind, length, None if name is None else f"{kind} {name}", gap))
    return shown


@settings(max_examples=40, deadline=None)
@given(
    shown=shown_trials(),
    split=st.sampled_from(["auto", "time"]),
    start=st.sampled_from([-20.0, 0.0, 7.5]),
    share=st.sampled_from([0.5, 1.0]),
)
def test_each_flip_stays_and_tiers_are_apart(shown, split, start, share):
    recording = record(shown, start=start)
    seconds = max(5.0, share * recording.responses.clock.end_seconds)
    recording = record(shown, start=start, seconds=seconds)
    after = assign_tiers(recording, split)
    check_whole(recording, after)
    check_blanks(after)
    least = {"time": 4.0, "movie-time": 2.0, "movie-time + time": 2.0}.get(after.split, 0.0)
    assert shortest_gap(after) >= least - ROUNDING
    assert {trial.tier for trial in after.trials if trial.kind == "invalid"} <= {None}
    assert assign_tiers(recording, split).trials == after.trials


@settings(max_examples=40, deadline=None)
@given(shown=shown_trials(), start=st.sampled_from([0.0, 7.5]))
def test_without_a_screen_all_time_is_covered(shown, start):
    shown = [("unknown", length, name, gap) for _, length, name, gap in shown]
    recording = record(shown, screen=False, start=start)
    after = assign_tiers(recording, "time")
    check_whole(recording, after)
    covered = sum(trial.end_seconds - trial.start_seconds for trial in after.trials)
    assert covered == pytest.approx(recording.responses.clock.end_seconds)
    assert shortest_gap(after) >= 4.0 - ROUNDING
    if covered > 30:
        assert set(minutes(after)) == {"train", "validation", "test"}


@settings(max_examples=40, deadline=None)
@given(
    repeats=st.lists(st.sampled_from(range(6)), min_size=8, max_size=40),
    order=st.randoms(use_true_random=False),
)
def test_a_segment_and_all_its_repeats_are_in_one_tier_of_every_session(repeats, order):
    lengths = [30.0, 120.0, 12.0, 9.0, 61.0, 25.5]
    shown = [
        ("video", lengths[movie], f"movie {movie}", 0.0)
        for movie in (*range(6), *range(6), *repeats)
    ]
    other = order.sample(shown, len(shown))
    sessions = [assign_tiers(record(each), "movie-time") for each in (shown, other)]
    first, second = (tiers_by_condition(session) for session in sessions)
    segments = {name: tiers for name, tiers in first.items() if len(tiers) == 1}
    assert all(len(tiers) == 1 for tiers in first.values())
    assert all(second[name] == tiers for name, tiers in segments.items() if name in second)
    assert {session.split for session in sessions} == {"movie-time"}


def test_long_movies_are_cut_into_named_segments():
    after = assign_tiers(allen())
    assert after.split == "movie-time + time"
    names = {trial.condition for trial in after.trials if trial.condition is not None}
    assert {"movie one 0-10 s", "movie one 20-30 s", "movie three 110-120 s"} <= names
    assert {f"grating {number}" for number in range(8)} <= names
    first = [trial for trial in after.trials if trial.condition == "movie three 50-60 s"]
    assert len(first) == 5
    assert len({(trial.tier, trial.num_flips) for trial in first}) == 1
    assert set(minutes(after)) == {"train", "validation", "test"}


def test_segments_are_70_10_20_percent_by_a_hash_that_never_changes():
    assert stable_hash("movie one 0") == pytest.approx(0.25542, abs=1e-6)
    names = [f"movie {number}" for number in range(3000)]
    tiers = list(segment_tiers(names).values())
    for tier, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert tiers.count(tier) / len(tiers) == pytest.approx(share, abs=0.02)


def test_missing_tiers_are_filled_in_the_order_of_the_hash():
    names = sorted((f"segment {number}" for number in range(40)), key=stable_hash)[:4]
    assert set(segment_tiers(names).values()) == {"train"}
    filled = segment_tiers(names, missing=("train", "validation", "test"))
    assert [filled[name] for name in names] == ["train", "train", "validation", "test"]
    too_few = segment_tiers(names[:2], missing=("train", "validation", "test"))
    assert set(too_few.values()) == {"train"}


def test_blocks_are_cut_by_time():
    gratings = [("image", 2.0, f"grating {number % 8}", 1.0) for number in range(200)]
    after = assign_tiers(record(gratings))
    assert after.split == "time"
    for tier, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert shares(after)[tier] == pytest.approx(share, abs=0.02)
    order = [trial.tier for trial in after.trials if trial.tier is not None]
    assert order == sorted(order, key=["train", "validation", "test"].index)
    # Trials of two seconds are never cut.
    assert len(after.trials) == len(record(gratings).trials)


def test_every_block_has_every_tier_and_short_ones_are_joined():
    block = [("image", 2.0, "a", 0.0)] * 100
    short = [("image", 2.0, "b", 0.0)] * 10
    shown = [*block[:-1], ("image", 2.0, "a", 20.0), *short[:-1], ("image", 2.0, "b", 20.0), *short]
    after = assign_tiers(record(shown))
    tiers = defaultdict(set)
    for trial in after.trials:
        if trial.tier is not None and trial.condition is not None:
            tiers[trial.condition].add(trial.tier)
    assert tiers["a"] >= {"train", "validation"}
    assert "test" in tiers["b"]
    assert shares(after)["train"] == pytest.approx(0.7, abs=0.04)


def test_spontaneous_activity_is_cut_and_its_flip_stays_in_the_first_part():
    recording = record([("blank", 600.0, None, 0.0)])
    after = assign_tiers(recording)
    check_whole(recording, after)
    parts = [(trial.kind, trial.tier) for trial in after.trials[:5]]
    assert parts == [
        ("blank", "train"),
        ("invalid", None),
        ("blank", "validation"),
        ("invalid", None),
        ("blank", "test"),
    ]
    assert [trial.num_flips for trial in after.trials[:5]] == [1, 0, 0, 0, 0]
    assert shares(after)["train"] == pytest.approx(0.7, abs=0.01)


def test_responses_alone_are_cut_by_time():
    after = assign_tiers(record([], screen=False, seconds=600.0))
    assert {trial.kind for trial in after.trials} == {"unknown"}
    for tier, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert shares(after)[tier] == pytest.approx(share, abs=0.01)
    assert "no tier" not in after.notes[-1]


def test_gaps_of_the_responses_count_for_no_tier():
    recording = record([], screen=False, seconds=1000.0)
    after = assign_tiers(replace(recording, gaps=np.array([[100.0, 500.0], [990.0, 1000.0]])))
    assert after.notes[-1].endswith("train 6.7, validation 0.96, test 1.9 minutes")
    assert set(minutes(after)) == {"train", "validation", "test"}


def test_time_between_trials_has_a_tier_without_a_screen():
    table = [("unknown", 3.0, f"stimulus {number % 5}", 1.25) for number in range(35)]
    after = assign_tiers(record(table, screen=False))
    assert {trial.condition for trial in after.trials} >= {None, "stimulus 0", "stimulus 4"}
    train = [trial for trial in after.trials if trial.tier == "train"]
    assert all(
        earlier.end_seconds == pytest.approx(later.start_seconds)
        for earlier, later in pairwise(train)
    )
    assert set(minutes(after)) == {"train", "validation", "test"}


def test_repeated_clips_are_test_and_unique_ones_train_and_validation():
    clips = [("video", 10.0, f"clip {number}", 0.1) for number in range(60)]
    repeated = [("video", 10.0, f"oracle {number % 6}", 0.1) for number in range(60)]
    shown = [trial for pair in zip(clips, repeated, strict=True) for trial in pair]
    recording = record(shown)
    after = assign_tiers(recording)
    assert after.split == "conditions"
    check_whole(recording, after)
    tiers = tiers_by_condition(after)
    assert all(tiers[f"oracle {number}"] == {"test"} for number in range(6))
    unique = [tiers[f"clip {number}"] for number in range(60)]
    assert 1 <= unique.count({"validation"}) <= 15
    assert unique.count({"train"}) == 60 - unique.count({"validation"})
    fewer = assign_tiers(record(shown[::-1][:90]))
    assert all(tiers[name] == tier for name, tier in tiers_by_condition(fewer).items())


def test_clips_are_split_by_condition_without_a_screen():
    clips = [("unknown", 10.0, f"clip {number}", 0.5) for number in range(20)]
    shown = [*clips, *[("unknown", 10.0, "oracle", 0.5)] * 5]
    after = assign_tiers(record(shown, screen=False))
    assert after.split == "conditions"
    for clip, gap in zip(after.trials[0::2], after.trials[1::2], strict=True):
        assert (gap.condition, gap.tier) == (None, clip.tier)
    assert tiers_by_condition(after)["oracle"] == {"test"}


def test_a_short_blank_has_the_tier_of_the_clip_before():
    clips = [("video", 10.0, f"clip {number}", 0.0) for number in range(20)]
    clips += [("video", 10.0, "oracle", 0.0)] * 3
    shown = [trial for clip in clips for trial in (clip, ("blank", 0.5, None, 0.0))]
    after = assign_tiers(record(shown))
    assert after.split == "conditions"
    for clip, blank in zip(after.trials[0:40:2], after.trials[1:41:2], strict=True):
        assert (blank.kind, blank.tier) == ("blank", clip.tier)


def test_movies_too_few_for_every_tier_are_cut_by_time():
    after = assign_tiers(record([("video", 4.0, "movie", 0.0)] * 20))
    assert after.split == "time"
    assert set(minutes(after)) == {"train", "validation", "test"}


def test_too_little_time_is_said():
    after = assign_tiers(record([("image", 2.0, "a", 0.0)] * 5))
    assert set(minutes(after)) == {"train"}
    assert "too little recorded time for validation, test" in after.notes[-1]


def test_the_note_says_the_policy_and_the_minutes():
    note = assign_tiers(record([], screen=False, seconds=600.0)).notes[-1]
    assert note.startswith("tiers: the files have none, so they are made by time (")
    assert note.endswith("train 6.9, validation 0.98, test 2.0 minutes")


@pytest.mark.parametrize("split", ["auto", "time"])
def test_tiers_of_the_files_are_kept(split):
    recording = record([("video", 10.0, f"clip {number}", 0.0) for number in range(9)])
    trials = (replace(recording.trials[0], tier="oracle"), *recording.trials[1:])
    recording = replace(recording, trials=trials)
    after = assign_tiers(recording, split)
    assert (after.trials, after.split) == (trials, "file")
    assert after.notes == (
        ()
        if split == "auto"
        else ("tiers: those of the files are kept; split time is for recordings without tiers",)
    )


def test_a_policy_that_does_not_fit_is_refused_with_a_hint():
    recording = record([("image", 2.0, "a", 0.0)] * 40)
    for split, words in (("conditions", "shown 3 times"), ("movie-time", "no video is longer")):
        with pytest.raises(RecordingError, match=words) as caught:
            assign_tiers(recording, split)
        assert "--split auto" in caught.value.hint


def test_videos_without_a_name_are_repeats_if_their_frames_are_equal():
    recording = record([("video", 10.0, None, 0.0)] * 60)
    trials = tuple(
        replace(trial, identified_by_frames=True) if trial.kind == "video" else trial
        for trial in recording.trials
    )

    def read_five_movies(number, first, last):
        return read_frames(number % 5, first, last)

    screen = replace(recording.screen, read_frames=read_five_movies)
    after = assign_tiers(replace(recording, trials=trials, screen=screen), "movie-time")
    tiers = defaultdict(set)
    for number, trial in enumerate(after.trials):
        if trial.tier is not None and trial.num_flips > 1:
            tiers[int(after.screen.read_frames(number, 0, 1)[0, 0, 0])].add(trial.tier)
    assert len(tiers) == 5
    assert all(len(own) == 1 for own in tiers.values())


def test_unknown_stimuli_are_not_used_with_a_screen():
    shown = [("video", 10.0, f"clip {number}", 0.0) for number in range(12)]
    shown += [("unknown", 60.0, None, 0.0)]
    after = assign_tiers(record(shown))
    assert {trial.tier for trial in after.trials if trial.kind == "unknown"} == {None}


def test_a_recording_with_made_tiers_can_be_sent_to_another_process():
    after = assign_tiers(allen())
    copy = pickle.loads(pickle.dumps(after))
    number = len(copy.trials) // 3
    np.testing.assert_array_equal(copy.read_trial(number), after.read_trial(number))
