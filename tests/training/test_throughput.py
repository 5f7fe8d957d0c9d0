"""Throughput, MFU and memory as they are logged."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from omnimouse_cli.config.training import TrainConfig
from omnimouse_cli.training import throughput
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.state import Counters
from omnimouse_cli.training.throughput import (
    Throughput,
    peak_flops_per_second,
    peak_of_run,
    report_unknown_peak,
)
from tests.reporter import MessageReporter

CONFIG = TrainConfig()


@pytest.fixture
def clock(monkeypatch):
    """Time that passes when the test says so."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: now.seconds)
    return now


@pytest.fixture
def gpus(monkeypatch):
    """Eight GPUs of a name."""

    def build(name):
        monkeypatch.setattr(throughput, "device_name", lambda _device: name)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _device: 3 * 2**30)
        monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _device: 4 * 2**30)
        return SimpleNamespace(device=torch.device("cuda", 0), num_ranks=8)

    return build


def test_rates_are_those_since_the_last_line(clock):
    counters = Counters()
    measured = Throughput(counters, CONFIG, World())
    counters.windows, counters.tokens, counters.flops = 80, 10_000, 4e12
    measured.add_wait(0.5)
    clock.seconds = 1.0
    with measured.measure("validation"):
        clock.seconds = 3.0
    with measured.measure("checkpoint"):
        clock.seconds = 4.0
    rates = measured.rates()
    assert (rates.windows_per_second, rates.tokens_per_second) == (20.0, 2500.0)
    assert rates.flops_per_second == 1e12
    assert (rates.wait_seconds, rates.validation_seconds, rates.checkpoint_seconds) == (0.5, 2, 1)
    assert rates.mfu is None
    assert rates.peak_reserved_bytes is None
    assert 2**26 < rates.peak_memory_bytes < 2**40
    measured.start_over()
    counters.tokens += 100
    clock.seconds = 5.0
    rates = measured.rates()
    assert rates.tokens_per_second == 100.0
    assert rates.flops_per_second == rates.validation_seconds == rates.wait_seconds == 0


def test_mfu_is_a_share_of_what_all_gpus_could_do(clock, gpus):
    world, counters = gpus("NVIDIA H200"), Counters()
    measured = Throughput(counters, CONFIG, world)
    counters.flops, clock.seconds = 8 * 989e12, 2.0
    rates = measured.rates()
    assert rates.mfu == pytest.approx(0.5)
    assert (rates.peak_memory_bytes, rates.peak_reserved_bytes) == (3 * 2**30, 4 * 2**30)
    assert peak_of_run(replace(CONFIG, precision="float32"), world) is None


def test_flops_that_are_not_known_are_not_logged(clock, gpus):
    world = gpus("NVIDIA H200")
    frozen = replace(CONFIG, adapt_from="run")
    clock.seconds = 1.0
    for config, flops in ((frozen, 1e15), (CONFIG, None)):
        rates = Throughput(Counters(flops=flops), config, world).rates()
        assert rates.flops_per_second is None
        assert rates.mfu is None


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA B200", 2250e12),
        ("NVIDIA GeForce RTX 2080 Ti", None),
    ],
)
def test_peaks_are_those_of_data_sheets(name, peak):
    assert peak_flops_per_second(name) == peak


def test_a_gpu_without_a_known_peak_is_told_once(gpus):
    lines = MessageReporter()
    report_unknown_peak(CONFIG, World(), lines)
    report_unknown_peak(CONFIG, gpus("NVIDIA H200"), lines)
    assert not lines.said
    report_unknown_peak(CONFIG, gpus("NVIDIA GeForce RTX 2080 Ti"), lines)
    (line,) = lines.said
    assert line.startswith("MFU is not logged")
    assert "RTX 2080 Ti" in line
