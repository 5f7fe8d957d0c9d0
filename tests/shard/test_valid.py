"""Intervals obey set algebra, and lost rows can never be read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnimouse_cli.recording.recording import Clock
from omnimouse_cli.shard.valid import (
    LostRows,
    as_intervals,
    contains,
    grid_times_within,
    intersect,
    intersect_all,
    lost_behavior_seconds,
    lost_response_seconds,
    screen_span,
    signal_span,
    subtract,
    total_seconds,
)

PROBES = np.arange(-2, 42) / 2 + 0.25

pairs = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda p: (float(p[0]), float(p[1]))),
    max_size=8,
)


def inside(some_pairs, times):
    return np.array([any(a <= t < b for a, b in some_pairs) for t in times], dtype=bool)


def is_normal(intervals):
    flat = intervals.ravel()
    return intervals.shape[1:] == (2,) and bool((np.diff(flat) > 0).all())


@given(pairs)
def test_merging_keeps_exactly_the_same_times(some):
    merged = as_intervals(some)
    assert is_normal(merged)
    np.testing.assert_array_equal(contains(merged, PROBES), inside(some, PROBES))


@given(pairs, pairs)
def test_intersection_and_difference_are_those_of_sets(left, right):
    a, b = as_intervals(left), as_intervals(right)
    both, only = intersect(a, b), subtract(a, b)
    assert is_normal(both)
    assert is_normal(only)
    in_a, in_b = inside(left, PROBES), inside(right, PROBES)
    np.testing.assert_array_equal(contains(both, PROBES), in_a & in_b)
    np.testing.assert_array_equal(contains(only, PROBES), in_a & ~in_b)
    assert total_seconds(both) + total_seconds(only) == pytest.approx(total_seconds(a))


def test_an_empty_list_of_valid_times_allows_nothing():
    everything = np.array([[0.0, 100.0]])
    assert len(intersect_all([everything, np.empty((0, 2))])) == 0


@given(st.lists(st.booleans(), max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_stretches_of_lost_rows_do_not_depend_on_the_blocks(lost, cuts):
    lost = np.array(lost, dtype=bool)
    rows = LostRows()
    first = 0
    for block in np.split(lost, sorted(min(cut, len(lost)) for cut in cuts)):
        rows.feed(first, block)
        first += len(block)
    stretches = rows.stretches(len(lost))
    marked = np.zeros(len(lost), dtype=bool)
    for a, b in stretches:
        assert a < b
        marked[a:b] = True
    np.testing.assert_array_equal(marked, lost)
    assert (stretches[1:, 0] > stretches[:-1, 1]).all()


@given(
    rate=st.sampled_from([6.3, 8.0, 30.0, 30.1]),
    start=st.floats(0, 10),
    lost=st.lists(st.integers(0, 199), min_size=1, max_size=10),
)
def test_no_grid_time_that_is_valid_reads_a_lost_row(rate, start, lost):
    clock = Clock(start_seconds=start, rate_hz=rate, num_samples=200)
    rows = np.zeros(200, dtype=bool)
    rows[lost] = True
    collector = LostRows()
    collector.feed(0, rows)
    excluded = lost_response_seconds(clock, collector.stretches(200))
    grid = start + np.arange(int(200 / rate * 30)) / 30
    read = np.floor((grid + 1e-4 - start) * rate).astype(int)
    grid, read = grid[read < 200], read[read < 200]
    valid = ~contains(excluded, grid)
    assert not rows[read[valid]].any()
    # Nor does it when times are advanced before they are looked up.
    assert not rows[read[~contains(excluded, grid + 1e-4)]].any()


def test_rows_beside_a_lost_row_stay_valid_on_a_clock_of_thirty_hertz():
    clock = Clock(start_seconds=5.0, rate_hz=30.0, num_samples=100)
    excluded = lost_response_seconds(clock, np.array([[10, 12]]))
    grid = 5.0 + np.arange(100) / 30 + 1e-4
    np.testing.assert_array_equal(np.flatnonzero(contains(excluded, grid)), [10, 11])


def test_a_lost_eye_tracker_row_excludes_the_wider_of_the_published_margins():
    clock = Clock(start_seconds=1.0, rate_hz=20.0, num_samples=1000)
    excluded = lost_behavior_seconds(clock, np.array([[100, 101]]))
    np.testing.assert_allclose(excluded, [[6.0 - 0.15, 6.0 + 0.15]])
    fast = Clock(start_seconds=1.0, rate_hz=1000.0, num_samples=1000)
    excluded = lost_behavior_seconds(fast, np.array([[100, 103]]))
    np.testing.assert_allclose(excluded, [[1.1 - 0.055, 1.102 + 0.055]])


def test_half_a_second_is_left_out_at_both_ends():
    clock = Clock(start_seconds=2.0, rate_hz=10.0, num_samples=50)
    np.testing.assert_allclose(signal_span(clock), [[2.5, 6.5]])
    np.testing.assert_allclose(screen_span(np.array([1.0, 2.0, 9.0])), [[1.5, 8.5]])


def test_a_signal_of_less_than_a_second_is_never_valid():
    assert len(signal_span(Clock(start_seconds=0.0, rate_hz=10.0, num_samples=10))) == 0
    assert len(screen_span(np.array([1.0, 1.5]))) == 0
    assert len(screen_span(np.empty(0))) == 0


@pytest.mark.parametrize(
    ("interval", "expected"),
    [((0.0, 2.0), 60), ((0.01, 2.0), 59), ((-5.0, 1.0), 30), ((-5.0, -1.0), 0), ((0.0, 0.001), 1)],
)
def test_grid_times_within_an_interval_are_counted(interval, expected):
    assert max(0, grid_times_within(np.array([interval]), 0.0, 30.0)) == expected
