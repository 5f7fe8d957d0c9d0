"""Intervals obey set algebra, in seconds and in whole numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnimouse_cli.recording.times import true_runs
from omnimouse_cli.shard.intervals import (
    contains,
    grid_ranges,
    intersect,
    intersect_all,
    merge_intervals,
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
    merged = merge_intervals(some)
    assert is_normal(merged)
    np.testing.assert_array_equal(contains(merged, PROBES), inside(some, PROBES))


@given(pairs, pairs)
def test_intersection_and_difference_are_those_of_sets(left, right):
    a, b = merge_intervals(left), merge_intervals(right)
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


@given(pairs, pairs)
def test_whole_numbers_are_merged_and_intersected_as_seconds_are(left, right):
    a, b = (np.array(some, np.int64).reshape(-1, 2) for some in (left, right))
    both = intersect(merge_intervals(a), merge_intervals(b))
    assert both.dtype == np.int64
    expected = intersect(merge_intervals(a.astype(float)), merge_intervals(b.astype(float)))
    np.testing.assert_array_equal(both, expected)


@given(st.lists(st.booleans(), max_size=60))
def test_runs_are_all_positions_that_are_true(mask):
    mask = np.array(mask, dtype=bool)
    runs = true_runs(mask)
    marked = np.zeros(len(mask), dtype=bool)
    for first, last in runs:
        assert first < last
        marked[first:last] = True
    np.testing.assert_array_equal(marked, mask)
    assert (runs[1:, 0] > runs[:-1, 1]).all()


@pytest.mark.parametrize(
    ("interval", "expected"),
    [((0.0, 2.0), 60), ((0.01, 2.0), 59), ((-5.0, 1.0), 30), ((-5.0, -1.0), 0), ((0.0, 0.001), 1)],
)
def test_grid_times_within_an_interval_are_counted(interval, expected):
    first, last = grid_ranges(np.array([interval]), 0.0, 30.0)[0]
    assert last - first == expected
