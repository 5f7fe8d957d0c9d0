"""Networks of several seeds are what torch's plain layers give for each seed alone."""

import pytest
import torch
from torch.nn import functional

from omnimouse_cli.dendrites.images.architecture import ACTIVATIONS, build_architecture
from omnimouse_cli.dendrites.images.network import (
    apply_inner_reference,
    compute_logits,
    get_inner_weights,
    init_inner_weights,
    init_outer_weights,
    name_inner_weights,
)
from omnimouse_cli.dendrites.images.training import StackedAdamW


def build(network, activation, generators):
    widths = (3, 4, 5) if network == "cnn" else (6, 5)
    architecture = build_architecture(
        network, ACTIVATIONS[activation], widths, image=(1, 8, 8), num_classes=4, inner=(5, 3)
    )
    return architecture, init_outer_weights(architecture, generators) | name_inner_weights(
        init_inner_weights(architecture.inner_sizes, generators)
    )


def apply_activation(architecture, weights, own, x, arguments):
    first, second = arguments
    if architecture.activation.learned:
        arguments = torch.stack([first, second][: architecture.activation.arity], dim=-1)
        flat = apply_inner_reference(
            arguments.reshape(1, -1, architecture.activation.arity), weights
        )
        return flat.view(first.shape)
    return {
        "relu": lambda: functional.relu(first),
        "relu-unnormalised": lambda: functional.relu(first),
        "swiglu": lambda: functional.silu(first) * second,
        "maxout": lambda: torch.maximum(first, second),
        "singlu": lambda: torch.sin(first) * second,
        "polyglu": lambda: mix_with_torch(own, x, first) * second,
        "xielu": lambda: torch.where(
            first > 0,
            functional.softplus(own["alpha"][0]) * first**2 + first / 2,
            (0.5 + functional.softplus(own["alpha"][1])) * (first.exp() - 1 - first) + first / 2,
        ),
    }[architecture.activation.name]()


def mix_with_torch(own, x, first):
    """A mixture per image and unit; the units of a dense layer see the flattened map."""
    is_dense = first.ndim == 2
    summary = x.flatten(1) if is_dense else x.mean(dim=(2, 3))
    route = functional.linear(summary, own["route.weight"], own["route.bias"])
    shares = (own["preference"].view(-1, 4) + route[:, None]).softmax(dim=2)
    if not is_dense:
        shares = shares[:, :, None, None]
    values = [first.relu(), first.tanh(), functional.silu(first), functional.gelu(first)]
    return (shares * torch.stack(values, dim=-1)).sum(dim=-1)


def compute_with_torch(architecture, weights, pixels):
    """One seed with torch's layers: units take neighbouring channels of one pixel."""
    x = pixels * 2 - 1
    arity = architecture.activation.arity
    inner = [weight[None] for weight in get_inner_weights(weights)]
    for number, layer in enumerate(architecture.layers):
        weight, bias = weights[f"layer{number}.weight"], weights[f"layer{number}.bias"]
        if layer.kind == "conv":
            p = functional.conv2d(x, weight, bias)
        else:
            p = functional.linear(x.flatten(1), weight, bias)
        if architecture.activation.normalized:
            axes = tuple(range(1, p.ndim))
            spread = p.var(dim=axes, keepdim=True, unbiased=False)
            p = (p - p.mean(dim=axes, keepdim=True)) / (spread + 1e-5).sqrt()
        own = {
            name: weights[f"layer{number}.{name}"]
            for name in layer.list_own_shapes(architecture.activation)
        }
        x = apply_activation(
            architecture, inner, own, x, (p[:, 0::arity], p[:, arity - 1 :: arity])
        )
        if layer.pool:
            x = functional.max_pool2d(x, 2)
    return functional.linear(x.flatten(1), weights["classifier.weight"], weights["classifier.bias"])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_all_seeds_at_once_are_each_seed_alone(network, activation, generators):
    architecture, weights = build(network, activation, generators)
    # Parameters that start from 0 are no test there.
    weights = {name: weight + 0.1 * torch.randn_like(weight) for name, weight in weights.items()}
    pixels = torch.rand(3, 7, 1, 8, 8)
    logits = compute_logits(architecture, weights, pixels)
    for seed in range(3):
        alone = {name: weight[seed] for name, weight in weights.items()}
        assert torch.allclose(
            logits[seed], compute_with_torch(architecture, alone, pixels[seed]), atol=1e-5
        )


def test_normalized_arguments_have_mean_0_and_variance_1_per_image(generators):
    architecture, weights = build("cnn", "dendritic", generators)
    seen = {}
    compute_logits(
        architecture,
        weights,
        torch.rand(3, 7, 1, 8, 8),
        observer=lambda layer, x: seen.update({layer: x}),
    )
    first = seen[0].view(3, 7, -1)
    assert torch.allclose(first.mean(dim=2), torch.zeros(3, 7), atol=1e-5)
    assert torch.allclose(first.var(dim=2, unbiased=False), torch.ones(3, 7), atol=1e-2)
    assert sorted(seen) == [0, 1, 2]


def test_one_optimizer_for_all_seeds_is_one_per_seed():
    generator = torch.Generator().manual_seed(0)
    start = {
        "weight": torch.randn(2, 3, 4, generator=generator),
        "bias": torch.randn(2, 3, generator=generator),
    }
    rates, decays = torch.tensor([1e-2, 3e-3]), torch.tensor([0.1, 0.0])
    ours = {name: value.clone() for name, value in start.items()}
    optimizer = StackedAdamW(ours, rates, decays)
    gradients = [
        tuple(torch.randn(value.shape, generator=generator) for value in start.values())
        for _ in range(5)
    ]
    for some in gradients:
        optimizer.step(some)
    for seed in range(2):
        theirs = [torch.nn.Parameter(value[seed].clone()) for value in start.values()]
        reference = torch.optim.AdamW(
            [
                {"params": theirs[:1], "weight_decay": float(decays[seed])},
                {"params": theirs[1:], "weight_decay": 0.0},
            ],
            lr=float(rates[seed]),
        )
        for some in gradients:
            for parameter, gradient in zip(theirs, some, strict=True):
                parameter.grad = gradient[seed]
            reference.step()
        for mine, parameter in zip(ours.values(), theirs, strict=True):
            assert torch.allclose(mine[seed], parameter, atol=1e-6)
