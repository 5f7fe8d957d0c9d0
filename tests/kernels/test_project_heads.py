"""The way into attention: against plain PyTorch in float64."""

import pytest
import torch

from omnimouse_cli.kernels import products
from omnimouse_cli.kernels.products import EntryWeights, HeadShape, reference

EPSILON = 1e-5
SELF, QUERY, KEY_VALUE = (HeadShape(*parts, 2) for parts in ((3, 2), (1, 1), (2, 1)))
NEIGHBOURS, APART = (HeadShape(3, 2, 2, 4, each) for each in (True, False))
SHAPES = (SELF, QUERY, KEY_VALUE, NEIGHBOURS, APART, HeadShape(1, 0, 1, 4))


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


def inputs_of(shape, width, head_width, *, with_bias, make=numbers, size=(3, 8)):
    columns = shape.parts * shape.num_heads * head_width
    inputs = [make(*size, width), 1 + 0.1 * numbers(width, seed=1), numbers(columns, width, seed=2)]
    return inputs + [numbers(columns, seed=3)] * with_bias


def run_of(way, shape, angles):
    def run(x, norm, weight, *bias):
        turned = None if angles is None else tuple(each.to(x.dtype) for each in angles)
        weights = EntryWeights(norm, weight, bias[0] if bias else None, EPSILON)
        return torch.cat([part.flatten() for part in way(x, weights, shape, turned)])

    return run


def ways(shape, angles=None):
    """Ours and the yardstick, parts as one tensor; angles in the precision of the input."""
    both = (products.project_heads, reference.reference_project_heads)
    return tuple(run_of(way, shape, angles) for way in both)


@pytest.mark.parametrize("head_width", [2, 6, 16, 20])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("make", [numbers, hard])
@pytest.mark.parametrize("with_bias", [False, True])
def test_parts_and_their_gradients_are_those_of_float64(
    shape, head_width, make, with_bias, require_close
):
    inputs = inputs_of(shape, 19, head_width, with_bias=with_bias, make=make)
    require_close(ways(shape), inputs)
    if shape.pooled == 1:
        require_close(ways(shape, turns(8, head_width // 2)), inputs)


@pytest.mark.parametrize("size", [(1, 1), (3, 8), (40, 32), (2, 700)], ids=str)
@pytest.mark.parametrize("width", [2, 3, 16, 64, 80])
def test_parts_of_every_size_are_those_of_float64(size, width, require_close):
    inputs = inputs_of(SELF, width, 32, with_bias=False, size=size)
    require_close(ways(SELF, turns(size[1], 16)), inputs)


def test_gradients_that_tie_are_shared_between_the_queries_of_a_head(everything):
    # Signs times one weight: equally large numbers stay equally large.
    inputs = [numbers(3, 8, 4).sign(), torch.ones(4), torch.ones(48, 4)]
    found, expected = (everything(way, inputs) for way in ways(APART))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-4)


def test_heads_of_odd_width_are_normed_and_cannot_be_turned(require_close):
    inputs = inputs_of(SELF, 8, 5, with_bias=False)
    require_close(ways(SELF), inputs)
    with pytest.raises(ValueError, match="heads of even width"):
        ways(SELF, turns(8, 2))[0](*inputs)


@pytest.mark.parametrize("way", ["transposed", "every second", "broadcast", "rows apart"])
def test_any_layout_gives_the_same(way, everything):
    x, *weights = inputs_of(SELF, 24, 6, with_bias=True)
    tight = x[:1].repeat(3, 1, 1) if way == "broadcast" else x
    strange = {
        "transposed": lambda: x.transpose(0, 2).contiguous().transpose(0, 2),
        "every second": lambda: torch.stack([x, -x], -1).flatten(-2)[..., ::2],
        "broadcast": lambda: x[:1].expand(3, -1, -1),
        "rows apart": lambda: torch.cat([x, -x], -1)[..., :24],
    }[way]()
    run = ways(SELF, turns(8, 3))[0]
    both = zip(
        everything(run, [strange, *weights]), everything(run, [tight, *weights]), strict=True
    )
    assert all(torch.equal(found, expected) for found, expected in both)


def test_gradients_of_any_layout_give_the_same():
    x, norm, weight = inputs_of(SELF, 24, 8, with_bias=False)
    leaf, weights = x.requires_grad_(), EntryWeights(norm, weight, None, EPSILON)
    parts = products.project_heads(leaf, weights, SELF, turns(8, 4))
    tight = [numbers(*part.shape, seed=place) for place, part in enumerate(parts)]
    (expected,) = torch.autograd.grad(parts, leaf, tight, retain_graph=True)
    tokens_first = [g.transpose(1, 2).contiguous().transpose(1, 2) for g in tight]
    inside = [g.transpose(2, 3).contiguous().transpose(2, 3) for g in tight]
    for gradients in (tokens_first, inside):
        (found,) = torch.autograd.grad(parts, leaf, gradients, retain_graph=True)
        assert torch.equal(found, expected)
    # A sum's gradient is one number everywhere, and who does not use a part sends none.
    (of_keys,) = torch.autograd.grad(parts[1].sum(), leaf, retain_graph=True)
    same = [torch.full_like(part, float(place == 1)) for place, part in enumerate(parts)]
    assert torch.equal(of_keys, torch.autograd.grad(parts, leaf, same)[0])


def test_bits_do_not_depend_on_the_run_or_on_threads_or_on_what_is_kept(everything):
    work = (
        (ways(SELF, turns(700, 16))[0], inputs_of(SELF, 64, 32, with_bias=False, size=(9, 700))),
        (ways(APART)[0], inputs_of(APART, 32, 16, with_bias=True, size=(190, 32))),
    )
    results = []
    for threads in (1, 2, 5, 5):
        torch.set_num_threads(threads)
        results.append([everything(*each) for each in work])
        with torch.no_grad():
            for (way, inputs), (out, *_) in zip(work, results[-1], strict=True):
                assert torch.equal(way(*inputs), out)
    torch.set_num_threads(1)
    for other in results[1:]:
        for found, expected in zip(other, results[0], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("shape", [SELF, NEIGHBOURS], ids=str)
def test_every_number_of_an_output_is_written_and_no_input(shape, everything, monkeypatch):
    run, inputs = ways(shape)[0], inputs_of(shape, 24, 6, with_bias=True)
    before, expected = [each.clone() for each in inputs], everything(run, inputs)
    real = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **named: real(*a, **named).fill_(torch.nan))
    found = everything(run, inputs)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True))


def test_the_projection_is_kept_for_a_gradient_only(monkeypatch):
    inputs, sizes, real = inputs_of(SELF, 24, 6, with_bias=False), [], torch.empty
    monkeypatch.setattr(
        torch, "empty", lambda *a, **named: sizes.append(real(*a, **named)) or sizes[-1]
    )
    ways(SELF)[0](*inputs)
    assert sum(each.numel() for each in sizes) == 3 * 8 * 36
    sizes.clear()
    ways(SELF)[0](*(each.requires_grad_() for each in inputs))
    assert sum(each.numel() for each in sizes) == 2 * 3 * 8 * 36


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_precisions_are_plain_pytorch(dtype):
    inputs = [x.to(dtype) for x in inputs_of(SELF, 24, 6, with_bias=True)]
    ours, plain = ways(SELF)
    assert ours(*inputs).dtype == dtype
    assert torch.equal(ours(*inputs), plain(*inputs))


def test_wide_ways_into_attention_are_plain_pytorch():
    ours, plain = ways(SELF)
    inputs = inputs_of(SELF, 264, 6, with_bias=False)
    assert torch.equal(ours(*inputs), plain(*inputs))


def test_the_yardsticks_gradients_are_slopes():
    for way, inputs in (
        (ways(SELF, turns(8, 2))[1], inputs_of(SELF, 6, 4, with_bias=True)),
        (ways(APART)[1], inputs_of(APART, 6, 4, with_bias=False)),
    ):
        assert torch.autograd.gradcheck(way, [each.double().requires_grad_() for each in inputs])
