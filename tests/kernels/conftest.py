"""Tests of kernels are about numbers, not about speed."""

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def _one_thread():
    """Threads only wait for each other in products of this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
