"""Which samples are repeats of each other: the stimulus of the last two seconds counts too."""

from types import SimpleNamespace

import numpy as np
import pytest

from omnimouse_cli.evaluation.ceilings import no_repeats_reason
from omnimouse_cli.evaluation.repeats import CONTEXT_SECONDS, LEAST_REPEATED_SHARE, find_repeats
from omnimouse_cli.evaluation.scorer import no_average_reason

KINDS = ("video", "blank")


def shard(*trials, within_trials=False, rate_hz=30.0):
    """A session of trials (name, seconds); `grey` is a blank screen, None an unknown stimulus."""
    ends = np.cumsum([seconds for _, seconds in trials])
    names = sorted({name for name, _ in trials if name not in ("grey", None)})
    numbers = {name: number for number, name in enumerate(names)}
    return SimpleNamespace(
        trials=SimpleNamespace(
            start_seconds=ends - [seconds for _, seconds in trials],
            end_seconds=ends,
            kind=np.array([int(name == "grey") for name, _ in trials]),
            condition=np.array([numbers.get(name, -1) for name, _ in trials]),
        ),
        description=SimpleNamespace(
            kinds=KINDS,
            windows_within_trials=within_trials,
            responses=SimpleNamespace(clock=SimpleNamespace(rate_hz=rate_hz)),
        ),
    )


def share_of(session):
    """Samples of repeated stimuli with the same context, as a share, and the cells."""
    seconds = float(session.trials.end_seconds[-1])
    times = np.arange(int(seconds * 30)).reshape(-1, 15) / 30
    found = find_repeats(session, times)
    return found.context_share, found


def test_movies_repeat_from_their_third_second_on():
    session = shard(("a", 10.0), ("b", 10.0), ("a", 10.0), ("c", 10.0), ("a", 10.0), ("b", 10.0))
    share, found = share_of(session)
    assert CONTEXT_SECONDS == 2.0
    # `a` was first shown after nothing and then after other movies; `b` always after `a`.
    assert share == pytest.approx((3 * 240 + 2 * 300) / (5 * 300))
    trials, cells = found.trial.ravel(), found.context_cells.ravel()
    assert set(cells[(trials == 0) & (np.arange(len(cells)) < 60)]) == {-1}
    np.testing.assert_array_equal(cells[trials == 1], cells[trials == 5])
    assert len(np.unique(cells[trials == 1])) == 300


def test_flashes_in_another_order_do_not_repeat():
    rng = np.random.default_rng(0)
    order = [f"{name}" for _ in range(12) for name in rng.permutation(30)]
    share, _ = share_of(shard(*[(name, 0.25) for name in order]))
    assert share < 0.02


def test_gratings_repeat_where_a_pause_as_long_as_the_memory_parts_them():
    def gratings(pause):
        return [one for name in "abbaabab" for one in ((name, 2.0), ("grey", pause))]

    assert share_of(shard(("grey", 3.0), *gratings(2.5)))[0] == 1.0
    # The second of grey that belongs to a grating is preceded by that grating alone.
    assert share_of(shard(("grey", 3.0), *gratings(0.5)))[0] < LEAST_REPEATED_SHARE


def test_sequences_repeat_and_jitter_of_some_frames_is_allowed():
    sequence = [("a", 1.0), ("b", 1.0), ("c", 1.0)]
    late = [("a", 1.03), ("b", 0.97), ("c", 1.0)]
    share, _ = share_of(shard(*sequence, *late, *sequence, *sequence))
    # Only the first two seconds of all have another context.
    assert share == pytest.approx(1 - 60 / 360, abs=0.02)


def test_the_grey_after_a_stimulus_repeats_if_that_lasted_as_long():
    session = shard(("grey", 3.0), ("a", 3.0), ("grey", 3.0), ("a", 3.5), ("grey", 3.0))
    _, found = share_of(session)
    trials, cells = found.trial.ravel(), found.context_cells.ravel()
    first = cells[trials == 1]
    assert (first[:90] >= 0).all()
    assert (first[90:] == -1).all()


def test_trials_that_do_not_follow_each_other_in_time_have_no_context():
    trials = [("a", 3.0), ("a", 3.0), ("a", 3.0)]
    assert share_of(shard(*trials))[0] == pytest.approx(7 / 9)
    assert share_of(shard(*trials, within_trials=True))[0] == pytest.approx(1 / 3)
    unknown = [one for trial in trials for one in (trial, (None, 3.0))]
    assert share_of(shard(*unknown))[0] == pytest.approx(1 / 3)


def test_rows_of_a_slow_scan_repeat_though_they_fall_on_other_samples():
    session = shard(*[("a", 10.05)] * 6, rate_hz=7.0)
    times = np.arange(1800).reshape(-1, 30) / 30
    # Of samples that hold one row, the first is scored.
    rows = np.floor(times.ravel() * 7.0 + 1e-6)
    held = np.diff(rows, prepend=-1) == 0
    found = find_repeats(session, times, scored_before=held.reshape(times.shape))
    assert found.context_share > 0.9
    cells, trials = found.context_cells.ravel(), found.trial.ravel()
    counts = np.bincount(cells[cells >= 0])
    assert counts.mean() > 5
    pairs = np.stack([cells, trials])[:, cells >= 0]
    assert np.unique(pairs, axis=1).shape == pairs.shape


@pytest.mark.parametrize(
    ("inputs", "repeats", "reason"),
    [
        (("responses", "stimulus"), None, "only predictions from the stimulus"),
        (("behavior",), None, "only predictions from the stimulus"),
        (("stimulus",), None, "no scored stimulus was shown twice"),
        (("stimulus",), (0.33, 100), "only 33% of the samples of repeated stimuli follow the same"),
        (("stimulus",), (0.9, 20_000), "20,000 repeated samples of 9,000 neurons are more than"),
        (("stimulus", "behavior"), (0.9, 1000), None),
    ],
)
def test_the_reason_why_repeats_tell_nothing_is_named(inputs, repeats, reason):
    targets = SimpleNamespace(
        inputs=inputs,
        num_outputs=9000,
        num_samples=30,
        windows=SimpleNamespace(stride_samples=30),
        repeats=repeats and SimpleNamespace(context_share=repeats[0], num_repeated=repeats[1]),
    )
    found = no_repeats_reason(targets)
    assert (found is None) if reason is None else reason in found


def test_too_many_values_for_the_correlation_to_the_average_are_named():
    targets = SimpleNamespace(num_outputs=8000, repeats=SimpleNamespace(num_cells=5001))
    assert "5,001 time points of repeated stimuli times 8,000 neurons" in no_average_reason(targets)
    targets.repeats.num_cells = 5000
    assert no_average_reason(targets) is None
