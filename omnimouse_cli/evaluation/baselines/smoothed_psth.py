"""Smoothed training PSTH: the mean response to each stimulus, averaged over nearby times."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from omnimouse_cli.evaluation.baselines.choose import Choice, make_choice
from omnimouse_cli.evaluation.baselines.psth import Psth, compute_psth, look_up
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.targets import Targets

# Standard deviations of the Gaussian, in samples of 1/30 s.
WIDTHS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 14.0, 20.0)


def predict_smoothed_psth(targets: Targets, tiers: tuple[str, ...]) -> Iterator[Piece] | str | None:
    """Predict the smoothed mean training response to what is on the screen.

    Source: the Gaussian kernel as in Nawrot, Aertsen & Rotter, J. Neurosci. Methods 94 (1999); the
    width is the one that predicts the validation tier best.

    Returns:
        As for the PSTH; a reason too where there is nothing to choose the width on.
    """
    if "stimulus" not in targets.inputs or targets.is_behavior:
        return None
    psth = compute_psth(targets.reader, targets.windows, targets.samples, tiers)
    if isinstance(psth, str):
        return psth
    choice = make_choice(targets, tiers)
    if choice is None:
        return "the training tiers are too short to choose a width on"
    width = choose_width(choice, tiers)
    if width is None:
        return "no stimulus of the validation trials was shown in training: no width can be chosen"
    return look_up(smooth(psth, width), targets)


def choose_width(choice: Choice, tiers: tuple[str, ...]) -> float | None:
    """Return the width in samples with the highest correlation; None if no stimulus is known.

    Args:
        choice: Where widths are compared.
        tiers: Training tiers.
    """
    targets = choice.targets
    end_seconds = float(targets.windows.start_seconds[0]) if choice.is_held_out else None
    psth = compute_psth(
        targets.reader, targets.windows, targets.samples, tiers, end_seconds=end_seconds
    )
    if isinstance(psth, str):
        return None
    scores = {}
    for width in WIDTHS:
        pieces = [piece.values for piece in look_up(smooth(psth, width), targets)]
        scores[width] = choice.score(np.concatenate(pieces)[:, :, choice.outputs])
    return max(scores, key=lambda each: scores[each])


def smooth(psth: Psth, width: float) -> Psth:
    """Average each PSTH over time with a Gaussian, every bin weighted by its samples.

    Args:
        psth: The mean responses.
        width: Standard deviation in samples of 1/30 s; 0 changes nothing.
    """
    from scipy.ndimage import gaussian_filter1d

    if width == 0:
        return psth
    shape = (len(psth.conditions), psth.num_bins)
    weights = psth.counts.reshape(*shape, 1).astype(np.float32)
    sums = psth.mean.reshape(*shape, -1) * weights
    sigma = width / psth.bin_samples
    # Nothing of other stimuli is averaged in: beyond the first and the last bin there is no weight.
    sums, weights = (
        gaussian_filter1d(values, sigma, axis=1, mode="constant") for values in (sums, weights)
    )
    known = (weights > 1e-6).reshape(-1)
    mean = psth.mean.copy()
    mean[known] = (sums.reshape(len(mean), -1)[known]) / weights.reshape(-1, 1)[known]
    return replace(psth, mean=mean)
