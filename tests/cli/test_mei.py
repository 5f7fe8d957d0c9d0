"""`omnimouse mei`: its table, document and files, and one sentence for bad input."""

import json

import pytest
from typer.testing import CliRunner

from omnimouse_cli.cli.app import app

pytestmark = pytest.mark.usefixtures("few_mei_references")

QUICK = ("--neurons", "1,5", "--starts", "1", "--steps", "2", "--device", "cpu")


@pytest.fixture(scope="module")
def runs(small_mouse, write_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mei")
    return [str(write_run(folder / name, small_mouse)) for name in ("first", "other")]


def invoke(*arguments):
    return CliRunner().invoke(app, ["mei", *arguments])


def test_the_document_and_the_table_have_a_row_for_each_neuron(runs, tmp_path):
    out = ("--out", str(tmp_path / "made"))
    result = invoke(runs[0], "--validate", runs[1], *QUICK, "--least", *out, "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["format"] == "omnimouse-mei"
    assert [row["neuron"] for row in document["neurons"]] == [1, 5]
    for stimulus in ("most", "least", "natural", "grating", "grey"):
        # The other run has the same weights.
        for row in document["neurons"]:
            assert row[f"validated_{stimulus}"] == row[f"made_{stimulus}"]
    names = {path.name for path in (tmp_path / "made").iterdir()}
    assert names == {"mei.npz", "mei.csv", "mei.json", "mei.html"}

    alone = invoke(runs[0], *QUICK, "--kind", "video", "--contrast", "14", *out)
    assert alone.exit_code == 0, alone.stderr
    assert "RMS contrast of the screen: 14 grey levels" in alone.stdout
    assert "no other run validated" in alone.stdout


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (("--neurons", "99"), "has no neuron 99", "0 to 11"),
        (("--neurons", "some"), "neither a list", "best:10"),
        (("--session", "9-9-9"), "has no session 9-9-9", "21001-1-1"),
        (("--contrast", "200"), "contrast must lie", ""),
        (("--state", "asleep"), "no state of behavior", "median"),
        (("--kind", "film"), "no kind 'film'", "image, video"),
        (("--out", __file__), "--out must be a folder", "name another folder"),
    ],
)
def test_bad_input_is_one_sentence_and_a_hint(runs, options, message, hint):
    result = invoke(runs[0], *QUICK, *options)
    assert result.exit_code == 1
    assert message in result.stderr
    assert hint in result.stderr
    assert ("hint:" in result.stderr) == bool(hint)
    assert "Traceback" not in result.stderr


def test_a_folder_that_is_no_run_is_named(tmp_path):
    result = invoke(str(tmp_path), *QUICK)
    assert result.exit_code == 1
    assert str(tmp_path) in result.stderr
