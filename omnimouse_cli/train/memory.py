"""Memory that ran out, as a sentence that says what to lower and what would fit."""

import os
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from omnimouse_cli.batch.dataset import SessionInfo
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.cost.training import estimate_training
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.train.parallel.session_tables import all_owned_sessions
from omnimouse_cli.train.parallel.world import World

# What PyTorch's allocator says where the machine's own memory is meant.
CPU_ALLOCATOR = "can't allocate memory"
# Of a container; it says `max` where there is no limit.
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
GIB = 2**30


@contextmanager
def memory_named(
    config: RunConfig, device: torch.device, what_fits: Callable[[], str]
) -> Iterator[None]:
    """Turn exhausted memory into an error that names the settings that need it.

    Args:
        config: Of the run.
        device: Whose memory it is.
        what_fits: Gives the hint.

    Raises:
        OmniMouseError: Memory ran out in the block.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        exhausted = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not exhausted and CPU_ALLOCATOR not in str(error):
            raise
        raise OmniMouseError(
            f"the memory of {_place(device)} ran out: `data.batch_size` is "
            f"{config.data.batch_size}, `data.max_neurons` {config.data.max_neurons} and the "
            f"model {config.model.size}",
            hint=what_fits(),
        ) from error


def fitting(
    config: RunConfig, sessions: Sequence[SessionInfo], strategies: Sequence[Strategy], world: World
) -> str:
    """Say what would fit in the memory that is there, by the estimate that a dry run prints.

    Args:
        config: Of the run whose memory ran out.
        sessions: What is trained on.
        strategies: What a step may ask.
        world: The ranks; on a CPU they share one memory.
    """
    owned = all_owned_sessions(len(sessions), world.num_ranks)
    there = memory_of(world.device)
    if world.device.type == "cpu":
        there //= world.num_ranks

    def windows_of(tried: RunConfig) -> int:
        plan = estimate_training(tried, sessions, strategies, owned=owned, device=world.device.type)
        needed = dict(plan["memory_bytes"])
        per_window = needed.pop("activations") / tried.data.batch_size
        return max(0, int((there - sum(needed.values())) / per_window))

    room = f"{there / GIB:.2g} GiB of {_place(world.device)}"
    batch, windows = config.data.batch_size, windows_of(config)
    if windows >= batch:
        return (
            f"by the estimate {windows} windows fit in the {room}, so others may be using it: wait "
            f"for them, or lower the batch, for example --set data.batch_size={max(1, batch // 2)}"
        )
    if windows:
        return (
            f"by the estimate a batch of {windows} fits in the {room}: --set "
            f"data.batch_size={windows}; train.batches_per_step makes up for it"
        )
    neurons = max((session.num_neurons for session in sessions), default=1)
    neurons = min(neurons, config.data.max_neurons) // 2
    while neurons and not windows_of(_with_neurons(config, neurons)):
        neurons //= 2
    if neurons:
        return (
            f"by the estimate one window of {neurons} neurons fits in the {room}: --set "
            f"data.batch_size=1 --set data.max_neurons={neurons}"
        )
    return _smaller_model(config, windows_of, room)


def memory_of(device: torch.device) -> int:
    """Give the bytes that this process may use where it computes, those in use by it included."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device)
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    if CONTAINER_LIMIT.exists() and (text := CONTAINER_LIMIT.read_text().strip()).isdigit():
        limits.append(int(text))
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    return min(limits)


def _place(device: torch.device) -> str:
    return "the GPU" if device.type == "cuda" else "this machine"


def _with_neurons(config: RunConfig, neurons: int) -> RunConfig:
    return replace(config, data=replace(config.data, max_neurons=neurons))


def _smaller_model(config: RunConfig, windows_of: Callable[[RunConfig], int], room: str) -> str:
    if config.train.adapt_from is not None:
        return f"by the estimate not one window fits in the {room}: adapt a smaller core"
    for name in reversed(SIZES):
        model = replace(SIZES[name], response_loss=config.model.response_loss)
        if windows_of(replace(config, model=model)):
            return f"by the estimate --model {name} fits in the {room}, with data.batch_size=1"
    return f"by the estimate no model fits in the {room}: train fewer sessions (--sessions)"
