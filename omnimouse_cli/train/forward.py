"""The losses of one batch under one strategy, in the precision of the run."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.selection import Selection
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.model.feed_forward import FeedForward
from omnimouse_cli.model.losses import compute_losses
from omnimouse_cli.model.omnimouse import OmniMouse, Prediction
from omnimouse_cli.model.table import SessionTable
from omnimouse_cli.model.video_blocks import VideoBlock

# The core as a function.
Forward = Callable[[Batch, SessionTable, str, Strategy, Selection], Prediction]


def forward_losses(
    forward: Forward,
    *,
    batch: Batch,
    table: SessionTable,
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
    with precision_of(config, batch.responses.device):
        prediction = forward(batch, table, animal, strategy, selection)
        losses = compute_losses(prediction, batch, strategy, selection, config.model.response_loss)
    return losses.neural, losses.behavior


def precision_of(config: RunConfig, device: torch.device) -> AbstractContextManager[object]:
    """Give the context in which the core computes: bfloat16 where it multiplies, or float32."""
    default = "bfloat16" if device.type == "cuda" else "float32"
    if (config.train.precision or default) == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Copy a batch to where it is computed; page-locked memory is copied in the background."""
    if device.type == "cpu":
        return batch
    return replace(
        batch,
        responses=batch.responses.to(device, non_blocking=True),
        neuron_index=batch.neuron_index.to(device, non_blocking=True),
        video=None if batch.video is None else batch.video.to(device, non_blocking=True),
        behavior=None if batch.behavior is None else batch.behavior.to(device, non_blocking=True),
    )


def compile_parts(core: OmniMouse, config: RunConfig, device: torch.device) -> None:
    """Compile what is the same for every strategy and session, where wanted.

    The whole forward pass differs from strategy to strategy and would be compiled for each; what
    each token goes through does not, and attention is compiled by its own kernel.

    Args:
        core: Its modules are compiled in place, at their first use.
        config: `train.compile` decides; where it is open, a GPU does.
        device: Of the core.
    """
    wanted = config.train.compile
    if wanted is None:
        wanted = device.type == "cuda"
    if wanted:
        for module in core.modules():
            if isinstance(module, FeedForward | VideoBlock):
                module.compile(dynamic=True)
