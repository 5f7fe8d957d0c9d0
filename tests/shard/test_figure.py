"""The figure shows what the shard holds, or says what is missing."""

import sys

import numpy as np
import pytest

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.shard.figure import draw_session, select_span

pytestmark = pytest.mark.slow

matplotlib_image = pytest.importorskip("matplotlib.image")


def test_the_first_stretch_with_responses_is_shown(make_recording, converted):
    specification = [
        ("video", "train", "a", 8.0),
        ("invalid", None, None, 2.0),
        ("video", "train", "b", 14.0),
    ]
    shard = converted(make_recording(specification=specification))
    # The responses start at 0.6 s, and half a second later they can be used.
    assert select_span(shard, 5.0) == pytest.approx((1.1, 6.1))
    assert select_span(shard, 10.0) == pytest.approx((10.4, 20.4))
    # Nothing lasts that long: the longest stretch ends half a second before the responses do.
    assert select_span(shard, 60.0) == pytest.approx((10.4, 0.6 + 23.0 - 0.5))


@pytest.mark.parametrize("whole", [True, False])
def test_the_frames_drawn_are_those_shown(make_recording, converted, tmp_path, whole):
    recording = make_recording(screen=whole, behavior=whole)
    path = tmp_path / "figures" / "session.png"
    draw_session(converted(recording), path)
    image = matplotlib_image.imread(path)
    assert image.shape[1] == 11 * 150
    # Each behavior channel makes the figure taller by its own row.
    expected = 6.55 + 1.0 + (5 * 0.7 if whole else 0.0)
    assert image.shape[0] == pytest.approx(150 * expected, abs=2)
    inked = (image[..., :3] < 0.9).any(axis=2).mean()
    assert 0.02 < inked < 0.9


def test_without_matplotlib_the_extra_is_named(make_recording, converted, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(OmniMouseError, match="needs matplotlib") as caught:
        draw_session(converted(make_recording()), tmp_path / "a.png")
    assert "omnimouse[report]" in caught.value.hint


def test_an_unknown_image_format_is_named(make_recording, converted, tmp_path):
    with pytest.raises(OmniMouseError, match=r"a\.docx is no image file"):
        draw_session(converted(make_recording()), tmp_path / "a.docx")
    assert not (tmp_path / "a.docx").exists()


def test_names_with_dollar_signs_are_shown_as_they_are(make_recording, converted, tmp_path):
    shard = converted(make_recording(session="7-$x^{-1$"))
    draw_session(shard, tmp_path / "session.svg")
    assert (tmp_path / "session.svg").stat().st_size


def test_large_populations_are_thinned(make_recording, converted, tmp_path):
    values = np.random.default_rng(0).gamma(1.0, 1.0, (900, 2500))
    draw_session(converted(make_recording(responses=values)), tmp_path / "a.png", seconds=4.0)
    assert (tmp_path / "a.png").stat().st_size > 10_000
