"""Indices of known curves, computed by hand."""

import numpy as np
import pytest

from omnimouse_cli.probing.tuning import (
    interpolate_angles,
    row_correlation,
    tune_contrast,
    tune_direction,
    tune_peak,
    tune_size,
)

ANGLES = np.deg2rad(np.arange(0, 360, 22.5))


def curve(preferred_deg, *, direction=0.0, width=2.0, floor=0.0):
    """Return a tuning curve with a peak at a direction and a smaller one opposite of it."""
    away = ANGLES - np.deg2rad(preferred_deg)
    return (np.exp(width * (np.cos(2 * away) - 1)) * (1 + direction * np.cos(away)) + floor)[None]


@pytest.mark.parametrize("preferred", [0.0, 33.0, 90.0, 200.0, 351.0])
def test_preferred_direction_and_orientation_lie_between_samples(preferred):
    found = tune_direction(curve(preferred, direction=0.5))
    assert found.direction_deg[0] == pytest.approx(preferred, abs=0.5)
    assert found.orientation_deg[0] == pytest.approx((preferred + 90) % 180, abs=0.5)
    assert found.dsi[0] == pytest.approx(0.5, abs=0.01)


def test_indices_of_curves_by_hand():
    only = np.zeros((1, 16))
    only[0, 4] = 3.0
    found = tune_direction(only)
    assert (found.osi[0], found.dsi_vector[0]) == (pytest.approx(1), pytest.approx(1))
    assert (found.orientation_deg[0], found.direction_deg[0]) == (
        pytest.approx(0),
        pytest.approx(90),
    )
    # 2 at 0 and 1 at 180: vertical bars only, twice as much rightward.
    both = np.zeros((1, 16))
    both[0, 0], both[0, 8] = 2.0, 1.0
    found = tune_direction(both)
    assert (found.osi[0], found.dsi_vector[0]) == (pytest.approx(1), pytest.approx(1 / 3))
    assert (found.dsi[0], found.osi_ratio[0]) == (pytest.approx(1 / 3), pytest.approx(1))
    # The second harmonic of 1 + 0.6 cos(2 d) is 0.3 of its mean.
    found = tune_direction((1 + 0.6 * np.cos(2 * ANGLES))[None])
    assert found.osi[0] == pytest.approx(0.3)
    assert found.osi_ratio[0] == pytest.approx(0.6)
    assert found.width_deg[0] == pytest.approx(45, abs=0.5)
    assert tune_direction(np.ones((1, 16))).osi[0] == pytest.approx(0)


def test_width_is_that_of_a_von_mises_curve():
    # exp(k (cos 2x - 1)) falls to half of its height, above its minimum, at this x.
    low = np.exp(-4)
    half = np.rad2deg(np.arccos(1 + np.log((1 + low) / 2) / 2) / 2)
    assert tune_direction(curve(50, width=2.0)).width_deg[0] == pytest.approx(half, abs=0.5)


def test_a_neuron_that_nothing_drives_has_no_preference():
    found = tune_direction(-np.ones((1, 16)))
    for name in ("orientation_deg", "direction_deg", "osi", "dsi", "width_deg"):
        assert np.isnan(getattr(found, name)[0]), name
    assert np.isnan(tune_contrast(np.array([0.1, 0.5, 1.0]), -np.ones((1, 3))).half[0])
    with pytest.raises(ValueError, match="even number of directions"):
        tune_direction(np.ones((1, 5)))


def test_interpolation_returns_the_samples():
    values = np.random.default_rng(0).normal(size=(3, 16))
    at_5 = interpolate_angles(values, np.full(3, ANGLES[5]))
    np.testing.assert_allclose(at_5, values[:, 5])


def test_peaks_of_log_parabolas_are_exact():
    axis = np.array([1.0, 2.0, 3.0, 7.0, 9.0])
    peaks = np.array([[1.5], [2.7], [5.0]])
    found = tune_peak(axis, -((np.log(axis) - np.log(peaks)) ** 2))
    np.testing.assert_allclose(found.preferred, peaks[:, 0])
    assert not found.at_end.any()
    assert tune_peak(axis[:2], np.array([[1.0, 2.0]])).preferred.tolist() == [2.0]


def test_suppression_by_hand():
    none = np.zeros((2, 0))
    sizes = np.array([4.0, 8.0, 16.0])
    found = tune_size(sizes, np.array([[1.0, 4.0, 1.0], [1.0, 2.0, 3.0]]), none[0], none)
    assert found.suppression.tolist() == [0.75, 0.0]
    assert found.at_end.tolist() == [False, True]


def test_contrast_responses_are_recovered():
    contrast = np.array([0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
    half, power = np.array([[0.15], [0.5]]), np.array([[1.5], [3.0]])
    found = tune_contrast(contrast, 7 * contrast**power / (contrast**power + half**power))
    np.testing.assert_allclose(found.half, half[:, 0], rtol=0.06)
    np.testing.assert_allclose(found.exponent, power[:, 0], atol=0.11)
    assert (found.explained > 0.999).all()


def test_correlation_of_rows_is_numpys():
    first, second = np.random.default_rng(0).normal(size=(2, 4, 9))
    found = row_correlation(first, second)
    assert found[2] == pytest.approx(np.corrcoef(first[2], second[2])[0, 1])
    assert np.isnan(row_correlation(np.ones((1, 3)), np.ones((1, 3)))[0])
