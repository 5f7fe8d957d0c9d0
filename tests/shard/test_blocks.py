"""Statistics from blocks are those of the whole array."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnimouse_cli.recording.recording import Clock, Signal
from omnimouse_cli.shard import blocks
from omnimouse_cli.shard.blocks import column_statistics
from omnimouse_cli.shard.intervals import ALL_TIME


def statistics_in_blocks(values, block_rows, intervals=ALL_TIME):
    """Mean and standard deviation of the columns of a signal at 10 Hz, read in small blocks."""
    num_rows, num_columns = values.shape
    signal = Signal(
        name="device",
        clock=Clock(start_seconds=0.0, rate_hz=10.0, num_samples=num_rows),
        channels=(),
        num_channels=num_columns,
        read_rows=lambda first, last: values[first:last],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", 4 * num_columns * block_rows)
        return column_statistics(signal, np.arange(num_columns), intervals)


@given(
    seed=st.integers(0, 2**32 - 1),
    block_rows=st.integers(1, 250),
    missing=st.floats(0, 0.5),
    offset=st.sampled_from([0.0, 1.0, 1e4]),
)
def test_blocks_give_the_statistics_of_all_rows(seed, block_rows, missing, offset):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(200, 5)) + offset).astype(np.float32)
    values[rng.random(values.shape) < missing] = np.nan
    values[0] = offset
    mean, std = statistics_in_blocks(values, block_rows)
    whole = values.astype(np.float64)
    np.testing.assert_allclose(mean, np.nanmean(whole, axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(std, np.nanstd(whole, axis=0), rtol=1e-9, atol=1e-12)


def test_a_small_spread_on_a_large_mean_survives():
    values = (16_000_000 + np.arange(1000) % 2)[:, None].astype(np.float32)
    _, std = statistics_in_blocks(values, 100)
    assert std[0] == pytest.approx(0.5, rel=1e-9)


def test_a_constant_column_has_exactly_no_spread():
    values = np.full((977, 3), 0.1, dtype=np.float32)
    _, std = statistics_in_blocks(values, 100)
    assert (std == 0).all()


def test_a_column_without_a_value_has_no_statistics():
    mean, std = statistics_in_blocks(np.full((4, 1), np.nan, dtype=np.float32), 3)
    assert np.isnan(mean[0])
    assert np.isnan(std[0])


def test_rows_outside_the_intervals_do_not_count():
    values = np.arange(10.0)[:, None]
    mean, _ = statistics_in_blocks(values, 3, intervals=np.array([[0.2, 0.5], [0.8, 0.9]]))
    assert mean[0] == pytest.approx(np.mean([2, 3, 4, 8]))
