"""The inner network in chunks agrees with torch's own layers, forward and every gradient."""

import pytest
import torch
from torch import nn

from omnimouse_cli.dendrites.images import network
from omnimouse_cli.dendrites.images.network import (
    apply_inner_network,
    apply_inner_reference,
    init_inner_weights,
)


@pytest.mark.parametrize("arity", [1, 2])
@pytest.mark.parametrize("hidden", [(5,), (7, 3)])
def test_chunks_agree_with_independent_layers(monkeypatch, generators, arity, hidden):
    monkeypatch.setattr(network, "CHUNK_ROWS", 4)
    weights = [w.double() for w in init_inner_weights((arity, *hidden, 1), generators)]
    weights = [(w + 0.1 * torch.randn_like(w)).requires_grad_() for w in weights]
    x = torch.randn(3, 11, arity, dtype=torch.float64, requires_grad=True)
    outgoing = torch.randn(11, 3, dtype=torch.float64).T
    y = apply_inner_network(x, weights)
    gradients = torch.autograd.grad(y, [x, *weights], outgoing)
    assert torch.allclose(y, apply_inner_reference(x, weights), atol=1e-12)
    for seed in range(3):
        layers = []
        for place in range(0, len(weights), 2):
            layer = nn.Linear(*weights[place].shape[1:], dtype=torch.float64)
            layer.weight.data = weights[place][seed].detach().T.clone()
            layer.bias.data = weights[place + 1][seed].detach().clone()
            layers += [layer, nn.ReLU()]
        net = nn.Sequential(*layers[:-1])
        own = x[seed].detach().requires_grad_()
        expected = net(own)[:, 0]
        assert torch.allclose(y[seed], expected, atol=1e-12)
        parameters = [p for layer in layers[::2] for p in (layer.weight, layer.bias)]
        wanted = torch.autograd.grad(expected, [own, *parameters], outgoing[seed])
        for place, (ours, theirs) in enumerate(zip(gradients, wanted, strict=True)):
            is_weight = place % 2
            assert torch.allclose(ours[seed], theirs.T if is_weight else theirs, atol=1e-12)


def test_a_frozen_network_passes_gradients_to_its_arguments(generators):
    weights = init_inner_weights((2, 4, 1), generators)
    x = torch.randn(3, 5, 2, requires_grad=True)
    apply_inner_network(x, weights).sum().backward()
    again = x.detach().requires_grad_()
    apply_inner_reference(again, weights).sum().backward()
    assert torch.allclose(x.grad, again.grad, atol=1e-6)
    assert all(weight.grad is None for weight in weights)


def test_a_seed_draws_the_same_weights_whoever_is_beside_it():
    def drawn(*seeds):
        return init_inner_weights(
            (2, 4, 1), [torch.Generator().manual_seed(seed) for seed in seeds]
        )

    assert torch.equal(drawn(7, 8)[0][1], drawn(8)[0][0])
