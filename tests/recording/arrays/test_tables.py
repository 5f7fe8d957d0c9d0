"""CSV tables are read as people write them; a wrong row is named by its line."""

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.tables import read_csv, table_of_arrays


@pytest.fixture
def read(tmp_path):
    def read_text(text, *text_columns):
        path = tmp_path / "t.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_csv(path, text_columns)

    return read_text


@pytest.mark.parametrize(
    "text",
    [
        "seconds,x_px\n0.5,1\n1,\n",
        b"\xef\xbb\xbfseconds,x_px\r\n0.5,1\r\n\r\n1,nan\r\n",
        "Seconds ; X_px\n0.5 ; 1\n1 ; NA\n;\n",
        'seconds\tx_px\n"0.5"\t"1"\n1\tNaN',
        "\nseconds,x_px,\n0.5,1,\n1,,,\n,,\n",
    ],
)
def test_ways_to_write_the_same_table(read, text):
    table = read(text)
    assert list(table.columns) == ["seconds", "x_px"]
    np.testing.assert_array_equal(table.times(), [0.5, 1.0])
    np.testing.assert_array_equal(table.numbers("x_px"), [1.0, np.nan])


def test_a_quoted_text_may_hold_the_separator_and_lines_are_those_of_the_file(read):
    table = read('start_s,stimulus\n0,"a, b"\n\n1,"c\nd"\n2,e\n', "stimulus")
    assert table.texts("stimulus") == ("a, b", "c\nd", "e")
    assert table.lines.tolist() == [2, 5, 6]


def test_times_may_be_milliseconds(read):
    np.testing.assert_allclose(read("time_ms,x\n500,1\n1500,1\n").times(), [0.5, 1.5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("0,1\n2,3\n", "first line must name the columns, but it holds numbers: 0, 1"),
        ("seconds,x\n0,1\n1,2,3\n", r"t\.csv, line 3: 3 cells for 2 columns"),
        ("seconds,x\n0,1\n1\n", r"line 3: 1 cell for 2 columns"),
        ("seconds,x\n0,1\n1,two\n", "line 3: `x` must be a finite number: 'two'"),
        ("seconds;x\n0;1\n1;2,5\n", "line 3: `x` must be a finite number: '2,5'"),
        ("seconds,x\n0,inf\n", "line 2: `x` must be a finite number: 'inf'"),
        ("seconds,,x\n0,1,2\n", "column 2 has no name"),
        ("seconds,x,X\n0,1,2\n", "two columns are named `x`"),
        (b"seconds,x\n0,\xff\n", "not UTF-8 text"),
        ('seconds,x\n0,"1\n', "no CSV file"),
    ],
)
def test_a_wrong_table_is_one_sentence(read, text, message):
    with pytest.raises(RecordingError, match=message) as caught:
        read(text).numbers("x")
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_a_text_in_a_column_that_is_not_used_stops_nothing(read):
    table = read("seconds,x,comment\n0,1,good\n1,2,\n")
    np.testing.assert_array_equal(table.numbers("x"), [1, 2])
    with pytest.raises(RecordingError, match="line 2: `comment` must be a finite number: 'good'"):
        table.numbers("comment")


def test_a_table_without_times_or_with_times_in_another_unit_is_said(read):
    with pytest.raises(RecordingError, match=r"no column of times.*found x_px, y_px"):
        read("x_px,y_px\n1,2\n").times()
    with pytest.raises(RecordingError, match="`time_px` must be in seconds"):
        read("time_px,y_px\n1,2\n").times()


def test_arrays_as_columns_must_have_one_length():
    table = table_of_arrays("a.npz", {"X": np.ones((3, 1)), "name": np.array(["a", "b ", "c"])})
    assert table.texts("name") == ("a", "b", "c")
    assert table.numbers("x").shape == (3,)
    with pytest.raises(RecordingError, match="`name` must hold numbers, but it holds texts"):
        table.numbers("name")
    with pytest.raises(RecordingError, match="`b` has shape"):
        table_of_arrays("a.npz", {"a": np.ones(3), "b": np.ones(2)})
