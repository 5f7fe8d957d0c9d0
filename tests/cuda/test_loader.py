"""Batches in page-locked memory: copies to a GPU that are still running keep their source."""

import pytest
import torch

from omnimouse_cli.batch.batch import to_device
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.config.data import DataConfig

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CONFIG = DataConfig(batch_size=3, max_neurons=6)
BATCHES = 50


def test_copies_in_flight_arrive_as_they_were(small_mouse):
    with Loader(small_mouse, CONFIG, seed=7) as loader:
        expected = [next(loader).responses.clone() for _ in range(BATCHES)]
    copies = []
    with Loader(small_mouse, CONFIG, seed=7, pin_memory=True) as loader:
        for _ in range(BATCHES):
            # Work that keeps the stream busy, so that the copy starts long after it is issued.
            torch.cuda._sleep(2_000_000)
            batch = next(loader)
            assert batch.responses.is_pinned()
            copies.append(batch.responses.to("cuda", non_blocking=True))
            del batch
    # Copies are made on the null device too.
    assert all(
        torch.equal(copy.cpu(), original) for copy, original in zip(copies, expected, strict=True)
    )


def test_copies_on_a_stream_of_their_own_arrive_before_they_are_used(small_mouse, has_numbers):
    with Loader(small_mouse, CONFIG, seed=7) as loader:
        expected = [next(loader).responses.sum().item() for _ in range(BATCHES)]
    device, sums = torch.device("cuda", torch.cuda.current_device()), []
    with Loader(small_mouse, CONFIG, seed=7, pin_memory=True) as loader:
        for _ in range(BATCHES):
            batch = to_device(next(loader), device, CONFIG)
            # What uses the copy runs long after it was issued, and longer than the batch lives.
            torch.cuda._sleep(2_000_000)
            sums.append(batch.responses.double().sum())
            del batch
    if has_numbers:
        assert [value.item() for value in sums] == pytest.approx(expected, rel=1e-5)
