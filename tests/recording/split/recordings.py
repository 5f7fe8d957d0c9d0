"""Recordings without tiers, and checks of the tiers that were made for them."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from omnimouse_cli.recording.recording import Clock, Neurons, Recording, Screen, Signal, Trial

FLIPS_PER_SECOND = 15
ROUNDING = 1e-5


def read_rows(first, last):
    return np.zeros((last - first, 2), np.float32)


def read_frames(number, first, last):
    """Frames whose grey levels tell the trial and the flip."""
    frames = np.zeros((last - first, 1, 2), np.uint8)
    frames[:, 0, 0] = number % 256
    frames[:, 0, 1] = np.arange(first, last) % 256
    return frames


def record(shown, *, screen=True, start=0.0, seconds=None):
    """Return a recording of trials: (kind, seconds, condition, gap after it in seconds)."""
    now, flips, trials = start, [], []
    for kind, length, condition, gap in shown:
        count = max(1, round(length * FLIPS_PER_SECOND)) if kind == "video" else 1
        own = [now + flip / FLIPS_PER_SECOND for flip in range(count)] if screen else []
        trials.append(
            Trial(
                start_seconds=now,
                end_seconds=now + length,
                kind=kind,
                tier=None,
                condition=condition,
                first_flip=len(flips),
                num_flips=len(own),
            )
        )
        flips += own
        now += length + gap
    # The last flip ends the valid time of the screen.
    flips += [now] if screen else []
    if screen:
        last = Trial(
            start_seconds=now,
            end_seconds=now + 0.1,
            kind="blank",
            tier=None,
            condition=None,
            first_flip=len(flips) - 1,
            num_flips=1,
        )
        trials.append(last)
    clock = Clock(
        start_seconds=0.0, rate_hz=10.0, num_samples=round(10 * (seconds or max(now, 0) + 1))
    )
    return Recording(
        path=Path("mouse.nwb"),
        session="1-1-1",
        animal="1",
        origin_seconds=0.0,
        responses=Signal(
            name="responses", clock=clock, channels=(), num_channels=2, read_rows=read_rows
        ),
        neurons=Neurons(num_neurons=2),
        trials=tuple(trials),
        screen=Screen(
            flip_seconds=np.array(flips), frame_height=1, frame_width=2, read_frames=read_frames
        )
        if screen
        else None,
        behavior=(),
    )


def minutes(recording):
    clock, total = recording.responses.clock, defaultdict(float)
    for trial in recording.trials:
        if trial.tier is not None:
            first = max(trial.start_seconds, clock.start_seconds)
            last = min(trial.end_seconds, clock.end_seconds)
            total[trial.tier] += max(0.0, last - first) / 60
    return dict(total)


def shares(recording):
    total = minutes(recording)
    return {tier: part / sum(total.values()) for tier, part in total.items()}


def shortest_gap(recording):
    """Return the shortest time between trials of different tiers."""
    tiered = [trial for trial in recording.trials if trial.tier is not None]
    return min(
        (
            later.start_seconds - earlier.end_seconds
            for earlier, later in pairwise(tiered)
            if earlier.tier != later.tier
        ),
        default=np.inf,
    )


def tiers_by_condition(recording):
    tiers = defaultdict(set)
    for trial in recording.trials:
        if trial.condition is not None and trial.tier is not None:
            tiers[trial.condition].add(trial.tier)
    return tiers


def allen(*, movies=(("movie one", 30.0, 10), ("movie three", 120.0, 5)), gratings=240):
    shown = []
    for name, length, repeats in movies:
        shown += [("video", length, name, 0.0)] * repeats + [("blank", 300.0, None, 30.0)]
    for number in range(gratings):
        shown += [("video", 2.0, f"grating {number % 8}", 0.0), ("blank", 1.0, None, 0.0)]
    return record(shown)


def check_whole(before, after):
    """Check that the trials are those of before, cut, with each flip and frame once."""
    spans = [(trial.start_seconds, trial.end_seconds) for trial in after.trials]
    assert all(start < end for start, end in spans)
    assert all(first[1] <= second[0] + ROUNDING for first, second in pairwise(spans))
    starts = {trial.start_seconds for trial in after.trials}
    assert {trial.start_seconds for trial in before.trials} <= starts
    if before.screen is None:
        return
    covered = sum(end - start for start, end in spans)
    original = sum(trial.end_seconds - trial.start_seconds for trial in before.trials)
    assert covered == pytest.approx(original)
    counts = np.zeros(len(before.screen.flip_seconds), int)
    for trial in after.trials:
        flips = slice(trial.first_flip, trial.first_flip + trial.num_flips)
        counts[flips] += 1
        times = before.screen.flip_seconds[flips]
        assert ((times >= trial.start_seconds) & (times < trial.end_seconds)).all()
    assert (counts == 1).all()
    for number, trial in enumerate(before.trials):
        inside = [
            part
            for part in range(len(after.trials))
            if trial.first_flip <= after.trials[part].first_flip
            and after.trials[part].first_flip < trial.first_flip + trial.num_flips
            and after.trials[part].num_flips
        ]
        frames = np.concatenate([after.read_trial(part) for part in inside])
        np.testing.assert_array_equal(frames, before.read_trial(number))


def check_blanks(recording):
    """Check that no blank is without a tier in usable time: it would be in every tier."""
    clock, flips = recording.responses.clock, recording.screen.flip_seconds
    first = max(clock.start_seconds, flips[0]) + 0.5
    last = min(clock.end_seconds, flips[-1]) - 0.5
    for trial in recording.trials:
        if trial.kind == "blank" and max(trial.start_seconds, first) < min(trial.end_seconds, last):
            assert trial.tier is not None, trial
