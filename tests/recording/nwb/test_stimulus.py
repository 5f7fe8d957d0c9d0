"""The stimulus of small files: series and tables, and what they say of one time."""

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.stimulus import open_stimulus
from omnimouse_cli.recording.nwb.tree import open_tree
from omnimouse_cli.recording.options import OpenOptions
from tests.recording.nwb.stimulus_file import (
    RESPONSE_SECONDS,
    StimulusFile,
    check_screen,
    grey_stack,
    levels,
    rows,
)

h5py = pytest.importorskip("h5py")


@pytest.fixture
def file(tmp_path):
    return StimulusFile(tmp_path / "session.nwb")


def test_a_movie_shown_twice_is_two_trials_of_one_condition(file):
    file.add("stimulus/templates/movie", "ImageSeries", data=grey_stack(20))
    times = 5 + np.arange(60) / 30
    file.add_indices("movie", np.tile(np.arange(20), 3), times, "movie")
    stimulus = file.open()
    check_screen(stimulus)
    assert [row[:2] for row in rows(stimulus)] == [("video", "movie")] * 3
    assert [t.start_seconds for t in stimulus.trials] == pytest.approx([5, 5 + 2 / 3, 5 + 4 / 3])
    assert stimulus.trials[-1].end_seconds == pytest.approx(7.0)
    assert levels(stimulus, 1)[:-1] == [10 * n for n in range(20)][:-1]
    np.testing.assert_allclose(stimulus.screen.flip_seconds[:60], times)
    assert stimulus.screen.monitor.policy == "the template, stretched"
    assert any("the template, stretched" in note for note in stimulus.notes)


def test_a_late_frame_does_not_cut_a_movie_but_a_pause_does(file):
    file.add("stimulus/templates/movie", "ImageSeries", data=grey_stack(20))
    times = 5 + np.arange(20) / 30 + np.where(np.arange(20) >= 10, 1.5, 0)
    file.add_indices("movie", np.arange(20), times, "movie")
    assert len(file.open().trials) == 1
    late = StimulusFile(file.path.with_name("late.nwb"))
    late.add("stimulus/templates/movie", "ImageSeries", data=grey_stack(20))
    late.add_indices("movie", np.arange(20), times + np.where(np.arange(20) >= 10, 12, 0), "movie")
    assert [t.condition for t in late.open().trials] == ["movie", "movie from frame 10"]


def test_images_are_sorted_by_number_and_out_of_range_is_grey(file):
    names = [f"NaturalScene{n}" for n in range(12)]
    images = dict(zip(names, grey_stack(12), strict=True))
    file.add("stimulus/templates/scenes_template", "Images", **images)
    indices = np.array([11, 2, 4294967295, 10, 12, 11], np.uint32)
    times = 5 + np.arange(6) * 0.25
    file.add_indices("scenes", indices, times, "scenes_template", link="indexed_images")
    stimulus = file.open()
    check_screen(stimulus)
    kinds = [(t.kind, t.condition) for t in stimulus.trials]
    assert kinds == [
        ("image", "scenes/11"),
        ("image", "scenes/2"),
        ("blank", "blank 127"),
        ("image", "scenes/10"),
        ("blank", "blank 127"),
        ("image", "scenes/11"),
    ]
    assert [levels(stimulus, n)[0] for n in range(6)] == [110, 20, 127, 100, 127, 110]


def test_images_are_in_the_order_that_the_file_states(file):
    file.add("stimulus/templates/set", "Images", a=grey_stack(1)[0], b=grey_stack(2)[1])
    with h5py.File(file.path, "a") as opened:
        group = opened["stimulus/templates/set"]
        order = [group["b"].ref, group["a"].ref]
        group.create_dataset("order_of_images", data=order, dtype=h5py.ref_dtype)
    file.add_indices("set", [0, 1, 0], [5, 6, 7], "set", link="indexed_images")
    stimulus = file.open()
    assert [levels(stimulus, n)[0] for n in range(3)] == [10, 0, 10]


def test_an_image_at_every_flip_is_one_flash(file):
    file.add("stimulus/templates/scenes", "ImageSeries", data=grey_stack(4))
    indices = np.repeat([3, 1, -1, 2], 15)
    file.add_indices("scenes", indices, 5 + np.arange(60) / 60, "scenes")
    assert [row[:4] for row in rows(file.open())] == [
        ("image", "scenes/3", 5.0, 5.25),
        ("image", "scenes/1", 5.25, 5.5),
        ("blank", "blank 127", 5.5, 5.75),
        ("image", "scenes/2", 5.75, 6.0),
    ]


def test_fast_noise_without_an_order_is_named_by_its_sequence(file):
    file.add("stimulus/templates/noise", "ImageSeries", data=grey_stack(25))
    sequence = np.random.default_rng(1).permutation(25)
    times = np.concatenate((5 + np.arange(25) / 30, 20 + np.arange(25) / 30))
    file.add_indices("noise", np.tile(sequence, 2), times, "noise")
    stimulus = file.open()
    first, second = stimulus.trials
    assert first.kind == "video"
    assert first.condition == second.condition
    assert levels(stimulus, 0) == (10 * sequence).tolist()


def test_templates_from_zero_to_one_are_scaled_with_a_note(file):
    images = grey_stack(4).astype(np.float32) / 60
    file.add("stimulus/templates/scenes", "ImageSeries", data=images)
    file.add_indices("scenes", [0, 3], [5, 6], "scenes")
    stimulus = file.open()
    assert levels(stimulus, 0) == [0]
    assert levels(stimulus, 1)[0] == round(255 * 30 / 60)
    assert any("from 0 to 1 were scaled" in note for note in stimulus.notes)


def test_templates_of_unknown_grey_levels_leave_conditions_only(file):
    file.add("stimulus/templates/scenes", "ImageSeries", data=grey_stack(4).astype(float) * 99)
    file.add_indices("scenes", [0, 3], [5, 6], "scenes")
    stimulus = file.open()
    assert stimulus.screen is None
    assert [t.condition for t in stimulus.trials] == ["scenes/0", "scenes/3"]
    assert any("found 0 to 2970: its images are not used" in note for note in stimulus.notes)


def test_a_slow_movie_is_a_movie(file):
    file.add("stimulus/templates/movie", "ImageSeries", data=grey_stack(20))
    file.add_indices("movie", np.tile(np.arange(20), 2), 5 + np.arange(40) / 8, "movie")
    assert [row[:2] for row in rows(file.open())] == [("video", "movie")] * 2


def test_stimuli_of_allens_other_files_are_known_by_institution_and_name(file):
    allen_gratings(file, [5.0, 8.0])
    with h5py.File(file.path, "a") as opened:
        opened["general/institution"] = "Allen Institute for Brain Science"
    assert file.open().screen.monitor.warp == "spherical"


def test_whole_numbers_behind_the_recording_count_imaging_frames(file):
    starts, ends = [100, 200, 300, 900], [150, 250, 350, 950]
    file.add_table("intervals/trials", starts, ends, stimulus=np.array([b"a", b"b", b"a", b"b"]))
    stimulus = file.open()
    expected = RESPONSE_SECONDS[[100, 200, 300]]
    assert [t.start_seconds for t in stimulus.trials] == expected.tolist()
    assert [t.end_seconds for t in stimulus.trials] == RESPONSE_SECONDS[[150, 250, 350]].tolist()
    assert any("they count imaging frames" in note for note in stimulus.notes)
    assert any(
        "start behind the end of the recording" in note and "1 of 4" in note
        for note in stimulus.notes
    )


def test_whole_seconds_within_the_recording_are_seconds(file):
    file.add_table("intervals/trials", [5, 10, 70], [8, 13, 80], stimulus=np.array([b"a"] * 3))
    stimulus = file.open()
    assert [t.start_seconds for t in stimulus.trials] == [5, 10]
    assert any(
        "start behind the end of the recording" in note and "1 of 3" in note
        for note in stimulus.notes
    )


def test_rows_without_ends_last_until_the_next_one(file):
    names = np.array([b"b", b"a", b"c"])
    file.add_table("intervals/trials", [9, 5, np.nan], [9, 5, np.nan], stimulus=names)
    stimulus = file.open()
    assert [row[1:4] for row in rows(stimulus)] == [("a", 5.0, 9.0), ("b", 9.0, 61.0)]
    assert any("rows without a start are dropped: 1" in note for note in stimulus.notes)
    assert any("rows have no ends" in note for note in stimulus.notes)


def test_a_row_without_an_end_is_told(file):
    names = np.array([b"a", b"b", b"c"])
    file.add_table("intervals/trials", [5, 9, 15], [7, np.nan, 17], stimulus=names)
    stimulus = file.open()
    assert [row[1:4] for row in rows(stimulus)] == [
        ("a", 5.0, 7.0), ("b", 9.0, 15.0), ("c", 15.0, 17.0)
    ]  # fmt: skip
    assert any("rows without an end last" in note and "1 of 3" in note for note in stimulus.notes)


def test_a_trial_across_the_end_is_cut(file):
    file.add_table("intervals/trials", [5, 58], [8, 65], stimulus=np.array([b"a", b"b"]))
    stimulus = file.open()
    assert stimulus.trials[-1].end_seconds == pytest.approx(61.0)
    assert any("of 2 trials 1 reach beyond it and are cut there" in note for note in stimulus.notes)


@pytest.mark.parametrize(
    ("starts", "ends", "message"),
    [
        ([70.5, 80.5], [75.5, 85.5], "all 2 rows start behind the end of the recording"),
        ([9999, 10000], [10001, 10002], "all 2 rows start behind the end of the recording"),
        ([5.0, 10.0], [8.0, 9.0], "a row ends before it starts: from 10 to 9"),
    ],
)
def test_tables_with_impossible_times_are_refused(file, starts, ends, message):
    file.add_table("intervals/trials", starts, ends, stimulus=np.array([b"a", b"b"]))
    with pytest.raises(RecordingError, match=message) as error:
        file.open()
    assert error.value.hint


def test_a_stimulus_behind_the_end_is_refused(file):
    file.add("stimulus/templates/movie", "ImageSeries", data=grey_stack(3))
    file.add_indices("movie", [0, 1, 2], [100, 100.03, 100.07], "movie")
    with pytest.raises(RecordingError, match=r"the whole stimulus .* is behind the end"):
        file.open()


def test_indices_with_wrong_times_are_refused(file):
    file.add("stimulus/templates/movie", "ImageSeries", data=grey_stack(3))
    file.add_indices("movie", [0, 1, 2], [5, np.nan, 7], "movie")
    with pytest.raises(RecordingError, match="times are not finite"):
        file.open()


def allen_gratings(file, starts, temporal=True, table="drifting_gratings"):
    columns = {"orientation": np.zeros(len(starts)), "spatial_frequency": [0.04] * len(starts)}
    if temporal:
        columns["temporal_frequency"] = np.ones(len(starts))
    length = 2.0 if temporal else 0.25
    file.add_table(f"stimulus/presentation/{table}", starts, np.array(starts) + length, **columns)


def test_grey_between_gratings_is_known_of_allen_only(file):
    allen_gratings(file, [5.0, 8.0])
    assert [t.kind for t in file.open().trials] == ["video", "video"]
    file.make_allen()
    stimulus = file.open()
    assert [row[0] for row in rows(stimulus)] == ["video", "blank", "video"]
    assert levels(stimulus, 1) == [127]
    monitor = stimulus.screen.monitor
    assert (monitor.width_cm, monitor.height_cm, monitor.distance_cm) == (51.9, 32.4, 15.0)
    assert (monitor.warp, monitor.policy) == ("spherical", "the monitor")


def test_one_grating_is_counted_as_one(file):
    allen_gratings(file, [5.0])
    uses = {content.path: content.use for content in file.open().contents}
    assert "stimulus: 1 grating" in uses.values()


def test_gratings_of_an_unknown_monitor_are_told(file):
    allen_gratings(file, [5.0, 8.0])
    assert any("the monitor is not known; gratings are drawn" in n for n in file.open().notes)


def test_epochs_that_a_table_does_not_fill_are_unknown(file):
    file.make_allen()
    allen_gratings(file, [5.0, 5.25, 5.5], temporal=False, table="static_gratings")
    file.add_table("stimulus/presentation/spontaneous_stimulus", [20], [30])
    names = np.array([b"static_gratings", b"spontaneous"])
    file.add_table("intervals/epochs", [5.01, 20.01], [20.01, 30.01], stimulus_type=names)
    stimulus = file.open()
    check_screen(stimulus)
    assert rows(stimulus)[-2:] == [
        ("unknown", None, 5.75, 20.0, 0),
        ("blank", "blank 127", 20.0, 30.0, 2),
    ]
    assert any("14.2 s of its epochs have no known stimulus" in note for note in stimulus.notes)


def test_series_win_over_tables_that_describe_the_same_time(file):
    file.add("stimulus/templates/scenes", "ImageSeries", data=grey_stack(4))
    file.add_indices("scenes", [0, 1, 2], [5, 6, 7], "scenes")
    file.add_table("intervals/trials", [5, 6, 20], [6, 7, 21], stimulus=np.array([b"x"] * 3))
    stimulus = file.open()
    assert [t.condition for t in stimulus.trials] == ["scenes/0", "scenes/1", "scenes/2", "x"]
    assert any("2 of 3 entries overlap" in note for note in stimulus.notes)


def test_named_trials_cut_everything(file):
    file.add("stimulus/templates/scenes", "ImageSeries", data=grey_stack(4))
    file.add_indices("scenes", [0, 1, 2, 3], [5, 6, 7, 8], "scenes")
    file.add_table("intervals/blocks", [5, 7], [7, 9], tier=np.array([b"train", b"test"]))
    stimulus = file.open(trials="intervals/blocks")
    check_screen(stimulus)
    assert [(t.kind, t.tier, t.num_flips) for t in stimulus.trials] == [
        ("image", "train", 2),
        ("image", "test", 3),
    ]
    assert levels(stimulus, 0) == [0, 10]
    table = file.path.with_suffix(".csv")
    table.write_text("start_time,stop_time,stimulus\n5,7,a\n7,9,b\n")
    assert [t.condition for t in file.open(trials=str(table)).trials] == ["a", "b"]


def test_invalid_times_are_not_used(file):
    file.add("stimulus/templates/scenes", "ImageSeries", data=grey_stack(4))
    file.add_indices("scenes", [0, 1, 2, 3], [5, 6, 7, 8], "scenes")
    file.add_table("intervals/invalid_times", [5.9], [7.3])
    stimulus = file.open()
    check_screen(stimulus)
    assert [row[:4] for row in rows(stimulus)] == [
        ("image", "scenes/0", 5.0, 5.9),
        ("invalid", None, 5.9, 7.3),
        ("image", "scenes/2", 7.3, 8.0),
        ("image", "scenes/3", 8.0, 9.0),
    ]


def test_trials_named_like_templates_show_them(file):
    images = {"im1": grey_stack(2)[1], "im10": grey_stack(3)[2]}
    file.add("stimulus/templates/images", "Images", **images)
    file.add("stimulus/templates/clip", "ImageSeries", data=grey_stack(20))
    file.add_rate("stimulus/templates/clip", 10.0)
    names = np.array([b"im10", b"im1", b"clip", b"other"])
    file.add_table("intervals/trials", [5, 6, 7, 20], [6, 7, 8.5, 21], image_name=names)
    stimulus = file.open()
    check_screen(stimulus)
    assert [row[:2] for row in rows(stimulus)] == [
        ("image", "im10"),
        ("image", "im1"),
        ("video", "clip"),
        ("unknown", "other"),
    ]
    assert [levels(stimulus, n) for n in (0, 1)] == [[20], [10]]
    assert levels(stimulus, 2)[:15] == [10 * n for n in range(15)]


def test_tables_that_are_not_used_may_have_any_times(file):
    file.add_table("intervals/licks", [500, 600], [501, 601])
    file.add_table("intervals/epochs", [500.5], [600.5], stimulus_type=np.array([b"x"]))
    stimulus = file.open()
    assert stimulus.trials == ()
    assert any("all 1 rows start behind" in note for note in stimulus.notes)


def test_columns_of_another_length_are_told_or_refused(file):
    file.add_table("intervals/trials", [5, 9], [7, 12], stimulus=np.array([b"a"] * 3))
    file.add("intervals/blocks", "TimeIntervals", stop_time=np.array([7.0, 12.0]))
    with open_tree(file.path) as root:
        stimulus = open_stimulus(root, OpenOptions(), response_seconds=RESPONSE_SECONDS)
        assert [trial.condition for trial in stimulus.trials] == [None, None]
        assert root.problems == [
            "/intervals/blocks: not taken, because it has no `start_time`",
            "/intervals/trials/stimulus has 3 values for 2 rows and is not used",
        ]
    file.add_table("intervals/scenes", [15, 19], [16])
    with pytest.raises(RecordingError, match="scenes/stop_time has 1 value for 2 rows"):
        file.open()


def test_a_table_of_the_user_may_have_semicolons_and_must_be_text(file, tmp_path):
    table = tmp_path / "trials.csv"
    table.write_text("start;stop;stimulus\n5;7;a\n9;12;b\n")
    assert [t.end_seconds for t in file.open(trials=str(table)).trials] == [7, 12]
    table.write_bytes(b"start,stop,stimulus\n5,7,gr\xf6n\n")
    with pytest.raises(RecordingError, match=r"trials\.csv is no table of trials"):
        file.open(trials=str(table))
