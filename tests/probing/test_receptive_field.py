"""Gaussians are recovered from maps, and receptive fields of Gabor energy units by both methods."""

import numpy as np
import pytest

from omnimouse_cli.probing.receptive_field import (
    ReceptiveMap,
    fit_gaussians,
    map_by_gradient,
    map_by_noise,
)
from omnimouse_cli.probing.stimuli import make_noise, sparse_noise
from tests.probing.gabor_units import GaborUnits

CENTERS = np.array([[12.0, 20.0], [22.0, 45.0], [18.0, 31.0], [9.0, 50.0]])


@pytest.fixture(scope="module")
def units():
    return GaborUnits(
        CENTERS, [0.0, 90.0, 45.0, 200.0], [0.08, 0.08, 0.07, 0.09], [2.0, 4.0, 3.0, 2.0],
        width_px=4.0, opposite=0.3,
    )  # fmt: skip


def bells(center, long, short, angle_deg, *, shape=(36, 64), spacing=1.0):
    row, column = np.arange(shape[0]) * spacing, np.arange(shape[1]) * spacing
    up, right = -(row[:, None] - center[0]), column - center[1]
    angle = np.deg2rad(angle_deg)
    along, across = (
        right * np.cos(angle) + up * np.sin(angle),
        up * np.cos(angle) - right * np.sin(angle),
    )
    values = np.exp(-((along / long) ** 2 + (across / short) ** 2) / 2)
    return values, row, column


def as_map(values, row, column, variance=0.0):
    return ReceptiveMap(
        values=values,
        row_px=row,
        column_px=column,
        reliability=np.ones(len(values)),
        sample_variance_px2=variance,
        is_energy=True,
    )


def test_a_gaussian_is_recovered_with_its_noise():
    truth = [((12.3, 20.7), 5.0, 2.5, 30.0), ((20.0, 50.0), 4.0, 3.0, 150.0)]
    maps = [bells(*one) for one in truth]
    noise = np.random.default_rng(0).normal(size=(2, 36, 64)) * 0.05
    values = 3.0 * (np.stack([one[0] for one in maps]) + noise) + 7.0
    found = fit_gaussians(as_map(values, maps[0][1], maps[0][2]))
    for row, (center, long, short, angle) in enumerate(truth):
        np.testing.assert_allclose(found.center_px[row], center, atol=0.2)
        # Sizes are those of a linear filter, whose energy is the map.
        np.testing.assert_allclose(found.size_px[row] / 2**0.5, (long, short), rtol=0.06)
        assert found.orientation_deg[row] == pytest.approx(angle, abs=4)
        assert found.snr[row] == pytest.approx(20, rel=0.2)
        assert found.explained[row] > 0.85


def test_the_size_of_squares_is_taken_off():
    values, row, column = bells((16.0, 30.0), 5.0, 5.0, 0.0, shape=(9, 16), spacing=4.0)
    found = fit_gaussians(as_map(values[None], row, column, variance=9.0))
    np.testing.assert_allclose(found.size_px[0], np.sqrt(2 * (25 - 9)), rtol=1e-3)
    np.testing.assert_allclose(found.center_px[0], (16, 30), atol=1e-3)


def test_noise_and_constants_have_no_receptive_field():
    noise = np.random.default_rng(1).normal(size=(3, 36, 64))
    noise[2] = 4.0
    found = fit_gaussians(as_map(noise, np.arange(36.0), np.arange(64.0)))
    assert (found.explained[:2] < 0.05).all()
    assert np.isnan(found.center_px[2]).all()
    assert np.isnan(found.snr[2])


def test_a_dip_has_a_negative_signal_to_noise():
    values, row, column = bells((12.0, 20.0), 4.0, 4.0, 0.0)
    noise = np.random.default_rng(0).normal(size=values.shape) * 0.05
    found = fit_gaussians(as_map((noise - values)[None], row, column))
    assert found.snr[0] < -10
    np.testing.assert_allclose(found.center_px[0], (12, 20), atol=0.3)


def test_reverse_correlation_with_noise_finds_energy_units(units):
    noise = sparse_noise(300, (36, 64), mean=113.0, seed=1)
    found = map_by_noise(units, noise, np.arange(4))
    fit = fit_gaussians(found)
    assert (found.reliability > 0.15).all()
    assert (fit.snr > 4).all()
    np.testing.assert_allclose(fit.center_px, CENTERS, atol=1.2)
    np.testing.assert_allclose(fit.size_px.mean(axis=1), 4.0, rtol=0.3)


def test_gradients_find_energy_units_by_any_subset(units):
    rng = np.random.default_rng(0)
    video = np.stack([make_noise(rng, (36, 64)) for _ in range(6)])
    found = map_by_gradient(units, video, np.arange(4))
    fit = fit_gaussians(found)
    np.testing.assert_allclose(fit.center_px, CENTERS, atol=0.5)
    np.testing.assert_allclose(fit.size_px.mean(axis=1), 4.0, rtol=0.2)
    assert (found.reliability > 0.8).all()
    some = map_by_gradient(units, video, np.array([2, 0]))
    np.testing.assert_allclose(some.values, found.values[[2, 0]], rtol=1e-4)
