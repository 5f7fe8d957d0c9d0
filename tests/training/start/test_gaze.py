"""The gaze in closed form: a planted one is found, and none where behavior moves nothing."""

from types import SimpleNamespace

import pytest
import torch

from omnimouse_cli.config.model import VideoConfig
from omnimouse_cli.model.motion_energy import TIMES
from omnimouse_cli.model.shortcuts.behavior import sample_and_hold
from omnimouse_cli.model.shortcuts.stimulus import shift_by_gaze
from omnimouse_cli.training.start import gaze
from omnimouse_cli.training.start.gaze import describe_gaze, fit_gaze
from omnimouse_cli.training.start.receptive_fields import weights_about
from omnimouse_cli.training.start.tuning import DIRECTIONS

GRID, WINDOWS, NEURONS, CHANNELS = (6, 8), 100, 40, 3
# The first channel shifts by .4 positions to the right, the second by .3 down, the third by none.
PLANTED = torch.tensor([[0.1, 0.0], [0.0, 0.1], [0.0, 0.0]])


def simulate(planted, *, noise=0.3, seed=0):
    """Return energies on the screen, responses to those on the retina, and behavior."""
    generator = torch.Generator().manual_seed(seed)
    shape = (WINDOWS, len(TIMES), DIRECTIONS, *GRID)
    energies = torch.randn(shape, generator=generator).exp()
    # Images are smooth.
    energies = torch.nn.functional.avg_pool2d(energies.flatten(1, 2), 3, 1, 1).view(shape)
    behavior = torch.randn(WINDOWS, CHANNELS, 1, generator=generator).expand(-1, -1, 40)
    held = sample_and_hold(behavior)[:, TIMES.start :: TIMES.step]
    retinal = shift_by_gaze(energies, held @ planted)
    center = (torch.rand(NEURONS, 2, generator=generator) - 0.5) * torch.tensor([3.0, 5.0])
    screen = SimpleNamespace(energy=SimpleNamespace(grid=GRID), fitted_width=0.8)
    where = weights_about(center.double(), screen).float()
    what = torch.rand(NEURONS, DIRECTIONS, generator=generator) ** 4
    drive = torch.einsum("btfp,pn,nf->btn", retinal.flatten(3), where, what)
    drive = (drive - drive.mean((0, 1))) / drive.std((0, 1))
    responses = drive + noise * torch.randn(drive.shape, generator=generator)
    return energies, responses.repeat_interleave(2, dim=1), behavior.contiguous()


@pytest.fixture
def fit(held_session):
    """Return the gaze of one session or several."""

    def found(*sessions):
        held = [
            held_session(energies, responses, behavior=behavior)
            for energies, responses, behavior in sessions
        ]
        reader, core, *_ = held[0]
        batches = {str(number): each[0].batches for number, each in enumerate(held)}
        reader.batches = lambda key, tiers: batches[key](key, tiers)
        return fit_gaze(reader, core, [(str(number), each[3]) for number, each in enumerate(held)])

    return found


def test_a_planted_gaze_is_found(fit):
    found = fit(simulate(PLANTED))
    # One step from 0 stops short of large shifts, or goes beyond: training does the rest.
    torch.testing.assert_close(found, PLANTED, atol=0.02, rtol=0)


def test_behavior_that_moves_nothing_has_no_gaze(fit):
    assert fit(simulate(0 * PLANTED)).abs().max() < 0.01


def test_sessions_share_a_gaze(fit):
    many = fit(simulate(PLANTED, noise=0.6), simulate(PLANTED, noise=0.6, seed=1))
    torch.testing.assert_close(many, PLANTED, atol=0.03, rtol=0)


def test_sessions_without_stimulus_or_behavior_tell_nothing(held_session):
    reader, core, key, data = held_session(*simulate(PLANTED)[:2], behavior=simulate(PLANTED)[2])
    blind = [(key, data._replace(contrasts=None)), (key, data._replace(traces=None))]
    assert fit_gaze(reader, core, blind).equal(torch.zeros(CHANNELS, 2))


def test_lost_samples_channels_of_zeros_and_a_neuron_without_numbers_spoil_nothing(fit):
    energies, responses, behavior = simulate(PLANTED)
    behavior[:, 2] = 0.0
    behavior[::10, 0] = torch.nan
    responses[..., 5] = torch.nan
    torch.testing.assert_close(fit((energies, responses, behavior)), PLANTED, atol=0.03, rtol=0)


def test_some_neurons_tell_as_much_as_all(fit, monkeypatch):
    held = simulate(PLANTED)
    monkeypatch.setattr(gaze, "MOST_NEURONS", NEURONS // 2)
    torch.testing.assert_close(fit(held), PLANTED, atol=0.03, rtol=0)


def test_the_channel_that_shifts_most_is_named_with_pixels():
    video = VideoConfig(frame_height=36, frame_width=64)
    text = describe_gaze(PLANTED, ("pupil_x", "pupil_y", "running"), video)
    assert text == "a standard deviation of pupil_x shifts receptive fields by 3.2 pixels"
