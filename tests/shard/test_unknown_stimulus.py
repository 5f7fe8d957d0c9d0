"""Missing rows, unknown stimuli, and windows that must not leave their trial."""

from dataclasses import replace

import numpy as np
import pytest

from omnimouse_cli.batch.windows import window_table
from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.recording import Clock, Monitor, Neurons, Provenance, Signal
from omnimouse_cli.recording.split.tiers import assign_tiers
from omnimouse_cli.recording.split.trials import tier_minutes as minutes_of_made
from omnimouse_cli.shard.catalogue import build_entry
from omnimouse_cli.shard.intervals import contains
from omnimouse_cli.shard.summary import summarize
from omnimouse_cli.shard.valid import dropped_minutes, tier_minutes
from omnimouse_cli.text import format_minutes

PLAIN = {"behavior": False}


def gamma(rows=900, neurons=6, seed=1):
    return np.random.default_rng(seed).gamma(1.0, 2.0, (rows, neurons)).astype(np.float32)


def windows_of(shard, *tiers):
    table = window_table(shard, tiers=tiers, include_blanks=True)
    starts = table.start_seconds(np.arange(table.num_windows))
    return np.stack((starts, starts + 59 / 30), axis=1)


def with_unknown(recording, numbers):
    trials = tuple(
        replace(trial, kind="unknown") if number in numbers else trial
        for number, trial in enumerate(recording.trials)
    )
    return replace(recording, trials=trials)


def test_declared_gaps_may_be_missing_and_count_nowhere(make_recording, converted):
    values = gamma()
    # Responses start at 0.6 s: rows 300 to 400 are at 10.6 to 13.93 s.
    values[300:400] = np.nan
    gaps = np.array([[10.6, 10.6 + 100 / 30]])
    recording = make_recording(responses=values, gaps=gaps, native_rate_hz=10.0, **PLAIN)
    shard = converted(recording)
    assert shard.description.responses.missing_rows == 100
    entry = build_entry(shard)
    assert (entry.samples, entry.missing_rows, entry.tokens) == (900, 100, 4800)
    assert entry.hours == pytest.approx(800 / 30 / 3600)
    assert entry.native_tokens == 6 * round(800 / 3)
    assert not contains(shard.valid("responses"), np.array([11.0, 13.9])).any()
    assert dropped_minutes(shard)["responses lost"] == pytest.approx(100 / 30 / 60, rel=1e-3)
    # The gap begins 0.2 s after the validation trial, which lasts from 10.4 to 16.4 s.
    minutes = {"train": 16.3 / 60, "validation": (6 - 10 / 3) / 60, "test": 5.7 / 60}
    assert entry.tiers == pytest.approx(minutes, abs=1e-3)
    values[700, 2] = np.nan
    with pytest.raises(RecordingError, match="outside gaps of the recording and trials"):
        converted(replace(recording, gaps=gaps))


def test_no_window_with_video_touches_an_unknown_stimulus(make_recording, converted):
    # Trial 2 lasts from 10.4 to 16.4 s.
    shard = converted(with_unknown(make_recording(), {2}))
    assert not contains(shard.valid("screen"), np.linspace(10.41, 16.39, 50)).any()
    windows = windows_of(shard, "train", "validation", "test")
    assert len(windows)
    assert ((windows[:, 1] < 10.4) | (windows[:, 0] > 16.4)).all()
    assert windows[windows[:, 1] < 10.4].max() > 10.3
    assert dropped_minutes(shard)["unknown stimulus"] == pytest.approx(0.1)
    (tier,) = (t for t in summarize(shard).tiers if t.tier == "validation")
    assert (tier.kinds, tier.usable_minutes) == ({"unknown": 1}, 0)


def test_time_between_trials_is_unknown_where_there_is_a_screen(make_recording, converted):
    recording = make_recording()
    trials = list(recording.trials)
    trials[0] = replace(trials[0], end_seconds=trials[0].end_seconds - 1.0)
    trials[1] = replace(trials[1], end_seconds=trials[1].end_seconds - 0.01)
    shard = converted(replace(recording, trials=tuple(trials)))
    # A gap shorter than half a sample is jitter.
    assert not contains(shard.valid("screen"), np.array([7.5, 8.3])).any()
    assert contains(shard.valid("screen"), np.array([7.3, 8.5, 10.395])).all()
    assert dropped_minutes(shard)["unknown stimulus"] == pytest.approx(1 / 60)
    windows = windows_of(shard, "train", "validation", "test")
    assert ((windows[:, 1] < 7.4) | (windows[:, 0] > 8.39)).all()


def test_without_a_screen_unknown_trials_are_ordinary(make_recording, converted):
    specification = [("unknown", "train", "movie_a", 12.0), ("unknown", "test", "movie_b", 12.0)]
    shard = converted(make_recording(specification=specification, screen=False))
    assert "unknown stimulus" not in dropped_minutes(shard)
    assert tier_minutes(shard) == pytest.approx({"train": 11.8 / 60, "test": 11.2 / 60})
    assert len(windows_of(shard, "train")) > 200
    assert len(windows_of(shard, "test")) > 200


def test_unknown_trials_alone_are_no_window_of_a_recording_with_a_screen(make_recording, converted):
    recording = with_unknown(make_recording(), range(7))
    with pytest.raises(RecordingError, match=r"has no valid window: .*screen 0\.0 s"):
        converted(recording)


def trials_apart(make_recording, *, padding=0.0, seconds=2.5, **changes):
    """Four trials that touch, and responses from `padding` before the first to after the last."""
    specification = [("video", "train", f"clip {number}", seconds) for number in range(4)]
    rows, lost = round(4 * seconds * 30), round(padding * 30)
    values = gamma(rows + 2 * lost)
    values[:lost] = values[lost + rows :] = np.nan
    recording = make_recording(
        specification=specification, windows_within_trials=True, **PLAIN, **changes
    )
    clock = Clock(start_seconds=0.4 - padding, rate_hz=30.0, num_samples=len(values))
    signal = replace(
        recording.responses, clock=clock, read_rows=lambda first, last: values[first:last]
    )
    gaps = np.array([[0.4 - padding, 0.4], [0.4 + 4 * seconds, 0.4 + 4 * seconds + padding]])
    return replace(recording, responses=signal, gaps=gaps)


@pytest.mark.parametrize("padding", [0.0, 1.0])
@pytest.mark.parametrize("screen", [True, False])
def test_windows_stay_within_trials_and_lose_no_time_at_the_ends(
    make_recording, converted, padding, screen
):
    shard = converted(trials_apart(make_recording, padding=padding, screen=screen))
    assert shard.description.windows_within_trials
    windows = windows_of(shard, "train")
    first_trial = np.floor((windows[:, 0] + 1e-4 - 0.4) / 2.5).astype(int)
    last_trial = np.floor((windows[:, 1] + 1e-4 - 0.4) / 2.5).astype(int)
    np.testing.assert_array_equal(first_trial, last_trial)
    # 75 samples of a trial hold 16 windows.
    assert np.bincount(first_trial).tolist() == [16] * 4
    assert "margins" not in dropped_minutes(shard)
    tier = summarize(shard).tiers[0]
    assert tier.usable_minutes == pytest.approx(tier.minutes, rel=1e-3)


def test_trials_too_short_for_a_window_are_refused_though_together_they_are_not(
    make_recording, converted
):
    recording = trials_apart(make_recording, seconds=1.9)
    with pytest.raises(RecordingError, match="has no valid window"):
        converted(recording)
    converted(replace(recording, windows_within_trials=False))


def test_what_a_recording_says_is_kept(make_recording, converted, signal):
    monitor = Monitor(policy="the monitor", width_cm=51.9, height_cm=32.4, distance_cm=15.0)
    provenance = Provenance(
        series="/processing/ophys", excluded={"not a cell": 3}, licence="CC-BY-4.0", doi="10.1/2"
    )
    recording = make_recording()
    pupil = Signal(
        name="eye_tracker",
        clock=Clock(start_seconds=0.1, rate_hz=20.0, num_samples=660),
        channels=("pupil_x", "pupil_size"),
        num_channels=2,
        read_rows=lambda first, last: np.full((last - first, 2), [np.nan, 1.0], np.float32),
        units=("degrees", "mm"),
        source_units=("deg", "m"),
    )
    recording = replace(
        recording,
        behavior=(pupil,),
        screen=replace(recording.screen, monitor=monitor),
        neurons=Neurons(num_neurons=6, id_namespace="allen", delay_seconds=np.ones(6, np.float32)),
        provenance=provenance,
        format="nwb",
        split="conditions",
    )
    shard = converted(recording)
    description = shard.description
    assert description.screen.monitor == monitor
    assert description.provenance == provenance
    assert (description.format, description.split) == ("nwb", "conditions")
    assert description.responses.id_namespace == "allen"
    np.testing.assert_array_equal(shard.delay_seconds, np.ones(6))
    (device,) = description.behavior
    assert (device.channels, device.units, device.source_units) == (
        ("pupil_size",),
        ("mm",),
        ("m",),
    )
    entry = build_entry(shard)
    assert (entry.format, entry.split, entry.licence) == ("nwb", "conditions", "CC-BY-4.0")


@pytest.mark.parametrize(
    ("trials", "seen"),
    [
        ([("train", "a"), ("validation", "b"), ("test", "a")], {"validation": False, "test": True}),
        ([("train", "a"), ("test", None), ("test", "b")], {"test": None}),
        ([("train", None), ("test", "b")], {"test": None}),
        ([("train", "a"), ("train", None), ("test", "a"), ("test", None)], {"test": True}),
        ([("test", "b")], {"test": False}),
    ],
)
def test_stimuli_of_other_tiers_that_are_shown_in_train_too(
    make_recording, converted, trials, seen
):
    specification = [("unknown", tier, condition, 12.0) for tier, condition in trials]
    # Blanks are no stimuli, whatever their name.
    specification += [("blank", tier, "grey", 1.0) for tier in ("train", *seen)]
    shard = converted(make_recording(specification=specification, screen=False, **PLAIN))
    assert shard.description.stimulus_seen_in_train == seen


def test_minutes_of_made_tiers_are_the_same_before_and_after_conversion(make_recording, converted):
    values, gaps = gamma(2400), np.array([[10.6, 10.6 + 100 / 30]])
    values[300:400] = np.nan
    specification = [("video", None, "movie", 80.0)]
    recording = make_recording(specification=specification, responses=values, gaps=gaps, **PLAIN)
    made = assign_tiers(recording, "time")
    minutes = minutes_of_made(made)
    assert build_entry(converted(made)).tiers == pytest.approx(minutes, abs=1e-4)
    listed = ", ".join(f"{tier} {format_minutes(minutes[tier])}" for tier in minutes)
    assert made.notes[-1].endswith(f"{listed} minutes")


@pytest.mark.parametrize("screen", [True, False])
def test_the_guards_between_tiers_are_accounted_for(make_recording, converted, screen):
    specification = [("video" if screen else "unknown", None, "movie", 80.0)]
    made = make_recording(specification=specification, screen=screen, **PLAIN)
    shard = converted(assign_tiers(made, "time"))
    # Two guards of 4 s.
    assert dropped_minutes(shard)["between tiers"] == pytest.approx(8 / 60, abs=0.1 / 60)
    entry = build_entry(shard)
    recorded = 60 * entry.hours
    accounted = sum(entry.tiers.values()) + entry.dropped["between tiers"]
    assert accounted == pytest.approx(recorded, abs=1.2 / 60)
    used = entry.valid_fraction * recorded
    assert used + sum(entry.dropped.values()) == pytest.approx(recorded, abs=0.1 / 60)


@pytest.mark.parametrize("kind", ["video", "unknown"])
def test_the_end_of_a_clip_that_train_shows_in_full_is_seen_in_train(
    make_recording, converted, kind
):
    # By time, a later repeat of a clip is cut where validation begins.
    names = [f"clip {number % 3}" for number in range(9)]
    specification = [(kind, None, name, 6.0) for name in names]
    recording = make_recording(specification=specification, screen=kind == "video", **PLAIN)
    made = assign_tiers(recording, "time")
    cut = [trial for trial in made.trials if trial.tier == "validation" and trial.cut_seconds]
    assert cut
    assert not {trial.condition for trial in cut} & {*names}
    assert converted(made).description.stimulus_seen_in_train["validation"] is True


def test_moments_of_a_movie_that_train_does_not_show_are_not_seen_in_train(
    make_recording, converted
):
    recording = make_recording(specification=[("video", None, "movie", 80.0)], **PLAIN)
    made = assign_tiers(recording, "time")
    assert len({trial.stimulus for trial in made.trials}) == 1
    assert converted(made).description.stimulus_seen_in_train == {
        "validation": False,
        "test": False,
    }


def test_stimuli_without_names_are_compared_by_their_frames(make_recording, converted):
    specification = [("video", tier, None, 8.0) for tier in ("train", "test", "validation")]
    recording = make_recording(specification=specification, **PLAIN)
    frames = np.random.default_rng(0).integers(0, 256, (2, 240, 36, 64), dtype=np.uint8)
    shard = converted(
        replace(
            recording,
            trials=tuple(replace(trial, identified_by_frames=True) for trial in recording.trials),
            screen=replace(
                recording.screen,
                read_frames=lambda number, first, last: frames[number // 2, first:last],
            ),
        )
    )
    assert shard.description.stimulus_seen_in_train == {"validation": False, "test": True}
