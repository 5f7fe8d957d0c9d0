"""Exhausted memory as an error that says which settings to lower and what would fit."""

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
from omnimouse_cli.text import pluralize
from omnimouse_cli.training.parallel.session_embeddings import owned_sessions
from omnimouse_cli.training.parallel.world import World

# Part of the message of PyTorch's allocator for the machine's memory.
CPU_ALLOCATOR = "can't allocate memory"
# Memory limit of a container in bytes, or `max`.
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
GIB = 2**30


@contextmanager
def explain_out_of_memory(
    config: RunConfig, sessions: Sequence[SessionInfo], strategies: Sequence[Strategy], world: World
) -> Iterator[None]:
    """Translate exhausted memory in the block into an error that names settings.

    Args:
        config: Resolved configuration.
        sessions: Sessions that are trained on.
        strategies: Masking strategies of the training.
        world: The ranks.

    Raises:
        OmniMouseError: Memory was exhausted.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        is_exhausted = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not is_exhausted and CPU_ALLOCATOR not in str(error):
            raise
        raise OmniMouseError(
            f"the memory of {_machine(world.device)} ran out: `data.batch_size` is "
            f"{config.data.batch_size}, `data.max_neurons` {config.data.max_neurons} and the "
            f"model {config.model.size}",
            hint=suggest_settings(config, sessions, strategies, world),
        ) from error


def suggest_settings(
    config: RunConfig, sessions: Sequence[SessionInfo], strategies: Sequence[Strategy], world: World
) -> str:
    """Return a hint with settings that fit in memory, by the estimate of `train --dry-run`.

    Args:
        config: Configuration whose memory ran out.
        sessions: Sessions that are trained on.
        strategies: Masking strategies of the training.
        world: The ranks; on a CPU they share the machine's memory.
    """
    owned = owned_sessions([session.num_neurons for session in sessions], world.num_ranks)
    available = available_memory(world.device)
    if world.device.type == "cpu":
        available //= world.num_ranks

    def fitting_windows(candidate: RunConfig) -> int:
        plan = estimate_training(
            candidate, sessions, strategies, owned=owned, device=world.device.type
        )
        needed = dict(plan["memory_bytes"])
        of_batch = sum(needed.pop(name) for name in ("batch", "activations", "workspace"))
        per_window = of_batch / candidate.data.batch_size
        return max(0, int((available - sum(needed.values())) / per_window))

    memory = f"{available / GIB:.2g} GiB of {_machine(world.device)}"
    batch_size, windows = config.data.batch_size, fitting_windows(config)
    if windows >= batch_size:
        return (
            f"by the estimate {pluralize(windows, 'window fits', 'windows fit')} in the {memory}, "
            "so other processes may be using it: wait for them, or lower the batch, for example "
            f"--set data.batch_size={max(1, batch_size // 2)}"
        )
    if not config.train.activation_checkpointing:
        train = replace(config.train, activation_checkpointing=True)
        checkpointed = fitting_windows(replace(config, train=train))
        if checkpointed >= batch_size:
            return (
                f"by the estimate the batch fits in the {memory} if activations are computed "
                "again: --set train.activation_checkpointing=true, for about a third more time"
                + (f"; or a batch of {windows}: --set data.batch_size={windows}" if windows else "")
            )
    if windows:
        return (
            f"by the estimate a batch of {windows} fits in the {memory}: --set "
            f"data.batch_size={windows}; a larger train.batches_per_step compensates"
        )
    neurons = max((session.num_neurons for session in sessions), default=1)
    neurons = min(neurons, config.data.max_neurons) // 2
    while neurons:
        if fitting_windows(replace(config, data=replace(config.data, max_neurons=neurons))):
            return (
                f"by the estimate one window of {neurons} neurons fits in the {memory}: --set "
                f"data.batch_size=1 --set data.max_neurons={neurons}"
            )
        neurons //= 2
    return _suggest_model(config, fitting_windows, memory)


def _suggest_model(
    config: RunConfig, fitting_windows: Callable[[RunConfig], int], memory: str
) -> str:
    if config.train.adapt_from is not None:
        return f"by the estimate not one window fits in the {memory}: adapt a smaller core"
    for name in reversed(SIZES):
        model = replace(SIZES[name], response_loss=config.model.response_loss)
        if fitting_windows(replace(config, model=model)):
            return f"by the estimate --model {name} fits in the {memory}, with data.batch_size=1"
    return f"by the estimate no model fits in the {memory}: train fewer sessions (--sessions)"


def available_memory(device: torch.device) -> int:
    """Return the bytes of memory that this process uses or may still use on a device."""
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


def _machine(device: torch.device) -> str:
    return "the GPU" if device.type == "cuda" else "this machine"
