"""Activations with a given form have their published values, and gradients."""

import math

import pytest
import torch

from omnimouse_cli.dendrites.images.formulas import FORMULAS, start_own_weights

EXPECTED = {
    # At a = 1, b = 2 and at a = -1, b = 3; weights of their own at their start.
    "relu": (1.0, 0.0),
    "relu-unnormalised": (1.0, 0.0),
    "swiglu": (2 / (1 + math.exp(-1)), -3 / (1 + math.e)),
    "maxout": (2.0, 3.0),
    "singlu": (2 * math.sin(1), -3 * math.sin(1)),
    # The mean of relu, tanh, silu and gelu.
    "polyglu": (
        2 * (1 + 0.761594 + 0.731059 + 0.841345) / 4,
        3 * (0 - 0.761594 - 0.268941 - 0.158655) / 4,
    ),
    # .8 + .5 and .8 (1/e - 1 + 1) - .5.
    "xielu": (1.3, 0.8 * math.exp(-1) - 0.5),
}


def make_own(name, dtype=torch.float32):
    """Own weights of one seed whose layer has one unit and one input channel."""
    shapes = {
        "xielu": {"alpha": (2,)},
        "polyglu": {"preference": (4,), "route.weight": (4, 1), "route.bias": (4,)},
    }.get(name, {})
    started = {own: start_own_weights(f"layer0.{own}", shape) for own, shape in shapes.items()}
    return {
        own: (torch.zeros(shapes[own]) if value is None else value)[None].to(dtype)
        for own, value in started.items()
    }


@pytest.mark.parametrize("name", FORMULAS)
def test_known_values(name):
    arguments = torch.tensor([[1.0, 2.0], [-1.0, 3.0]]).view(2, 1, 1, 2, 1, 1)
    values = FORMULAS[name](arguments, make_own(name), torch.zeros(2, 1, 1, 2, 2))
    assert values.shape == (2, 1, 1, 1, 1)
    assert values.flatten().tolist() == pytest.approx(EXPECTED[name], abs=1e-5)


@pytest.mark.parametrize("name", ["singlu", "polyglu", "xielu"])
def test_gradients_agree_with_differences(name):
    own = {key: value + 0.3 for key, value in make_own(name, torch.float64).items()}
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    def compute(arguments, x, *values):
        return FORMULAS[name](arguments, dict(zip(own, values, strict=True)), x)

    inputs = (draw(3, 1, 1, 2, 2, 2), draw(3, 1, 1, 3, 3))
    parameters = [value.requires_grad_() for value in own.values()]
    assert torch.autograd.gradcheck(compute, (*inputs, *parameters))


def test_a_strong_preference_chooses_one_function_and_an_input_can_change_it():
    own = make_own("polyglu")
    arguments = torch.tensor([-1.0, 1.0]).repeat(2, 1).view(2, 1, 1, 2, 1, 1)
    images = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1, 1)
    # relu of -1 is 0; with a bright image tanh is preferred.
    own["preference"] = torch.tensor([[50.0, 0, 0, 0]])
    own["route.weight"] = torch.tensor([0.0, 100, 0, 0]).view(1, 4, 1)
    values = FORMULAS["polyglu"](arguments, own, images).flatten()
    assert values.tolist() == pytest.approx([0.0, math.tanh(-1)], abs=1e-5)
