"""Running, pupil and gaze: found by type and name, in known units, on their own clocks."""

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.behavior import open_behavior
from omnimouse_cli.recording.nwb.profiles import ALLEN, ALLEN_NWB1, GENERIC
from omnimouse_cli.recording.nwb.tree import open_tree
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.units import normal_unit

h5py = pytest.importorskip("h5py")

MODULE = "processing/behavior"
SPEED = np.linspace(-1.0, 30.0, 60)


def read(file, profile=GENERIC, **options):
    """Close a file and read its behavior: signals by name, and the notes as one text."""
    path = file.close()
    with open_tree(path) as root:
        behavior = open_behavior(root, OpenOptions(**options), profile)
    signals = {signal.name: signal for signal in behavior.signals}
    return signals, "\n".join(behavior.notes), behavior.uses


def rows(signal):
    return signal.read_rows(0, signal.clock.num_samples)


@pytest.mark.parametrize(
    ("unit", "conversion", "factor"),
    [
        ("cm/s", 1.0, 1.0),
        ("m/s", 0.01, 1.0),
        ("m/s", 1.0, 100.0),
        ("meters per second", 1.0, 100.0),
        ("mm s^-1", 1.0, 0.1),
        ("inches/s", 1.0, 2.54),
    ],
)
def test_running_is_in_centimetres_per_second(new_nwb, unit, conversion, factor):
    file = new_nwb()
    file.series(f"{MODULE}/Running/wheel", SPEED, unit=unit, conversion=conversion)
    signals, notes, uses = read(file)
    np.testing.assert_allclose(rows(signals["treadmill"])[:, 0], SPEED * factor, rtol=1e-6)
    assert signals["treadmill"].channels == ("running",)
    assert signals["treadmill"].units == ("cm/s",)
    assert signals["treadmill"].source_units == (unit,)
    assert uses == {f"/{MODULE}/Running/wheel": "running"}
    assert "the file has no gaze, no pupil" in notes


def test_the_filtered_speed_is_taken_among_other_series_of_the_wheel(new_nwb):
    file = new_nwb()
    file.series("processing/running/speed", SPEED, unit="cm/s")
    file.series("processing/running/speed_unfiltered", SPEED + 1, unit="cm/s")
    file.series("processing/running/dx", SPEED, unit="cm")
    file.series("acquisition/v_sig", SPEED, unit="V")
    file.series("acquisition/wheel_position", SPEED, unit="m")
    file.series("acquisition/running_wheel_rotation", SPEED, unit="radians")
    signals, _, uses = read(file)
    np.testing.assert_allclose(rows(signals["treadmill"])[:, 0], SPEED, rtol=1e-6)
    assert uses["/processing/running/speed_unfiltered"].startswith("not taken: running is")
    assert set(uses) == {"/processing/running/speed", "/processing/running/speed_unfiltered"}


def test_running_of_an_unknown_unit_is_taken_as_it_is(new_nwb):
    file = new_nwb()
    file.series(f"{MODULE}/velocity", SPEED, unit="a.u.")
    signals, notes, _ = read(file)
    np.testing.assert_allclose(rows(signals["treadmill"])[:, 0], SPEED, rtol=1e-6)
    assert signals["treadmill"].units == ("a.u.",)
    assert "cannot become cm/s" in notes


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_running_of_an_unlikely_size_is_noted(new_nwb, factor):
    file = new_nwb()
    file.series(f"{MODULE}/running_speed", SPEED * factor, unit="cm/s")
    assert "its unit may be another than the file says" in read(file)[1]


def test_a_path_that_the_user_names_is_running(new_nwb):
    file = new_nwb()
    file.series(f"{MODULE}/running_speed", SPEED, unit="cm/s")
    file.series("acquisition/ball", SPEED[:, None] + 1, unit="m/s")
    signals, _, _ = read(file, running="acquisition/ball")
    np.testing.assert_allclose(rows(signals["treadmill"])[:, 0], (SPEED + 1) * 100, rtol=1e-6)
    file = new_nwb("b.nwb")
    file.series(f"{MODULE}/running_speed", SPEED, unit="cm/s")
    with pytest.raises(RecordingError, match="has no acquisition/wheel, which --running names"):
        read(file, running="acquisition/wheel")


def test_signals_keep_their_own_clocks_and_samples_without_a_time_are_dropped(new_nwb):
    file = new_nwb()
    times = 3.5 + np.arange(60) / 20
    times[[0, 30]] = np.nan
    file.series(f"{MODULE}/running_speed", SPEED, times=times, unit="cm/s")
    signals, notes, _ = read(file)
    clock = signals["treadmill"].clock
    assert clock.start_seconds == pytest.approx(3.55)
    assert clock.rate_hz == pytest.approx(20.0)
    # The sample in the middle is missing: a gap of one row.
    expected = SPEED[1:].astype(np.float32)
    expected[29] = np.nan
    np.testing.assert_array_equal(rows(signals["treadmill"])[:, 0], expected)
    assert "2 samples without a time are dropped" in notes


def test_uneven_times_are_held_on_a_grid(new_nwb):
    file = new_nwb()
    times = np.cumsum(np.random.default_rng(0).gamma(4.0, 0.01, size=60))
    file.series(f"{MODULE}/wheel", SPEED, times=times, unit="cm/s")
    signals, notes, _ = read(file)
    clock = signals["treadmill"].clock
    at = clock.start_seconds + np.arange(clock.num_samples) / clock.rate_hz
    held = np.searchsorted(times, at + 1e-4, side="right") - 1
    np.testing.assert_allclose(rows(signals["treadmill"])[:, 0], SPEED[held], rtol=1e-6)
    assert "held on a grid" in notes


def test_behavior_with_damaged_times_is_named_and_left_out(new_nwb):
    file = new_nwb()
    file.series(f"{MODULE}/running_speed", SPEED, times=np.arange(60)[::-1], unit="cm/s")
    file.series(f"{MODULE}/PupilTracking/diameter", SPEED, times=np.arange(50), unit="mm")
    file.group(f"{MODULE}/PupilTracking", "PupilTracking")
    signals, notes, _ = read(file)
    assert signals == {}
    assert "running_speed: not taken, because" in notes
    assert "times must ascend" in notes
    assert "diameter: not taken as pupil, because" in notes


def test_a_pupil_area_becomes_its_square_root(new_nwb):
    file = new_nwb()
    area = np.linspace(100.0, 400.0, 60)
    file.series(f"{MODULE}/PupilTracking/pupil_area", area, unit="pixels^2")
    signals, notes, _ = read(file)
    eye = signals["eye_tracker"]
    assert eye.channels == ("pupil_size", "pupil_area")
    assert eye.units == ("px", "px^2")
    np.testing.assert_allclose(rows(eye), np.stack((np.sqrt(area), area), axis=1), rtol=1e-6)
    assert "square root" in notes


def test_two_radii_become_their_mean(new_nwb):
    file = new_nwb()
    file.group("acquisition/PupilTracking", "PupilTracking")
    minor, major = SPEED + 5, SPEED + 7
    file.series("acquisition/PupilTracking/pupil_minor_radius", minor, unit="px")
    file.series("acquisition/PupilTracking/pupil_major_radius", major, unit="px")
    signals, notes, uses = read(file)
    eye = signals["eye_tracker"]
    assert eye.channels == ("pupil_size", "pupil_major_radius")
    np.testing.assert_allclose(rows(eye)[:, 0], (minor + major) / 2, rtol=1e-6)
    assert "the mean of" in notes
    assert len(uses) == 2


def test_pupil_and_gaze_of_one_camera_are_one_signal(new_nwb):
    file = new_nwb()
    times = 1.0 + np.arange(60) / 30
    gaze = np.stack((SPEED, SPEED[::-1]), axis=1)
    file.series(f"{MODULE}/EyeTracking/pupil_location", gaze, times=times, unit="degrees")
    file.series(f"{MODULE}/PupilTracking/pupil_diameter", SPEED + 3, times=times, unit="mm")
    signals, _, _ = read(file)
    assert list(signals) == ["eye_tracker"]
    assert signals["eye_tracker"].channels == ("pupil_x", "pupil_y", "pupil_size")
    assert signals["eye_tracker"].units == ("degrees", "degrees", "mm")
    expected = np.column_stack((gaze, SPEED + 3))
    np.testing.assert_allclose(rows(signals["eye_tracker"]), expected, rtol=1e-6)


def test_pupil_and_gaze_with_other_times_are_two_signals(new_nwb):
    file = new_nwb()
    gaze = np.stack((SPEED, SPEED[::-1]), axis=1)
    file.series(f"{MODULE}/EyeTracking/pupil_location", gaze, rate=30.0, unit="px")
    file.series(f"{MODULE}/PupilTracking/pupil_diameter", SPEED, rate=20.0, unit="px")
    signals, _, _ = read(file)
    assert {name: signal.clock.rate_hz for name, signal in signals.items()} == {
        "eye_tracker": 30.0,
        "pupil": 20.0,
    }


def _gaze_file(new_nwb, name, **angles):
    """Two columns in degrees and in centimetres that move together."""
    file = new_nwb(name)
    rng = np.random.default_rng(3)
    centimetres = rng.normal(size=(60, 2))
    file.series("processing/b/EyeTracking/pupil_location", centimetres, unit="m")
    order = angles.pop("order")
    series = file.series(
        "processing/b/EyeTracking/pupil_location_spherical",
        centimetres[:, order] * 4 + 0.01 * rng.normal(size=(60, 2)),
        unit="degrees",
    )
    for attribute, value in angles.items():
        series.attrs[attribute] = value
    return file, centimetres * 4


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_degrees_are_taken_and_their_axes_are_those_of_the_centimetres(new_nwb, order):
    file, angles = _gaze_file(new_nwb, "a.nwb", order=order)
    signals, notes, _ = read(file, ALLEN)
    eye = signals["eye_tracker"]
    assert eye.channels == ("pupil_x", "pupil_y")
    assert eye.units == ("degrees", "degrees")
    np.testing.assert_allclose(rows(eye), angles, atol=0.1)
    assert "because it moves with x of /processing/b/EyeTracking/pupil_location" in notes


def test_the_order_of_axes_that_a_description_states(new_nwb):
    file = new_nwb()
    gaze = np.stack((SPEED, SPEED * 2), axis=1)
    series = file.series("processing/b/gaze", gaze, unit="degrees")
    series.attrs["description"] = "Gaze: elevation, azimuth."
    signals, notes, _ = read(file)
    np.testing.assert_allclose(rows(signals["eye_tracker"]), gaze[:, ::-1], rtol=1e-6)
    assert "column 1 is the horizontal axis, as its description says" in notes
    file = new_nwb("b.nwb")
    file.series("processing/b/gaze", gaze, unit="px")
    signals, notes, _ = read(file)
    np.testing.assert_allclose(rows(signals["eye_tracker"]), gaze, rtol=1e-6)
    assert "by NWB's order x, y: the file does not say it" in notes


def test_ellipses_of_visual_behavior(new_nwb):
    file = new_nwb()
    folder = "acquisition/EyeTracking"
    file.group(folder, "EllipseEyeTracking")
    times = np.arange(60) / 30
    area = np.linspace(100.0, 400.0, 60)
    for name in ("corneal_reflection_tracking", "eye_tracking", "pupil_tracking"):
        series = file.series(
            f"{folder}/{name}",
            np.stack((SPEED, -SPEED), axis=1) + len(name),
            times=times,
            unit="pixels",
            neurodata_type="EllipseSeries",
        )
        series["area"] = area + len(name)
    file.series(f"{folder}/likely_blink", np.zeros(60, bool), times=times)
    signals, _, _ = read(file, ALLEN)
    eye = signals["eye_tracker"]
    assert eye.channels == ("pupil_x", "pupil_y", "pupil_size", "pupil_area")
    expected = np.column_stack((SPEED + 14, 14 - SPEED, np.sqrt(area + 14), area + 14))
    np.testing.assert_allclose(rows(eye), expected, rtol=1e-5)


def test_a_group_that_the_user_names_holds_pupil_and_gaze(new_nwb):
    file = new_nwb()
    file.series(f"{MODULE}/PupilTracking/pupil_diameter", SPEED, unit="mm")
    file.series("acquisition/right/size_of_it", SPEED + 1, unit="mm")
    file.series("acquisition/right/place", np.stack((SPEED, SPEED), axis=1), unit="px")
    signals, _, _ = read(file, pupil="acquisition/right")
    eye = signals["eye_tracker"]
    assert eye.channels == ("pupil_x", "pupil_y", "pupil_size")
    np.testing.assert_allclose(rows(eye)[:, 2], SPEED + 1, rtol=1e-6)


def test_version_1_has_no_units_and_the_publisher_says_them(new_nwb):
    file = new_nwb()
    file.series(f"{MODULE}/BehavioralTimeSeries/running_speed", SPEED[:, None], unit="m")
    file.series(f"{MODULE}/PupilTracking/pupil_size", SPEED + 20, unit="")
    signals, notes, _ = read(file, ALLEN_NWB1)
    np.testing.assert_allclose(rows(signals["treadmill"])[:, 0], SPEED, rtol=1e-6)
    np.testing.assert_allclose(rows(signals["eye_tracker"])[:, 0], np.sqrt(SPEED + 20), rtol=1e-6)
    assert "taken as cm/s, as the data set's publisher says (file: m)" in notes


@pytest.mark.parametrize(
    ("unit", "short"),
    [("Meters/second", "m/s"), ("cm s-1", "cm/s"), ("px²", "px^2"), ("deg", "degrees")],
)
def test_units_in_short_form(unit, short):
    assert normal_unit(unit) == short
