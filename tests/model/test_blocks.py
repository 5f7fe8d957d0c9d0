"""Blocks against their equations, written out."""

import pytest
import torch
from torch.nn import functional

from omnimouse_cli.kernels.attention import Interval, interval_mask, visible_pairs
from omnimouse_cli.model.blocks import (
    CrossBlock,
    FeedForward,
    ResidualDropout,
    SelfBlock,
    hidden_width,
)
from omnimouse_cli.model.rotary import rotary_angles

CPU = torch.device("cpu")


def angles(*times, width=8):
    return rotary_angles(torch.tensor(times) / 30, head_width=width, shortest_seconds=0.1)


def rms(x):
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def rotated(x, turn):
    """Pairs (2i, 2i + 1) as complex numbers, turned."""
    turns = torch.complex(turn.cos, turn.sin)
    pairs = torch.complex(x[..., 0::2], x[..., 1::2]) * turns
    return torch.stack((pairs.real, pairs.imag), -1).flatten(-2)


def attended(q, k, v, turns, *, visible, heads):
    """One head after the other, in the order: norm, rotate, scale, mask, softmax."""
    width = q.shape[-1] // heads
    parts = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = rotated(rms(q[:, part]), turns[0]) @ rotated(rms(k[:, part]), turns[1]).T
        scores = (scores / width**0.5).masked_fill(~visible, -torch.inf)
        weights = torch.nan_to_num(scores.softmax(-1))
        parts.append(weights @ v[:, part])
    return torch.cat(parts, -1)


def gated(block, x):
    hidden = functional.silu(x @ block.up.weight.T) * (x @ block.gate.weight.T)
    return hidden @ block.down.weight.T


@pytest.fixture
def sequences():
    torch.manual_seed(0)
    queries = (Interval(0, 10, 2), Interval(50, 60, 1))
    keys = (Interval(0, 10, 2), Interval(5, 15, 2))
    return queries, keys, visible_pairs(queries, keys, CPU), interval_mask(queries, keys, CPU)


def test_a_reader_equals_its_equations(sequences):
    _, _, visible, mask = sequences
    block = CrossBlock(16, 2, 24, 0.0)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, mean=1.0 if parameter.ndim == 1 else 0.0, std=0.2)
    x, context = torch.randn(3, 16), torch.randn(4, 16)
    query_turn, key_turn = angles(0.0, 0.0, 50.0), angles(0.0, 0.0, 5.0, 5.0)
    q = rms(x) * block.attention_norm.weight @ block.query.weight.T
    kv = rms(context) * block.context_norm.weight @ block.key_value.weight.T
    read = attended(q, kv[:, :16], kv[:, 16:], (query_turn, key_turn), visible=visible, heads=2)
    y = x + read @ block.out.weight.T
    expected = y + gated(block.feed_forward, rms(y) * block.feed_forward_norm.weight)
    found = block(x[None], context[None], query_turn, key_turn, mask)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    # The last query sees nothing: attention leaves it as it is.
    assert torch.equal(y[2], x[2])


def test_a_fusion_layer_equals_its_equations(sequences):
    keys = sequences[1]
    visible = visible_pairs(keys, keys, CPU)
    block = SelfBlock(16, 2, 24, 0.0)
    x, turn = torch.randn(4, 16), angles(0.0, 0.0, 5.0, 5.0)
    qkv = rms(x) @ block.query_key_value.weight.T
    read = attended(*qkv.chunk(3, -1), (turn, turn), visible=visible, heads=2)
    y = x + read @ block.out.weight.T
    expected = y + gated(block.feed_forward, rms(y))
    found = block(x[None], turn, interval_mask(keys, keys, CPU))[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_feed_forward_activates_up_and_not_gate():
    block = FeedForward(2, 2)
    for layer, scale in ((block.up, -3.0), (block.gate, 2.0), (block.down, 1.0)):
        layer.weight.data = scale * torch.eye(2)
    x = torch.tensor([[1.0, 2.0]])
    torch.testing.assert_close(block(x), functional.silu(-3 * x) * 2 * x)


@pytest.mark.parametrize(
    ("width", "multiplier", "hidden"),
    [(256, 2.67, 768), (512, 2.67, 1408), (768, 2.67, 2176), (1024, 2.67, 2816), (256, 4.0, 1024),
     (1024, 4.0, 4096), (128, 2.67, 384)],
)  # fmt: skip
def test_hidden_widths_are_the_published_ones(width, multiplier, hidden):
    assert hidden_width(width, multiplier, 128) == hidden


def test_dropout_keeps_the_mean_and_drops_the_same_entries_in_every_window():
    torch.manual_seed(0)
    drop = ResidualDropout(0.25).train()
    out = drop(torch.ones(3, 200, 50))
    assert torch.equal(out[0], out[2])
    assert out.mean().item() == pytest.approx(1.0, abs=0.02)
    assert (out == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(drop.eval()(out), out)
