"""Dendritic units against float64, with every layout, precision and inner network."""

import math

import pytest
import torch

from omnimouse_cli import _native
from omnimouse_cli.kernels.dendrite import DendriticFunction, dendrite
from omnimouse_cli.kernels.dendrite.reference import reference_dendrite

FUNCTIONS = [
    DendriticFunction(8, 1, "relu"),
    DendriticFunction(8, 1, "smoothstep"),
    DendriticFunction(5, 2, "relu"),
    DendriticFunction(3, 2, "smoothstep"),
    DendriticFunction(64, 2, "relu"),
    DendriticFunction(1, 1, "relu"),
]
CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor")
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)


def weights_of(function, types=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(types, function.num_weights, generator=generator)
    return weights / function.hidden ** (0.5 * function.depth)


def arguments(*shape, seed=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator).to(dtype) for _ in range(3)]


def everything(way, a, b, weights, g):
    """Output and every gradient."""
    leaves = [x.detach().requires_grad_() for x in (a, b, weights)]
    out = way(*leaves)
    return [out.detach(), *torch.autograd.grad(out, leaves, g.to(out.dtype))]


def require_close(found, function, *inputs):
    """Errors are at most twice those of plain PyTorch in the same precision."""

    def plain(*leaves):
        return reference_dendrite(*leaves, function)

    exact = everything(plain, *(x.double() for x in inputs))
    same = everything(plain, *inputs)
    # Plain PyTorch can be exact by luck. A sum of n terms, added in blocks of the size of the
    # processor's vectors, takes about log2(n) roundings; those of weights have a term per unit.
    network = function.depth * (function.hidden + 1)
    for ours, theirs, truth, terms in zip(
        found, same, exact, [network] * 3 + [inputs[0].numel()], strict=True
    ):
        assert torch.isfinite(ours).all()
        error, allowed = ((x.double() - truth).abs().max() for x in (ours, theirs))
        ulp = torch.finfo(torch.float32).eps * truth.abs().max()
        assert error <= 2 * allowed + (4 + math.log2(terms)) * ulp


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
@pytest.mark.parametrize("shape", [(7, 36), (3, 5, 300), (1, 4), (4099,), (600, 300)], ids=str)
def test_values_and_gradients_are_those_of_float64(function, shape):
    if function.hidden == 64 and shape == (600, 300):
        shape = (6, 300)
    types = 4 if shape[-1] % 4 == 0 else 1
    a, b, g = arguments(*shape)
    weights = weights_of(function, types)
    found = everything(lambda *x: dendrite(*x, function), a, b, weights, g)
    require_close(found, function, a, b, weights, g)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("function", FUNCTIONS[:2], ids=str)
def test_16_bit_numbers_are_computed_in_float32(function, dtype):
    a, b, g = arguments(33, 70, dtype=dtype)
    weights = weights_of(function)
    found = everything(lambda *x: dendrite(*x, function), a, b, weights, g)
    assert [x.dtype for x in found] == [dtype, dtype, dtype, torch.float32]
    require_close(found, function, a, b, weights, g)


@pytest.mark.parametrize("types", [1, 3])
def test_halves_of_one_projection_are_arguments_without_a_copy(types, monkeypatch):
    function = FUNCTIONS[0]
    both, g = torch.randn(5, 9, 60), torch.randn(5, 9, 30)
    weights = weights_of(function, types)
    seen, real = [], _native.dendrite_forward

    def watch(a, b, *rest, **named):
        seen.append((a.ctypes.data, b.ctypes.data))
        real(a, b, *rest, **named)

    monkeypatch.setattr(_native, "dendrite_forward", watch)
    leaves = [both.clone().requires_grad_(), weights.clone().requires_grad_()]
    out = dendrite(*leaves[0].chunk(2, -1), leaves[1], function)
    start = leaves[0].data_ptr()
    assert seen == [(start, start + 4 * 30)]
    of_both, of_weights = torch.autograd.grad(out, leaves, g)
    a, b = both.chunk(2, -1)
    found = [out.detach(), *of_both.chunk(2, -1), of_weights]
    require_close(found, function, a, b, weights, g)


@pytest.mark.parametrize(
    "layout", ["transposed", "every second", "broadcast gradient", "gradient of one row"]
)
def test_any_layout_gives_the_same(layout):
    function, weights = FUNCTIONS[0], weights_of(FUNCTIONS[0], 2)
    a, b, g = arguments(40, 24)
    expected = everything(lambda *x: dendrite(*x, function), a, b, weights, g)
    if layout == "transposed":
        a, b = (x.T.contiguous().T for x in (a, b))
    elif layout == "every second":
        a, b = (torch.stack([x, x], -1).flatten(-2)[:, ::2] for x in (a, b))
    else:
        # What a sum over everything, and over the rows, leaves.
        g = torch.ones(1, 1) if layout == "broadcast gradient" else g[:1]
        g = g.expand(40, 24)
        expected = everything(lambda *x: dendrite(*x, function), a, b, weights, g.contiguous())
    found = everything(lambda *x: dendrite(*x, function), a, b, weights, g)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


@pytest.mark.parametrize("function", [FUNCTIONS[0], FUNCTIONS[2]], ids=str)
@pytest.mark.parametrize(("shape", "types"), [((700, 300), 3), ((210_001,), 1)], ids=str)
def test_bits_do_not_depend_on_the_run_or_on_threads(function, shape, types):
    a, b, g = arguments(*shape)
    weights = weights_of(function, types)
    results = []
    for threads in (1, 3, 3, 2):
        torch.set_num_threads(threads)
        results.append(everything(lambda *x: dendrite(*x, function), a, b, weights, g))
    torch.set_num_threads(1)
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))


def test_every_number_of_an_output_is_written(monkeypatch):
    function, weights = FUNCTIONS[0], weights_of(FUNCTIONS[0])
    real = torch.empty

    def poisoned(*args, **named):
        return real(*args, **named).fill_(torch.nan)

    a, b, g = arguments(13, 37)
    expected = everything(lambda *x: dendrite(*x, function), a, b, weights, g)
    monkeypatch.setattr(torch, "empty", poisoned)
    found = everything(lambda *x: dendrite(*x, function), a, b, weights, g)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


def test_nothing_is_computed_of_nothing():
    function, weights = FUNCTIONS[0], weights_of(FUNCTIONS[0])
    a, b, g = arguments(0, 8)
    out, da, db, dweights = everything(lambda *x: dendrite(*x, function), a, b, weights, g)
    assert out.shape == da.shape == db.shape == (0, 8)
    assert torch.equal(dweights, torch.zeros_like(weights))


@pytest.mark.parametrize("function", FUNCTIONS[:2], ids=str)
def test_a_nan_stays_where_it_is(function):
    a, b, _ = arguments(4, 40)
    a[1, 3] = torch.nan
    out = dendrite(a, b, weights_of(function), function)
    assert out.isnan().nonzero().tolist() == [[1, 3]]


def test_inputs_are_never_written_to():
    function = FUNCTIONS[0]
    a, b, g = arguments(40, 24)
    weights = weights_of(function)
    before = [x.clone() for x in (a, b, g, weights)]
    everything(lambda *x: dendrite(*x, function), a, b, weights, g)
    assert all(torch.equal(x, y) for x, y in zip(before, (a, b, g, weights), strict=True))


@pytest.mark.parametrize("function", FUNCTIONS[:3], ids=str)
def test_torch_finds_nothing_wrong_with_the_operators(function):
    a, b, g = arguments(6, 8)
    weights = weights_of(function, 2)
    operators, checks = torch.ops.omnimouse, CHECKS
    leaves = [x.requires_grad_() for x in (a, b, weights)]
    torch.library.opcheck(operators.dendrite.default, (*leaves, function.name), test_utils=checks)
    plain = [x.detach() for x in (g, a, b, weights)]
    torch.library.opcheck(
        operators.dendrite_backward.default, (*plain, function.name), test_utils=checks
    )


def test_a_compiled_graph_stays_whole():
    a, b, g = arguments(6, 8)
    weights = weights_of(DendriticFunction(), 2)

    def layer(a, b, weights):
        # As an attribute of a module, it is a constant; in a closure, torch 2.11 makes it none.
        return dendrite(2 * a, b, weights, DendriticFunction())

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    found = everything(compiled, a, b, weights, g)
    expected = everything(layer, a, b, weights, g)
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y)


def test_what_does_not_fit_is_refused():
    a, b, out = (x.numpy() for x in arguments(2, 6))
    weights = weights_of(DendriticFunction()).numpy()

    def run(a=a, b=b, weights=weights, out=out, network=(8, 1, "relu")):
        _native.dendrite_forward(a, b, weights, out, network=network, threads=1)

    run()
    for wrong, message in [
        ({"network": (8, 1, "tanh")}, "nonlinearity must be relu or smoothstep: tanh"),
        ({"network": (65, 1, "relu")}, "cannot have 1 layers of 65 units"),
        ({"network": (8, 3, "relu")}, "cannot have 3 layers"),
        ({"network": (7, 1, "relu")}, "`weights` must have 29 numbers: 33"),
        ({"a": a[:, ::2]}, "`a` must have two dimensions and contiguous rows"),
        ({"a": a.ravel()}, "`a` must have two dimensions"),
        ({"a": a.astype("float64")}, "`a`"),
        ({"b": b[:1]}, "one shape"),
        ({"out": out[:1]}, "`out` must have 12 numbers: 6"),
        ({"out": out[:, :3]}, "`out` must be contiguous"),
        ({"weights": weights.repeat(4, 0)}, "6 units cannot be divided among 4 cell types"),
    ]:
        with pytest.raises(ValueError, match=message):
            run(**wrong)
