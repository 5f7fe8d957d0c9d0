"""An attack on a video within a box about each pixel: the gradient of the run's own loss."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.evaluate.network import Question
from omnimouse_cli.model.losses import neural_loss_by_window

# B windows, T frames, Y rows, X columns

WHITE = 255.0
STEPS, RESTARTS = 10, 1
# The whole way to the border and back fits into the steps.
STEP_SHARE = 2.5


class Tried(NamedTuple):
    """A video of each window, and its loss."""

    video: Tensor
    loss: Tensor


def attacked(
    question: Question, batch: Batch, *, grey_levels: float, seeds: list[int], config: DataConfig
) -> Batch:
    """Raise the loss of each window by itself, as far as its pixels may change.

    The sign of the gradient is followed from random starts and projected back at every step
    (projected gradient descent); of all that was tried, the unchanged video included, each window
    keeps what has the largest loss. The loss is the run's own between predicted and recorded
    responses, over the samples that are scored.

    Args:
        question: Asked of the model, which is in evaluation mode.
        batch: With a video.
        grey_levels: Largest change of a pixel, of 255; pixels stay between black and white.
        seeds: Of each window's random starts.
        config: How grey levels are scaled.

    Returns:
        The same windows with another video, whose grey levels need not be whole.
    """
    assert batch.video is not None, "only a video is attacked"
    clean_BTYX = batch.video
    reach = grey_levels / config.video_std
    box = [(level - config.video_mean) / config.video_std for level in (0.0, WHITE)]
    with torch.no_grad():
        worst = Tried(clean_BTYX, _losses(question, batch, clean_BTYX))
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    for _ in range(RESTARTS):
        drawn = [torch.rand(clean_BTYX.shape[1:], generator=one) for one in generators]
        start_BTYX = 2 * torch.stack(drawn).to(clean_BTYX) - 1
        moved_BTYX = (clean_BTYX + reach * start_BTYX).clamp(*box)
        for _ in range(STEPS):
            leaf_BTYX = moved_BTYX.requires_grad_()
            loss_B = _losses(question, batch, leaf_BTYX)
            (slope_BTYX,) = torch.autograd.grad(loss_B.sum(), leaf_BTYX)
            worst = _worse(worst, Tried(leaf_BTYX.detach(), loss_B.detach()))
            further_BTYX = leaf_BTYX.detach() + STEP_SHARE * reach / STEPS * slope_BTYX.sign()
            change_BTYX = (further_BTYX - clean_BTYX).clamp(-reach, reach)
            moved_BTYX = (clean_BTYX + change_BTYX).clamp(*box)
        with torch.no_grad():
            worst = _worse(worst, Tried(moved_BTYX, _losses(question, batch, moved_BTYX)))
    return replace(batch, video=worst.video)


def _worse(worst: Tried, tried: Tried) -> Tried:
    """Keep for each window what has the larger loss."""
    is_worse_B = tried.loss > worst.loss
    video_BTYX = torch.where(is_worse_B[:, None, None, None], tried.video, worst.video)
    return Tried(video_BTYX, torch.where(is_worse_B, tried.loss, worst.loss))


def _losses(question: Question, batch: Batch, video_BTYX: Tensor) -> Tensor:
    shown = replace(batch, video=video_BTYX)
    return neural_loss_by_window(
        question.answer(shown),
        shown,
        question.strategy,
        question.selection,
        question.run.response_loss,
    )
