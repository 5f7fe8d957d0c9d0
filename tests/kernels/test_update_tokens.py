"""What tokens become once they have read: against plain PyTorch in float64."""

import pytest
import torch

from omnimouse_cli.kernels import products
from omnimouse_cli.kernels.products import UpdateWeights, reference

EPSILON = 1e-5


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def inputs_of(width, units, heads=2, *, with_bias, size=(3, 8)):
    """Tokens, what they read, and the weights of their update."""
    items, tokens = size
    inputs = [
        numbers(items, tokens, width),
        numbers(items, heads, tokens, width // heads, seed=1),
        numbers(width, width, seed=2) / width**0.5,
        1 + 0.1 * numbers(width, seed=3),
        *(numbers(units, width, seed=seed) / width**0.5 for seed in (4, 5)),
        numbers(width, units, seed=6) / units**0.5,
    ]
    return inputs + [numbers(width, seed=7)] * with_bias


def run_of(way):
    def run(x, read, *weights):
        out, *others = weights[:5]
        bias = weights[5] if len(weights) > 5 else None
        return way(x, read, UpdateWeights(out, bias, *others, EPSILON))

    return run


WAYS = tuple(run_of(way) for way in (products.update_tokens, reference.reference_update_tokens))


@pytest.mark.parametrize("size", [(1, 1), (3, 8), (40, 32), (2, 700)], ids=str)
@pytest.mark.parametrize(("width", "units"), [(2, 1), (6, 5), (16, 48), (64, 192), (80, 224)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_an_update_and_its_gradients_are_those_of_float64(
    size, width, units, with_bias, require_close
):
    require_close(WAYS, inputs_of(width, units, with_bias=with_bias, size=size))


def test_updates_of_tokens_of_all_sizes_are_those_of_float64(require_close):
    x, *others = inputs_of(24, 40, with_bias=True)
    sizes = torch.tensor([1.0, 1e-20, 1e-3, 1e4, 1e15, 0.0]).repeat(4).view(3, 8, 1)
    require_close(WAYS, [x * sizes, *others])


def test_an_update_adds_what_is_read_and_then_what_a_gate_makes_of_it():
    """By hand, of one number: 1 reads 2, and 3 normed is 1."""
    one = torch.ones(1, 1)
    weights = UpdateWeights(one, one[0], one[0], 2 * one, 5 * one, one, 0.0)
    found = products.update_tokens(one[None], torch.full((1, 1, 1, 1), 2.0), weights)
    silu = 2 / (1 + torch.exp(torch.tensor(-2.0)))
    torch.testing.assert_close(found.flatten(), 4 + 5 * silu.reshape(1))


@pytest.mark.parametrize("way", ["transposed", "every second", "broadcast"])
def test_any_layout_gives_the_same(way, everything):
    def strange_and_tight(wanted):
        if way == "broadcast":
            return wanted[:1].expand_as(wanted), wanted[:1].repeat(3, *[1] * (wanted.dim() - 1))
        if way == "transposed":
            return wanted.transpose(0, -1).contiguous().transpose(0, -1), wanted
        return torch.stack([wanted, -wanted], -1).flatten(-2)[..., ::2], wanted

    x, read, *weights = inputs_of(24, 40, with_bias=True)
    strange, tight = zip(*(strange_and_tight(each) for each in (x, read)), strict=True)
    found, expected = (everything(WAYS[0], [*each, *weights]) for each in (strange, tight))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_gradients_of_any_layout_give_the_same(everything):
    inputs, g = inputs_of(24, 40, with_bias=True), numbers(3, 8, 24, seed=9)
    for strange, tight in (
        (g.transpose(0, 2).contiguous().transpose(0, 2), g),
        (torch.ones(()).expand(3, 8, 24), torch.ones(3, 8, 24)),
    ):
        found, expected = (everything(WAYS[0], inputs, each) for each in (strange, tight))
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_bits_do_not_depend_on_the_run_or_on_threads_or_on_what_is_kept(everything):
    inputs, results = inputs_of(64, 192, with_bias=True, size=(9, 700)), []
    for threads in (1, 2, 5, 5):
        torch.set_num_threads(threads)
        results.append(everything(WAYS[0], inputs))
        with torch.no_grad():
            assert torch.equal(WAYS[0](*inputs), results[-1][0])
    torch.set_num_threads(1)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_every_number_of_an_output_is_written_and_no_input(everything, monkeypatch):
    inputs = inputs_of(24, 40, with_bias=True)
    before, expected = [each.clone() for each in inputs], everything(WAYS[0], inputs)
    real = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **named: real(*a, **named).fill_(torch.nan))
    found = everything(WAYS[0], inputs)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True))


def test_nothing_is_kept_without_a_gradient(monkeypatch):
    inputs, sizes, real = inputs_of(24, 40, with_bias=False), [], torch.empty
    monkeypatch.setattr(
        torch, "empty", lambda *a, **named: sizes.append(real(*a, **named)) or sizes[-1]
    )
    WAYS[0](*inputs)
    assert sum(each.numel() for each in sizes) == 3 * 8 * 24


def test_no_tokens_give_none_and_no_gradient_of_weights(everything):
    inputs = inputs_of(24, 40, with_bias=True, size=(0, 8))
    out, dx, dread, *of_weights = everything(WAYS[0], inputs)
    assert [out.numel(), dx.numel(), dread.numel()] == [0, 0, 0]
    assert not any(bool(each.any()) for each in of_weights)


def test_other_precisions_and_autocast_are_plain_pytorch():
    ours, plain = WAYS
    inputs = inputs_of(24, 40, with_bias=True)
    for dtype in (torch.float64, torch.bfloat16):
        others = [each.to(dtype) for each in inputs]
        assert torch.equal(ours(*others), plain(*others))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours(*inputs), plain(*inputs))


def test_wide_updates_are_plain_pytorch():
    inputs = inputs_of(136, 8, with_bias=False)
    assert torch.equal(WAYS[0](*inputs), WAYS[1](*inputs))


def test_the_yardsticks_gradients_are_slopes():
    inputs = [each.double().requires_grad_() for each in inputs_of(6, 5, with_bias=True)]
    assert torch.autograd.gradcheck(WAYS[1], inputs)
