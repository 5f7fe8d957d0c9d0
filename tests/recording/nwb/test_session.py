"""An NWB file as a recording: keys, date, neurons, provenance, contents; and the known truths."""

import json
import time
from datetime import UTC, datetime

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.session import is_session, open_session
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.options import OpenOptions

h5py = pytest.importorskip("h5py")

TABLE = "processing/ophys/ImageSegmentation/PlaneSegmentation"


def opened(file, **options):
    return open_session(file.close(), OpenOptions(**options))


def replace_text(file, path, text):
    if path in file.file:
        del file.file[path]
    if text is not None:
        file.file[path] = text


@pytest.mark.parametrize(
    ("session_id", "animal", "key"),
    [
        ("20230504_m12", "m12", "20230504_m12"),
        ("20230504", "m12", "m12-20230504"),
        ("01", "mouse/7", "mouse_7-01"),
        ("m120", "m12", "m12-m120"),
        (None, "m12", "m12-session"),
    ],
)
def test_the_session_key_names_the_animal(new_nwb, activity, session_id, animal, key):
    file = new_nwb("session.nwb")
    file.table(TABLE, 5)
    file.responses("processing/ophys/DfOverF/a", activity, container="DfOverF")
    replace_text(file, "general/session_id", session_id)
    replace_text(file, "general/subject/subject_id", animal)
    recording = opened(file)
    assert recording.session == key
    assert recording.animal == animal.replace("/", "_")


def test_a_stated_key_leaves_the_animal_of_the_file(new_nwb, activity):
    file = new_nwb("session.nwb")
    file.table(TABLE, 5)
    file.responses("processing/ophys/DfOverF/a", activity, container="DfOverF")
    replace_text(file, "general/subject/subject_id", "m12")
    recording = opened(file, key="other-1")
    assert (recording.session, recording.animal) == ("other-1", "m12")


def test_keys_come_from_a_dandi_name_where_the_file_has_none(new_nwb, activity):
    file = new_nwb("sub-A4_ses-day2_behavior+ophys.nwb")
    file.table(TABLE, 5)
    file.responses("processing/ophys/DfOverF/a", activity, container="DfOverF")
    for path in ("general/session_id", "general/subject/subject_id"):
        replace_text(file, path, None)
    recording = opened(file)
    assert (recording.session, recording.animal) == ("A4-day2", "A4")


@pytest.mark.parametrize(
    ("text", "seconds", "note"),
    [
        ("2024-03-05T10:00:00+02:00", datetime(2024, 3, 5, 8, tzinfo=UTC).timestamp(), None),
        ("2024-03-05T10:00:00", datetime(2024, 3, 5, 10, tzinfo=UTC).timestamp(), "no time zone"),
        ("Thu Feb  4 10:00:00 2016", datetime(2016, 2, 4, 10, tzinfo=UTC).timestamp(), "UTC"),
        ("2024-03-05", datetime(2024, 3, 5, tzinfo=UTC).timestamp(), "a date without a time"),
        ("yesterday", 0.0, "is no date"),
        (None, 0.0, "no session_start_time"),
    ],
)  # fmt: skip
def test_the_origin_is_second_zero_of_the_file(simple_nwb, text, seconds, note):
    replace_text(simple_nwb, "session_start_time", text)
    recording = opened(simple_nwb)
    assert recording.origin_seconds == seconds
    assert note is None or any(note in sentence for sentence in recording.notes)


def test_times_that_count_from_1970_are_told(new_nwb, activity):
    file = new_nwb()
    file.table(TABLE, 5)
    times = 1.7e9 + np.arange(40) / 10
    file.responses("processing/ophys/DfOverF/a", activity, container="DfOverF", times=times)
    recording = opened(file)
    assert recording.origin_seconds == 0.0
    assert "times of the file count from 1970" in "\n".join(recording.notes)


def test_licence_and_citation_of_a_dandiset(new_nwb, activity):
    file = new_nwb("000728/sub-1/a.nwb")
    (file.path.parents[1] / "dandiset.yaml").write_text(
        "license: [spdx:CC-BY-4.0]\ncitation: A. Person (2024)\ndoi: 10.48324/dandi.000728\n"
    )
    file.table(TABLE, 5)
    file.responses("processing/ophys/DfOverF/a", activity, container="DfOverF")
    file.file["general/institution"] = "A University"
    file.file["general/lab"] = "A Lab"
    file.file["general/related_publications"] = ["https://doi.org/10.1/2"]
    provenance = opened(file).provenance
    assert provenance.licence == "CC-BY-4.0"
    assert provenance.citation == "A. Person (2024)"
    assert provenance.doi == "10.48324/dandi.000728"
    assert provenance.institution == "A University, A Lab"
    assert provenance.series == "/processing/ophys/DfOverF/a"
    stated = open_recording(file.path, OpenOptions(licence="CC0", citation="B")).provenance
    assert (stated.licence, stated.citation) == ("CC0", "B")


def test_publications_are_the_citation_without_a_dandiset_and_bad_yaml_is_told(simple_nwb):
    simple_nwb.file["general/related_publications"] = ["https://doi.org/10.1/2"]
    (simple_nwb.path.parent / "dandiset.yaml").write_text("{: [")
    recording = opened(simple_nwb)
    assert recording.provenance.citation == "https://doi.org/10.1/2"
    assert recording.provenance.licence is None
    assert "dandiset.yaml cannot be read" in "\n".join(recording.notes)


def test_ids_positions_and_depth_of_neurons(new_nwb, activity):
    file = new_nwb()
    masks = np.zeros((6, 8, 10))
    for row in range(6):
        masks[row, row : row + 2, 3:6] = 1.0
    file.table(TABLE, 6, ids=np.arange(6) + 50, plane="plane", image_mask=masks)
    plane = file.file["general/optophysiology/plane"]
    plane["grid_spacing"] = [2e-6, 3e-6]
    plane["origin_coords"] = [1e-4, 0.0, 2e-4]
    file.responses(
        "processing/ophys/DfOverF/a", activity, container="DfOverF", rows=[4, 0, 1, 2, 5]
    )
    neurons = opened(file).neurons
    assert neurons.unit_id.tolist() == [54, 50, 51, 52, 55]
    assert neurons.id_namespace is None
    expected = [[100 + 2 * (row + 0.5), 12.0, 200.0] for row in (4, 0, 1, 2, 5)]
    np.testing.assert_allclose(neurons.position_um, expected, rtol=1e-6)


def test_cell_specimen_ids_have_a_namespace(new_nwb, activity):
    file = new_nwb()
    file.table(TABLE, 5, cell_specimen_id=np.arange(5) + 517_000_000)
    file.responses(
        "processing/ophys/DfOverF/a", activity, container="DfOverF", rows=[1, 0, 2, 4, 3]
    )
    neurons = opened(file).neurons
    assert neurons.id_namespace == "allen_cell_specimen_id"
    assert (neurons.unit_id - 517_000_000).tolist() == [1, 0, 2, 4, 3]


def test_ids_of_planes_that_count_from_zero_stay_unique(new_nwb, activity):
    file = new_nwb()
    for plane in range(2):
        table = f"processing/ophys/ImageSegmentation/P{plane}"
        file.table(table, 5, plane=f"plane{plane}")
        file.responses(f"processing/ophys/Fluorescence/p{plane}", activity, table=table)
    recording = opened(file)
    assert recording.neurons.unit_id.tolist() == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    assert any("plane*10 + id" in note for note in recording.notes)


def test_contents_have_a_row_for_everything(simple_nwb, activity):
    simple_nwb.responses("processing/ophys/Fluorescence/Neuropil", activity)
    simple_nwb.series("processing/behavior/licks", np.zeros(10), unit="V")
    simple_nwb.series("processing/behavior/running_speed", np.ones(10), unit="cm/s")
    simple_nwb.series("acquisition/ts", np.zeros((5, 4, 4)), neurodata_type="TwoPhotonSeries")
    recording = opened(simple_nwb)
    rows = {content.path: (content.what, content.use) for content in recording.contents}
    assert rows["/processing/ophys/DfOverF/RoiResponseSeries"] == (
        "RoiResponseSeries 40 x 5 float64, 10 Hz",
        "responses: dF/F",
    )
    assert rows["/processing/ophys/Fluorescence/Neuropil"][1] == (
        "not taken: neuropil; not of neurons"
    )
    assert rows["/processing/behavior/running_speed"][1] == "running"
    assert rows["/processing/behavior/licks"][1] == "not taken: no rule takes it"
    assert rows["/acquisition/ts"][1] == "not taken: a film"
    assert rows[f"/{TABLE}"][1] == "ROIs of the responses"
    assert recording.response_kind == "dff"
    assert recording.native_rate_hz == 10.0


def test_a_rate_that_the_file_has_already_is_told(simple_nwb):
    recording = opened(simple_nwb, rate_hz=12.0)
    assert recording.responses.clock.rate_hz == 10.0
    assert "--rate is not used: by the times of the file it is 10.0000 Hz" in recording.notes


def test_a_file_of_version_1(new_nwb, activity):
    file = new_nwb("600.nwb")
    del file.file.attrs["nwb_version"]
    file.file["nwb_version"] = np.bytes_("NWB-1.0.6")
    module = "processing/pipeline"
    file.group(module, "Module")
    for name, values in (("DfOverF", activity), ("Fluorescence", activity + 5)):
        file.group(f"{module}/{name}", "Interface")
        series = file.series(f"{module}/{name}/plane_1", values.T, times=np.arange(40) / 10)
        series["roi_names"] = np.array([b"a", b"b", b"c", b"d", b"e"])
    file.file[f"{module}/ImageSegmentation/cell_specimen_ids"] = np.arange(5) + 500
    gaze = np.stack((np.arange(40.0), -np.arange(40.0)), axis=1)
    file.group(f"{module}/EyeTracking", "Interface")
    file.series(f"{module}/EyeTracking/eye", gaze, times=np.arange(40) / 10, unit="degrees")
    recording = opened(file)
    assert recording.response_kind == "dff"
    np.testing.assert_array_equal(recording.responses.read_rows(0, 40), activity.astype("f4"))
    assert recording.neurons.unit_id.tolist() == [500, 501, 502, 503, 504]
    assert recording.behavior[0].channels == ("pupil_x", "pupil_y")


def test_broken_links_are_told(simple_nwb):
    simple_nwb.file["acquisition/film"] = h5py.ExternalLink("film.h5", "/film")
    notes = opened(simple_nwb).notes
    assert "/acquisition/film is a link to film.h5, which is missing" in notes


def test_which_paths_look_like_nwb(tmp_path):
    (tmp_path / "a.nwb").write_text("")
    (tmp_path / "b.nwb.zarr").mkdir()
    (tmp_path / "c.nwb").mkdir()
    (tmp_path / "d.h5").write_text("")
    (tmp_path / "._a.nwb").write_text("")
    found = [path.name for path in sorted(tmp_path.iterdir()) if is_session(path)]
    assert found == ["a.nwb", "b.nwb.zarr"]


def test_an_hdf5_file_that_is_no_nwb(tmp_path):
    path = tmp_path / "a.nwb"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(RecordingError, match="it has no `nwb_version`"):
        open_session(path, OpenOptions())


def test_nothing_is_written_beside_the_file(simple_nwb):
    path = simple_nwb.close()
    before = (path.stat().st_mtime_ns, path.read_bytes())
    time.sleep(0.01)
    recording = open_session(path, OpenOptions())
    recording.responses.read_rows(0, 10)
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    assert [child.name for child in path.parent.iterdir()] == [path.name]


SETS = [
    ("allen_000728/*StimA_behavior+image+ophys.nwb", "allen_000728/truth_StimA.npz", "events"),
    ("allen_000728/*StimB_behavior+image+ophys.nwb", "allen_000728/truth_StimB.npz", "dff"),
    ("microns_000402/*.nwb", "microns_000402/truth.npz", "responses"),
    ("lab_nwb/*.nwb", "lab_nwb/truth.npz", "responses"),
    ("allen_nwb1/*.nwb", "allen_nwb1/truth.npz", "dff"),
    ("allen_000039/*.nwb", "allen_000039/truth.npz", "events"),
    ("nwb_zarr/sub-m12*.zarr", "lab_nwb/truth.npz", "responses"),
    ("nwb_zarr/sub-4957*.zarr", "allen_000728/truth_StimB.npz", "dff"),
]


@pytest.mark.parametrize(("pattern", "truth", "key"), SETS)
def test_responses_ids_and_running_are_those_of_the_truth(shared_folder, pattern, truth, key):
    folder = shared_folder / "data" / "formats"
    paths = sorted(folder.glob(pattern))
    if not paths:
        pytest.skip(f"{folder}/{pattern} is not here")
    recording = open_session(paths[0], OpenOptions())
    with np.load(folder / truth) as values:
        known = {name: values[name] for name in values}
    clock = recording.responses.clock
    assert clock.start_seconds == pytest.approx(known["response_times"][0], abs=1e-3)
    rows = clock.row_at(known["probe_seconds"])
    have = recording.responses.read_rows(0, clock.num_samples)[rows]
    np.testing.assert_allclose(have, known[key], rtol=1e-5, atol=1e-6)
    if "neuron_id" in known:
        np.testing.assert_array_equal(recording.neurons.unit_id, known["neuron_id"])
    else:
        expected = known["neuron_field"] * 10_000 + known["neuron_mask_id"]
        np.testing.assert_array_equal(recording.neurons.unit_id, expected)
    if "running_cm_s" in known:
        (running,) = [device for device in recording.behavior if "running" in device.channels]
        at = running.clock.row_at(known["running_seconds"])
        inside = (at >= 0) & (at < running.clock.num_samples)
        values = running.read_rows(0, running.clock.num_samples)[at[inside], 0]
        np.testing.assert_allclose(values, known["running_cm_s"][inside], rtol=1e-5)


def test_the_keys_of_the_test_sets(shared_folder):
    folder = shared_folder / "data" / "formats"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    keys = {}
    for name in ("microns_000402", "lab_nwb", "allen_nwb1", "allen_000039"):
        path = next((folder / name).glob("*.nwb"))
        recording = open_session(path, OpenOptions())
        expected = json.loads((folder / name / "expected.json").read_text())
        assert recording.animal == expected["animal"]
        keys[name] = recording.session
    assert keys == {
        "microns_000402": "17797-4-7",
        "lab_nwb": "20230504_m12",
        "allen_nwb1": "501559087",
        "allen_000039": "770235078",
    }


def test_real_files_without_traces_are_one_sentence_each(shared_folder):
    paths = sorted((shared_folder / "data/real/pynwb_back_compat_BSD").glob("*.nwb"))
    if not paths:
        pytest.skip("the files of pynwb are not here")
    for path in paths:
        with pytest.raises(RecordingError, match="has no traces of neurons") as error:
            open_session(path, OpenOptions())
        assert error.value.hint
