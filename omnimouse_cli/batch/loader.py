"""The batches of a training run, in an order that only data set, seed and number decide."""

import os
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from omnimouse_cli import _native
from omnimouse_cli.batch.assembled import Assembled
from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.batch.memory import BatchMemory, Room, room_of
from omnimouse_cli.batch.sessions import native_errors, native_session
from omnimouse_cli.batch.verification import Verification
from omnimouse_cli.batch.windows import WindowTable
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.errors import OmniMouseError

if TYPE_CHECKING:
    import torch

    from omnimouse_cli.batch.batch import Batch

# How long Ctrl-C may have to wait for the thread that waits for a batch.
WAIT_SECONDS = 0.1
_SEED_BITS = 64


class Loader(Iterator["Batch"]):
    """An endless iterator of batches, assembled ahead by threads of its own.

    Batches are in memory that is used again as soon as no tensor shows it; a batch that is held
    stays as it is. With `pin_memory`, copies to a GPU must be issued on the stream that is current
    when the loader is asked for a later batch, or be waited for on it, as `on_device` does.

    Args:
        dataset: The sessions; all of them are drawn from.
        config: Which windows, how scaled, how many threads.
        seed: Of the order of windows and of the neuron subsets.
        rank: Which of the ranks this is; it gets the batches with `number % num_ranks == rank`.
        num_ranks: Ranks that share the order.
        first_batch: Number of the first batch of the global order that has not been used.
        pin_memory: Whether batches are in page-locked memory, for copies to a GPU.

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
        self._schedule = schedule(dataset, config, dataset.require_windows(config), seed=seed)
        self._native = _native.Loader(
            self._schedule,
            [native_session(dataset, config, session.key) for session in dataset.sessions],
            max_neurons=config.max_neurons,
            first_batch=first_batch + self._offset,
            step=num_ranks,
            threads=config.threads,
            read_ahead_bytes=(config.read_ahead_megabytes or 0) * 10**6,
        )
        self._verification = Verification(dataset) if config.verify else None
        self._room = _largest_room(dataset, config)
        self._memories: dict[_native.Slot, BatchMemory] = {}
        self._handed_out: deque[BatchMemory] = deque()
        self._cooling: deque[tuple[BatchMemory, torch.Event]] = deque()
        self._num_ahead = 0
        self._closed = False
        self._keep_ahead()

    @property
    def batches_per_epoch(self) -> int:
        """Batches in which the longest session (balanced) or all (proportional) are drawn once."""
        return self._schedule.batches_per_epoch

    def __next__(self) -> "Batch":
        """Wait for the next batch of this rank.

        Raises:
            ShardError: As `take` raises it.
            OmniMouseError: As `take` raises it.
        """
        # Who takes arrays does without torch, whose import takes seconds and 290 MB.
        from omnimouse_cli.batch.batch import as_batch

        return as_batch(self.take())

    def take(self) -> Assembled:
        """Wait for the next batch of this rank, as arrays.

        Raises:
            ShardError: The batch's shard is damaged or shorter than it was; the loader is closed.
            OmniMouseError: The loader was made in another process, before a fork.
        """
        self._require_usable()
        self._keep_ahead()
        try:
            if self._verification is not None:
                self._verification.check()
            with native_errors():
                number, index, num_neurons, slot = self._wait()
        except OmniMouseError:
            self.close()
            raise
        self._num_ahead -= 1
        self._next_batch = number - self._offset + self._num_ranks
        memory = self._memories[slot]
        self._handed_out.append(memory)
        return memory.assembled(
            self._dataset,
            self._dataset.sessions[index],
            number=number,
            num_windows=self._config.batch_size,
            num_neurons=num_neurons,
        )

    def state(self) -> dict[str, int]:
        """Give what `first_batch` continues from, on this or any other number of ranks.

        It counts as if every rank had taken as many batches as this one.
        """
        return {"next_batch": self._next_batch}

    def close(self) -> None:
        """End the threads; batches that are held stay as they are."""
        self._closed = True
        if self._verification is not None:
            self._verification.stop()
        if os.getpid() == self._process:
            self._native.close()

    def __enter__(self) -> Self:
        """Use the loader as a context that closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the loader."""
        self.close()

    def _require_usable(self) -> None:
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
            # Between two waits Python runs its signal handlers.
            taken = self._native.take(WAIT_SECONDS)
            if taken is not None:
                return taken

    def _keep_ahead(self) -> None:
        """Give the threads what nobody holds any more, and new memory if that is not enough."""
        still_held: deque[BatchMemory] = deque()
        for memory in self._handed_out:
            if memory.is_held:
                still_held.append(memory)
            elif self._pin_memory:
                # A copy to the GPU may still be reading what no tensor shows any more.
                self._cooling.append((memory, _event_now()))
            else:
                self._give(memory)
        self._handed_out = still_held
        while self._cooling and self._cooling[0][1].query():
            self._give(self._cooling.popleft()[0])
        while self._num_ahead < max(self._config.prefetch_batches, self._config.threads):
            if self._cooling:
                memory, event = self._cooling.popleft()
                event.synchronize()
            else:
                memory = BatchMemory(self._room, pin_memory=self._pin_memory)
                self._memories[memory.slot] = memory
            self._give(memory)

    def _give(self, memory: BatchMemory) -> None:
        self._native.give(memory.slot)
        self._num_ahead += 1


def _event_now() -> "torch.Event":
    import torch

    event = torch.Event("cuda")
    event.record()
    return event


def schedule(
    dataset: Dataset, config: DataConfig, tables: tuple[WindowTable, ...], *, seed: int
) -> _native.Schedule:
    """Give the order of batches: a pure function of the data set, the configuration and the seed.

    Args:
        dataset: The sessions.
        config: `batch_size`, `stride_samples` and `sampling` are used.
        tables: Windows of each session.
        seed: Any whole number; its lowest 64 bits count.
    """
    return _native.Schedule(
        [
            (session.key, table.first, table.count)
            for session, table in zip(dataset.sessions, tables, strict=True)
        ],
        stride_samples=config.stride_samples,
        batch_size=config.batch_size,
        seed=seed % 2**_SEED_BITS,
        balanced=config.sampling == "balanced",
    )


def _largest_room(dataset: Dataset, config: DataConfig) -> Room:
    rooms = [
        room_of(
            session,
            dataset,
            num_windows=config.batch_size,
            num_neurons=min(session.num_neurons, config.max_neurons),
        )
        for session in dataset.sessions
    ]
    return Room(
        num_windows=config.batch_size,
        num_neurons=max(room.num_neurons for room in rooms),
        frame_pixels=max(room.frame_pixels for room in rooms),
        num_channels=max(room.num_channels for room in rooms),
        dtype=config.dtype,
        video_dtype=config.video_dtype,
    )
