"""Sets of videos and of images become recordings whose every value is known."""

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.find import find_recordings
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.sensorium.store import is_set
from tests.recording.sensorium.conftest import LENGTHS, TIERS, WITHHELD

# Files in the order of presentation; file 4 has tier none.
ORDER = (1, 0, 3, 5, 2)
STATIC = OpenOptions(static=True)


def open_folder_or_zip(made):
    assert is_set(made.path)
    return open_recording(made.path)


@pytest.mark.parametrize("zipped", [False, True])
def test_videos_lie_one_after_the_other_with_their_own_lengths(make_set, zipped):
    made = make_set(zipped=zipped)
    before = sorted(path for path in made.path.parent.rglob("*"))
    recording = open_folder_or_zip(made)
    assert (recording.format, recording.session, recording.animal) == (
        "sensorium",
        "77-1-2",
        "77",
    )
    lengths = [LENGTHS[number] for number in ORDER]
    ends = np.cumsum(lengths)
    clock = recording.responses.clock
    assert (clock.start_seconds, clock.rate_hz, clock.num_samples) == (0.0, 30.0, ends[-1])
    trials = recording.trials
    assert [trial.tier for trial in trials] == [TIERS[number] for number in ORDER]
    assert [trial.end_seconds for trial in trials] == (ends / 30).tolist()
    assert [trial.start_seconds for trial in trials] == ((ends - lengths) / 30).tolist()
    assert all(trial.kind == "video" and trial.identified_by_frames for trial in trials)
    assert recording.windows_within_trials
    responses = recording.responses.read_rows(0, int(ends[-1]))
    for place, number in enumerate(ORDER):
        rows = slice(ends[place] - lengths[place], ends[place])
        expected = made.arrays[f"data/responses/{number}.npy"][:, : lengths[place]].T
        if number == WITHHELD:
            expected = np.full_like(expected, np.nan)
        np.testing.assert_array_equal(responses[rows], expected)
        video = made.arrays[f"data/videos/{number}.npy"][:, :, : lengths[place]]
        np.testing.assert_array_equal(recording.read_trial(place), np.moveaxis(video, 2, 0))
    assert recording.gaps.tolist() == [[(ends[-2]) / 30, ends[-1] / 30]]
    assert sorted(path for path in made.path.parent.rglob("*")) == before


def test_a_stated_key_names_session_and_animal(make_set):
    recording = open_recording(make_set().path, OpenOptions(key="78-1-1"))
    assert (recording.session, recording.animal) == ("78-1-1", "78")


def test_an_archive_that_is_unpacked_beside_it_is_not_taken_twice(make_set):
    folder, archive = make_set(), make_set(zipped=True)
    found = find_recordings([folder.path.parent])
    assert found.recordings == (folder.path,)
    assert [skipped.path for skipped in found.skipped] == [archive.path]
    assert "unpacked beside it" in found.skipped[0].reason
    assert find_recordings([archive.path]).recordings == (archive.path,)


def test_any_rows_and_frames_are_those_of_the_whole(make_set):
    recording = open_folder_or_zip(make_set(zipped=True))
    whole = recording.responses.read_rows(0, recording.responses.clock.num_samples)
    for first, last in ((0, 1), (60, 140), (69, 70), (70, 71), (3, 3), (300, 325)):
        part = recording.responses.read_rows(first, last)
        np.testing.assert_array_equal(part, whole[first:last])
    frames = recording.read_trial(1)
    np.testing.assert_array_equal(recording.screen.read_frames(1, 5, 9), frames[5:9])


def test_behavior_has_the_names_of_its_rows(make_set):
    made = make_set()
    recording = open_folder_or_zip(made)
    eye, treadmill = recording.behavior
    assert (eye.name, eye.channels) == ("eye_tracker", ("pupil_size", "pupil_x", "pupil_y"))
    assert (treadmill.name, treadmill.channels) == ("treadmill", ("running",))
    assert treadmill.units == ("cm/s",)
    first = made.arrays["data/behavior/1.npy"]
    np.testing.assert_array_equal(treadmill.read_rows(2, 5)[:, 0], first[1, 2:5])
    np.testing.assert_array_equal(eye.read_rows(2, 5)[:, 0], first[0, 2:5])
    np.testing.assert_array_equal(
        eye.read_rows(2, 5)[:, 1:].T, made.arrays["data/pupil_center/1.npy"][:, 2:5]
    )


def test_neurons_licence_and_contents(make_set):
    made = make_set()
    recording = open_folder_or_zip(made)
    assert recording.neurons.unit_id.tolist() == [11, 12, 13, 14, 15]
    np.testing.assert_array_equal(
        recording.neurons.position_um, made.arrays["meta/neurons/cell_motor_coordinates.npy"]
    )
    assert recording.provenance.licence == "CC-BY-NC-ND-4.0"
    assert "2305.19654" in recording.provenance.citation
    assert any("must not be shared" in note for note in recording.notes)
    uses = {content.path: content.use for content in recording.contents}
    assert uses["data/videos"] == "stimulus"
    (area,) = [content for content in recording.contents if content.path.endswith("area.npy")]
    assert (area.what, area.use) == ("V1 3, LM 2", "visual areas")
    assert recording.neurons.area.tolist() == ["V1"] * 3 + ["LM"] * 2
    assert recording.neurons.layer is None


def test_a_set_of_somebody_else_has_the_licence_that_the_user_gives(make_set):
    made = make_set(name="dynamic5-6-7-mine")
    assert open_recording(made.path).provenance.licence is None
    options = OpenOptions(licence="CC0-1.0", citation="us")
    provenance = open_recording(made.path, options).provenance
    assert (provenance.licence, provenance.citation) == ("CC0-1.0", "us")


def test_what_is_assumed_and_missing_is_noted(make_set):
    notes = "\n".join(open_folder_or_zip(make_set()).notes)
    assert "in the order of presentation" in notes
    assert "trials are excluded whose tier is none: 1 of 6" in notes
    assert "responses of 1 trial are withheld (all zero, or no file)" in notes
    assert "live_test_main 1" in notes


@pytest.mark.parametrize(
    "index",
    [None, np.array(["a1f", "b", "c", "d", "e", "f"]), np.array([1, 2]), np.array([{}] * 6)],
)
def test_without_a_usable_index_trials_keep_the_order_of_their_files(make_set, index):
    recording = open_recording(make_set({"meta/trials/trial_idx.npy": index}).path)
    tiers = [tier for tier in TIERS if tier != "none"]
    assert [trial.tier for trial in recording.trials] == tiers
    assert any("in the order of the files" in note for note in recording.notes)


def test_responses_that_end_before_the_video_are_missing_there(make_set):
    short = np.random.default_rng(1).gamma(1.0, 1.0, (5, 70)).astype(np.float32)
    short[:, 50:] = np.nan
    recording = open_recording(make_set({"data/responses/1.npy": short}).path)
    assert recording.trials[0].end_seconds == 70 / 30
    rows = recording.responses.read_rows(0, 70)
    np.testing.assert_array_equal(rows[:50], short[:, :50].T)
    assert np.isnan(rows[50:]).all()
    assert recording.gaps[0].tolist() == [50 / 30, 70 / 30]
    assert any("end before the video: 20 rows" in note for note in recording.notes)


def test_a_trial_without_responses_or_video_is_missing_or_excluded(make_set):
    changes = {"data/responses/1.npy": None, "data/videos/0.npy": None}
    recording = open_recording(make_set(changes).path)
    assert [trial.num_flips for trial in recording.trials] == [70, 66, 62, 61]
    assert np.isnan(recording.responses.read_rows(0, 70)).all()
    assert any(
        "trials are excluded whose stimulus has no file: 1 of 5" in note for note in recording.notes
    )


def test_behavior_of_zeros_is_missing(make_set):
    recording = open_recording(make_set({"data/behavior/1.npy": np.zeros((2, 70))}).path)
    eye, treadmill = recording.behavior
    assert np.isnan(treadmill.read_rows(0, 70)).all()
    assert np.isnan(eye.read_rows(0, 70)[:, 0]).all()
    assert np.isfinite(eye.read_rows(0, 70)[:, 1:]).all()
    assert np.isfinite(treadmill.read_rows(70, 136)).all()


def test_missing_behavior_is_noted(make_set):
    changes = {
        "data/behavior/1.npy": None,
        f"data/pupil_center/{WITHHELD}.npy": np.zeros((2, 70)),
    }
    recording = open_recording(make_set(changes).path)
    notes = "\n".join(recording.notes)
    assert "data/behavior of 1 trial has no file and counts as missing" in notes
    assert "data/pupil_center of 1 trial has only zeros and counts as missing" in notes
    uses = {content.path: content.use for content in recording.contents}
    assert uses["meta/statistics"].startswith("not taken")


@pytest.mark.parametrize("links", [{"responses": "targets"}, {"targets": "responses"}])
def test_links_rename_variables(make_set, links):
    plain = open_recording(make_set().path)
    arrays = {}
    for key, value in make_set().arrays.items():
        arrays[key] = value
        if key.startswith("data/responses/"):
            arrays[key] = None
            arrays[key.replace("responses", "targets")] = value
    made = make_set({**arrays, "config.json": {"links": links}}, zipped=True)
    linked = open_recording(made.path)
    np.testing.assert_array_equal(
        linked.responses.read_rows(0, 100), plain.responses.read_rows(0, 100)
    )


def test_frames_from_0_to_1_are_scaled(make_set):
    videos = {
        key: value / 255
        for key, value in make_set().arrays.items()
        if key.startswith("data/videos/")
    }
    plain = open_recording(make_set().path)
    scaled = open_recording(make_set(videos, name="dynamic1-1-1-x").path)
    np.testing.assert_array_equal(scaled.read_trial(0), plain.read_trial(0))
    assert any("multiplied by 255" in note for note in scaled.notes)


def test_a_static_set_needs_an_option(make_set):
    made = make_set(static=True)
    with pytest.raises(RecordingError, match="is a static set: one number per neuron") as caught:
        open_recording(made.path)
    assert "--static" in caught.value.hint


@pytest.mark.parametrize("zipped", [False, True])
def test_an_image_is_a_trial_of_two_seconds(make_set, zipped):
    made = make_set(static=True, zipped=zipped)
    recording = open_recording(made.path, STATIC)
    clock = recording.responses.clock
    assert (clock.start_seconds, clock.rate_hz, clock.num_samples) == (0.0, 0.5, 6)
    assert [trial.start_seconds for trial in recording.trials] == [0, 2, 4, 6, 8, 10]
    order = [5, 4, 3, 2, 1, 0]
    assert [trial.condition for trial in recording.trials] == [
        f"imagenet {number}" for number in (15, 11, 13, 12, 11, 10)
    ]
    expected = np.stack([made.arrays[f"data/responses/{number}.npy"] for number in order])
    np.testing.assert_array_equal(recording.responses.read_rows(0, 6), expected)
    np.testing.assert_array_equal(recording.read_trial(0), made.arrays["data/images/5.npy"])
    eye, treadmill = recording.behavior
    assert eye.channels == ("pupil_size", "pupil_size_derivative", "pupil_x", "pupil_y")
    behavior = np.stack([made.arrays[f"data/behavior/{number}.npy"] for number in order])
    np.testing.assert_array_equal(eye.read_rows(0, 6)[:, :2], behavior[:, :2])
    np.testing.assert_array_equal(treadmill.read_rows(0, 6)[:, 0], behavior[:, 2])
    assert "2206.08666" in recording.provenance.citation
    assert any("no time course" in note for note in recording.notes)


def test_a_silent_image_is_withheld_only_with_its_whole_tier(make_set):
    zeros = np.zeros(5, np.float32)
    changes = {f"data/responses/{number}.npy": zeros for number in (0, 1, 4)}
    recording = open_recording(make_set(changes, static=True).path, STATIC)
    rows = recording.responses.read_rows(0, 6)
    # File 0 is a train image among others; files 1 and 4 are all of the test images.
    assert np.isnan(rows).all(axis=1).tolist() == [False, True, False, False, True, False]
    assert (rows[5] == 0).all()
    assert recording.gaps.tolist() == [[2, 4], [8, 10]]


def test_images_without_names_are_identified_by_their_frames(make_set):
    made = make_set({"meta/trials/frame_image_id.npy": None}, static=True)
    trials = open_recording(made.path, STATIC).trials
    assert all(trial.identified_by_frames and trial.condition is None for trial in trials)
