"""Movies: what is read of files and arrays, and the frames that a model sees."""

import sys

import numpy as np
import pytest

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.probing import movie as movie_module
from omnimouse_cli.probing import movie_open
from omnimouse_cli.probing.movie import describe_movie, require_frames_first, screen_frames
from omnimouse_cli.probing.movie_open import open_movie


def noise(frames, height=6, width=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width), dtype=np.uint8)


def shown(source, shape=(6, 8), **options):
    return np.concatenate(list(screen_frames(open_movie(source, **options), shape)))


def test_frames_shown_twice_with_pixels_of_twice_the_size_are_the_same_movie():
    frames = noise(50)
    doubled = frames.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(shown(doubled, fps=60), shown(frames, fps=30))
    np.testing.assert_array_equal(shown(frames, fps=30), frames)


@pytest.mark.parametrize(
    ("fps", "frames", "expected"),
    [
        (24.0, 4, [0, 0, 1, 2, 3]),
        (60.0, 5, [0, 2, 4]),
        (10.0, 2, [0, 0, 0, 1, 1, 1]),
        (30000 / 1001, 3, [0, 1, 2]),
        (0.5, 1, [0] * 60),
        (120.0, 1, [0]),
    ],
)
def test_a_sample_shows_the_latest_frame_at_or_before_it(fps, frames, expected):
    levels = np.arange(frames, dtype=np.uint8)[:, None, None] + np.zeros((1, 6, 8), np.uint8)
    assert shown(levels + 10, fps=fps)[:, 0, 0].tolist() == [10 + number for number in expected]
    assert open_movie(levels + 10, fps=fps).num_samples == len(expected)


def test_blocks_of_any_size_show_the_same_frames(monkeypatch):
    frames = noise(101)
    whole = shown(frames, fps=47.0)
    monkeypatch.setattr(movie_open, "BLOCK_BYTES", 3 * 4 * 48)
    monkeypatch.setattr(movie_module, "FRAMES_AT_ONCE", 2)
    np.testing.assert_array_equal(shown(frames, fps=47.0), whole)


def test_the_area_of_a_pixel_is_averaged():
    assert shown(np.array([[[0, 100], [50, 250]]], np.uint8), (1, 1)).tolist() == [[[100]]]


def test_colors_are_shown_as_their_luma():
    color = np.zeros((1, 6, 8, 3), np.uint8)
    color[..., 1] = 200
    assert (shown(color) == round(0.587 * 200)).all()
    assert (shown(noise(2)[..., None]) == noise(2)).all()


@pytest.mark.parametrize(("low", "high", "zero"), [(0.0, 1.0, 0), (-1.0, 1.0, 128)])
def test_values_of_a_unit_interval_are_scaled_and_a_note_says_so(low, high, zero):
    movie = open_movie(np.array([low, 0.0, high])[:, None, None], fps=30)
    assert any(f"values from {low:g} to 1 were scaled" in note for note in movie.notes)
    frames = np.concatenate(list(screen_frames(movie, (1, 1))))
    assert frames.ravel().tolist() == [0, zero, 255]


def test_an_assumed_rate_and_each_conversion_are_said():
    text = "\n".join(describe_movie(open_movie(noise(3, 20, 20)), (6, 8)))
    assert "30 frames per second are assumed" in text
    assert "frames of 20 x 20 are averaged to 6 x 8" in text
    assert "deformed" in text
    assert (
        "shown at 30 Hz by sample-and-hold"
        in describe_movie(open_movie(noise(3), fps=25), (6, 8))[0]
    )


@pytest.mark.parametrize("shape", [(6, 8, 50), (12, 16, 17)])
def test_an_array_whose_last_axis_is_time_is_refused(tmp_path, shape):
    frames = np.zeros(shape, np.uint8)
    np.save(tmp_path / "movie.npy", frames)
    for source in (frames, tmp_path / "movie.npy"):
        with pytest.raises(OmniMouseError, match="the frames must be the first axis") as caught:
            require_frames_first(open_movie(source), (6, 8))
        assert "np.moveaxis(video, -1, 0)" in caught.value.hint
    require_frames_first(open_movie(np.moveaxis(frames, -1, 0)), (6, 8))


@pytest.mark.parametrize("shape", [(6, 6, 8), (12, 16, 16), (6, 9, 50), (6, 8, 50, 3)])
def test_arrays_whose_first_axis_may_be_time_are_taken(shape):
    require_frames_first(open_movie(np.zeros(shape, np.uint8)), (6, 8))


def nan_in_frame_2():
    frames = noise(4).astype(np.float32)
    frames[2, 1, 1] = np.nan
    return frames


@pytest.mark.parametrize(
    ("frames", "fps", "message"),
    [
        (noise(0), 30, "frames has no frames"),
        (noise(2)[0], 30, "frames must hold frames as (frames, height, width)"),
        (np.zeros((3, 6, 8, 2), np.uint8), 30, "its shape is (3, 6, 8, 2)"),
        (np.zeros((3, 0, 8), np.uint8), 30, "its shape is (3, 0, 8)"),
        (nan_in_frame_2(), 30, "frame 2 holds NaN or infinity"),
        (noise(3).astype(np.int16) * 4, 30, "images must hold grey levels"),
        (noise(2).astype(str), 30, "must hold numbers"),
        (noise(2).astype(complex), 30, "must hold numbers"),
        (noise(2), 0.0, "`fps` must be a positive number: 0"),
        (noise(2), -5.0, "`fps` must be a positive number: -5"),
        (noise(2), np.nan, "`fps` must be a positive number: nan"),
        (noise(2), np.inf, "`fps` must be a positive number: inf"),
    ],
)
def test_bad_arrays_are_refused_in_one_sentence(frames, fps, message):
    with pytest.raises(OmniMouseError) as error:
        open_movie(frames, fps=fps)
    assert message in error.value.message
    assert error.value.hint


def test_a_late_frame_out_of_range_is_found_before_anything_is_predicted(monkeypatch):
    monkeypatch.setattr(movie_open, "BLOCK_BYTES", 1)
    frames = noise(9).astype(np.float32)
    frames[8, 0, 0] = 300
    with pytest.raises(OmniMouseError, match="grey levels"):
        open_movie(frames)


def test_files_hold_the_same_movie_as_arrays(tmp_path):
    frames = noise(20)
    np.save(tmp_path / "a.npy", frames)
    np.savez(tmp_path / "one.npz", anything=frames)
    np.savez(tmp_path / "named.npz", frames=frames, other=np.zeros(3))
    np.savez_compressed(tmp_path / "packed.npz", frames=frames)
    for name in ("a.npy", "one.npz", "named.npz", "packed.npz"):
        np.testing.assert_array_equal(shown(tmp_path / name), frames)


def test_bad_files_are_refused_in_one_sentence(tmp_path):
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=noise(1), b=noise(1))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "pickled.npy").read_bytes()[:20])
    (tmp_path / "text.npz").write_text("no zip")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    messages = {
        "pickled.npy": "pickled Python objects",
        "two.npz": "must hold one array, or one named `frames`: it has a, b",
        "cut.npy": "cannot be read as an array",
        "text.npz": "cannot be read as an .npz file",
        "empty": "has no images",
        "nowhere": "does not exist",
    }
    for name, message in messages.items():
        with pytest.raises(OmniMouseError) as error:
            open_movie(tmp_path / name)
        assert message in error.value.message
        assert error.value.hint
    with pytest.raises(OmniMouseError) as error:
        open_movie(tmp_path / "two.mp4")
    assert error.value.hint == "did you mean `two.npz`?"


def test_images_of_a_folder_are_shown_in_natural_order(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    for number, level in ((1, 10), (2, 20), (10, 100)):
        pillow.fromarray(np.full((6, 8), level, np.uint8)).save(tmp_path / f"frame{number}.png")
    red = np.zeros((6, 8, 3), np.uint8)
    red[..., 0] = 200
    pillow.fromarray(red).save(tmp_path / "frame11.png")
    (tmp_path / "notes.txt").write_text("")
    assert shown(tmp_path)[:, 0, 0].tolist() == [10, 20, 100, 60]
    assert any("1 other file ignored" in note for note in open_movie(tmp_path).notes)


def test_bad_images_are_refused_in_one_sentence(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    first = pillow.fromarray(noise(1)[0])
    cases = {
        "size": (pillow.fromarray(noise(1, 4, 4)[0]), "has 4 x 4 pixels"),
        "deep": (pillow.fromarray(noise(1)[0].astype(np.uint16)), "more than 8 bits per pixel"),
        "damaged": (None, "cannot be read as an image"),
    }
    for name, (image, message) in cases.items():
        folder = tmp_path / name
        folder.mkdir()
        first.save(folder / "0.png")
        if image is None:
            (folder / "1.png").write_bytes((folder / "0.png").read_bytes()[:10])
        else:
            image.save(folder / "1.png")
        with pytest.raises(OmniMouseError) as error:
            open_movie(folder)
        assert message in error.value.message


def write_video(path, levels, *, rate=24):
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in levels:
            frame = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), level, np.uint8), format="rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_videos_are_shown_at_their_own_rate(tmp_path, suffix):
    levels = np.linspace(20, 220, 24).astype(np.uint8)
    write_video(tmp_path / f"ramp{suffix}", levels)
    movie = open_movie(tmp_path / f"ramp{suffix}")
    assert (movie.fps, movie.frame_shape, movie.num_frames) == (24.0, (48, 64), 24)
    frames = np.concatenate(list(screen_frames(movie, (6, 8))))
    expected = levels[np.arange(30) * 24 // 30].astype(int)
    assert len(frames) == 30
    # Colors of a video are stored in steps of their own.
    np.testing.assert_allclose(frames[:, 3, 4], expected, atol=4)
    assert len(shown(tmp_path / f"ramp{suffix}", fps=12)) == 60


def test_damaged_videos_are_refused_in_one_sentence(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "text.mp4").write_text("no video")
    write_video(tmp_path / "cut.avi", np.arange(0, 240, 4))
    content = (tmp_path / "cut.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) * 2 // 3])
    messages = {"text.mp4": "cannot be decoded as a video", "cut.avi": "states 60 frames and has"}
    for name, message in messages.items():
        with pytest.raises(OmniMouseError, match=message) as error:
            open_movie(tmp_path / name)
        assert error.value.hint


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").write_text("")
    with pytest.raises(OmniMouseError) as error:
        open_movie(tmp_path / "a.mp4")
    assert error.value.hint == "pip install 'omnimouse[video]'"
