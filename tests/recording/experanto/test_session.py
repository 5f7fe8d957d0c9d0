"""A session folder becomes one recording: identity, devices, one origin."""

import json

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.options import OpenOptions


def test_all_clocks_count_from_the_earliest_start(experanto_session):
    path = experanto_session(start=1.6e9 + 0.5, responses_start=2.25, behavior_start=-1.5)
    recording = open_recording(path)
    assert recording.origin_seconds == 1.6e9 - 1.0
    assert recording.responses.clock.start_seconds == 3.75
    assert [signal.clock.start_seconds for signal in recording.behavior] == [0.0, 0.0]
    assert recording.trials[0].start_seconds == recording.screen.flip_seconds[0] == 1.5
    assert recording.screen.flip_seconds.dtype == np.float64


def test_times_of_an_hour_at_the_unix_epoch_keep_a_microsecond(experanto_session):
    trials = [{"modality": "blank", "interleave_value": 9, "seconds": 1801.3}] * 2
    trials.append({"modality": "video", "num_frames": 60, "tier": "train"})
    path = experanto_session(start=1.7e9 + 0.1, trials=trials, behavior_start=0.0)
    flips = open_recording(path).screen.flip_seconds
    expected = [0.0, 1801.3, *(3602.6 + np.arange(60) / 30)]
    np.testing.assert_allclose(flips, expected, rtol=0, atol=1e-6)


def test_devices_come_in_one_order_whatever_their_names(experanto_session):
    path = experanto_session()
    for name in ("whiskers", "accelerometer"):
        values = np.random.default_rng(0).normal(size=(100, 2))
        experanto_session.sequence(path / name, values, start=1.6e9, rate_hz=10.0)
    behavior = open_recording(path).behavior
    assert [signal.name for signal in behavior] == [
        "eye_tracker",
        "treadmill",
        "accelerometer",
        "whiskers",
    ]
    assert [signal.channels for signal in behavior] == [
        ("pupil_x", "pupil_y", "pupil_size", "pupil_size_derivative"),
        ("running",),
        ("accelerometer_0", "accelerometer_1"),
        ("whiskers_0", "whiskers_1"),
    ]


def test_modalities_may_be_missing(experanto_session):
    recording = open_recording(experanto_session(eye_tracker=False, treadmill=False))
    assert recording.behavior == ()
    assert recording.responses.channels == ()
    assert recording.responses.num_channels == recording.neurons.num_neurons == 6


def test_a_recording_without_a_screen_has_trials_of_unknown_kind(experanto_session, tmp_path):
    path = experanto_session()
    (path / "screen").rename(tmp_path / "screen")
    recording = open_recording(path)
    assert recording.screen is None
    assert {trial.kind for trial in recording.trials} == {"unknown"}
    assert any("screen: absent" in note for note in recording.notes)


@pytest.mark.parametrize("modality", ["time_interval", "spikes"])
def test_devices_of_other_kinds_are_left_out_with_a_note(experanto_session, modality):
    path = experanto_session()
    (path / "licks").mkdir()
    (path / "licks/meta.yml").write_text(f"modality: {modality}\nstart_time: 0\nend_time: 1\n")
    recording = open_recording(path)
    assert [signal.name for signal in recording.behavior] == ["eye_tracker", "treadmill"]
    assert any("licks" in note and modality in note for note in recording.notes)


def test_data_without_meta_yml_is_left_out_with_a_note(experanto_session):
    path = experanto_session()
    (path / "treadmill/meta.yml").unlink()
    recording = open_recording(path)
    assert [signal.name for signal in recording.behavior] == ["eye_tracker"]
    assert any(note.startswith("treadmill: has data but no meta.yml") for note in recording.notes)


def test_a_session_without_responses_is_refused(experanto_session, tmp_path):
    path = experanto_session()
    (path / "responses").rename(tmp_path / "responses")
    with pytest.raises(RecordingError, match=r"has no responses.*eye_tracker, screen, treadmill"):
        open_recording(path)


def test_responses_and_screen_on_different_clocks_are_refused(experanto_session, edit_meta):
    path = experanto_session(eye_tracker=False, treadmill=False)
    edit_meta(path, "responses", start_time=5.0, end_time=5.0 + 839 / 30)
    with pytest.raises(RecordingError, match="share no time"):
        open_recording(path)


@pytest.mark.parametrize(
    ("name", "meta", "session", "animal"),
    [
        ("x", {"data_key": "17797-4-7", "scan_key": {}}, "17797-4-7", "17797"),
        ("x", {"scan_key": {"animal_id": 5, "session": 2, "scan_idx": 0}}, "5-2-0", "5"),
        ("dynamic17797-4-7-Video-021a75e5_30hz", {"setup": 3}, "17797-4-7", "17797"),
        ("dynamic17797-4-7-Video-021a75e5_30hz", None, "17797-4-7", "17797"),
        ("dynamicmouse_gaze", {}, "mouse", "mouse"),
        ("mouse7-monday", {}, "mouse7-monday", "mouse7"),
        ("mouse7", None, "mouse7", "mouse7"),
    ],
)
def test_the_session_key_follows_the_rules_of_the_library(
    experanto_session, name, meta, session, animal
):
    path = experanto_session(name, seconds=6)
    (path / "meta.json").unlink()
    if meta is not None:
        (path / "meta.json").write_text(json.dumps(meta))
    recording = open_recording(path)
    assert (recording.session, recording.animal) == (session, animal)


def test_a_session_key_that_cannot_name_a_file_is_refused(experanto_session):
    path = experanto_session(data_key="../../etc")
    with pytest.raises(RecordingError, match=r"file name: '\.\./\.\./etc'"):
        open_recording(path)


def test_a_broken_meta_json_is_refused(experanto_session):
    path = experanto_session()
    (path / "meta.json").write_text('{"data_key": ')
    with pytest.raises(RecordingError, match=r"meta\.json is not valid JSON"):
        open_recording(path)


def test_the_scan_rate_before_resampling_is_kept(experanto_session, edit_meta):
    path = experanto_session()
    assert open_recording(path).native_rate_hz is None
    edit_meta(path, "responses", original_sampling_rate=8)
    assert open_recording(path).native_rate_hz == 8.0


def test_neurons_are_found_by_their_usual_names_or_by_neuron_properties(
    experanto_session, edit_meta
):
    path = experanto_session()
    neurons = open_recording(path).neurons
    np.testing.assert_array_equal(neurons.unit_id, np.arange(6) + 10)
    stored = np.load(path / "responses/meta/cell_motor_coordinates.npy")
    np.testing.assert_array_equal(neurons.position_um, stored.astype(np.float32))
    np.save(path / "responses/ids.npy", np.arange(6) + 70)
    edit_meta(path, "responses", neuron_properties={"unit_ids": "ids.npy"})
    np.testing.assert_array_equal(open_recording(path).neurons.unit_id, np.arange(6) + 70)


def test_a_missing_neuron_property_is_a_note(experanto_session, edit_meta):
    path = experanto_session()
    edit_meta(path, "responses", neuron_properties={"unit_ids": "meta/gone.npy"})
    recording = open_recording(path)
    assert recording.neurons.unit_id is None
    assert any("meta/gone.npy" in note for note in recording.notes)


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("unit_ids", np.arange(5), "has 5 unit ids, but `n_signals` is 6"),
        ("cell_motor_coordinates", np.zeros((5, 3)), r"must have shape \(6, 3\): \(5, 3\)"),
        ("cell_motor_coordinates", np.zeros((6, 4)), r"must have shape \(6, 3\): \(6, 4\)"),
    ],
)
def test_neurons_that_disagree_with_the_responses_are_refused(
    experanto_session, file, values, message
):
    path = experanto_session()
    np.save(path / f"responses/meta/{file}.npy", values)
    with pytest.raises(RecordingError, match=message):
        open_recording(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modality: [sequence", r"responses/meta\.yml is not valid YAML"),
        ("- 1\n- 2\n", "must hold named fields, but it is a list"),
        ("", "must hold named fields, but it is empty"),
    ],
)
def test_broken_yaml_is_refused_with_its_file(experanto_session, text, message):
    path = experanto_session()
    (path / "responses/meta.yml").write_text(text)
    with pytest.raises(RecordingError, match=message) as caught:
        open_recording(path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "key",
    ["modality", "start_time", "end_time", "sampling_rate", "n_signals", "n_timestamps", "dtype"],
)
def test_a_missing_required_field_is_named(experanto_session, edit_meta, key):
    path = experanto_session()
    edit_meta(path, "responses", **{key: None})
    with pytest.raises(RecordingError, match=rf"responses/meta\.yml has no `{key}`"):
        open_recording(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("start_time", "noon", "`start_time` must be a finite number: 'noon'"),
        ("end_time", float("inf"), "`end_time` must be a finite number: inf"),
        ("end_time", 3.0, "`end_time` must be later than `start_time`: 3.0"),
        ("sampling_rate", -30.0, "`sampling_rate` must be positive: -30.0"),
        ("sampling_rate", True, "`sampling_rate` must be a finite number: True"),
        ("n_signals", 5.5, r"`n_signals` must be a whole number from 0 on: 5\.5"),
        ("is_mem_mapped", "yes please", "`is_mem_mapped` must be true or false: 'yes please'"),
        ("dtype", "float33", "`dtype` is not a NumPy dtype: float33"),
        ("dtype", "complex64", "`dtype` must be a real number type: complex64"),
    ],
)
def test_fields_that_make_no_sense_are_refused_with_their_value(
    experanto_session, edit_meta, key, value, message
):
    path = experanto_session()
    edit_meta(path, "responses", **{key: value})
    with pytest.raises(RecordingError, match=message):
        open_recording(path)


def test_a_time_in_the_notation_that_yaml_takes_for_text_is_a_number(experanto_session):
    path = experanto_session(start=1.5e9, responses_start=0.0, behavior_start=0.0)
    meta = path / "responses/meta.yml"
    text = meta.read_text().replace("start_time: 1500000000.0", "start_time: 1.5e9")
    assert "1.5e9" in text
    meta.write_text(text)
    assert open_recording(path).responses.clock.start_seconds == 0.0


@pytest.mark.parametrize("text", ["a: " + "[" * 30_000, "- " * 30_000 + "1", "{a: " * 30_000])
def test_deep_nesting_is_one_sentence(experanto_session, text):
    path = experanto_session()
    (path / "responses/meta.yml").write_text(text)
    with pytest.raises(RecordingError, match=r"meta\.yml cannot be read: .* too many levels") as e:
        open_recording(path)
    assert len(e.value.message) < 300
    path = experanto_session("2-2-2")
    (path / "meta.json").write_text('{"data_key": ' + "[" * 100_000)
    with pytest.raises(RecordingError, match=r"meta\.json cannot be read: .* too many levels"):
        open_recording(path)


def test_long_lists_and_many_fields_are_no_nesting(experanto_session, edit_meta):
    path = experanto_session()
    edit_meta(path, "responses", spike_indices=list(range(3000)), depth={"a": [{"b": [1, 2]}]})
    assert open_recording(path).responses.num_channels == 6


def test_values_that_yaml_cannot_construct_are_one_sentence(experanto_session):
    path = experanto_session()
    with (path / "responses/meta.yml").open("a") as stream:
        stream.write("recorded: 2023-13-45\n")
    with pytest.raises(RecordingError, match=r"responses/meta\.yml is not valid YAML"):
        open_recording(path)


def test_contents_name_everything_and_what_it_is_taken_for(experanto_session):
    path = experanto_session()
    (path / "licks").mkdir()
    (path / "licks/meta.yml").write_text("modality: spikes\n")
    (path / "treadmill/meta.yml").unlink()
    options = OpenOptions(licence="CC-BY-4.0", citation="Us, 2026")
    recording = open_recording(path, options)
    contents = {content.path: content for content in recording.contents}
    assert list(contents) == [
        "responses/data.mem",
        "eye_tracker/data.mem",
        "screen",
        "licks",
        "treadmill",
    ]
    assert contents["responses/data.mem"].what == "float32, 840 rows x 6 neurons, 30 Hz"
    assert contents["responses/data.mem"].use == "responses"
    eye = contents["eye_tracker/data.mem"]
    assert eye.what == "float64, 630 rows x 4 channels, 20 Hz"
    assert eye.use == "behavior: pupil_x, pupil_y, pupil_size, pupil_size_derivative"
    assert "flips, trials: 1" in contents["screen"].what
    assert contents["licks"].use == "not taken: a device of modality spikes cannot be read"
    assert contents["treadmill"].use == "not taken: has data but no meta.yml"
    assert recording.provenance.series == "responses/data.mem"
    assert recording.provenance.licence == "CC-BY-4.0"
    assert recording.provenance.citation == "Us, 2026"


def test_a_device_of_another_time_is_named(experanto_session, edit_meta):
    path = experanto_session()
    start = 1_600_000_000.25 - 1.5 + 3600
    edit_meta(path, "eye_tracker", start_time=start, end_time=start + 629 / 20)
    with pytest.raises(RecordingError, match=r"responses \(from .* and eye_tracker \(.* share no"):
        open_recording(path)
