"""Centers of receptive fields: recovered from planted energies, shrunk to the retinotopic map."""

import pytest
import torch

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.model.motion_energy import TIMES
from omnimouse_cli.model.shortcuts.stimulus import START_SPREAD
from omnimouse_cli.training.start import receptive_fields
from omnimouse_cli.training.start.receptive_fields import fit_fields

GRID, FEATURES, WINDOWS = (6, 8), 3, 120


@pytest.fixture
def fit(held_session):
    """Return what `fit_fields` finds in `(windows, 30, features, rows, columns)` energies."""
    return lambda *held: fit_fields(*held_session(*held))


def simulate(center, *, gain=2.0, seed=0):
    """Return energies, and responses of neurons that see them about `center`, `(neurons, 2)`."""
    generator = torch.Generator().manual_seed(seed)
    energies = torch.randn(WINDOWS, len(TIMES), FEATURES, *GRID, generator=generator).exp()
    sides = [
        torch.exp(-((torch.arange(size) - (size - 1) / 2 - center[:, axis, None]) ** 2))
        for axis, size in enumerate(GRID)
    ]
    where = sides[0][:, :, None] * sides[1][:, None]
    what = torch.rand(len(center), FEATURES, generator=generator)
    drive = torch.einsum("wtfyx,nyx,nf->wtn", energies, where / where.sum((1, 2), True), what)
    responses = gain * drive.repeat_interleave(2, dim=1)
    noise = torch.randn(responses.shape, generator=generator)
    # Rare transients of any size, as of calcium.
    responses = responses + noise + 30 * (noise > 2.5)
    return energies, responses / responses.std()


@pytest.mark.parametrize("positions", ["known", "unknown"])
def test_planted_centers_are_found_in_spite_of_large_transients(fit, positions):
    generator = torch.Generator().manual_seed(1)
    center = (torch.rand(60, 2, generator=generator) - 0.5) * torch.tensor([3.0, 5.0])
    um = torch.cat([center * 100, torch.zeros(60, 1)], dim=1).numpy()
    found = fit(*simulate(center), um if positions == "known" else None)
    error = (found[:, :2] - center).square().mean(0).sqrt()
    assert (error < (0.15 if positions == "known" else 0.5)).all()
    # Uncertainties are those of the errors, and smaller than of what is unknown.
    deviation = found[:, 2:].exp() * START_SPREAD * torch.tensor(GRID)
    assert (found[:, 2:] <= 0).all()
    assert (((found[:, :2] - center) / deviation).square().mean(0) < 4).all()


def test_centers_that_are_certain_are_found_between_candidates(fit):
    generator = torch.Generator().manual_seed(1)
    center = (torch.rand(60, 2, generator=generator) - 0.5) * torch.tensor([2.0, 4.0])
    error = (fit(*simulate(center, gain=50.0))[:, :2] - center).square().mean(0).sqrt()
    # Candidates are 0.5 apart: the nearest one is off by 0.5 / sqrt(12) = 0.14.
    assert (error < 0.07).all()


def test_neurons_that_see_nothing_are_placed_by_the_retinotopic_map(fit):
    generator = torch.Generator().manual_seed(2)
    center = (torch.rand(40, 2, generator=generator) - 0.5) * torch.tensor([3.0, 5.0])
    energies, responses = simulate(center)
    responses[..., :5] = torch.randn(responses[..., :5].shape, generator=generator)
    um = torch.cat([center * 100 + 7, torch.zeros(40, 1)], dim=1).numpy()
    placed = fit(energies, responses, um)
    assert ((placed[:5, :2] - center[:5]).abs() < 0.7).all()
    unplaced = fit(energies, responses)
    assert ((unplaced[:5, :2] - center[5:].mean(0)).abs() < 1.2).all()
    assert (unplaced[:5, 2:] > unplaced[5:, 2:].mean(0)).all()


def test_neurons_in_parts_are_as_all_at_once(fit, monkeypatch):
    energies, responses = simulate(torch.zeros(7, 2))
    whole = fit(energies, responses)
    monkeypatch.setattr(receptive_fields, "MOST_PRODUCTS", 1)
    torch.testing.assert_close(fit(energies, responses), whole, atol=1e-4, rtol=1e-4)


def test_without_a_stimulus_nothing_is_known(held_session):
    held = held_session(torch.rand(3, len(TIMES), FEATURES, *GRID), torch.rand(3, 60, 4))
    data = held[-1]._replace(contrasts=None)
    assert fit_fields(*held[:-1], data).equal(torch.zeros(4, 4))


def test_an_image_that_never_changes_says_nothing(fit):
    energies = torch.rand(1, 1, FEATURES, *GRID).expand(WINDOWS, len(TIMES), -1, -1, -1)
    found = fit(energies, torch.rand(WINDOWS, NUM_RESPONSE_SAMPLES, 4))
    assert found.isfinite().all()
    torch.testing.assert_close(found[:, :2], torch.zeros(4, 2), atol=0.01, rtol=0)


def test_a_center_that_is_certain_has_a_variance_of_zero_and_not_less():
    candidates = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    likelihood = 1000 * torch.eye(50, dtype=torch.float64)
    mean, variance = receptive_fields._moments(likelihood, 16 * candidates)
    torch.testing.assert_close(mean, 16 * candidates)
    assert (variance >= 0).all()


def test_a_neuron_without_a_place_does_not_bend_the_map(fit):
    generator = torch.Generator().manual_seed(3)
    center = (torch.rand(40, 2, generator=generator) - 0.5) * torch.tensor([3.0, 5.0])
    um = torch.cat([center * 100 - 2000, torch.zeros(40, 1)], dim=1).numpy()
    um[0] = float("nan")
    found = fit(*simulate(center), um)
    assert ((found[1:, :2] - center[1:]).square().mean(0).sqrt() < 0.15).all()
