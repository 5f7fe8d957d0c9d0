"""A rank's place among all ranks, and everything that ranks say to each other."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.train.parallel.environment import Place, place_of

Answer = TypeVar("Answer")

# Longer than any validation or checkpoint that one rank waits for another to finish.
PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A tensor on its way between two ranks.

    Args:
        peer: The other rank.
        content: What is sent, or where what is received goes; contiguous, on the world's device.
    """

    peer: int
    content: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where this process stands.

    Args:
        rank: This process among all, from 0.
        num_ranks: Processes that train together.
        local_rank: This process among those of its machine.
        device: Where this rank computes.
    """

    rank: int = 0
    num_ranks: int = 1
    local_rank: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this rank writes files and talks to the user."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there is no other rank."""
        return self.num_ranks == 1

    def wait_for_all(self) -> None:
        """Return when every rank has come here."""
        # A sum of CPU numbers waits for the ranks only, not for what their GPUs have queued.
        self.maximum([0.0])

    def start_sum(self, values: Tensor) -> Callable[[], None]:
        """Begin to replace `values` by their sum over ranks; the returned function waits for it."""
        if self.is_alone:
            return _nothing
        work = dist.all_reduce(values, async_op=True)
        assert work is not None

        def finish() -> None:
            work.wait()

        return finish

    def maximum(self, values: Sequence[float]) -> list[float]:
        """Give the elementwise maximum over ranks, without waiting for a GPU."""
        if self.is_alone:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return cast("list[float]", tensor.tolist())

    def exchange(self, outgoing: Sequence[Parcel], incoming: Sequence[Parcel]) -> None:
        """Send and receive tensors between pairs of ranks; every pair agrees on the order."""
        operations = [dist.P2POp(dist.isend, item.content, item.peer) for item in outgoing]
        operations += [dist.P2POp(dist.irecv, item.content, item.peer) for item in incoming]
        if operations:
            for work in dist.batch_isend_irecv(operations):
                work.wait()

    def agree(self, make: Callable[[], Answer]) -> Answer:
        """Let the first rank make something and give it to all; its user error is everyone's.

        Raises:
            OmniMouseError: The first rank's.
        """
        if self.is_alone:
            return make()
        message: list[Any] = [None]
        if self.is_first:
            try:
                message = [(make(), None)]
            except OmniMouseError as error:
                message = [(None, error)]
        dist.broadcast_object_list(message)
        answer, refusal = message[0]
        if refusal is not None:
            raise OmniMouseError(refusal.message, hint=refusal.hint)
        return cast("Answer", answer)

    def gather(self, value: Answer) -> list[Answer]:
        """Give every rank's value to every rank, in the order of ranks."""
        if self.is_alone:
            return [value]
        values: list[Any] = [None] * self.num_ranks
        dist.all_gather_object(values, value)
        return values


def _nothing() -> None:
    """Wait for nothing."""


def device_of(name: str, local_rank: int = 0) -> torch.device:
    """Choose where a rank computes.

    Args:
        name: `cpu`, `cuda` or `auto` (a GPU where there is one).
        local_rank: Which of this machine's GPUs.

    Raises:
        OmniMouseError: There is no such device here.
    """
    if name not in ("cpu", "cuda", "auto"):
        raise OmniMouseError(f"there is no device {name!r}", hint="--device is cpu, cuda or auto")
    num_gpus = torch.cuda.device_count() if name != "cpu" else 0
    if name == "cpu" or (name == "auto" and num_gpus == 0):
        return torch.device("cpu")
    if local_rank >= num_gpus:
        raise OmniMouseError(
            f"rank {local_rank} of this machine needs a GPU of its own and there are {num_gpus}",
            hint="start fewer ranks, or compute on the CPU with --device cpu",
        )
    return torch.device("cuda", local_rank)


@contextmanager
def joined_world(device: str = "auto") -> Iterator[World]:
    """Find this process's place in the environment and join the others for as long as the block.

    Args:
        device: `cpu`, `cuda` or `auto`.

    Raises:
        OmniMouseError: There is no such device for this rank.
    """
    place = place_of(os.environ)
    world = World(
        rank=place.rank,
        num_ranks=place.num_ranks,
        local_rank=place.local_rank,
        device=device_of(device, place.local_rank),
    )
    if world.device.type == "cuda":
        torch.cuda.set_device(world.device)
    if world.is_alone:
        yield world
        return
    _join(place, world)
    try:
        yield world
    finally:
        dist.destroy_process_group()


def _join(place: Place, world: World) -> None:
    on_gpu = world.device.type == "cuda"
    dist.init_process_group(
        # Objects and control numbers travel by gloo: no GPU has to finish its queue for them.
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        init_method=f"tcp://{place.host}:{place.port}" if place.host else "env://",
        rank=world.rank,
        world_size=world.num_ranks,
        timeout=PATIENCE,
    )
    if on_gpu:
        # NCCL wants every rank in the first exchange, and tables travel between pairs.
        dist.all_reduce(torch.zeros(1, device=world.device))
