"""Training: seeds do not touch each other, the best epoch stays, the frozen network is frozen."""

import dataclasses

import pytest
import torch

from omnimouse_cli.dendrites.images.architecture import ACTIVATIONS, build_architecture
from omnimouse_cli.dendrites.images.data import split_for_seeds
from omnimouse_cli.dendrites.images.network import (
    INNER,
    init_inner_weights,
    init_outer_weights,
    name_inner_weights,
)
from omnimouse_cli.dendrites.images.procedure import (
    make_smoothed_noise,
    pretrain_inner,
    train_networks,
)
from omnimouse_cli.dendrites.images.settings import Hyperparameters
from omnimouse_cli.dendrites.images.training import (
    Replicate,
    evaluate,
    make_dropout,
    make_generators,
    train_session,
)

CPU = torch.device("cpu")


def build(activation="relu"):
    return build_architecture(
        "mlp", ACTIVATIONS[activation], (8, 8), image=(1, 8, 8), num_classes=2, inner=(4,)
    )


def trained(images, replicates, activation="relu", epochs=3, *, frozen=False):
    data = split_for_seeds(images, [one.seed for one in replicates], max_images=None, device=CPU)
    generators = make_generators(replicates, "weights")
    one = build(activation)
    weights = init_outer_weights(one, generators) | name_inner_weights(
        init_inner_weights(one.inner_sizes, generators)
    )
    session = train_session(
        one,
        weights,
        replicates,
        data,
        session=2,
        epochs=epochs,
        batch=20,
        freeze_inner=frozen,
        on_epoch=lambda: None,
    )
    return one, data, weights, session


def make_replicate(seed, **options):
    return Replicate(
        seed=seed,
        hyperparameters=Hyperparameters(**{"learning_rate": 3e-3, "dropout": 0.2, **options}),
    )


def test_a_seed_learns_the_same_whoever_is_trained_beside_it(images):
    _, _, _, alone = trained(images, [make_replicate(5)])
    # Its neighbour diverges, which must stay its own affair.
    _, _, _, beside = trained(images, [make_replicate(4, learning_rate=1e30), make_replicate(5)])
    assert torch.allclose(alone.losses[0], beside.losses[1], atol=1e-4)
    assert not torch.isfinite(beside.losses[0]).all()
    assert beside.best[0] <= 1
    assert all(torch.isfinite(weight).all() for weight in beside.weights.values())


def test_the_weights_of_the_best_epoch_are_kept(images):
    one, data, _, session = trained(images, [make_replicate(1), make_replicate(2)], epochs=6)
    loss, accuracy = evaluate(one, session.weights, data, data.validation)
    assert torch.allclose(loss, session.losses.min(dim=1).values, atol=1e-6)
    at_best = session.accuracies.gather(1, session.best[:, None] - 1)[:, 0]
    assert torch.allclose(accuracy, at_best)


def test_easy_images_are_learned(images):
    _, _, _, session = trained(images, [make_replicate(1, learning_rate=1e-2)], epochs=30)
    assert session.accuracies[0, -1] > 0.85
    assert session.losses[0, 0] > session.losses[0].min()


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_inner_network_stays_as_it_is(images, frozen):
    _, _, before, session = trained(images, [make_replicate(1)], "dendritic", frozen=frozen)
    same = [
        torch.equal(weight, before[name])
        for name, weight in session.weights.items()
        if name.startswith(INNER)
    ]
    assert same == [frozen] * 4
    assert not torch.equal(session.weights["layer0.weight"], before["layer0.weight"])


def test_the_last_session_keeps_the_function_of_the_best_joint_epoch_and_begins_anew(
    images, small_settings
):
    replicates = [make_replicate(1), make_replicate(2)]
    data = split_for_seeds(images, [1, 2], max_images=None, device=CPU)
    settings = dataclasses.replace(small_settings, pretrain_steps=5)
    result = train_networks(build("dendritic"), replicates, data, settings, on_epoch=lambda: None)
    for name, weight in result.final.weights.items():
        assert torch.equal(weight, result.joint.weights[name]) == name.startswith(INNER)
    fixed = train_networks(build("relu"), replicates, data, settings, on_epoch=lambda: None)
    assert fixed.joint is None


def test_dropout_keeps_the_mean_and_has_a_share_per_seed():
    replicates = [make_replicate(1, dropout=0.0), make_replicate(2, dropout=0.5)]
    drop = make_dropout(replicates, make_generators(replicates, "dropout"))
    dropped = drop(torch.ones(4000, 2, 3))
    assert torch.equal(dropped[:, 0], torch.ones(4000, 3))
    assert float((dropped[:, 1] == 0).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert float(dropped[:, 1].mean()) == pytest.approx(1.0, abs=0.06)


def test_noise_has_the_spread_that_smoothing_leaves():
    # A Gaussian of s steps leaves 1 / (4 pi s^2) of white noise's variance in two dimensions.
    noise = make_smoothed_noise(2, seed=3)
    expected = (1 / 3 / (4 * torch.pi * (10 / 3) ** 2)) ** 0.5
    assert noise.shape == (101, 101)
    assert float(noise.std()) == pytest.approx(expected, rel=0.15)


def test_pretraining_meets_its_own_noise_better_with_more_steps():
    def explained(steps):
        return pretrain_inner((1, 16, 16, 1), (1, 2), steps=steps, device=CPU)[1]

    assert (explained(300) > explained(3) + 0.2).all()
