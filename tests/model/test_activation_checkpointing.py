"""Activation checkpointing: the same losses and gradients with less stored."""

from dataclasses import replace

import pytest
import torch

from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES
from omnimouse_cli.model.compile import compile_parts
from omnimouse_cli.model.losses import compute_losses

STRATEGY = next(item for item in FAMILY_STRATEGIES if item.name == "forecast_video_behavior")


class StoredBytes:
    """Sums the distinct memory that autograd stores."""

    def __init__(self):
        self.sizes, self.alive = {}, []

    def pack(self, tensor):
        storage = tensor.untyped_storage()
        self.sizes[storage.data_ptr()] = storage.nbytes()
        self.alive.append(tensor)
        return tensor


@pytest.fixture
def train_once(make_model, make_batch, choose, small_config):
    """Return the loss, the gradients and the bytes stored of one step with everything random on."""
    video = replace(small_config.video, drop_path=0.5, stages=(2, 1))
    config = replace(small_config, video=video, dropout=0.3, neuron_dropout=0.2)

    def run(*, recomputes, compiles):
        model, table = make_model(config)
        model.train().recomputes = recomputes
        if compiles:
            compile_parts(model, torch.device("cpu"), batch_size=2, backend="aot_eager")
        batch = make_batch()
        selection = choose(STRATEGY, batch, seed=0, max_targets=config.max_targets)
        stored = StoredBytes()
        torch.manual_seed(0)
        # Blocks that are computed again store inside hooks of their own.
        with torch.autograd.graph.saved_tensors_hooks(stored.pack, lambda tensor: tensor):
            prediction = model(batch, table, "mouse", STRATEGY, selection)
        neural = compute_losses(prediction, batch, STRATEGY, selection, "gaussian").neural
        neural.backward()
        gradients = {name: value.grad for name, value in model.named_parameters()}
        return neural.item(), gradients, sum(stored.sizes.values())

    return run


# Given by the compiler itself when it looks at an input.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("compiles", [False, True], ids=["eager", "compiled"])
def test_blocks_that_are_computed_again_give_the_same_gradients(train_once, compiles):
    loss, gradients, stored = train_once(recomputes=False, compiles=compiles)
    again, gradients_again, stored_again = train_once(recomputes=True, compiles=compiles)
    assert again == pytest.approx(loss, rel=1e-6)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradients_again[name], gradient, msg=name)
    assert stored_again < 0.7 * stored
