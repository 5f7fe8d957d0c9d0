"""Trials, flips and frames become a screen whose every moment is what was shown."""

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.source import Folder
from omnimouse_cli.recording.arrays.stimulus import open_stimulus
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.recording import latest_index


def open_folder(folder, **options):
    source = Folder(path=folder)
    return open_stimulus(source, OpenOptions(**options), zero_seconds=0.0, monitor=None)


def shown_at(stimulus, seconds):
    """Return the frames at some times, through trials as a shard has them."""
    frames = [
        stimulus.screen.read_frames(number, 0, trial.num_flips)
        for number, trial in enumerate(stimulus.trials)
        if trial.num_flips
    ]
    return np.concatenate(frames)[latest_index(stimulus.screen.flip_seconds, seconds)]


@pytest.fixture
def side(tmp_path, write_side_files):
    folder = tmp_path / "m1"
    return folder, write_side_files(folder)["frames"]


def test_trials_and_the_grey_between_them(side):
    folder, frames = side
    stimulus = open_folder(folder)
    trials = stimulus.trials
    assert [trial.kind for trial in trials] == ["video", "blank"] * 9
    assert [trial.condition for trial in trials[:6:2]] == ["clip1", "clip0", "clip0"]
    assert trials[1].condition == "blank 128"
    assert (trials[2].start_seconds, trials[2].end_seconds, trials[2].num_flips) == (5, 7, 20)
    assert trials[1].num_flips == 1
    assert sum(trial.num_flips for trial in trials) == len(stimulus.screen.flip_seconds) == 189
    moments = np.array([2.0, 2.15, 4.5, 5.0, 6.95, 7.0, 28.3])
    expected = frames[[20, 21, 40, 0, 19, 40, 40]]
    np.testing.assert_array_equal(shown_at(stimulus, moments), expected)
    np.testing.assert_array_equal(stimulus.screen.read_frames(2, 3, 9), frames[3:9])
    assert stimulus.screen.monitor.policy == "the template, stretched"


def test_a_trial_whose_logged_times_are_a_little_off_has_the_same_frames(side):
    folder, _ = side
    lines = (folder / "trials.csv").read_text().splitlines()
    shifted = [lines[0]]
    for line, off in zip(lines[1:], np.tile([-0.012, 0.0, 0.015], 3), strict=True):
        start, end, name = line.split(",")
        shifted.append(f"{float(start) + off},{float(end) + off},{name}")
    (folder / "trials.csv").write_text("\n".join(shifted))
    trials = open_folder(folder).trials
    assert [trial.num_flips for trial in trials if trial.kind == "video"] == [20] * 9
    assert [trial.kind for trial in trials] == ["video", "blank"] * 9


def test_a_trial_that_begins_between_flips_begins_with_the_frame_that_is_held(side):
    folder, frames = side
    (folder / "trials.csv").write_text("start_s,duration_s,stimulus\n4.5,1.5,late\n")
    stimulus = open_folder(folder)
    late = next(n for n, trial in enumerate(stimulus.trials) if trial.condition == "late")
    assert stimulus.trials[late].start_seconds == 4.5
    np.testing.assert_array_equal(
        stimulus.screen.read_frames(late, 0, 11), frames[[40, *range(10)]]
    )
    assert any("lie in no trial and are not used" in note for note in stimulus.notes)


def test_an_image_that_is_flipped_again_and_again_is_an_image(side):
    folder, frames = side
    seconds = np.arange(120) / 10
    shown = np.where(seconds < 4, 7, np.where(seconds < 8, 40, 7))
    np.save(folder / "stimulus/flips.npy", np.stack((seconds, shown), axis=1))
    (folder / "stimulus/flips.csv").unlink()
    (folder / "trials.csv").write_text("start_s,end_s\n0,4\n8,12\n")
    stimulus = open_folder(folder)
    assert [(t.kind, t.condition) for t in stimulus.trials] == [
        ("image", "frame 7"),
        ("blank", "blank 128"),
        ("image", "frame 7"),
    ]
    # The screen is known until its last flip.
    assert stimulus.screen.flip_seconds[-1] == pytest.approx(11.9)
    np.testing.assert_array_equal(shown_at(stimulus, np.array([3.9, 7.9])), frames[[7, 40]])


def test_a_long_grey_at_the_end_is_known_until_its_last_flip(side):
    folder, _ = side
    seconds = np.arange(300) / 10
    shown = np.where(seconds < 4, np.arange(300) % 40, 40)
    np.save(folder / "stimulus/flips.npy", np.stack((seconds, shown), axis=1))
    (folder / "stimulus/flips.csv").unlink()
    (folder / "trials.csv").write_text("start_s,end_s,stimulus\n0,4,clip\n")
    stimulus = open_folder(folder)
    assert [t.kind for t in stimulus.trials] == ["video", "blank"]
    assert stimulus.trials[1].num_flips == 2
    assert stimulus.screen.flip_seconds[-1] == pytest.approx(29.9)


def test_without_trials_runs_of_frames_are_trials_and_repeats_have_one_name(side):
    folder, _ = side
    (folder / "trials.csv").unlink()
    stimulus = open_folder(folder)
    assert [trial.kind for trial in stimulus.trials] == ["video", "blank"] * 9
    names = {trial.condition for trial in stimulus.trials if trial.kind == "video"}
    assert names == {"frames 0-19", "frames 20-39"}
    assert any("no table of trials" in note for note in stimulus.notes)


def test_without_trials_a_long_movie_is_cut_into_pieces(side):
    folder, frames = side
    (folder / "trials.csv").unlink()
    generator = np.random.default_rng(0)
    shown = generator.integers(0, 40, 300)
    np.save(folder / "stimulus/flips.npy", np.stack((np.arange(300) / 10, shown), axis=1))
    (folder / "stimulus/flips.csv").unlink()
    stimulus = open_folder(folder)
    assert [trial.num_flips for trial in stimulus.trials] == [100, 100, 100]
    assert len({trial.condition for trial in stimulus.trials}) == 3
    moments = np.arange(300) / 10 + 0.05
    np.testing.assert_array_equal(shown_at(stimulus, moments), frames[shown])


def test_without_frame_numbers_frames_are_shown_one_after_the_other(side):
    folder, frames = side
    np.save(folder / "stimulus/flips.npy", 1 + np.arange(41) / 2)
    (folder / "stimulus/flips.csv").unlink()
    moments = np.array([2.0, 5.3, 21.0])
    np.testing.assert_array_equal(shown_at(open_folder(folder), moments), frames[[2, 8, 40]])


def test_without_frames_trials_keep_names_and_tiers_and_the_stimulus_is_unknown(side):
    folder, _ = side
    (folder / "stimulus/frames.npy").unlink()
    (folder / "stimulus/flips.csv").unlink()
    (folder / "trials.csv").write_text(
        "onset,duration,trial_type,tier,kind\n4,2,b,test,\n1,2,a,train,blank\n"
    )
    stimulus = open_folder(folder)
    assert stimulus.screen is None
    assert [(t.condition, t.tier, t.kind) for t in stimulus.trials] == [
        ("a", "train", "blank"),
        ("b", "test", "unknown"),
    ]
    assert "sorted by start" in stimulus.notes[0]


def test_other_columns_of_trials_are_told(side):
    folder, _ = side
    table = folder / "trials.csv"
    table.write_text("start,stop,name\n2,4,clip\n5,7,clip\n")
    note = open_folder(folder).notes[0]
    assert note.startswith("trials: columns not used: name; stimuli are named by a column stimulus")
    table.write_text("start_s,end_s,stimulus,comment\n2,4,a,good\n5,7,a,\n")
    stimulus = open_folder(folder)
    assert stimulus.notes[0] == "trials: columns not used: comment"
    assert [trial.condition for trial in stimulus.trials if trial.kind == "video"] == ["a", "a"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("stimulus/flips.csv", "seconds,frame\n1,0\n0.5,1\n", "times must ascend, but row 1"),
        ("stimulus/flips.csv", "seconds,frame\n1,0\n2,41\n", "flip 1 shows frame 41.*41 frames"),
        ("stimulus/flips.csv", "seconds,frame\n1,0\n2,-1\n", "whole numbers from 0 on.*-1"),
        ("stimulus/flips.csv", "seconds,frame\n1,0\n2,\n", "whole numbers from 0 on.*nan"),
        ("stimulus/flips.csv", "frame\n1\n2\n", "no column of times"),
        ("stimulus/flips.csv", "seconds,frame\n", "is empty: it has no times"),
        ("trials.csv", "start_seconds,stimulus\n1,a\n", "must have the columns `start_seconds`"),
        ("trials.csv", "start_s,end_s\n1,2\n3,3\n", "line 3: a trial must end after it starts"),
        ("trials.csv", "start_s,end_s\n1,2\n3,\n", "line 3: a trial must end after it starts"),
        ("trials.csv", "start_s,end_s\n1,4\n3,5\n", "line 3: the trial starts at 3.000 s, 1.000"),
        ("trials.csv", "start_s,end_s,kind\n1,2,film\n", "line 2: `kind` must be one of video"),
    ],
)
def test_a_wrong_table_is_one_sentence(side, name, content, message):
    folder, _ = side
    (folder / name).write_text(content)
    with pytest.raises(RecordingError, match=message):
        open_folder(folder)


@pytest.mark.parametrize("name", ["frames.npy", "flips.csv"])
def test_flips_without_frames_and_frames_without_flips_are_refused(side, name):
    folder, _ = side
    (folder / "stimulus" / name).unlink()
    with pytest.raises(RecordingError, match="what was shown when is not known"):
        open_folder(folder)


def test_frames_that_may_be_counted_from_1_are_told(side):
    folder, _ = side
    (folder / "stimulus/flips.csv").write_text("seconds,frame\n1,1\n2,2\n3,3\n")
    assert "flips: frame 0 is never shown" in " ".join(open_folder(folder).notes)


def test_small_overlaps_are_cut_with_a_note(side):
    folder, _ = side
    (folder / "trials.csv").write_text("start_s,end_s\n5,8.05\n8,10\n")
    stimulus = open_folder(folder)
    assert [t.end_seconds for t in stimulus.trials if t.kind == "video"] == [8.0, 10.0]
    assert any("start of the next one are cut: 1" in note for note in stimulus.notes)


def test_what_is_shown_long_after_the_last_flip_is_not_known(side):
    folder, _ = side
    with (folder / "trials.csv").open("a") as stream:
        stream.write("\n60,62,clip1\n")
    stimulus = open_folder(folder)
    assert (stimulus.trials[-1].kind, stimulus.trials[-1].num_flips) == ("unknown", 0)
    assert stimulus.trials[-2].end_seconds < 30
    assert any(
        "trials that end before the first flip" in n and ": 1 of 10" in n for n in stimulus.notes
    )
