"""The operators of the work on rows: what torch checks of them, and what they refuse."""

import pytest
import torch

from omnimouse_cli import _native
from omnimouse_cli.kernels import rows
from omnimouse_cli.kernels.rows import HeadShape

EPSILON = 1e-5
CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor")
SELF = HeadShape(3, 2, 2)


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def turns(tokens, pairs):
    angle = 3 * numbers(tokens, pairs, seed=5)
    return angle.cos(), angle.sin()


def everything(way, inputs):
    """Output and every gradient."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    out = way(*leaves)
    return [out.detach(), *torch.autograd.grad(out, leaves, numbers(*out.shape, seed=9))]


def test_torch_finds_nothing_wrong_with_the_operators():
    x, weight = numbers(4, 6, 24), numbers(24)
    operators, angles = torch.ops.omnimouse, list(turns(6, 2))
    leaf, other = x.clone().requires_grad_(), (2 * x).requires_grad_()
    parts = [part.detach() for part in rows.split_heads(x, SELF, tuple(angles))]
    for operator, inputs in (
        (operators.rms_norm, (leaf, weight.clone().requires_grad_(), EPSILON)),
        (operators.rms_norm_backward, (x, x, weight, EPSILON)),
        (operators.gate, (leaf, other)),
        (operators.gate_backward, (x, x, x)),
        (operators.largest_row, (leaf,)),
        (operators.largest_row_backward, (x[:, 0], x)),
        (operators.split_heads, (leaf, angles, SELF.numbers, EPSILON)),
        (operators.split_heads, (leaf, [], HeadShape(3, 2, 2, 2).numbers, EPSILON)),
        (operators.split_heads_backward, (parts, x, angles, SELF.numbers, EPSILON)),
    ):
        torch.library.opcheck(operator.default, inputs, test_utils=CHECKS)


def test_a_compiled_graph_stays_whole():
    def layer(x, weight):
        q, k, v = rows.split_heads(rows.rms_norm(x, weight, EPSILON), SELF, turned)
        return rows.gated(q + k, v).sum(2) + rows.largest_of(x, 1)[:, None, :4]

    turned = turns(6, 2)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    inputs = [numbers(4, 6, 24), numbers(24)]
    for x, y in zip(everything(compiled, inputs), everything(layer, inputs), strict=True):
        torch.testing.assert_close(x, y)


def test_what_does_not_fit_is_refused():
    x, out = (numbers(6, 24).numpy() for _ in range(2))

    def run(projection=x, outs=(out,), **changed):
        options = {"shape": (3, 1, 1, 4, 6), "pooling": (1, False)} | changed
        angles = options.pop("angles", None)
        _native.heads_forward(projection, angles, list(outs), epsilon=1e-5, threads=1, **options)

    run()
    for wrong, message in [
        ({"shape": (4, 1, 1, 4, 6)}, "6 rows cannot be shared by items of 4 tokens"),
        ({"shape": (0, 1, 1, 4, 6)}, "items of 0 tokens"),
        ({"shape": (3, 1, 1, 4, 5)}, "`projection` must have 20 numbers: 24"),
        ({"shape": (3, 2, 1, 2, 6)}, "`outs` must have 2 numbers: 1"),
        ({"pooling": (2, False)}, "2 of 3 tokens cannot be a query"),
        ({"outs": (out[:3],)}, "`outs` must have 144 numbers: 72"),
        ({"angles": (x[:3, :2], x[:3, :2])}, "angles must have shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            run(**wrong)
    with pytest.raises(ValueError, match="`weight` must have 24 numbers: 23"):
        _native.norm_forward(x, x[0, :23].copy(), out, epsilon=1e-5, threads=1)
    with pytest.raises(ValueError, match="one shape"):
        _native.gate_forward(x, x[:5], out, threads=1)
    with pytest.raises(ValueError, match="`x` must have 20 numbers: 24"):
        _native.pool_forward(x, out, rows=4, columns=5, threads=1)
    gs = [numbers(2, 4, 3, 5).numpy()]
    with pytest.raises(ValueError, match="`gs` must have shape"):
        _native.heads_backward(gs, x, None, out, shape=(3, 1, 1, 4, 6), pooling=(1, False),
                               epsilon=1e-5, threads=1)  # fmt: skip
