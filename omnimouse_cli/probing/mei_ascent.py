"""Gradient ascent of the predicted responses of neurons, over all neurons and starts at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnimouse_cli.config.data import NUM_FRAMES
from omnimouse_cli.probing.mei_constraints import (
    FINAL_STEPS,
    Prior,
    hold_contrast,
    smooth_gradient,
)
from omnimouse_cli.probing.session_model import SAMPLES, WINDOWS_AT_ONCE, SessionModel

# R runs, B stimuli, S steps, T frames of a stimulus, Y rows, X columns

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
# A window is grey for a second; then a stimulus is shown for the second that is scored.
GREY_FRAMES = SAMPLES[0]
SHOWN_FRAMES = NUM_FRAMES - GREY_FRAMES
# Root mean squares of the first and last step as shares of the contrast; steps shrink in between.
# Upwards (1), large ones nearly replace the stimulus by its gradient: a power iteration, which
# finds the best pattern of an energy in few steps. Downwards (-1) it would find the same pattern.
STEP_SIZES = {1: (10.0, 0.3), -1: (3.0, 0.01)}


@dataclass(frozen=True, slots=True, kw_only=True)
class AscentOptions:
    """How a response is raised or lowered.

    Args:
        mean: Mean of every frame, in grey levels.
        contrast: RMS contrast of every frame, in grey levels.
        prior: Filter of gradients: `smooth`, `natural` or `none`.
        steps: Number of steps.
    """

    mean: float
    contrast: float
    prior: Prior
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AscentResult:
    """Stimuli after an ascent.

    Args:
        stimuli: Grey levels, float32 `(stimuli, frames, height, width)`.
        responses: Mean over runs of the scaled response, float32 `(stimuli,)`.
        has_gradient: Whether the response depended on the stimulus at all, bool `(stimuli,)`.
    """

    stimuli: F32
    responses: F32
    has_gradient: NDArray[np.bool_]


def make_windows(stimuli_BTYX: Tensor, grey: float) -> Tensor:
    """Return windows of 60 frames: a second of grey, then the stimulus for a second.

    Args:
        stimuli_BTYX: Grey levels of 30 frames, or of one frame, which is shown still.
        grey: Grey level of the first second.
    """
    shown_BTYX = stimuli_BTYX.expand(-1, SHOWN_FRAMES, -1, -1)
    grey_BTYX = torch.full_like(shown_BTYX[:, :1], grey).expand(-1, GREY_FRAMES, -1, -1)
    return torch.cat([grey_BTYX, shown_BTYX], dim=1)


def respond(model: SessionModel, stimuli: F32, grey: float, neurons: I64 | None = None) -> F32:
    """Return the responses to stimuli, each averaged over the second in which it is shown.

    Args:
        model: The runs.
        stimuli: Grey levels, float32 `(stimuli, 30 or 1, height, width)`.
        grey: Grey level of the second before.
        neurons: int64 `(stimuli, neurons)`: columns that are predicted for each stimulus; None
            takes all for every stimulus.

    Returns:
        float32 `(runs, stimuli, neurons)` in units of the recording.
    """
    parts = []
    for first in range(0, len(stimuli), WINDOWS_AT_ONCE):
        some = slice(first, first + WINDOWS_AT_ONCE)
        windows = make_windows(torch.from_numpy(stimuli[some]), grey).numpy()
        parts.append(model.mean_responses(windows, None if neurons is None else neurons[some]))
    return np.concatenate(parts, axis=1)


def ascend(
    model: SessionModel,
    starts: F32,
    neurons: I64,
    signs: I64,
    options: AscentOptions,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> AscentResult:
    """Raise or lower the response of one neuron to each stimulus, as a mean over its second.

    Every step follows the filtered gradient, scaled to a root mean square that shrinks from step to
    step, and restores mean and contrast (projected gradient ascent).

    Args:
        model: The runs that make the stimuli; the mean of their responses is raised.
        starts: Grey levels, float32 `(stimuli, frames, height, width)`.
        neurons: int64 `(stimuli,)`: the neuron of each.
        signs: int64 `(stimuli,)`: 1 raises the response and -1 lowers it.
        options: Constraints, prior and number of steps.
        advance: Called with the number of stimuli that are done.
    """
    parts = []
    for first in range(0, len(starts), WINDOWS_AT_ONCE):
        some = slice(first, first + WINDOWS_AT_ONCE)
        parts.append(_ascend_batch(model, starts[some], neurons[some], signs[some], options))
        advance(len(starts[some]))
    stimuli, responses, has_gradient = (
        np.concatenate(arrays) for arrays in zip(*parts, strict=True)
    )
    return AscentResult(stimuli=stimuli, responses=responses, has_gradient=has_gradient)


def _ascend_batch(
    model: SessionModel, starts: F32, neurons: I64, signs: I64, options: AscentOptions
) -> tuple[F32, F32, NDArray[np.bool_]]:
    targets_B1 = torch.from_numpy(neurons)[:, None].to(model.device)
    sign_B = torch.from_numpy(signs).to(model.device)
    mean, contrast = options.mean, options.contrast
    start_BTYX = torch.from_numpy(starts).to(model.device)
    stimuli_BTYX = hold_contrast(start_BTYX, mean, contrast, steps=FINAL_STEPS)
    has_gradient_B = torch.zeros(len(starts), dtype=torch.bool, device=model.device)
    sizes_BS = np.stack([np.geomspace(*STEP_SIZES[sign], options.steps) for sign in signs.tolist()])
    for size_B111 in torch.from_numpy(sizes_BS).float().to(model.device).T[..., None, None, None]:
        stimuli_BTYX.requires_grad_()
        value_B = sign_B * _mean_response(model, stimuli_BTYX, targets_B1, mean)
        (gradient_BTYX,) = torch.autograd.grad(value_B.sum(), stimuli_BTYX)
        filtered_BTYX = smooth_gradient(gradient_BTYX, options.prior)
        root_B111 = filtered_BTYX.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        has_gradient_B |= root_B111.flatten() > 0
        root_B111 = root_B111.clamp(min=torch.finfo(torch.float32).tiny)
        moved_BTYX = stimuli_BTYX.detach() + size_B111 * contrast * filtered_BTYX / root_B111
        stimuli_BTYX = hold_contrast(moved_BTYX, mean, contrast)
    stimuli_BTYX = hold_contrast(stimuli_BTYX, mean, contrast, steps=FINAL_STEPS)
    with torch.inference_mode():
        responses_B = _mean_response(model, stimuli_BTYX, targets_B1, mean)
    return stimuli_BTYX.cpu().numpy(), responses_B.cpu().numpy(), has_gradient_B.cpu().numpy()


def _mean_response(
    model: SessionModel, stimuli_BTYX: Tensor, targets_B1: Tensor, grey: float
) -> Tensor:
    """Return the mean response over runs and samples of each stimulus's neuron: `(stimuli,)`."""
    windows_BTYX = make_windows(stimuli_BTYX, grey)
    responses_RBS1 = model.predict_windows(model.scale_frames(windows_BTYX), neurons_BN=targets_B1)
    return responses_RBS1.mean(dim=(0, 2, 3))
