"""Frozen units read from lookup tables: every layout and precision on a CPU."""

import pytest
import torch

from omnimouse_cli.kernels.dendrite import DendriticFunction
from omnimouse_cli.kernels.dendrite.lookup import Grid, build_tables, interpolate

FUNCTION, GRID = DendriticFunction(5), Grid(32, 2.0)
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)


@pytest.fixture(scope="module")
def tables():
    """Tables of four cell types."""
    weights = torch.randn(4, FUNCTION.num_weights, generator=torch.Generator().manual_seed(1))
    return build_tables(weights, FUNCTION, GRID).values


def arguments(*shape, dtype=torch.float32):
    """Arguments, some of them outside the grid and far away, and a gradient."""
    generator = torch.Generator().manual_seed(2)
    a, b, g = (torch.randn(*shape, generator=generator) for _ in range(3))
    far = torch.rand(shape, generator=generator) > 0.95
    return [x.to(dtype) for x in (torch.where(far, 40 * a, a), b, g)]


def everything(function, table, a, b, g):
    """Output and both gradients."""
    leaves = [x.detach().requires_grad_() for x in (a, b)]
    out = function(*leaves, table, GRID.limit)
    return [out.detach(), *torch.autograd.grad(out, leaves, g.to(out.dtype))]


def test_cell_types_have_equal_shares_of_the_units(tables):
    a, b, _ = arguments(5, 12)
    out = interpolate(a, b, tables, GRID.limit)
    for kind in range(4):
        units = slice(3 * kind, 3 * kind + 3)
        alone = interpolate(a[:, units], b[:, units], tables[kind : kind + 1], GRID.limit)
        assert torch.equal(out[:, units], alone)


@pytest.mark.parametrize("dtype", PRECISIONS[1:], ids=str)
def test_16_bit_numbers_are_computed_in_float32(tables, dtype):
    inputs = arguments(33, 70, dtype=dtype)
    found = everything(interpolate, tables[:1], *inputs)
    expected = everything(interpolate, tables[:1], *(x.float() for x in inputs))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        assert torch.equal(ours, theirs.to(dtype))


def test_float64_is_computed_in_float64(tables):
    a, b, _ = (x.double() for x in arguments(4, 8))
    out = interpolate(a, b, tables, GRID.limit)
    assert out.dtype == torch.float64
    assert not torch.equal(out.float(), interpolate(a.float(), b.float(), tables, GRID.limit))


@pytest.mark.parametrize("layout", ["transposed", "every second", "broadcast gradient"])
def test_any_layout_gives_the_same(tables, layout):
    a, b, g = arguments(40, 24)
    if layout == "broadcast gradient":
        g = g[:1].expand(40, 24)
    expected = everything(interpolate, tables[:2], a, b, g.contiguous())
    if layout == "transposed":
        a, b = (x.T.contiguous().T for x in (a, b))
    elif layout == "every second":
        a, b = (torch.stack([x, x], -1).flatten(-2)[:, ::2] for x in (a, b))
    found = everything(interpolate, tables[:2], a, b, g)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


def test_nothing_is_computed_of_nothing(tables):
    found = everything(interpolate, tables, *arguments(0, 8))
    assert [x.shape for x in found] == [(0, 8)] * 3


@pytest.mark.parametrize("other", [0.1, 50.0])
def test_a_nan_stays_where_it_is(tables, other):
    a, b, _ = arguments(4, 40)
    a[1, 3], b[1, 3] = torch.nan, other
    a[2, 5], b[2, 5] = other, torch.nan
    out = interpolate(a, b, tables[:1], GRID.limit)
    assert out.isnan().nonzero().tolist() == [[1, 3], [2, 5]]


def test_a_compiled_graph_stays_whole(tables):
    compiled = torch.compile(interpolate, fullgraph=True, backend="aot_eager", dynamic=True)
    inputs = arguments(6, 8)
    found, expected = (everything(way, tables, *inputs) for way in (compiled, interpolate))
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y)
