"""A run is read back whole; an unfinished, damaged or foreign one is refused with a sentence."""

import io
import os
import pickle
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.errors import CheckpointError, OmniMouseError
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.ensemble import make_ensemble
from omnimouse_cli.run.folder import read_config
from omnimouse_cli.run.load import load_run, open_run_data
from omnimouse_cli.run.weights import write_weights
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess
from tests.reporter import MessageReporter


def test_a_run_is_read_back(simulated_run, simulated_data):
    run = load_run(simulated_run)
    assert [entry.session for entry in run.sessions] == [s.key for s in simulated_data.sessions]
    assert run.behavior_channels == simulated_data.behavior_channels
    assert (run.step, run.response_loss, run.config.model.size) == (7, "poisson", "nano")
    assert not run.model.training
    stored = load_file(simulated_run / "model.safetensors")
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, stored[f"core.{name}"])
    key = simulated_data.sessions[1].key
    biases = run.embeddings[key].neuron_biases
    assert torch.equal(biases, stored[f"tables.{key}.neuron_biases"])
    assert run.animal_of(key) == simulated_data.sessions[1].animal


def test_a_run_finds_its_own_shards(simulated_run, simulated_data):
    dataset = open_run_data(load_run(simulated_run), None)
    assert dataset.fingerprint == simulated_data.fingerprint


def test_a_moved_run_asks_for_its_shards_and_takes_them(simulated_run, simulated_data, tmp_path):
    moved = shutil.copytree(simulated_run, tmp_path / "elsewhere" / "run")
    shards = shutil.copytree(simulated_data.folder, tmp_path / "copied")
    run = load_run(moved)
    assert len(open_run_data(run, shards).sessions) == 2
    away = load_run_with(moved, tmp_path / "gone", shards=str(tmp_path / "no-shards"))
    with pytest.raises(CheckpointError, match="was trained on are not at") as caught:
        open_run_data(away, None)
    assert "--shards" in caught.value.hint
    assert len(open_run_data(away, shards).sessions) == 2


def load_run_with(run, folder, **changes):
    """Copy a run with other facts in its description."""
    import json

    from safetensors import safe_open

    shutil.copytree(run, folder)
    path = folder / "model.safetensors"
    with safe_open(path, framework="pt") as stream:
        metadata = stream.metadata()
    description = {**json.loads(metadata["description"]), **changes}
    tensors = load_file(path)
    save_file(tensors, path, {**metadata, "description": json.dumps(description)})
    return load_run(folder)


def test_an_unfinished_run_is_refused(simulated_run, tmp_path):
    unfinished = tmp_path / "run"
    unfinished.mkdir()
    shutil.copy(simulated_run / "config.toml", unfinished)
    with pytest.raises(CheckpointError, match="has not finished training") as caught:
        load_run(unfinished)
    assert f"omnimouse train --resume {unfinished}" in caught.value.hint


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="there is no such folder"):
        load_run(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"has neither model\.safetensors nor config\.toml"):
        load_run(tmp_path)
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    (run / "config.toml").touch()
    with pytest.raises(CheckpointError) as caught:
        load_run(tmp_path / "runs")
    assert caught.value.hint == f"name a run in it, for example {run}"


def test_weights_of_another_version_are_refused(simulated_data, write_run, tmp_path):
    run = write_run(tmp_path / "run", simulated_data, version="2")
    with pytest.raises(CheckpointError, match="has version 2; this omnimouse reads version 1"):
        load_run(run)


def test_settings_of_another_version_are_told(simulated_run, tmp_path):
    with pytest.raises(CheckpointError, match=r"trained by another version .*`model\.spike_rank`"):
        load_run_with(simulated_run, tmp_path / "run", config={"model": {"spike_rank": 3}})


def test_weights_of_something_else_are_refused(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="holds no weights of omnimouse: its format is pt"):
        load_run(tmp_path)


def test_cut_and_garbled_weights_are_refused(simulated_run, tmp_path):
    run = shutil.copytree(simulated_run, tmp_path / "run")
    path = run / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_run(run)
    path.write_bytes(b"\xff" * 64)
    with pytest.raises(CheckpointError, match="is damaged"):
        load_run(run)


def test_a_missing_tensor_is_refused(simulated_run, tmp_path):
    run = shutil.copytree(simulated_run, tmp_path / "run")
    tensors = load_file(run / "model.safetensors")
    from safetensors import safe_open

    with safe_open(run / "model.safetensors", framework="pt") as stream:
        metadata = stream.metadata()
    name = next(name for name in tensors if name.startswith("core."))
    del tensors[name]
    save_file(tensors, run / "model.safetensors", metadata)
    with pytest.raises(CheckpointError, match="does not fit the model that it describes"):
        load_run(run)


def test_another_number_of_neurons_is_refused_with_both(simulated_data, write_run, tmp_path):
    dataset = open_dataset(simulated_data.folder)
    key = dataset.sessions[0].key
    import dataclasses

    fewer = dataclasses.replace(
        dataset, sessions=(dataclasses.replace(dataset.sessions[0], num_neurons=13),)
    )
    run = load_run(write_run(tmp_path / "run", fewer))
    with pytest.raises(CheckpointError, match=f"session {key} has 20 neurons in .* and 13 in"):
        open_run_data(run, simulated_data.folder)


@pytest.fixture
def data_of_one_key(experanto_session, tmp_path):
    """Two data sets of recordings with the same key and number of neurons."""
    folders = []
    for seed in (0, 1):
        recording = open_recording(experanto_session(f"r{seed}", data_key="100-1-1", seed=seed))
        folders.append(tmp_path / f"shards{seed}")
        preprocess([recording], folders[-1], PreprocessOptions(), Silent())
    return folders


def test_another_recording_of_the_same_key_is_refused_unless_it_is_allowed(
    data_of_one_key, write_run, tmp_path
):
    first, second = data_of_one_key
    run = load_run(write_run(tmp_path / "run", open_dataset(first)))
    reporter = MessageReporter()
    with pytest.raises(CheckpointError) as caught:
        open_run_data(run, second, reporter)
    prints = [open_dataset(folder).sessions[0].fingerprint[:8] for folder in data_of_one_key]
    assert caught.value.message == (
        f"{second} holds other data of 100-1-1 than {run.folder} was trained on (fingerprint "
        f"{prints[1]}, not {prints[0]}): another recording of the same key, or preprocessed with "
        "other options"
    )
    assert "--allow-other-data" in caught.value.hint
    assert reporter.warnings == []
    assert open_run_data(run, second, reporter, allow_other_data=True).sessions
    assert [line.endswith("all the same (--allow-other-data)") for line in reporter.warnings] == [1]


def test_the_same_recording_preprocessed_elsewhere_is_the_same_data(
    data_of_one_key, write_run, tmp_path
):
    first, _ = data_of_one_key
    run = load_run(write_run(tmp_path / "run", open_dataset(first)))
    copied = shutil.copytree(
        tmp_path / "recordings" / "r0", tmp_path / "copied", copy_function=shutil.copyfile
    )
    preprocess([open_recording(copied)], tmp_path / "again", PreprocessOptions(), Silent())
    reporter = MessageReporter()
    dataset = open_run_data(run, tmp_path / "again", reporter)
    assert reporter.warnings == []
    before = open_dataset(first).sessions[0].shard.description.source.fingerprint
    assert dataset.sessions[0].shard.description.source.fingerprint != before


def test_data_of_a_run_without_fingerprints_are_taken_with_a_warning(
    data_of_one_key, write_run, tmp_path
):
    dataset = open_dataset(data_of_one_key[0])
    facts = {"session": "100-1-1", "animal": dataset.animals[0], "neurons": 6}
    run = load_run(write_run(tmp_path / "run", dataset, sessions=[facts]))
    reporter = MessageReporter()
    assert open_run_data(run, data_of_one_key[1], reporter).sessions
    (warning,) = reporter.warnings
    assert warning.startswith(f"{run.folder} does not record which data it was trained on")
    assert "of 1 session only key and number of neurons were compared" in warning


def test_runs_of_different_data_are_no_ensemble(data_of_one_key, write_run, tmp_path):
    runs = [
        load_run(write_run(tmp_path / folder.name[-1], open_dataset(folder)))
        for folder in data_of_one_key
    ]
    with pytest.raises(CheckpointError, match="were trained on different data of session 100-1-1"):
        make_ensemble(runs)


def test_shards_without_any_session_of_the_run_are_refused(
    simulated_run, experanto_session, tmp_path
):
    recording = open_recording(experanto_session("900-1-1"))
    preprocess([recording], tmp_path / "shards", PreprocessOptions(), Silent())
    with pytest.raises(CheckpointError, match="holds none of the sessions"):
        open_run_data(load_run(simulated_run), tmp_path / "shards")


@pytest.mark.parametrize("name", ["model.safetensors", "config.toml"])
def test_no_file_of_a_foreign_run_is_executed(simulated_run, tmp_path, name):
    run, marker = shutil.copytree(simulated_run, tmp_path / "run"), tmp_path / "executed"

    class Executed:
        def __reduce__(self):
            return os.mkdir, (os.fspath(marker),)

    stream = io.BytesIO()
    torch.save(Executed(), stream)
    for content in (pickle.dumps(Executed()), stream.getvalue()):
        (run / name).write_bytes(content)
        with pytest.raises(OmniMouseError):
            load_run(run) if name == "model.safetensors" else read_config(run)
    assert not marker.exists()


def _flip(file: Path, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


@pytest.fixture(scope="module")
def rewritten_run(simulated_run, tmp_path_factory) -> Path:
    """A run whose weights are written by the program, with checksums."""
    run = shutil.copytree(simulated_run, tmp_path_factory.mktemp("rewritten") / "run")
    loaded = load_run(run)
    write_weights(run / "model.safetensors", loaded.tensors(), loaded)
    return run


def test_a_flipped_bit_of_the_weights_is_noticed(rewritten_run, tmp_path):
    run = shutil.copytree(rewritten_run, tmp_path / "run")
    file = run / "model.safetensors"
    content = file.read_bytes()
    header_bytes = 8 + int.from_bytes(content[:8], "little")
    generator = random.Random(1)
    bits = [generator.randrange(8 * header_bytes) for _ in range(12)]
    bits += [generator.randrange(8 * header_bytes, 8 * len(content)) for _ in range(12)]
    for bit in bits:
        _flip(file, bit)
        with pytest.raises(CheckpointError) as caught:
            load_run(run)
        if bit >= 8 * header_bytes:
            assert "does not match its checksum" in caught.value.message
        _flip(file, bit)
    assert load_run(run).sessions == load_run(rewritten_run).sessions


def test_weights_without_checksums_are_read_as_before(simulated_run, rewritten_run):
    assert b'"checksums"' not in (simulated_run / "model.safetensors").read_bytes()
    one, other = load_run(simulated_run).tensors(), load_run(rewritten_run).tensors()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


WRITE = """
import sys
from pathlib import Path
from omnimouse_cli.run.load import load_run
from omnimouse_cli.run.weights import write_weights
run = load_run(Path(sys.argv[1]))
write_weights(Path(sys.argv[2]), run.tensors(), run)
"""


def test_equal_weights_give_equal_files_in_every_process(rewritten_run, tmp_path):
    # The test's own process has another seed of its hashes.
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-c", WRITE, rewritten_run, tmp_path / "again"]
    subprocess.run(command, env=environment, check=True)
    loaded = load_run(rewritten_run)
    for number in range(4):
        write_weights(tmp_path / str(number), loaded.tensors(), loaded)
    expected = (rewritten_run / "model.safetensors").read_bytes()
    assert all(path.read_bytes() == expected for path in tmp_path.iterdir())
