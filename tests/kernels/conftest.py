"""Tests of kernels are about numbers, not about speed."""

import importlib.util
import sys

import pytest
import torch

WALK = "omnimouse_cli.kernels.dendrite.walk"


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
            for each in (WALK, name):
                spec = importlib.util.find_spec(each)
                module = importlib.util.module_from_spec(spec)
                patch.setitem(sys.modules, each, module)
                spec.loader.exec_module(module)
        return module

    return read


def everything_of(way, inputs, g=None):
    """Output and every gradient."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    out = way(*leaves)
    g = torch.randn(out.shape, generator=torch.Generator().manual_seed(9)) if g is None else g
    return [out.detach(), *torch.autograd.grad(out, leaves, g.to(out.dtype))]


@pytest.fixture(scope="session")
def everything():
    return everything_of


@pytest.fixture(scope="session")
def require_close():
    """Errors of output and gradients are at most twice those of plain PyTorch in float32."""

    def require(ways, inputs):
        ours, plain = ways
        exact = everything_of(plain, [x.double() for x in inputs])
        same, found = everything_of(plain, inputs), everything_of(ours, inputs)
        for mine, theirs, truth in zip(found, same, exact, strict=True):
            assert mine.dtype == torch.float32
            assert torch.isfinite(mine).all()
            mine_error, error = ((x.double() - truth).norm() for x in (mine, theirs))
            # A sum of few terms can be exact in one order and a rounding off in another.
            slack = 4 * torch.finfo(torch.float32).eps * truth.norm()
            assert mine_error <= 2 * error + slack

    return require
