"""Interval attention against brute force and naive arithmetic, with every way to compute it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend

from omnimouse_cli.kernels.attention import (
    Interval,
    attention,
    choose,
    computed_pairs,
    interval_mask,
    visible_pairs,
)
from omnimouse_cli.kernels.attention.choose import MASK_CACHE_BYTES
from omnimouse_cli.kernels.attention.flex import block_mask, full_mask
from omnimouse_cli.kernels.attention.grouped import grouped_attention, grouped_mask
from omnimouse_cli.kernels.attention.intervals import all_visible
from omnimouse_cli.kernels.attention.reference import dense_mask, reference_attention

CPU = torch.device("cpu")

runs = st.builds(
    lambda start, length, tokens: Interval(start, start + length, tokens),
    st.integers(0, 59),
    st.integers(1, 60),
    st.integers(0, 4),
)
sequences = st.lists(runs, min_size=1, max_size=6).map(tuple)

# Two queries see nothing, three see part, two see all.
QUERIES = (Interval(50, 60, 2), Interval(0, 10, 3), Interval(0, 60, 2))
KEYS = (Interval(0, 10, 3), Interval(5, 15, 2), Interval(10, 20, 4))


def brute_force(queries, keys):
    """Token by token, from the rule as it is written."""
    tokens_Q = [(run.start, run.end) for run in queries for _ in range(run.tokens)]
    tokens_K = [(run.start, run.end) for run in keys for _ in range(run.tokens)]
    pairs = [
        [not (k_end <= q_start or k_start >= q_end) for k_start, k_end in tokens_K]
        for q_start, q_end in tokens_Q
    ]
    return torch.tensor(pairs, dtype=torch.bool).reshape(len(tokens_Q), len(tokens_K))


def naive(q, k, v, visible):
    """Softmax written out, in float64; queries that see nothing get zeros."""
    q, k, v = q.double(), k.double(), v.double()
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).exp() * visible
    total = weights.sum(-1, keepdim=True)
    return weights / torch.where(total > 0, total, 1.0) @ v


def tensors(queries, keys, *, width=8, heads=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = [sum(run.tokens for run in runs) for runs in (queries, keys, keys)]
    return [
        torch.randn(2, heads, size, width, generator=generator, requires_grad=True)
        for size in sizes
    ]


WAYS = {
    "chosen": lambda q, k, v, queries, keys: attention(q, k, v, interval_mask(queries, keys, CPU)),
    "dense": lambda q, k, v, queries, keys: reference_attention(
        q, k, v, dense_mask(queries, keys, CPU)
    ),
    "grouped": lambda q, k, v, queries, keys: grouped_attention(
        q, k, v, grouped_mask(queries, keys, CPU)
    ),
}


@given(sequences, sequences)
@settings(max_examples=50, deadline=None)
def test_visible_pairs_equal_the_brute_force_interval_test(queries, keys):
    expected = brute_force(queries, keys)
    assert torch.equal(visible_pairs(queries, keys, CPU), expected)
    assert all_visible(queries, keys) == bool(expected.all())


@given(sequences, sequences)
@settings(max_examples=50, deadline=None)
def test_masks_of_every_kind_show_the_same_pairs(queries, keys):
    expected = brute_force(queries, keys)
    if 0 in expected.shape:
        return
    dense = dense_mask(queries, keys, CPU)
    seen = dense.visible if dense.has_keys is None else dense.visible & dense.has_keys
    assert torch.equal(seen, expected)
    grouped = grouped_mask(queries, keys, CPU)
    if grouped is not None:
        table = torch.zeros_like(expected)
        start, gathered = 0, 0
        for size, count in zip(grouped.queries, grouped.counts, strict=True):
            seen = slice(None) if count is None else grouped.keys[gathered : gathered + count]
            table[start : start + size, seen] = True
            start, gathered = start + size, gathered + (count or 0)
        assert torch.equal(table, expected)
    pairs = expected.numel() if grouped is None else int(expected.sum())
    assert computed_pairs(queries, keys) == pairs


def test_every_group_of_a_local_layer_is_computed_by_itself():
    steps = tuple(Interval(4 * step, 4 * step + 6, 2) for step in range(15))
    tokens = (*steps, Interval(0, 60, 3))
    mask = grouped_mask(tokens, tokens, CPU)
    assert mask.queries == (2,) * 15 + (3,)
    # Two neighbours and the whole window; the first and the last step have one neighbour.
    assert mask.counts == (7, *(9,) * 13, 7, None)
    q, k, v = tensors(tokens, tokens)
    expected = naive(q, k, v, brute_force(tokens, tokens)).float()
    torch.testing.assert_close(attention(q, k, v, interval_mask(tokens, tokens, CPU)), expected)


def test_groups_may_see_all_keys_or_none():
    keys = (Interval(0, 10, 5),)
    for queries in ((Interval(0, 10, 3), Interval(20, 30, 4)), (Interval(20, 30, 4),)):
        mask = grouped_mask(queries, keys, CPU)
        assert len(mask.keys) == 0
        q, k, v = tensors(queries, keys)
        expected = naive(q, k, v, brute_force(queries, keys)).float()
        torch.testing.assert_close(grouped_attention(q, k, v, mask), expected)


@pytest.mark.parametrize("way", WAYS)
def test_attention_and_its_gradients_equal_the_naive_ones(way):
    q, k, v = tensors(QUERIES, KEYS)
    weight = torch.randn(2, 2, 7, 8, generator=torch.Generator().manual_seed(1))
    expected = naive(q, k, v, brute_force(QUERIES, KEYS))
    wanted = torch.autograd.grad((expected * weight).sum(), (q, k, v))
    out = WAYS[way](q, k, v, QUERIES, KEYS)
    found = torch.autograd.grad((out * weight).sum(), (q, k, v))
    torch.testing.assert_close(out, expected.float(), atol=1e-6, rtol=1e-5)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_queries_that_see_nothing_get_zeros_forward_and_backward(way):
    q, k, v = tensors(QUERIES, KEYS)
    out = WAYS[way](q, k, v, QUERIES, KEYS)
    assert torch.equal(out[:, :, :2], torch.zeros_like(out[:, :, :2]))
    gradients = torch.autograd.grad(out[:, :, :2].sum(), (q, k, v), retain_graph=True)
    assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients)
    assert not any(bool(g.isnan().any()) for g in torch.autograd.grad(out.sum(), (q, k, v)))


@pytest.mark.parametrize("way", WAYS)
def test_hidden_values_change_nothing_even_when_they_are_huge(way):
    q, k, v = (tensor.detach() for tensor in tensors(QUERIES, KEYS))
    before = WAYS[way](q, k, v, QUERIES, KEYS)[:, :, 2:5]
    # The middle queries span samples 0 to 10; the last keys start at 10.
    v[:, :, 5:] = 1e30
    assert torch.equal(WAYS[way](q, k, v, QUERIES, KEYS)[:, :, 2:5], before)


def test_no_mask_is_built_where_everything_is_visible():
    assert interval_mask((Interval(0, 60, 3),), KEYS, CPU) is None


def test_a_mask_is_built_once_and_depends_on_the_intervals_alone():
    assert interval_mask(QUERIES, KEYS, CPU) is interval_mask(QUERIES, tuple(KEYS), CPU)
    other = (*KEYS[:2], Interval(10, 20, 5))
    assert interval_mask(QUERIES, other, CPU) is not interval_mask(QUERIES, KEYS, CPU)
    assert MASK_CACHE_BYTES <= 2**30


def test_block_masks_show_the_same_pairs():
    mask = block_mask(QUERIES, KEYS, CPU)
    expected = brute_force(QUERIES, KEYS)
    query, key = torch.meshgrid(torch.arange(7), torch.arange(9), indexing="ij")
    zero = torch.tensor(0)
    assert torch.equal(mask.mask_mod(zero, zero, query, key), expected)
    # Short sequences are extended by tokens that neither see nor are seen.
    query, key = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    assert mask.mask_mod(zero, zero, query, key).sum() == expected.sum()


def test_dense_attention_tries_cudnn_first_on_hopper_alone_and_compiles_whole(monkeypatch):
    order = []

    def attend(q, k, v):
        order.append(torch._C._get_sdp_priority_order()[0])
        return q + k + v

    x = torch.randn(1, 2, 5, 8)
    expected = choose.attention(x, x, x, None)
    monkeypatch.setattr(choose, "_tries_cudnn", lambda device_type: device_type == "cpu")
    compiled = torch.compile(choose.attention, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, x, x, None), expected)
    before = torch._C._get_sdp_priority_order()
    monkeypatch.setattr(choose.functional, "scaled_dot_product_attention", attend)
    choose.attention(x, x, x, None)
    assert order == [SDPBackend.CUDNN_ATTENTION.value]
    assert torch._C._get_sdp_priority_order() == before


def test_block_masks_have_two_rows_and_columns_of_blocks_at_least():
    for queries, keys in ((3, 5), (3, 300), (300, 5), (300, 300)):
        of_queries, of_keys = (Interval(0, 5, queries),), (Interval(2, 9, keys),)
        mask = block_mask(of_queries, of_keys, torch.device("cpu"))
        for kind in ("kv", "full_kv"):
            blocks = [max(2, -(-tokens // 128)) for tokens in (queries, keys)]
            assert list(getattr(mask, f"{kind}_indices").shape[2:]) == blocks
            assert getattr(mask, f"{kind}_num_blocks").shape[2] == blocks[0]
        used = mask.kv_num_blocks.sum() + mask.full_kv_num_blocks.sum()
        assert used == -(-queries // 128) * -(-keys // 128)
        shape = (max(128, queries), max(128, keys))
        assert full_mask(queries, keys, torch.device("cpu")).shape[-2:] == shape
