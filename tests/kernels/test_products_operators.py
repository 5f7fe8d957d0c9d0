"""Operators of products and of attention's keys: what torch checks of them, what they refuse."""

import numpy as np
import pytest
import torch

from omnimouse_cli import _native
from omnimouse_cli.kernels import products
from omnimouse_cli.kernels.attention.keys import gathered
from omnimouse_cli.kernels.products import EntryWeights, HeadShape, UpdateWeights

EPSILON = 1e-5
CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor")
SELF = HeadShape(3, 2, 2)


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weights_of_update(width, units):
    hidden = (units, width)
    sizes = ((width, width), (width,), (width,), hidden, hidden, (width, units))
    return [numbers(*size, seed=seed) for seed, size in enumerate(sizes)]


def test_torch_finds_nothing_wrong_with_the_operators():
    operators, leaf = torch.ops.omnimouse, numbers(4, 6, 8).requires_grad_()
    weights, angles = [numbers(8), numbers(24, 8), numbers(24)], [numbers(6, 2), numbers(6, 2)]
    options = (SELF.numbers, [EPSILON, EPSILON])
    pooled = (HeadShape(3, 2, 2, 2).numbers, [EPSILON, EPSILON])
    *parts, projection = operators.linear_heads(leaf.detach(), weights, angles, *options, True)
    read, of_update = numbers(4, 2, 6, 4), weights_of_update(8, 10)
    _, *kept = operators.linear_update(leaf.detach(), read, of_update, EPSILON, True)
    heads, keys, counts = numbers(2, 2, 5, 3).requires_grad_(), torch.tensor([4, 0, 4]), [1, 2]
    gs = operators.attention_keys(heads.detach(), keys, counts)
    for operator, inputs in (
        (operators.linear_heads, (leaf, weights, angles, *options, True)),
        (operators.linear_heads, (leaf, [*weights[:2], numbers(0)], [], *pooled, True)),
        (operators.linear_heads_backward, (parts, leaf, projection, weights, angles, *options)),
        (operators.linear_update, (leaf, read.requires_grad_(), of_update, EPSILON, True)),
        (operators.linear_update_backward, (leaf, read, kept, of_update, EPSILON)),
        (operators.attention_keys, (heads, keys, counts)),
        (operators.attention_keys_backward, (gs, keys, counts, [2, 2, 5, 3])),
    ):
        torch.library.opcheck(operator.default, inputs, test_utils=CHECKS)


def test_a_compiled_block_stays_whole(everything):
    angles = (numbers(6, 2), numbers(6, 2))

    def block(x, norm, weight, *of_update):
        entry = EntryWeights(norm, weight, None, EPSILON)
        q, k, v = products.project_heads(x, entry, SELF, angles)
        read = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        return products.update_tokens(x, read, UpdateWeights(*of_update, EPSILON))

    compiled = torch.compile(block, fullgraph=True, backend="aot_eager", dynamic=True)
    inputs = [numbers(4, 6, 8), numbers(8), numbers(24, 8), *weights_of_update(8, 10)]
    for x, y in zip(everything(compiled, inputs), everything(block, inputs), strict=True):
        torch.testing.assert_close(x, y)


@pytest.mark.parametrize("way", ["as it is", "tokens first", "inside out"])
def test_gathered_keys_and_their_gradients_are_those_of_indexing(way, everything):
    keys, counts = torch.tensor([6, 0, 6, 3, 3, 1]), [4, 0, 2]
    x = {
        "as it is": lambda x: x,
        "tokens first": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
        "inside out": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    }[way](numbers(3, 2, 7, 5))

    def ours(x):
        return torch.cat(gathered(x, keys, counts), dim=2)

    def plain(x):
        return x[:, :, keys]

    for found, expected in zip(everything(ours, [x]), everything(plain, [x]), strict=True):
        torch.testing.assert_close(found, expected)
    assert torch.equal(ours(x.double()), plain(x.double()))


def into_attention(**changed):
    weights = (numbers(8), numbers(24, 8), numbers(24))
    given = {
        "x": numbers(6, 8).numpy(),
        "weights": tuple(each.numpy() for each in weights),
        "angles": None,
        "projection": None,
        "outs": [numbers(2, 4, 3, 6).numpy()],
        "shape": (3, 1, 1, 4, 6),
        "pooling": (1, False),
        "epsilons": (EPSILON, EPSILON),
        "threads": 1,
    }
    _native.entry_forward(**given | changed)


def test_a_way_into_attention_that_does_not_fit_is_refused():
    x, out = numbers(6, 8).numpy(), numbers(2, 4, 3, 6).numpy()
    norm, weight, bias = (numbers(*size).numpy() for size in ((8,), (24, 8), (24,)))
    into_attention()
    for wrong, message in [
        ({"shape": (4, 1, 1, 4, 6)}, "6 rows cannot be shared by items of 4 tokens"),
        ({"shape": (0, 1, 1, 4, 6)}, "items of 0 tokens"),
        ({"shape": (3, 1, 1, 4, 5)}, "`weight` must have 160 numbers: 192"),
        ({"shape": (3, 2, 1, 2, 6)}, "`outs` must have 2 numbers: 1"),
        ({"pooling": (2, False)}, "2 of 3 tokens cannot be a query"),
        ({"outs": [out[:1]]}, "`outs` must have 144 numbers: 72"),
        ({"angles": (x[:3, :2], x[:3, :2])}, "angles must have shape"),
        ({"projection": x}, "`projection` must have 144 numbers: 48"),
        ({"weights": (norm[:7], weight, bias)}, "`norm` must have 8 numbers: 7"),
        ({"weights": (norm, weight, bias[:7])}, "`bias` must have 24 numbers: 7"),
    ]:
        with pytest.raises(ValueError, match=message):
            into_attention(**wrong)


def test_updates_that_do_not_fit_are_refused():
    x, read = numbers(6, 8).numpy(), numbers(2, 2, 3, 4).numpy()
    weights = tuple(each.numpy() for each in weights_of_update(8, 10))

    def update(read, weights, kept=None):
        _native.update_forward(x, read, weights, kept, x.copy(), epsilon=EPSILON, threads=1)

    update(read, weights)
    for given, message in (
        ((read[:1], weights), "`read` must have 6 numbers: 3"),
        ((read, (*weights[:-1], weights[0])), "`down` must have 80 numbers: 64"),
        ((read, weights, (x.copy(), x.copy(), x.copy())), "`first` must have 60 numbers: 48"),
    ):
        with pytest.raises(ValueError, match=message):
            update(*given)


def test_keys_that_do_not_fit_are_refused():
    x, keys, out = numbers(2, 2, 3, 4).numpy(), np.array([2, 3]), np.empty((2, 2, 2, 4), np.float32)
    for counts, message in (([3], "`keys` must have 3 numbers: 2"), ([2], "numbers of 3 keys")):
        with pytest.raises(ValueError, match=message):
            _native.keys_forward(x, keys, counts, [out], threads=1)
    with pytest.raises(ValueError, match="`gs` must have shape"):
        _native.keys_backward([x], keys - 2, [2], out, shape=(2, 2, 2, 4), threads=1)
