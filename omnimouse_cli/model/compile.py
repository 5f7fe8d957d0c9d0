"""Compilation of the blocks of the model."""

import torch
from torch import nn

from omnimouse_cli.model.blocks import CrossBlock, SelfBlock
from omnimouse_cli.model.feed_forward import FeedForward
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.video_blocks import VideoBlock


def compile_parts(model: OmniMouse, device: torch.device) -> None:
    """Compile the blocks of a model in place, at their first use, for sequences of any length.

    A strategy changes lengths, masks and which blocks run. Compiled as one, the model would be
    compiled anew for each of 120 strategies; its blocks are compiled a few times: with and without
    a mask, in training and in evaluation. Names of parameters do not change.

    Args:
        model: Changed in place.
        device: Device of the model.
    """
    for part in compiled_parts(model, device):
        part.compile(dynamic=True)


def compiled_parts(model: OmniMouse, device: torch.device) -> list[nn.Module]:
    """Return the modules that run the same code for every strategy and session."""
    kinds: tuple[type[nn.Module], ...] = (SelfBlock, CrossBlock, VideoBlock)
    if device.type == "cpu":
        # Attention on a CPU runs group by group, and groups differ between strategies.
        kinds = (FeedForward, VideoBlock)
    return [module for module in model.modules() if isinstance(module, kinds)]
