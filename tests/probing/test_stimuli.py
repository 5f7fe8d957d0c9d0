"""Gratings move where they claim to, with the mean, contrast, frequency and aperture asked for."""

import numpy as np
import pytest

from omnimouse_cli.probing.stimuli import (
    Gratings,
    full_screen_gratings,
    make_blank,
    make_gratings,
    make_noise,
    sparse_noise,
)

SHAPE = (36, 64)


def grating(**changes):
    values = {
        "direction_deg": 0.0,
        "cycles_per_pixel": 1 / 16,
        "hz": 2.0,
        "phase_deg": 0.0,
        "contrast": 1.0,
        "center_px": (17.5, 31.5),
        "outer_px": np.inf,
        "inner_px": 0.0,
        **changes,
    }
    one = Gratings(**{name: np.array([value], float) for name, value in values.items()})
    return make_gratings(one, SHAPE, mean=100.0)[0]


@pytest.mark.parametrize(
    ("direction", "axis", "shift"), [(0, 1, 1), (180, 1, -1), (90, 0, -1), (270, 0, 1)]
)
def test_a_grating_moves_in_its_direction(direction, axis, shift):
    # At 3.75 Hz a period of 8 pixels moves by one pixel per frame.
    frames = grating(direction_deg=direction, cycles_per_pixel=1 / 8, hz=3.75)
    moved = np.roll(frames[10], shift, axis=axis)
    inner = (slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(frames[11][inner], moved[inner], atol=1e-3)


def test_a_diagonal_grating_moves_up_and_right():
    frames = grating(direction_deg=45, cycles_per_pixel=1 / (8 * 2**0.5), hz=3.75)
    # Sixteen pixels are a period along either axis; each frame moves it by two along one of them.
    for axis, shift in ((1, 2), (0, -2)):
        moved = np.roll(frames[10], shift, axis=axis)
        np.testing.assert_allclose(frames[11][3:-3, 3:-3], moved[3:-3, 3:-3], atol=1e-3)


def test_mean_contrast_and_frequencies_are_those_asked_for():
    frames = grating(contrast=0.5)
    assert frames.mean() == pytest.approx(100, abs=1e-3)
    assert (frames.max(), frames.min()) == (pytest.approx(150, abs=1), pytest.approx(50, abs=1))
    in_space = np.abs(np.fft.rfft(frames[0, 0] - 100))
    assert in_space.argmax() == 64 / 16
    in_time = np.abs(np.fft.rfft(frames[:, 0, 0] - 100))
    assert in_time.argmax() == 2 * 2
    assert frames[0, :, 31:33].mean() == pytest.approx(150, abs=1)


def test_discs_and_annuli_have_their_diameters():
    disc = grating(outer_px=12, center_px=(10, 20))
    is_grey = np.all(disc == 100, axis=0)
    # The edge is one pixel wide.
    assert np.pi * 5.5**2 < (~is_grey).sum() < np.pi * 6.7**2
    rows, columns = np.nonzero(~is_grey)
    assert (rows.mean(), columns.mean()) == (10, pytest.approx(20, abs=0.2))
    annulus = grating(outer_px=12, inner_px=6, center_px=(10, 20))
    assert np.all(annulus[:, 10, 20] == 100)
    np.testing.assert_allclose(annulus[:, 10, 25], disc[:, 10, 25])


def test_a_grid_has_every_combination():
    grid = full_screen_gratings(
        directions_deg=(0, 90), spatial_frequencies=(0.05, 0.1), temporal_frequencies=(1, 2, 4),
        phases_deg=(0, 90), contrast=0.8, frame_shape=SHAPE,
    )  # fmt: skip
    assert len(grid) == 24
    assert grid.phase_deg[:2].tolist() == [0, 90]
    assert grid.direction_deg[[0, 12]].tolist() == [0, 90]
    assert len(grid.take(slice(0, 5))) == 5


def test_noise_is_in_its_squares_alone_and_the_same_in_any_part():
    noise = sparse_noise(6, SHAPE, mean=100.0, square_px=4, density=0.3, seed=3)
    frames = noise.frames(0, 6)
    varies = frames.std(axis=1) > 1
    expected = np.repeat(np.repeat(noise.shown, 4, axis=1), 4, axis=2)
    np.testing.assert_array_equal(varies, expected)
    assert 0.2 < noise.shown.mean() < 0.4
    np.testing.assert_array_equal(noise.frames(2, 4), frames[2:4])
    assert frames[varies[:, None].repeat(60, 1)].mean() == pytest.approx(100, abs=2)
    rows, columns = noise.square_centers()
    assert (rows[0], columns[-1]) == (1.5, 61.5)


def test_noise_has_unit_variance_and_no_high_frequencies():
    noise = make_noise(np.random.default_rng(0), SHAPE)
    assert noise.std() == pytest.approx(1)
    spectrum = np.abs(np.fft.rfft2(noise[30]))
    assert spectrum[:, 9:].max() < 1e-3 * spectrum.max()
    correlation = np.corrcoef(noise[:-3].ravel(), noise[3:].ravel())[0, 1]
    assert correlation == pytest.approx(np.exp(-1), abs=0.1)


def test_blank_is_grey():
    assert np.unique(make_blank(SHAPE, 113.0)).tolist() == [113.0]
