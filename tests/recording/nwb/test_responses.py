"""Which series are the responses, their columns, clock and values."""

from types import SimpleNamespace

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.population import open_population
from omnimouse_cli.recording.nwb.responses import choose_responses, describe
from omnimouse_cli.recording.nwb.tree import open_tree

h5py = pytest.importorskip("h5py")

OPHYS = "processing/ophys"
TABLE = f"{OPHYS}/ImageSegmentation/PlaneSegmentation"


def read(file, series=None, rate_hz=None):
    """Close a file and read its responses."""
    path = file.close()
    with open_tree(path) as root:
        choice = choose_responses(root, series, rate_hz)
        population = open_population(choice.planes, rate_hz)
    signal = population.signal
    return SimpleNamespace(
        choice=choice,
        paths=[plane.node.path for plane in choice.planes],
        role=choice.role,
        signal=signal,
        values=signal.read_rows(0, signal.clock.num_samples),
        population=population,
        notes=[describe(choice), *choice.notes, *population.notes],
    )


# From the best to the least; each beats all that follow.
ROLES = (
    (f"{OPHYS}/DfOverF/DfOverFEvents", "DfOverF", "rate"),
    (f"{OPHYS}/Deconvolved/plane0", "Fluorescence", "rate"),
    (f"{OPHYS}/event_detection", "ProcessingModule", "rate"),
    (f"{OPHYS}/dff/traces", "DfOverF", "dff"),
    (f"{OPHYS}/DfOverF/Corrected", "DfOverF", "dff"),
    (f"{OPHYS}/Fluorescence/dF_over_F", "Fluorescence", "dff"),
    (f"{OPHYS}/corrected_fluorescence/traces", "Fluorescence", "corrected"),
    (f"{OPHYS}/Fluorescence/neuropil_subtracted", "Fluorescence", "corrected"),
    (f"{OPHYS}/Fluorescence/Denoised", "Fluorescence", "denoised"),
    (f"{OPHYS}/demixed_trace/traces", "Fluorescence", "demixed"),
    (f"{OPHYS}/Fluorescence/RoiResponseSeries", "Fluorescence", "raw"),
)


@pytest.mark.parametrize(("path", "container", "role"), ROLES)
def test_the_role_follows_from_names_and_types(new_nwb, activity, path, container, role):
    file = new_nwb()
    file.table(TABLE, 5)
    file.responses(path, activity, container=container)
    # None of these is of neurons.
    for name in ("Neuropil", "background", "Baseline", "l0/true_false_events"):
        file.responses(f"{OPHYS}/Fluorescence/{name}", activity + 1)
    file.responses(f"{OPHYS}/neuropil_trace/traces", activity)
    found = read(file)
    assert (found.paths, found.role) == ([f"/{path}"], role)
    np.testing.assert_array_equal(found.values, activity.astype(np.float32))
    assert "Neuropil (neuropil)" in found.notes[0]


def test_a_better_role_is_taken(new_nwb, activity):
    file = new_nwb()
    file.table(TABLE, 5)
    for path, container, _ in ROLES[2:]:
        file.responses(path, activity, container=container)
    assert read(file).paths == [f"/{ROLES[2][0]}"]


def test_columns_of_all_planes_follow_plane_after_plane(new_nwb, activity):
    file = new_nwb()
    # By text, plane10 would stand before plane2.
    for number, plane in enumerate((10, 2, 1)):
        table = f"{OPHYS}/ImageSegmentation/Plane{plane}"
        file.table(table, 5, plane=f"ImagingPlane{plane}")
        file.responses(f"{OPHYS}/Fluorescence/plane{plane}", activity + number, table=table)
    found = read(file)
    assert [path.rpartition("/")[2] for path in found.paths] == ["plane1", "plane2", "plane10"]
    expected = np.concatenate((activity + 2, activity + 1, activity), axis=1)
    np.testing.assert_array_equal(found.values, expected.astype(np.float32))


def test_only_cells_are_kept_whatever_the_order_of_rows(new_nwb, activity):
    file = new_nwb()
    iscell = np.array([[1, 0.9], [0, 0.2], [1, 0.8], [0, 0.4], [1, 0.5], [1, 0.6]])
    file.table(TABLE, 6, iscell=iscell)
    file.responses(f"{OPHYS}/Fluorescence/plane0", activity, rows=[5, 3, 0, 1, 4])
    found = read(file)
    np.testing.assert_array_equal(found.values, activity[:, [0, 2, 4]].astype(np.float32))
    rois = found.choice.planes[0].rois
    assert rois.excluded == {"`iscell` is false": 2}


@pytest.mark.parametrize(
    ("columns", "kept", "reason"),
    [
        ({"accepted": [True, False, True, True, True]}, [0, 2, 3, 4], "`accepted` is false"),
        ({"valid_roi": [1, 1, 0, 0, 1]}, [0, 1, 4], "`valid_roi` is false"),
        ({"Rejected": [0, 1, 0, 0, 0]}, [0, 2, 3, 4], "`Rejected` is true"),
        (
            {"mask_type": ["soma", "artifact", "soma", "unknown", "soma"]},
            [0, 2, 4],
            "`mask_type` is not soma",
        ),
    ],
)
def test_each_column_that_judges_rois(new_nwb, activity, columns, kept, reason):
    file = new_nwb()
    file.table(TABLE, 5, **columns)
    file.responses(f"{OPHYS}/Fluorescence/plane0", activity)
    found = read(file)
    np.testing.assert_array_equal(found.values, activity[:, kept].astype(np.float32))
    assert found.choice.planes[0].rois.excluded == {reason: 5 - len(kept)}


def test_a_column_that_rejects_all_is_not_applied(new_nwb, activity):
    file = new_nwb()
    file.table(TABLE, 5, accepted=np.zeros(5, bool))
    file.responses(f"{OPHYS}/Fluorescence/plane0", activity)
    found = read(file)
    assert found.signal.num_channels == 5
    assert any("excludes every ROI" in note for note in found.notes)


def test_rois_by_time_are_transposed(new_nwb, activity):
    file = new_nwb()
    file.table(TABLE, 5)
    file.responses(f"{OPHYS}/Fluorescence/plane0", activity.T, rows=np.arange(5), chunks=(2, 7))
    found = read(file)
    np.testing.assert_array_equal(found.values, activity.astype(np.float32))
    assert any("transposed" in note for note in found.notes)


def test_conversion_offset_and_channel_conversion_are_applied(new_nwb, activity):
    file = new_nwb()
    file.table(TABLE, 5)
    stored = np.round(activity * 100).astype(np.int16)
    series = file.responses(f"{OPHYS}/Fluorescence/plane0", stored, conversion=0.01, offset=-2.0)
    series["channel_conversion"] = np.arange(1.0, 6.0)
    expected = stored * 0.01 * np.arange(1.0, 6.0) - 2.0
    np.testing.assert_allclose(read(file).values, expected, rtol=1e-6)


def test_a_roi_without_any_value_is_excluded(new_nwb, activity):
    file = new_nwb()
    file.table(TABLE, 5)
    activity[:, 3] = np.nan
    activity[:20, 1] = np.nan
    file.responses(f"{OPHYS}/Fluorescence/plane0", activity)
    found = read(file)
    assert found.population.num_silent == 1
    np.testing.assert_array_equal(found.values, activity[:, [0, 1, 2, 4]].astype(np.float32))


def test_a_gap_in_the_times_becomes_rows_of_nan(new_nwb, activity):
    file = new_nwb()
    file.table(TABLE, 5)
    times = np.arange(40) / 10 + np.where(np.arange(40) >= 15, 1.0, 0.0) + 2.0
    file.responses(f"{OPHYS}/Fluorescence/plane0", activity, times=times)
    found = read(file)
    assert found.signal.clock.num_samples == 50
    assert np.isnan(found.values[15:25]).all()
    np.testing.assert_array_equal(found.values[25:], activity[15:].astype(np.float32))
    np.testing.assert_array_equal(found.signal.read_rows(20, 27), found.values[20:27])
    np.testing.assert_allclose(found.population.gaps, [[3.5, 4.5]])
    assert found.notes[1].startswith("/processing/ophys/Fluorescence/plane0/timestamps: 1 gap in")


def test_a_clock_that_drifts_is_obeyed_within_half_a_row(new_nwb):
    file = new_nwb()
    file.table(TABLE, 5)
    data = np.arange(20_000.0)[:, None] + np.arange(5)
    steps = 0.1 * (1 + 2e-3 * np.sin(np.arange(20_000) / 6000))
    times = np.cumsum(steps) + np.where(np.arange(20_000) >= 12_000, 30.03, 0.0)
    file.responses(f"{OPHYS}/Fluorescence/plane0", data, times=times)
    found = read(file)
    clock = found.signal.clock
    at = clock.start_seconds + np.arange(clock.num_samples) / clock.rate_hz
    source = found.values[:, 0]
    is_stored = np.isfinite(source)
    off = np.abs(times[source[is_stored].astype(int)] - at[is_stored])
    assert off.max() < 0.075
    assert np.isin(np.arange(20_000), source).mean() > 0.99
    ((first, last),) = found.population.gaps
    assert (first, last) == pytest.approx((times[11_999], times[12_000]), abs=0.2)
    np.testing.assert_array_equal(at[~is_stored] >= first - 1e-6, True)
    np.testing.assert_array_equal(found.signal.read_rows(3000, 3500), found.values[3000:3500])
    assert any("the rate changes in the course of the recording" in note for note in found.notes)


def test_planes_that_are_scanned_later_have_a_delay_and_may_lack_a_row(new_nwb, activity):
    file = new_nwb()
    for plane in range(2):
        table = f"{OPHYS}/ImageSegmentation/Plane{plane}"
        file.table(table, 5, plane=f"ImagingPlane{plane}")
        data = activity[: 40 - plane]
        times = 1.0 + np.arange(len(data)) / 10 + plane * 0.04
        file.responses(f"{OPHYS}/Fluorescence/plane{plane}", data, table=table, times=times)
    found = read(file)
    assert found.signal.clock.num_samples == 39
    assert found.signal.clock.start_seconds == pytest.approx(1.0)
    delay = found.population.delay_seconds
    np.testing.assert_allclose(delay, [0.0] * 5 + [0.04] * 5, atol=1e-6)
    assert any("39 to 40 rows" in note for note in found.notes)


def test_one_table_for_all_planes_as_suite2p_exports_it(new_nwb, activity):
    file = new_nwb()
    file.table(TABLE, 8, plane="ImagingPlane", iscell=np.ones((8, 2)))
    for container in ("Fluorescence", "Neuropil", "Deconvolved"):
        for plane, rows in enumerate((range(5), range(5, 8))):
            data = activity[:, : len(rows)] + plane
            path = f"{OPHYS}/{container}/plane{plane}"
            file.responses(path, data.T, rows=list(rows), unit="lumens")
    found = read(file)
    assert found.paths == [f"/{OPHYS}/Deconvolved/plane{plane}" for plane in (0, 1)]
    assert found.signal.num_channels == 8


@pytest.mark.parametrize(
    ("names", "planes"),
    [
        (("Corrected", "neuropil_subtracted"), ("A", "A")),
        (("RoiResponseSeriesChan1", "RoiResponseSeriesChan2"), ("A", "B")),
    ],
)
def test_series_of_equal_rank_that_are_no_planes_are_named(new_nwb, activity, names, planes):
    file = new_nwb()
    for name, plane in zip(names, planes, strict=True):
        table = f"{OPHYS}/ImageSegmentation/{name}"
        file.table(table, 5, plane=plane)
        file.responses(f"{OPHYS}/Fluorescence/{name}", activity, table=table)
    path = file.path
    with pytest.raises(RecordingError, match=f"{names[0]} and .*{names[1]}") as error:
        read(file)
    assert f"--series /{OPHYS}/Fluorescence/{names[0]}" in error.value.hint
    with open_tree(path) as root:
        choice = choose_responses(root, f"{OPHYS}/Fluorescence/{names[1]}", None)
        assert [plane.node.name for plane in choice.planes] == [names[1]]


def test_planes_with_other_clocks_are_refused(new_nwb, activity):
    file = new_nwb()
    for plane in range(2):
        table = f"{OPHYS}/ImageSegmentation/Plane{plane}"
        file.table(table, 5, plane=f"ImagingPlane{plane}")
        file.responses(
            f"{OPHYS}/Fluorescence/plane{plane}", activity, table=table, start=plane * 5.0
        )
    with pytest.raises(RecordingError, match="have different clocks"):
        read(file)


def test_a_series_that_the_user_names(new_nwb, activity):
    file = new_nwb()
    file.table(TABLE, 5)
    file.responses(f"{OPHYS}/DfOverF/DfOverF", activity, container="DfOverF")
    file.responses(f"{OPHYS}/Fluorescence/Corrected", activity + 1)
    file.series("acquisition/my_rates", activity[:, :2])
    path = file.close()
    with open_tree(path) as root:
        for name in (f"{OPHYS}/Fluorescence/Corrected", f"/{OPHYS}/Fluorescence/Corrected/data"):
            assert choose_responses(root, name, None).role == "corrected"
        assert choose_responses(root, f"/{OPHYS}/Fluorescence", None).role == "corrected"
        choice = choose_responses(root, "acquisition/my_rates", None)
        assert (choice.role, choice.planes[0].rois.table) == (None, None)
        for kind, role in (("dff", "dff"), ("fluorescence", "corrected")):
            assert choose_responses(root, kind, None).role == role
        with pytest.raises(RecordingError, match="no series rate") as error:
            choose_responses(root, "rate", None)
        assert "--series takes one of: dff, fluorescence, /" in error.value.hint
        with pytest.raises(RecordingError, match="no series nowhere") as error:
            choose_responses(root, "nowhere", None)
        assert f"/{OPHYS}/DfOverF/DfOverF" in error.value.hint
        with pytest.raises(RecordingError, match="is no time series"):
            choose_responses(root, "general", None)


def test_a_file_without_traces(new_nwb):
    file = new_nwb()
    file.series("acquisition/ts", np.zeros((5, 4, 4)), neurodata_type="TwoPhotonSeries")
    with pytest.raises(RecordingError, match=r"film of the microscope only \(/acquisition/ts\)"):
        read(file)
    with pytest.raises(RecordingError, match="film of the microscope only"):
        read(file, series="dff")
    file = new_nwb("b.nwb")
    file.series("processing/x/rates", np.zeros((50, 4)))
    with pytest.raises(RecordingError, match="no traces of neurons") as error:
        read(file)
    assert "--series /processing/x/rates" in error.value.hint
    file = new_nwb("c.nwb")
    file.table(TABLE, 5)
    file.responses(f"{OPHYS}/Fluorescence/Neuropil", np.zeros((50, 5)))
    with pytest.raises(RecordingError, match=r"only /processing.*Neuropil \(neuropil\)"):
        read(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 0.0}, "the rate must be positive: 0 Hz"),
        ({"rate": -3.0}, "the rate must be positive: -3 Hz"),
        ({"rate": np.nan}, "the rate must be positive: nan Hz"),
        ({"start": np.nan}, "`starting_time` must be a number of seconds: nan"),
        ({"times": np.arange(39)}, "has 40 samples, but 39 timestamps"),
        ({"times": np.where(np.arange(40) == 7, np.nan, np.arange(40))}, "times are not finite"),
        ({"times": np.abs(np.arange(40) - 20)}, "times must ascend"),
        ({"times": np.arange(40) ** 1.5}, "is not a regular clock"),
        ({"times": np.append(np.arange(39), np.inf)}, "1 of 40 times are not finite"),
        ({"times": np.arange(40) * 66.7}, "at most 10 s apart, but they are 66.7 s apart"),
        ({"rate": 0.015}, "at most 10 s apart, but they are 66.67 s apart"),
        ({"times": np.append(np.arange(39), 1e9)}, "40 times, 1 s apart, cannot span 1e"),
        ({"rows": [0, 1, 2]}, "has 3 ROIs, but the data have 5 columns"),
        ({"rows": [0, 1, 2, 3, 9]}, "names row 9 of a table of 5 ROIs"),
        ({"conversion": 0.0}, "`conversion` must not be zero"),
    ],
)
def test_contradictions_are_one_sentence_with_a_hint(new_nwb, activity, change, message):
    file = new_nwb()
    file.table(TABLE, 5)
    file.responses(f"{OPHYS}/Fluorescence/plane0", activity, **change)
    with pytest.raises(RecordingError, match=message) as error:
        read(file)
    assert error.value.hint
    assert "m1.nwb" in error.value.message


def test_a_rate_of_the_user_replaces_one_that_the_file_lacks(new_nwb, activity):
    file = new_nwb()
    file.table(TABLE, 5)
    file.responses(f"{OPHYS}/Fluorescence/plane0", activity, rate=np.nan, start=2.0)
    clock = read(file, rate_hz=8.0).signal.clock
    assert (clock.start_seconds, clock.rate_hz) == (2.0, 8.0)


@pytest.mark.parametrize(
    ("shape", "chunks", "is_transposed"),
    [((4000, 50), (375, 32), False), ((50, 4000), (10, 700), True), ((4000, 50), None, False)],
)
def test_blocks_are_whole_chunks_and_any_rows_can_be_read(new_nwb, shape, chunks, is_transposed):
    file = new_nwb()
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    order = np.random.default_rng(1).permutation(50)
    file.table(TABLE, 50, accepted=np.arange(50) % 3 > 0)
    file.responses(f"{OPHYS}/Fluorescence/plane0", data, rows=order, chunks=chunks)
    found = read(file)
    rows = found.signal.rows_per_block
    if chunks is not None:
        assert rows == 4000 or rows % chunks[1 if is_transposed else 0] == 0
    expected = (data.T if is_transposed else data)[:, order % 3 > 0]
    np.testing.assert_array_equal(found.values, expected)
    np.testing.assert_array_equal(found.signal.read_rows(374, 1501), expected[374:1501])


def test_chunks_that_were_never_written_are_told(new_nwb):
    file = new_nwb()
    file.table(TABLE, 5)
    series = file.responses(f"{OPHYS}/Fluorescence/plane0", np.ones((40, 5)))
    del series["data"]
    data = series.create_dataset("data", (40, 5), "f4", chunks=(10, 5), fillvalue=2.0)
    data[:20] = 1.0
    found = read(file)
    assert found.values[:, 0].tolist() == [1.0] * 20 + [2.0] * 20
    assert any("2 chunks are not in the file" in note for note in found.notes)


def test_chunks_taller_than_memory_are_kept_and_give_the_same_rows(new_nwb, monkeypatch):
    monkeypatch.setattr("omnimouse_cli.recording.nwb.population._MAX_BLOCK_BYTES", 20_000)
    monkeypatch.setattr("omnimouse_cli.recording.nwb.population._KEPT_BYTES", 100_000)
    monkeypatch.setattr("omnimouse_cli.recording.nwb.population._RAW_BYTES", 30_000)
    file = new_nwb()
    data = np.random.default_rng(0).normal(size=(4000, 50)).astype(np.float32)
    order = np.random.default_rng(1).permutation(50)
    file.table(TABLE, 50)
    file.responses(f"{OPHYS}/Fluorescence/plane0", data, rows=order, chunks=(4000, 3))
    signal = read(file).signal
    assert signal.rows_per_block == 100
    for first in (0, 100, 200, 390, 500, 3900, 50, 700):
        rows = signal.read_rows(first, first + 100)
        np.testing.assert_array_equal(rows, data[first : first + 100])
        # What the caller does with its rows does not change later ones.
        rows[:] = 0.0
