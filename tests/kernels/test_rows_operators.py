"""The operators of the work on rows: what torch checks of them, and what they refuse."""

import pytest
import torch

from omnimouse_cli import _native
from omnimouse_cli.kernels import rows

EPSILON = 1e-5
CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor")


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def everything(way, inputs):
    """Output and every gradient."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    out = way(*leaves)
    return [out.detach(), *torch.autograd.grad(out, leaves, numbers(*out.shape, seed=9))]


def test_torch_finds_nothing_wrong_with_the_operators():
    x, weight = numbers(4, 6, 24), numbers(24)
    operators = torch.ops.omnimouse
    leaf, other = x.clone().requires_grad_(), (2 * x).requires_grad_()
    for operator, inputs in (
        (operators.rms_norm, (leaf, weight.clone().requires_grad_(), EPSILON)),
        (operators.rms_norm_backward, (x, x, weight, EPSILON)),
        (operators.gate, (leaf, other)),
        (operators.gate_backward, (x, x, x)),
    ):
        torch.library.opcheck(operator.default, inputs, test_utils=CHECKS)


def test_a_compiled_graph_stays_whole():
    def layer(x, weight):
        normed = rows.rms_norm(x, weight, EPSILON)
        return rows.gated(normed, x)

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    inputs = [numbers(4, 6, 24), numbers(24)]
    for x, y in zip(everything(compiled, inputs), everything(layer, inputs), strict=True):
        torch.testing.assert_close(x, y)


def test_what_does_not_fit_is_refused():
    x, out = (numbers(6, 24).numpy() for _ in range(2))
    with pytest.raises(ValueError, match="`weight` must have 24 numbers: 23"):
        _native.norm_forward(x, x[0, :23].copy(), out, epsilon=1e-5, threads=1)
    with pytest.raises(ValueError, match="one shape"):
        _native.gate_forward(x, x[:5], out, threads=1)
