"""Who is measured beside whom: the loader, NumPy, torch's DataLoader and others, as tensors."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from formats import Finish, format_starts
from peers import Signals, WindowFiles, plain_batches, torch_batches, tuned_batches
from torch import Tensor

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.config.data import DataConfig

SEED = 0
NUM_COMPARED_WINDOWS = 8
# The rounding of a product with an inverse instead of a quotient.
TOLERANCE = 1e-6

# Responses, video and behavior of one batch after the other.
Batches = Iterable[Sequence[Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One way to get batches.

    Args:
        name: Name in the table.
        is_ours: Whether it is omnimouse; the others are peers.
        start: Opens it as a context that yields batches.
    """

    name: str
    is_ours: bool
    start: Callable[[], AbstractContextManager[Batches]]


def contestants(
    dataset: Dataset, config: DataConfig, device: torch.device, folder: Path
) -> tuple[list[Contestant], dict[str, str]]:
    """Return all loaders to compare; for a GPU, batches are in pinned memory where possible.

    Args:
        dataset: Data set of one session.
        config: Windows and neurons of a batch.
        device: Device that batches are for.
        folder: Folder for the copies of peers with a format of their own.

    Returns:
        Contestants, and the reasons why others cannot be measured.
    """
    pin_memory = device.type == "cuda"
    files = WindowFiles(dataset, config)
    ours = [
        Contestant(
            name=f"omnimouse, {threads} thread{'s' if threads > 1 else ''}",
            is_ours=True,
            start=partial(_loader, dataset, replace(config, threads=threads), pin_memory),
        )
        for threads in (1, 2)
    ]
    ours += [
        Contestant(
            name="omnimouse, 1 thread, bfloat16",
            is_ours=True,
            start=partial(_loader, dataset, replace(config, dtype="bfloat16"), pin_memory),
        )
    ]
    arrays = [
        Contestant(name=f"numpy memmap, {name}", is_ours=False, start=partial(_arrays, make, files))
        for name, make in (("plain", plain_batches), ("tuned", tuned_batches))
    ]
    torches = [
        Contestant(
            name=f"torch DataLoader, {workers} workers{', item = batch' if whole else ''}",
            is_ours=False,
            start=partial(_torch, files, workers, whole, pin_memory),
        )
        for workers, whole in ((0, False), (2, False), (2, True))
    ]
    starts, absent = format_starts(files, folder, pin_memory=pin_memory)
    formats = [Contestant(name=name, is_ours=False, start=start) for name, start in starts.items()]
    return [*ours, *arrays, *torches, *formats], absent


@contextmanager
def _loader(dataset: Dataset, config: DataConfig, pin_memory: bool) -> Iterator[Batches]:  # noqa: FBT001
    with Loader(dataset, config, seed=SEED, pin_memory=pin_memory) as loader:
        yield (
            [batch.responses, batch.video, batch.behavior]
            for batch in loader
            if batch.video is not None and batch.behavior is not None
        )


def _arrays(
    make: Callable[[WindowFiles], Iterator[Signals]], files: WindowFiles
) -> AbstractContextManager[Batches]:
    return nullcontext([torch.from_numpy(part) for part in batch] for batch in make(files))


def _torch(
    files: WindowFiles,
    workers: int,
    whole_batches: bool,  # noqa: FBT001
    pin_memory: bool,  # noqa: FBT001
) -> AbstractContextManager[Batches]:
    return nullcontext(
        torch_batches(files, workers=workers, whole_batches=whole_batches, pin_memory=pin_memory)
    )


def require_same_work(dataset: Dataset, config: DataConfig) -> None:
    """Compare all peers' windows with ours; a contest of different work would say nothing."""
    files, rng = WindowFiles(dataset, config), np.random.default_rng(SEED)
    starts = rng.choice(files.window_starts, NUM_COMPARED_WINDOWS)
    neurons = np.stack([files.subset(rng) for _ in starts])
    batch = WindowReader(dataset, config).read(dataset.sessions[0].key, starts, neurons)
    tuned = files.empty(1)
    for place, start in enumerate(starts):
        plain = files.read(start, neurons[place])
        files.read_into(Signals(*(part[0] for part in tuned)), start, neurons[place])
        kept = Finish(files).signals(files.stored_window(start), neurons[place])
        for ours, wrote, reused, finished in zip(
            (batch.responses, batch.video, batch.behavior), plain, tuned, kept, strict=True
        ):
            assert ours is not None
            expected = ours[place].numpy()
            np.testing.assert_allclose(wrote, expected, rtol=TOLERANCE, atol=TOLERANCE)
            np.testing.assert_allclose(reused[0], expected, rtol=TOLERANCE, atol=TOLERANCE)
            np.testing.assert_allclose(finished, expected, rtol=TOLERANCE, atol=TOLERANCE)
