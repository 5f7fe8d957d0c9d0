"""Constraints on stimuli of a gradient ascent: mean and contrast of frames, and smoothness."""

import math
from typing import Literal

import torch
from torch import Tensor

from omnimouse_cli.errors import OmniMouseError

# B stimuli, T frames, Y rows, X columns

BLACK, WHITE = 0.0, 255.0
# Iterations of `hold_contrast` in an ascent, and for final stimuli.
PROJECTION_STEPS = 12
FINAL_STEPS = 200
# Grey levels by which mean and contrast may differ from the given ones when iterations end.
TOLERANCE = 0.01
# Frames that are nearly uniform have no pattern that could be scaled to a contrast.
LEAST_STD = 1e-3
Prior = Literal["smooth", "natural", "none"]
PRIORS: tuple[Prior, ...] = ("smooth", "natural", "none")
# Standard deviations of the blur, chosen on the 20 best predicted neurons of the second simulated
# recording of the demo (README's most exciting stimuli are of the first).
SMOOTH_PIXELS, SMOOTH_FRAMES = 1.0, 0.6


def hold_contrast(
    grey_BTYX: Tensor, mean: float, contrast: float, *, steps: int = PROJECTION_STEPS
) -> Tensor:
    """Scale every frame to a mean and a contrast, with pixels between black and white.

    Clipped pixels change both, so that `clip(a + b pattern)` is solved for a and b by fixed-point
    iteration.

    Args:
        grey_BTYX: Grey levels, float32 `(stimuli, frames, height, width)`, no frame uniform.
        mean: Mean of every frame, in grey levels.
        contrast: RMS contrast of every frame: the standard deviation of its pixels, in grey levels.
        steps: Maximum number of iterations.

    Returns:
        Frames of this mean and contrast, to 0.01 grey levels after enough steps.

    Example:
        >>> frame = torch.tensor([[[[0.0, 1.0, 2.0, 7.0]]]])
        >>> hold_contrast(frame, 100.0, 20.0).mean().item()
        100.0
    """
    pattern = grey_BTYX - grey_BTYX.mean(dim=(2, 3), keepdim=True)
    pattern = pattern / _std(pattern).clamp(min=LEAST_STD)
    center = torch.full_like(pattern[:, :, :1, :1], mean)
    factor = torch.full_like(center, contrast)
    held = (center + factor * pattern).clamp(BLACK, WHITE)
    for _ in range(steps):
        missing = mean - held.mean(dim=(2, 3), keepdim=True)
        ratio = contrast / _std(held).clamp(min=LEAST_STD)
        if missing.abs().max() < TOLERANCE and (ratio - 1).abs().max() * contrast < TOLERANCE:
            break
        center, factor = center + missing, factor * ratio
        held = (center + factor * pattern).clamp(BLACK, WHITE)
    return held


def require_feasible(mean: float, contrast: float) -> None:
    """Check that frames of a mean and a contrast exist and are not only black and white.

    Raises:
        OmniMouseError: The mean is no grey level, or the contrast is not positive or too high.
    """
    if not BLACK < mean < WHITE:
        raise OmniMouseError(f"the mean must lie between 0 and 255 grey levels: {mean:g}")
    most = 0.9 * math.sqrt((mean - BLACK) * (WHITE - mean))
    if not 0 < contrast <= most:
        raise OmniMouseError(
            f"the contrast must lie above 0 and at most at {most:.0f} grey levels, since pixels "
            f"have a mean of {mean:g} and lie between 0 and 255: {contrast:g}"
        )


def smooth_gradient(gradient_BTYX: Tensor, prior: Prior) -> Tensor:
    """Filter a gradient.

    An ascent along filtered gradients at a fixed contrast ends where the stimulus is proportional
    to its filtered gradient: at the optimum under a Gaussian prior with that spectrum.

    Args:
        gradient_BTYX: `(stimuli, frames, height, width)`.
        prior: `smooth` blurs by a Gaussian; `natural` multiplies amplitudes by 1/f in space, as
            the amplitude spectrum of natural images falls; `none` changes nothing.
    """
    if prior == "none":
        return gradient_BTYX
    spectrum = torch.fft.rfftn(gradient_BTYX, dim=(1, 2, 3))
    time, down, right = (
        frequencies.to(gradient_BTYX.device)
        for frequencies in (
            torch.fft.fftfreq(gradient_BTYX.shape[1]),
            torch.fft.fftfreq(gradient_BTYX.shape[2]),
            torch.fft.rfftfreq(gradient_BTYX.shape[3]),
        )
    )
    square_YX = down[:, None].square() + right.square()
    if prior == "natural":
        # Frequencies below one cycle per screen are treated as that one.
        lowest = 1 / max(gradient_BTYX.shape[2:])
        gain = square_YX.sqrt().clamp(min=lowest).reciprocal() * lowest
    else:
        in_time = -2 * (math.pi * SMOOTH_FRAMES * time).square()
        in_space = -2 * (math.pi * SMOOTH_PIXELS) ** 2 * square_YX
        gain = torch.exp(in_time[:, None, None] + in_space)
    filtered: Tensor = torch.fft.irfftn(spectrum * gain, s=gradient_BTYX.shape[1:], dim=(1, 2, 3))
    return filtered


def draw_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw noise with the 1/f amplitude spectrum of natural images in space, still in time.

    Args:
        shape: Stimuli, frames, height, width.
        generator: Random numbers of the CPU.
    """
    still = torch.randn((shape[0], 1, *shape[2:]), generator=generator)
    return smooth_gradient(still, "natural").expand(shape).contiguous()


def _std(frames_BTYX: Tensor) -> Tensor:
    return frames_BTYX.std(dim=(2, 3), keepdim=True, correction=0)
