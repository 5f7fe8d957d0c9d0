"""A trained core on another animal: what learns, what starts where, and what is refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.config.load import load_config
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.cost.parameters import count_frozen
from omnimouse_cli.errors import CheckpointError, ConfigError, OmniMouseError
from omnimouse_cli.files import read_document
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.checkpoints import complete_checkpoints
from omnimouse_cli.run.load import load_run, open_run_data
from omnimouse_cli.run.weights import read_description
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.resolve import resolve_config
from omnimouse_cli.training.run import train
from omnimouse_cli.training.start.adapt import default_adaptation, load_core, read_core
from omnimouse_cli.training.state import TrainState
from tests.reporter import MessageReporter

ANIMALS = "core.identities.animals"


class Heard(Silent):
    """Keeps what is said and warned."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(f"warning: {text}")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Where the core of this file is trained once."""
    return tmp_path_factory.mktemp("trained") / "core"


@pytest.fixture
def tiny(tiny) -> RunConfig:
    """A run without checkpoints on the way: most tests here look at its end only."""
    return replace(tiny, train=replace(tiny.train, steps=4, checkpoint_every=99))


@pytest.fixture
def core(trained, make_shards, session, tiny, tmp_path) -> Path:
    """A core of two animals that knows running and a whisker."""
    shards = make_shards(
        [
            session(behavior=True, more_channels=("whisker",), has_validation=False),
            session(key="2-1-1", num_neurons=4, has_validation=False),
        ]
    )
    if not trained.exists():
        train(TrainingJob(config=tiny, shards=shards, run=trained), World(), Silent())
    return shutil.copytree(trained, tmp_path / "core")


@pytest.fixture
def shards(make_shards, session) -> Path:
    """A new session of an animal that the core knows, and one of an animal that it does not."""
    new = session(has_validation=False)
    return make_shards(
        [
            replace(new, key="3-1-1", num_neurons=5, behavior=True, more_channels=("licking",)),
            replace(new, key="2-1-7", num_neurons=3, more_channels=("whisker", "licking")),
        ]
    )


def adaptation(core: Path, tiny: RunConfig, *, unfreeze: tuple = (), **train_changes) -> RunConfig:
    """What the command line makes of --adapt-from."""
    start = default_adaptation(core)
    settings = replace(tiny.train, adapt_from=str(core), unfreeze=unfreeze, **train_changes)
    return replace(start, seed=5, data=replace(start.data, batch_size=2), train=settings)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


@pytest.mark.training
@pytest.mark.parametrize("opened", [(), ("decoder", "latents"), ("all",)])
def test_only_what_is_opened_and_the_vectors_of_animals_change(
    core, shards, tiny, tmp_path, opened
):
    config = adaptation(core, tiny, unfreeze=opened)
    train(TrainingJob(config=config, shards=shards, run=tmp_path / "new"), World(), Silent())
    before, after = weights(core), weights(tmp_path / "new")
    parts = {
        name.split(".")[1]
        for name, value in after.items()
        if name.startswith("core.") and name != ANIMALS and not value.equal(before[name])
    }
    assert (
        parts
        == {
            (): set(),
            ("decoder", "latents"): {"decoder", "latents"},
            ("all",): {name.split(".")[1] for name in before if name.startswith("core.")},
        }[opened]
    )
    assert not after[ANIMALS][0].equal(before[ANIMALS][1])
    assert {name.split(".")[1] for name in after if name.startswith("tables.")} == {
        "3-1-1",
        "2-1-7",
    }


@pytest.mark.training
def test_what_is_frozen_has_no_gradient_and_no_optimizer(core, shards, tiny):
    config = adaptation(core, tiny)
    dataset = open_dataset(shards, behavior_channels=config.data.behavior_channels)
    state = TrainState(config, dataset, World())
    names = {name for name in state.tensors() if name.startswith("core_optimizer.")}
    assert {name.rpartition(".")[0] for name in names} == {"core_optimizer.identities.animals"}
    vectors = 2 * config.model.d_embedding
    assert state.loss_sums.shape == (3, 2)
    assert state.gradient.extra.storage_offset() == vectors
    assert count_frozen(config, num_channels=2, num_animals=2) == (
        sum(value.numel() for value in state.core.parameters()) - vectors
    )
    assert count_frozen(tiny, num_channels=2, num_animals=2) == 0


@pytest.mark.training
def test_known_animals_start_from_their_embeddings_and_new_ones_from_the_mean(core, shards, tiny):
    config = adaptation(core, tiny)
    dataset = open_dataset(shards, behavior_channels=config.data.behavior_channels)
    state = TrainState(config, dataset, World())
    biases = state.embeddings.owned["2-1-7"].neuron_biases.clone()
    load_core(read_description(core), state.core, state.embeddings.owned, dataset)
    before = weights(core)
    vectors = before[ANIMALS]
    assert dataset.animals == ("2", "3")
    assert state.core.identities.animals[0].equal(vectors[1])
    assert state.core.identities.animals[1].equal(vectors.mean(0))
    keys = ("tables.1-1-1", "tables.2-1-1")
    neurons = torch.cat([before[f"{key}.neuron_embeddings"] for key in keys])
    sessions = torch.stack([before[f"{key}.session_embedding"] for key in keys])
    table = state.embeddings.owned["2-1-7"]
    expected = neurons.mean(0).expand(3, -1)
    torch.testing.assert_close(table.neuron_embeddings.data, expected)
    torch.testing.assert_close(table.session_embedding.data, sessions.mean(0))
    # A bias starts at the mean of what was recorded now, not of what was then.
    assert table.neuron_biases.equal(biases)


@pytest.mark.training
def test_a_session_that_the_run_knows_starts_from_its_table(core, make_shards, session, tiny):
    shards = make_shards([session(key="2-1-1", num_neurons=4)])
    config = adaptation(core, tiny)
    dataset = open_dataset(shards, behavior_channels=config.data.behavior_channels)
    state = TrainState(config, dataset, World())
    load_core(read_description(core), state.core, state.embeddings.owned, dataset)
    table = weights(core)["tables.2-1-1.neuron_embeddings"]
    assert state.embeddings.owned["2-1-1"].neuron_embeddings.equal(table)
    other = make_shards([session(key="2-1-1", num_neurons=7)])
    with pytest.raises(CheckpointError, match=r"2-1-1 has 7 neurons in .* and 4 in .*core"):
        train(TrainingJob(config=config, shards=other, run=core.parent / "new"), World(), Silent())
    assert not (core.parent / "new").exists()


@pytest.mark.training
def test_another_recording_with_the_key_of_a_known_session_is_refused_unless_it_is_allowed(
    core, make_shards, session, tiny
):
    config = adaptation(core, tiny)
    shards = make_shards([session(key="2-1-1", num_neurons=4, seconds=54.0)])
    other = open_dataset(shards, behavior_channels=config.data.behavior_channels)
    with pytest.raises(CheckpointError, match=r"holds other data of 2-1-1 than .*core was"):
        read_core(config, other)
    reporter = MessageReporter()
    assert read_core(config, other, reporter, allow_other_data=True) is not None
    assert [line.endswith("(--allow-other-data)") for line in reporter.warnings] == [True]


@pytest.mark.training
def test_sessions_whose_keys_begin_with_another_key_load_their_own_embeddings(
    make_shards, session, tiny, tmp_path
):
    keys = ("7", "7.a", "7.a.b")
    shards = make_shards([session(key=key, num_neurons=4 + len(key)) for key in keys])
    config = replace(tiny, train=replace(tiny.train, steps=1))
    run = tmp_path / "run"
    train(TrainingJob(config=config, shards=shards, run=run), World(), Silent())
    stored, loaded = weights(run), load_run(run)
    adapted = replace(config, train=replace(config.train, adapt_from=str(run)))
    adapted = resolve_config(adapted, open_dataset(shards), World(), Silent())
    state = TrainState(adapted, open_dataset(shards), World())
    load_core(read_description(run), state.core, state.embeddings.owned, open_dataset(shards))
    for key in keys:
        expected = stored[f"tables.{key}.neuron_embeddings"]
        assert loaded.embeddings[key].neuron_embeddings.equal(expected)
        assert state.embeddings.owned[key].neuron_embeddings.equal(expected)


@pytest.mark.training
def test_channels_are_matched_by_name_and_unknown_ones_left_out_with_a_sentence(
    core, shards, tiny, tmp_path
):
    heard = Heard()
    config = adaptation(core, tiny)
    train(TrainingJob(config=config, shards=shards, run=tmp_path / "new"), World(), heard)
    warnings = [line for line in heard.lines if line.startswith("warning")]
    assert [line.split(":")[1] for line in warnings] == [" session 2-1-7", " session 3-1-1"]
    assert all("licking" in line and "whisker" not in line for line in warnings)
    run = load_run(tmp_path / "new")
    assert run.behavior_channels == ("running", "whisker")
    dataset = open_run_data(run, None)
    assert dataset.session("2-1-7").channels == ("whisker",)
    assert dataset.behavior_present("3-1-1").tolist() == [True, False]


@pytest.mark.training
def test_training_again_from_the_configuration_gives_the_same_run(core, shards, tiny, tmp_path):
    config = adaptation(core, tiny, unfreeze=("readout",))
    train(TrainingJob(config=config, shards=shards, run=tmp_path / "new"), World(), Silent())
    written = load_config(tmp_path / "new" / "config.toml")
    assert (written.train.adapt_from, written.train.unfreeze) == (str(core), ("readout",))
    assert written.data.behavior_channels == ("running", "whisker")
    train(TrainingJob(config=written, shards=shards, run=tmp_path / "again"), World(), Silent())
    one, other = weights(tmp_path / "new"), weights(tmp_path / "again")
    assert all(value.equal(other[name]) for name, value in one.items())
    summary = read_document(tmp_path / "new" / "summary.json", "summary")
    assert (summary["adapted_from"], summary["unfrozen"]) == (str(core), ["readout"])
    assert summary["flops"] is None


@pytest.mark.training
def test_an_adaptation_goes_on_without_the_run_that_it_came_from(core, shards, tiny, tmp_path):
    config = adaptation(core, tiny, unfreeze=("encoder",), checkpoint_every=2)
    job = TrainingJob(config=config, shards=shards, run=tmp_path / "new", resume=True)
    train(job, World(), Silent())
    whole = weights(job.run)
    last = complete_checkpoints(job.run)[-1]
    assert last.name == "step-00000004"
    shutil.rmtree(last)
    (job.run / "summary.json").unlink()
    core.rename(core.with_name("gone"))
    train(job, World(), Silent())
    assert all(value.equal(whole[name]) for name, value in weights(job.run).items())
    opened = replace(job, config=adaptation(core.with_name("gone"), tiny, unfreeze=("all",)))
    with pytest.raises(CheckpointError, match=r"encoder unfrozen, and this run is .* all unfrozen"):
        train(opened, World(), Silent())
    with pytest.raises(CheckpointError, match="this run is trained from its beginning"):
        train(replace(job, config=replace(config, train=tiny.train)), World(), Silent())


def refusal(job: TrainingJob) -> OmniMouseError:
    with pytest.raises(OmniMouseError) as caught:
        train(job, World(), Silent())
    assert not job.run.exists()
    return caught.value


@pytest.mark.training
def test_data_that_the_core_does_not_know_are_refused_before_a_folder_is_made(
    core, make_shards, session, tiny, tmp_path
):
    config, run = adaptation(core, tiny), tmp_path / "new"
    below = make_shards([session(key="4-1-1", negative=True, kind="dff")])
    error = refusal(TrainingJob(config=config, shards=below, run=run))
    assert "session 4-1-1 holds dF/F and the core of" in error.message
    assert "was trained on rates" in error.message
    rates = make_shards([session(key="4-1-1")])
    other = replace(config, data=replace(config.data, behavior_channels=("whisker",)))
    error = refusal(TrainingJob(config=other, shards=rates, run=run))
    assert "has the behavior channels running, whisker, and `data.beh" in error.message
    deeper = replace(config, model=replace(config.model, layers=2, dropout=0.3))
    error = refusal(TrainingJob(config=deeper, shards=rates, run=run))
    assert error.message.endswith("as another model: `model.layers` is 1 there and 2 here")


@pytest.mark.training
def test_frames_of_another_size_are_refused_with_both_sizes(
    make_shards, session, tiny, tmp_path, make_core
):
    video = replace(tiny.model.video, frame_width=32)
    core = make_core(replace(tiny, model=replace(tiny.model, video=video)))
    shards = make_shards([session(key="4-1-1", screen=True)])
    error = refusal(TrainingJob(config=adaptation(core, tiny), shards=shards, run=tmp_path / "new"))
    assert "frames of 36 x 64 pixels and the core of" in error.message
    assert error.message.endswith("is for 36 x 32")


@pytest.fixture
def make_core(make_shards, session, tmp_path):
    """Return a function that trains a core for a few steps, without a screen."""

    def make(config: RunConfig) -> Path:
        config = replace(config, train=replace(config.train, steps=1))
        job = TrainingJob(config=config, shards=make_shards([session()]), run=tmp_path / "core")
        train(job, World(), Silent())
        return job.run

    return make


@pytest.mark.training
def test_a_standardized_core_wants_standardized_data(make_shards, session, tiny, tmp_path):
    below = make_shards([session(negative=True, kind="dff")])
    train(TrainingJob(config=tiny, shards=below, run=tmp_path / "core"), World(), Silent())
    config = adaptation(tmp_path / "core", tiny)
    assert (config.model.response_loss, config.data.normalize) == ("gaussian", "standardize")
    rates = make_shards([session(key="4-1-1")])
    error = refusal(TrainingJob(config=config, shards=rates, run=tmp_path / "new"))
    assert "session 4-1-1 holds rates" in error.message


@pytest.mark.training
def test_an_adaptation_is_short_unless_somebody_says_how_long(core, shards, tiny):
    config = adaptation(core, tiny, steps=None)
    assert default_adaptation(core).train.table_learning_rate == 2e-3
    dataset = open_dataset(shards, behavior_channels=config.data.behavior_channels)
    assert resolve_config(config, dataset, World(), Silent()).train.steps == 250
    scratch = replace(config, train=replace(config.train, adapt_from=None))
    assert resolve_config(scratch, dataset, World(), Silent()).train.steps == 2000


def test_opening_parts_of_nothing_is_refused(tiny):
    with pytest.raises(ValueError, match="`unfreeze` needs a run to `adapt_from`: decoder"):
        replace(tiny.train, unfreeze=("decoder",))
    with pytest.raises(ConfigError, match=r"`train\.unfreeze` cannot be 'decodr'") as caught:
        load_config(sets=['train.unfreeze=["decodr"]', "train.adapt_from=run"])
    assert caught.value.hint == "did you mean `decoder`?"
