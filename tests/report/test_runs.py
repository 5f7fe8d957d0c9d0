"""Run folders to rows: the fields of summary.json, and every reason to leave a run out."""

import pytest

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.report.runs import read_run_table
from omnimouse_cli.report.table import parse_condition
from omnimouse_cli.run.folder import find_runs


def test_a_finished_run_is_a_row(tmp_path, write_run):
    write_run(tmp_path / "first")
    (row,) = read_run_table([tmp_path / "first"]).rows
    assert (row.parameters, row.tokens, row.loss) == (1_000_000, 5_000_000, 0.5)
    assert (row.parameters_core, row.parameters_tables) == (1_000_000, 250_000)
    assert (row.tokens_seen, row.epochs, row.seed, row.compute) == (15_000_000, 3.0, 7, 6e13)
    assert (row.split, row.metric) == ("validation of 2 sessions", "poisson loss")


def test_session_embeddings_are_counted_on_request(tmp_path, write_run):
    write_run(tmp_path / "first")
    table = read_run_table([tmp_path / "first"], count="total")
    assert table.rows[0].parameters == 1_250_000
    assert "session embeddings included" in table.parameters_counted


def test_a_folder_of_runs_gives_all_of_them_sorted_and_each_once(tmp_path, write_run):
    big = {"core": 9_000_000, "tables": 1, "total": 9_000_001}
    write_run(tmp_path / "sweep" / "b")
    write_run(tmp_path / "sweep" / "a", parameters=big)
    write_run(tmp_path / "c")
    table = read_run_table([tmp_path, tmp_path / "c"])
    assert [row.run for row in table.rows] == ["b", "c", "a"]
    # Checkpoints and evaluations of a run are not searched.
    write_run(tmp_path / "c" / "eval" / "inner")
    assert len(find_runs(tmp_path)) == 3


def test_runs_of_one_name_get_different_names(tmp_path, write_run):
    for sweep in ("x", "y"):
        write_run(tmp_path / sweep / "run")
    assert [row.run for row in read_run_table([tmp_path]).rows] == ["x/run", "y/run"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parameters": None}, "no section `parameters`"),
        ({"parameters": {}}, "no number `parameters.core`"),
        ({"adapted_from": "core"}, "it adapts the core of another run"),
        ({"unique_tokens": None}, "no number `unique_tokens`"),
        ({"unique_tokens": 0}, "`tokens` must be a finite number above zero: 0"),
        ({"validation": {"neural_loss": None}}, "no number `validation.neural_loss`"),
        ({"validation": {"neural_loss": -0.2}}, "`loss` must be a finite number above zero: -0.2"),
        ({"validation": {"neural_loss": "low"}}, "must be a number: 'low'"),
        ({"seed": [7]}, "`seed` of summary.json has the wrong type"),
        ({"split": {}}, "`split` of summary.json has the wrong type"),
        ({"flops": "many"}, "`flops` of summary.json has the wrong type"),
    ],
)
def test_a_run_without_a_usable_number_is_left_out_with_the_reason(
    tmp_path, write_run, changes, reason
):
    write_run(tmp_path / "good")
    write_run(tmp_path / "bad", **changes)
    table = read_run_table([tmp_path])
    assert [row.run for row in table.rows] == ["good"]
    assert [one.run for one in table.excluded] == ["bad"]
    assert reason in table.excluded[0].reason


def test_an_unfinished_run_and_a_damaged_summary_are_left_out(tmp_path, write_run):
    write_run(tmp_path / "good")
    (write_run(tmp_path / "unfinished") / "summary.json").unlink()
    (write_run(tmp_path / "cut") / "summary.json").write_text('{"format": "omni')
    table = read_run_table([tmp_path])
    reasons = {one.run: one.reason for one in table.excluded}
    assert reasons["unfinished"] == "it has not finished: there is no summary.json"
    assert "is not a JSON document" in reasons["cut"]


def test_nothing_to_use_is_an_error_that_says_what_was_looked_for(tmp_path, write_run):
    with pytest.raises(OmniMouseError, match="is not a folder of runs"):
        read_run_table([tmp_path / "none"])
    with pytest.raises(OmniMouseError, match=r"holds no run: no summary\.json"):
        read_run_table([tmp_path])
    (write_run(tmp_path / "run") / "summary.json").unlink()
    with pytest.raises(OmniMouseError, match=r"none of 1 run .* has not finished"):
        read_run_table([tmp_path])


def test_conditions_select_runs_by_their_columns(tmp_path, write_run):
    for number in range(3):
        write_run(tmp_path / f"run{number}", seed=number)
    table = read_run_table([tmp_path], where=[parse_condition("seed!=1")])
    assert [row.seed for row in table.rows] == [0, 2]
    with pytest.raises(OmniMouseError, match="selects none of 3 runs"):
        read_run_table([tmp_path], where=[parse_condition("seed==9")])
    with pytest.raises(OmniMouseError, match="names the column 'sed'"):
        read_run_table([tmp_path], where=[parse_condition("sed==1")])
