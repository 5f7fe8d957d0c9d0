"""Clocks of recordings."""

import numpy as np
import pytest

from omnimouse_cli.recording.recording import Clock


@pytest.mark.parametrize("rate_hz", [7.98, 20.0, 30.0, 100.0])
def test_a_row_is_held_from_its_own_time_to_that_of_the_next(rate_hz):
    clock = Clock(start_seconds=1.7, rate_hz=rate_hz, num_samples=1000)
    rows = np.arange(-3, 1003)
    times = clock.start_seconds + rows / rate_hz
    np.testing.assert_array_equal(clock.row_at(times), rows)
    np.testing.assert_array_equal(clock.row_at(times - 5e-7), rows)
    np.testing.assert_array_equal(clock.row_at(times + 0.9 / rate_hz), rows)
    np.testing.assert_array_equal(clock.row_at(times - 2e-6), rows - 1)


@pytest.mark.parametrize("change", [{"rate_hz": 0.0}, {"num_samples": -1}])
def test_a_clock_that_cannot_run_is_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        Clock(**{"start_seconds": 0.0, "rate_hz": 30.0, "num_samples": 5, **change})
