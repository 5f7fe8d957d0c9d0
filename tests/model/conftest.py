"""A very small model and batches of random numbers for it."""

import numpy as np
import pytest
import torch

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.selection import select
from omnimouse_cli.config.model import DecoderConfig, LatentConfig, ModelConfig, VideoConfig
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.session_embeddings import SessionEmbeddings

CHANNELS = ("pupil_x", "pupil_size", "running")


@pytest.fixture(scope="package", autouse=True)
def _one_thread():
    """Threads only wait for each other in products of this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def small_config():
    return ModelConfig(
        size="small",
        d_model=16,
        num_heads=2,
        layers=2,
        pattern="LG",
        d_embedding=8,
        feed_forward_multiple=8,
        response_loss="gaussian",
        latents=LatentConfig(per_group=3, num_global=2),
        video=VideoConfig(
            d_embed=8,
            num_heads=2,
            stages=(1, 1),
            kernel=(6, 3, 3),
            stride=(6, 3, 4),
            padding=(0, 0, 0),
            mask_unit=(2, 4),
            drop_path=0.0,
            frame_height=12,
            frame_width=16,
        ),
        decoder=DecoderConfig(
            own_history=True,
            population_rank=3,
            motion_wavelengths=(6.0,),
            linear_rank=2,
            behavior_rank=2,
        ),
    )


@pytest.fixture(scope="session")
def make_model():
    """Build a model in evaluation mode whose filters are not zero, so that everything is used."""

    def build(config, *, channels=CHANNELS, animals=("mouse",), neurons=7, seed=0):
        torch.manual_seed(seed)
        model = OmniMouse(config, behavior_channels=channels, animals=animals)
        if model.readout.own_history is not None:
            torch.nn.init.normal_(model.readout.own_history.filter, std=0.1)
        for name, parameter in model.linear_paths.named_parameters():
            if name.endswith(("filter", "values", "gaze", "what.weight")):
                torch.nn.init.normal_(parameter, std=0.1)
        table = SessionEmbeddings(
            neurons, config.d_embedding, config.decoder.num_neuron_weights(len(channels))
        )
        if config.decoder.linear_rank:
            _fill_linear_models(model, table)
        return model.eval(), table

    return build


def _fill_linear_models(model, table):
    # They start the transformer's read-out at 0.
    torch.nn.init.normal_(model.readout.project.weight, std=model.config.d_model**-0.5)
    if model.behavior is not None:
        torch.nn.init.normal_(model.behavior.readout, std=0.1)
    torch.nn.init.normal_(table.neuron_weights, std=0.3)
    paths, lag = model.linear_paths, torch.arange(60.0)
    paths.factors.get_buffer("shared").copy_(torch.exp(-lag / 8).expand(paths.encoding.rank, -1))
    for name in ("of_stimulus", "of_behavior"):
        torch.nn.init.normal_(paths.encoding.get_buffer(name), std=0.1)


@pytest.fixture(scope="session")
def make_batch():
    def build(*, windows=2, neurons=7, channels=3, video=True, behavior=True, frame=(12, 16)):
        generator = torch.Generator().manual_seed(windows + neurons)
        return Batch(
            number=0,
            session="session",
            responses=torch.randn(windows, 60, neurons, generator=generator).abs(),
            neuron_index=torch.arange(neurons).repeat(windows, 1),
            video=torch.randn(windows, 60, *frame, generator=generator) if video else None,
            behavior=torch.randn(windows, channels, 40, generator=generator) if behavior else None,
            behavior_present=np.full(channels, behavior),
            start_seconds=np.zeros(windows),
        )

    return build


@pytest.fixture(scope="session")
def choose():
    """Select neurons as evaluation does, or as training does under a seed."""

    def build(strategy, batch, *, seed=None, max_targets=None):
        return select(
            strategy,
            num_neurons=batch.responses.shape[2],
            num_windows=batch.num_windows,
            generator=None if seed is None else torch.Generator().manual_seed(seed),
            max_targets=max_targets,
        )

    return build
