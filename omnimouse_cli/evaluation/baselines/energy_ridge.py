"""Ridge regression on the motion energies of the screen, the model's own fixed features."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from omnimouse_cli.config.model import VideoConfig
from omnimouse_cli.evaluation.baselines.bins import average_around
from omnimouse_cli.evaluation.baselines.choose import evenly_spaced, find_choice, training_windows
from omnimouse_cli.evaluation.baselines.regression import Design
from omnimouse_cli.evaluation.baselines.ridge import solve_ridge
from omnimouse_cli.evaluation.baselines.ridge_features import behavior_columns
from omnimouse_cli.evaluation.baselines.scaling import ColumnGroups
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.session_reader import F32, I64
from omnimouse_cli.evaluation.targets import WINDOWS_AT_ONCE, Targets
from omnimouse_cli.model.motion_energy import TIMES, MotionEnergy

# Wavelengths in pixels of the sizes `nano` and `tiny` (config/sizes.py).
WAVELENGTHS = (8.0, 13.0)
# Bins of lags in time steps of 1/15 s: half a second finely, up to a second coarsely.
LAGS = ((0, 1), (-1, 0), (-2, -1), (-3, -2), (-4, -3), (-6, -4), (-9, -6), (-14, -9))
COMPONENTS = 128
# Windows in whose energies the components are found.
COMPONENT_WINDOWS = 150
# Where on the screen an energy is says less than how much of it there is.
POSITION_WEIGHTS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)


def predict_energy_ridge(targets: Targets, tiers: tuple[str, ...]) -> Iterator[Piece] | str | None:
    """Predict responses linearly from motion energies, and from behavior where it is shown.

    Source: Nishimoto et al., Current Biology 21 (2011), for ridge regression on a pyramid of motion
    energies (Adelson & Bergen 1985).

    Returns:
        The predictions; a reason as for ridge regression; None without the stimulus among the
        inputs, with responses among them, or for behavior.
    """
    if targets.is_behavior or "stimulus" not in targets.inputs or "responses" in targets.inputs:
        return None
    choice = find_choice(targets, tiers)
    if isinstance(choice, str):
        return choice
    grid = training_windows(targets.reader, tiers)
    groups = EnergyColumns(targets=targets, training=grid)
    design = Design.make(targets, groups, choice, grid)
    return solve_ridge(design.problem(), targets)


@dataclass(frozen=True, kw_only=True, eq=False)
class EnergyColumns(ColumnGroups):
    """Columns at several lags: energies of the whole screen, energies by position, behavior.

    Args:
        training: int64: windows in which the components of the energies by position are found.
    """

    training: I64

    @property
    def weights(self) -> list[tuple[float, ...]]:
        """For each group the weights to choose from."""
        behavior = [(1.0,)] if "behavior" in self.targets.inputs else []
        return [(1.0,), POSITION_WEIGHTS, *behavior]

    def columns(self, grid: I64, samples: I64) -> list[F32]:
        """Return the groups, each float32 `(windows, samples, columns)`."""
        energies = self._energies(grid)
        screen, basis = energies.mean(axis=-1), self._basis
        positions = energies.reshape(*energies.shape[:2], -1) @ basis
        # The latest time step at or before a sample: steps are at every second frame.
        steps = np.maximum((samples - 1) // 2, 0)
        groups = [average_around(values, steps, LAGS) for values in (screen, positions)]
        if "behavior" in self.targets.inputs:
            groups.append(behavior_columns(self.targets, grid, samples))
        return groups

    @cached_property
    def _basis(self) -> F32:
        """Principal components of training energies: `(features * positions, components)`."""
        from sklearn.decomposition import PCA

        energies = self._energies(evenly_spaced(self.training, COMPONENT_WINDOWS))[:, ::2]
        rows = energies.reshape(energies.shape[0] * energies.shape[1], -1)
        pca = PCA(min(COMPONENTS, *rows.shape), svd_solver="randomized", random_state=0).fit(rows)
        return np.ascontiguousarray(pca.components_.T, dtype=np.float32)

    def _energies(self, grid: I64) -> F32:
        """Return the energies of visible time steps: `(windows, steps, features, positions)`."""
        video = self.targets.strategy.video
        assert video is not None, "the strategy shows the stimulus"
        num_steps = sum(time < video[1] for time in TIMES)
        parts = []
        for first in range(0, len(grid), WINDOWS_AT_ONCE):
            frames = self.targets.reader.video(grid[first : first + WINDOWS_AT_ONCE])
            with torch.inference_mode():
                energies = self._filters(torch.from_numpy(frames), video)
            parts.append(energies[:, :num_steps].flatten(3).numpy())
        return np.concatenate(parts)

    @cached_property
    def _filters(self) -> MotionEnergy:
        height, width = self.targets.reader.session.frame_shape or (0, 0)
        # Only the size of frames matters here; the other fields allow any size.
        config = VideoConfig(
            stages=(1,),
            kernel=(1, 1, 1),
            stride=(1, 1, 1),
            padding=(0, 0, 0),
            mask_unit=(1, 1),
            frame_height=height,
            frame_width=width,
        )
        return MotionEnergy(WAVELENGTHS, config)
