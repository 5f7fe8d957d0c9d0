"""Modules of the model are called as modules: hooks, replacement, compilation and sharding work."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn import functional

from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES
from omnimouse_cli.config.dendrite import DendriteConfig
from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.kernels.attention import Interval, interval_mask
from omnimouse_cli.kernels.attention.grouped import GroupedMask
from omnimouse_cli.kernels.attention.reference import DenseMask, dense_mask
from omnimouse_cli.model.blocks import CrossBlock, SelfBlock
from omnimouse_cli.model.losses import compute_losses
from omnimouse_cli.model.rotary import rotary_angles
from omnimouse_cli.model.video_blocks import VideoBlock, VideoBlockShape
from omnimouse_cli.training.parallel.launch import launch
from omnimouse_cli.training.parallel.world import join_world

CPU = torch.device("cpu")
# The queries of the first interval see few of the keys.
KEYS = (Interval(0, 10, 2), Interval(5, 15, 2), Interval(20, 30, 8))
POOLING = VideoBlockShape(
    width_in=8, width=16, num_heads=2, hidden=24, window=4, drop_path=0.0, layout="aligned"
)


def angles(tokens):
    return rotary_angles(torch.arange(tokens) / 30, head_width=8, shortest_seconds=0.1)


def arguments(name, mask):
    """A block, and random arguments of its forward pass."""
    torch.manual_seed(0)
    if name == "video":
        return VideoBlock(POOLING), (torch.randn(2, 32, 8),)
    if name == "cross":
        block, context = CrossBlock(16, 2, 24, 0.0), torch.randn(2, 12, 16)
        return block, (torch.randn(2, 12, 16), context, angles(12), angles(12), mask)
    return SelfBlock(16, 2, 24, 0.0), (torch.randn(2, 12, 16), angles(12), mask)


MASKS = {
    "none": lambda: None,
    "dense": lambda: dense_mask(KEYS, KEYS, CPU),
    "grouped": lambda: interval_mask(KEYS, KEYS, CPU),
}


@pytest.mark.parametrize("sharing", ["model", "layer"])
@pytest.mark.parametrize("kind", ["swiglu", "dendritic"])
def test_a_forward_hook_fires_on_every_module(make_model, make_batch, choose, kind, sharing):
    """Containers have no forward pass of their own; everything else is called."""
    dendrite = DendriteConfig(sharing=sharing)
    config = replace(SIZES["nano"], response_loss="gaussian", feed_forward=kind, dendrite=dendrite)
    model, table = make_model(config)
    called = set()
    for name, module in model.named_modules():
        module.register_forward_hook(lambda *_, name=name: called.add(name))
    batch = make_batch(frame=(36, 64))
    # Behavior is an input of some and a target of others.
    for strategy in FAMILY_STRATEGIES:
        model(batch, table, "mouse", strategy, choose(strategy, batch))
    containers = {n for n, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    expected = {name for name, _ in model.named_modules()} - containers
    assert expected - called == set()
    assert any(isinstance(module, nn.RMSNorm) for module in model.modules())


def test_the_masks_of_these_tests_are_of_every_kind():
    assert isinstance(MASKS["grouped"](), GroupedMask)
    assert isinstance(MASKS["dense"](), DenseMask)


def require_equal_when_compiled(block, inputs, backend):
    torch._dynamo.reset()
    compiled = torch.compile(block, fullgraph=True, backend=backend)
    results = []
    for way in (block, compiled):
        x = inputs[0].clone().requires_grad_()
        out = way(x, *inputs[1:])
        out.square().sum().backward()
        results.append([out.detach(), x.grad, *(p.grad.clone() for p in block.parameters())])
        block.zero_grad()
    torch._dynamo.reset()
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.abs().max())


@pytest.mark.parametrize(
    ("name", "mask"), [("self", m) for m in MASKS] + [("cross", m) for m in MASKS] + [("video", "")]
)
def test_a_block_compiles_as_one_graph_and_computes_the_same(name, mask):
    block, inputs = arguments(name, MASKS[mask]() if mask else None)
    require_equal_when_compiled(block, inputs, "aot_eager")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_block_compiled_by_inductor_computes_the_same():
    block, inputs = arguments("self", MASKS["grouped"]())
    require_equal_when_compiled(block, inputs, "inductor")


class Doubled(nn.Module):
    """A module in the place of a norm."""

    def forward(self, x):
        return 2 * x


@pytest.mark.parametrize("name", ["self", "cross", "video"])
def test_a_replaced_norm_is_the_one_that_is_used(name):
    block, inputs = arguments(name, None)
    with torch.no_grad():
        before = block(*inputs)
        block.feed_forward_norm = Doubled()
        # Attention is as it was: what the feed-forward added is what the norm changes.
        attended = []
        block.feed_forward_norm.register_forward_pre_hook(lambda _, args: attended.append(args[0]))
        after = block(*inputs)
        expected = attended[0] + block.feed_forward(2 * attended[0])
        torch.testing.assert_close(after, expected)
        assert not torch.allclose(after, before)
        for attribute in ("attention_norm", "context_norm"):
            if hasattr(block, attribute):
                previous = block(*inputs)
                setattr(block, attribute, Doubled())
                assert not torch.allclose(block(*inputs), previous), attribute


def test_an_identity_in_place_of_both_norms_leaves_the_bare_block():
    block, (x, turn, _) = arguments("self", None)
    block.attention_norm = block.feed_forward_norm = nn.Identity()
    with torch.no_grad():
        q, k, v = block.query_key_value(x).view(2, 12, 3, 2, 8).unbind(2)

        def rotated(heads):
            heads = heads / (heads.square().mean(-1, keepdim=True) + 1e-5).sqrt()
            pairs = torch.complex(heads[..., 0::2], heads[..., 1::2])
            pairs = pairs * torch.complex(turn.cos, turn.sin)[:, None]
            return torch.stack((pairs.real, pairs.imag), -1).flatten(-2).transpose(1, 2)

        weights = (rotated(q) @ rotated(k).mT / 8**0.5).softmax(-1)
        y = x + block.out((weights @ v.transpose(1, 2)).transpose(1, 2).flatten(2))
        hidden = functional.silu(block.feed_forward.up(y)) * block.feed_forward.gate(y)
        expected = y + block.feed_forward.down(hidden)
        torch.testing.assert_close(block(x, turn, None), expected, rtol=1e-5, atol=1e-5)


STEPS = 3


def train_steps(model, table, batch, choose):
    """Losses of a few steps of gradient descent."""
    optimizer = torch.optim.SGD([*model.parameters(), *table.parameters()], lr=0.05)
    losses = []
    for strategy in FAMILY_STRATEGIES[:STEPS]:
        selection = choose(strategy, batch)
        prediction = model(batch, table, "mouse", strategy, selection)
        parts = compute_losses(prediction, batch, strategy, selection, "gaussian")
        loss = sum(part for part in parts if part is not None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def train_sharded(model, table, batch, selections, expected):
    """Train as a rank that holds a shard of the parameters of every block."""
    # Processes share the memory of tensors that they are sent.
    model, table = copy.deepcopy((model, table))
    with join_world("cpu"):
        for block in (*model.video.blocks, model.encoder, *model.fusion, model.decoder):
            fully_shard(block)
        weight = model.decoder.query.weight
        assert weight.to_local().shape[0] == weight.shape[0] // 2
        losses = train_steps(model, table, batch, lambda strategy, _: selections[strategy.name])
        torch.testing.assert_close(losses, expected, rtol=1e-5, atol=0)


@pytest.mark.training
@pytest.mark.usefixtures("forked_ranks")
def test_two_ranks_with_sharded_blocks_train_as_one_does(
    small_config, make_model, make_batch, choose
):
    model, table = make_model(small_config)
    batch = make_batch()
    selections = {s.name: choose(s, batch) for s in FAMILY_STRATEGIES[:STEPS]}
    expected = train_steps(model, table, batch, choose)
    assert len(set(expected)) == STEPS
    again, table = make_model(small_config)
    launch(2, train_sharded, again, table, batch, selections, expected)
