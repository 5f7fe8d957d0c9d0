"""Peers with a format of their own: litdata and mosaicml-streaming, where they can be imported.

A sample of theirs is a window of 2 s with all neurons, read whole, which is how they are meant to
be used; windows therefore start every 2 s only, and behavior is stored scaled. What is left to do
for a batch is the same as for everybody: draw neurons, gather, divide, scale frames. litdata comes
with the extra `bench`. mosaicml-streaming 0.13 asks for NumPy below 2.2 and transformers below 5,
so it is not in the extra: it is measured where somebody has put it, with `pip install --no-deps`.
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

# Responses, video and behavior of one batch after the other.
TensorBatches = Iterator[list[Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatPeer:
    """A library that reads windows which it has stored before.

    Args:
        name: Of the library.
        write: `write(folder, samples)` stores samples in order.
        read: `read(folder, finish)` gives a torch data set of `finish(sample)`, in random order.
        load: `load(data_set, batch_size, workers, pin_memory)` gives one epoch of batches.
    """

    name: str
    write: Callable[[Path, Iterator[dict[str, NDArray[Any]]]], None]
    read: Callable[[Path, Callable[[dict[str, NDArray[Any]]], Any]], Any]
    load: Callable[..., Any]


class Finish:
    """Turns a stored window into tensors, drawing its neurons; a worker process draws its own."""

    def __init__(self, files: WindowFiles) -> None:
        self._files = files
        self._rng: np.random.Generator | None = None

    def __call__(self, sample: dict[str, NDArray[Any]]) -> list[Tensor]:
        """Gather, divide and scale."""
        if self._rng is None:
            self._rng = np.random.default_rng(torch.initial_seed())
        signals = self.signals(sample, self._files.subset(self._rng))
        return [torch.from_numpy(part) for part in signals]

    def signals(self, sample: dict[str, NDArray[Any]], neurons: NDArray[np.int64]) -> Signals:
        """Do so with known neurons."""
        responses, video = self._files.scaled(sample["responses"], sample["video"], neurons)
        # Libraries give arrays that must not be written to, which torch does not take.
        return Signals(responses, video, sample["behavior"].copy())


def format_peers() -> tuple[list[FormatPeer], dict[str, str]]:
    """Give the peers that can be imported, and why others cannot."""
    found, absent = [], {}
    for name, make in (("litdata", _litdata), ("mosaicml-streaming", _mosaic)):
        try:
            found.append(make())
        except ImportError as error:
            absent[name] = str(error)
    return found, absent


def windows_every_two_seconds(files: WindowFiles) -> NDArray[np.int64]:
    """Choose the windows that a peer stores: as many as there are without overlap."""
    starts, chosen = files.window_starts, []
    following = starts[0]
    for start in starts.tolist():
        if start >= following:
            chosen.append(start)
            following = start + NUM_RESPONSE_SAMPLES
    return np.array(chosen)


def stored(peer: FormatPeer, files: WindowFiles, folder: Path) -> Path:
    """Write a peer's copy of the windows into a folder of its own, and give it."""
    place = folder / peer.name
    starts = windows_every_two_seconds(files)
    # Each of two workers drops what is no whole batch: a short recording is stored repeatedly.
    least = 2 * NUM_WORKERS * files.config.batch_size
    starts = np.resize(starts, max(len(starts), least))
    peer.write(place, (files.stored_window(start) for start in starts))
    # A contest of other windows would say nothing.
    given = peer.read(place, lambda sample: sample)[len(starts) - 1]
    for name, expected in files.stored_window(starts[-1]).items():
        np.testing.assert_array_equal(given[name], expected)
    return place


@contextmanager
def batches_of(
    peer: FormatPeer,
    place: Path,
    files: WindowFiles,
    workers: int,
    pin_memory: bool,  # noqa: FBT001
) -> Iterator[TensorBatches]:
    """Give endless batches of what a peer has stored."""
    # Loaders of before that still wait for the collector would be ended in every forked process.
    gc.collect()
    loader = peer.load(
        peer.read(place, Finish(files)),
        batch_size=files.config.batch_size,
        num_workers=workers,
        drop_last=True,
        pin_memory=pin_memory,
        # A new epoch should not have to start new processes.
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
    """Store the windows for every peer that is there; give how each is started, and who is not."""
    peers, absent = format_peers()
    starts = {}
    for peer in peers:
        place = stored(peer, files, folder)
        for workers in (0, NUM_WORKERS):
            start = partial(batches_of, peer, place, files, workers, pin_memory)
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
