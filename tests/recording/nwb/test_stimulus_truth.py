"""The stimulus of simulated recordings of known data sets is what their truths say."""

from collections import Counter

import numpy as np
import pytest

from omnimouse_cli.recording.nwb.stimulus import open_stimulus
from omnimouse_cli.recording.nwb.tree import open_tree
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.recording import latest_index

pytest.importorskip("h5py")

STIM_A = ("allen_000728/truth_StimA.npz", "allen_000728/*StimA_behavior*.nwb")
STIM_B = ("allen_000728/truth_StimB.npz", "allen_000728/*StimB_behavior*.nwb")
MICRONS = ("microns_000402/truth.npz", "microns_000402/*.nwb")
NWB_1 = ("allen_nwb1/truth.npz", "allen_nwb1/*.nwb")
ALLEN_39 = ("allen_000039/truth.npz", "allen_000039/*.nwb")
LAB = ("lab_nwb/truth.npz", "lab_nwb/*.nwb")
ZARR_B = ("allen_000728/truth_StimB.npz", "nwb_zarr/*StimB*.zarr")
ZARR_LAB = ("lab_nwb/truth.npz", "nwb_zarr/*m12*.zarr")


@pytest.fixture(scope="module")
def load(shared_folder):
    """`load(pair)` returns the truth and the stimulus of a set, read once."""
    loaded = {}

    def read(pair):
        if pair not in loaded:
            folder = shared_folder / "data/formats"
            if not folder.is_dir():
                pytest.skip("the test recordings of other formats are not there")
            if pair[1].endswith(".zarr"):
                pytest.importorskip("zarr")
            truth = dict(np.load(folder / pair[0]))
            (path,) = folder.glob(pair[1])
            with open_tree(path) as root:
                seconds = truth["response_times"]
                loaded[pair] = truth, open_stimulus(root, OpenOptions(), response_seconds=seconds)
        return loaded[pair]

    return read


def find(trials, seconds):
    """The trial that begins next to each time."""
    starts = np.array([trial.start_seconds for trial in trials])
    numbers = [int(np.argmin(np.abs(starts - second))) for second in seconds]
    assert np.abs(starts[numbers] - seconds).max() < 0.005
    return [trials[number] for number in numbers]


@pytest.mark.parametrize(
    ("pair", "kinds"),
    [
        (STIM_A, {"video": 20, "blank": 17}),
        (STIM_B, {"image": 87, "blank": 7, "video": 5, "unknown": 1}),
        (ZARR_B, {"image": 87, "blank": 7, "video": 5, "unknown": 1}),
        (MICRONS, {"video": 16, "blank": 16}),
        (NWB_1, {"image": 45, "video": 11, "blank": 15}),
        (ALLEN_39, {"video": 46, "blank": 57}),
        (LAB, {"video": 28, "blank": 7}),
        (ZARR_LAB, {"video": 28, "blank": 7}),
    ],
)
def test_trials_and_conditions(load, pair, kinds):
    truth, stimulus = load(pair)
    assert Counter(trial.kind for trial in stimulus.trials) == kinds
    usable = truth.get("trial_usable", np.ones(len(truth["trial_start"]), bool))
    named = truth.get("trial_condition", np.full(len(usable), "?")) != ""
    trials = find(stimulus.trials, truth["trial_start"][usable & named])
    ends = np.array([trial.end_seconds for trial in trials])
    # NWB 1 gives ends in imaging frames, of 33 ms.
    np.testing.assert_allclose(ends, truth["trial_end"][usable & named], atol=0.035, rtol=0)
    if "trial_condition" in truth:
        expected = truth["trial_condition"][usable & named]
        pairs = {(t.condition, str(c)) for t, c in zip(trials, expected, strict=True)}
        assert len(pairs) == len(set(expected)) == len({t.condition for t in trials})


@pytest.mark.parametrize("pair", [STIM_A, STIM_B, ZARR_B, MICRONS, NWB_1])
def test_frames(load, pair):
    truth, stimulus = load(pair)
    expected = truth.get("frames_monitor", truth.get("frames"))
    flips = latest_index(stimulus.screen.flip_seconds, truth["frame_seconds"])
    firsts = np.array([trial.first_flip for trial in stimulus.trials])
    numbers = np.searchsorted(firsts, flips, side="right") - 1
    for frame, flip, number in zip(expected, flips, numbers, strict=True):
        at = int(flip - firsts[number])
        shown = stimulus.screen.read_frames(int(number), at, at + 1)[0]
        assert np.abs(shown.astype(int) - frame).mean() < 0.3


def test_the_stimulus_of_61_flashes_is_unknown(load):
    truth, stimulus = load(STIM_B)
    unusable = ~truth["trial_usable"]
    (unknown,) = [trial for trial in stimulus.trials if trial.kind == "unknown"]
    assert unknown.start_seconds == pytest.approx(truth["trial_start"][unusable][0], abs=0.001)
    assert unknown.end_seconds == pytest.approx(truth["trial_end"][unusable][-1], abs=0.01)


def test_contrast_matters(load):
    truth, stimulus = load(ALLEN_39)
    trials = find(stimulus.trials, truth["trial_start"])
    for trial, contrast in zip(trials, truth["gratings"][:, 0], strict=True):
        number = stimulus.trials.index(trial)
        frames = stimulus.screen.read_frames(number, 0, trial.num_flips).astype(int)
        expected = 0 if np.isnan(contrast) else contrast * 127
        # An average over pixels of 3 degrees takes little from gratings of 25 degrees.
        assert np.abs(frames - 127).max() == pytest.approx(expected, abs=2, rel=0.03)


def test_notes_name_what_was_assumed(load):
    assert any("imaging frames" in note for note in load(ALLEN_39)[1].notes)
    assert any("15.2 s of its epochs" in note for note in load(STIM_B)[1].notes)
    assert any("stimulus_m12.avi, which is absent" in note for note in load(LAB)[1].notes)
    assert load(MICRONS)[1].notes == ("screen: frames show the monitor",)
