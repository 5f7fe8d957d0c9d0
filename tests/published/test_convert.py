"""A published checkpoint becomes a run: whole, with its own numbers, or a sentence and nothing."""

import json
import re
import tomllib
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from omnimouse_cli.batch.dataset import CHANNEL_ORDER
from omnimouse_cli.config.load import load_config
from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.errors import CheckpointError, OmniMouseError
from omnimouse_cli.published.checkpoint import read_checkpoint
from omnimouse_cli.published.convert import export_weights, import_weights
from omnimouse_cli.published.model_config import find_differences
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.checkpoints import latest_checkpoint
from omnimouse_cli.run.folder import WEIGHTS
from omnimouse_cli.run.load import load_run, open_run_data

NEURONS = "sess_params.300-4-7._neuron_embeddings.weight"


@pytest.fixture
def made(published_layout):
    """A small checkpoint of two files, not yet written."""
    return published_layout.Checkpoint()


@pytest.fixture
def bring(tmp_path):
    """Write a checkpoint and import it."""

    def run(checkpoint, name="run"):
        published = read_checkpoint(checkpoint.write(tmp_path / "checkpoint"), Silent())
        import_weights(
            published,
            tmp_path / name,
            shards=None,
            command_line=("omnimouse",),
            reporter=Silent(),
        )
        return tmp_path / name

    return run


def refused(checkpoint, folder):
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(checkpoint.write(folder / "checkpoint"), Silent())
    return caught.value.message.replace(f"{folder}/checkpoint/", "").replace(str(folder), "")


def test_an_imported_run_is_whole(made, bring):
    folder = bring(made)
    run = load_run(folder)
    assert [(s.session, s.animal, s.neurons) for s in run.sessions] == [
        ("20001-1-1", "20001", 14),
        ("300-2-1", "300", 9),
        ("300-4-7", "300", 11),
    ]
    assert run.behavior_channels == CHANNEL_ORDER
    assert run.animals == ("20001", "300")
    assert (run.step, run.response_loss, run.shards) == (20_000, "poisson", None)
    assert run.config.model.video.layout == "reference"
    assert (run.config.data.std_floor_absolute, run.config.data.normalize) == (1.0, "scale")
    assert load_config(folder / "config.toml") == run.config
    assert latest_checkpoint(folder) is None
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["steps"], summary["epochs"], summary["sessions"]) == (20_000, 3, 3)
    assert summary["validation"] == {"neural_loss": None, "records": []}
    unknown = ("windows_seen", "unique_tokens", "tokens_seen", "seed", "split", "device", "flops")
    assert {summary[name] for name in unknown} == {None}
    assert summary["parameters"]["tables"] == 34 * 33 + 3 * 32
    environment = json.loads((folder / "environment.json").read_text())
    assert (environment["shards"], environment["command_line"]) == (None, ["omnimouse"])
    assert environment["imported_from"]["files"] == 2
    with pytest.raises(CheckpointError, match="does not name its shards"):
        open_run_data(run, None)


@pytest.mark.parametrize("prefix", ["_orig_mod.", ""])
def test_weights_come_back_by_their_published_names(prefix, made, bring, tmp_path):
    wanted = {
        name.removeprefix("_orig_mod."): value
        for content in made.files
        for name, value in content["state_dict"].items()
    }
    for content in made.files:
        content["state_dict"] = {
            prefix + name.removeprefix("_orig_mod."): value
            for name, value in content["state_dict"].items()
        }
    run = load_run(bring(made))
    export_weights(run, tmp_path / "out.safetensors", "published")
    found = load_file(tmp_path / "out.safetensors")
    buffers = set(wanted) - set(found)
    assert {name.partition(".")[0] for name in buffers} == {
        "behavior_timestamps",
        "exp_time_embedding",
        "response_latent_embedding",
        "rotary_emb",
    }
    assert set(found) < set(wanted)
    for name, value in found.items():
        assert torch.equal(value, wanted[name])


def test_our_names_export_the_runs_own_file(made, bring, tmp_path):
    folder = bring(made)
    out = tmp_path / "out.safetensors"
    export_weights(load_run(folder), out, "ours")
    written = out.read_bytes()
    with (
        safe_open(out, framework="pt") as one,
        safe_open(folder / WEIGHTS, framework="pt") as other,
    ):
        assert one.metadata() == other.metadata()
    wanted = load_file(folder / WEIGHTS)
    found = load_file(out)
    assert set(found) == set(wanted)
    assert all(torch.equal(value, wanted[name]) for name, value in found.items())
    with pytest.raises(OmniMouseError, match=f"{out} exists"):
        export_weights(load_run(folder), out, "published")
    assert out.read_bytes() == written


def test_a_published_size_is_known_by_its_shapes(published_layout, tmp_path):
    checkpoint = published_layout.Checkpoint(
        dim=published_layout.PUBLISHED_1M, ranks=({"1-1-1": ("1", 5)},)
    )
    model = read_checkpoint(checkpoint.write(tmp_path / "checkpoint"), Silent()).model
    video = replace(SIZES["1M"].video, layout="reference")
    assert model == replace(SIZES["1M"], response_loss="poisson", video=video)
    assert find_differences(model) == ()


def test_other_dimensions_are_derived_and_named(made, tmp_path):
    model = read_checkpoint(made.write(tmp_path / "checkpoint"), Silent()).model
    assert find_differences(model) == (
        "d_model is 128 and not 256",
        "num_heads is 2 and not 4",
        "d_embedding is 32 and not 256",
        "latents.per_group is 12 and not 640",
        "latents.num_global is 8 and not 256",
        "video.d_embed is 32 and not 128",
    )


def test_without_a_session_map_the_animal_is_in_the_session_key(made, bring):
    for content in made.files:
        del content["session_map"]
    run = load_run(bring(made))
    assert run.animal_of("300-4-7") == "300"


def test_a_missing_file_is_named(made, published_layout, tmp_path):
    folder = made.write(tmp_path / "checkpoint")
    (folder / "rank_1.ckpt").rename(folder / "rank_2.ckpt")
    with pytest.raises(CheckpointError, match=r"rank_1\.ckpt is missing, and rank_2\.ckpt is"):
        read_checkpoint(folder, Silent())
    (folder / "rank_2.ckpt").unlink()
    with pytest.raises(CheckpointError, match=r"rank_1\.ckpt is missing, which holds .* 300-4-7"):
        read_checkpoint(folder, Silent())
    (folder / "rank_0.ckpt").unlink()
    with pytest.raises(CheckpointError, match=r"it has no file rank_0\.ckpt"):
        read_checkpoint(folder, Silent())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("enc.attention.wkv.weight", None, 0), "rank_0.ckpt lacks the tensor NAME"),
        (("enc.attention.wq.weight", torch.zeros(128, 64), 0),
         "rank_0.ckpt: the tensor NAME has shape (128, 64), and (128, 128) is needed"),
        (("neuron_to_model_proj.weight", None, 0), "rank_0.ckpt lacks the tensor NAME"),
        (("proc.1.attention.wo.weight", torch.full((128, 128), torch.nan), 0),
         "rank_0.ckpt: the tensor NAME has values that are not finite"),
        (("response_readout_proj.weight", torch.zeros(5, 128, dtype=torch.float64), 0),
         "rank_0.ckpt: the tensor NAME is torch.float64, torch.strided, and torch.float32, "
         "torch.strided is needed"),
        (("behavior_channel_embeddings", torch.zeros(4, 128), 0),
         "rank_0.ckpt: the tensor NAME has shape (4, 128), and (5, 128) is needed"),
        (("proc.0.attention.bias", torch.zeros(3), 0),
         "rank_0.ckpt holds the tensor NAME, which the published model does not have"),
        (("proc.5.attention.wo.weight", torch.zeros(3), 0),
         "rank_0.ckpt has 3 fusion layers (proc.*), and the published sizes have 2, 6, 12, 24"),
        (("rotary_emb.inv_freq", torch.ones(32, dtype=torch.float64), 0),
         "rank_0.ckpt: NAME is not that of the published model, whose periods are 1 ms to 2 s"),
        (("response_latent_embedding._latent_ids", torch.arange(81), 0),
         "rank_0.ckpt: 20 latents (response_latent_embedding._latent_embeddings.weight) cannot be "
         "81 in a window (NAME)"),
        (("enc.attn_pre_norm.weight", torch.ones(128), 1),
         "rank_1.ckpt holds the tensor NAME, which belongs into rank_0.ckpt"),
        (("sess_params.300-4-7._neuron_biases", None, 1), "rank_1.ckpt lacks the tensor NAME"),
        (("sess_params.300-4-7._neuron_biases", torch.zeros(10, 1), 1),
         "rank_1.ckpt: the tensor NAME has shape (10, 1), and (11, 1) is needed"),
        (("sess_params.300-4-7._more", torch.zeros(1), 1),
         "rank_1.ckpt holds the tensor NAME, and of a session it may hold "
         "_neuron_embeddings.weight, _neuron_biases, _session_embedding"),
        (("animal_params._animal_embeddings.300", None, 0),
         "session 300-2-1 is of animal 300, and the checkpoint has embeddings of 20001 only"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_named(change, message, made, tmp_path):
    made.replace(*change)
    assert refused(made, tmp_path) == message.replace("NAME", change[0])


def test_neurons_that_disagree_are_both_named(made, tmp_path):
    made.files[0]["session_map"]["300-4-7"]["n_neurons"] = 12
    assert refused(made, tmp_path) == (
        "session 300-4-7 has 12 neurons in the session map of rank_0.ckpt, and its tensors have 11"
    )


def test_a_session_in_two_files_must_be_the_same_in_both(made, bring, tmp_path):
    for name in ("_session_embedding", "_neuron_embeddings.weight", "_neuron_biases"):
        full = f"sess_params.300-4-7.{name}"
        made.replace(full, made.tensor(full, 1).clone(), 0)
    assert len(load_run(bring(made)).sessions) == 3
    made.tensor(NEURONS, 1)[3, 4] += 1
    message = refused(made, tmp_path)
    assert message == (
        "session 300-4-7 is in rank_0.ckpt and in rank_1.ckpt, with different values of "
        "_neuron_embeddings.weight"
    )


def test_files_of_different_steps_are_refused(made, tmp_path):
    made.files[1]["step"] = 5
    assert refused(made, tmp_path) == "rank_1.ckpt is of step 5 and rank_0.ckpt of step 20000"


def test_a_run_that_could_not_be_finished_leaves_nothing(made, bring, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("omnimouse_cli.published.convert.write_summary", full)
    with pytest.raises(OSError, match="No space"):
        bring(made)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_published_names_are_refused_where_there_are_none(tmp_path, made, bring):
    run = load_run(bring(made))
    config = replace(run.config.model, decoder=replace(run.config.model.decoder, own_history=True))
    from omnimouse_cli.model.omnimouse import OmniMouse

    other = OmniMouse(config, behavior_channels=CHANNEL_ORDER, animals=run.animals)
    with pytest.raises(OmniMouseError) as caught:
        export_weights(replace(run, model=other), tmp_path / "x.safetensors", "published")
    assert re.search(r"no name for readout\.own_history\.\w+.* and 1 other", caught.value.message)
    assert not (tmp_path / "x.safetensors").exists()


def test_the_configuration_trains_as_published(made, bring):
    config = tomllib.loads((bring(made) / "config.toml").read_text())
    assert config["data"]["sessions"] == ["20001-1-1", "300-2-1", "300-4-7"]
    assert (config["data"]["batch_size"], config["train"]["batches_per_step"]) == (8, 2)
    assert config["masking"]["table"] == "published"
