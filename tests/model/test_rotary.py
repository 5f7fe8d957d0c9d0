"""Rotary embedding: relative, in float64, in the published order of pairs."""

import math

import pytest
import torch

from omnimouse_cli.model.rotary import Angles, rotary_angles, rotate


def test_frequencies_are_the_published_ones():
    cos, sin = rotary_angles(
        torch.tensor([0.0, 1.7], dtype=torch.float64), head_width=64, shortest_seconds=0.001
    )
    assert torch.equal(cos[0], torch.ones(32))
    angles = [2 * math.pi * 1000 * 2000 ** (-i / 32) * 1.7 for i in range(32)]
    torch.testing.assert_close(cos[1], torch.tensor([math.cos(a) for a in angles]))
    torch.testing.assert_close(sin[1], torch.tensor([math.sin(a) for a in angles]))


def test_neighbouring_pairs_turn_together():
    x = torch.arange(4.0).reshape(1, 1, 1, 4)
    cos, sin = torch.tensor([[0.6, 0.0]]), torch.tensor([[0.8, 1.0]])
    expected = [0 * 0.6 - 1 * 0.8, 1 * 0.6 + 0 * 0.8, -3.0, 2.0]
    torch.testing.assert_close(rotate(x, Angles(cos, sin)).flatten(), torch.tensor(expected))


@pytest.mark.parametrize("shortest_seconds", [0.001, 0.1])
def test_products_depend_on_time_differences_alone(shortest_seconds):
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, 6, 1, 16, generator=generator) for _ in range(2))
    times = torch.rand(6, dtype=torch.float64, generator=generator)

    def products(shift):
        angles = rotary_angles(times + shift, head_width=16, shortest_seconds=shortest_seconds)
        return rotate(q, angles)[0, :, 0] @ rotate(k, angles)[0, :, 0].T

    torch.testing.assert_close(products(0.0), products(123.4567), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(products(0.0), q[0, :, 0] @ k[0, :, 0].T, atol=1e-2)


def test_both_ways_to_rotate_are_the_same_with_their_gradients():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 3, 16, generator=generator, requires_grad=True)
    weight = torch.randn(2, 6, 3, 16, generator=generator)
    times = torch.rand(6, dtype=torch.float64, generator=generator)
    angles = rotary_angles(times, head_width=16, shortest_seconds=0.1)
    # Float64 is rotated by the formula, float32 as complex numbers.
    for dtype, bound in ((torch.float32, 0.0), (torch.float64, 1e-6)):
        turned = rotate(x.to(dtype), angles)
        (gradient,) = torch.autograd.grad((turned * weight).sum(), x)
        if dtype == torch.float32:
            expected, expected_gradient = turned, gradient
        torch.testing.assert_close(turned.float(), expected, atol=bound, rtol=0)
        torch.testing.assert_close(gradient, expected_gradient, atol=bound, rtol=0)
