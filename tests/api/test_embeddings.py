"""Embeddings of neurons as one table: every format holds the same, beside ids and positions."""

import csv
import json

import numpy as np
import pytest
from safetensors import safe_open
from typer.testing import CliRunner

import omnimouse_cli as om
from omnimouse_cli.api.embeddings import write_embeddings
from omnimouse_cli.cli.app import app

KEY = "20001-1-1"


@pytest.fixture(scope="module")
def embeddings(api_folder):
    return om.load_run(api_folder / "runs/demo", device="cpu").embeddings()


def invoke(*arguments):
    return CliRunner().invoke(app, ["export-embeddings", *map(str, arguments)])


def test_vectors_are_the_weights_of_the_run(embeddings, api_folder):
    with safe_open(api_folder / "runs/demo/model.safetensors", framework="np") as weights:
        stored = weights.get_tensor(f"tables.{KEY}.neuron_embeddings")
        of_session = weights.get_tensor(f"tables.{KEY}.session_embedding")
    np.testing.assert_array_equal(embeddings.vectors, stored)
    np.testing.assert_array_equal(embeddings.session_vector, of_session)
    assert (embeddings.animal, embeddings.neurons.position_um.shape) == ("20001", (6, 3))


def test_every_format_holds_the_same(embeddings, tmp_path):
    names = write_embeddings(tmp_path / "table.csv", [embeddings, embeddings])
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == names
    assert names[:8] == ("session", "animal", "neuron", "unit_id", "x_um", "y_um", "z_um", "bias")
    assert ([row["session"] for row in rows], len(rows)) == ([KEY] * 12, 12)
    of_csv = np.array([[row[f"e{i}"] for i in range(64)] for row in rows], np.float32)
    np.testing.assert_array_equal(of_csv[:6], embeddings.vectors)
    position = np.array([[row[name] for name in names[4:7]] for row in rows], np.float32)
    np.testing.assert_array_equal(position[6:], embeddings.neurons.position_um)

    write_embeddings(tmp_path / "table.npz", [embeddings, embeddings])
    arrays = np.load(tmp_path / "table.npz")
    np.testing.assert_array_equal(arrays["vectors"], of_csv)
    np.testing.assert_array_equal(arrays["unit_id"], [int(row["unit_id"]) for row in rows])

    write_embeddings(tmp_path / "table.safetensors", [embeddings, embeddings])
    with safe_open(tmp_path / "table.safetensors", framework="np") as file:
        np.testing.assert_array_equal(file.get_tensor("vectors"), of_csv)
        assert json.loads(file.metadata()["session"])[file.get_tensor("session")[0]] == KEY


def test_the_command_writes_into_the_run_and_nothing_over_it(api_folder, tmp_path):
    run, out = api_folder / "runs/demo", tmp_path / "vectors.csv"
    result = invoke(run, "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout)
    assert (content["format"], content["neurons"]) == ("omnimouse-embeddings", 6)
    assert content["columns"][-1] == "e63"
    again = invoke(run, "--out", out)
    assert (again.exit_code, again.stdout) == (1, "")
    assert f"error: {out} exists" in again.stderr
    shown = invoke(run, "--out", out, "--force", "--session", KEY).stdout
    assert shown.strip() == f"{out}: 6 neurons of 1 session, vectors of 64 numbers"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "vectors.txt"), "vectors.txt has no suffix of a table of embeddings: .csv,"),
        (("--session", "20001-9-9", "--out", "v.csv"), "runs/demo has no session 20001-9-9"),
    ],
)
def test_bad_input_is_one_sentence_and_a_hint(api_folder, arguments, message):
    result = invoke(api_folder / "runs/demo", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "\n\nhint: " in result.stderr
