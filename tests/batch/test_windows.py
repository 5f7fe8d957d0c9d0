"""Where windows may start, against a search through every grid time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.windows import (
    WindowTable,
    count_lost_windows,
    window_starts,
    window_table,
)
from omnimouse_cli.recording.recording import HOLD_TOLERANCE_SECONDS
from omnimouse_cli.shard import Shard

TOLERANCE = HOLD_TOLERANCE_SECONDS


def starts_by_search(trials, valid, start_seconds, num_grid):
    """Every start whose 60 moments lie in trials, and in one interval of each signal."""
    times = start_seconds + np.arange(num_grid + 60) / 30 + TOLERANCE
    in_trials = np.zeros(len(times), bool)
    for low, high in trials:
        in_trials |= (times >= low) & (times < high)
    starts = []
    for first in range(num_grid):
        window = times[first : first + 60]
        good = in_trials[first : first + 60].all()
        for intervals in valid:
            good &= any((window >= low).all() and (window < high).all() for low, high in intervals)
        if good:
            starts.append(first)
    return starts


def listed(ranges):
    return [start for first, last in ranges for start in range(first, last)]


@st.composite
def intervals(draw, *, gaps):
    """Ascending half-open intervals, in steps that hit and miss grid times."""
    step = st.integers(1, 400).map(lambda n: n / 90)
    edge, found = draw(st.integers(-90, 90)) / 90, []
    for _ in range(draw(st.integers(0, 5))):
        first = edge + (draw(step) / 20 if gaps or draw(st.booleans()) else 0.0)
        edge = first + draw(step)
        found.append((first, edge))
    return np.array(found, np.float64).reshape(-1, 2)


@settings(max_examples=150, deadline=None)
@given(
    trials=intervals(gaps=False),
    valid=st.lists(intervals(gaps=True), max_size=2),
    start_seconds=st.sampled_from([0.0, 0.31, -1.7]),
)
def test_starts_are_those_that_a_search_finds(trials, valid, start_seconds):
    found = listed(window_starts(trials, valid, start_seconds))
    assert found == starts_by_search(trials, valid, start_seconds, 800)


def test_trials_that_touch_are_one_stretch_and_order_does_not_matter():
    touching = np.array([[2.0, 4.0], [0.0, 2.0]])
    assert window_starts(touching, [], 0.0).tolist() == [[0, 61]]
    apart = np.array([[0.0, 2.0], [2.05, 4.0]])
    assert window_starts(apart, [], 0.0).tolist() == [[0, 1]]


def test_windows_may_be_kept_within_trials():
    trials = np.array([[2.0, 4.5], [0.0, 2.0], [4.5, 6.0], [7.0, 9.0]])
    found = window_starts(trials, [np.array([[0.0, 8.9]])], 0.0, within_trials=True)
    assert found.tolist() == [[0, 1], [60, 76]]


def test_a_gap_of_a_signal_between_two_grid_times_is_a_gap():
    trials = np.array([[0.0, 8.0]])
    valid = np.array([[0.0, 4.01], [4.02, 8.0]])
    assert window_starts(trials, [valid], 0.0).tolist() == [[0, 62], [121, 181]]


def test_clock_rounding_moves_a_border_no_further_than_the_hold():
    # A trial that is written as beginning half a microsecond after a grid time begins at it.
    assert window_starts(np.array([[1.0 + 5e-7, 4.0]]), [], 0.0).tolist() == [[30, 61]]
    assert window_starts(np.array([[1.0 + 2e-6, 4.0]]), [], 0.0).tolist() == [[31, 61]]


def test_window_numbers_become_grid_indices_and_seconds():
    table = WindowTable(
        grid_start_seconds=0.5,
        first=np.array([3, 100, 200]),
        count=np.array([4, 1, 5]),
        stride_samples=2,
    )
    assert table.num_windows == 6
    numbers = np.arange(6)
    assert table.grid_index(numbers).tolist() == [3, 5, 100, 200, 202, 204]
    np.testing.assert_allclose(table.start_seconds(numbers[:1]), [0.6])
    for outside in (-1, 6):
        with pytest.raises(IndexError, match="0 to 5"):
            table.grid_index(np.array([outside]))


def test_an_empty_table_has_no_windows():
    nothing = np.empty(0, np.int64)
    table = WindowTable(grid_start_seconds=0.0, first=nothing, count=nothing)
    assert table.num_windows == 0
    assert table.grid_index(nothing).tolist() == []


def test_a_stride_must_be_positive():
    with pytest.raises(ValueError, match="stride_samples"):
        WindowTable(grid_start_seconds=0.0, first=np.zeros(1), count=np.ones(1), stride_samples=0)


TRIALS = (
    (0.0, 5.0, "train", "video"),
    (5.0, 8.0, None, "blank"),
    (8.0, 12.0, "train", "video"),
    (12.0, 13.0, "validation", "video"),
    (13.0, 20.0, None, "video"),
    (20.0, 30.0, "test", "video"),
    (24.0, 25.0, None, "invalid"),
    (30.0, 35.0, "test", "invalid"),
)


@pytest.fixture
def shard_of_trials(tmp_path, write_shard):
    write_shard(tmp_path, trials=TRIALS, devices={}, valid=((0.0, 40.0),))
    return open_dataset(tmp_path).sessions[0].shard


@pytest.mark.parametrize(
    ("tiers", "include_blanks", "expected"),
    [
        (["train"], True, [(0, 360)]),
        (["train"], False, [(0, 150), (240, 360)]),
        (["validation"], False, []),
        (["train", "validation"], False, [(0, 150), (240, 390)]),
        (["test"], False, [(600, 720), (750, 900)]),
        (["nothing"], True, [(150, 240)]),
    ],
)
def test_tiers_blanks_and_invalid_trials_decide(shard_of_trials, tiers, include_blanks, expected):
    table = window_table(shard_of_trials, tiers=tiers, include_blanks=include_blanks)
    found = [
        (first, first + count + 59) for first, count in zip(table.first, table.count, strict=True)
    ]
    assert found == expected


def test_no_window_touches_missing_behavior_if_it_is_required(tiny_dataset):
    shard = tiny_dataset.session("4-1-1").shard
    selection = {"tiers": ["train"], "include_blanks": False}
    table = window_table(shard, **selection, require_behavior=True)
    start = table.start_seconds(np.arange(table.num_windows))
    for first, last in ((10.0, 11.0), (25.0, 25.2)):
        assert ((start + 2 < first) | (start > last)).all()
    assert table.num_windows > 500
    # Where behavior may be lost, windows are those of the responses and the screen.
    everything = window_table(shard, **selection)
    assert everything.grid_index(np.arange(everything.num_windows)).tolist() == [*range(15, 1126)]


@pytest.mark.parametrize("stride", [1, 7, 60])
def test_a_stride_keeps_every_nth_start_of_each_run(tiny_dataset, stride):
    shard = tiny_dataset.session("4-1-1").shard
    dense = window_table(shard, tiers=["train"], include_blanks=False)
    strided = window_table(shard, tiers=["train"], include_blanks=False, stride_samples=stride)
    expected = [
        start
        for first, count in zip(dense.first, dense.count, strict=True)
        for start in range(first, first + count, stride)
    ]
    assert strided.grid_index(np.arange(strided.num_windows)).tolist() == expected


def test_lost_windows_and_those_that_are_left_are_all_windows_of_the_trials(tiny_dataset):
    shard = tiny_dataset.sessions[0].shard
    trials, clock = shard.trials, shard.description.responses.clock
    span = np.stack([trials.start_seconds, trials.end_seconds], axis=1)
    recorded = np.array([[clock.start_seconds, clock.end_seconds]])
    every = window_starts(span, [recorded], clock.start_seconds)
    chosen = {"tiers": shard.description.tiers, "include_blanks": True}
    lost = count_lost_windows(shard, **chosen)
    left = window_table(shard, **chosen).num_windows
    assert lost["responses"] > 0
    assert left + sum(lost.values()) == (every[:, 1] - every[:, 0]).sum()


def test_behavior_takes_no_window_where_trials_were_not_recorded_one_after_the_other(tiny_dataset):
    shard = tiny_dataset.sessions[0].shard
    apart = replace(shard.description, windows_within_trials=True)
    alone = Shard(shard.path, shard.header, apart)
    chosen = {"tiers": shard.description.tiers, "include_blanks": True}
    assert not set(count_lost_windows(alone, **chosen)) & {d.name for d in apart.behavior}
    assert window_table(alone, **chosen).num_windows > 0
