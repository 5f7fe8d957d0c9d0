"""Tests of kernels are about numbers, not about speed."""

import importlib.util
import sys

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
def poisoned_memory(monkeypatch):
    """Make torch.empty return NaN, so that elements which a kernel does not write are found."""
    real = torch.empty

    def empty(*args, **named):
        return real(*args, **named).fill_(torch.nan)

    monkeypatch.setattr(torch, "empty", empty)
