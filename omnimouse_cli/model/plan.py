"""What a layout becomes on a device: times to rotate by, and masks."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from omnimouse_cli.kernels.attention import AttentionMask, interval_mask
from omnimouse_cli.model.layout import Layout, Sequence, intervals
from omnimouse_cli.model.rotary import Angles


class SequenceAngles(NamedTuple):
    """Rotation angles of each sequence."""

    context: Angles
    latents: Angles
    fusion: Angles
    queries: Angles


class Plan(NamedTuple):
    """The parts of a forward pass that do not depend on numbers in tensors.

    Args:
        times: int64 times, in samples, of context, latents, fusion and queries.
        encoder_mask: Latents over context.
        fusion_mask: Local fusion layers.
        decoder_mask: Queries over latents and video.
    """

    times: tuple[Tensor, Tensor, Tensor, Tensor]
    encoder_mask: AttentionMask
    fusion_mask: AttentionMask
    decoder_mask: AttentionMask

    def angles(self, cos: Tensor, sin: Tensor) -> SequenceAngles:
        """Look the angles of every token up in the tables of all times."""
        return SequenceAngles(*(Angles(cos[times], sin[times]) for times in self.times))


def make_plan(layout: Layout, device: torch.device) -> Plan:
    """Prepare a layout on a device; masks and times are kept for the next time."""
    latents, fusion = intervals(layout.latents), intervals(layout.fusion)
    context, queries = intervals(layout.context), intervals(layout.queries)
    sequences = (layout.context, layout.latents, layout.fusion, layout.queries)
    return Plan(
        times=tuple(_times(sequence, device) for sequence in sequences),  # type: ignore[arg-type]
        encoder_mask=interval_mask(latents, context, device),
        fusion_mask=interval_mask(fusion, fusion, device),
        decoder_mask=interval_mask(queries, fusion, device),
    )


@lru_cache(maxsize=2048)
def _times(sequence: Sequence, device: torch.device) -> Tensor:
    # Kept times outlive an evaluation; made in inference mode, they could not be trained with.
    with torch.inference_mode(mode=False):
        runs = torch.tensor(
            [(tokens.time, tokens.interval.tokens) for tokens in sequence], dtype=torch.long
        ).reshape(-1, 2)
        return runs[:, 0].repeat_interleave(runs[:, 1]).to(device)
