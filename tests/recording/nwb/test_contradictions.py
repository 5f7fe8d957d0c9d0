"""Files that contradict themselves: tables, times and links that do not fit."""

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.open import open_recording

h5py = pytest.importorskip("h5py")

OPHYS = "processing/ophys"
TABLE = f"{OPHYS}/ImageSegmentation/PlaneSegmentation"


def test_an_infinite_time_of_a_long_recording_is_named(new_nwb):
    file = new_nwb()
    file.table(TABLE, 2)
    times = np.append(np.arange(299) / 10, np.inf)
    file.responses(f"{OPHYS}/DfOverF/plane0", np.ones((300, 2)), times=times)
    with pytest.raises(RecordingError, match="1 of 300 times are not finite, the first in row 299"):
        open_recording(file.close())


def test_a_column_of_another_length_than_its_table_is_refused(new_nwb, activity):
    file = new_nwb()
    file.table(TABLE, 5, iscell=np.ones((3, 2)))
    file.responses(f"{OPHYS}/Fluorescence/plane0", activity)
    with pytest.raises(RecordingError, match="iscell has 3 rows, but its table has 5 ROIs"):
        open_recording(file.close())


def test_a_table_without_ids_has_cells(new_nwb, activity):
    file = new_nwb()
    table = file.table(TABLE, 5, accepted=np.array([1, 0, 1, 1, 0]))
    del table["id"]
    file.responses(f"{OPHYS}/Fluorescence/plane0", activity)
    rows = open_recording(file.close()).responses.read_rows(0, 40)
    np.testing.assert_array_equal(rows, activity[:, [0, 2, 3]].astype(np.float32))


def test_a_series_without_data_or_times_and_a_broken_link_are_named(new_nwb, activity):
    file = new_nwb()
    file.table(TABLE, 5)
    file.responses(f"{OPHYS}/DfOverF/plane0", activity, rate=None)
    file.file[f"{OPHYS}/DfOverF/plane0/timestamps"] = h5py.SoftLink("/gone")
    with pytest.raises(RecordingError, match=r"DfOverF/plane0 lacks its `data`, or both") as error:
        open_recording(file.close())
    assert "timestamps is a link to /gone, which does not exist" in error.value.hint


def test_groups_that_lead_back_to_themselves_are_read_once(new_nwb, activity):
    file = new_nwb()
    file.table(TABLE, 5)
    file.responses(f"{OPHYS}/DfOverF/plane0", activity)
    file.file["processing/ophys/again"] = file.file["processing"]
    file.file["processing/file"] = h5py.ExternalLink("m1.nwb", "/")
    recording = open_recording(file.close())
    assert recording.neurons.num_neurons == 5
    assert len(recording.contents) == len({content.path for content in recording.contents})
