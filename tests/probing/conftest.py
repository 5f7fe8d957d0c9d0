"""Two runs with random weights, for all tests of a file."""

import pytest
import torch

from omnimouse_cli.run.load import load_run


@pytest.fixture(scope="module")
def runs(small_mouse, write_run, tmp_path_factory):
    """Two runs of different random weights."""
    folder = tmp_path_factory.mktemp("runs")

    def change(tensors):
        generator = torch.Generator().manual_seed(1)
        for value in tensors.values():
            value.add_(0.02 * torch.randn(value.shape, generator=generator))

    return (
        load_run(write_run(folder / "a", small_mouse)),
        load_run(write_run(folder / "b", small_mouse, weights=change)),
    )
