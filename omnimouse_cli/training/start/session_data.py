"""What the linear models of a training are computed from: windows of a session, read once."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.batch.batch import Batch, to_device
from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.batch.windows import window_table
from omnimouse_cli.config.data import NUM_FRAMES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.model.inputs import channel_numbers
from omnimouse_cli.model.motion_energy import TIMES
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.shortcuts.encoding import EncodingShortcut, behavior_columns

# B batch, T time steps, F energies, Y rows and X columns of positions, D columns of the regression

# Of each session so many windows are read, fewer of large populations and of many sessions.
MOST_WINDOWS, MOST_VALUES, MOST_WINDOWS_IN_ALL = 1500, 60_000_000, 6000
STRIDE_SAMPLES = 30
# Second halves of windows are predicted: what came before is visible.
FIRST_STEP = len(TIMES) // 2
WINDOWS_AT_ONCE = 16


class SessionData(NamedTuple):
    """What windows of one session hold.

    Args:
        responses: `(windows, 60, neurons)`, scaled.
        contrasts: `(windows, 30, features x parts)` of the screen; None without one.
        behavior: `(windows, 15, columns)` of the regression; None without behavior.
        traces: `(windows, channels of the data set, 40)`: behavior itself, lost samples NaN, 0 for
            channels that the session lacks; None without behavior.
    """

    responses: Tensor
    contrasts: Tensor | None
    behavior: Tensor | None
    traces: Tensor | None = None

    @property
    def predicted(self) -> Tensor:
        """Responses at the time steps of the columns."""
        return self.responses[:, TIMES.start :: TIMES.step][:, FIRST_STEP:]

    @property
    def apart(self) -> Tensor:
        """Responses of windows that do not overlap."""
        return self.responses[:: NUM_RESPONSE_SAMPLES // STRIDE_SAMPLES]

    def columns(self, encoding: EncodingShortcut) -> Tensor:
        """Return the columns of the regression: `(windows, 15, columns)`."""
        shape = (*self.predicted.shape[:2], encoding.get_buffer("of_stimulus").shape[0])
        parts = [self.responses.new_zeros(shape)]
        if self.contrasts is not None:
            parts = [
                encoding.stimulus_columns(some)[:, FIRST_STEP:]
                for some in torch.split(self.contrasts, WINDOWS_AT_ONCE)
            ]
        shape = (*shape[:2], encoding.get_buffer("of_behavior").shape[0])
        zeros = self.responses.new_zeros(shape)
        behavior = zeros if self.behavior is None else self.behavior
        return torch.cat([torch.cat(parts), behavior], dim=2)

    def screen_means(self, encoding: EncodingShortcut) -> Tensor:
        """Return what random features are drawn for: `(windows x 15, bins x features)`."""
        assert self.contrasts is not None, "there is a stimulus"
        parts = [
            encoding.screen_means(encoding.lagged_contrasts(some)[:, FIRST_STEP:])
            for some in torch.split(self.contrasts, WINDOWS_AT_ONCE)
        ]
        return torch.cat(parts).flatten(0, 1)


class TrainingReader:
    """Reads training and validation windows of sessions."""

    def __init__(self, core: OmniMouse, config: RunConfig, dataset: Dataset) -> None:
        self.config, self.dataset = config, dataset
        self._core = core
        self._windows = WindowReader(dataset, config.data)
        self._kept: dict[str, SessionData] = {}

    def training(self, session: str, *, keep: bool = False) -> SessionData | None:
        """Return windows of the training tiers; `keep`: they are asked for again."""
        data = self._kept.pop(session, None) or self.read(session, self.config.data.tiers)
        if keep and data is not None:
            self._kept[session] = data
        return data

    def read(self, session: str, tiers: Sequence[str]) -> SessionData | None:
        """Return windows of some tiers, evenly spaced; None if there is none."""
        parts = [self._part(batch) for batch in self.batches(session, tiers)]
        if not parts:
            return None
        contrasts = [part.contrasts for part in parts if part.contrasts is not None]
        behavior = [part.behavior for part in parts if part.behavior is not None]
        traces = [part.traces for part in parts if part.traces is not None]
        return SessionData(
            torch.cat([part.responses for part in parts]),
            torch.cat(contrasts) if contrasts else None,
            torch.cat(behavior) if behavior else None,
            torch.cat(traces) if traces else None,
        )

    def batches(self, session: str, tiers: Sequence[str]) -> Iterator[Batch]:
        """Read windows of some tiers, evenly spaced, on the device of the core."""
        paths = self._core.linear_paths
        assert paths.encoding is not None, "the core has linear models"
        device = paths.encoding.get_buffer("means").device
        info = self.dataset.session(session)
        data = self.config.data
        table = window_table(
            info.shard,
            tiers=tiers,
            include_blanks=data.include_blanks,
            require_behavior=data.require_behavior,
            stride_samples=STRIDE_SAMPLES,
        )
        most = min(
            MOST_WINDOWS,
            MOST_VALUES // (NUM_RESPONSE_SAMPLES * info.num_neurons),
            MOST_WINDOWS_IN_ALL // len(self.dataset.sessions),
        )
        most = max(most, WINDOWS_AT_ONCE)
        step = max(-(-table.num_windows // most), 1)
        grid = table.grid_index(np.arange(0, table.num_windows, step))
        for first in range(0, len(grid), WINDOWS_AT_ONCE):
            batch = self._windows.read(session, grid[first : first + WINDOWS_AT_ONCE])
            yield to_device(batch, device, data)

    def _part(self, batch: Batch) -> SessionData:
        paths = self._core.linear_paths
        assert paths.encoding is not None, "the core has linear models"
        contrasts = behavior = None
        if paths.stimulus is not None and batch.video is not None:
            energy_BTFYX = paths.stimulus.energy(batch.video, (0, NUM_FRAMES))
            contrasts = paths.encoding.contrasts(energy_BTFYX)
        if batch.behavior is not None:
            channels = channel_numbers(batch, batch.responses.device)
            columns_BTD = behavior_columns(batch.behavior.nan_to_num(), channels)
            behavior = columns_BTD[:, FIRST_STEP:]
        return SessionData(batch.responses, contrasts, behavior, batch.behavior)
