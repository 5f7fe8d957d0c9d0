"""Films that show what was on the screen, in the file and beside it."""

import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.hdf5_node import HDF5Node
from tests.recording.nwb.stimulus_file import (
    StimulusFile,
    check_screen,
    grey_stack,
    levels,
    make_film,
    rows,
)

h5py = pytest.importorskip("h5py")


@pytest.fixture
def file(tmp_path):
    return StimulusFile(tmp_path / "session.nwb")


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


def test_a_blank_trial_of_a_film_stays_blank(file):
    make_film(file)
    file.add_table("intervals/trials", [5, 8], [8, 10], stimulus=np.array([b"a", b"grey"]))
    stimulus = file.open()
    (number,) = [n for n, trial in enumerate(stimulus.trials) if trial.condition == "grey"]
    assert stimulus.trials[number].kind == "blank"
    assert set(levels(stimulus, number)) == {90}


def test_blanks_by_name_are_grey_where_other_trials_have_frames(file):
    make_film(file)
    names = np.array([b"a", b"blank", b"b"])
    file.add_table("intervals/trials", [5, 40, 45], [8, 43, 48], stimulus=names)
    stimulus = file.open()
    check_screen(stimulus)
    assert [row[:2] for row in rows(stimulus)][-2:] == [("blank", "blank"), ("unknown", "b")]
    assert stimulus.trials[-1].num_flips == 0
    assert levels(stimulus, len(stimulus.trials) - 2)[0] == 127


def test_a_named_stimulus_is_the_only_one(file):
    make_film(file)
    file.add("stimulus/templates/scenes", "ImageSeries", data=grey_stack(4))
    file.add_indices("scenes", [0, 1], [40, 41], "scenes")
    stimulus = file.open(stimulus="/stimulus/presentation/scenes_stimulus")
    assert Counter(t.kind for t in stimulus.trials) == {"image": 2}
    with pytest.raises(RecordingError, match="has no stimulus/x, which --stimulus names") as error:
        file.open(stimulus="stimulus/x")
    assert "one of: /stimulus/presentation/" in error.value.hint
    with pytest.raises(RecordingError, match=r"has no trials\.csv, which --trials names") as error:
        file.open(trials="trials.csv")
    assert error.value.hint == "the file has none"
    file.add("intervals/t", "TimeIntervals", start_time=[1.0], stop_time=[2.0])
    with pytest.raises(RecordingError, match="which --trials names") as error:
        file.open(trials="trials")
    assert error.value.hint == "--trials takes one of: /intervals/t"


def test_a_film_that_is_no_film_is_told_and_named_it_is_refused(file):
    file.add("stimulus/presentation/film", "ImageSeries", data=np.zeros((5, 6)))
    file.add_rate("stimulus/presentation/film", 10.0)
    assert any("must hold frames as" in n or "must hold images" in n for n in file.open().notes)
    with pytest.raises(RecordingError, match=r"named by --stimulus: .* not used"):
        file.open(stimulus="stimulus/presentation/film")
    other = StimulusFile(file.path.with_name("other.nwb"))
    other.add("stimulus/presentation/film", "ImageSeries", data=grey_stack(5))
    other.add_rate("stimulus/presentation/film", float("nan"))
    assert any("neither timestamps nor a positive rate" in note for note in other.open().notes)


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
