"""Gratings have the frequency, orientation, contrast and phase of their table."""

import numpy as np
import pytest

from omnimouse_cli.recording.nwb.geometry import ALLEN
from omnimouse_cli.recording.nwb.gratings import (
    Grating,
    _mean_wave,
    grating_segments,
    parse_gratings,
)

# A pixel at the centre, in degrees: 51.9 cm / 64 and 32.4 cm / 36 at 15 cm.
PIXEL_WIDTH = np.degrees(np.arctan(51.9 / 64 / 15))
PIXEL_HEIGHT = np.degrees(np.arctan(32.4 / 36 / 15))


def draw(orientation=0.0, *, frequency=0.02, hertz=0.0, phase=0.0, contrast=0.8, numbers=(0,)):
    grating = Grating(
        display=ALLEN,
        orientation=orientation,
        cycles_per_degree=frequency,
        hertz=hertz,
        phase=phase,
        contrast=contrast,
    )
    return grating.read(np.array(numbers))


@pytest.mark.parametrize("frequency", [0.02, 0.04, 0.08])
@pytest.mark.parametrize(("orientation", "axis"), [(0.0, 1), (90.0, 0)])
def test_the_phase_grows_by_the_spatial_frequency(frequency, orientation, axis):
    wave = _mean_wave(ALLEN, orientation, frequency)
    middle = np.array([wave[18, 32], wave[18, 33] if axis == 1 else wave[17, 32]])
    size = PIXEL_WIDTH if axis == 1 else PIXEL_HEIGHT
    turns = np.angle(middle[1] / middle[0]) / (2 * np.pi)
    assert turns == pytest.approx(frequency * size, rel=0.02)


def test_the_grating_varies_along_its_orientation_only():
    frame = draw(orientation=0.0)[0].astype(int)
    assert np.ptp(frame[18]) > 150
    # Along the middle column nothing changes, but for the warp's lack of effect there.
    assert np.ptp(frame[:, 31:33].mean(1)) <= 2


def test_contrast_is_that_of_the_light_about_grey():
    frame = draw(frequency=0.005, contrast=0.8)[0]
    assert frame.max() == round(127 * 1.8)
    assert draw(frequency=0.005, contrast=0.8, phase=0.5)[0].min() == round(127 * 0.2)
    assert abs(draw(contrast=0.05)[0].astype(int) - 127).max() <= 0.05 * 127 + 1


def test_a_fine_grating_is_grey_where_a_pixel_covers_a_cycle():
    frame = draw(frequency=1 / PIXEL_WIDTH)[0]
    assert abs(frame[18, 30:34].astype(int) - 127).max() <= 5


def test_a_grating_drifts_in_the_direction_of_its_orientation():
    bright = [int(np.argmax(f[18, 20:44])) for f in draw(frequency=0.02, hertz=1, numbers=range(5))]
    # One cycle is 50 degrees and takes a second: 1.67 degrees in a frame.
    assert bright[4] - bright[0] == pytest.approx(4 * 50 / 30 / PIXEL_WIDTH, abs=1)
    up = [int(np.argmax(f[8:28, 32])) for f in draw(90.0, hertz=2, numbers=range(5))]
    assert up[4] < up[0]


def test_a_grating_repeats_after_its_period():
    frames = draw(hertz=2.0, numbers=range(31))
    np.testing.assert_array_equal(frames[0], frames[15])
    np.testing.assert_array_equal(frames[0], frames[30])
    assert np.abs(frames[0].astype(int) - frames[7]).mean() > 30


def test_phase_is_a_share_of_a_cycle():
    frame = draw(phase=0.25)[0].astype(int)
    # cos(x + 90 degrees) falls through grey at the centre.
    assert frame[18, 31] > 127 > frame[18, 32]


def columns(**values):
    return {name: np.array(value) for name, value in values.items()}


def make_segments(table_columns, frequency=None):
    table = parse_gratings(table_columns, "table", default_frequency=frequency)
    rows = len(table.is_blank)
    return grating_segments(
        table,
        [3.0 * n for n in range(rows)],
        [3.0 * n + 2 for n in range(rows)],
        name="gratings",
        display=ALLEN,
    )


def test_a_table_of_drifting_gratings_has_thirty_frames_a_second_and_blanks():
    segments, notes = make_segments(
        columns(
            orientation_in_degrees=[45.0, np.nan, 45.0, 90.0],
            spatial_frequency_in_cycles_per_degree=[0.04] * 4,
            temporal_frequency_in_hz=[2.0, np.nan, 2.0, 15.0],
            is_blank_sweep=[False, True, False, False],
        )
    )
    assert [s.kind for s in segments] == ["video", "blank", "video", "video"]
    assert [len(s.flips) for s in segments] == [60, 1, 60, 60]
    assert segments[0].condition == segments[2].condition != segments[3].condition
    assert segments[0].condition == (
        "gratings orientation=45 spatial_frequency=0.04 temporal_frequency=2"
    )
    assert segments[2].flips[[0, -1]] == pytest.approx([6.0, 6 + 59 / 30])
    assert (segments[1].source.read(np.zeros(1, int)) == 127).all()
    assert any("80% is taken" in note for note in notes)
    assert any("15 Hz or more" in note for note in notes)
    assert any("taken as 0" in note for note in notes)


def test_static_gratings_are_images_with_phases():
    segments, _ = make_segments(
        columns(
            orientation=[0.0, 0.0],
            spatial_frequency=[0.02, 0.02],
            phase=[0.25, 0.75],
        )
    )
    assert [(s.kind, len(s.flips)) for s in segments] == [("image", 1), ("image", 1)]
    first, second = (s.source.read(s.numbers)[0].astype(int) for s in segments)
    assert np.abs(first + second - 254).max() <= 1


def test_units_of_phase_and_contrast_are_told():
    segments, notes = make_segments(
        columns(orientation=[0.0, 0.0], sf=[0.02, 0.02], phase=[90.0, 0.0], contrast=[100, 50])
    )
    assert segments[0].source.phase == 0.25
    assert segments[1].source.contrast == 0.5
    assert notes == ["table: phases are in degrees", "table: contrasts are in percent"]


def test_a_table_without_spatial_frequency_needs_a_protocol():
    table = columns(orientation=[0.0, np.nan], temporal_frequency=[1.0, np.nan])
    assert parse_gratings(table, "table", default_frequency=None) is None
    parsed = parse_gratings(table, "table", default_frequency=0.04)
    assert parsed.notes == ("table: gratings have 0.04 cycles/degree by the protocol",)
    assert parsed.is_blank.tolist() == [False, True]


def test_other_tables_are_no_gratings():
    assert (
        parse_gratings(columns(stimulus=np.array(["a", "b"], object)), "t", default_frequency=0.04)
        is None
    )
    assert (
        parse_gratings(
            columns(orientation=np.array(["up", "down"], object)), "t", default_frequency=0.04
        )
        is None
    )
