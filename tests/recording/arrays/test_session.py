"""A folder, or an .npz, with responses [time, neuron] is a recording."""

import json

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.session import open_session
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.options import OpenOptions

EPOCH = 1_709_632_800.0


def edit_session(folder, **fields):
    path = folder / "session.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def listing(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_stated_key_replaces_that_of_session_json(folder):
    keys = []
    for animal in ("m1", None):
        edit_session(folder, animal=animal)
        recording = open_recording(folder, OpenOptions(key="m2-7"))
        keys.append((recording.session, recording.animal))
    assert keys == [("m2-7", "m1"), ("m2-7", "m2")]


def test_everything_in_a_folder(folder, truth):
    before = listing(folder)
    recording = open_recording(folder)
    assert (recording.format, recording.session, recording.animal) == ("arrays", "m1-1", "m1")
    assert recording.origin_seconds == EPOCH
    clock = recording.responses.clock
    assert (clock.num_samples, recording.neurons.num_neurons) == truth["responses"].shape
    assert clock.rate_hz == pytest.approx(8, rel=1e-4)
    assert clock.start_seconds == pytest.approx(1, abs=1e-3)
    np.testing.assert_array_equal(recording.responses.read_rows(5, 200), truth["responses"][5:200])
    assert recording.neurons.unit_id.tolist() == list(range(100, 107))
    np.testing.assert_array_equal(recording.neurons.position_um[3], [3.5, 6, -3])
    assert [signal.name for signal in recording.behavior] == ["eye_tracker", "treadmill"]
    assert recording.provenance.series == "responses.npy"
    assert recording.response_kind is None
    assert recording.native_rate_hz == clock.rate_hz
    paths = {content.path for content in recording.contents}
    assert paths == {
        "responses.npy",
        "times.npy",
        "neurons.csv",
        "trials.csv",
        "stimulus/frames.npy",
        "stimulus/flips.csv",
        "pupil.csv",
        "running.csv",
        "session.json",
    }
    assert recording.split != "file"
    assert "train" in {trial.tier for trial in recording.trials}
    assert listing(folder) == before


def test_files_that_are_not_read_are_listed(folder, tmp_path):
    (folder / "speed.npy").write_bytes(b"")
    for number in range(9):
        (folder / f"stimulus/frame{number}.tif").write_bytes(b"")
    unread = [c.path for c in open_recording(folder).contents if c.use.startswith("not taken")]
    assert unread == ["speed.npy", "9 files *.tif"]
    np.savez(tmp_path / "a.npz", responses=np.ones((90, 3)), rate_hz=8.0, sped=1, pupils=np.ones(3))
    contents = open_session(tmp_path / "a.npz", OpenOptions()).contents
    assert {c.path: c.use for c in contents} == {
        "responses": "responses",
        "rate_hz": "session",
        "sped": "session",
        "pupils": "not taken: none of the names that are read",
    }


@pytest.mark.parametrize("order", ["C", "F"])
def test_neurons_by_time_is_transposed_and_said(folder, truth, order):
    np.save(folder / "responses.npy", np.asarray(truth["responses"].T, order=order))
    recording = open_recording(folder)
    assert any("is [neuron, time]; the array was transposed" in n for n in recording.notes)
    np.testing.assert_array_equal(recording.responses.read_rows(3, 50), truth["responses"][3:50])


def test_which_axis_is_time_is_decided_by_times_or_neurons_or_not_at_all(folder, truth):
    options = OpenOptions(rate_hz=8.0)
    np.save(folder / "responses.npy", truth["responses"].T)
    (folder / "times.npy").unlink()
    assert open_session(folder, options).responses.num_channels == 7
    (folder / "neurons.csv").unlink()
    with pytest.raises(RecordingError, match=r"shape \(7, 220\): whether it is") as caught:
        open_session(folder, options)
    assert "times.npy" in caught.value.hint
    np.save(folder / "responses.npy", truth["responses"])
    assert open_session(folder, options).responses.num_channels == 7
    np.save(folder / "responses.npy", np.ones((9, 9)))
    np.save(folder / "times.npy", np.arange(9.0))
    with pytest.raises(RecordingError, match=r"shape \(9, 9\): whether it is"):
        open_session(folder, options)


def test_a_rate_without_times_counts_from_0(folder, truth):
    (folder / "times.npy").unlink()
    with pytest.raises(RecordingError, match=r"times\.npy is absent and no rate") as caught:
        open_recording(folder)
    assert "--rate" in caught.value.hint
    edit_session(folder, rate_hz=7.5)
    for options, rate in ((OpenOptions(), 7.5), (OpenOptions(rate_hz=8.25), 8.25)):
        recording = open_recording(folder, options)
        clock = recording.responses.clock
        assert (clock.start_seconds, clock.rate_hz, clock.num_samples) == (0, rate, 220)
        assert any("row 0 is taken at 0 s" in note for note in recording.notes)
    assert not any(str(folder) in note for note in recording.notes)
    for rate in (0, -8):
        edit_session(folder, rate_hz=rate)
        with pytest.raises(RecordingError, match=r"`rate_hz`: the rate must be positive"):
            open_recording(folder)


def test_a_rate_that_contradicts_the_times_is_told(folder):
    recording = open_recording(folder, OpenOptions(rate_hz=30.0))
    assert recording.responses.clock.rate_hz == pytest.approx(8, rel=1e-4)
    assert any("--rate says 30 Hz, the times 8.0" in note for note in recording.notes)


def test_a_rate_of_the_user_that_contradicts_session_json_is_told(folder):
    (folder / "times.npy").unlink()
    edit_session(folder, rate_hz=7.5)
    for given, is_told in ((30.0, True), (7.5, False)):
        notes = open_recording(folder, OpenOptions(rate_hz=given)).notes
        note = "responses: session.json: `rate_hz` says 7.5 Hz, --rate 30 Hz; --rate is used"
        assert (note in notes) == is_told


def test_behavior_in_milliseconds_under_seconds_is_told(folder):
    header, *lines = (folder / "running.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines]
    rows = [f"{1000 * float(seconds)},{speed}" for seconds, speed in cells]
    (folder / "running.csv").write_text("\n".join([header, *rows]))
    notes = open_recording(folder).notes
    told = next(note for note in notes if note.startswith("treadmill: its times span "))
    assert "those of the responses 27.5 s; check that both are in seconds" in told


def test_what_is_misspelled_is_told(folder, tmp_path):
    (folder / "running.csv").rename(folder / "runing.csv")
    path = folder / "session.json"
    path.write_text(json.dumps({"session": "m21_5-2", "mouse": "m21"}))
    recording = open_recording(folder)
    assert recording.animal == "m21_5"
    for note in (
        "files not read: runing.csv",
        "session: fields not used: mouse",
        "session: no `animal` is stated; m21_5 is taken, from the session key",
    ):
        assert note in recording.notes
    np.savez(tmp_path / "a.npz", responses=np.ones((90, 3)), rate_hz=8.0, pupils=np.ones(3))
    assert "arrays not read: pupils" in open_session(tmp_path / "a.npz", OpenOptions()).notes


def test_a_gap_in_the_times_becomes_rows_without_values(folder, truth):
    kept = np.delete(np.arange(220), slice(100, 120))
    np.save(folder / "responses.npy", truth["responses"][kept])
    np.save(folder / "times.npy", truth["times"][kept])
    recording = open_recording(folder)
    rows = recording.responses.read_rows(0, 220)
    assert recording.responses.clock.num_samples == 220
    assert np.isnan(rows[100:120]).all()
    np.testing.assert_array_equal(rows[kept], truth["responses"][kept])
    np.testing.assert_array_equal(recording.responses.read_rows(95, 130), rows[95:130])
    np.testing.assert_allclose(recording.gaps, [[13.5, 16.0]], atol=1e-3)


def test_times_of_the_unix_epoch_give_the_origin(folder, truth):
    np.save(folder / "times.npy", truth["times"] + EPOCH)
    for name in ("trials", "running", "pupil", "stimulus/flips"):
        path = folder / f"{name}.csv"
        header, *lines = path.read_text().splitlines()
        num_times = 2 if name == "trials" else 1
        moved = []
        for line in lines:
            cells = line.split(",")
            cells[:num_times] = [f"{float(cell) + EPOCH:.6f}" for cell in cells[:num_times]]
            moved.append(",".join(cells))
        path.write_text("\n".join([header, *moved]))
    recording = open_recording(folder)
    assert recording.origin_seconds == EPOCH + 1 or recording.origin_seconds == EPOCH
    start = recording.origin_seconds + recording.responses.clock.start_seconds
    assert start == pytest.approx(EPOCH + 1, abs=1e-3)
    videos = [trial for trial in recording.trials if trial.kind == "video"]
    assert videos[0].start_seconds + recording.origin_seconds == pytest.approx(EPOCH + 2)
    np.save(folder / "times.npy", (truth["times"] + EPOCH).astype(np.float32))
    with pytest.raises(RecordingError, match="must be float64, but they are float32"):
        open_recording(folder)


def test_responses_as_text_or_under_another_name(folder, truth):
    expected = open_recording(folder).responses.read_rows(0, 220)
    (folder / "responses.npy").rename(folder / "dff.npy")
    np.savetxt(folder / "responses.csv", truth["responses"], "%.9g", ",")
    np.savetxt(folder / "times.csv", truth["times"], "%.15g")
    (folder / "times.npy").unlink()
    np.testing.assert_array_equal(open_recording(folder).responses.read_rows(0, 220), expected)
    text = (folder / "responses.csv").read_text()
    (folder / "responses.csv").write_text(",".join(f"cell{n}" for n in range(7)) + "\n" + text)
    np.testing.assert_array_equal(open_recording(folder).responses.read_rows(0, 220), expected)
    named = open_recording(folder, OpenOptions(series="dff.npy"))
    assert named.provenance.series == "dff.npy"
    (folder / "responses.csv").write_text("1,2\n3,four\n")
    with pytest.raises(RecordingError, match="no table of numbers"):
        open_recording(folder)


def test_a_series_may_be_named_by_its_kind(folder):
    edit_session(folder, responses="fluorescence")
    for series in ("fluorescence", "dff"):
        recording = open_recording(folder, OpenOptions(series=series))
        assert recording.provenance.series == "responses.npy"
    with pytest.raises(RecordingError, match="no series rate: its responses are fluorescence"):
        open_recording(folder, OpenOptions(series="rate"))
    with pytest.raises(RecordingError, match="spikes, which --series names, does not") as caught:
        open_recording(folder, OpenOptions(series="spikes"))
    assert "or rate, dff or fluorescence" in caught.value.hint


def test_what_session_json_says(folder):
    edit_session(
        folder,
        responses="fluorescence",
        license="CC-BY-4.0",
        citation="A. Mouse",
        native_rate_hz=7.5,
        start="2024-03-05",
        id_namespace="ours",
        monitor={"width_cm": 51.9, "distance_cm": 15},
    )
    recording = open_recording(folder, OpenOptions(citation="B. Mouse"))
    assert recording.response_kind == "fluorescence"
    assert recording.native_rate_hz == 7.5
    assert (recording.provenance.licence, recording.provenance.citation) == (
        "CC-BY-4.0",
        "B. Mouse",
    )
    assert recording.neurons.id_namespace == "ours"
    assert recording.screen.monitor.policy == "the monitor"
    assert recording.screen.monitor.width_cm == 51.9
    assert any("`start` has no time zone" in note for note in recording.notes)
    (folder / "session.json").unlink()
    recording = open_recording(folder)
    assert (recording.session, recording.animal, recording.origin_seconds) == ("m1", "m1", 0.0)
    assert any("no `start` is stated" in note for note in recording.notes)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"responses": "spikes?"}, "`responses` must be one of rate, dff, fluorescence: spikes?"),
        ({"start": "yesterday"}, "`start` must be a date and time"),
        ({"session": "a/b"}, "must be usable as a file name"),
    ],
)
def test_wrong_fields_are_said(folder, fields, message):
    edit_session(folder, **fields)
    with pytest.raises(RecordingError, match=message.replace("?", r"\?")):
        open_recording(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("trials.csv", "start_s,end_s\n2,4\n900,902\n", "1 trial lies outside the recording"),
        ("running.csv", "seconds,speed_cm_s\n500,1\n501,2\n502,3\n", "treadmill .* share no time"),
        ("stimulus/flips.csv", "seconds,frame\n1000,1\n1001,2\n", "screen .* share no time"),
        ("neurons.csv", "id\n1\n2\n", r"shape \(220, 7\), which does not fit to 220 times and 2"),
        ("neurons.csv", "id\n1\n2\n3\n4\n5\n6\n6\n", "ids must be different whole numbers"),
        ("neurons.csv", "id\n1\n2\n3\n4\n5\n6\n6.5\n", "line 8: ids must be different whole"),
        ("session.json", "{", "is not valid JSON"),
        ("responses.npy", "1,2", "cannot be read as an array"),
    ],
)
def test_files_that_contradict_each_other(folder, name, content, message):
    if name == "stimulus/flips.csv":
        (folder / "trials.csv").unlink()
    (folder / name).write_text(content)
    with pytest.raises(RecordingError, match=message):
        open_recording(folder)


def test_times_that_are_no_clock_are_refused(folder, truth):
    backwards = truth["times"].copy()
    backwards[5] = backwards[3]
    np.save(folder / "times.npy", backwards)
    with pytest.raises(RecordingError, match="times must ascend, but row 5"):
        open_recording(folder)
    np.save(folder / "times.npy", np.empty(0))
    with pytest.raises(RecordingError, match="does not fit to 0 times"):
        open_recording(folder)
    np.save(folder / "times.npy", truth["times"][:-4])
    with pytest.raises(RecordingError, match="does not fit to 216 times and 7 neurons"):
        open_recording(folder)
    np.save(folder / "times.npy", np.where(np.arange(220) == 9, np.nan, truth["times"]))
    with pytest.raises(RecordingError, match="1 of 220 times are not finite"):
        open_recording(folder)


def test_trials_that_outlast_the_responses_are_told(folder):
    with (folder / "trials.csv").open("a") as stream:
        stream.write("\n28.4,33,late")
    notes = open_recording(folder).notes
    assert any("trials: 1 begin before the responses (at 1.000 s) or end after" in n for n in notes)


def test_ids_of_eighteen_digits_are_exact(folder, tmp_path):
    ids = 864_691_128_605_000_000 + np.arange(7)
    (folder / "neurons.csv").write_text("\n".join(["id", *map(str, ids)]))
    assert open_recording(folder).neurons.unit_id.tolist() == ids.tolist()
    np.savez(tmp_path / "a.npz", responses=np.ones((90, 7)), rate_hz=8.0, neurons_id=ids)
    archive = open_session(tmp_path / "a.npz", OpenOptions())
    assert archive.neurons.unit_id.tolist() == ids.tolist()
    for wrong in ("3\n3", "3\nn4", "3\n4.5", "3\n", f"3\n{2**63}"):
        rows = [f"{number},0" for number in (*wrong.split("\n"), *"56789")]
        (folder / "neurons.csv").write_text("\n".join(["id,x_um", *rows]))
        with pytest.raises(RecordingError, match="line 3: ids must be different whole numbers"):
            open_session(folder, OpenOptions())


def test_times_in_milliseconds_are_refused_unless_their_name_says_so(folder, truth):
    np.save(folder / "times.npy", truth["times"] * 1000)
    with pytest.raises(RecordingError, match="at most 10 s apart, but they are 125 s") as caught:
        open_session(folder, OpenOptions())
    assert "milliseconds" in caught.value.hint
    (folder / "times.npy").unlink()
    lines = ["time_ms", *(f"{time * 1000:.6f}" for time in truth["times"])]
    (folder / "times.csv").write_text("\n".join(lines))
    assert open_session(folder, OpenOptions()).responses.clock.rate_hz == pytest.approx(8, rel=1e-4)


def test_responses_as_text_may_be_separated_by_semicolons(folder, truth):
    (folder / "responses.npy").unlink()
    rows = (";".join(map(str, row)) for row in truth["responses"].tolist())
    (folder / "responses.csv").write_text("\n".join(rows))
    recording = open_session(folder, OpenOptions())
    np.testing.assert_array_equal(recording.responses.read_rows(0, 50), truth["responses"][:50])
