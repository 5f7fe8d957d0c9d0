"""What a finished run leaves behind, and what is refused before a folder is made."""

import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.epochs import unique_tokens
from omnimouse_cli.batch.masking import training_strategies
from omnimouse_cli.config.load import load_config
from omnimouse_cli.cost.training import estimate_training
from omnimouse_cli.errors import OmniMouseError, ShardError
from omnimouse_cli.files import read_document
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.folder import write_config
from omnimouse_cli.run.load import load_run
from omnimouse_cli.run.metrics_log import read_metrics
from omnimouse_cli.training.memory import (
    available_memory,
    explain_out_of_memory,
    suggest_settings,
)
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.run import train
from tests.reporter import MessageReporter

FIELDS = ("run", "model", "parameters", "windows_seen", "unique_tokens", "tokens_seen", "epochs")
FIELDS += ("sessions", "animals", "seed", "split", "validation", "wall_seconds", "device", "flops")


@pytest.fixture
def shards(make_shards, session) -> Path:
    return make_shards([session(behavior=True), session(key="2-1-1", num_neurons=4)])


@pytest.fixture
def run(shards, tiny, tmp_path) -> Path:
    train(TrainingJob(config=tiny, shards=shards, run=tmp_path / "run"), World(), Silent())
    return tmp_path / "run"


@pytest.mark.training
def test_the_folder_has_every_file_of_the_contract(run):
    names = {path.name for path in run.iterdir() if not path.name.startswith(".")}
    assert names == {
        "config.toml",
        "environment.json",
        "metrics.jsonl",
        "summary.json",
        "checkpoints",
        "model.safetensors",
    }
    assert not list(run.rglob("*.partial"))


@pytest.mark.training
def test_the_summary_has_every_field_of_the_contract(run, shards, tiny):
    summary = read_document(run / "summary.json", "summary")
    for field in FIELDS:
        assert summary[field] is not None, field
    assert summary["run"] == "run"
    assert summary["parameters"].keys() >= {"core", "tables", "total"}
    assert summary["parameters"]["tables"] == (6 + 4) * (8 + 1) + 2 * 8
    stored = load_file(run / "model.safetensors")
    # Whoever may read the summary may read the weights.
    modes = {(run / name).stat().st_mode for name in ("summary.json", "model.safetensors")}
    assert len(modes) == 1
    assert summary["parameters"]["total"] == sum(value.numel() for value in stored.values())
    assert (summary["sessions"], summary["animals"], summary["seed"]) == (2, 2, 3)
    sessions = open_dataset(shards).sessions
    named = [(one["session"], one["neurons"], one["fingerprint"]) for one in summary["data"]]
    assert named == [(one.key, one.num_neurons, one.fingerprint) for one in sessions]
    assert {"licence", "citation", "doi"} <= set(summary["data"][0])
    assert summary["validation"]["neural_loss"] > 0
    lines = [line for line in read_metrics(run) if "loss" in line]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert summary["windows_seen"] == lines[-1]["windows"]
    assert summary["tokens_seen"] == lines[-1]["tokens"]
    for line in lines:
        assert line["epoch"] == line["tokens"] / summary["unique_tokens"]
    assert summary["epochs"] == lines[-1]["epoch"]


def test_a_token_is_one_neuron_at_one_stored_sample_under_a_training_window(shards, tiny):
    dataset = open_dataset(shards)
    config = replace(tiny.data, sessions=None)
    covered = 0
    for session in dataset.sessions:
        table = dataset.windows(config, session.key)
        starts = table.grid_index(np.arange(table.num_windows))
        samples = {int(start) + offset for start in starts for offset in range(60)}
        covered += len(samples) * session.num_neurons
    assert unique_tokens(dataset, config) == covered


@pytest.mark.parametrize("stride", [7, 60, 100])
def test_tokens_between_windows_that_are_far_apart_are_not_counted(shards, tiny, stride):
    dataset = open_dataset(shards, max_sessions=1)
    config = replace(tiny.data, stride_samples=stride)
    table = dataset.windows(config, dataset.sessions[0].key)
    starts = table.grid_index(np.arange(table.num_windows))
    samples = {int(start) + offset for start in starts for offset in range(60)}
    assert unique_tokens(dataset, config) == len(samples) * 6


@pytest.mark.training
def test_a_length_in_epochs_is_that_of_the_summary_and_is_stored_in_steps(shards, tiny, tmp_path):
    config = replace(tiny, train=replace(tiny.train, steps=None, epochs=2.0))
    job = TrainingJob(config=config, shards=shards, run=tmp_path / "run")
    reporter = MessageReporter()
    train(job, World(), reporter)
    summary = read_document(job.run / "summary.json", "summary")
    assert summary["epochs"] == summary["tokens_seen"] / summary["unique_tokens"]
    a_step = summary["epochs"] / summary["steps"]
    assert 2.0 - a_step < summary["epochs"] < 2.0 + 2 * a_step
    stored = load_config(job.run / "config.toml").train
    assert (stored.steps, stored.epochs) == (summary["steps"], None)
    assert f"training for {summary['steps']} steps: 2 epochs" in " ".join(reporter.said)
    train(replace(job, resume=True), World(), reporter)
    assert any("has finished already" in text for text in reporter.said)


@pytest.mark.training
def test_a_run_of_an_earlier_version_in_epochs_is_not_resumed_for_another_length(run, shards, tiny):
    config = replace(tiny, train=replace(tiny.train, steps=None, epochs=3.0))
    write_config(run, config)
    job = TrainingJob(config=config, shards=shards, run=run, resume=True)
    with pytest.raises(OmniMouseError, match="in which an epoch was every training window once"):
        train(job, World(), Silent())


@pytest.mark.training
def test_the_configuration_is_complete_and_gives_the_same_run(run, shards, tmp_path):
    content = tomllib.loads((run / "config.toml").read_text())
    assert content["train"]["batches_per_step"] == 1
    assert content["model"]["response_loss"] == "poisson"
    assert content["data"]["sessions"] == ["1-1-1", "2-1-1"]
    again = TrainingJob(
        config=load_config(run / "config.toml"), shards=shards, run=tmp_path / "again"
    )
    train(again, World(), Silent())
    files = [path / "model.safetensors" for path in (run, tmp_path / "again")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.training
def test_the_exported_model_is_read_by_evaluation(run):
    loaded = load_run(run)
    assert loaded.step == 6
    assert set(loaded.embeddings) == {"1-1-1", "2-1-1"}
    assert loaded.behavior_channels == ("running",)


@pytest.mark.training
def test_validation_is_deterministic_and_weighs_sessions_by_neurons(run):
    records = read_document(run / "summary.json", "summary")["validation"]["records"]
    models = [item for item in records if item["predictor"] == "model"]
    rows = [item for item in models if item["strategy"] == "forecast"]
    values = {item["session"]: item["value"] for item in rows if item["target"] == "neurons"}
    expected = (6 * values["1-1-1"] + 4 * values["2-1-1"]) / 10
    assert values["overall"] == pytest.approx(expected)
    assert {item["regime"] for item in records} == {"forecast", "decode", "population"}
    assert {item["session"] for item in records if item["strategy"] == "decode"} == {
        "1-1-1",
        "overall",
    }


@pytest.mark.training
def test_without_validation_trials_the_loss_is_null(make_shards, session, tiny, tmp_path):
    shards = make_shards([session(has_validation=False)])
    train(TrainingJob(config=tiny, shards=shards, run=tmp_path / "run"), World(), Silent())
    summary = read_document(tmp_path / "run" / "summary.json", "summary")
    assert summary["validation"] == {
        "neural_loss": None,
        "windows_per_session": None,
        "records": [],
    }


@pytest.mark.training
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"data": {"tiers": ("oracle",)}}, "oracle"),
        ({"data": {"sessions": ("1-1-9",)}}, "no session 1-1-9"),
        ({"train": {"validation_sessions": ("7-7-7",)}}, "no session 7-7-7"),
    ],
)
def test_what_the_data_refuse_makes_no_folder(shards, tiny, tmp_path, change, problem):
    config = tiny
    for section, values in change.items():
        config = replace(config, **{section: replace(getattr(config, section), **values)})
    with pytest.raises(ShardError, match=problem):
        train(TrainingJob(config=config, shards=shards, run=tmp_path / "run"), World(), Silent())
    assert not (tmp_path / "run").exists()


@pytest.mark.training
def test_a_loss_that_is_no_number_ends_the_run_with_a_sentence(shards, tiny, tmp_path):
    config = replace(
        tiny, train=replace(tiny.train, learning_rate=1e30, table_learning_rate=1e30, steps=30)
    )
    with pytest.raises(OmniMouseError, match=r"loss of step \d+ is not a finite number"):
        train(TrainingJob(config=config, shards=shards, run=tmp_path / "run"), World(), Silent())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_memory_that_runs_out_names_what_to_lower(shards, tiny, error):
    sessions = open_dataset(shards).sessions
    strategies = training_strategies(tiny.masking, sessions)
    with (
        pytest.raises(OmniMouseError, match=r"data\.batch_size` is 2") as caught,
        explain_out_of_memory(tiny, sessions, strategies, World()),
    ):
        raise error
    assert caught.value.hint == suggest_settings(tiny, sessions, strategies, World())


def test_other_errors_are_not_taken_for_memory(tiny):
    with (
        pytest.raises(RuntimeError, match="shapes"),
        explain_out_of_memory(tiny, (), (), World()),
    ):
        raise RuntimeError("shapes differ")


def _hint(config, shards, monkeypatch, bytes_there: float, num_ranks: int = 1) -> str:
    monkeypatch.setattr(
        "omnimouse_cli.training.memory.available_memory", lambda _: int(bytes_there)
    )
    sessions = open_dataset(shards).sessions
    strategies = training_strategies(config.masking, sessions)
    return suggest_settings(config, sessions, strategies, World(num_ranks=num_ranks))


def test_what_would_fit_is_the_largest_batch_that_the_estimate_allows(shards, tiny, monkeypatch):
    config = replace(
        tiny,
        data=replace(tiny.data, batch_size=8),
        train=replace(tiny.train, activation_checkpointing=True),
    )
    sessions = open_dataset(shards).sessions
    strategies = training_strategies(config.masking, sessions)
    plan = estimate_training(
        config, sessions, strategies, owned=[range(len(sessions))], device="cpu"
    )
    needed = plan["memory_bytes"]
    of_batch = needed["batch"] + needed["activations"] + needed["workspace"]
    held, of_window = sum(needed.values()) - of_batch, of_batch / 8
    hint = _hint(config, shards, monkeypatch, held + 5.5 * of_window)
    assert "by the estimate a batch of 5 fits in the" in hint
    assert "--set data.batch_size=5; a larger train.batches_per_step compensates" in hint
    # Ranks on CPUs share the machine's memory.
    assert "batch of 2 fits" in _hint(config, shards, monkeypatch, 2 * held + 5.5 * of_window, 2)
    enough = _hint(config, shards, monkeypatch, held + 9.5 * of_window)
    assert "by the estimate 9 windows fit" in enough
    assert "data.batch_size=4" in enough


def test_activation_checkpointing_is_named_where_it_makes_the_batch_fit(shards, tiny, monkeypatch):
    config = replace(tiny, data=replace(tiny.data, batch_size=8))
    with_it = replace(config, train=replace(config.train, activation_checkpointing=True))
    sessions = open_dataset(shards).sessions
    strategies = training_strategies(config.masking, sessions)

    def needed(one) -> int:
        plan = estimate_training(one, sessions, strategies, owned=[[0, 1]], device="cpu")
        return sum(plan["memory_bytes"].values())

    assert needed(with_it) < 0.95 * needed(config)
    hint = _hint(config, shards, monkeypatch, needed(with_it) + 1000)
    assert "--set train.activation_checkpointing=true" in hint
    assert "or a batch of" in hint
    smaller = _hint(config, shards, monkeypatch, needed(with_it) * 0.5)
    assert "activation_checkpointing" not in smaller


def test_where_no_window_fits_neurons_or_another_size_are_named(shards, tiny, monkeypatch):
    sessions = open_dataset(shards).sessions
    strategies = training_strategies(tiny.masking, sessions)

    def needed(config) -> int:
        owned = [range(len(sessions))]
        plan = estimate_training(config, sessions, strategies, owned=owned, device="cpu")
        return sum(plan["memory_bytes"].values())

    one = replace(tiny, data=replace(tiny.data, batch_size=1))
    few = replace(one, data=replace(one.data, max_neurons=2))
    hint = _hint(tiny, shards, monkeypatch, (needed(few) + needed(one)) / 2)
    assert hint.endswith("--set data.batch_size=1 --set data.max_neurons=2")
    large = load_config(size="1M")
    assert "--model nano fits" in _hint(large, shards, monkeypatch, 2**24)
    assert "no model fits" in _hint(large, shards, monkeypatch, 2**16)


def test_the_memory_that_is_there_is_no_more_than_the_process_may_have(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr("omnimouse_cli.training.memory.CONTAINER_LIMIT", limit)
    whole = available_memory(torch.device("cpu"))
    assert whole > 2**28
    for text, expected in (("max\n", whole), ("1048576\n", 2**20)):
        limit.write_text(text)
        assert available_memory(torch.device("cpu")) == expected


@pytest.mark.training
def test_shards_are_verified_in_the_first_epoch(make_shards, session, tiny, tmp_path):
    # The original belongs to other tests, too.
    shards = shutil.copytree(make_shards([session()]), tmp_path / "shards")
    opened = open_dataset(shards).sessions[0]
    header = opened.shard.header
    with opened.path.open("r+b") as stream:
        stream.seek(header.data_start + header.tensors["responses"].first_byte)
        stream.write(bytes([1]))
    config = replace(tiny, train=replace(tiny.train, steps=1000, checkpoint_every=None))
    with pytest.raises(ShardError, match="is damaged: tensor `responses` does not match"):
        train(TrainingJob(config=config, shards=shards, run=tmp_path / "a"), World(), Silent())
