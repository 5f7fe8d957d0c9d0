"""The training mean: each output is always at its mean over the training trials."""

from collections.abc import Iterator

import numpy as np

from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.targets import Targets


def predict_train_mean(targets: Targets, tiers: tuple[str, ...]) -> Iterator[Piece]:  # noqa: ARG001 - the signature of predictors
    """Predict the mean of every output over the training trials."""
    # Behavior is z-scored over the training trials: its mean is 0.
    mean = np.zeros(targets.num_outputs, np.float32) if targets.is_behavior else targets.train_mean
    for windows in targets.window_slices():
        shape = (windows.stop - windows.start, targets.num_samples, targets.num_outputs)
        yield Piece(windows, slice(None), np.broadcast_to(mean, shape).copy())
