"""Statistics from blocks are those of the whole array."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnimouse_cli.shard.statistics import ColumnStatistics


def fed(blocks, num_columns):
    statistics = ColumnStatistics(num_columns)
    for block in blocks:
        statistics.feed(block)
    return statistics


@given(
    seed=st.integers(0, 2**32 - 1),
    cuts=st.lists(st.integers(0, 200), max_size=6),
    lost=st.floats(0, 0.5),
    offset=st.sampled_from([0.0, 1.0, 1e4]),
)
def test_blocks_merge_to_the_statistics_of_all_rows(seed, cuts, lost, offset):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(200, 5)) + offset).astype(np.float32)
    values[rng.random(values.shape) < lost] = np.nan
    values[0] = offset
    statistics = fed(np.split(values, sorted(cuts)), 5)
    whole = values.astype(np.float64)
    np.testing.assert_array_equal(statistics.counts, (~np.isnan(whole)).sum(axis=0))
    np.testing.assert_allclose(statistics.mean(), np.nanmean(whole, axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(statistics.std(), np.nanstd(whole, axis=0), rtol=1e-9, atol=1e-12)


def test_a_small_spread_on_a_large_mean_survives():
    values = (16_000_000 + np.arange(1000) % 2)[:, None].astype(np.float32)
    statistics = fed(np.split(values, 10), 1)
    assert statistics.std()[0] == pytest.approx(0.5, rel=1e-9)


def test_a_constant_column_has_exactly_no_spread():
    values = np.full((977, 3), 0.1, dtype=np.float32)
    assert (fed(np.split(values, [100, 333]), 3).std() == 0).all()


def test_a_column_without_a_value_has_no_statistics():
    statistics = fed([np.full((4, 1), np.nan, dtype=np.float32)], 1)
    assert np.isnan(statistics.mean()[0])
    assert np.isnan(statistics.std()[0])
