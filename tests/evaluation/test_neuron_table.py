"""neurons.csv: rows and columns of known arrays."""

import csv
import io

import numpy as np

from omnimouse_cli.evaluation.neuron_table import format_neurons


def rows_of(arrays):
    return list(csv.DictReader(io.StringIO(format_neurons(arrays))))


def test_a_row_has_the_unit_its_position_and_each_score_under_its_name():
    rows = rows_of(
        {
            "1-1/predict/neurons/index": np.array([0, 2]),
            "1-1/predict/neurons/model": np.array([0.25, np.nan]),
            "1-1/predict/neurons/ridge": np.array([0.125, 1 / 3]),
            "1-1/decode/channels/index": np.array([0]),
            "1-1/decode/channels/model": np.array([0.5]),
            "1-1/unit_id": np.array([70, 80, 90]),
            "1-1/position_um": np.array([[1.0, 2.0, 150.5], [4.0, 5.0, 6.0], [7.0, 8.0, np.nan]]),
            "1-1/area": np.array(["VISp", "a,b", ""]),
            "2-1/forecast/neurons/index": np.array([0]),
            "2-1/forecast/neurons/model": np.array([1.0]),
        }
    )
    assert [(row["session"], row["neuron"], row["unit_id"]) for row in rows] == [
        ("1-1", "0", "70"),
        ("1-1", "1", "80"),
        ("1-1", "2", "90"),
        ("2-1", "0", ""),
    ]
    assert [rows[0][name] for name in ("x_um", "y_um", "z_um", "area")] == [
        "1",
        "2",
        "150.5",
        "VISp",
    ]
    assert [row["predict/model"] for row in rows] == ["0.25", "", "", ""]
    assert [row["predict/ridge"] for row in rows] == ["0.125", "", "0.333333", ""]
    assert [row["forecast/model"] for row in rows] == ["", "", "", "1"]
    assert rows[1]["area"] == "a,b"
    assert rows[2]["z_um"] == ""
    assert not any(name.startswith("decode") for name in rows[0])


def test_without_positions_and_ids_their_cells_are_empty():
    arrays = {
        "1-1/my/own/neurons/index": np.array([1]),
        "1-1/my/own/neurons/model": np.array([0.5]),
    }
    rows = rows_of(arrays)
    assert [row["my/own/model"] for row in rows] == ["", "0.5"]
    assert {row[name] for row in rows for name in ("unit_id", "x_um", "layer")} == {""}
