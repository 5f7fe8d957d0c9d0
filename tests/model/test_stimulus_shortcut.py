"""Motion energies of gratings whose answer is known, and the receptive fields that weight them."""

import math
from dataclasses import replace

import pytest
import torch

from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES
from omnimouse_cli.config.model import VideoConfig
from omnimouse_cli.model.inputs import TargetNeurons
from omnimouse_cli.model.motion_energy import TIMES, MotionEnergy, _temporal_filters, downsample
from omnimouse_cli.model.shortcuts.stimulus import FittedFields, StimulusShortcut, shift_by_gaze

WAVELENGTHS = (8.0, 13.0)
VIDEO = VideoConfig()


def drifting(*, angle, wavelength, hertz, contrast=1.0):
    """Return one window of a grating that drifts towards `angle`: `(1, 60, 36, 64)`."""
    time = torch.arange(60)[:, None, None] / 30.0
    row, column = torch.arange(36)[:, None], torch.arange(64)
    along = row * math.sin(angle) + column * math.cos(angle)
    return contrast * torch.cos(2 * math.pi * (along / wavelength - hertz * time))[None]


@pytest.mark.parametrize("wavelength", WAVELENGTHS)
@pytest.mark.parametrize("number", range(16))
def test_a_grating_drives_most_the_energy_of_its_direction_and_scale(number, wavelength):
    energy = MotionEnergy(WAVELENGTHS, VIDEO)
    grating = drifting(angle=math.pi * number / 8, wavelength=wavelength, hertz=4.0)
    middle = energy(grating, (0, 60))[0, 15:, :, 3:6, 5:11].mean(dim=(0, 2, 3))
    scale = WAVELENGTHS.index(wavelength)
    assert middle[16 * scale : 16 * scale + 16].argmax() == number


def convolved(clip, wavelength):
    """Return the energies of one scale by a direct convolution with whole Gabors."""
    pixels, width = wavelength / 2, 0.4 * wavelength / 2
    reach = math.ceil(2.25 * width)
    axis = torch.arange(-reach, reach + 1, dtype=torch.float64)
    row, column = torch.meshgrid(axis, axis, indexing="ij")
    envelope = torch.exp(-(row**2 + column**2) / (2 * width**2))
    gabors = []
    for number in range(8):
        angle = math.pi * number / 8
        phase = 2 * math.pi * (row * math.sin(angle) + column * math.cos(angle)) / pixels
        even, odd = envelope * torch.cos(phase), envelope * torch.sin(phase)
        even = even - envelope * even.sum() / envelope.sum()
        gabors += [even / even.norm(), odd / odd.norm()]
    images = torch.einsum("kst,btyx->kbsyx", filters_in_time(), downsample(clip))
    moved = torch.nn.functional.conv2d(
        images.flatten(0, 2)[:, None], torch.stack(gabors)[:, None], stride=2, padding=reach
    )
    prompt, late = moved.unflatten(1, (8, 2)).unflatten(0, (2, *clip.shape[:1], -1))
    prompt, late = (torch.complex(*filtered.unbind(3)) for filtered in (prompt, late))
    both = [(prompt + sign * late).abs().square() for sign in (1j, -1j)]
    energy = torch.cat(both, dim=2)
    return energy / (0.5 + energy.mean(dim=(2, 3, 4), keepdim=True))


def filters_in_time():
    """Return gamma functions of 45 ms and orders 1 and 3, in frames, at every second one."""
    constant = 0.045 * 30
    frames = torch.arange(1, 60, 2)[:, None] - torch.arange(60) + 0.5
    lag = frames.double().clamp(min=0) / constant
    of_order = [lag**order * torch.exp(-lag) / math.factorial(order) for order in (1, 3)]
    return torch.stack(of_order) / constant


# Even and odd numbers of pixels and of positions, and a screen that is smaller than the filters.
@pytest.mark.parametrize("height", [36, 23, 10])
@pytest.mark.parametrize("width", [64, 50, 7])
def test_separable_filters_give_what_whole_gabors_do(height, width):
    video = replace(VIDEO, frame_height=height, frame_width=width, mask_unit=(1, 1), stages=(1,))
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(2, 60, height, width, generator=generator, dtype=torch.float64)
    expected = torch.cat([convolved(clip, wavelength) for wavelength in WAVELENGTHS], dim=2)
    energies = MotionEnergy(WAVELENGTHS, video)(clip.float(), (0, 60))
    precision = 1e-5 * expected.max().item()
    torch.testing.assert_close(energies.double(), expected, rtol=0, atol=precision)


def test_energies_do_not_depend_on_phase_and_saturate_with_contrast():
    energy = MotionEnergy(WAVELENGTHS, VIDEO)
    full = energy(drifting(angle=0.0, wavelength=13.0, hertz=0.0), (0, 60))
    middle = full[0, 15:, 16, 4, 4:12]
    assert middle.std() < 0.1 * middle.mean()
    low = energy(drifting(angle=0.0, wavelength=13.0, hertz=0.0, contrast=0.5), (0, 60))
    # A quarter of the energy; the mean energy that divides it falls as well.
    ratio = (full[0, -1, 16, 4, 8] / low[0, -1, 16, 4, 8]).item()
    assert 1.0 < ratio < 4.0
    assert not energy(torch.zeros(1, 60, 36, 64), (0, 60)).any()


def test_hidden_and_later_frames_do_not_count():
    energy, generator = MotionEnergy((13.0,), VIDEO), torch.Generator().manual_seed(0)
    clip = torch.randn(2, 60, 36, 64, generator=generator)
    visible = energy(clip, (20, 40))
    changed = clip.clone()
    changed[:, :20], changed[:, 40:] = 5.0, -5.0
    assert torch.equal(energy(changed, (20, 40)), visible)
    assert not torch.equal(energy(changed, (0, 60)), energy(clip, (0, 60)))
    before = [step for step, time in enumerate(TIMES) if time < 40]
    torch.testing.assert_close(energy(changed, (20, 60))[:, before], visible[:, before])


@pytest.mark.parametrize("size", [(36, 64), (7, 9)])
def test_frames_are_averaged_over_squares_of_pixels(size):
    clip = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(downsample(clip), torch.nn.functional.avg_pool2d(clip, 2))


def test_transient_filters_prefer_a_changing_image():
    """Each filter is a gamma density less a share of the one two orders later: areas say all."""
    sustained, transient, biphasic = (
        _temporal_filters(0.09, share).sum(dim=2)[:, -1] for share in (0.0, 1.0, 0.6)
    )
    # The sum over frames of a density that is sampled at their middles.
    torch.testing.assert_close(sustained, torch.ones(2), atol=0.02, rtol=0)
    torch.testing.assert_close(transient, torch.zeros(2), atol=0.02, rtol=0)
    torch.testing.assert_close(biphasic, torch.full((2,), 0.4), atol=0.02, rtol=0)
    still = torch.randn(1, 1, 36, 64, generator=torch.Generator().manual_seed(0))
    energy = MotionEnergy((13.0,), VIDEO, (0.06,), transience=1.0)
    shown = energy(still.expand(-1, 60, -1, -1), (0, 60))
    # The image appears with the first frame.
    assert shown[:, -1].mean() < 0.01 * shown[:, 2].mean()


def test_energies_have_the_gradient_that_an_attack_needs():
    energy = MotionEnergy((8.0,), VIDEO).double()
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(1, 60, 36, 64, generator=generator, dtype=torch.float64, requires_grad=True)
    energy(clip, (0, 60))[0, 20, 3, 4, 8].backward()
    assert clip.grad is not None
    step = 1e-6 * clip.grad
    with torch.no_grad():
        up, down = (energy(clip + sign * step, (0, 60))[0, 20, 3, 4, 8] for sign in (1, -1))
    expected = 2 * (step * clip.grad).sum()
    torch.testing.assert_close(up - down, expected, rtol=1e-4, atol=0)


def test_fitted_tuning_is_scaled_by_a_gain_that_begins_at_1():
    torch.manual_seed(0)
    shortcut = StimulusShortcut(8, (13.0,), VIDEO, 3, has_tuning=True)
    learned = StimulusShortcut(8, (13.0,), VIDEO, 3)
    vectors, tuning = torch.randn(5, 8), torch.randn(5, 16)
    fitted = FittedFields(torch.zeros(5, 4), tuning)
    torch.testing.assert_close(shortcut._tuning(vectors, fitted), tuning)
    torch.nn.init.constant_(shortcut.gain.bias, math.log(3))
    torch.testing.assert_close(shortcut._tuning(vectors, fitted), 3 * tuning)
    narrow, wide = (each.receptive_fields(0 * vectors) for each in (shortcut, learned))
    assert (narrow.amax(1) > 2 * wide.amax(1)).all()


def test_fields_of_a_given_width_stay_as_fitted():
    shortcut = StimulusShortcut(8, (13.0,), VIDEO, 3, has_tuning=True, fitted_width=0.65)
    assert "field.weight" not in dict(shortcut.named_parameters())
    fitted = FittedFields(torch.tensor([[0.0, 0.5, -1.0, -1.0], [2.0, -3.5, -1.0, -1.0]]), None)
    where = shortcut.receptive_fields(torch.randn(2, 8), fitted).view(2, 9, 16)
    # Positions are counted from the middle of 9 x 16.
    row = torch.arange(9.0)[:, None] - torch.tensor([[[4.0]], [[6.0]]])
    column = torch.arange(16.0) - torch.tensor([[[8.0]], [[4.0]]])
    expected = torch.exp(-(row**2 + column**2) / (2 * 0.65**2))
    torch.testing.assert_close(where, expected / expected.sum((1, 2), keepdim=True))


def test_the_drive_is_the_lagged_energy_in_a_gaussian_field():
    torch.manual_seed(0)
    shortcut = StimulusShortcut(8, (13.0,), VIDEO, 3)
    torch.nn.init.normal_(shortcut.what.weight)
    torch.nn.init.normal_(shortcut.filter.values)
    energies = torch.rand(2, 30, 16, 144)
    vectors, neurons = torch.randn(5, 8), torch.tensor([[3, 0], [1, 4]])
    strategy = replace(FAMILY_STRATEGIES[0], targets=(30, 60))
    targets = TargetNeurons(neurons, torch.zeros(2, 60, 2), strategy, num_shared=0)
    drive = shortcut.drive(energies, vectors, targets)
    field = vectors @ shortcut.field.weight.T * 8**0.5
    what = vectors @ shortcut.what.weight.T * (8 / 16) ** 0.5
    for window, target, sample in ((0, 0, 30), (1, 1, 59)):
        neuron = neurons[window, target]
        width = 1.5 * torch.exp(0.3 * field[neuron, 2])
        row = torch.arange(9).repeat_interleave(16) - 4 - 0.15 * 9 * field[neuron, 0]
        column = torch.arange(16).repeat(9) - 7.5 - 0.15 * 16 * field[neuron, 1]
        where = torch.exp(-(row**2 + column**2) / (2 * width**2))
        where = where / where.sum()
        where = where * (where > 1e-6)
        expected = sum(
            shortcut.filter.values[:, sample - time]
            * what[neuron]
            @ (energies[window, step] @ where)
            for step, time in enumerate(TIMES)
            if 0 <= sample - time <= 12
        )
        torch.testing.assert_close(drive[window, sample - 30, target], expected)


def test_the_gaze_moves_the_screen_the_other_way():
    spot = torch.zeros(1, 1, 1, 9, 16)
    spot[..., 4, 9] = 1.0
    right_by_two, down_by_one = 2 * 2 / 16, 2 * 1 / 9
    moved = shift_by_gaze(spot, torch.tensor([[[right_by_two, down_by_one]]]))
    assert moved.flatten().argmax() == 3 * 16 + 7
    torch.testing.assert_close(moved.sum(), torch.tensor(1.0))
    assert torch.equal(shift_by_gaze(spot, torch.zeros(1, 1, 2)), spot)


@pytest.mark.parametrize(("rows", "columns"), [(9, 16), (1, 4), (5, 1)])
def test_a_moved_screen_and_the_gradient_of_the_gaze_are_those_of_bilinear_sampling(rows, columns):
    def sampled(energy, gaze):
        x, y = (
            (2 * torch.arange(size, dtype=torch.float64) + 1) / size - 1 for size in (columns, rows)
        )
        position = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        moved = torch.nn.functional.grid_sample(
            energy.flatten(0, 1), position + gaze.reshape(-1, 1, 1, 2),
            padding_mode="border", align_corners=False,
        )  # fmt: skip
        return moved.view_as(energy)

    generator = torch.Generator().manual_seed(0)
    energy, weight = (
        torch.randn(2, 5, 3, rows, columns, generator=generator, dtype=torch.float64)
        for _ in range(2)
    )
    gaze = torch.randn(2, 5, 2, generator=generator, dtype=torch.float64).requires_grad_()
    found, expected = shift_by_gaze(energy, gaze), sampled(energy, gaze)
    torch.testing.assert_close(found, expected)
    of_found, of_expected = (
        torch.autograd.grad((x * weight).sum(), gaze) for x in (found, expected)
    )
    torch.testing.assert_close(of_found, of_expected)


def test_a_gaze_that_starts_at_rest_learns():
    energy, gaze = torch.randn(1, 4, 2, 6, 8), torch.zeros(1, 4, 2, requires_grad=True)
    shift_by_gaze(energy, gaze).square().sum().backward()
    assert (gaze.grad != 0).all()


def test_only_visible_gaze_moves_the_screen():
    shortcut = StimulusShortcut(8, (13.0,), VIDEO, 3)
    torch.nn.init.constant_(shortcut.gaze, 0.2)
    clip, behavior = torch.randn(1, 60, 36, 64), torch.ones(1, 3, 40)
    present = torch.tensor([0, 2])
    energy = shortcut.energy(clip, (0, 60))
    still = shortcut(energy, None, present)
    moved = shortcut(energy, behavior, present)
    expected = shift_by_gaze(energy, torch.full((1, 30, 2), 0.4))
    torch.testing.assert_close(moved, expected)
    assert not torch.allclose(moved, still)


def test_energies_of_a_time_constant_share_a_filter():
    shortcut = StimulusShortcut(
        8, (8.0, 13.0), VIDEO, 3, time_constants=(0.02, 0.09), shared_filters=True
    )
    torch.nn.init.normal_(shortcut.filter.values)
    each = shortcut.filter((30, 60))
    assert each.shape[0] == shortcut.energy.num_features
    fast, slow = each.chunk(2)
    assert torch.equal(fast, fast[:1].expand_as(fast))
    assert torch.equal(slow, slow[:1].expand_as(slow))
    assert not torch.equal(fast, slow)
    # Scales and directions of the first time constant are the first half of the energies.
    frames = torch.randn(1, 60, 36, 64)
    of_fast = StimulusShortcut(8, (8.0, 13.0), VIDEO, 3, time_constants=(0.02,)).energy
    both = shortcut.energy(frames, (0, 60))
    # A scale is normalized over both: the same directions are in proportion.
    ratio = both[:, 15:, : len(fast)] / of_fast(frames, (0, 60))[:, 15:]
    torch.testing.assert_close(
        ratio[:, :, :16], ratio[:, :, :1, :1, :1].expand_as(ratio[:, :, :16])
    )


def test_no_weight_of_a_narrow_field_is_too_small_for_a_fast_product():
    # Without a limit a field of half a position has weights that are subnormal numbers.
    shortcut = StimulusShortcut(8, (13.0,), VIDEO, 3, has_tuning=True, fitted_width=0.5)
    fitted = FittedFields(torch.zeros(1, 4), None)
    (where_P,) = shortcut.receptive_fields(torch.zeros(1, 8), fitted)
    assert float(where_P[where_P > 0].min()) > 1e-6
    assert float(where_P.sum()) == pytest.approx(1.0, abs=1e-5)
