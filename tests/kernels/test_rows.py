"""Norms, gates, heads and pooling in one pass: against plain PyTorch in float64."""

import pytest
import torch

from omnimouse_cli.kernels import rows
from omnimouse_cli.kernels.rows import HeadShape, native, reference

EPSILON = 1e-5
SELF, QUERY, KEY_VALUE = (HeadShape(*parts, 2) for parts in ((3, 2), (1, 1), (2, 1)))
NEIGHBOURS, APART = (HeadShape(3, 2, 2, 4, each) for each in (True, False))


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def hard(*shape):
    """Rows of all sizes, some of them zero, and one of a single number."""
    x = numbers(*shape).reshape(-1, shape[-1])
    sizes = torch.tensor([1.0, 1e-20, 1e-3, 1e4, 1e15, 0.0])
    x *= sizes[torch.arange(len(x)) % len(sizes), None]
    x[-1, 1:] = 0.0
    return x.view(shape)


def turns(tokens, pairs):
    angle = 3 * numbers(tokens, pairs, seed=5)
    return angle.cos(), angle.sin()


def norm(x, weight):
    return rows.rms_norm(x, weight, EPSILON)


def plain_norm(x, weight):
    return reference.reference_norm(x, weight, EPSILON)


def largest(x):
    return rows.largest_of(x, 1)


def plain_largest(x):
    return reference.reference_largest(x, 1)


def heads(shape, angles=None):
    """Cut into heads, as one tensor; the yardstick turns in the precision of its input."""

    def ours(x):
        return torch.cat([part.flatten() for part in rows.split_heads(x, shape, angles)])

    def plain(x):
        turned = None if angles is None else tuple(each.to(x.dtype) for each in angles)
        parts = reference.reference_heads(x, shape, turned)
        return torch.cat([part.flatten() for part in parts])

    return ours, plain


NORM, GATE, POOL = (norm, plain_norm), (rows.gated, reference.reference_gated), (
    largest,
    plain_largest,
)  # fmt: skip


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


@pytest.mark.parametrize("shape", [(5, 4, 48), (3, 4, 2, 19), (1, 1, 3), (2, 9, 1)], ids=str)
def test_the_largest_and_its_gradient_are_those_of_float64(shape):
    require_close(POOL, numbers(*shape))
    # Whole numbers have ties, which share a gradient as those of `amax` do.
    tied = numbers(*shape).round()
    for found, expected in zip(everything(largest, [tied]), everything(plain_largest, [tied]),
                               strict=True):  # fmt: skip
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("width", [2, 6, 16, 20, 32])
@pytest.mark.parametrize("shape", [SELF, QUERY, KEY_VALUE, NEIGHBOURS, APART], ids=str)
@pytest.mark.parametrize("make", [numbers, hard])
def test_heads_and_their_gradient_are_those_of_float64(shape, width, make):
    x = make(3, 8, shape.parts * shape.num_heads * width)
    require_close(heads(shape), x)
    if shape.pooled == 1:
        require_close(heads(shape, turns(8, width // 2)), x)
        require_close(heads(shape, turns(1, width // 2)), x[:, :1])


def test_a_head_of_odd_width_is_normed_and_cannot_be_turned():
    require_close(heads(SELF), numbers(2, 3, 3 * 2 * 5))
    with pytest.raises(ValueError, match="heads of even width"):
        rows.split_heads(numbers(2, 3, 30), SELF, turns(3, 2))


def test_gradients_that_tie_are_shared_between_queries_of_a_head():
    x = numbers(3, 8, 48).round()
    found, expected = (everything(way, [x]) for way in heads(APART))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("way", ["transposed", "every second", "broadcast", "rows apart"])
def test_any_layout_gives_the_same(way):
    wanted, angles = numbers(3, 8, 96), turns(8, 8)
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
        (largest, [x], [tight]),
        (heads(SELF, angles)[0], [x], [tight]),
    ):
        pairs = zip(everything(one, inputs), everything(one, same), strict=True)
        assert all(torch.equal(found, expected) for found, expected in pairs)


def test_gradients_of_any_layout_give_the_same():
    x, angles = numbers(2, 6, 48), turns(6, 4)
    projection = x.requires_grad_()
    parts = rows.split_heads(projection, SELF, angles)
    tight = [numbers(*part.shape, seed=place) for place, part in enumerate(parts)]
    (expected,) = torch.autograd.grad(parts, x, tight, retain_graph=True)
    tokens_first = [g.transpose(1, 2).contiguous().transpose(1, 2) for g in tight]
    inside = [g.transpose(2, 3).contiguous().transpose(2, 3) for g in tight]
    for gradients in (tokens_first, inside):
        (found,) = torch.autograd.grad(parts, x, gradients, retain_graph=True)
        assert torch.equal(found, expected)
    # A sum's gradient is one number everywhere, and who does not use a part sends none.
    (of_keys,) = torch.autograd.grad(parts[1].sum(), x, retain_graph=True)
    same = [torch.full_like(part, float(place == 1)) for place, part in enumerate(parts)]
    assert torch.equal(of_keys, torch.autograd.grad(parts, x, same)[0])


def test_bits_do_not_depend_on_the_run_or_on_threads(monkeypatch):
    monkeypatch.setattr(native, "NUMBERS_WORTH_THREADS", 0)
    x, weight, angles = numbers(8, 700, 96), numbers(96, seed=1), turns(700, 8)
    windows = x.view(-1, 28, 96)
    work = (
        (norm, [x, weight]),
        (rows.gated, [x, 2 * x]),
        (largest, [windows]),
        (heads(SELF, angles)[0], [x]),
        (heads(APART)[0], [windows]),
    )
    results = []
    for threads in (1, 2, 5, 5):
        torch.set_num_threads(threads)
        results.append([each for way, inputs in work for each in everything(way, inputs)])
    torch.set_num_threads(1)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_every_number_of_an_output_is_written_and_no_input(monkeypatch):
    x, weight, angles = numbers(3, 8, 96), numbers(96, seed=1), turns(8, 8)
    work = ((norm, [x, weight]), (rows.gated, [x, 2 * x]), (largest, [x]))
    work += tuple((heads(*shape)[0], [x]) for shape in ((SELF, angles), (NEIGHBOURS,)))
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
    assert torch.equal(largest(x), plain_largest(x))
    ours, plain = heads(SELF)
    assert ours(x).dtype == dtype
    assert torch.equal(ours(x), plain(x))


def test_the_yardsticks_gradients_are_slopes():
    x, weight = numbers(2, 8, 24).double(), numbers(24).double()
    work = [
        (plain_norm, [x, weight]),
        (reference.reference_gated, [x, 2 * x]),
        (plain_largest, [x]),
    ]
    work += [(heads(SELF, turns(8, 2))[1], [x]), (heads(APART)[1], [x])]
    for way, inputs in work:
        assert torch.autograd.gradcheck(way, [each.requires_grad_() for each in inputs])
