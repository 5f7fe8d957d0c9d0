"""Reads windows that the caller names: evaluation, baselines, figures."""

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli import _native
from omnimouse_cli.batch.batch import Batch, as_batch
from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.batch.memory import BatchMemory, room_of
from omnimouse_cli.batch.sessions import native_errors, native_session
from omnimouse_cli.config.data import DataConfig


class WindowReader:
    """Reads windows of a data set by session and grid index.

    Args:
        dataset: The sessions.
        config: How responses and video are scaled.
    """

    def __init__(self, dataset: Dataset, config: DataConfig) -> None:
        self._dataset = dataset
        self._config = config
        self._sessions: dict[str, _native.Session] = {}

    def read(
        self,
        session_key: str,
        grid_indices: NDArray[np.int64],
        neuron_index: NDArray[np.int64] | None = None,
    ) -> Batch:
        """Read windows of one session.

        Args:
            session_key: Which session.
            grid_indices: int64 `(batch,)`: first sample of each window, on the session's grid.
            neuron_index: int64 `(batch, neurons)`: columns of each window, in any order; None
                takes all.

        Returns:
            A batch of its own memory, with number -1.

        Raises:
            ShardError: The session is unknown, or its shard is damaged or shorter than it was.
            ValueError: A window lies outside a signal, or a neuron does not exist.
        """
        session = self._dataset.session(session_key)
        grid = np.asarray(grid_indices, np.int64)
        if neuron_index is None:
            neuron_index = np.tile(np.arange(session.num_neurons), (len(grid), 1))
        neurons = np.asarray(neuron_index, np.int64)
        if grid.ndim != 1 or neurons.ndim != 2 or len(neurons) != len(grid):
            raise ValueError(
                "`grid_indices` must be (batch,) and `neuron_index` (batch, neurons): "
                f"{grid.shape} and {neurons.shape}"
            )
        num_windows, num_neurons = neurons.shape
        room = room_of(session, self._dataset, num_windows=num_windows, num_neurons=num_neurons)
        memory = BatchMemory(room)
        memory.grid_indices[:] = grid
        memory.neuron_index[:] = neurons.ravel()
        with native_errors():
            self._session(session_key).read(memory.slot, num_windows, num_neurons)
        assembled = memory.assembled(
            self._dataset, session, number=-1, num_windows=num_windows, num_neurons=num_neurons
        )
        return as_batch(assembled)

    def _session(self, key: str) -> _native.Session:
        if key not in self._sessions:
            self._sessions[key] = native_session(self._dataset, self._config, key)
        return self._sessions[key]
