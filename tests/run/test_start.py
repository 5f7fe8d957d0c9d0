"""The functions before training are stored by the names of their feed-forwards."""

import pytest
import torch

from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.run.start import START, read_start_functions, write_start_functions


def test_functions_of_layers_and_of_the_whole_model_are_read_as_they_were_written(tmp_path):
    own, shared = torch.arange(4.0)[None], torch.ones(2, 4)
    core = {
        "blocks.0.feed_forward.dendrite.weights": own,
        "dendrite.weights": shared,
        "blocks.0.feed_forward.up.weight": torch.zeros(3, 3),
    }
    write_start_functions(tmp_path, core)
    found = read_start_functions(tmp_path)
    assert set(found) == {"blocks.0.feed_forward", "all"}
    torch.testing.assert_close(found["blocks.0.feed_forward"], own)
    torch.testing.assert_close(found["all"], shared)


def test_a_core_without_functions_stores_nothing(tmp_path):
    write_start_functions(tmp_path, {"up.weight": torch.zeros(3)})
    assert not (tmp_path / START).exists()
    assert read_start_functions(tmp_path) == {}


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / START).write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"start\.safetensors is damaged"):
        read_start_functions(tmp_path)
