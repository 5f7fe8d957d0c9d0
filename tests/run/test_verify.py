"""Every byte of the weights and the checkpoints of a run is covered by a checksum."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from omnimouse_cli.cli.app import app
from omnimouse_cli.run.checkpoints import checkpoint_folder, finish_checkpoint, partial_checkpoint
from omnimouse_cli.run.load import load_run
from omnimouse_cli.run.weights import write_tensors, write_weights
from omnimouse_cli.shard.checksum import compute_checksum


def _inspect(*arguments):
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)])


@pytest.fixture
def run(simulated_run, tmp_path):
    """A run with weights and a checkpoint, of which only the checksums matter."""
    run = shutil.copytree(simulated_run, tmp_path / "run")
    loaded = load_run(run)
    write_weights(run / "model.safetensors", loaded.tensors(), loaded)
    folder = checkpoint_folder(run, 5)
    partial_checkpoint(folder).mkdir(parents=True)
    (partial_checkpoint(folder) / "__0_0.distcp").write_bytes(b"tensors")
    checksums = {"__0_0.distcp": compute_checksum(b"tensors")}
    finish_checkpoint(folder, {"step": 5, "checksums": checksums}, keep=1)
    return run


def test_a_whole_run_is_verified(run):
    result = _inspect(run, "--verify")
    assert result.exit_code == 0, result.stderr
    assert "of 1 file of weights and of 1 checkpoint matches" in " ".join(result.stdout.split())
    document = json.loads(_inspect(run, "--verify", "--json").stdout)
    names = ["model.safetensors", "checkpoints/step-00000005"]
    assert document["verified"] == {"run": names, "without_checksums": []}
    assert document["runs"][0]["verified"] == document["verified"]


def test_files_of_earlier_versions_are_named(run, simulated_run):
    shutil.copy(simulated_run / "model.safetensors", run)
    result = _inspect(run, "--verify")
    assert result.exit_code == 0, result.stderr
    assert "model.safetensors has no checksums" in " ".join(result.stderr.split())


def test_every_damaged_file_is_named(run):
    (checkpoint_folder(run, 5) / "__0_0.distcp").write_bytes(b"tensorr")
    weights = bytearray((run / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (run / "model.safetensors").write_bytes(weights)
    result = _inspect(run, "--verify")
    assert result.exit_code == 1
    stderr = " ".join(result.stderr.split())
    assert "model.safetensors is damaged: tensor" in stderr
    assert "step-00000005 is damaged: __0_0.distcp does not match its checksum" in stderr


def test_a_folder_of_runs_lists_them_and_verifies_each(run, simulated_run):
    folder = run.parent
    for name in ("sweep/one", "sweep/two"):
        shutil.copytree(run, folder / name)
    records = json.loads(_inspect(folder, "--json").stdout)["runs"]
    assert [record["run"] for record in records] == ["run", "sweep/one", "sweep/two"]
    assert {(record["state"], record["step"], record["checkpoints"]) for record in records} == {
        ("unfinished", 5, 1)
    }
    result = _inspect(folder, "--verify")
    assert result.exit_code == 0, result.stderr
    assert "3 files of weights and of 3 checkpoints" in result.stdout
    # An unfinished run has no weights yet.
    (folder / "sweep/one/model.safetensors").unlink()
    assert _inspect(folder / "sweep/one", "--verify").exit_code == 0
    (folder / "sweep/two/checkpoints/step-00000005/__0_0.distcp").write_bytes(b"tensorr")
    result = _inspect(folder, "--verify")
    assert result.exit_code == 1
    assert "sweep/two" in result.stdout
    assert "two/checkpoints/step-00000005 is damaged" in result.stderr
    result = _inspect(folder, "--session", "1-1-1")
    assert result.exit_code == 1
    assert "holds runs: only --verify" in result.stderr


def test_weights_may_have_every_name_that_the_file_system_takes(tmp_path):
    path = tmp_path / f"{'n' * 243}.safetensors"
    write_tensors(path, {"a": torch.ones(1)}, {})
    assert load_file(path)["a"] == 1
    assert list(tmp_path.iterdir()) == [path]
