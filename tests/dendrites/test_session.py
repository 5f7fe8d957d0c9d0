"""Training: seeds do not touch each other, the best epoch stays, the frozen network is frozen."""

import pytest
import torch

from omnimouse_cli.dendrites.images.activation import ACTIVATIONS
from omnimouse_cli.dendrites.images.network import INNER, outer_weights, xavier_inner
from omnimouse_cli.dendrites.images.plan import plan_of
from omnimouse_cli.dendrites.images.pretrain import pretrain_inner, smoothed_noise
from omnimouse_cli.dendrites.images.procedure import Budget, course_of
from omnimouse_cli.dendrites.images.session import measured, train_session
from omnimouse_cli.dendrites.images.settings import Setting
from omnimouse_cli.dendrites.images.trainees import Trainee, data_of, dropout_of, generators_of

CPU = torch.device("cpu")


def plan(activation="relu"):
    return plan_of(
        "mlp", ACTIVATIONS[activation], (8, 8), image=(1, 8, 8), num_classes=2, inner=(4,)
    )


def trained(images, trainees, activation="relu", epochs=3, *, frozen=False):
    data = data_of(images, [one.seed for one in trainees], most_images=None, device=CPU)
    generators = generators_of(trainees, "weights")
    one = plan(activation)
    weights = outer_weights(one, generators) | xavier_inner(one, generators)
    session = train_session(
        one,
        weights,
        trainees,
        data,
        session=2,
        epochs=epochs,
        batch=20,
        frozen_inner=frozen,
        tick=lambda: None,
    )
    return one, data, weights, session


def trainee(seed, **setting):
    return Trainee(seed=seed, setting=Setting(**{"learning_rate": 3e-3, "dropout": 0.2, **setting}))


def test_a_seed_learns_the_same_whoever_is_trained_beside_it(images):
    _, _, _, alone = trained(images, [trainee(5)])
    # Its neighbour diverges, which must stay its own affair.
    _, _, _, beside = trained(images, [trainee(4, learning_rate=1e30), trainee(5)])
    assert torch.allclose(alone.losses[0], beside.losses[1], atol=1e-4)
    assert not torch.isfinite(beside.losses[0]).all()
    assert beside.best[0] <= 1
    assert all(torch.isfinite(weight).all() for weight in beside.weights.values())


def test_the_weights_of_the_best_epoch_are_kept(images):
    one, data, _, session = trained(images, [trainee(1), trainee(2)], epochs=6)
    loss, accuracy = measured(one, session.weights, data, data.validation)
    assert torch.allclose(loss, session.losses.min(dim=1).values, atol=1e-6)
    at_best = session.accuracies.gather(1, session.best[:, None] - 1)[:, 0]
    assert torch.allclose(accuracy, at_best)


def test_easy_images_are_learned(images):
    _, _, _, session = trained(images, [trainee(1, learning_rate=1e-2)], epochs=30)
    assert session.accuracies[0, -1] > 0.85
    assert session.losses[0, 0] > session.losses[0].min()


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_inner_network_stays_as_it_is(images, frozen):
    _, _, before, session = trained(images, [trainee(1)], "dendritic", frozen=frozen)
    same = [
        torch.equal(weight, before[name])
        for name, weight in session.weights.items()
        if name.startswith(INNER)
    ]
    assert same == [frozen] * 4
    assert not torch.equal(session.weights["layer0.weight"], before["layer0.weight"])


def test_the_last_session_keeps_the_function_of_the_best_joint_epoch_and_begins_anew(images):
    trainees = [trainee(1), trainee(2)]
    data = data_of(images, [1, 2], most_images=None, device=CPU)
    budget = Budget(epochs=2, batch=20, pretrain_steps=5)
    course = course_of(plan("dendritic"), trainees, data, budget, tick=lambda: None)
    for name, weight in course.last.weights.items():
        assert torch.equal(weight, course.joint.weights[name]) == name.startswith(INNER)
    fixed = course_of(plan("relu"), trainees, data, budget, tick=lambda: None)
    assert fixed.joint is None


def test_dropout_keeps_the_mean_and_has_a_share_per_seed():
    trainees = [trainee(1, dropout=0.0), trainee(2, dropout=0.5)]
    drop = dropout_of(trainees, generators_of(trainees, "dropout"))
    dropped = drop(torch.ones(4000, 2, 3))
    assert torch.equal(dropped[:, 0], torch.ones(4000, 3))
    assert float((dropped[:, 1] == 0).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert float(dropped[:, 1].mean()) == pytest.approx(1.0, abs=0.06)


def test_noise_has_the_spread_that_smoothing_leaves():
    # A Gaussian of s steps leaves 1 / (4 pi s^2) of white noise's variance in two dimensions.
    noise = smoothed_noise(2, seed=3)
    expected = (1 / 3 / (4 * torch.pi * (10 / 3) ** 2)) ** 0.5
    assert noise.shape == (101, 101)
    assert float(noise.std()) == pytest.approx(expected, rel=0.15)


def test_pretraining_meets_its_own_noise_better_with_more_steps():
    trainees = [trainee(1), trainee(2)]

    def explained(steps):
        return pretrain_inner((1, 16, 16, 1), trainees, steps=steps, device=CPU, tick=lambda: None)[
            1
        ]

    assert (explained(300) > explained(3) + 0.2).all()
