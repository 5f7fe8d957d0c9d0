"""Tuning in closed form: planted weights are found, whatever orientation neurons prefer."""

import pytest
import torch

from omnimouse_cli.model.motion_energy import TIMES
from omnimouse_cli.training.start import tuning
from omnimouse_cli.training.start.tuning import DIRECTIONS, fit_tuning

GRID, GROUPS, WINDOWS = (3, 3), 3, 100
FEATURES = GROUPS * DIRECTIONS


def plant(num_neurons, *, seed=0):
    """Return weights `(neurons, features)`: bumps about a direction, all alike in groups."""
    generator = torch.Generator().manual_seed(seed)
    preferred = 2 * torch.pi * torch.rand(num_neurons, 1, generator=generator)
    angle = 2 * torch.pi * torch.arange(DIRECTIONS) / DIRECTIONS
    bump = torch.exp(3 * torch.cos(angle - preferred) - 3)
    groups = torch.tensor([1.0, 0.4, -0.5])
    return (groups[:, None] * bump[:, None]).flatten(1)


def simulate(weights, *, noise=1.0, seed=1):
    """Return energies, which neighboring directions share, and responses of variance 1."""
    generator = torch.Generator().manual_seed(seed)
    shape = (WINDOWS, len(TIMES), GROUPS, DIRECTIONS, *GRID)
    energies = torch.randn(shape, generator=generator).exp()
    energies = sum(energies.roll(turn, 3) for turn in range(4)).flatten(2, 3)
    drive = energies[..., 1, 1] @ weights.T
    drive = drive / drive.std((0, 1))
    # What is not explained lasts: a window counts as one sample.
    wrong = noise * torch.randn(WINDOWS, 1, drive.shape[2], generator=generator)
    # Rare transients of any size, as of calcium.
    responses = drive + wrong + 20 * (wrong > 2.5 * noise)
    return energies, responses.repeat_interleave(2, dim=1)


@pytest.fixture
def fit(held_session):
    """Return what `fit_tuning` finds of neurons in the middle of the screen."""

    def found(energies, responses):
        held = held_session(energies, responses)
        field = torch.zeros(responses.shape[2], 4)
        return fit_tuning(*held, field)

    return found


def alike(found, weights):
    """Return the cosine between found and planted weights, `(neurons,)`."""
    return torch.cosine_similarity(found, weights)


def test_planted_weights_are_found_better_than_by_any_penalty(fit, monkeypatch):
    weights = plant(40)
    held = simulate(weights, noise=2.0)
    cosine = alike(fit(*held), weights).mean()
    assert cosine > 0.88
    for variance in torch.logspace(-5, 0, 11, dtype=torch.float64):
        ridge = tuning.Prior(
            torch.zeros(FEATURES).double(),
            variance * torch.eye(FEATURES).double(),
            torch.tensor(1.0),
        )
        monkeypatch.setattr(tuning, "estimate_prior", lambda *_, ridge=ridge: ridge)
        assert alike(fit(*held), weights).mean() < cosine


def test_neurons_share_their_tuning_but_for_its_orientation(fit):
    weights = plant(40)
    # Without what they share it is .94.
    assert alike(fit(*simulate(weights)), weights).mean() > 0.965


def test_where_directions_turn_weights_turn(fit):
    energies, responses = simulate(plant(10))
    by_direction = energies.unflatten(2, (GROUPS, DIRECTIONS))
    turned = fit(by_direction.roll(5, 3).flatten(2, 3), responses)
    expected = fit(energies, responses).unflatten(1, (GROUPS, DIRECTIONS)).roll(5, 2).flatten(1)
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=1e-4)


def test_responses_to_nothing_have_weights_near_0(fit):
    energies, responses = simulate(plant(20))
    planted = fit(energies, responses)
    order = torch.randperm(WINDOWS, generator=torch.Generator().manual_seed(0))
    assert fit(energies, responses[order]).norm() < 0.2 * planted.norm()


def test_neurons_in_parts_are_as_all_at_once(fit, monkeypatch):
    held = simulate(plant(5))
    whole = fit(*held)
    monkeypatch.setattr(tuning, "MOST_PRODUCTS", 1)
    torch.testing.assert_close(fit(*held), whole, atol=1e-5, rtol=1e-4)


def test_a_neuron_without_numbers_has_none_and_spoils_no_other(fit):
    energies, responses = simulate(plant(20))
    whole = fit(energies, responses)
    responses[..., 3] = torch.nan
    found = fit(energies, responses)
    assert found.isfinite().all()
    others = torch.arange(20) != 3
    assert (alike(found[others], whole[others]) > 0.99).all()


def test_neurons_that_never_change_do_not_shrink_the_weights_of_others(fit):
    energies, responses = simulate(plant(20))
    silent = torch.zeros(*responses.shape[:2], 60)
    found = fit(energies, torch.cat([responses, silent], dim=2))
    torch.testing.assert_close(found[:20], fit(energies, responses), atol=1e-5, rtol=1e-4)
    assert found[20:].abs().max() < 1e-6


def test_energies_that_are_not_numbers_are_no_weights(fit):
    energies, responses = simulate(plant(4))
    assert not fit(energies * torch.nan, responses).any()


def test_without_a_stimulus_there_are_no_weights(held_session):
    *held, data = held_session(*simulate(plant(4)))
    found = fit_tuning(*held, data._replace(contrasts=None), torch.zeros(4, 4))
    assert found.equal(torch.zeros(4, FEATURES))


@pytest.mark.parametrize("still", ["image", "neuron"])
def test_what_never_changes_has_finite_weights(fit, still):
    energies, responses = simulate(plant(4))
    if still == "image":
        energies = 100 * energies[:1, :1].expand_as(energies)
    else:
        responses[..., 0] = 0.5
    found = fit(energies, responses)
    assert found.isfinite().all()
    assert (found if still == "image" else found[0]).abs().max() < 1e-3
