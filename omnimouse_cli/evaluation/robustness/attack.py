"""An adversarial attack on a video: projected gradient ascent of the run's own loss."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.evaluation.forward import MaskedModel
from omnimouse_cli.model.losses import neural_loss_by_window

# B windows, T frames, Y rows, X columns

WHITE = 255.0
# Steps of the smallest budget, from a random start, and of each larger one, from the attack found
# with the one before.
STEPS, MORE_STEPS = 10, 5
# All steps of a budget together are this many times the budget.
STEP_SHARE = 2.5


class Attempt(NamedTuple):
    """A video of each window and its loss."""

    video: Tensor
    loss: Tensor


def attack_video(
    model: MaskedModel,
    batch: Batch,
    *,
    budgets: Sequence[float],
    seeds: list[int],
    config: DataConfig,
) -> Iterator[Batch]:
    """Raise the loss of each window as far as its pixels may change, for one budget after another.

    Projected gradient ascent follows the sign of the gradient: for the smallest budget from a
    random start, for a larger one from the change found with the budget before, scaled to the
    larger one. Each window keeps the attempt with the largest loss, the unchanged video and those
    of smaller budgets included. The loss is the run's own between predicted and recorded responses,
    over the samples that are scored.

    Args:
        model: The model under attack, in evaluation mode.
        batch: With a video.
        budgets: Largest changes of a pixel in grey levels of 255, ascending and above 0; pixels
            stay between black and white.
        seeds: Seeds of each window's random start.
        config: How grey levels are scaled.

    Yields:
        For each budget the same windows with another video, whose grey levels need not be whole.
    """
    assert batch.video is not None, "only a video is attacked"
    clean_BTYX = batch.video
    box = [(level - config.video_mean) / config.video_std for level in (0.0, WHITE)]
    with torch.no_grad():
        worst = Attempt(clean_BTYX, _losses(model, batch, clean_BTYX))
    noise = [
        torch.rand(clean_BTYX.shape[1:], generator=torch.Generator().manual_seed(seed))
        for seed in seeds
    ]
    # Of the budget, from -1 to 1.
    direction_BTYX = 2 * torch.stack(noise).to(clean_BTYX) - 1
    for number, grey_levels in enumerate(budgets):
        budget = grey_levels / config.video_std
        moved_BTYX = (clean_BTYX + budget * direction_BTYX).clamp(*box)
        steps = MORE_STEPS if number else STEPS
        for _ in range(steps):
            leaf_BTYX = moved_BTYX.requires_grad_()
            loss_B = _losses(model, batch, leaf_BTYX)
            (gradient_BTYX,) = torch.autograd.grad(loss_B.sum(), leaf_BTYX)
            worst = _worse(worst, Attempt(leaf_BTYX.detach(), loss_B.detach()))
            stepped_BTYX = leaf_BTYX.detach() + STEP_SHARE * budget / steps * gradient_BTYX.sign()
            change_BTYX = (stepped_BTYX - clean_BTYX).clamp(-budget, budget)
            moved_BTYX = (clean_BTYX + change_BTYX).clamp(*box)
        with torch.no_grad():
            worst = _worse(worst, Attempt(moved_BTYX, _losses(model, batch, moved_BTYX)))
        direction_BTYX = (worst.video - clean_BTYX) / budget
        yield replace(batch, video=worst.video)


def _worse(first: Attempt, second: Attempt) -> Attempt:
    """Keep the attempt with the larger loss for each window."""
    is_second_B = second.loss > first.loss
    video_BTYX = torch.where(is_second_B[:, None, None, None], second.video, first.video)
    return Attempt(video_BTYX, torch.where(is_second_B, second.loss, first.loss))


def _losses(model: MaskedModel, batch: Batch, video_BTYX: Tensor) -> Tensor:
    shown = replace(batch, video=video_BTYX)
    return neural_loss_by_window(
        model.predict(shown),
        shown,
        model.strategy,
        model.selection,
        model.run.response_loss,
    )
