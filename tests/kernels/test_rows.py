"""Norms and gates in one pass: against plain PyTorch in float64."""

import pytest
import torch

from omnimouse_cli.kernels import rows
from omnimouse_cli.kernels.rows import reference

EPSILON = 1e-5


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def hard(*shape):
    """Rows of all sizes, some of them zero, and one of a single number."""
    x = numbers(*shape).reshape(-1, shape[-1])
    sizes = torch.tensor([1.0, 1e-20, 1e-3, 1e4, 1e15, 0.0])
    x *= sizes[torch.arange(len(x)) % len(sizes), None]
    x[-1, 1:] = 0.0
    return x.view(shape)


def norm(x, weight):
    return rows.rms_norm(x, weight, EPSILON)


def plain_norm(x, weight):
    return reference.reference_norm(x, weight, EPSILON)


NORM, GATE = (norm, plain_norm), (rows.gated, reference.reference_gated)


def everything(way, inputs, g=None):
    """Output and every gradient."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    out = way(*leaves)
    g = numbers(*out.shape, seed=9).to(out.dtype) if g is None else g.to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, leaves, g)]


def require_close(ways, *inputs, by_row=True):
    """Errors are at most twice those of plain PyTorch in float32, row by row where sizes differ."""
    ours, plain = ways
    exact = everything(plain, [x.double() for x in inputs])
    same, found = everything(plain, inputs), everything(ours, inputs)
    for mine, theirs, truth in zip(found, same, exact, strict=True):
        assert mine.dtype == torch.float32
        assert torch.isfinite(mine).all()
        mine_error, error = ((x.double() - truth).abs() for x in (mine, theirs))
        size = truth.abs()
        if by_row and truth.dim() > 1:
            mine_error, error, size = (x.amax(-1) for x in (mine_error, error, size))
        else:
            mine_error, error, size = (x.amax() for x in (mine_error, error, size))
        # A sum of few terms can be exact in one order and a rounding off in another; numbers below
        # the smallest normal one have no relative precision.
        slack = 8 * torch.finfo(torch.float32).eps * size + torch.finfo(torch.float32).tiny
        assert (mine_error <= 2 * error + slack).all()


@pytest.mark.parametrize(
    "shape", [(7, 64), (3, 5, 19), (1, 1), (2, 3), (40, 1000), (1, 257), (4000, 16)], ids=str
)
@pytest.mark.parametrize("make", [numbers, hard])
def test_a_norm_and_its_gradients_are_those_of_float64(shape, make):
    require_close(NORM, make(*shape), 1 + numbers(shape[-1], seed=1))


@pytest.mark.parametrize("shape", [(7, 64), (3, 5, 19), (1, 1), (4099,), (0, 8)], ids=str)
@pytest.mark.parametrize("spread", [1.0, 30.0, 1e-10])
def test_a_gate_and_its_gradients_are_those_of_float64(shape, spread):
    if shape[0]:
        require_close(GATE, spread * numbers(*shape), numbers(*shape, seed=1), by_row=False)
    assert rows.gated(numbers(*shape), numbers(*shape)).shape == shape


@pytest.mark.parametrize("way", ["transposed", "every second", "broadcast", "rows apart"])
def test_any_layout_gives_the_same(way):
    wanted = numbers(3, 8, 96)
    if way == "broadcast":
        wanted = wanted[:1].expand(3, -1, -1)
    x = {
        "transposed": lambda: wanted.transpose(0, 2).contiguous().transpose(0, 2),
        "every second": lambda: torch.stack([wanted, -wanted], -1).flatten(-2)[..., ::2],
        "broadcast": lambda: wanted,
        "rows apart": lambda: torch.cat([wanted, -wanted], -1)[..., :96],
    }[way]()
    tight, weight = wanted.contiguous(), numbers(96)
    for one, inputs, same in (
        (norm, [x, weight], [tight, weight]),
        (rows.gated, [x, 2 * x], [tight, 2 * tight]),
    ):
        pairs = zip(everything(one, inputs), everything(one, same), strict=True)
        assert all(torch.equal(found, expected) for found, expected in pairs)


def test_bits_do_not_depend_on_the_run_or_on_threads():
    x, weight = numbers(8, 700, 96), numbers(96, seed=1)
    work = ((norm, [x, weight]), (rows.gated, [x, 2 * x]))
    results = []
    for threads in (1, 2, 5, 5):
        torch.set_num_threads(threads)
        results.append([each for way, inputs in work for each in everything(way, inputs)])
    torch.set_num_threads(1)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_every_number_of_an_output_is_written_and_no_input(monkeypatch):
    x, weight = numbers(3, 8, 96), numbers(96, seed=1)
    work = ((norm, [x, weight]), (rows.gated, [x, 2 * x]))
    before, expected = x.clone(), [everything(*each) for each in work]
    real = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **named: real(*a, **named).fill_(torch.nan))
    for each, wanted in zip(work, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(everything(*each), wanted, strict=True))
    assert torch.equal(before, x)


def test_a_weight_sums_many_rows_in_double_precision():
    x, g = torch.ones(200_000, 3), torch.full((200_000, 3), 0.1)
    x[:, 1] = -1.0
    _, _, of_weight = everything(norm, [x, torch.ones(3)], g)
    exact = 200_000 * float(torch.tensor(0.1)) / (1 + EPSILON) ** 0.5
    torch.testing.assert_close(of_weight, exact * torch.tensor([1.0, -1.0, 1.0]), rtol=3e-7, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_precisions_are_plain_pytorch(dtype):
    x, weight = numbers(3, 8, 48).to(dtype), numbers(48).to(dtype)
    assert torch.equal(norm(x, weight), plain_norm(x, weight))
    assert torch.equal(rows.gated(x, x), reference.reference_gated(x, x))


def test_the_yardsticks_gradients_are_slopes():
    x, weight = numbers(2, 8, 24).double(), numbers(24).double()
    for way, inputs in ((plain_norm, [x, weight]), (reference.reference_gated, [x, 2 * x])):
        assert torch.autograd.gradcheck(way, [each.requires_grad_() for each in inputs])
