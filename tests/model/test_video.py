"""The video encoder: positions are kept, or scrambled exactly as published; hiding is strict."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.model.blocks import normalize_heads
from omnimouse_cli.model.video import VideoEncoder, block_shapes, order_aligned, restore_aligned
from omnimouse_cli.model.video_blocks import (
    VideoBlock,
    VideoBlockShape,
    WindowAttention,
    drop_path_factors,
)


@pytest.fixture
def encoder(small_config):
    torch.manual_seed(0)
    return VideoEncoder(small_config).eval()


def features(encoder, video, frames=(0, 60)):
    """Time step, row, column, width."""
    steps, rows, columns = encoder.config.grid
    with torch.no_grad():
        out = encoder(video[None], frames, (0, steps))[0]
    return out.reshape(steps, rows // 2, columns // 2, -1)


def test_a_mark_stays_in_its_time_step_and_its_attention_window(encoder):
    """A patch of light moves features of its own window alone, and most at its own place."""
    video = torch.zeros(60, 12, 16)
    marked = video.clone()
    # Frames 12 to 17 are time step 2; the pixels are patch (1, 0): window (0, 0), place (0, 0).
    marked[12:18, 3:6, 0:3] = 5.0
    moved = (features(encoder, marked) - features(encoder, video)).abs().sum(-1)
    found = {tuple(place) for place in moved.gt(1e-6).nonzero().tolist()}
    assert found == {(2, 0, 0), (2, 0, 1)}
    assert moved.argmax() == moved[:3].numel() - moved[2].numel()


def test_aligned_order_groups_neighbours_and_is_undone():
    video = replace(SIZES["1M"].video, stages=(1, 1, 1), mask_unit=(8, 8))
    steps, rows, columns = video.grid
    places = torch.cartesian_prod(*(torch.arange(n) for n in (steps, rows, columns)))
    ordered = order_aligned(places.view(1, steps, rows, columns, 3), video)[0]
    windows = ordered.view(-1, 64, 3)
    for axis, unit in ((1, 8), (2, 8)):
        assert bool((windows[:, :, axis] // unit == windows[:, :1, axis] // unit).all())
    assert bool((windows[:, :, 0] == windows[:, :1, 0]).all())
    # Two poolings: phases of 2 x 2 neighbours lead, and then those of 4 x 4.
    once = windows.view(-1, 4, 16, 3)
    assert bool((once // torch.tensor([1, 2, 2]) == once[:, :1] // torch.tensor([1, 2, 2])).all())
    twice = once.amax(1).view(-1, 4, 4, 3)
    assert bool((twice // torch.tensor([1, 4, 4]) == twice[:, :1] // torch.tensor([1, 4, 4])).all())
    pooled = twice.amax(1).reshape(1, -1, 3)
    raster = restore_aligned(pooled, video)[0]
    expected = torch.cartesian_prod(
        torch.arange(steps), 4 * torch.arange(rows // 4) + 3, 4 * torch.arange(columns // 4) + 3
    )
    assert torch.equal(raster, expected)


def test_hidden_frames_are_not_looked_at(encoder):
    video = torch.randn(60, 12, 16)
    other = video.clone()
    other[:30] += 3.0
    assert torch.equal(features(encoder, video, (30, 60)), features(encoder, other, (30, 60)))
    assert not torch.equal(features(encoder, video), features(encoder, other))


def published_attention(attention, x, *, pooled, window):
    """Section 2.4 of the reference, window by window and position by position."""
    shape = attention.shape
    number, width, heads = x.shape[0], shape.width, shape.num_heads
    windows = number // (pooled * window)
    out = torch.full((windows * window, width), torch.nan)
    for j in range(windows):
        rows = x[j * pooled * window : (j + 1) * pooled * window]
        q, k, v = attention.query_key_value(rows).split(width, dim=1)
        if pooled > 1:
            q = torch.stack([q[i * pooled : (i + 1) * pooled].amax(0) for i in range(window)])
        parts = []
        for head in range(heads):
            part = slice(head * width // heads, (head + 1) * width // heads)
            weights = normalize_heads(q[:, part]) @ normalize_heads(k[:, part]).T
            parts.append((weights * (width // heads) ** -0.5).softmax(-1) @ v[:, part])
        result = torch.cat(parts, dim=1)
        for i in range(window):
            out[i * windows + j] = result[i]
    return attention.out(out)


@pytest.mark.parametrize("pools", [False, True])
def test_the_reference_layout_scrambles_as_published(pools):
    torch.manual_seed(0)
    shape = VideoBlockShape(
        width_in=4 if pools else 8, width=8, num_heads=2, hidden=16, window=4, drop_path=0.0,
        layout="reference",
    )  # fmt: skip
    attention, x = WindowAttention(shape), torch.randn(48, shape.width_in)
    expected = published_attention(attention, x, pooled=4 if pools else 1, window=4)
    torch.testing.assert_close(attention(shape.windows(x[None]))[0], expected)


def test_the_published_shape_keeps_two_positions_of_15360_and_aligned_keeps_all():
    """Positions are marked by their number; attention that copies itself shows where they go."""
    shape = replace(block_shapes(SIZES["1M"])[0], width_in=2, width=2, num_heads=1)
    place = torch.arange(15360.0)
    for layout, kept in (("reference", 2), ("aligned", 15360)):
        attention = WindowAttention(replace(shape, layout=layout)).requires_grad_(False)
        torch.nn.init.zeros_(attention.query_key_value.weight)
        torch.nn.init.zeros_(attention.query_key_value.bias)
        torch.nn.init.eye_(attention.out.weight)
        torch.nn.init.zeros_(attention.out.bias)
        # Queries and keys are alike, so each window answers with its mean: its number, as an angle,
        # which no norm changes.
        attention.query_key_value.weight[4:] = torch.eye(2)
        angle = 2 * torch.pi * (place // 64) / 240
        marks = 2**0.5 * torch.stack([angle.cos(), angle.sin()], -1)
        found = attention(shape.windows(marks[None]))[0]
        position = torch.arange(15360)
        went = (torch.atan2(found[:, 1], found[:, 0]) * 240 / (2 * torch.pi)).round().long() % 240
        if layout == "aligned":
            assert torch.equal(went, position // 64)
            continue
        # Result i of window j stands at i * 240 + j; it belongs to position j * 64 + i.
        assert torch.equal(went, position % 240)
        belongs = position % 240 * 64 + position // 240
        assert int((belongs == position).sum()) == kept


def test_reference_features_are_blocks_over_the_published_order(small_config):
    """The whole encoder against its parts in the published order, pooling over leading phases."""
    torch.manual_seed(0)
    config = replace(small_config, video=replace(small_config.video, layout="reference"))
    encoder = VideoEncoder(config).eval()
    video = torch.randn(60, 12, 16)
    steps, rows, columns = config.video.grid
    with torch.no_grad():
        x = encoder.patch(video[None, None])[0].permute(1, 2, 3, 0)
        x = x + encoder.position_in_space.view(1, rows, columns, -1)
        x = x + encoder.position_in_time.view(steps, 1, 1, -1)
        order = [
            x[t, 2 * y + sy, 2 * z + sx]
            for sy in range(2)
            for sx in range(2)
            for t in range(steps)
            for y in range(rows // 2)
            for z in range(columns // 2)
        ]
        x = torch.stack(order)
        first, second = encoder.blocks
        x = x + published_attention(first.attention, first.attention_norm(x), pooled=1, window=8)
        x = x + first.feed_forward(first.feed_forward_norm(x))
        normed = second.attention_norm(x)
        pooled = torch.stack(second.project(normed).chunk(4)).amax(0)
        x = pooled + published_attention(second.attention, normed, pooled=4, window=2)
        x = x + second.feed_forward(second.feed_forward_norm(x))
        expected = encoder.project(x)[3 * 4 :]
        found = encoder(video[None], (20, 60), (3, steps))[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_drop_path_drops_whole_clips_and_grows_over_the_blocks():
    rates = [shape.drop_path for shape in block_shapes(SIZES["80M"])]
    assert rates == pytest.approx([0.25 * i / 9 for i in range(10)])
    torch.manual_seed(0)
    shape = VideoBlockShape(
        width_in=8, width=8, num_heads=2, hidden=16, window=4, drop_path=0.5, layout="aligned"
    )
    block = VideoBlock(shape)
    x = torch.randn(64, 8, 8)
    (factors,) = drop_path_factors(torch.tensor([shape.drop_path] * 2), len(x))
    assert sorted(factors.unique().tolist()) == [0.0, 2.0]
    update = (block(x, factors) - x).flatten(1).abs().sum(1)
    dropped = (update == 0).float().mean()
    assert 0.1 < dropped < 0.45
    assert torch.equal(block(x, torch.ones(2, 64, 1, 1)), block(x))


def test_drop_path_draws_as_if_each_update_drew_for_itself():
    rates = torch.tensor([0.1, 0.1, 0.25, 0.25])
    torch.manual_seed(3)
    factors = drop_path_factors(rates, 5)
    torch.manual_seed(3)
    for rate, of_block in zip((0.1, 0.25), factors, strict=True):
        for of_update in of_block:
            assert torch.equal(of_update, (torch.rand(5, 1, 1) >= rate) / (1 - rate))


def test_pooling_takes_the_largest_of_two_by_two_neighbours():
    torch.manual_seed(0)
    shape = VideoBlockShape(
        width_in=4, width=8, num_heads=2, hidden=16, window=2, drop_path=0.0, layout="aligned"
    )
    block = VideoBlock(shape)
    torch.nn.init.zeros_(block.attention.out.weight)
    torch.nn.init.zeros_(block.attention.out.bias)
    torch.nn.init.zeros_(block.feed_forward.down.weight)
    x = torch.randn(1, 16, 4)
    projected = functional.linear(block.attention_norm(x), block.project.weight, block.project.bias)
    expected = projected.view(1, 2, 4, 2, 8).amax(2).flatten(1, 2)
    torch.testing.assert_close(block(x), expected)
