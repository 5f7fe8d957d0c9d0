"""Memory that ran out, as a sentence that says what to lower."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import OmniMouseError

# What PyTorch's allocator says where the machine's own memory is meant.
CPU_ALLOCATOR = "can't allocate memory"


@contextmanager
def memory_named(config: RunConfig, device: torch.device) -> Iterator[None]:
    """Turn exhausted memory into an error that names the settings that need it.

    Raises:
        OmniMouseError: Memory ran out in the block.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        exhausted = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not exhausted and CPU_ALLOCATOR not in str(error):
            raise
        place = "the GPU" if device.type == "cuda" else "this machine"
        raise OmniMouseError(
            f"the memory of {place} ran out: `data.batch_size` is {config.data.batch_size}, "
            f"`data.max_neurons` {config.data.max_neurons} and the model {config.model.size}",
            hint="lower one of them, for example --set data.batch_size="
            f"{max(1, config.data.batch_size // 2)}; train.batches_per_step makes up for it",
        ) from error
