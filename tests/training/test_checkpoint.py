"""Checkpoints: whole or absent, found again, refused where they do not belong."""

import errno
import random
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.errors import CheckpointError, DamagedCheckpointError, OmniMouseError
from omnimouse_cli.files import read_document, write_document
from omnimouse_cli.run.checkpoints import (
    checkpoint_folder,
    complete_checkpoints,
    finish_checkpoint,
    latest_checkpoint,
    partial_checkpoint,
)
from omnimouse_cli.training import checkpoint_writer
from omnimouse_cli.training.checkpoint import describe_checkpoint, load_checkpoint
from omnimouse_cli.training.checkpoint_writer import CheckpointWriter, own_part
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.resolve import resolve_response_loss
from omnimouse_cli.training.state import Counters, TrainState
from tests.training.checkpoints import save_checkpoint

WORLD = World()


@pytest.fixture
def dataset(make_shards, session):
    return open_dataset(make_shards([session(), session(key="2-1-1", num_neurons=4)]))


@pytest.fixture
def config(tiny, dataset):
    return resolve_response_loss(tiny, dataset.sessions)


def _save(run: Path, state: TrainState, config, step: int, keep: int = 9) -> Path:
    state.counters.step = step
    config = replace(config, train=replace(config.train, keep_checkpoints=keep))
    return save_checkpoint(run, state, config)


def _edit_state(path: Path, **changes) -> None:
    """Replace fields of state.json, as a checkpoint of an earlier version has no checksum."""
    description = read_document(path / "state.json", "checkpoint")
    del description["checksum"], description["checksums"]
    write_document(path / "state.json", "checkpoint", {**description, **changes})


def test_everything_that_training_changes_comes_back(tmp_path, config, dataset):
    state = TrainState(config, dataset, WORLD)
    for number, tensor in enumerate(state.tensors().values()):
        tensor.copy_(torch.full_like(tensor, number))
    state.counters.windows, state.counters.elapsed_seconds = 17, 0.1 + 0.2
    state.counters.shortcut_windows, state.counters.flops = 5, 1e9 / 3
    path = _save(tmp_path, state, config, 3)
    other = TrainState(replace(config, seed=99), dataset, WORLD)
    assert load_checkpoint(path, other, config=config, world=WORLD)
    assert other.counters == state.counters
    for name, tensor in state.tensors().items():
        assert torch.equal(other.tensors()[name], tensor), name


def test_the_state_has_weights_and_moments_of_core_and_tables(config, dataset):
    state = TrainState(config, dataset, WORLD)
    parameters = [f"core.{name}" for name, _ in state.core.named_parameters()]
    parameters += [f"tables.{key}.neuron_embeddings" for key in ("1-1-1", "2-1-1")]
    wanted = {
        name.replace(section, f"{section.rstrip('s')}_optimizer", 1) + f".{moment}"
        for name in parameters
        for section in [name.partition(".")[0]]
        for moment in ("step", "exp_avg", "exp_avg_sq")
    }
    assert wanted.union(parameters) <= state.tensors().keys()


def test_latest_names_the_newest_and_older_ones_go(tmp_path, config, dataset):
    state = TrainState(config, dataset, WORLD)
    for step in (1, 2, 10):
        _save(tmp_path, state, config, step, keep=2)
    names = [path.name for path in complete_checkpoints(tmp_path)]
    assert names == ["step-00000002", "step-00000010"]
    assert (tmp_path / "checkpoints" / "latest").read_text() == "step-00000010\n"
    assert latest_checkpoint(tmp_path).name == "step-00000010"


def test_what_a_kill_left_is_no_checkpoint_and_is_cleared_away(tmp_path, config, dataset):
    state = TrainState(config, dataset, WORLD)
    good = _save(tmp_path, state, config, 1)
    half = good.with_name(".step-00000002.partial")
    shutil.copytree(good, half)
    nameless = good.with_name("step-00000003")
    shutil.copytree(good, nameless)
    (nameless / "state.json").unlink()
    assert complete_checkpoints(tmp_path) == [good]
    assert latest_checkpoint(tmp_path) == good
    _save(tmp_path, state, config, 4)
    assert not half.exists()


def test_a_checkpoint_of_another_size_is_refused_with_both_named(tmp_path, config, dataset):
    path = _save(tmp_path, TrainState(config, dataset, WORLD), config, 1)
    larger = replace(config, model=replace(config.model, size="tiny", d_model=32))
    state = TrainState(larger, dataset, WORLD)
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path, state, config=larger, world=WORLD)
    assert "of a nano model and this run is of a tiny model" in error.value.message
    assert "d_model 16 there and 32 here" in error.value.message
    for name, tensor in state.tensors().items():
        assert torch.equal(tensor, before[name])


def test_a_checkpoint_from_before_an_option_is_one_with_its_default(tmp_path, config, dataset):
    state = TrainState(config, dataset, WORLD)
    path = _save(tmp_path, state, config, 1)
    model = read_document(path / "state.json", "checkpoint")["model"]
    del model["dendrite"]["table"], model["dropout"]
    _edit_state(path, model=model)
    without = replace(config, model=replace(config.model, dropout=0.0))
    assert load_checkpoint(path, state, config=without, world=WORLD)
    dropping = replace(config, model=replace(config.model, dropout=0.3))
    with pytest.raises(CheckpointError, match=r"dropout 0\.0 there and 0\.3 here"):
        load_checkpoint(path, state, config=dropping, world=WORLD)


def test_a_checkpoint_from_before_a_tensor_is_read_where_its_first_value_is_the_older_model(
    tmp_path, config, dataset, monkeypatch
):
    decoder = replace(config.model.decoder, linear_rank=4)
    config = replace(config, model=replace(config.model, decoder=decoder))

    def save_without(name):
        state, whole = TrainState(config, dataset, WORLD), TrainState.tensors
        with monkeypatch.context() as patch:
            patch.setattr(
                TrainState,
                "tensors",
                lambda self: {key: each for key, each in whole(self).items() if key != name},
            )
            return _save(tmp_path / name, state, config, 1)

    share = "core.linear_paths.encoding.stimulus_share"
    assert share in TrainState(config, dataset, WORLD).tensors()
    state = TrainState(config, dataset, WORLD)
    state.core.get_parameter("readout.project.weight").data.fill_(7.0)
    load_checkpoint(save_without(share), state, config=config, world=WORLD)
    assert state.tensors()[share] == 1
    assert not (state.core.get_parameter("readout.project.weight") == 7).any()
    path = save_without("core.readout.project.weight")
    with pytest.raises(
        CheckpointError, match=r"another version of omnimouse: it lacks 1 tensor, core\.read"
    ):
        load_checkpoint(path, state, config=config, world=WORLD)


def test_counters_of_a_checkpoint_from_before_flops_were_counted_are_read(
    tmp_path, config, dataset
):
    state = TrainState(config, dataset, WORLD)
    state.counters.shortcut_windows = 5
    path = _save(tmp_path, state, config, 1)
    _edit_state(path)
    description = read_document(path / "state.json", "checkpoint")
    del description["flops"]
    description["short_windows"] = description.pop("shortcut_windows")
    write_document(path / "state.json", "checkpoint", description)
    load_checkpoint(path, state, config=config, world=WORLD)
    assert state.counters == Counters(step=1, shortcut_windows=5, flops=None)


def test_a_checkpoint_of_other_sessions_is_refused(tmp_path, config, dataset, make_shards, session):
    path = _save(tmp_path, TrainState(config, dataset, WORLD), config, 1)
    other = open_dataset(make_shards([session(), session(key="2-1-1", num_neurons=5)]))
    with pytest.raises(CheckpointError, match="they differ in 2-1-1"):
        load_checkpoint(path, TrainState(config, other, WORLD), config=config, world=WORLD)


def test_data_that_have_changed_are_noticed(tmp_path, config, dataset):
    state = TrainState(config, dataset, WORLD)
    path = _save(tmp_path, state, config, 1)
    state.fingerprint = "of other shards"
    assert not load_checkpoint(path, state, config=config, world=WORLD)


@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata"])
def test_a_damaged_checkpoint_is_one_sentence(tmp_path, config, dataset, name):
    state = TrainState(config, dataset, WORLD)
    path = _save(tmp_path, state, config, 1)
    content = (path / name).read_bytes()
    (path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(path, state, config=config, world=WORLD)


def test_a_full_disk_is_named_and_the_checkpoint_before_stays(
    tmp_path, config, dataset, monkeypatch
):
    state = TrainState(config, dataset, WORLD)
    good = _save(tmp_path, state, config, 1)

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint_writer.FileSystemWriter, "write_data", full)
    with pytest.raises(OmniMouseError, match="the disk is full"):
        _save(tmp_path, state, config, 2)
    assert complete_checkpoints(tmp_path) == [good]
    assert [path.name for path in good.parent.glob(".*")] == []


def test_a_folder_that_is_deleted_meanwhile_is_one_sentence(tmp_path, config, dataset, monkeypatch):
    state = TrainState(config, dataset, WORLD)
    write_data = checkpoint_writer.FileSystemWriter.write_data

    def write_and_delete(self, *arguments):
        result = write_data(self, *arguments)
        shutil.rmtree(tmp_path / "run")
        return result

    monkeypatch.setattr(checkpoint_writer.FileSystemWriter, "write_data", write_and_delete)
    with pytest.raises(OmniMouseError, match=r"step-00000002 cannot be written: No such file"):
        _save(tmp_path / "run", state, config, 2)


def test_a_checkpoint_is_of_the_state_at_its_start(tmp_path, config, dataset):
    state = TrainState(config, dataset, WORLD)
    at_start = {name: value.clone() for name, value in state.tensors().items()}
    with CheckpointWriter(tmp_path, state, config=config, world=WORLD) as writer:
        path = writer.start()
        for value in state.tensors().values():
            value.add_(1)
        state.counters.step, state.counters.windows = 1, 5
        writer.wait()
        later = writer.start()
        assert later != path
        writer.wait()
    for folder, added in ((later, 1), (path, 0)):
        load_checkpoint(folder, state, config=config, world=WORLD)
        for name, value in state.tensors().items():
            assert torch.equal(value, at_start[name] + added), name
    assert state.counters == Counters()


def test_an_error_of_the_writing_is_raised_by_the_next_wait(tmp_path, config, dataset, monkeypatch):
    state = TrainState(config, dataset, WORLD)
    written = threading.Event()

    def fail(*arguments, **options):
        assert written.wait(30)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(checkpoint_writer.FileSystemWriter, "write_data", fail)
    with CheckpointWriter(tmp_path, state, config=config, world=WORLD) as writer:
        writer.start()
        assert not writer.has_failed
        written.set()
        with pytest.raises(OmniMouseError, match="the disk is full"):
            writer.wait()
        assert not writer.has_failed
    assert complete_checkpoints(tmp_path) == []


def test_a_checkpoint_is_due_by_steps_or_by_minutes(tmp_path, config, dataset):
    def due(steps, minutes, step, seconds):
        train = replace(config.train, checkpoint_every=steps, checkpoint_minutes=minutes)
        state.counters.step, state.counters.elapsed_seconds = 0, 1000.0
        settings = replace(config, train=train)
        with CheckpointWriter(tmp_path, state, config=settings, world=WORLD) as writer:
            state.counters.step, state.counters.elapsed_seconds = step, 1000.0 + seconds
            is_due = writer.is_due()
            if is_due:
                writer.start()
                writer.wait()
                # The minutes count from the checkpoint, whichever rule it followed.
                state.counters.step, state.counters.elapsed_seconds = step + 1, 1001.0 + seconds
                assert not writer.is_due()
        return is_due

    state = TrainState(config, dataset, WORLD)
    assert due(10, None, 10, 0)
    assert not due(10, None, 11, 1e9)
    assert due(None, 10, 7, 600)
    assert not due(None, 10, 7, 599)
    assert due(10, 10, 20, 0)
    assert due(10, 10, 21, 601)
    assert not due(10, 10, 22, 30)
    assert not due(None, None, 10, 1e9)


def test_older_checkpoints_stay_one_an_hour(tmp_path):
    for step in range(12):
        folder = checkpoint_folder(tmp_path, step)
        partial_checkpoint(folder).mkdir(parents=True)
        # One checkpoint every 20 minutes.
        finish_checkpoint(folder, {"elapsed_seconds": step * 1200.0}, keep=2, keep_hours=1.0)
    kept = [int(path.name[-2:]) for path in complete_checkpoints(tmp_path)]
    assert kept == [0, 3, 6, 9, 10, 11]


def test_ranks_divide_the_core_among_them(config, dataset):
    tensors = TrainState(config, dataset, WORLD).tensors()
    parts = [own_part(tensors, World(rank=rank, num_ranks=3)) for rank in range(3)]
    shared = [name for name in tensors if name.startswith(("core.", "core_optimizer."))]
    own = [name for name in tensors if name not in shared]
    names = [name for part in parts for name in part]
    assert sorted(names) == sorted(shared + 3 * own)
    sizes = [sum(part[name].nbytes for name in part if name in shared) for part in parts]
    assert max(sizes) - min(sizes) <= max(tensors[name].nbytes for name in shared)
    assert own_part(tensors, WORLD).keys() == tensors.keys()


@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata", "state.json"])
def test_every_flipped_bit_is_noticed(tmp_path, config, dataset, name):
    state = TrainState(config, dataset, WORLD)
    file = _save(tmp_path, state, config, 1) / name
    content = file.read_bytes()
    generator = random.Random(name)
    for _ in range(20):
        bit = generator.randrange(8 * len(content))
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        with pytest.raises(OmniMouseError) as caught:
            load_checkpoint(file.parent, state, config=config, world=WORLD)
        # A flipped bit in the name or the version of the format makes another document of it.
        assert type(caught.value) is DamagedCheckpointError or name == "state.json"
    file.write_bytes(content)
    load_checkpoint(file.parent, state, config=config, world=WORLD)


def test_a_checkpoint_without_checksums_is_read_as_before(tmp_path, config, dataset):
    state = TrainState(config, dataset, WORLD)
    path = _save(tmp_path, state, config, 1)
    _edit_state(path)
    assert load_checkpoint(path, state, config=config, world=WORLD)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("step", "1"),
        ("model", []),
        ("sessions", None),
        ("data", 3),
        ("checksums", {"/dev/zero": 1}),
    ],
)
def test_a_state_of_wrong_types_is_damaged(tmp_path, config, dataset, field, value):
    state = TrainState(config, dataset, WORLD)
    path = checkpoint_folder(tmp_path, 1)
    partial_checkpoint(path).mkdir(parents=True)
    description = describe_checkpoint(state, config)
    finish_checkpoint(path, {**description, field: value}, keep=1)
    with pytest.raises(DamagedCheckpointError, match=f"lacks or misstates `{field}`"):
        load_checkpoint(path, state, config=config, world=WORLD)
