"""Templates are shown as Allen's monitor shows them, by known answers of its geometry."""

import numpy as np
import pytest

from omnimouse_cli.recording.nwb.geometry import ALLEN, Display, grating_samples, map_template

FLAT = Display(
    width_cm=64.0, height_cm=36.0, distance_cm=20.0, warp=None, num_rows=360, num_columns=640
)


@pytest.mark.parametrize(
    ("rectangle", "width", "height"),
    [((1080, 1920), 0.605, 0.846), ((918, 1174), 0.989, 0.996)],
    ids=["natural movie", "natural scene"],
)
def test_the_screen_shows_as_much_of_a_template_as_allen_says(rectangle, width, height):
    # The outermost pixels of the monitor, at 959/960 and 599/600 of its halves.
    x, _ = ALLEN.texture_cm(np.array([25.95 * 959 / 960]), np.array([0.0]))
    _, y = ALLEN.texture_cm(np.array([0.0]), np.array([16.2 * 599 / 600]))
    assert x.item() / (25.95 * rectangle[1] / 1920) == pytest.approx(width, abs=1e-3)
    assert y.item() / (16.2 * rectangle[0] / 1200) == pytest.approx(height, abs=1e-3)


def test_the_texture_is_an_arc_on_a_sphere():
    x, y = ALLEN.texture_cm(np.array([0.0, 9.0]), np.array([0.0, 12.0]))
    # 15 cm from the centre, 15 cm away: an angle of 45 degrees, in the same direction.
    assert (x[0], y[0]) == (0.0, 0.0)
    np.testing.assert_allclose(np.hypot(x[1], y[1]), 15 * np.pi / 4)
    np.testing.assert_allclose(y[1] / x[1], 12 / 9)


def test_a_flat_template_of_the_monitors_size_is_averaged_over_its_pixels():
    template = np.arange(72 * 128, dtype=np.int64).reshape(72, 128) % 200
    frame = map_template(FLAT, (72, 128), (360, 640)).render(template.astype(np.uint8))
    mean = template.reshape(36, 2, 64, 2).mean((1, 3))
    np.testing.assert_array_equal(frame, np.floor(mean + 0.5))


def test_grey_is_where_the_template_is_not():
    pixel_map = map_template(FLAT, (10, 10), (180, 320))
    frame = pixel_map.render(np.full((10, 10), 255, np.uint8))
    expected = np.full((36, 64), 127)
    expected[9:27, 16:48] = 255
    np.testing.assert_array_equal(frame, expected)


def test_noise_is_not_smoothed():
    template = np.where(np.arange(16 * 28).reshape(16, 28) % 3 == 0, 255, 0).astype(np.uint8)
    frame = map_template(FLAT, (16, 28), (16 * 10, 28 * 10)).render(template)
    # A pixel of the noise is as large as one of the frame, so that none is a mixture.
    np.testing.assert_array_equal(frame[10:26, 18:46], template)


def test_the_corners_of_a_scene_are_off_the_centre_of_the_warped_monitor():
    frame = map_template(ALLEN, (918, 1174), (918, 1174)).render(
        np.full((918, 1174), 200, np.uint8)
    )
    # The warp pulls the corners of the monitor in: all of it shows the scene.
    assert (frame == 200).all()
    noise = map_template(ALLEN, (16, 28), (720, 1260)).render(np.full((16, 28), 255, np.uint8))
    assert (noise[18, 32], noise[0, 32], noise[18, 0]) == (255, 127, 255)


def test_points_of_gratings_are_in_degrees_from_the_centre():
    x, y = grating_samples(ALLEN)
    assert x.shape == y.shape == (36, 64, 144)
    # The outermost samples lie a share of a pixel within the edge: 59.97 and 47.20 degrees.
    assert x[18, -1].max() == pytest.approx(np.degrees(np.arctan(25.95 / 15)), abs=0.1)
    assert y[0, 32].max() == pytest.approx(np.degrees(np.arctan(16.2 / 15)), abs=0.1)
    assert y[-1, 32].min() == pytest.approx(-y[0, 32].max())
