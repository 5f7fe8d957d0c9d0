"""Writes checkpoints in a thread during training; they appear complete or not at all."""

import shutil
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.state_dict_saver import save

from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import translate_full_disk
from omnimouse_cli.run.checkpoints import (
    METADATA,
    checkpoint_folder,
    clear_partial_checkpoints,
    complete_checkpoints,
    finish_checkpoint,
    partial_checkpoint,
)
from omnimouse_cli.shard.checksum import compute_file_checksum
from omnimouse_cli.training.checkpoint import describe_checkpoint
from omnimouse_cli.training.parallel.world import TIMEOUT, World
from omnimouse_cli.training.state import REPLICATED, TrainState

Value = TypeVar("Value")

# Longest wait for the thread after an error of the training: the other ranks may be gone.
_ABANDON_SECONDS = 20.0


class CheckpointWriter:
    """Copies the state of a training to host memory and writes it in a thread.

    A checkpoint is written to a temporary folder, synced and renamed, so that a killed process
    leaves no incomplete one. Then `latest` names it and the oldest checkpoints are removed. Every
    rank calls the same methods, and writes its own sessions and a part of the core. The memory of
    the copy is allocated by the first checkpoint and used again by the next ones.

    Args:
        run: Folder of the run.
        state: State of the training.
        config: Resolved configuration; intervals and the number of kept checkpoints are used, and
            the model is stored.
        world: The ranks.
    """

    def __init__(self, run: Path, state: TrainState, *, config: RunConfig, world: World) -> None:
        self._run = run
        self._state = state
        self._config = config
        self._world = world
        self._copies: dict[str, Tensor] = {}
        self._last_seconds = state.counters.elapsed_seconds
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._group = _make_group(world)
        self._warnings = warnings.catch_warnings()

    @property
    def has_failed(self) -> bool:
        """Whether a checkpoint could not be written; `wait` raises the error."""
        return self._error is not None

    def is_due(self) -> bool:
        """Return whether the next checkpoint is due, by steps or by minutes."""
        train, counters = self._config.train, self._state.counters
        if train.checkpoint_every is not None and counters.step % train.checkpoint_every == 0:
            return True
        seconds = counters.elapsed_seconds - self._last_seconds
        return train.checkpoint_minutes is not None and seconds >= 60 * train.checkpoint_minutes

    def start(self) -> Path:
        """Copy the state and start to write it; a checkpoint that exists is not written again.

        Returns:
            The folder of the checkpoint, which exists when `wait` has returned.

        Raises:
            OmniMouseError: The checkpoint before could not be written.
        """
        self.wait()
        run, world = self._run, self._world
        self._last_seconds = self._state.counters.elapsed_seconds
        target = checkpoint_folder(run, self._state.counters.step)
        if world.on_first_rank(lambda: target in complete_checkpoints(run)):
            return target
        world.on_first_rank(lambda: _prepare_folder(run, target))
        description = describe_checkpoint(self._state, self._config)
        self._copy_state()
        self._thread = threading.Thread(
            target=self._write, args=(target, description), name="omnimouse-checkpoint", daemon=True
        )
        self._thread.start()
        return target

    def wait(self) -> None:
        """Wait until the checkpoint that was started is complete.

        Raises:
            OmniMouseError: It could not be written: the disk is full, or the folder is gone.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def __enter__(self) -> Self:
        """Return the writer."""
        # Here and not in the thread: warning filters are global to the process.
        self._warnings.__enter__()
        # A single process is not distributed, of which torch warns.
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for the thread; an error of the training takes precedence over its error."""
        if self._thread is not None:
            self._thread.join(None if self._world.is_single else _ABANDON_SECONDS)
        if self._group is not None and (self._thread is None or not self._thread.is_alive()):
            dist.destroy_process_group(self._group)
        self._warnings.__exit__(kind, error, traceback)

    def _copy_state(self) -> None:
        """Copy the tensors that this rank writes into its (page-locked) memory."""
        on_gpu = self._world.device.type == "cuda"
        for name, value in own_part(self._state.tensors(), self._world).items():
            if name not in self._copies:
                self._copies[name] = torch.empty(value.shape, dtype=value.dtype, pin_memory=on_gpu)
            self._copies[name].copy_(value, non_blocking=on_gpu)
        if on_gpu:
            torch.cuda.current_stream().synchronize()

    def _write(self, target: Path, description: Mapping[str, Any]) -> None:
        """Write the copy; the thread's function."""
        partial = partial_checkpoint(target)
        try:
            with _explain_errors(target):
                if self._world.device.type == "cuda":
                    # The current device of a new thread is GPU 0, which another rank uses.
                    torch.cuda.set_device(self._world.device)
                self._write_tensors(partial)
                checksums: dict[str, str] = {}
                for found in self._on_every_rank(lambda: self._own_checksums(partial)):
                    checksums.update(found)
                self._on_every_rank(lambda: self._finish(target, description, checksums))
        except Exception as error:
            shutil.rmtree(partial, ignore_errors=True)
            self._error = error

    def _write_tensors(self, partial: Path) -> None:
        # Copies are in host memory already: nothing has to be fetched from a GPU ahead.
        writer = FileSystemWriter(partial, per_thread_copy_ahead=0)
        try:
            save(self._copies, storage_writer=writer, process_group=self._group)
        except CheckpointException as error:
            # The error of the first rank that failed names the cause.
            raise next(iter(error.failures.values()))[0] from error

    def _own_checksums(self, partial: Path) -> dict[str, str]:
        """Return the checksum of each file that this rank wrote, by name."""
        paths = list(partial.glob(f"__{self._world.rank}_*"))
        if self._world.is_first:
            paths.append(partial / METADATA)
        return {path.name: compute_file_checksum(path) for path in paths}

    def _finish(
        self, target: Path, description: Mapping[str, Any], checksums: Mapping[str, str]
    ) -> None:
        if self._world.is_first:
            state = {**description, "checksums": dict(sorted(checksums.items()))}
            train = self._config.train
            finish_checkpoint(
                target, state, keep=train.keep_checkpoints, keep_hours=train.keep_checkpoint_hours
            )

    def _on_every_rank(self, compute: Callable[[], Value]) -> list[Value]:
        """Return the values of all ranks; if any rank fails, every rank raises its error."""
        result: tuple[Value | None, Exception | None]
        try:
            result = compute(), None
        except Exception as error:
            result = None, error
        results: list[Any] = [result]
        if self._group is not None:
            results = [None] * self._world.num_ranks
            dist.all_gather_object(results, result, group=self._group)
        for _, failure in results:
            if failure is not None:
                raise failure
        return [value for value, _ in results]


def own_part(tensors: Mapping[str, Tensor], world: World) -> dict[str, Tensor]:
    """Return the tensors of a state that a rank writes: its sessions', and a part of the core.

    Args:
        tensors: All tensors of this rank's state, by name.
        world: The ranks, among which the core is divided into parts of about equal size.
    """
    num_bytes = {
        name: value.nbytes
        for name, value in tensors.items()
        if name.partition(".")[0] in REPLICATED
    }
    totals = [0] * world.num_ranks
    part = {name: value for name, value in tensors.items() if name not in num_bytes}
    for name in sorted(num_bytes, key=lambda name: (-num_bytes[name], name)):
        rank = totals.index(min(totals))
        totals[rank] += num_bytes[name]
        if rank == world.rank:
            part[name] = tensors[name]
    return part


def _make_group(world: World) -> dist.ProcessGroup | None:
    """Make a process group for the threads: their collectives run beside those of the training."""
    if world.is_single:
        return None
    group = dist.new_group(backend="gloo", timeout=TIMEOUT)
    assert isinstance(group, dist.ProcessGroup), "all ranks are members"
    return group


def _prepare_folder(run: Path, target: Path) -> None:
    with _explain_errors(target):
        clear_partial_checkpoints(run)


@contextmanager
def _explain_errors(target: Path) -> Iterator[None]:
    """Turn errors of the file system into sentences that name the checkpoint."""
    try:
        with translate_full_disk(target):
            yield
    except OSError as error:
        raise OmniMouseError(
            f"the checkpoint {target} cannot be written: {error.strerror or error}",
            hint="make its folder writable, and continue with: omnimouse train --resume --out "
            f"{target.parent.parent}",
        ) from error
