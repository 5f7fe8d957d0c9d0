"""Frames are read as 8-bit grey levels, and stimuli have the names in the files."""

import json
from functools import partial

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.open import open_recording

RNG = np.random.default_rng(11)


@pytest.fixture
def experanto_session(experanto_session):
    """Sessions whose responses begin with the screen, so that one short trial is enough."""
    return partial(experanto_session, responses_start=0.0)


def frames_of(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def clip(frames: np.ndarray, **fields: object) -> dict[str, object]:
    return {"modality": "video", "num_frames": len(frames), "frames": frames, **fields}


def image(frame: np.ndarray, **fields: object) -> dict[str, object]:
    return {"modality": "image", "frames": frame, **fields}


def blank(level: object) -> dict[str, object]:
    return {"modality": "blank", "interleave_value": level}


def edit_trial(session, name, **fields):
    file = session / "screen/combined_meta.json"
    metas = json.loads(file.read_text())
    metas[name] |= fields
    file.write_text(json.dumps(metas))
    (session / f"screen/meta/{name}.yml").write_text(json.dumps(metas[name]))


def test_each_trial_gives_its_frames(experanto_session):
    video, picture = frames_of(45, 9, 16), frames_of(9, 16)
    trials = [clip(video), image(picture), blank(127), clip(video[:30])]
    recording = open_recording(experanto_session(trials=trials))
    screen = recording.screen
    assert (screen.frame_height, screen.frame_width) == (9, 16)
    expected = [video, picture[None], np.full((1, 9, 16), 127), video[:30]]
    for number, frames in enumerate(expected):
        shown = recording.read_trial(number)
        assert shown.dtype == np.uint8
        assert len(shown) == recording.trials[number].num_flips
        np.testing.assert_array_equal(shown, frames)


def test_color_becomes_luma_with_a_note(experanto_session):
    video, picture = frames_of(40, 9, 16, 3), frames_of(9, 16, 3)
    recording = open_recording(experanto_session(trials=[clip(video), image(picture)]))
    for number, colored in enumerate((video, picture[None])):
        red, green, blue = np.moveaxis(colored.astype(float), -1, 0)
        expected = np.rint(0.299 * red + 0.587 * green + 0.114 * blue)
        np.testing.assert_array_equal(recording.read_trial(number), expected)
    assert any("2 trials in color made grey" in note for note in recording.notes)


def test_grey_stored_as_three_equal_channels_stays_the_same_grey(experanto_session):
    video = frames_of(40, 9, 16)
    colored = np.repeat(video[..., None], 3, axis=-1)
    recording = open_recording(experanto_session(trials=[clip(colored), clip(video)]))
    np.testing.assert_array_equal(recording.read_trial(0), video)


def test_one_channel_is_grey(experanto_session):
    video, picture = frames_of(40, 9, 16), frames_of(9, 16)
    trials = [clip(video[..., None]), image(picture[..., None])]
    recording = open_recording(experanto_session(trials=trials))
    np.testing.assert_array_equal(recording.read_trial(0), video)
    np.testing.assert_array_equal(recording.read_trial(1)[0], picture)
    assert all(note.startswith("tiers: ") for note in recording.notes)


def test_a_grey_video_three_pixels_wide_is_not_taken_for_color(experanto_session):
    video = frames_of(40, 9, 3)
    recording = open_recording(experanto_session(trials=[clip(video)], frame_size=(9, 3)))
    assert recording.screen.frame_width == 3
    np.testing.assert_array_equal(recording.read_trial(0), video)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int64"])
def test_grey_levels_of_other_dtypes_are_converted(experanto_session, dtype):
    video = frames_of(40, 9, 16)
    recording = open_recording(experanto_session(trials=[clip(video.astype(dtype))]))
    np.testing.assert_array_equal(recording.read_trial(0), video)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((40, 9, 16), 256.0), "must lie between 0 and 255: found 256 to 256"),
        (np.full((40, 9, 16), -3, np.int16), "must lie between 0 and 255: found -3 to -3"),
        (np.full((40, 9, 16), np.nan), "must lie between 0 and 255: found nan"),
        (np.full((40, 9, 16), -0.5), "must lie between 0 and 255: found -0.5 to -0.5"),
    ],
)
def test_frames_that_are_no_grey_levels_are_refused_when_read(experanto_session, values, message):
    recording = open_recording(experanto_session(trials=[clip(values)]))
    with pytest.raises(RecordingError, match=message):
        recording.read_trial(0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_frames_from_0_to_1_are_scaled_with_a_note(experanto_session, dtype):
    video, dark = frames_of(40, 9, 16), frames_of(9, 16) // 64
    trials = [
        image((dark / 255).astype(dtype)),
        clip((video / 255).astype(dtype), tier="train"),
        blank(7),
    ]
    recording = open_recording(experanto_session(trials=trials))
    np.testing.assert_array_equal(recording.read_trial(0)[0], dark)
    np.testing.assert_array_equal(recording.read_trial(1), video)
    assert (recording.read_trial(2) == 7).all()
    (note,) = recording.notes
    assert f"2 trials ({dtype}) lie between 0 and 1 throughout; they were multiplied by 255" in note


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_frames_of_0_and_1_are_black_and_white(experanto_session, dtype):
    noise = (RNG.random((40, 9, 16)) < 0.1).astype(dtype)
    black = np.zeros((40, 9, 16), dtype)
    recording = open_recording(experanto_session(trials=[clip(black), clip(noise)]))
    np.testing.assert_array_equal(recording.read_trial(1), noise * 255)
    assert not recording.read_trial(0).any()
    assert any("multiplied by 255" in note for note in recording.notes)


def test_the_unit_of_frames_is_decided_over_the_whole_recording(experanto_session):
    dark = RNG.random((40, 9, 16))
    bright = frames_of(40, 9, 16).astype(np.float64)
    bright[0, 0, 0] = 255
    trials = [clip(dark, tier="train"), clip(bright, tier="test")]
    recording = open_recording(experanto_session(trials=trials))
    np.testing.assert_array_equal(recording.read_trial(0), np.rint(dark))
    assert recording.notes == ()
    # Whole numbers to 255 say nothing about floats in other files.
    video = frames_of(40, 9, 16)
    recording = open_recording(experanto_session("2-2-2", trials=[clip(dark), clip(video)]))
    np.testing.assert_array_equal(recording.read_trial(0), np.rint(dark * 255))
    np.testing.assert_array_equal(recording.read_trial(1), video)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_frames_that_are_as_good_as_black_are_noted(experanto_session, dtype):
    dark = (frames_of(40, 9, 16) % 8).astype(dtype)
    recording = open_recording(experanto_session(trials=[clip(dark, tier="train")]))
    np.testing.assert_array_equal(recording.read_trial(0), dark)
    (note,) = recording.notes
    assert f"frames of 1 trial ({dtype}) reach 7 of 255 only" in note


@pytest.mark.parametrize("size", [(16, 16), (16, 9), (60, 80), (120, 190)])
def test_frames_of_another_aspect_ratio_are_noted(experanto_session, size):
    trials = [clip(frames_of(40, *size), tier="train"), image(frames_of(*size))]
    (note,) = open_recording(experanto_session(trials=trials)).notes
    assert f"frames of {size[0]} x {size[1]} (height x width) are deformed to 36 x 64" in note
    assert ("axes may have been exchanged" in note) == (size == (16, 9))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((40, 9, 16), bool), "their dtype is bool"),
        (np.zeros((40, 9, 16), complex), "their dtype is complex128"),
        (frames_of(40, 9, 16, 4), r"its shape is \(40, 9, 16, 4\)"),
        (frames_of(40, 9), r"its shape is \(40, 9\)"),
        (frames_of(40, 0, 16), r"its shape is \(40, 0, 16\)"),
    ],
)
def test_files_that_hold_no_frames_are_refused(experanto_session, values, message):
    path = experanto_session(trials=[clip(values)])
    with pytest.raises(RecordingError, match=rf"00000\.npy.*{message}"):
        open_recording(path)


def test_a_missing_trial_file_is_named(experanto_session):
    path = experanto_session(trials=[clip(frames_of(40, 9, 16)), blank(0), image(frames_of(9, 16))])
    (path / "screen/data/00002.npy").unlink()
    with pytest.raises(RecordingError, match=r"data/00002\.npy is missing") as caught:
        open_recording(path)
    assert caught.value.hint


def test_a_trial_file_cut_short_is_named(experanto_session):
    path = experanto_session(trials=[clip(frames_of(40, 9, 16))])
    file = path / "screen/data/00000.npy"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(RecordingError, match=r"00000\.npy cannot be read as frames"):
        open_recording(path)


def test_a_wrong_number_of_frames_is_named(experanto_session):
    path = experanto_session(trials=[clip(frames_of(40, 9, 16))])
    np.save(path / "screen/data/00000.npy", frames_of(39, 9, 16))
    with pytest.raises(RecordingError, match=r"has 39 frames, but `num_frames` of the trial is 40"):
        open_recording(path)


def test_trials_of_different_sizes_keep_them_and_are_noted(experanto_session):
    large, small = frames_of(40, 18, 32), frames_of(40, 9, 16)
    recording = open_recording(experanto_session(trials=[clip(large), clip(small), clip(small)]))
    screen = recording.screen
    assert (screen.frame_height, screen.frame_width) == (9, 16)
    np.testing.assert_array_equal(recording.read_trial(0), large)
    assert any(
        "trials with frames of a size other than 9 x 16: 1 of 3" in note for note in recording.notes
    )


def test_encoded_video_is_refused(experanto_session):
    path = experanto_session(trials=[clip(frames_of(40, 9, 16), encoded=True, file_format=".mp4")])
    with pytest.raises(RecordingError, match="encoded video cannot be read"):
        open_recording(path)


def test_stimuli_may_be_stored_by_their_names(experanto_session):
    video = frames_of(40, 9, 16)
    path = experanto_session(trials=[clip(video, stimulus_name="lions")] * 2)
    for number in range(2):
        (path / f"screen/data/{number:05d}.npy").rename(path / "screen/data/lions.npy")
    (path / "screen/meta.yml").write_text("modality: screen\nuse_stimuli_names: true\n")
    recording = open_recording(path)
    np.testing.assert_array_equal(recording.read_trial(1), video)


@pytest.mark.parametrize("meta", ["image_names: true\n", ""])
@pytest.mark.parametrize("key", ["image_name", "stimulus_name"])
def test_images_may_be_stored_once_by_the_words_of_earlier_versions(experanto_session, meta, key):
    pictures = frames_of(2, 9, 16)
    trials = [image(pictures[n % 2], **{key: f"im{n % 2:03d}.npy"}) for n in range(6)]
    path = experanto_session(
        trials=[*trials, {**blank(7), key: "grey"}, clip(frames_of(40, 9, 16))]
    )
    data = path / "screen/data"
    for number in range(6):
        (data / f"{number:05d}.npy").rename(data / f"im{number % 2:03d}.npy")
    if meta:
        (data / "00007.npy").rename(data / "movie.npy")
        (path / "screen/meta.yml").write_text(f"modality: screen\n{meta}")
        edit_trial(path, "00007", **{key: "movie"})
    recording = open_recording(path)
    for number in range(6):
        np.testing.assert_array_equal(recording.read_trial(number)[0], pictures[number % 2])
    assert (recording.read_trial(6) == 7).all()
    assert recording.read_trial(7).shape == (40, 9, 16)
    is_noted = any("6 trials were found by the name of the stimulus" in n for n in recording.notes)
    assert is_noted == (meta == "")


@pytest.mark.parametrize("name", ["../../secret", "/etc/frames"])
def test_a_stimulus_outside_the_folder_is_refused(experanto_session, name):
    path = experanto_session(trials=[clip(frames_of(40, 9, 16), stimulus_name=name)])
    (path / "screen/meta.yml").write_text("modality: screen\nuse_stimuli_names: true\n")
    with pytest.raises(RecordingError, match="must be named by a file in screen/data"):
        open_recording(path)


def test_a_stimulus_without_a_name_is_known_by_its_frames(experanto_session):
    video = frames_of(40, 9, 16)
    clips = [clip(video, condition="grating 90"), clip(video, condition=7), clip(video)]
    trials = [*clips, blank(127), image(frames_of(9, 16)), {"modality": "INVALID"}]
    found = open_recording(experanto_session(trials=trials)).trials
    names = ["grating 90", "7", None, "blank 127", None, None]
    assert [trial.condition for trial in found] == names
    assert [trial.identified_by_frames for trial in found] == [
        False,
        False,
        True,
        False,
        True,
        False,
    ]


def test_a_blank_without_a_grey_level_is_middle_grey_with_a_note(experanto_session):
    path = experanto_session(trials=[{"modality": "blank"}, clip(frames_of(40, 9, 16))])
    recording = open_recording(path)
    assert (recording.read_trial(0) == 128).all()
    assert any("1 blank trial has no interleave_value" in note for note in recording.notes)


@pytest.mark.parametrize("level", [-1, 255.5, 300])
def test_a_grey_level_outside_8_bits_is_refused(experanto_session, level):
    path = experanto_session(trials=[blank(level), clip(frames_of(40, 9, 16))])
    with pytest.raises(RecordingError, match="`interleave_value` must lie between 0 and 255"):
        open_recording(path)


def test_a_recording_of_blanks_alone_takes_its_frame_size_from_their_fields(experanto_session):
    trials = [{**blank(5), "seconds": 10.0}] * 3
    recording = open_recording(experanto_session(trials=trials, frame_size=(7, 11)))
    assert recording.read_trial(2).shape == (1, 7, 11)


def test_blanks_without_any_frame_size_get_the_usual_one(experanto_session):
    trials = [{**blank(5), "seconds": 10.0, "image_size": None}] * 3
    recording = open_recording(experanto_session(trials=trials))
    assert recording.read_trial(0).shape == (1, 36, 64)
    assert any("no trial has a frame size" in note for note in recording.notes)


def test_flips_at_the_same_time_are_noted(experanto_session):
    path = experanto_session()
    file = path / "screen/timestamps.npy"
    times = np.load(file)
    times[11] = times[10]
    np.save(file, times)
    assert any("1 flip has the same time" in note for note in open_recording(path).notes)


def test_a_screen_without_flip_times_is_refused(experanto_session):
    path = experanto_session()
    (path / "screen/timestamps.npy").unlink()
    with pytest.raises(RecordingError, match=r"screen/timestamps\.npy is missing"):
        open_recording(path)
