"""Parameter counts are those of the published configurations, and candidates match them."""

import pytest
import torch

from omnimouse_cli.dendrites.images.architecture import (
    ACTIVATIONS,
    DENDRITIC,
    LEARNED_SCALAR,
    MAXOUT,
    RELU,
    build_architecture,
    match_architecture,
)
from omnimouse_cli.dendrites.images.network import (
    init_inner_weights,
    init_outer_weights,
    name_inner_weights,
)

MNIST, CIFAR, DIGITS = (1, 28, 28), (3, 32, 32), (1, 8, 8)


def build(network, activation, widths, image, inner=(64, 64)):
    return build_architecture(
        network, ACTIVATIONS[activation], widths, image=image, num_classes=10, inner=inner
    )


@pytest.mark.parametrize(
    ("network", "activation", "widths", "image", "published"),
    [
        ("mlp", DENDRITIC, (64,) * 3, MNIST, 122_187),
        ("mlp", RELU, (118,) * 3, MNIST, 121_904),
        ("mlp", DENDRITIC, (64,) * 3, CIFAR, 415_051),
        ("mlp", RELU, (124,) * 3, CIFAR, 413_302),
        ("cnn", DENDRITIC, (60, 120, 120, 120), MNIST, 425_147),
        ("cnn", RELU, (120, 130, 150, 170), MNIST, 344_760),
        ("cnn", DENDRITIC, (60, 120, 120, 120), CIFAR, 513_707),
        ("cnn", LEARNED_SCALAR, (65, 150, 180, 240), CIFAR, 512_703),
    ],
)
def test_published_configurations_have_the_published_numbers(
    network, activation, widths, image, published
):
    assert build(network, activation, widths, image).num_parameters == published


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("network", "image", "widths", "profile"),
    [
        ("mlp", DIGITS, (64,) * 3, (1, 1)),
        ("mlp", CIFAR, (64,) * 3, (1, 1, 1, 1)),
        ("cnn", DIGITS, (12, 24, 24), (1, 2, 2)),
        ("cnn", DIGITS, (12, 24, 24), (1, 2, 4)),
        ("cnn", CIFAR, (60, 120, 120, 120), (1, 1, 1, 1)),
    ],
)
def test_every_candidate_matches_within_one_percent(network, image, widths, profile, activation):
    reference = build(network, DENDRITIC, widths, image, (32, 32))
    found = match_architecture(reference, ACTIVATIONS[activation], profile)
    assert abs(found.num_parameters / reference.num_parameters - 1) < 0.01


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_number_is_that_of_the_weights(activation, generators):
    one = build("cnn", activation, (3, 4, 5), DIGITS, (6,))
    weights = init_outer_weights(one, generators) | name_inner_weights(
        init_inner_weights(one.inner_sizes, generators)
    )
    assert sum(weight[0].numel() for weight in weights.values()) == one.num_parameters
    assert all(weight.shape[0] == len(generators) for weight in weights.values())
    assert not torch.equal(weights["layer0.weight"][0], weights["layer0.weight"][1])


def test_a_number_that_no_network_is_small_enough_for_is_refused():
    # One ReLU unit on 784 pixels: 785 + 2 * 10 parameters; a unit of two arguments needs more.
    smallest = build("mlp", RELU, (1,), MNIST)
    with pytest.raises(ValueError, match="no mlp of maxout has only 805 parameters"):
        match_architecture(smallest, ACTIVATIONS[MAXOUT], (1,))
