"""The batches of a training run, in an order that only data set and seed determine."""

import os
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from omnimouse_cli import _native
from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.batch.memory import BatchArrays, BatchMemory
from omnimouse_cli.batch.reader import open_native_session
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.shard.format import native_errors_as_shard_errors
from omnimouse_cli.shard.verify import BackgroundVerification

if TYPE_CHECKING:
    import torch

    from omnimouse_cli.batch.batch import Batch

# Longest time for which waiting for a batch delays Ctrl-C.
WAIT_SECONDS = 0.1
# Batches that the GPU may still have to copy before the loader waits for it. The host runs two or
# three steps ahead of the GPU; a smaller number would stop it in every step.
MAX_BEING_COPIED = 4
_SEED_BITS = 64


class Loader(Iterator["Batch"]):
    """An endless iterator of batches, assembled ahead by threads of its own.

    The memory of a batch is reused as soon as no tensor refers to it; a batch that is kept does not
    change. With `pin_memory`, call `to_device` on the stream that will call `next`, or synchronize
    first.

    Args:
        dataset: Batches are drawn from all of its sessions.
        config: Windows, scaling and number of threads.
        seed: Seed of the order of windows and of the neuron subsets.
        rank: This rank; it gets the batches with `number % num_ranks == rank`.
        num_ranks: World size.
        first_batch: Number of the first batch of the global order that has not been used.
        pin_memory: Whether batches are in page-locked memory, for copies to a GPU.
        verify_at_start: Whether shards are verified in the background until every window was
            drawn once, where `config.verify` is None; each rank verifies a part of them.

    Raises:
        ShardError: A tier that no trial has, a session without a window, a damaged shard.
    """

    def __init__(
        self,
        dataset: Dataset,
        config: DataConfig,
        *,
        seed: int,
        rank: int = 0,
        num_ranks: int = 1,
        first_batch: int = 0,
        pin_memory: bool = False,
        verify_at_start: bool = False,
    ) -> None:
        if not 0 <= rank < num_ranks:
            raise ValueError(f"`rank` must be at least 0 and below {num_ranks}: {rank}")
        if first_batch < 0:
            raise ValueError(f"`first_batch` must not be negative: {first_batch}")
        self._dataset = dataset
        self._config = config
        self._num_ranks = num_ranks
        self._pin_memory = pin_memory
        self._process = os.getpid()
        self._next_batch = first_batch
        self._offset = (rank - first_batch) % num_ranks
        self._schedule = build_schedule(dataset, config, seed=seed)
        self._native = _native.Loader(
            self._schedule,
            [open_native_session(dataset, config, session.key) for session in dataset.sessions],
            max_neurons=config.max_neurons,
            first_batch=first_batch + self._offset,
            step=num_ranks,
            threads=config.threads,
            read_ahead_bytes=(config.read_ahead_megabytes or 0) * 10**6,
        )
        verify = config.verify
        if verify is None:
            verify = verify_at_start and first_batch < self.batches_of_all_windows
        paths = [session.path for session in dataset.sessions[rank::num_ranks]]
        self._verification = BackgroundVerification(paths) if verify else None
        self._memories: dict[_native.Slot, BatchMemory] = {}
        # Memory of batches that were returned, and memory that a copy to the GPU may still read.
        self._returned: deque[BatchMemory] = deque()
        self._being_copied: deque[tuple[BatchMemory, torch.Event]] = deque()
        self._num_ahead = 0
        self._closed = False
        self._prefetch()

    @property
    def batches_of_all_windows(self) -> int:
        """Batches until every window of the longest session (balanced), or of all, is drawn once.

        Windows overlap: these are more epochs than one (batch/epochs.py).
        """
        return self._schedule.batches_per_epoch

    def session_index(self, number: int) -> int:
        """Return the position in `dataset.sessions` of the session of batch `number`."""
        return self._schedule.batch(number)[0]

    def __next__(self) -> "Batch":
        """Wait for the next batch of this rank.

        Raises:
            ShardError: The batch's shard is damaged or shorter than it was.
            OmniMouseError: The loader is closed, or was opened in another process, before a fork.
        """
        # `take` works without torch, whose import takes seconds and 290 MB.
        from omnimouse_cli.batch.batch import to_tensors

        return to_tensors(self.take())

    def take(self) -> BatchArrays:
        """Wait for the next batch of this rank, as arrays.

        Raises:
            ShardError: The batch's shard is damaged or shorter than it was.
            OmniMouseError: The loader is closed, or was opened in another process, before a fork.
        """
        self._require_open()
        self._prefetch()
        try:
            if self._verification is not None:
                self._verification.check()
            with native_errors_as_shard_errors():
                number, index, num_neurons, slot = self._wait()
        except OmniMouseError:
            self.close()
            raise
        self._num_ahead -= 1
        self._next_batch = number - self._offset + self._num_ranks
        memory = self._memories[slot]
        self._returned.append(memory)
        return memory.arrays(
            self._dataset.sessions[index],
            number=number,
            num_windows=self._config.batch_size,
            num_neurons=num_neurons,
        )

    def state(self) -> dict[str, int]:
        """Return `next_batch`, the `first_batch` to continue with on any number of ranks.

        It assumes that every rank has taken as many batches as this one.
        """
        return {"next_batch": self._next_batch}

    def close(self) -> None:
        """End the threads; batches that were taken do not change."""
        self._closed = True
        if self._verification is not None:
            self._verification.stop()
        if os.getpid() == self._process:
            self._native.close()

    def __enter__(self) -> Self:
        """Return the loader, which the context closes."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the loader."""
        self.close()

    def _require_open(self) -> None:
        if os.getpid() != self._process:
            raise OmniMouseError(
                "a loader cannot be used after a fork: its threads stayed in the parent process",
                hint="open the loader in the process that uses it, or start processes by spawn",
            )
        if self._closed:
            raise OmniMouseError(
                "the loader is closed", hint="open another one with `first_batch=next_batch`"
            )

    def _wait(self) -> tuple[int, int, int, _native.Slot]:
        while True:
            # Python runs its signal handlers between two waits.
            taken = self._native.receive(WAIT_SECONDS)
            if taken is not None:
                return taken

    def _prefetch(self) -> None:
        """Hand released memory to the threads, and new memory if that is not enough."""
        in_use: deque[BatchMemory] = deque()
        for memory in self._returned:
            if memory.is_in_use:
                in_use.append(memory)
            elif self._pin_memory:
                # A copy to the GPU may still read memory that no tensor refers to any more.
                self._being_copied.append((memory, _record_event()))
            else:
                self._fill(memory)
        self._returned = in_use
        while self._being_copied and self._being_copied[0][1].query():
            self._fill(self._being_copied.popleft()[0])
        while self._num_ahead < max(self._config.prefetch_batches, self._config.threads):
            if len(self._being_copied) >= MAX_BEING_COPIED:
                memory, event = self._being_copied.popleft()
                event.synchronize()
            else:
                memory = self._new_memory()
            self._fill(memory)

    def _new_memory(self) -> BatchMemory:
        sessions, config = self._dataset.sessions, self._config
        memory = BatchMemory(
            self._dataset,
            sessions,
            num_windows=config.batch_size,
            num_neurons=min(max(s.num_neurons for s in sessions), config.max_neurons),
            dtype=config.dtype,
            video_dtype=config.video_dtype,
            pin_memory=self._pin_memory,
        )
        self._memories[memory.slot] = memory
        return memory

    def _fill(self, memory: BatchMemory) -> None:
        self._native.submit(memory.slot)
        self._num_ahead += 1


def _record_event() -> "torch.Event":
    import torch

    event = torch.Event("cuda")
    event.record()
    return event


def build_schedule(dataset: Dataset, config: DataConfig, *, seed: int) -> _native.Schedule:
    """Return the order of batches: a pure function of data set, configuration and seed.

    Args:
        dataset: Batches are drawn from all of its sessions.
        config: `batch_size`, `sampling` and whatever determines the windows are used.
        seed: Any whole number; its lowest 64 bits are used.

    Raises:
        ShardError: A tier that no trial has, or a session without a window.
    """
    return _native.Schedule(
        [(key, table.first, table.count) for key, table in dataset.require_windows(config).items()],
        stride_samples=config.stride_samples,
        batch_size=config.batch_size,
        seed=seed % 2**_SEED_BITS,
        balanced=config.sampling == "balanced",
    )
