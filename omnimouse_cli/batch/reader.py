"""Reads windows by session and grid index: for evaluation, baselines and figures."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli import _native
from omnimouse_cli.batch.dataset import Dataset, stored_channels
from omnimouse_cli.batch.memory import BatchArrays, BatchMemory
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.shard.format import native_errors_as_shard_errors

if TYPE_CHECKING:
    from omnimouse_cli.batch.batch import Batch


class WindowReader:
    """Reads windows of a data set: sample-and-hold at the window's times, scaled.

    Args:
        dataset: Sessions to read from.
        config: Scaling of responses and video.
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
    ) -> "Batch":
        """Read windows of one session as tensors; arguments and errors are those of `read_arrays`.

        Returns:
            A batch with memory of its own and number -1.
        """
        # Baselines read arrays and do without torch, whose import takes seconds.
        from omnimouse_cli.batch.batch import to_tensors

        return to_tensors(self.read_arrays(session_key, grid_indices, neuron_index))

    def read_arrays(
        self,
        session_key: str,
        grid_indices: NDArray[np.int64],
        neuron_index: NDArray[np.int64] | None = None,
    ) -> BatchArrays:
        """Read windows of one session as float32 arrays.

        Args:
            session_key: Key of the session.
            grid_indices: int64 `(batch,)`: first sample of each window, on the session's grid.
            neuron_index: int64 `(neurons,)` for all windows or `(batch, neurons)`: columns of the
                recording, in any order; None reads all.

        Returns:
            Arrays with memory of their own and number -1.

        Raises:
            ShardError: The session is unknown, or its shard is damaged or shorter than it was.
            ValueError: A window lies outside a signal, or a neuron does not exist.
        """
        session = self._dataset.session(session_key)
        grid = np.asarray(grid_indices, np.int64)
        if neuron_index is None:
            neuron_index = np.arange(session.num_neurons)
        neurons = np.asarray(neuron_index, np.int64)
        if neurons.ndim == 1:
            neurons = np.tile(neurons, (len(grid), 1))
        if grid.ndim != 1 or neurons.ndim != 2 or len(neurons) != len(grid):
            raise ValueError(
                "`grid_indices` must be (batch,) and `neuron_index` (neurons,) or (batch, neurons):"
                f" {grid.shape} and {neurons.shape}"
            )
        num_windows, num_neurons = neurons.shape
        memory = BatchMemory(
            self._dataset, [session], num_windows=num_windows, num_neurons=num_neurons
        )
        memory.grid_indices[:] = grid
        memory.neuron_index[:] = neurons.ravel()
        if session_key not in self._sessions:
            self._sessions[session_key] = open_native_session(
                self._dataset, self._config, session_key
            )
        with native_errors_as_shard_errors():
            self._sessions[session_key].read(memory.slot, num_windows, num_neurons)
        return memory.arrays(session, number=-1, num_windows=num_windows, num_neurons=num_neurons)


def open_native_session(dataset: Dataset, config: DataConfig, key: str) -> _native.Session:
    """Open a session in the extension, scaled as `config` says.

    Raises:
        ShardError: The shard is missing or damaged.
    """
    session, channels = dataset.session(key), dataset.behavior_channels
    shift, scale = dataset.normalization(config, key)
    with native_errors_as_shard_errors():
        return _native.Session(
            _native.Shard(session.path, mapped=config.access == "map"),
            shift=shift,
            scale=scale,
            video_mean=config.video_mean,
            video_std=config.video_std,
            channel_rows=[
                channels.index(name) if name in session.channels else None
                for name in stored_channels(session.shard)
            ],
            num_channels=len(channels),
        )


def warn_if_not_mapped(dataset: Dataset, config: DataConfig, reporter: Reporter) -> None:
    """Warn once if shards are read because their file system does not support memory mapping."""
    if config.access == "read":
        return
    paths = [session.path for session in dataset.sessions if not session.shard.is_mapped]
    if paths:
        others = f" and {len(paths) - 1} other shards" if len(paths) > 1 else ""
        reporter.warn(
            f"{paths[0]}{others} cannot be mapped into memory where they lie, so they are read, "
            'which is slower; `data.access = "read"` does so without this warning'
        )
