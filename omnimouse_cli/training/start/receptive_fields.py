"""Centers of receptive fields in closed form: where motion energies explain a neuron best."""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.config.data import NUM_FRAMES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.model import FIELD_WEIGHTS
from omnimouse_cli.model.inputs import channel_numbers
from omnimouse_cli.model.motion_energy import TIMES
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.shortcuts.stimulus import (
    START_SPREAD,
    StimulusShortcut,
    without_tiny,
)
from omnimouse_cli.training.start.session_data import SessionData, TrainingReader

# S samples, F energies, P positions, C candidates for a center, R rows and Q columns of candidates,
# N neurons, M columns of the map from positions in the tissue

# Deviations of responses are clipped, in their standard deviations: large transients say as little
# about where a neuron looks as small ones, and would decide everything.
CLIP = 1.0
# Ridge penalty, as a share of the mean variance of an energy.
PENALTY = 2.0
# Candidates are half a position apart, or further on a large screen. The likelihood may be narrower
# than that, and its logarithm is smooth: it is interpolated.
MOST_CANDIDATES = 600
FINER = 2
# Neighboring samples say the same: a second, by which windows are apart, counts as two. With one,
# four and fifteen, tuning predicted the validation tier of a simulated session less well.
SAMPLES_OF_WINDOW = 2
# Products of energies and responses at all candidates: so many numbers at once.
MOST_PRODUCTS = 50_000_000
LEAST_VARIANCE = 1e-3
# No uncertainty is smaller, in positions.
LEAST_DEVIATION = 0.1


def fit_fields(reader: TrainingReader, core: OmniMouse, session: str, data: SessionData) -> Tensor:
    """Return centers and uncertainties of a session's neurons: `(neurons, 4)`.

    At each candidate the clipped responses are regressed on the energies around it; the explained
    variance gives the likelihood of the candidate. The prior is a Gaussian about a linear map of
    the neuron's place in the tissue (retinotopy), or about the mean center where places are not
    known, and is estimated from all neurons of the session.

    Args:
        reader: Reads the windows of the training tiers.
        core: Its stimulus shortcut gives the energies.
        session: Session key.
        data: The same windows.
    """
    stimulus = core.linear_paths.stimulus
    assert stimulus is not None, "fitted fields need the stimulus shortcut"
    sides = _candidates(stimulus.energy.grid)
    candidate_C2 = torch.cartesian_prod(*sides)
    num_neurons = data.responses.shape[2]
    if data.contrasts is None:
        return torch.zeros(num_neurons, FIELD_WEIGHTS)
    num_products = len(candidate_C2) * stimulus.energy.num_features
    step = max(MOST_PRODUCTS // num_products, 1)
    explained_CN = torch.cat(
        [
            _explained(
                reader.batches(session, reader.config.data.tiers),
                stimulus,
                data.responses,
                candidate_C2,
                slice(first, first + step),
            )
            for first in range(0, num_neurons, step)
        ],
        dim=1,
    )
    likelihood_CN = -SAMPLES_OF_WINDOW * len(data.responses) / 2 * torch.log1p(-explained_CN)
    finer_CN, finer_C2 = _interpolate(likelihood_CN, sides)
    position_um = reader.dataset.session(session).shard.position_um
    places_NM = torch.ones(num_neurons, 1, dtype=torch.float64)
    if position_um is not None:
        um_N2 = torch.tensor(position_um[:, :2], dtype=torch.float64)
        # A neuron without a place is put in the middle of the others.
        places_NM = torch.cat([places_NM, (um_N2 - um_N2.nanmean(0)).nan_to_num()], dim=1)
    center_N2, variance_N2 = _posterior(finer_CN, finer_C2, places_NM)
    unknown_2 = START_SPREAD * torch.tensor(stimulus.energy.grid, dtype=torch.float64)
    deviation_N2 = variance_N2.sqrt().clamp(min=LEAST_DEVIATION).minimum(unknown_2)
    return torch.cat([center_N2, (deviation_N2 / unknown_2).log()], dim=1).float()


def _candidates(grid: tuple[int, int]) -> list[Tensor]:
    """Return rows and columns of candidates from the middle of the screen, float64."""
    rows, columns = grid
    spacing = max(0.5, math.sqrt(rows * columns / MOST_CANDIDATES))
    sides = []
    for size in grid:
        half = (size - 1) / 2
        count = int(half / spacing)
        sides.append(torch.arange(-count, count + 1, dtype=torch.float64) * spacing)
    return sides


def _interpolate(likelihood_CN: Tensor, sides: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return likelihoods at candidates that are FINER times as dense, and these candidates.

    Args:
        likelihood_CN: Logarithm of the likelihood of each candidate.
        sides: Rows and columns of candidates, evenly spaced.

    Returns:
        `(candidates, neurons)` and `(candidates, 2)`.
    """
    num_neurons = likelihood_CN.shape[1]
    likelihood_N1RQ = likelihood_CN.T.reshape(num_neurons, 1, *map(len, sides))
    finer_sides = [
        torch.linspace(side[0], side[-1], (len(side) - 1) * FINER + 1, dtype=side.dtype)
        for side in sides
    ]
    finer_N1RQ = functional.interpolate(
        likelihood_N1RQ, size=[*map(len, finer_sides)], mode="bicubic", align_corners=True
    )
    return finer_N1RQ.flatten(1).T, torch.cartesian_prod(*finer_sides)


def _explained(
    batches: Iterable[Batch],
    stimulus: StimulusShortcut,
    responses_WSN: Tensor,
    candidate_C2: Tensor,
    neurons: slice,
) -> Tensor:
    """Return the share of variance that a ridge regression explains: `(candidates, neurons)`."""
    mean_N = responses_WSN[..., neurons].flatten(0, 1).mean(0)
    where_PC = weights_about(candidate_C2, stimulus).to(mean_N)
    num_features, num_candidates = stimulus.energy.num_features, where_PC.shape[1]
    square_CFF = mean_N.new_zeros(num_candidates, num_features, num_features)
    cross_CFN = mean_N.new_zeros(num_candidates, num_features, len(mean_N))
    sum_CF = mean_N.new_zeros(num_candidates, num_features)
    total_N, squares_N, count = torch.zeros_like(mean_N), torch.zeros_like(mean_N), 0
    for x_CSF, y_SN in local_energies(batches, stimulus, where_PC, neurons, mean_N):
        square_CFF += x_CSF.transpose(1, 2) @ x_CSF
        cross_CFN += x_CSF.transpose(1, 2) @ y_SN
        sum_CF += x_CSF.sum(1)
        total_N += y_SN.sum(0)
        squares_N += y_SN.square().sum(0)
        count += len(y_SN)
    mean_CF, mean_N = sum_CF / count, total_N / count
    square_CFF = square_CFF / count - mean_CF[:, :, None] * mean_CF[:, None]
    cross_CFN = cross_CFN / count - mean_CF[..., None] * mean_N
    variance_N = squares_N / count - mean_N.square()
    # Energies of an image that never changes vary by rounding only.
    scale = square_CFF.diagonal(dim1=1, dim2=2).mean(1).clamp(min=LEAST_VARIANCE)
    eye_FF = torch.eye(num_features, device=scale.device)
    ridge_CFF = square_CFF + PENALTY * scale[:, None, None] * eye_FF
    # Many small systems: a CPU solves them as fast.
    ridge_CFF, cross_CFN = ridge_CFF.cpu(), cross_CFN.cpu()
    slopes_CFN = torch.cholesky_solve(cross_CFN, torch.linalg.cholesky(ridge_CFF))
    explained_CN = (cross_CFN * slopes_CFN).sum(1) / variance_N.clamp(min=1e-12).cpu()
    # Where numbers are not finite, nothing is known.
    result_CN: Tensor = explained_CN.nan_to_num().clamp(0, 1 - 1e-6).double()
    return result_CN


def local_energies(
    batches: Iterable[Batch],
    stimulus: StimulusShortcut,
    where_PC: Tensor,
    neurons: slice,
    mean_N: Tensor,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield filtered energies and clipped deviations of responses in second halves of windows.

    Args:
        batches: Windows of a session.
        stimulus: Gives the energies.
        where_PC: Weights of positions, `(positions, candidates)`.
        neurons: Neurons whose responses are wanted.
        mean_N: Their mean responses.

    Returns:
        `(candidates, samples, features)` and `(samples, neurons)` of each batch.
    """
    samples = NUM_RESPONSE_SAMPLES // 2, NUM_RESPONSE_SAMPLES
    filter_FAT = stimulus.filter(samples)[:, :: TIMES.step]
    for batch in batches:
        energy_BTFYX = retinal_energies(batch, stimulus)
        filtered_BFAP = filter_FAT @ energy_BTFYX.transpose(1, 2).flatten(3)
        x_CSF = (filtered_BFAP @ where_PC).permute(3, 0, 2, 1).flatten(1, 2)
        yield x_CSF, clipped_deviations(batch, neurons, mean_N).flatten(0, 1)


def retinal_energies(batch: Batch, stimulus: StimulusShortcut) -> Tensor:
    """Return the motion energies of a batch, moved by the gaze: `(batch, 30, features, Y, X)`."""
    assert batch.video is not None, "there is a stimulus"
    behavior_BCS = None if batch.behavior is None else batch.behavior.nan_to_num()
    channels = channel_numbers(batch, batch.video.device)
    energy_BTFYX = stimulus.energy(batch.video, (0, NUM_FRAMES))
    retinal_BTFYX: Tensor = stimulus(energy_BTFYX, behavior_BCS, channels)
    return retinal_BTFYX


def clipped_deviations(batch: Batch, neurons: slice, mean_N: Tensor) -> Tensor:
    """Return every second response of the second half: `(batch, samples, neurons)`."""
    samples = slice(NUM_RESPONSE_SAMPLES // 2, NUM_RESPONSE_SAMPLES, TIMES.step)
    return (batch.responses[:, samples, neurons] - mean_N).clamp(-CLIP, CLIP)


def weights_about(candidate_C2: Tensor, stimulus: StimulusShortcut) -> Tensor:
    """Return a Gaussian of sum 1 about each candidate: `(positions, candidates)`."""
    sides = []
    for axis, size in enumerate(stimulus.energy.grid):
        position = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
        distance = (position - candidate_C2[:, axis, None]) / stimulus.fitted_width
        sides.append((-0.5 * distance.square()).softmax(dim=1))
    weights_CP = (sides[0][:, :, None] * sides[1][:, None]).flatten(1)
    return without_tiny(weights_CP).T


def _posterior(
    likelihood_CN: Tensor, candidate_C2: Tensor, places_NM: Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean and variance of centers given a linear map from places to centers.

    Args:
        likelihood_CN: Logarithm of the likelihood of each candidate.
        candidate_C2: Candidates.
        places_NM: Columns of the map.

    Returns:
        `(neurons, 2)` each.
    """
    center_N2, variance_N2 = _moments(likelihood_CN, candidate_C2)
    # Neurons without a clear center count little.
    weights_N = 1 / (1 + variance_N2.mean(1))
    scaled_NM = places_NM * weights_N.sqrt()[:, None]
    scaled_N2 = center_N2 * weights_N.sqrt()[:, None]
    # The default driver of torch 2.11 reads uninitialized memory: columns of 0 make all else 0.
    map_M2 = torch.linalg.lstsq(scaled_NM, scaled_N2, driver="gelsd").solution
    expected_N2 = places_NM @ map_M2
    scatter_N2 = (center_N2 - expected_N2).square() - variance_N2
    scatter_2 = ((scatter_N2 * weights_N[:, None]).sum(0) / weights_N.sum()).clamp(min=0.25**2)
    distance_CN2 = candidate_C2[:, None] - expected_N2
    prior_CN = -(distance_CN2.square() / scatter_2).sum(2) / 2
    return _moments(likelihood_CN + prior_CN, candidate_C2)


def _moments(log_CN: Tensor, candidate_C2: Tensor) -> tuple[Tensor, Tensor]:
    share_NC = log_CN.softmax(dim=0).T
    mean_N2 = share_NC @ candidate_C2
    # Rounding makes the variance of a center that is certain negative.
    variance_N2 = (share_NC @ candidate_C2.square() - mean_N2.square()).clamp(min=0)
    return mean_N2, variance_N2
