"""Every kernel of ours on a GPU: values and gradients against float64."""

import math

import pytest
import torch
from torch.nn import functional

from omnimouse_cli.kernels.dendrite import DendriticFunction, dendrite
from omnimouse_cli.kernels.dendrite.lookup import Grid, build_tables, interpolate
from omnimouse_cli.kernels.dendrite.lookup.reference import reference_interpolate
from omnimouse_cli.kernels.dendrite.reference import reference_dendrite

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

RELU, SMOOTHSTEP = DendriticFunction(8, 1, "relu"), DendriticFunction(8, 1, "smoothstep")
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)
FUNCTIONS = [
    *((function, dtype) for function in (RELU, SMOOTHSTEP) for dtype in PRECISIONS),
    (DendriticFunction(12, 1, "relu"), torch.bfloat16),
    (DendriticFunction(1, 1, "relu"), torch.float32),
    (DendriticFunction(5, 2, "relu"), torch.float32),
]
# Units with and without cell types, and of numbers that 16 does not divide.
SHAPES = [((7, 36), 4), ((129, 520), 1), ((5, 301), 1), ((16, 512), 8), ((4099,), 1), ((1, 1), 1)]
GRID = Grid(32, 2.0)
CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor")


def arguments(*shape, dtype=torch.float32):
    """Arguments and a gradient, on the device."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(*shape, generator=generator).to("cuda", dtype) for _ in range(3)]


def weights_of(function, types):
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(types, function.num_weights, generator=generator) / 2).cuda()


def everything(way, inputs, g):
    """Output and every gradient."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    out = way(*leaves)
    return [out.detach(), *torch.autograd.grad(out, leaves, g.to(out.dtype))]


def in_float64(way, inputs, g):
    return everything(way, [x.double().cpu() for x in inputs], g.double().cpu())


@pytest.mark.parametrize(("function", "dtype"), FUNCTIONS, ids=str)
@pytest.mark.parametrize(("shape", "types"), SHAPES, ids=str)
def test_dendritic_units_are_those_of_float64(function, dtype, shape, types, require_close):
    a, b, g = arguments(*shape, dtype=dtype)
    inputs = (a, b, weights_of(function, types))

    def plain(*leaves):
        return reference_dendrite(*leaves, function)

    found = everything(lambda *x: dendrite(*x, function), inputs, g)
    # A sum of n terms, added in blocks, takes about log2(n) roundings.
    slack = 8 + math.log2(a.numel())
    require_close(found, everything(plain, inputs, g), in_float64(plain, inputs, g), slack)


@pytest.mark.parametrize("layout", ["halves", "transposed", "every second", "broadcast gradient"])
def test_any_layout_gives_the_same(layout, has_numbers):
    a, b, g = arguments(40, 24)
    weights = weights_of(RELU, 2)
    if layout == "broadcast gradient":
        g = g[:1].expand(40, 24)
    expected = everything(lambda *x: dendrite(*x, RELU), (a, b, weights), g.contiguous())
    if layout == "halves":
        a, b = torch.cat([a, b], 1).chunk(2, 1)
    elif layout == "transposed":
        a, b = (x.T.contiguous().T for x in (a, b))
    elif layout == "every second":
        a, b = (torch.stack([x, x], -1).flatten(-2)[:, ::2] for x in (a, b))
    found = everything(lambda *x: dendrite(*x, RELU), (a, b, weights), g)
    if has_numbers:
        assert all(torch.equal(ours, other) for ours, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("dtype", PRECISIONS[:2], ids=str)
def test_bits_do_not_depend_on_the_run(dtype, has_numbers):
    a, b, g = arguments(3000, 520, dtype=dtype)
    inputs = (a, b, weights_of(RELU, 4))
    first, second = (everything(lambda *x: dendrite(*x, RELU), inputs, g) for _ in range(2))
    if has_numbers:
        assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def tables():
    """Tables of four cell types."""
    function = DendriticFunction(5)
    weights = torch.randn(4, function.num_weights, generator=torch.Generator().manual_seed(1))
    return build_tables(weights, function, GRID).values.cuda()


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("shape", [(50, 36), (129, 520), (3, 4)], ids=str)
def test_a_lookup_table_is_read_as_by_the_reference(tables, dtype, shape, require_close):
    a, b, g = arguments(*shape, dtype=dtype)
    # Some are outside the grid.
    a[::3] *= 20

    def read(way):
        return lambda a, b: way(a, b, tables.to(a.device), GRID.limit)

    found = everything(read(interpolate), (a, b), g)
    plain = everything(read(reference_interpolate), (a, b), g)
    require_close(found, plain, in_float64(read(reference_interpolate), (a, b), g))


def test_torch_finds_nothing_wrong_with_the_operators(tables):
    a, b, g = arguments(6, 8)
    leaves = [x.clone().requires_grad_() for x in (a, b)]
    operators = torch.ops.omnimouse
    for operator, inputs in (
        (operators.dendrite_lookup, leaves),
        (operators.dendrite_lookup_backward, [g, a, b]),
    ):
        rest = (tables, GRID.limit)
        torch.library.opcheck(operator.default, (*inputs, *rest), test_utils=CHECKS)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
def test_the_swiglu_that_units_are_compared_with_is_swiglu(dtype, require_close):
    swiglu = pytest.importorskip("omnimouse_cli.kernels.dendrite.swiglu")
    a, b, g = arguments(37, 301, dtype=dtype)
    out, da, db = (torch.empty_like(a) for _ in range(3))
    settings = {"TILE": 1024, "num_warps": 4, "enable_fp_fusion": True}
    swiglu.swiglu_forward_kernel[(8,)](a, b, out, a.numel(), **settings)
    swiglu.swiglu_backward_kernel[(8,)](g, a, b, da, db, a.numel(), **settings)

    def plain(a, b):
        return functional.silu(a) * b

    exact = in_float64(plain, (a, b), g)
    require_close([out, da, db], everything(plain, (a, b), g), exact)
