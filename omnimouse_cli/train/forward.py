"""The losses of one batch under one strategy, in the precision of the run."""

from collections.abc import Callable

import torch
from torch import Tensor

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.selection import Selection
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.model.compile import compile_parts
from omnimouse_cli.model.losses import compute_losses
from omnimouse_cli.model.omnimouse import OmniMouse, Prediction
from omnimouse_cli.model.precision import autocast
from omnimouse_cli.model.session_embeddings import SessionEmbeddings

# The core as a function.
Forward = Callable[[Batch, SessionEmbeddings, str, Strategy, Selection], Prediction]


def forward_losses(
    forward: Forward,
    *,
    batch: Batch,
    table: SessionEmbeddings,
    animal: str,
    strategy: Strategy,
    selection: Selection,
    config: RunConfig,
) -> tuple[Tensor | None, Tensor | None]:
    """Predict a batch and compare.

    Args:
        forward: The core.
        batch: On the device.
        table: Of the batch's session.
        animal: Of the batch's session.
        strategy: What is seen and asked.
        selection: Which neurons, on the device.
        config: `model.response_loss` and `train.precision` are used.

    Returns:
        Neural and behavior loss, without dimensions; None where nothing is asked.
    """
    assert config.model.response_loss is not None, "the response loss is resolved before training"
    with autocast(config.train.precision, batch.responses.device):
        prediction = forward(batch, table, animal, strategy, selection)
        losses = compute_losses(prediction, batch, strategy, selection, config.model.response_loss)
    return losses.neural, losses.behavior


def compile_where_wanted(core: OmniMouse, config: RunConfig, device: torch.device) -> None:
    """Compile the core's parts in place.

    Args:
        core: Its modules are compiled at their first use.
        config: `train.compile` decides; where it is open, a GPU does.
        device: Of the core.
    """
    wanted = config.train.compile
    if wanted is None:
        wanted = device.type == "cuda"
    if wanted:
        compile_parts(core, device)
