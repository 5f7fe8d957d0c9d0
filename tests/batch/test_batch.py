"""Copies to a GPU: issued on a stream of their own, waited for, and their memory kept."""

from contextlib import contextmanager

import pytest
import torch

from omnimouse_cli.batch.batch import _copy, _copy_stream, to_device
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.config.data import DataConfig


class FakeGpu:
    """Records the calls of torch.cuda in order, with the stream that each is issued on."""

    def __init__(self, monkeypatch):
        self.calls = []
        self.stream = "compute"
        monkeypatch.setattr(torch.cuda, "Stream", lambda _device: "copies")
        monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: self)
        monkeypatch.setattr(torch.cuda, "stream", self._on)

    @contextmanager
    def _on(self, stream):
        before, self.stream = self.stream, stream
        yield
        self.stream = before

    def wait_stream(self, stream):
        self.calls.append((self.stream, "wait", stream))

    def tensor(self, name):
        return FakeTensor(self, name)


class FakeTensor:
    def __init__(self, gpu, name):
        self._gpu, self._name = gpu, name

    def to(self, device, *, non_blocking):
        assert non_blocking
        self._gpu.calls.append((self._gpu.stream, "copy", f"{self._name} to {device}"))
        return FakeTensor(self._gpu, f"{self._name}'")

    def record_stream(self, stream):
        assert stream is self._gpu
        self._gpu.calls.append((self._gpu.stream, "keep", self._name))


@pytest.fixture
def gpu(monkeypatch):
    _copy_stream.cache_clear()
    yield FakeGpu(monkeypatch)
    _copy_stream.cache_clear()


def test_copies_run_on_their_own_stream_and_are_waited_for_before_anything_else(gpu):
    device = torch.device("cuda", 0)
    assert len(_copy([gpu.tensor("a"), gpu.tensor("b")], device)) == 2
    assert gpu.calls == [
        ("copies", "copy", "a to cuda:0"),
        ("copies", "copy", "b to cuda:0"),
        ("compute", "wait", "copies"),
        ("compute", "keep", "a'"),
        ("compute", "keep", "b'"),
    ]


def test_every_device_has_one_stream_for_copies(monkeypatch):
    _copy_stream.cache_clear()
    made = []
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: made.append(device) or len(made))
    streams = [_copy_stream(torch.device("cuda", number)) for number in (0, 1, 0, 1)]
    _copy_stream.cache_clear()
    assert streams == [1, 2, 1, 2]


def test_on_a_cpu_a_batch_stays_where_it_is(tiny_dataset):
    config = DataConfig(batch_size=3, max_neurons=6)
    with Loader(tiny_dataset, config, seed=7) as loader:
        batch = next(loader)
        moved = to_device(batch, torch.device("cpu"), config)
        assert moved.responses.data_ptr() == batch.responses.data_ptr()
        assert moved.neuron_index.data_ptr() == batch.neuron_index.data_ptr()
