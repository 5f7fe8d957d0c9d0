"""The output of suite2p 0.x and 1.x is a recording of its cells."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.suite2p.session import is_session

RATE_HZ = 8.0


def save_dict(path, **values):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array(values, object), allow_pickle=True)


def listing(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


class Run:
    """A suite2p folder of two planes, and what it holds."""

    def __init__(self, folder):
        self.folder = folder / "m1"
        self.suite2p = self.folder / "suite2p"
        generator = np.random.default_rng(2)
        self.traces, self.cells = {}, {}
        for plane, (num_rois, num_rows) in enumerate(((6, 240), (4, 239))):
            at = self.suite2p / f"plane{plane}"
            at.mkdir(parents=True)
            spks = generator.gamma(1, 1, (num_rois, num_rows)).astype(np.float32)
            neuropil = generator.uniform(50, 60, spks.shape).astype(np.float32)
            fluorescence = 200 + 10 * spks + neuropil
            self.traces[plane] = {"spks": spks, "F": fluorescence, "Fneu": neuropil}
            for name, values in self.traces[plane].items():
                np.save(at / f"{name}.npy", values)
            kept = generator.uniform(size=num_rois) < 0.6
            kept[:2] = True, False
            np.save(at / "iscell.npy", np.stack((kept, np.ones(num_rois)), axis=1))
            self.cells[plane] = np.flatnonzero(kept)
            save_dict(at / "ops.npy", fs=RATE_HZ, nplanes=2, badframes=np.zeros(num_rows, bool))

    def expected(self, name, planes=(0, 1)):
        num_rows = min(self.traces[plane][name].shape[1] for plane in planes)
        rows = [self.traces[plane][name][self.cells[plane], :num_rows] for plane in planes]
        return np.concatenate(rows).T


@pytest.fixture
def suite(tmp_path):
    return Run(tmp_path)


def test_a_stated_key_names_session_and_animal(suite):
    recording = open_recording(suite.folder, OpenOptions(key="m9-1"))
    assert (recording.session, recording.animal) == ("m9-1", "m9")


def read_all(recording):
    return recording.responses.read_rows(0, recording.responses.clock.num_samples)


def test_planes_are_joined_and_nothing_is_written(suite):
    before = listing(suite.folder)
    recording = open_recording(suite.folder)
    np.testing.assert_array_equal(read_all(recording), suite.expected("spks"))
    np.testing.assert_array_equal(
        recording.responses.read_rows(17, 93), suite.expected("spks")[17:93]
    )
    assert (recording.format, recording.session, recording.response_kind) == (
        "suite2p",
        "m1",
        "rate",
    )
    clock = recording.responses.clock
    assert (clock.start_seconds, clock.rate_hz, clock.num_samples) == (0, RATE_HZ, 239)
    ids = [*suite.cells[0], *(100_000 + suite.cells[1])]
    assert recording.neurons.unit_id.tolist() == ids
    assert recording.neurons.id_namespace == "suite2p plane*100000+row"
    delays = np.repeat([0, 1 / (2 * RATE_HZ)], [len(suite.cells[0]), len(suite.cells[1])])
    np.testing.assert_allclose(recording.neurons.delay_seconds, delays)
    assert recording.provenance.excluded == {"no cell (iscell)": 10 - len(ids)}
    notes = " ".join(recording.notes)
    assert f"{len(ids)} of 10 ROIs are cells" in notes
    assert "planes have 239 to 240 time points; all are cut to 239" in notes
    assert "row 0 is taken at 0 s and 8 rows per second (suite2p/plane0: `fs`)" in notes
    assert listing(suite.folder) == before


def test_every_level_of_the_folder_is_the_recording(suite):
    whole = read_all(open_recording(suite.folder))
    np.testing.assert_array_equal(read_all(open_recording(suite.suite2p)), whole)
    plane = open_recording(suite.suite2p / "plane1")
    np.testing.assert_array_equal(read_all(plane), suite.expected("spks", planes=(1,)))
    assert plane.session == "m1-plane1"
    assert plane.neurons.unit_id.tolist() == [100_000 + row for row in suite.cells[1]]
    np.testing.assert_allclose(plane.neurons.delay_seconds, 1 / (2 * RATE_HZ))
    assert is_session(suite.folder)
    assert not is_session(suite.folder.parent)
    assert open_recording(suite.suite2p).session == "m1"


def test_combined_is_used_only_where_there_are_no_planes(suite):
    combined = suite.suite2p / "combined"
    combined.mkdir()
    joined = np.zeros((10, 240), np.float32)
    joined[:6], joined[6:, :239] = suite.traces[0]["spks"], suite.traces[1]["spks"]
    np.save(combined / "spks.npy", joined)
    np.save(combined / "iscell.npy", np.ones((10, 2)))
    recording = open_recording(suite.folder)
    np.testing.assert_array_equal(read_all(recording), suite.expected("spks"))
    assert any("it repeats the planes" in content.use for content in recording.contents)
    for plane in (0, 1):
        shutil.rmtree(suite.suite2p / f"plane{plane}")
    recording = open_recording(suite.folder, OpenOptions(rate_hz=8))
    np.testing.assert_array_equal(read_all(recording), joined.T)
    assert recording.neurons.delay_seconds is None
    assert recording.neurons.id_namespace == "suite2p combined row"


@pytest.mark.parametrize("series", ["F", "F.npy", "fluorescence"])
def test_fluorescence_is_without_neuropil(suite, series):
    recording = open_recording(suite.folder, OpenOptions(series=series))
    assert recording.response_kind == "fluorescence"
    expected = suite.expected("F") - np.float32(0.7) * suite.expected("Fneu")
    np.testing.assert_allclose(read_all(recording), expected, rtol=1e-6)
    assert recording.provenance.series == "F.npy - 0.7 Fneu"
    for plane in (0, 1):
        (suite.suite2p / f"plane{plane}/Fneu.npy").unlink()
    recording = open_recording(suite.folder, OpenOptions(series=series))
    np.testing.assert_array_equal(read_all(recording), suite.expected("F"))
    assert any("Fneu.npy is missing" in note for note in recording.notes)


def test_for_dff_the_level_of_fluorescence_is_kept(suite):
    recording = open_recording(suite.folder, OpenOptions(series="dff"))
    assert recording.response_kind == "fluorescence"
    expected = [
        traces["F"] - 0.7 * (traces["Fneu"] - np.median(traces["Fneu"], axis=1, keepdims=True))
        for traces in suite.traces.values()
    ]
    rows = [e[suite.cells[plane], :239] for plane, e in enumerate(expected)]
    np.testing.assert_allclose(read_all(recording), np.concatenate(rows).T, rtol=1e-6)
    assert recording.provenance.series == "F.npy - 0.7 (Fneu - median Fneu)"


def test_relative_paths_find_what_stands_beside(suite, monkeypatch):
    np.save(suite.folder / "frame_times.npy", 2.6 + np.arange(240) / 8)
    for folder, path in ((suite.suite2p, "plane0"), (suite.folder, "suite2p"), (suite.folder, ".")):
        monkeypatch.chdir(folder)
        recording = open_recording(Path(path))
        assert recording.responses.clock.start_seconds == pytest.approx(2.6)
        assert recording.session == ("m1-plane0" if path == "plane0" else "m1")
        assert "suite2p/plane0/spks.npy" in {content.path for content in recording.contents}


def test_without_spks_fluorescence_is_taken_and_told(suite):
    (suite.suite2p / "plane0/spks.npy").unlink()
    recording = open_recording(suite.folder)
    assert recording.response_kind == "fluorescence"
    assert any("plane0 has no spks.npy; F.npy is taken" in note for note in recording.notes)
    with pytest.raises(RecordingError, match=r"plane0 has no spks\.npy"):
        open_recording(suite.folder, OpenOptions(series="spks"))
    with pytest.raises(RecordingError, match="no series calcium") as caught:
        open_recording(suite.folder, OpenOptions(series="calcium"))
    assert "--series spks" in caught.value.hint


def test_settings_of_version_1(suite):
    for plane in (0, 1):
        folder = suite.suite2p / f"plane{plane}"
        (folder / "ops.npy").unlink()
        save_dict(
            folder / "settings.npy", fs=6.5, extraction={"neuropil_coefficient": 0.5}, tau=1.0
        )
        bad = np.zeros(240 - plane, bool)
        bad[30:34] = plane == 0
        save_dict(folder / "reg_outputs.npy", badframes=bad, yoff=np.zeros(240 - plane))
    save_dict(suite.suite2p / "db.npy", nplanes=4, ignore_flyback=[2, 3])
    recording = open_recording(suite.folder, OpenOptions(series="F"))
    clock = recording.responses.clock
    assert clock.rate_hz == 6.5
    assert recording.neurons.delay_seconds.max() == pytest.approx(1 / (4 * 6.5))
    expected = suite.expected("F") - np.float32(0.5) * suite.expected("Fneu")
    expected[30:34] = np.nan
    np.testing.assert_allclose(read_all(recording), expected, rtol=1e-6)
    np.testing.assert_allclose(recording.gaps, [[30 / 6.5, 34 / 6.5]])
    assert any("4 of 239 time points are `badframes`" in note for note in recording.notes)


def test_frame_times_are_the_clock(suite):
    times = 2.6 + np.arange(240) / 7.9
    np.save(suite.folder / "frame_times.npy", times)
    for path in (suite.folder, suite.suite2p):
        recording = open_recording(path)
        clock = recording.responses.clock
        assert clock.start_seconds == pytest.approx(2.6)
        assert clock.rate_hz == pytest.approx(7.9)
        assert any("says 8 Hz, the times 7.9" in note for note in recording.notes)
    np.save(
        suite.folder / "frame_times.npy", np.repeat(times, 2)[:479] + np.tile([0, 0.06], 240)[:479]
    )
    assert open_recording(suite.folder).responses.clock.rate_hz == pytest.approx(7.9)
    np.save(suite.folder / "frame_times.npy", np.delete(times, slice(50, 60)))
    with pytest.raises(RecordingError, match="has 230 times, but the planes have 239 and 240"):
        open_recording(suite.folder)
    np.save(suite.folder / "frame_times.npy", times[::-1])
    with pytest.raises(RecordingError, match="times must ascend"):
        open_recording(suite.folder)


def test_bad_frames_and_a_gap_in_the_times(suite):
    times = 1 + np.arange(240) / 8
    times[100:] += 2
    np.save(suite.folder / "frame_times.npy", times)
    bad = np.zeros(240, bool)
    bad[90:100] = True
    save_dict(suite.suite2p / "plane0/ops.npy", fs=RATE_HZ, nplanes=2, badframes=bad)
    recording = open_recording(suite.folder)
    rows, expected = read_all(recording), suite.expected("spks")
    np.testing.assert_array_equal(rows[:90], expected[:90])
    assert np.isnan(rows[90:116]).all()
    np.testing.assert_array_equal(rows[116:], expected[100:])
    np.testing.assert_allclose(recording.gaps, [[1 + 90 / 8, 1 + 116 / 8]], atol=1e-6)


def test_what_stands_beside_the_folder_is_read(suite, write_side_files):
    truth = write_side_files(suite.folder)
    for path in (suite.folder, suite.suite2p):
        recording = open_recording(path)
        assert (recording.session, recording.animal) == ("m1-1", "m1")
        assert [signal.name for signal in recording.behavior] == ["eye_tracker", "treadmill"]
        first = next(n for n, t in enumerate(recording.trials) if t.condition == "clip1")
        np.testing.assert_array_equal(recording.read_trial(first), truth["frames"][20:40])


def test_without_a_rate_the_user_gives_one(suite):
    for plane in (0, 1):
        (suite.suite2p / f"plane{plane}/ops.npy").unlink()
    with pytest.raises(RecordingError, match="absent and no rate is stated") as caught:
        open_recording(suite.folder)
    assert "--rate" in caught.value.hint
    recording = open_recording(suite.folder, OpenOptions(rate_hz=30))
    assert recording.responses.clock.rate_hz == 30
    for rate in (0.0, -1.0):
        for plane in (0, 1):
            save_dict(suite.suite2p / f"plane{plane}/ops.npy", fs=rate)
        with pytest.raises(RecordingError, match=r"plane0: `fs`: the rate must be positive"):
            open_recording(suite.folder)


def test_a_rate_of_the_user_that_contradicts_the_settings_is_told(suite):
    recording = open_recording(suite.folder, OpenOptions(rate_hz=30))
    assert recording.responses.clock.rate_hz == 30
    note = "responses: suite2p/plane0: `fs` says 8 Hz, --rate 30 Hz; --rate is used"
    assert note in recording.notes
    assert note not in open_recording(suite.folder, OpenOptions(rate_hz=RATE_HZ)).notes


def test_a_pickle_that_would_run_something_is_not_used(suite, tmp_path):
    marker = tmp_path / "ran"

    class Call:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    for plane in (0, 1):
        path = suite.suite2p / f"plane{plane}/ops.npy"
        np.save(path, np.array({"fs": 8.0, "x": Call()}, object), allow_pickle=True)
        np.save(path.parent / "stat.npy", np.array([Call()] * 3, object), allow_pickle=True)
    with pytest.raises(RecordingError, match=r"system, which .* no other file states the rate"):
        open_recording(suite.folder)
    recording = open_recording(suite.folder, OpenOptions(rate_hz=8.0))
    assert any("system, which is not needed" in note for note in recording.notes)
    np.testing.assert_array_equal(read_all(recording), suite.expected("spks"))
    assert not marker.exists()
    np.save(suite.suite2p / "plane0/iscell.npy", np.array([Call()] * 6, object), allow_pickle=True)
    with pytest.raises(RecordingError, match="pickled Python objects"):
        open_recording(suite.folder)
    assert not marker.exists()


def test_files_that_contradict_each_other(suite):
    at = suite.suite2p / "plane0"
    kept = {name: (at / name).read_bytes() for name in ("iscell.npy", "spks.npy", "ops.npy")}

    def damaged(name, values, message):
        np.save(at / name, values)
        with pytest.raises(RecordingError, match=message):
            open_recording(suite.folder)
        (at / name).write_bytes(kept[name])

    damaged("iscell.npy", np.ones((5, 2)), "has 5 ROIs, but the traces have 6")
    damaged("spks.npy", np.ones((6, 200)), r"must have the shape .*\(6, 240\) and \(6, 200\)")
    save_dict(at / "ops.npy", fs=15.0, nplanes=2)
    with pytest.raises(RecordingError, match="planes state different rates: 8 and 15 Hz"):
        open_recording(suite.folder)
    save_dict(at / "ops.npy", fs=RATE_HZ, badframes=np.zeros(3, bool))
    with pytest.raises(RecordingError, match="`badframes` has 3 entries"):
        open_recording(suite.folder)


def test_no_cell_and_no_plane_are_said(suite):
    for plane, num_rois in ((0, 6), (1, 4)):
        np.save(suite.suite2p / f"plane{plane}/iscell.npy", np.zeros((num_rois, 2)))
    with pytest.raises(RecordingError, match="none of 10 ROIs is a cell"):
        open_recording(suite.folder)
    for plane in (0, 1):
        (suite.suite2p / f"plane{plane}/iscell.npy").unlink()
    recording = open_recording(suite.folder)
    assert recording.neurons.num_neurons == 10
    assert any("iscell.npy is missing; all 6 ROIs" in note for note in recording.notes)
    for plane in (0, 1):
        for name in ("spks", "F"):
            (suite.suite2p / f"plane{plane}/{name}.npy").unlink()
    with pytest.raises(RecordingError, match=r"has no plane with spks\.npy or F\.npy"):
        open_recording(suite.folder)


def test_the_test_recording_of_the_shared_folder(shared_folder):
    folder = shared_folder / "data/formats/suite2p"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    expected = json.loads((folder / "expected.json").read_text())
    truth = np.load(folder / "truth.npz")
    recording = open_recording(folder / expected["folder"])
    clock = recording.responses.clock
    rows = clock.row_at(truth["probe_seconds"])
    np.testing.assert_array_equal(read_all(recording)[rows], truth["spikes"])
    ids = truth["neuron_plane"] * 100_000 + truth["neuron_row_in_plane"]
    assert recording.neurons.unit_id.tolist() == ids.tolist()
    fluorescence = open_recording(folder / expected["folder"], OpenOptions(series="F"))
    np.testing.assert_allclose(read_all(fluorescence)[rows], truth["neuropil_corrected"], rtol=1e-5)


def test_a_real_folder_needs_a_rate(shared_folder):
    folder = shared_folder / "data/real/pynapple_suite2p_MIT"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    with pytest.raises(RecordingError, match="no rate is stated"):
        open_recording(folder)
    recording = open_recording(folder, OpenOptions(rate_hz=30))
    assert recording.responses.clock.num_samples == 2000
    assert any("20 of 219 ROIs are cells" in note for note in recording.notes)


def test_times_of_a_longer_plane_are_cut_to_a_plane_that_is_read_alone(suite):
    times = 2.6 + np.arange(240) / 8
    np.save(suite.folder / "frame_times.npy", times)
    recording = open_recording(suite.suite2p / "plane1")
    assert recording.responses.clock.num_samples == 239
    np.save(suite.folder / "frame_times.npy", times[:100])
    with pytest.raises(RecordingError, match="has 100 times, but the planes have 239 and 240"):
        open_recording(suite.suite2p / "plane1")
