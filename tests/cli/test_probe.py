"""`omnimouse probe`: its files, its table and document, and one sentence for bad input."""

import json

import pytest
from typer.testing import CliRunner

from omnimouse_cli.cli.app import app

QUICK = (
    "--directions", "4", "--spatial", "0.08", "--temporal", "2", "--noise-windows", "8",
    "--gradient-windows", "1", "--min-modulation", "0", "--min-reliability", "-1",
    "--device", "cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(small_mouse, write_run, tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("probe") / "run", small_mouse)


def invoke(*arguments):
    return CliRunner().invoke(app, ["probe", *(str(argument) for argument in arguments)])


def test_a_session_has_its_tables_and_the_run_a_page(run):
    result = invoke(run, *QUICK, "--neurons", "0-1,5", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert [row["neuron"] for row in document["neurons"]] == [0, 1, 5]
    assert document["state"]["name"] == "median"
    folder = run / "probe"
    assert {path.name for path in folder.iterdir()} == {"21001-1-1", "probe.html"}
    names = {path.name for path in (folder / "21001-1-1").iterdir()}
    assert names == {"probe.csv", "probe.json", "probe.npz"}
    assert json.loads((folder / "21001-1-1" / "probe.json").read_text()) == document
    assert "no evaluation has scores" in result.stderr
    assert "tiers train" in document["notes"][0]


def test_the_table_says_the_state_and_the_source_of_scores(run, tmp_path):
    out = ("--out", tmp_path / "out", "--state", "missing", "--gradient-windows", "0")
    result = invoke(run, *QUICK, *out, "--neurons", "3", "--pictures", "0")
    assert result.exit_code == 0, result.stderr
    assert "21001-1-1: behavior is missing" in result.stdout
    assert "standard deviation of the model's response" in result.stdout.replace("\n", " ")


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (("--neurons", "99"), "has no neuron 99", "0 to 11"),
        (("--neurons", "some"), "--neurons must be whole numbers", "0-49"),
        (("--session", "9-9-9"), "has no session 9-9-9", "21001-1-1"),
        (("--animal", "7"), "has no animal 7", "21001"),
        (("--state", "asleep"), "no state of behavior", "median"),
        (("--spatial", "fast"), "--spatial must be numbers", "0.04"),
        (("--directions", "5"), "must be even", ""),
        (("--out", __file__), "must be a folder", "name another folder"),
    ],
)
def test_bad_input_is_one_sentence_and_a_hint(run, options, message, hint):
    result = invoke(run, *QUICK, *options)
    assert result.exit_code == 1
    error = " ".join(result.stderr.split())
    assert message in error
    assert hint in error
    assert ("hint:" in error) == bool(hint)
    assert "Traceback" not in result.stderr
