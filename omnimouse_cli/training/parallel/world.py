"""The ranks of a training: which one this process is, and how they communicate."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import Store

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import explain_file_errors
from omnimouse_cli.training.parallel.heartbeat import Activity, Heartbeat, failure_of
from omnimouse_cli.training.parallel.meet import meet, open_store, store_address

Value = TypeVar("Value")

# Long, because heartbeats notice a rank that fails: a collective waits for as long as the others
# make progress, for hours in a validation.
TIMEOUT = timedelta(days=7)
# Set by srun: the number of tasks of its step.
STEP_TASKS = "SLURM_STEP_NUM_TASKS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launcher:
    """Rank of a process as set by torchrun or Slurm.

    Args:
        rank: Number of this process, from 0.
        num_ranks: World size: the number of processes that train together.
        local_rank: Number of this process on its machine, from 0.
        gpu: Index of the first GPU of this process among those that it sees.
        host: Machine on which rank 0 listens; None with a single rank, or where the variables
            MASTER_ADDR and MASTER_PORT name it.
        port: Port on `host`.
    """

    rank: int = 0
    num_ranks: int = 1
    local_rank: int = 0
    gpu: int = 0
    host: str | None = None
    port: int = 0


def read_launcher(variables: Mapping[str, str]) -> Launcher:
    """Read the rank from environment variables; without a launcher it is rank 0 of 1.

    Args:
        variables: The environment, for example `os.environ`.

    Example:
        >>> read_launcher({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}).rank
        1
        >>> read_launcher({}).num_ranks
        1
    """
    if "RANK" in variables and "WORLD_SIZE" in variables:
        local_rank = int(variables.get("LOCAL_RANK", 0))
        return Launcher(
            rank=int(variables["RANK"]),
            num_ranks=int(variables["WORLD_SIZE"]),
            local_rank=local_rank,
            gpu=local_rank,
        )
    # Only srun sets the step's own number of tasks; a batch script alone is not one of them.
    if int(variables.get(STEP_TASKS, 1)) > 1:
        has_master = "MASTER_ADDR" in variables and "MASTER_PORT" in variables
        return Launcher(
            rank=int(variables["SLURM_PROCID"]),
            num_ranks=int(variables[STEP_TASKS]),
            local_rank=int(variables["SLURM_LOCALID"]),
            gpu=_first_gpu(variables),
            host=None if has_master else _step_host(variables),
            port=0 if has_master else step_port(variables),
        )
    return Launcher()


def leave_step(variables: MutableMapping[str, str]) -> None:
    """Remove the variable by which a task of srun is one of several ranks."""
    variables.pop(STEP_TASKS, None)


def _first_gpu(variables: Mapping[str, str]) -> int:
    """Return the index of a task's first GPU among the visible ones."""
    visible = [name for name in variables.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if 0 < len(visible) < int(variables.get("SLURM_GPUS_ON_NODE", 0)):
        # Slurm makes only the task's own GPUs visible, as with --gpus-per-task.
        return 0
    return int(variables["SLURM_LOCALID"])


def _step_host(variables: Mapping[str, str]) -> str:
    # A machine alone need not be able to resolve its own name.
    is_alone = int(variables.get("SLURM_STEP_NUM_NODES", 0)) == 1
    return "127.0.0.1" if is_alone else first_host(variables["SLURM_STEP_NODELIST"])


def step_port(variables: Mapping[str, str]) -> int:
    """Return the port of a step's rank 0, from 20,000 to 31,999: below those the system gives out.

    Up to 509 steps of one job have different ports, as do jobs with consecutive numbers.

    Example:
        >>> step_port({"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"})
        23563
        >>> step_port({"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "1"})
        23564
    """
    number = 509 * int(variables["SLURM_JOB_ID"]) + int(variables.get("SLURM_STEP_ID", 0))
    return 20_000 + number % 12_000


def first_host(nodes: str) -> str:
    """Return the first machine of a Slurm node list.

    Args:
        nodes: Names with ranges of numbers in brackets, as in SLURM_STEP_NODELIST.

    Example:
        >>> first_host("gpu[03-05,9],login1")
        'gpu03'
    """
    match = re.match(r"([^\[,]+)(?:\[([^\],-]+)[^\]]*\]([^,]*))?", nodes)
    assert match is not None, f"a node list begins with a name: {nodes!r}"
    stem, number, suffix = match.groups(default="")
    return stem + number + suffix


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A tensor that is sent to another rank or received from it.

    Args:
        peer: The other rank.
        tensor: What is sent, or the buffer for what is received; contiguous, on the world's device.
    """

    peer: int
    tensor: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One rank among all, and its communication with the others.

    Args:
        rank: Number of this process among all, from 0.
        num_ranks: Processes that train together.
        local_rank: Number of this process on its machine, from 0.
        device: Where this rank computes.
        activity: What this rank is doing, for the heartbeats.
        store: Texts that outlive this attempt, where torchrun starts ranks again; None without.
    """

    rank: int = 0
    num_ranks: int = 1
    local_rank: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    activity: Activity = field(default_factory=Activity, compare=False)
    store: Store | None = field(default=None, compare=False)

    @property
    def is_first(self) -> bool:
        """Whether this rank writes files and reports progress."""
        return self.rank == 0

    @property
    def is_single(self) -> bool:
        """Whether there is no other rank."""
        return self.num_ranks == 1

    @property
    def stop_signal(self) -> int:
        """Number of the signal by which this or another rank was asked to stop; 0 without."""
        return self.activity.interrupt.number or self.activity.remote_signal

    def is_stopping(self) -> bool:
        """Return whether any rank got a signal to stop, the same on every rank."""
        interrupt = self.activity.interrupt
        (number,) = self.all_reduce_max([float(self.stop_signal)])
        # A signal of this moment is exchanged in the next call, with all ranks.
        interrupt.request(int(number))
        return number != 0

    def barrier(self) -> None:
        """Wait until every rank has called this."""
        # A reduction of CPU numbers waits for the ranks only, not for what their GPUs have queued.
        self.all_reduce_max([0.0])

    def start_all_reduce(self, values: Tensor) -> Callable[[], None]:
        """Start to replace `values` by their sum over ranks; the returned function waits for it."""
        if self.is_single:
            return lambda: None
        work = dist.all_reduce(values, async_op=True)
        assert work is not None

        def wait() -> None:
            with self.activity.waiting():
                work.wait()

        return wait

    def all_reduce_max(self, values: Sequence[float]) -> list[float]:
        """Return the elementwise maximum over ranks, without waiting for a GPU."""
        if self.is_single:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        with self.activity.waiting():
            dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return cast("list[float]", tensor.tolist())

    def send_and_receive(self, sends: Sequence[Transfer], receives: Sequence[Transfer]) -> None:
        """Send and receive tensors; the two ranks of a pair list them in the same order."""
        operations = [dist.P2POp(dist.isend, item.tensor, item.peer) for item in sends]
        operations += [dist.P2POp(dist.irecv, item.tensor, item.peer) for item in receives]
        if operations:
            with self.activity.waiting():
                for work in dist.batch_isend_irecv(operations):
                    work.wait()

    def on_first_rank(self, compute: Callable[[], Value]) -> Value:
        """Compute a value on the first rank and return it on every rank.

        Raises:
            OmniMouseError: The computation raised it, or an error of a file; every rank raises it.
        """
        if self.is_single:
            return compute()
        message: list[Any] = [_try(compute) if self.is_first else None]
        with self.activity.waiting():
            dist.broadcast_object_list(message)
        value, failure = message[0]
        if failure is not None:
            raise failure
        return cast("Value", value)

    def on_every_rank(self, compute: Callable[[], Value]) -> Value:
        """Compute a value on every rank and return this rank's; none goes on if one has failed.

        Raises:
            OmniMouseError: The first error of any rank; every rank raises it.
        """
        value, failure = _try(compute)
        for error in self.all_gather(failure):
            if error is not None:
                raise error
        return cast("Value", value)

    def all_gather(self, value: Value) -> list[Value]:
        """Return the values of all ranks, in the order of ranks."""
        if self.is_single:
            return [value]
        values: list[Any] = [None] * self.num_ranks
        with self.activity.waiting():
            dist.all_gather_object(values, value)
        return values


def _try(compute: Callable[[], Value]) -> tuple[Value | None, OmniMouseError | None]:
    """Return a value and None, or None and the error of the user or of a file that prevented it."""
    try:
        with explain_file_errors():
            return compute(), None
    except OmniMouseError as error:
        return None, error


def select_device(name: str, gpu: int = 0) -> torch.device:
    """Return the device on which a rank computes.

    Args:
        name: `cpu`, `cuda` or `auto` (a GPU where there is one).
        gpu: Index of the rank's GPU among those that this process sees.

    Raises:
        OmniMouseError: There is no such device here.
    """
    if name not in ("cpu", "cuda", "auto"):
        raise OmniMouseError(f"there is no device {name!r}", hint="--device is cpu, cuda or auto")
    num_gpus = torch.cuda.device_count() if name != "cpu" else 0
    if name == "cpu" or (name == "auto" and num_gpus == 0):
        return torch.device("cpu")
    if gpu >= num_gpus:
        raise OmniMouseError(
            f"rank {gpu} of this machine needs a GPU of its own and there are {num_gpus}",
            hint="start fewer ranks, or compute on the CPU with --device cpu",
        )
    return torch.device("cuda", gpu)


def device_name(device: torch.device) -> str:
    """Return the name of a device, which is the same on every machine that has one."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


@contextmanager
def join_world(device: str = "auto") -> Iterator[World]:
    """Join the process group that the environment describes, for as long as the block.

    Args:
        device: `cpu`, `cuda` or `auto`.

    Raises:
        OmniMouseError: There is no such device for this rank, the ranks do not find each other, or
            another rank has failed.
    """
    launcher = read_launcher(os.environ)
    local_device = select_device(device, launcher.gpu)
    if local_device.type == "cuda":
        torch.cuda.set_device(local_device)
    world = World(
        rank=launcher.rank,
        num_ranks=launcher.num_ranks,
        local_rank=launcher.local_rank,
        device=local_device,
        store=_open_store(launcher),
    )
    if world.store is None or world.is_single:
        yield world
        return
    host = launcher.host or os.environ["MASTER_ADDR"]
    store, links = meet(world.store, host, world.rank, world.num_ranks)
    heartbeat = Heartbeat(world.activity, world.rank, world.num_ranks, links)
    try:
        _init_process_group(world, store)
        yield world
        dist.destroy_process_group()
    except BaseException as error:
        # The first rank knows the cause of a broken connection a moment later.
        verdict = heartbeat.leave(failure_of(error, is_waiting=world.activity.is_waiting))
        if verdict is None or verdict.rank == world.rank or isinstance(error, KeyboardInterrupt):
            raise
        raise verdict.exception() from error
    heartbeat.leave(None)


def _open_store(launcher: Launcher) -> Store | None:
    """Return the store of the launcher, or of the first rank; None for one process alone."""
    if launcher.host is not None:
        return open_store(launcher.host, launcher.port, serves=launcher.rank == 0)
    is_alone = launcher.num_ranks == 1
    if is_alone and "MASTER_ADDR" not in os.environ:
        return None
    host, port, has_server = store_address(os.environ)
    if is_alone and not has_server:
        return None
    return open_store(host, port, serves=launcher.rank == 0 and not has_server)


def _init_process_group(world: World, store: Store) -> None:
    on_gpu = world.device.type == "cuda"
    with world.activity.waiting():
        dist.init_process_group(
            # Objects and control numbers are sent by gloo, which does not wait for queued GPU work.
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            store=store,
            rank=world.rank,
            world_size=world.num_ranks,
            timeout=TIMEOUT,
        )
        if on_gpu:
            # NCCL needs every rank in its first collective; later transfers are between pairs.
            dist.all_reduce(torch.zeros(1, device=world.device))
