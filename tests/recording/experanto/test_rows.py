"""Rows are read as they are stored, whatever the file and dtype, and aligned by phase shifts."""

import errno
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.rows import RowFile, SampledRows
from omnimouse_cli.recording.experanto.shifts import ShiftedRows
from omnimouse_cli.recording.open import open_recording


def numbered(rows: int = 600, columns: int = 5) -> np.ndarray:
    return (np.arange(rows * columns) % 251).reshape(rows, columns)


@pytest.mark.parametrize("storage", ["mem", "npy"])
@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "uint8", "int16", "uint16", "int64", ">f4"]
)
def test_every_dtype_of_both_files_reads_as_float32(experanto_session, edit_meta, storage, dtype):
    values = numbered()
    path = experanto_session(responses=values, dtype=dtype, storage=storage, seconds=22)
    edit_meta(path, "responses", dtype=dtype)
    responses = open_recording(path).responses
    rows = responses.read_rows(123, 456)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, values[123:456])
    assert responses.clock.num_samples == 600


def test_bytes_are_not_divided_by_255_and_a_note_says_so(experanto_session):
    recording = open_recording(experanto_session(responses=numbered(), dtype="uint8"))
    assert recording.responses.read_rows(0, 600).max() == 250
    assert any("255" in note for note in recording.notes)


def test_nan_stays_nan(experanto_session):
    values = numbered().astype(float)
    values[100:110, 2] = np.nan
    rows = open_recording(experanto_session(responses=values)).responses.read_rows(90, 120)
    np.testing.assert_array_equal(rows, values[90:120])


@given(
    cuts=st.lists(st.integers(0, 600), min_size=1, max_size=6),
)
@settings(max_examples=20, deadline=None)
def test_blocks_put_together_are_the_whole(tmp_path_factory, cuts):
    path = tmp_path_factory.mktemp("rows") / "data.mem"
    values = numbered().astype(np.float32)
    values.tofile(path)
    file = RowFile(path=path, dtype=values.dtype, num_rows=600, num_columns=5)
    edges = [0, *sorted(cuts), 600]
    blocks = [file.read(*edge) for edge in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(blocks), values)


def test_an_array_stored_column_by_column_reads_the_same(experanto_session):
    path = experanto_session(responses=numbered(), storage="npy")
    np.save(path / "responses/data.npy", np.asfortranarray(numbered().astype(np.float32)))
    rows = open_recording(path).responses.read_rows(17, 99)
    np.testing.assert_array_equal(rows, numbered()[17:99])


def test_an_array_stored_column_by_column_needs_no_map(experanto_session, monkeypatch):
    path = experanto_session(responses=numbered(), storage="npy")
    np.save(path / "responses/data.npy", np.asfortranarray(numbered().astype(np.float32)))

    def refuse(*args, **kwargs):
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(np, "memmap", refuse)
    rows = open_recording(path).responses.read_rows(17, 99)
    np.testing.assert_array_equal(rows, numbered()[17:99])


@given(first=st.integers(0, 9), last=st.integers(0, 9))
def test_rows_of_a_clock_without_a_source_are_missing(tmp_path_factory, first, last):
    path = tmp_path_factory.getbasetemp() / "sampled.mem"
    values = numbered(6).astype(np.float32)
    values.tofile(path)
    file = RowFile(path=path, dtype=values.dtype, num_rows=6, num_columns=5)
    source = np.array([-1, 0, 1, -1, -1, 3, 5, 5, -1])
    whole = np.where(source[:, None] >= 0, values[source], np.nan)
    rows = SampledRows(rows=file, source_row=source).read(min(first, last), max(first, last))
    np.testing.assert_array_equal(rows, whole[min(first, last) : max(first, last)])


def test_a_single_column_may_be_stored_as_a_vector(experanto_session):
    path = experanto_session(storage="npy")
    vector = np.load(path / "treadmill/data.npy")[:, 0]
    np.save(path / "treadmill/data.npy", vector)
    treadmill = open_recording(path).behavior[1]
    np.testing.assert_array_equal(treadmill.read_rows(0, 50)[:, 0], vector[:50].astype(np.float32))


@pytest.mark.parametrize("is_mem_mapped", [True, False])
def test_is_mem_mapped_decides_between_two_files(experanto_session, edit_meta, is_mem_mapped):
    path = experanto_session(responses=numbered(), storage="mem")
    np.save(path / "responses/data.npy", numbered().astype(np.float32) + 1)
    edit_meta(path, "responses", is_mem_mapped=is_mem_mapped)
    recording = open_recording(path)
    assert recording.responses.read_rows(0, 1)[0, 0] == (0 if is_mem_mapped else 1)
    assert any("holds other values" in note for note in recording.notes)


def test_two_files_that_agree_need_no_note(experanto_session, edit_meta):
    path = experanto_session(responses=numbered(), storage="mem")
    np.save(path / "responses/data.npy", numbered().astype(np.float32))
    for is_mem_mapped in (None, True, False):
        edit_meta(path, "responses", is_mem_mapped=is_mem_mapped)
        assert open_recording(path).notes == ()


def test_two_files_that_disagree_with_nothing_to_decide_are_refused(experanto_session, edit_meta):
    path = experanto_session(responses=numbered(), storage="mem")
    np.save(path / "responses/data.npy", numbered().astype(np.float32) + 1)
    edit_meta(path, "responses", is_mem_mapped=None)
    with pytest.raises(RecordingError, match=r"data\.mem and data\.npy with different values"):
        open_recording(path)


def test_the_file_that_is_there_is_read_whatever_is_mem_mapped_says(experanto_session, edit_meta):
    path = experanto_session(responses=numbered(), storage="npy")
    edit_meta(path, "responses", is_mem_mapped=True)
    recording = open_recording(path)
    np.testing.assert_array_equal(recording.responses.read_rows(0, 9), numbered()[:9])
    assert any("data.mem is missing" in note for note in recording.notes)


def test_a_truncated_data_mem_is_refused_with_both_byte_counts(experanto_session):
    path = experanto_session(responses=numbered())
    file = path / "responses/data.mem"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(RecordingError, match=r"truncated.*need 12000 bytes, 11993 were found"):
        open_recording(path)


def test_a_file_cut_short_after_opening_is_noticed_when_it_is_read(experanto_session):
    path = experanto_session(responses=numbered())
    recording = open_recording(path)
    file = path / "responses/data.mem"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(RecordingError, match="cut short while it was read"):
        recording.responses.read_rows(500, 600)


def test_a_file_that_went_away_after_opening_is_named(experanto_session):
    path = experanto_session(responses=numbered())
    recording = open_recording(path)
    (path / "responses/data.mem").unlink()
    with pytest.raises(RecordingError, match=r"data\.mem cannot be read any more: No such file"):
        recording.responses.read_rows(0, 1)


@pytest.mark.parametrize(
    ("storage", "n_signals", "message"),
    [
        ("mem", 4, "disagrees with meta.yml: .* are 9600 bytes, 12000 were found"),
        ("mem", 6, "truncated"),
        ("npy", 4, r"`n_signals` is 4, but data.npy has shape \(600, 5\)"),
    ],
)
def test_n_signals_that_disagrees_with_the_file_is_refused(
    experanto_session, edit_meta, storage, n_signals, message
):
    path = experanto_session(responses=numbered(), storage=storage)
    edit_meta(path, "responses", n_signals=n_signals)
    with pytest.raises(RecordingError, match=message):
        open_recording(path)


def test_a_device_without_data_is_refused(experanto_session):
    path = experanto_session()
    (path / "treadmill/data.mem").unlink()
    with pytest.raises(RecordingError, match=r"treadmill has neither data\.mem nor data\.npy"):
        open_recording(path)


def test_a_damaged_data_npy_is_refused(experanto_session):
    path = experanto_session(responses=numbered(), storage="npy")
    file = path / "responses/data.npy"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(RecordingError, match=r"data\.npy cannot be read as an array"):
        open_recording(path)


@pytest.mark.parametrize("fields", [{}, {"n_signals": None, "n_timestamps": None}])
def test_neurons_by_time_are_refused_with_the_right_advice(experanto_session, edit_meta, fields):
    path = experanto_session(neurons=40, storage="npy")
    file = path / "responses/data.npy"
    np.save(file, np.load(file).T.copy())
    edit_meta(path, "responses", **fields)
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    assert "transpose it to time x neuron" in caught.value.hint


def test_an_empty_device_is_refused(experanto_session, edit_meta):
    path = experanto_session()
    (path / "treadmill/data.mem").write_bytes(b"")
    edit_meta(path, "treadmill", n_timestamps=0)
    with pytest.raises(RecordingError, match="is empty: 0 rows of 1 signal"):
        open_recording(path)


def test_phase_shifts_give_each_column_at_its_own_time(experanto_session, edit_meta):
    # Column k measures its own time: the value of row r is start + shift_k + r / rate.
    rate_hz, shifts = 30.0, np.array([-0.04, 0.0, 0.013, 0.0333, 0.11])
    times = np.arange(600)[:, None] / rate_hz + shifts
    path = experanto_session(responses=times, responses_start=0.0, dtype="float64")
    np.save(path / "responses/meta/phase_shifts.npy", shifts)
    edit_meta(path, "responses", phase_shift_per_signal=True)
    plain = open_recording(experanto_session("2-2-2", responses=times, responses_start=0.0))
    recording = open_recording(path)
    clock = recording.responses.clock
    assert clock.start_seconds == pytest.approx(plain.responses.clock.start_seconds + 0.11)
    rows = recording.responses.read_rows(0, clock.num_samples)
    sampled_at = 0.11 + np.arange(clock.num_samples)[:, None] / rate_hz
    # Held: never from the future (beyond float32 and clock rounding), never a whole row too old.
    assert (rows <= sampled_at + 1.1e-4).all()
    assert (rows > sampled_at - 1 / rate_hz).all()
    assert clock.end_seconds <= 600 / rate_hz + shifts.min() + clock.start_seconds + 1 / rate_hz
    assert any("phase shifts from -0.04 to 0.11 s" in note for note in recording.notes)


def test_phase_shifts_agree_with_the_floor_of_the_library(experanto_session, edit_meta):
    rng = np.random.default_rng(5)
    rate_hz, shifts = 30.0, rng.uniform(0, 0.25, 40)
    values = rng.normal(size=(500, 40)).astype(np.float32)
    path = experanto_session(responses=values, responses_start=0.0, start=0.0, behavior_start=0.0)
    np.save(path / "responses/meta/phase_shifts.npy", shifts[None])
    edit_meta(path, "responses", phase_shift_per_signal=True)
    responses = open_recording(path).responses
    count = responses.clock.num_samples
    time = responses.clock.start_seconds + np.arange(count) / rate_hz + 1e-9
    row = np.floor((time[:, None] - shifts) * rate_hz).astype(int)
    expected = np.take_along_axis(values, row, axis=0)
    np.testing.assert_array_equal(responses.read_rows(0, count), expected)


def test_phase_shifts_that_meta_yml_does_not_claim_are_noted(experanto_session):
    path = experanto_session(responses=numbered())
    np.save(path / "responses/meta/phase_shifts.npy", np.zeros(5))
    recording = open_recording(path)
    np.testing.assert_array_equal(recording.responses.read_rows(0, 600), numbered())
    assert recording.neurons.delay_seconds is None
    assert any("phase_shifts.npy is not applied" in note for note in recording.notes)


@given(
    lag=st.lists(st.integers(0, 9), min_size=5, max_size=5),
    first=st.integers(0, 300),
    count=st.integers(0, 200),
)
@settings(max_examples=30, deadline=None)
def test_shifted_rows_are_a_shifted_slice_of_each_column(tmp_path_factory, lag, first, count):
    path = tmp_path_factory.mktemp("rows") / "data.mem"
    values = numbered().astype(np.float32)
    values.tofile(path)
    file = RowFile(path=path, dtype=values.dtype, num_rows=600, num_columns=5)
    rows = ShiftedRows(rows=file, lag=np.array(lag)).read(first, first + count)
    for column, late in enumerate(lag):
        expected = values[first + late : first + late + count, column]
        np.testing.assert_array_equal(rows[:, column], expected)


@pytest.mark.parametrize(
    ("shifts", "message"),
    [
        (None, "phase_shifts.npy is missing, although"),
        (np.zeros(4), "has 4 shifts, but `n_signals` is 5"),
        (np.array([0, 0, np.nan, 0, 0]), "shift 2 is not finite"),
        (np.array([0, 0, 0, 0, 99.0]), "leave no row in common"),
    ],
)
def test_phase_shifts_that_cannot_be_applied_are_refused(
    experanto_session, edit_meta, shifts, message
):
    path = experanto_session(responses=numbered())
    if shifts is not None:
        np.save(path / "responses/meta/phase_shifts.npy", shifts)
    edit_meta(path, "responses", phase_shift_per_signal=True)
    with pytest.raises(RecordingError, match=message):
        open_recording(path)
