"""The stimulus of small files: series, films, tables, and what they say of one time."""

import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.hdf5_node import HDF5Node
from omnimouse_cli.recording.nwb.stimulus import open_stimulus
from omnimouse_cli.recording.nwb.tree import open_tree
from omnimouse_cli.recording.options import OpenOptions

h5py = pytest.importorskip("h5py")

RESPONSE_SECONDS = np.arange(1.0, 61.0, 0.1)


class File:
    """Writes a file and opens its stimulus."""

    def __init__(self, path):
        self.path = path
        with h5py.File(path, "w") as file:
            file.attrs["nwb_version"] = "2.6.0"

    def add(self, path, neurodata_type, links=(), attributes=(), **datasets):
        with h5py.File(self.path, "a") as file:
            group = file.create_group(path)
            group.attrs["neurodata_type"] = neurodata_type
            group.attrs.update(dict(attributes))
            for name, values in datasets.items():
                group[name] = values
            for name, target in dict(links).items():
                group[name] = h5py.SoftLink(target)

    def add_rate(self, path, rate):
        with h5py.File(self.path, "a") as file:
            file[f"{path}/starting_time"] = 2.0
            file[f"{path}/starting_time"].attrs["rate"] = rate

    def make_allen(self):
        self.add(
            "general/devices/StimulusDisplay",
            "Device",
            attributes={"description": "An ASUS PA248Q monitor used to display visual stimuli."},
        )

    def add_indices(self, name, indices, times, templates, link="indexed_timeseries"):
        self.add(
            f"stimulus/presentation/{name}_stimulus",
            "IndexSeries",
            links={link: f"/stimulus/templates/{templates}"} if templates else {},
            data=np.asarray(indices),
            timestamps=np.asarray(times, float),
        )

    def add_table(self, path, starts, ends, **columns):
        self.add(
            path,
            "TimeIntervals",
            start_time=np.asarray(starts, float),
            stop_time=np.asarray(ends, float),
            **columns,
        )

    def open(self, response_seconds=RESPONSE_SECONDS, **options):
        with open_tree(self.path) as root:
            return open_stimulus(root, OpenOptions(**options), response_seconds=response_seconds)


@pytest.fixture
def file(tmp_path):
    return File(tmp_path / "session.nwb")


def levels(stimulus, number):
    """The grey level of each frame of a trial, which must be of one level."""
    trial = stimulus.trials[number]
    frames = stimulus.screen.read_frames(number, 0, trial.num_flips)
    assert frames.shape == (trial.num_flips, 36, 64)
    assert (frames == frames[:, :1, :1]).all()
    return frames[:, 0, 0].tolist()


def rows(stimulus):
    return [
        (t.kind, t.condition, round(t.start_seconds, 3), round(t.end_seconds, 3), t.num_flips)
        for t in stimulus.trials
    ]


def grey_stack(num_images, step=10, shape=(72, 128)):
    """Images of one grey level each: 0, 10, 20, ..."""
    return np.full((num_images, *shape), 1, np.uint8) * (
        np.arange(num_images, dtype=np.uint8)[:, None, None] * step
    )


def check_screen(stimulus):
    """Every flip belongs to one trial, flips ascend and lie within their trial."""
    flips, first = stimulus.screen.flip_seconds, 0
    assert (np.diff(flips) > 0).all()
    for trial in stimulus.trials:
        assert trial.first_flip == first
        first += trial.num_flips
        own = flips[trial.first_flip : first]
        assert not len(own) or (own[0] == trial.start_seconds and own[-1] < trial.end_seconds)
    assert first == len(flips)
    ends = [trial.end_seconds for trial in stimulus.trials]
    assert all(e <= t.start_seconds for e, t in zip(ends, stimulus.trials[1:], strict=False))


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
    late = File(file.path.with_name("late.nwb"))
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


def make_film(file, path="acquisition/Video: stimulus_1", color=True):
    """A film of 30 s at 10 Hz from 2 s on: 100 + 10 k in second k of a clip, grey 90 between."""
    seconds = 2 + np.arange(300) / 10
    level = np.full(300, 90)
    for start in (5, 10, 15, 20):
        inside = (seconds >= start - 1e-9) & (seconds < start + 3 - 1e-9)
        level[inside] = 100 + 10 * (np.arange(inside.sum()) // 10) + (start == 20)
    frames = np.broadcast_to(level[:, None, None].astype(np.uint8), (300, 36, 64))
    data = np.repeat(frames[..., None], 3, axis=3) if color else frames
    file.add(path, "ImageSeries", data=data, timestamps=seconds)
    return level


def test_tables_cut_a_film_and_the_rest_of_it_is_grey(file):
    make_film(file)
    hashes = np.array([b"aa", b"bb", b"aa"])
    file.add_table("intervals/Clip", [4.97, 10.02, 15.04], [7.96, 13, 18], condition_hash=hashes)
    file.add_table("intervals/Monet2", [20], [23], condition_hash=np.array([b"cc"]))
    stimulus = file.open()
    check_screen(stimulus)
    assert len(stimulus.screen.flip_seconds) == 300
    assert [row[:2] for row in rows(stimulus)] == [
        ("blank", "blank 90"),
        ("video", "aa"),
        ("blank", "blank 90"),
        ("video", "bb"),
        ("blank", "blank 90"),
        ("video", "aa"),
        ("blank", "blank 90"),
        ("video", "cc"),
        ("blank", "blank 90"),
    ]
    # Rows begin at the flip next to their times, so that repeats have the same frames.
    clips = [number for number, trial in enumerate(stimulus.trials) if trial.kind == "video"]
    starts = [stimulus.trials[number].start_seconds for number in clips]
    assert starts == pytest.approx([5, 10, 15, 20])
    expected = np.repeat([100, 110, 120], 10).tolist()
    assert [levels(stimulus, n) for n in clips[:3]] == [expected] * 3
    assert stimulus.screen.monitor.policy == "the monitor"


def test_a_film_without_a_table_is_cut_to_named_pieces(file):
    frames = np.random.default_rng(0).integers(0, 255, (300, 36, 64), dtype=np.uint8)
    file.add("stimulus/presentation/film", "ImageSeries", data=frames)
    file.add_rate("stimulus/presentation/film", 10.0)
    stimulus = file.open()
    check_screen(stimulus)
    assert [t.condition for t in stimulus.trials] == [
        "film frame 0",
        "film frame 100",
        "film frame 200",
    ]
    read = np.concatenate([stimulus.screen.read_frames(n, 0, 100) for n in range(3)])
    np.testing.assert_array_equal(read, frames)


def test_an_optical_series_states_the_monitor(file):
    make_film(file, "stimulus/presentation/film")
    with h5py.File(file.path, "a") as opened:
        group = opened["stimulus/presentation/film"]
        group.attrs["neurodata_type"] = "OpticalSeries"
        group["distance"] = 0.2
        group["field_of_view"] = [0.5, 0.3]
    monitor = file.open().screen.monitor
    size = monitor.width_cm, monitor.height_cm, monitor.distance_cm
    assert size == pytest.approx((50.0, 30.0, 20.0))


def test_films_of_the_eye_are_no_stimulus(file):
    make_film(file, "acquisition/eye_camera")
    assert file.open().trials == ()


def test_an_absent_film_leaves_trials_without_a_screen(file):
    file.add(
        "stimulus/presentation/film",
        "ImageSeries",
        data=np.zeros((0, 0, 0), np.uint8),
        external_file=np.array([b"./film.avi"]),
    )
    file.add_table(
        "intervals/trials", [5, 10, 15], [8, 13, 18], stimulus=np.array([b"a", b"blank", b"a"])
    )
    stimulus = file.open()
    assert stimulus.screen is None
    assert [row[:2] for row in rows(stimulus)] == [
        ("video", "a"),
        ("blank", "blank"),
        ("video", "a"),
    ]
    assert any("film.avi, which is absent" in note for note in stimulus.notes)


class FakeCapture:
    """OpenCV's reader of a film of 40 frames, which goes to every tenth frame only."""

    def __init__(self, path):
        self.is_open = path.endswith("film.avi")
        self.at = 0

    def isOpened(self):  # noqa: N802 - OpenCV's name
        return self.is_open

    def get(self, name):
        return 40.0 if name == "count" else float(self.at)

    def set(self, _name, number):
        self.at = number // 10 * 10

    def read(self):
        if self.at >= 40:
            return False, None
        self.at += 1
        frame = np.zeros((72, 128, 3), np.uint8)
        # Blue, green, red.
        frame[...] = 0, 0, 5 * (self.at - 1)
        return True, frame

    def release(self):
        self.is_open = False


def test_a_film_beside_the_file_is_decoded_with_opencv(file, monkeypatch):
    file.add(
        "stimulus/presentation/film",
        "ImageSeries",
        data=np.zeros((0, 0, 0), np.uint8),
        external_file=np.array([b"film.avi"]),
    )
    file.add_rate("stimulus/presentation/film", 10.0)
    names = np.array([b"a", b"b"])
    file.add_table("intervals/trials", [2.5, 4], [3.5, 5], stimulus=names)
    file.path.with_name("film.avi").write_bytes(b"RIFF")
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert any("pip install opencv-python-headless" in note for note in file.open().notes)
    opencv = SimpleNamespace(
        VideoCapture=FakeCapture, CAP_PROP_FRAME_COUNT="count", CAP_PROP_POS_FRAMES="position"
    )
    monkeypatch.setitem(sys.modules, "cv2", opencv)
    stimulus = file.open()
    check_screen(stimulus)
    (first,) = [n for n, t in enumerate(stimulus.trials) if t.condition == "a"]
    assert levels(stimulus, first) == [round(0.299 * 5 * n) for n in range(5, 15)]
    (second,) = [n for n, t in enumerate(stimulus.trials) if t.condition == "b"]
    assert levels(stimulus, second)[:10] == [round(0.299 * 5 * n) for n in range(20, 30)]


def test_a_slow_movie_is_a_movie(file):
    file.add("stimulus/templates/movie", "ImageSeries", data=grey_stack(20))
    file.add_indices("movie", np.tile(np.arange(20), 2), 5 + np.arange(40) / 8, "movie")
    assert [row[:2] for row in rows(file.open())] == [("video", "movie")] * 2


def test_a_blank_trial_of_a_film_stays_blank(file):
    make_film(file)
    file.add_table("intervals/trials", [5, 8], [8, 10], stimulus=np.array([b"a", b"grey"]))
    stimulus = file.open()
    (number,) = [n for n, trial in enumerate(stimulus.trials) if trial.condition == "grey"]
    assert stimulus.trials[number].kind == "blank"
    assert set(levels(stimulus, number)) == {90}


def test_stimuli_of_allens_other_files_are_known_by_institution_and_name(file):
    allen_gratings(file, [5.0, 8.0])
    with h5py.File(file.path, "a") as opened:
        opened["general/institution"] = "Allen Institute for Brain Science"
    assert file.open().screen.monitor.warp == "spherical"


def test_blanks_by_name_are_grey_where_other_trials_have_frames(file):
    make_film(file)
    names = np.array([b"a", b"blank", b"b"])
    file.add_table("intervals/trials", [5, 40, 45], [8, 43, 48], stimulus=names)
    stimulus = file.open()
    check_screen(stimulus)
    assert [row[:2] for row in rows(stimulus)][-2:] == [("blank", "blank"), ("unknown", "b")]
    assert stimulus.trials[-1].num_flips == 0
    assert levels(stimulus, len(stimulus.trials) - 2)[0] == 127


def test_whole_numbers_behind_the_recording_count_imaging_frames(file):
    starts, ends = [100, 200, 300, 900], [150, 250, 350, 950]
    file.add_table("intervals/trials", starts, ends, stimulus=np.array([b"a", b"b", b"a", b"b"]))
    stimulus = file.open()
    expected = RESPONSE_SECONDS[[100, 200, 300]]
    assert [t.start_seconds for t in stimulus.trials] == expected.tolist()
    assert [t.end_seconds for t in stimulus.trials] == RESPONSE_SECONDS[[150, 250, 350]].tolist()
    assert any("they count imaging frames" in note for note in stimulus.notes)
    assert any("1 of 4 rows start behind the end" in note for note in stimulus.notes)


def test_whole_seconds_within_the_recording_are_seconds(file):
    file.add_table("intervals/trials", [5, 10, 70], [8, 13, 80], stimulus=np.array([b"a"] * 3))
    stimulus = file.open()
    assert [t.start_seconds for t in stimulus.trials] == [5, 10]
    assert any("1 of 3 rows start behind the end" in note for note in stimulus.notes)


def test_rows_without_ends_last_until_the_next_one(file):
    names = np.array([b"b", b"a", b"c"])
    file.add_table("intervals/trials", [9, 5, np.nan], [9, 5, np.nan], stimulus=names)
    stimulus = file.open()
    assert [row[1:4] for row in rows(stimulus)] == [("a", 5.0, 9.0), ("b", 9.0, 61.0)]
    assert any("1 rows without a start are dropped" in note for note in stimulus.notes)
    assert any("rows have no ends" in note for note in stimulus.notes)


def test_a_trial_across_the_end_is_cut(file):
    file.add_table("intervals/trials", [5, 58], [8, 65], stimulus=np.array([b"a", b"b"]))
    stimulus = file.open()
    assert stimulus.trials[-1].end_seconds == pytest.approx(61.0)
    assert any("1 are cut there" in note for note in stimulus.notes)


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


def test_a_named_stimulus_is_the_only_one(file):
    make_film(file)
    file.add("stimulus/templates/scenes", "ImageSeries", data=grey_stack(4))
    file.add_indices("scenes", [0, 1], [40, 41], "scenes")
    stimulus = file.open(stimulus="/stimulus/presentation/scenes_stimulus")
    assert Counter(t.kind for t in stimulus.trials) == {"image": 2}
    with pytest.raises(RecordingError, match="has no stimulus/x, which --stimulus names"):
        file.open(stimulus="stimulus/x")
    with pytest.raises(RecordingError, match=r"has no trials\.csv, which --trials names"):
        file.open(trials="trials.csv")


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


def test_a_film_that_is_no_film_is_told_and_named_it_is_refused(file):
    file.add("stimulus/presentation/film", "ImageSeries", data=np.zeros((5, 6)))
    file.add_rate("stimulus/presentation/film", 10.0)
    assert any("must hold frames as" in n or "must hold images" in n for n in file.open().notes)
    with pytest.raises(RecordingError, match=r"named by --stimulus: .* not used"):
        file.open(stimulus="stimulus/presentation/film")
    other = File(file.path.with_name("other.nwb"))
    other.add("stimulus/presentation/film", "ImageSeries", data=grey_stack(5))
    other.add_rate("stimulus/presentation/film", float("nan"))
    assert any("neither timestamps nor a positive rate" in note for note in other.open().notes)


def test_tables_that_are_not_used_may_have_any_times(file):
    file.add_table("intervals/licks", [500, 600], [501, 601])
    file.add_table("intervals/epochs", [500.5], [600.5], stimulus_type=np.array([b"x"]))
    stimulus = file.open()
    assert stimulus.trials == ()
    assert any("all 1 rows start behind" in note for note in stimulus.notes)


def test_a_long_stretch_of_a_film_is_looked_at_in_single_frames(file, monkeypatch):
    make_film(file)
    read = []
    original = HDF5Node.read
    monkeypatch.setattr(
        HDF5Node, "read", lambda node, *span: (read.append(span), original(node, *span))[1]
    )
    file.add_table("intervals/Clip", [20], [23], condition_hash=np.array([b"cc"]))
    file.open()
    assert max((span[1] - span[0] for span in read if len(span) == 2), default=0) == 1


def test_contents_name_every_source(file):
    make_film(file)
    file.add("stimulus/templates/scenes", "ImageSeries", data=grey_stack(4))
    file.add("stimulus/templates/unused", "ImageSeries", data=grey_stack(4))
    file.add_indices("scenes", [0, 1], [40, 41], "scenes")
    file.add_table("intervals/licks", [5], [6])
    uses = {content.path: content.use for content in file.open().contents}
    assert uses == {
        "/acquisition/Video: stimulus_1": "stimulus: a film of 300 frames",
        "/intervals/licks": "not taken: no column names a stimulus",
        "/stimulus/presentation/scenes_stimulus": "stimulus: 2 flashes, 0 times grey",
        "/stimulus/templates/scenes": "templates: 4 images",
        "/stimulus/templates/unused": "not taken: no series shows it",
    }
