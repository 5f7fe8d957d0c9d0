"""Targets: which samples are scored, and which target a channel counts for."""

import numpy as np

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.evaluate.targets import channel_target


def test_visible_samples_are_not_scored(simulated_data, targets_of):
    # Neurons 4 to 9 of the targets are visible until the window's end.
    overlap = Strategy(
        name="overlap",
        family="population",
        num_visible=10,
        prefix=(30, 60),
        context=(30, 60),
        num_targets=16,
        literal_counts=True,
    )
    targets = targets_of(simulated_data, overlap)
    truth = targets.truth(targets.windows.grid[:3])
    assert targets.outputs.tolist() == list(range(4, 20))
    assert np.isnan(truth[:, :, :6]).all()
    assert np.isfinite(truth[:, :, 6:]).all()


def test_channels_count_for_their_targets(simulated_data, targets_of):
    groups = targets_of(simulated_data, "decode").groups
    assert {name: len(positions) for name, positions in groups.items()} == {
        "gaze": 2,
        "pupil": 2,
        "running": 1,
    }
    assert channel_target("whisker_0") == "whisker_0"
