"""How much of the regression on the stimulus is added to the drive of receptive fields."""

from types import SimpleNamespace

import pytest
import torch

from omnimouse_cli.model.motion_energy import TIMES
from omnimouse_cli.model.shortcuts.encoding import EncodingShortcut
from omnimouse_cli.training.start import encoding as start
from omnimouse_cli.training.start.receptive_fields import weights_about
from omnimouse_cli.training.start.stimulus_share import SHARES, choose_stimulus_share
from omnimouse_cli.training.start.tuning import DIRECTIONS

GRID, WINDOWS, NEURONS = (6, 8), 100, 30


def simulate(of_screen, *, noise=1.0):
    """Return energies, and responses to those in a receptive field or to those of the screen."""
    generator = torch.Generator().manual_seed(0)
    shape = (WINDOWS, len(TIMES), DIRECTIONS, *GRID)
    energies = torch.randn(shape, generator=generator).exp()
    energies = torch.nn.functional.avg_pool2d(energies.flatten(1, 2), 3, 1, 1).view(shape)
    screen = SimpleNamespace(energy=SimpleNamespace(grid=GRID), fitted_width=0.8)
    center = (torch.rand(NEURONS, 2, generator=generator) - 0.5) * torch.tensor([3.0, 5.0])
    where = weights_about(center.double(), screen).float()
    what = torch.rand(NEURONS, DIRECTIONS, generator=generator) ** 4
    if of_screen:
        where = torch.full_like(where, 1 / where.shape[0])
    drive = torch.einsum("btfp,pn,nf->btn", energies.flatten(3), where, what)
    drive = (drive - drive.mean((0, 1))) / drive.std((0, 1))
    responses = drive + noise * torch.randn(drive.shape, generator=generator)
    return energies, responses.repeat_interleave(2, dim=1)


@pytest.fixture
def choose(held_session):
    """Return the share of a session of which every fifth window is held out."""

    def found(energies, responses, blind=False):
        encoding = EncodingShortcut(DIRECTIONS, GRID, num_channels=0, rank=8)
        held_out = torch.arange(WINDOWS) % 5 == 0
        parts, batches = [], {}
        for tier, chosen in (("train", ~held_out), ("validation", held_out)):
            reader, core, key, data = held_session(energies[chosen], responses[chosen])
            contrasts = None if blind else encoding.contrasts(energies[chosen])
            parts.append(data._replace(contrasts=contrasts))
            batches[tier,] = reader.batches
        reader.batches = lambda key, tiers: batches[tiers](key, tiers)
        reader.config.train = SimpleNamespace(validation_tiers=("validation",))
        core.linear_paths.encoding = encoding
        buffers, _ = start.choose_components(parts[:1], parts[1:], encoding)
        for name, value in buffers.items():
            encoding.get_buffer(name.removeprefix("encoding.")).copy_(value)
        return choose_stimulus_share(reader, core, [(key, *parts)])

    return found


def test_less_than_half_is_added_where_receptive_fields_tell_all(choose):
    assert choose(*simulate(of_screen=False)) < 0.5


def test_at_least_half_is_added_where_the_whole_screen_tells_more(choose):
    assert choose(*simulate(of_screen=True)) >= 0.5


def test_all_is_added_without_a_stimulus(choose):
    energies, responses = simulate(of_screen=False)
    assert choose(energies, responses, blind=True) == SHARES[0] == 1.0
