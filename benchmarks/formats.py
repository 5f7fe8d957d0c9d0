"""Peers with a format of their own: litdata and mosaicml-streaming, where they can be imported.

Their sample is a window of 2 s with all neurons, read whole, which is their intended use; windows
therefore start every 2 s only, and behavior is stored scaled. The rest of the work for a batch is
that of the other contestants: draw neurons, gather, divide, scale frames. litdata comes with the
extra `bench`. mosaicml-streaming 0.13 requires NumPy below 2.2 and transformers below 5, so it is
not in the extra: it is measured where it was installed with `pip install --no-deps`.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from peers import Signals, WindowFiles
from torch import Tensor
from torch.utils.data import DataLoader

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES

CHUNK_BYTES = 2**26
NUM_WORKERS = 2

# Responses, video and behavior of successive batches.
TensorBatches = Iterator[list[Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatPeer:
    """A library that reads windows from its own format.

    Args:
        name: Name of the library.
        write: `write(folder, samples)` stores samples in order.
        read: `read(folder, finish)` gives a torch data set of `finish(sample)`, in random order.
        load: `load(data_set, batch_size, workers, pin_memory)` gives one epoch of batches.
    """

    name: str
    write: Callable[[Path, Iterator[dict[str, NDArray[Any]]]], None]
    read: Callable[[Path, Callable[[dict[str, NDArray[Any]]], Any]], Any]
    load: Callable[..., Any]


class Finish:
    """Turns a stored window into tensors of drawn neurons; each worker process draws its own."""

    def __init__(self, files: WindowFiles) -> None:
        self._files = files
        self._rng: np.random.Generator | None = None

    def __call__(self, sample: dict[str, NDArray[Any]]) -> list[Tensor]:
        """Return responses, video and behavior of drawn neurons."""
        if self._rng is None:
            self._rng = np.random.default_rng(torch.initial_seed())
        signals = self.signals(sample, self._files.subset(self._rng))
        return [torch.from_numpy(part) for part in signals]

    def signals(self, sample: dict[str, NDArray[Any]], neurons: NDArray[np.int64]) -> Signals:
        """Return the scaled signals of a stored window for given neurons."""
        responses, video = self._files.scale(sample["responses"], sample["video"], neurons)
        # Libraries return read-only arrays, which torch does not accept.
        return Signals(responses, video, sample["behavior"].copy())


def format_peers() -> tuple[list[FormatPeer], dict[str, str]]:
    """Return the peers that can be imported, and the errors of the others."""
    found, absent = [], {}
    for name, make in (("litdata", _litdata), ("mosaicml-streaming", _mosaic)):
        try:
            found.append(make())
        except ImportError as error:
            absent[name] = str(error)
    return found, absent


def windows_every_two_seconds(files: WindowFiles) -> NDArray[np.int64]:
    """Return the starts of the windows that a peer stores: all that do not overlap."""
    starts, chosen = files.window_starts, []
    following = starts[0]
    for start in starts.tolist():
        if start >= following:
            chosen.append(start)
            following = start + NUM_RESPONSE_SAMPLES
    return np.array(chosen)


def write_windows(peer: FormatPeer, files: WindowFiles, folder: Path) -> Path:
    """Write a peer's copy of the windows, and return its folder."""
    target = folder / peer.name
    starts = windows_every_two_seconds(files)
    # Each of two workers drops incomplete batches, so a short recording is stored repeatedly.
    least = 2 * NUM_WORKERS * files.config.batch_size
    starts = np.resize(starts, max(len(starts), least))
    peer.write(target, (files.stored_window(start) for start in starts))
    read = peer.read(target, lambda sample: sample)[len(starts) - 1]
    for name, expected in files.stored_window(starts[-1]).items():
        np.testing.assert_array_equal(read[name], expected)
    return target


@contextmanager
def open_batches(
    peer: FormatPeer,
    folder: Path,
    files: WindowFiles,
    workers: int,
    pin_memory: bool,  # noqa: FBT001
) -> Iterator[TensorBatches]:
    """Yield an endless iterator of batches that a peer reads from its folder."""
    # Uncollected loaders of earlier turns would be finalized again in every forked process.
    gc.collect()
    loader = peer.load(
        peer.read(folder, Finish(files)),
        batch_size=files.config.batch_size,
        num_workers=workers,
        drop_last=True,
        pin_memory=pin_memory,
        # Worker processes are kept from one epoch to the next.
        persistent_workers=workers > 0,
    )

    def endless() -> TensorBatches:
        while True:
            epoch = iter(loader)
            first = next(epoch, None)
            assert first is not None, f"{peer.name} gives no batch"
            yield first
            yield from epoch

    yield endless()


def format_starts(
    files: WindowFiles, folder: Path, *, pin_memory: bool
) -> tuple[dict[str, Callable[[], AbstractContextManager[TensorBatches]]], dict[str, str]]:
    """Write the windows for each peer; return how each is started, and why others are absent."""
    peers, absent = format_peers()
    starts = {}
    for peer in peers:
        written = write_windows(peer, files, folder)
        for workers in (0, NUM_WORKERS):
            start = partial(open_batches, peer, written, files, workers, pin_memory)
            starts[f"{peer.name}, {workers} workers"] = start
    return starts, absent


def _litdata() -> FormatPeer:
    from litdata import StreamingDataLoader, StreamingDataset
    from litdata.streaming.cache import Cache

    def write(folder: Path, samples: Iterator[dict[str, NDArray[Any]]]) -> None:
        folder.mkdir()
        cache = Cache(str(folder), chunk_bytes=CHUNK_BYTES)
        for number, sample in enumerate(samples):
            cache[number] = sample
        cache.done()
        cache.merge()

    class Windows(StreamingDataset):
        def __init__(self, folder: Path, finish: Callable[[Any], Any]) -> None:
            super().__init__(str(folder), shuffle=True)
            self._finish = finish

        def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - the library's own
            return self._finish(super().__getitem__(index))

    return FormatPeer(name="litdata", write=write, read=Windows, load=StreamingDataLoader)


def _mosaic() -> FormatPeer:
    from streaming import MDSWriter, StreamingDataset

    def write(folder: Path, samples: Iterator[dict[str, NDArray[Any]]]) -> None:
        first = next(samples)
        columns = {
            name: f"ndarray:{array.dtype}:{','.join(map(str, array.shape))}"
            for name, array in first.items()
        }
        with MDSWriter(out=str(folder), columns=columns, size_limit=CHUNK_BYTES) as writer:
            writer.write(first)
            for sample in samples:
                writer.write(sample)

    class Windows(StreamingDataset):
        def __init__(self, folder: Path, finish: Callable[[Any], Any]) -> None:
            super().__init__(local=str(folder), shuffle=True, batch_size=8)
            self._finish = finish

        def __getitem__(self, index: int) -> Any:  # noqa: ANN401 - as above
            return self._finish(super().__getitem__(index))

    return FormatPeer(
        name="mosaicml-streaming", write=write, read=Windows, load=cast("Any", DataLoader)
    )
