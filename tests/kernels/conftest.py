"""Tests of kernels are about numbers, not about speed."""

import importlib.util
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest
import torch

TILES = "omnimouse_cli.kernels.dendrite.tiles"


@pytest.fixture(scope="package", autouse=True)
def _one_thread():
    """Threads only wait for each other in products of this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def interpreted():
    """Copies of kernels that are interpreted, as Triton decides when it reads them."""

    def read(name):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRITON_INTERPRET", "1")
            for each in (TILES, name):
                spec = importlib.util.find_spec(each)
                module = importlib.util.module_from_spec(spec)
                patch.setitem(sys.modules, each, module)
                spec.loader.exec_module(module)
        return module

    return read


@pytest.fixture
def launches():
    """Record the constants and options of a module's launches, which then compute nothing."""

    def record(module, monkeypatch):
        found = []

        class Kernel:
            def __getitem__(self, grid):
                return lambda *_, **options: found.append(options)

        monkeypatch.setattr(module, "forward_kernel", Kernel())
        monkeypatch.setattr(module, "backward_kernel", Kernel())
        return found

    return record


@pytest.fixture(scope="session")
def in_other_process():
    """Call a function in another process, whose crash then is one failed test."""
    pools = []

    def call(function, *arguments):
        if not pools:
            pools.append(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        try:
            return pools[0].submit(function, *arguments).result()
        except BrokenProcessPool:
            pools.pop().shutdown()
            raise

    yield call
    for pool in pools:
        pool.shutdown()


@pytest.fixture
def poisoned_memory(monkeypatch):
    """Make torch.empty return NaN, so that elements which a kernel does not write are found."""
    real = torch.empty

    def empty(*args, **named):
        return real(*args, **named).fill_(torch.nan)

    monkeypatch.setattr(torch, "empty", empty)
