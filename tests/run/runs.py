"""Runs of random weights, written as `omnimouse train` writes them, and a mouse for them."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from omnimouse_cli.batch.dataset import Dataset, open_dataset
from omnimouse_cli.config.convert import to_dict
from omnimouse_cli.config.load import load_config, to_toml
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.simulated.settings import SimulationConfig
from omnimouse_cli.recording.simulated.simulation import simulate
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess

# A model that starts from linear models would answer 0 without them. The rest makes it fast.
SMALL = (
    "model.decoder.linear_rank=none",
    "model.decoder.motion_time_constants=[0.045]",
    "model.d_model=32",
    "model.video.d_embed=16",
)


def simulated(folder: Path, **settings: Any) -> Dataset:
    """Simulate a mouse, by default in one session, and preprocess its recordings."""
    config = SimulationConfig(**{"sessions": 1, **settings})
    made = simulate(folder / "recordings", config, reporter=Silent())
    recordings = [open_recording(item.path) for item in made]
    preprocess(recordings, folder / "shards", PreprocessOptions(), Silent())
    return open_dataset(folder / "shards")


def write_run(
    folder: Path,
    dataset: Dataset,
    *,
    sets: tuple[str, ...] = (),
    version: str = "1",
    weights: Callable[[dict[str, Tensor]], None] | None = None,
    **changes: object,
) -> Path:
    """Write a run folder with random weights.

    `weights` changes them by name; `changes` replace facts of the description.
    """
    kinds = {session.response_kind for session in dataset.sessions}
    gaussian = kinds == {"dff"}
    config = load_config(sets=(*SMALL, *sets), size="nano")
    loss = "gaussian" if gaussian else "poisson"
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, response_loss=loss),
        data=dataclasses.replace(config.data, normalize="standardize" if gaussian else "scale"),
    )
    torch.manual_seed(0)
    channels, animals = dataset.behavior_channels, dataset.animals
    core = OmniMouse(config.model, behavior_channels=channels, animals=animals)
    tensors = {f"core.{name}": value.clone() for name, value in core.state_dict().items()}
    for session in dataset.sessions:
        table = SessionEmbeddings(
            session.num_neurons,
            config.model.d_embedding,
            config.model.decoder.num_neuron_weights(len(channels)),
        )
        for name, value in table.state_dict().items():
            tensors[f"tables.{session.key}.{name}"] = value.clone()
    if weights is not None:
        weights(tensors)
    description = {
        "config": to_dict(config),
        "sessions": [
            {
                "session": session.key,
                "animal": session.animal,
                "neurons": session.num_neurons,
                "fingerprint": session.fingerprint,
            }
            for session in dataset.sessions
        ],
        "behavior_channels": list(channels),
        "animals": list(animals),
        "response_loss": loss,
        "step": 7,
        "shards": str(dataset.folder),
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(to_toml(config))
    metadata = {
        "format": "omnimouse-weights",
        "version": version,
        "description": json.dumps(description),
    }
    save_file(tensors, folder / "model.safetensors", metadata)
    return folder
