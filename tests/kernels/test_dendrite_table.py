"""Frozen units read from tables: the kernel against the interpolant in float64."""

import pytest
import torch

from omnimouse_cli import _native
from omnimouse_cli.kernels.dendrite import DendriticFunction
from omnimouse_cli.kernels.dendrite_table import Grid, served, served_packed, tabulate
from omnimouse_cli.kernels.dendrite_table.reference import reference_served

FUNCTION, GRID = DendriticFunction(5), Grid(32, 2.0)
CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor")
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)


@pytest.fixture(scope="module")
def tables():
    """Of four cell types."""
    weights = torch.randn(4, FUNCTION.num_weights, generator=torch.Generator().manual_seed(1))
    return tabulate(weights, FUNCTION, GRID).pairs


def arguments(*shape, dtype=torch.float32, spread=1.0):
    """Arguments, some of them beyond the grid and far away, and a gradient."""
    generator = torch.Generator().manual_seed(2)
    a, b, g = (torch.randn(*shape, generator=generator) for _ in range(3))
    far = torch.rand(shape, generator=generator) > 0.95
    return [x.to(dtype) for x in (spread * torch.where(far, 40 * a, a), spread * b, g)]


def everything(way, a, b, g):
    """Output and both gradients."""
    leaves = [x.detach().requires_grad_() for x in (a, b)]
    out = way(*leaves)
    return [out.detach(), *torch.autograd.grad(out, leaves, g.to(out.dtype))]


def of(pairs, reach=GRID.reach, way=served):
    return lambda a, b: way(a, b, pairs, reach)


def require_close(found, pairs, *inputs, reach=GRID.reach):
    """Errors are at most twice those of plain PyTorch in the same precision."""
    plain = of(pairs, reach, reference_served)
    exact = everything(plain, *(x.double() for x in inputs))
    same = everything(plain, *inputs)
    for ours, theirs, truth in zip(found, same, exact, strict=True):
        assert torch.isfinite(ours).all()
        error = (ours.double() - truth).abs().max()
        allowed = 2 * (theirs.double() - truth).abs().max()
        # A sum of few terms can be exact in one order and a rounding off in another.
        assert error <= allowed + 4 * torch.finfo(torch.float32).eps * truth.abs().max()


@pytest.mark.parametrize("spread", [0.3, 1.0, 10.0])
@pytest.mark.parametrize("shape", [(7, 36), (3, 5, 300), (1, 4), (4099,), (200, 300)], ids=str)
def test_values_and_gradients_are_those_of_float64(tables, shape, spread):
    pairs = tables if shape[-1] % 4 == 0 else tables[:1]
    inputs = arguments(*shape, spread=spread)
    require_close(everything(of(pairs), *inputs), pairs, *inputs)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
def test_16_bit_numbers_are_computed_in_float32(tables, dtype):
    inputs = arguments(33, 70, dtype=dtype)
    found = everything(of(tables[:1]), *inputs)
    assert [x.dtype for x in found] == [dtype] * 3
    require_close(found, tables[:1], *inputs)


def test_a_reach_that_is_no_power_of_two_is_as_good():
    pairs = tabulate(torch.ones(1, FUNCTION.num_weights), FUNCTION, Grid(30, 3.3)).pairs
    inputs = arguments(50, 20)
    require_close(everything(of(pairs, 3.3), *inputs), pairs, *inputs, reach=3.3)


@pytest.mark.parametrize("types", [1, 3])
def test_halves_of_one_projection_are_arguments_without_a_copy(tables, types, monkeypatch):
    a, b, g = arguments(45, 30)
    both = torch.cat([a, b], -1).view(5, 9, 60).requires_grad_()
    seen, real = [], _native.dendrite_table_forward

    def watch(a, b, *rest, **named):
        seen.append((a.ctypes.data, b.ctypes.data))
        real(a, b, *rest, **named)

    monkeypatch.setattr(_native, "dendrite_table_forward", watch)
    out = served_packed(both, tables[:types], GRID.reach)
    start = both.data_ptr()
    assert seen == [(start, start + 4 * 30)]
    (of_both,) = torch.autograd.grad(out, both, g.view(5, 9, 30))
    found = [out.detach().view(45, 30), *of_both.view(45, 60).chunk(2, -1)]
    expected = everything(of(tables[:types]), a, b, g)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    "layout", ["transposed", "every second", "broadcast gradient", "gradient of one row"]
)
def test_any_layout_gives_the_same(tables, layout):
    pairs = tables[:2]
    a, b, g = arguments(40, 24)
    if layout == "broadcast gradient":
        g = torch.ones(1, 1).expand(40, 24)
    elif layout == "gradient of one row":
        g = g[:1].expand(40, 24)
    expected = everything(of(pairs), a, b, g.contiguous())
    if layout == "transposed":
        a, b = (x.T.contiguous().T for x in (a, b))
    elif layout == "every second":
        a, b = (torch.stack([x, x], -1).flatten(-2)[:, ::2] for x in (a, b))
    found = everything(of(pairs), a, b, g)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


@pytest.mark.parametrize(("shape", "types"), [((700, 300), 3), ((210_001,), 1)], ids=str)
def test_bits_do_not_depend_on_the_run_or_on_threads(tables, shape, types):
    inputs = arguments(*shape)
    results = []
    for threads in (1, 3, 3, 2):
        torch.set_num_threads(threads)
        results.append(everything(of(tables[:types]), *inputs))
    torch.set_num_threads(1)
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))


def test_every_number_of_an_output_is_written_and_no_input(tables, monkeypatch):
    inputs = arguments(13, 37)
    before = [x.clone() for x in (*inputs, tables)]
    expected = everything(of(tables[:1]), *inputs)
    real = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **named: real(*a, **named).fill_(torch.nan))
    found = everything(of(tables[:1]), *inputs)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))
    assert all(torch.equal(x, y) for x, y in zip(before, (*inputs, tables), strict=True))


def test_nothing_is_computed_of_nothing(tables):
    assert [x.shape for x in everything(of(tables), *arguments(0, 8))] == [(0, 8)] * 3


@pytest.mark.parametrize("way", [served, reference_served])
@pytest.mark.parametrize("other", [0.1, 50.0])
def test_a_nan_stays_where_it_is(tables, other, way):
    a, b, _ = arguments(4, 40)
    a[1, 3], b[1, 3] = torch.nan, other
    a[2, 5], b[2, 5] = other, torch.nan
    out = way(a, b, tables[:1], GRID.reach)
    assert out.isnan().nonzero().tolist() == [[1, 3], [2, 5]]


def test_float64_is_computed_in_float64(tables):
    a, b, _ = (x.double() for x in arguments(4, 8))
    out = served(a, b, tables[:1], GRID.reach)
    assert out.dtype == torch.float64
    assert torch.equal(out, reference_served(a, b, tables[:1], GRID.reach))


def test_torch_finds_nothing_wrong_with_the_operators(tables):
    a, b, g = arguments(6, 8)
    operators, rest = torch.ops.omnimouse, (tables, GRID.reach)
    leaves = [x.requires_grad_() for x in (a, b)]
    both = torch.cat([a, b], -1).detach().requires_grad_()
    plain = [x.detach() for x in (g, a, b)]
    for operator, inputs in (
        (operators.dendrite_table, leaves),
        (operators.dendrite_table_packed, [both]),
        (operators.dendrite_table_backward, plain),
        (operators.dendrite_table_packed_backward, [g, both.detach()]),
    ):
        torch.library.opcheck(operator.default, (*inputs, *rest), test_utils=CHECKS)


def test_a_compiled_graph_stays_whole(tables):
    def layer(a, b):
        apart = served(2 * a, b, tables, GRID.reach)
        return apart + served_packed(torch.cat([a, b], -1), tables, GRID.reach)

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    inputs = arguments(6, 8)
    for x, y in zip(everything(compiled, *inputs), everything(layer, *inputs), strict=True):
        torch.testing.assert_close(x, y)


def test_what_does_not_fit_is_refused(tables):
    a, b, out = (x.numpy() for x in arguments(2, 6))
    rows = tables[:2].flatten(0, 1).flatten(1).numpy()

    def run(a=a, b=b, tables=rows, out=out, reach=2.0):
        _native.dendrite_table_forward(a, b, tables, out, reach=reach, threads=1)

    run()
    for wrong, message in [
        ({"reach": 0.0}, "`reach` must be positive"),
        ({"reach": float("nan")}, "`reach` must be positive"),
        ({"tables": rows[:, :-2].copy()}, "an even number of cells up to 2048: 62"),
        ({"tables": rows[:, :-1]}, "an even number of cells"),
        ({"tables": rows[:-1]}, f"`tables` must have {64 * 101} numbers: {64 * 201}"),
        ({"tables": rows[:0]}, "0 cell types cannot share"),
        ({"tables": tables.flatten(0, 1).flatten(1).numpy()}, "4 cell types cannot share 6 units"),
        ({"b": b[:1]}, "one shape"),
        ({"out": out[:1]}, "`out` must have 12 numbers: 6"),
    ]:
        with pytest.raises(ValueError, match=message):
            run(**wrong)
