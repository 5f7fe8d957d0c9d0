"""Behavior tables become signals with named channels in known units."""

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.behavior import open_behavior
from omnimouse_cli.recording.arrays.source import Folder
from omnimouse_cli.recording.options import OpenOptions


def open_folder(folder, **options):
    return open_behavior(Folder(path=folder), OpenOptions(**options), zero_seconds=0.0)


def write(folder, name, header, *columns):
    path = folder / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([header, *rows]))
    return path


SECONDS = (np.arange(100) / 20).round(3)
VALUES = np.linspace(1, 30, 100).round(3)


def test_gaze_pupil_and_running(tmp_path, write_side_files):
    truth = write_side_files(tmp_path)
    (eye, treadmill), notes = open_folder(tmp_path)
    assert (eye.name, eye.channels) == ("eye_tracker", ("pupil_x", "pupil_y", "pupil_size"))
    assert eye.units == ("px", "px", "px")
    assert eye.clock.rate_hz == pytest.approx(20)
    assert eye.clock.start_seconds == pytest.approx(0.5)
    np.testing.assert_array_equal(eye.read_rows(3, 90), truth["eye"][3:90].astype(np.float32))
    assert (treadmill.name, treadmill.channels) == ("treadmill", ("running",))
    assert (treadmill.units, treadmill.source_units) == (("cm/s",), ("m/s",))
    rows = treadmill.read_rows(0, 750)[:, 0]
    np.testing.assert_allclose(rows, truth["speed_cm_s"], rtol=1e-6)
    assert notes == []


def test_an_area_becomes_its_square_root(tmp_path):
    write(tmp_path, "pupil", "seconds,area_mm2", SECONDS, VALUES)
    (eye,), notes = open_folder(tmp_path)
    assert (eye.channels, eye.units, eye.source_units) == (("pupil_size",), ("mm",), ("mm^2",))
    np.testing.assert_allclose(eye.read_rows(0, 100)[:, 0], np.sqrt(VALUES), rtol=1e-6)
    assert "square root of `area_mm2`" in notes[0]


def test_axes_are_found_by_name_not_by_order(tmp_path):
    header = "time_s,elevation_deg,azimuth_deg,radius_px,confidence"
    write(tmp_path, "pupil", header, SECONDS, VALUES, -VALUES, 2 * VALUES, VALUES)
    (eye,), notes = open_folder(tmp_path)
    assert eye.channels == ("pupil_x", "pupil_y", "pupil_size")
    assert eye.units == ("degrees", "degrees", "px")
    expected = np.float32([-VALUES[4], VALUES[4], 2 * VALUES[4]])
    np.testing.assert_array_equal(eye.read_rows(4, 5)[0], expected)
    assert notes == ["eye_tracker: columns not used: confidence"]


@pytest.mark.parametrize(("header", "factor"), [("speed_mm_s", 0.1), ("v_m_per_s", 100)])
def test_speed_is_converted_to_cm_per_second(tmp_path, header, factor):
    write(tmp_path, "running", f"seconds,{header}", SECONDS, VALUES)
    (treadmill,), _ = open_folder(tmp_path)
    np.testing.assert_allclose(treadmill.read_rows(0, 100)[:, 0], VALUES * factor, rtol=1e-6)


def test_doubtful_speeds_are_told(tmp_path):
    write(tmp_path, "running", "seconds,speed", SECONDS, VALUES / 100)
    _, notes = open_folder(tmp_path)
    assert "no unit in its name; cm/s is taken" in notes[0]
    assert "99th percentile of running is 0.297 cm/s; check the unit" in notes[1]


def test_a_pupil_without_units_is_told(tmp_path):
    write(tmp_path, "pupil", "seconds,x_px,y,diameter", SECONDS, VALUES, VALUES, VALUES)
    _, notes = open_folder(tmp_path)
    assert notes[0].startswith("eye_tracker: no unit is stated of pupil_y, pupil_size")


def test_other_tables_are_devices_of_their_own(tmp_path):
    write(tmp_path, "behavior/whisker", "seconds,left_deg,right_deg", SECONDS, VALUES, -VALUES)
    write(tmp_path, "behavior/face", "seconds,energy", SECONDS, VALUES)
    write(tmp_path, "behavior/running", "seconds,speed_cm_s", SECONDS, VALUES)
    signals, _ = open_folder(tmp_path)
    assert {signal.name: signal.channels for signal in signals} == {
        "treadmill": ("running",),
        "face": ("face",),
        "whisker": ("whisker_left", "whisker_right"),
    }


@pytest.mark.parametrize("name", ["treadmill", "responses"])
def test_a_device_with_the_name_of_another_is_refused(tmp_path, name):
    write(tmp_path, "running", "seconds,speed_cm_s", SECONDS, VALUES)
    write(tmp_path, f"behavior/{name}", "seconds,speed_cm_s", SECONDS, VALUES)
    with pytest.raises(RecordingError, match=f"{name}.csv has the name of another signal"):
        open_folder(tmp_path)


def test_rows_without_a_time_are_left_out_and_uneven_times_are_held(tmp_path):
    seconds = np.sort(np.random.default_rng(1).uniform(0, 5, 100)).round(4)
    cells = [f"{value}" for value in seconds]
    cells[10] = ""
    write(tmp_path, "running", "seconds,speed_cm_s", cells, VALUES)
    (treadmill,), notes = open_folder(tmp_path)
    assert "rows without a time are excluded: 1 of 100" in notes[0]
    assert "times are uneven" in notes[1]
    clock = treadmill.clock
    at = clock.start_seconds + np.arange(clock.num_samples) / clock.rate_hz
    kept = np.delete(np.arange(100), 10)
    latest = kept[np.searchsorted(seconds[kept], at + 1e-4, side="right") - 1]
    rows = treadmill.read_rows(0, clock.num_samples)[:, 0]
    np.testing.assert_array_equal(rows, VALUES[latest].astype(np.float32))


def test_a_file_that_the_user_names_is_taken(tmp_path):
    path = write(tmp_path / "elsewhere", "wheel", "seconds,speed_cm_s", SECONDS, VALUES)
    (treadmill,), _ = open_folder(tmp_path, running=str(path))
    assert treadmill.name == "treadmill"
    with pytest.raises(RecordingError, match=r"wheels\.csv, which --running names"):
        open_folder(tmp_path, running="wheels.csv")


@pytest.mark.parametrize(
    ("name", "header", "message"),
    [
        ("running", "seconds,left,right", "one column of speed.*found left, right"),
        ("running", "seconds,speed_deg", "in degrees, but running is a speed"),
        ("pupil", "seconds,frame,blink", "no column of gaze or pupil: found frame, blink"),
        ("pupil", "x_px,y_px,blink", "no column of times"),
    ],
)
def test_columns_without_a_meaning_are_said(tmp_path, name, header, message):
    columns = [SECONDS, VALUES, VALUES][: header.count(",") + 1]
    write(tmp_path, name, header, *columns)
    with pytest.raises(RecordingError, match=message):
        open_folder(tmp_path)


def test_times_that_go_backwards_are_refused(tmp_path):
    write(tmp_path, "running", "seconds,speed_cm_s", SECONDS[::-1], VALUES)
    with pytest.raises(RecordingError, match="times must ascend, but row 1"):
        open_folder(tmp_path)
