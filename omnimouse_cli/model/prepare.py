"""What a forward pass settles before it computes: sequences, masks, which channels there are."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.dataset import require_frame_size
from omnimouse_cli.batch.selection import Selection
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.model.layout import Layout, Request, make_layout
from omnimouse_cli.model.plan import Plan, make_plan


class Prepared(NamedTuple):
    """All of a forward pass that does not depend on parameters.

    Args:
        batch: What was recorded.
        selection: Which neurons are seen and asked, on the batch's device.
        channels: int64 numbers of the session's behavior channels.
        request: What is seen and asked.
        layout: The sequences that this makes.
        plan: Their times and masks.
    """

    batch: Batch
    selection: Selection
    channels: Tensor
    request: Request
    layout: Layout
    plan: Plan


# Caches, masks and lookups are no work for a compiler.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def prepare(
    config: ModelConfig, batch: Batch, strategy: Strategy, selection: Selection
) -> Prepared:
    """Settle a forward pass.

    Raises:
        ConfigError: The model is for frames of another size.
    """
    device = batch.responses.device
    selection = selection.to(device)
    request = request_of_batch(config, batch, strategy, selection)
    layout = make_layout(config, request)
    present = np.flatnonzero(batch.behavior_present & (request.num_channels > 0))
    return Prepared(
        batch=batch,
        selection=selection,
        channels=torch.as_tensor(present, dtype=torch.long, device=device),
        request=request,
        layout=layout,
        plan=make_plan(layout, device),
    )


def request_of_batch(
    config: ModelConfig, batch: Batch, strategy: Strategy, selection: Selection
) -> Request:
    """Say what a forward pass gets and is asked."""
    video = batch.video
    if video is not None:
        height, width = video.shape[-2:]
        require_frame_size(batch.session, (height, width), config.video, model="the model")
    return Request(
        strategy=strategy,
        num_neurons=selection.num_neurons,
        num_visible=selection.num_visible,
        num_targets=selection.num_targets,
        num_channels=0 if batch.behavior is None else int(batch.behavior_present.sum()),
        stimulus=video is not None,
    )
