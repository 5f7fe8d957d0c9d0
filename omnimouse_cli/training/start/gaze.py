"""The gaze in closed form: how far behavior shifts receptive fields."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.model import VideoConfig
from omnimouse_cli.model.motion_energy import TIMES
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.shortcuts.behavior import sample_and_hold
from omnimouse_cli.model.shortcuts.stimulus import GAZE_AXES, StimulusShortcut
from omnimouse_cli.training.start.receptive_fields import (
    clipped_deviations,
    fit_fields,
    retinal_energies,
    weights_about,
)
from omnimouse_cli.training.start.session_data import SessionData, TrainingReader
from omnimouse_cli.training.start.tuning import fit_tuning

# B windows, T time steps, A samples, F energies, P positions, N neurons, C channels of the data
# set, K = C x 2 numbers of the gaze, G axes of the gaze, M = (1 + G) x N

# So many neurons of a session tell the gaze.
MOST_NEURONS = 256
# Centers are moved by this to find slopes, in positions.
STEP = 0.25
# Ridge penalty, as a share of the mean second moment: for channels that are always 0.
PENALTY = 1e-3


def fit_gaze(
    reader: TrainingReader, core: OmniMouse, sessions: Sequence[tuple[str, SessionData]]
) -> Tensor:
    """Return how far each behavior channel shifts receptive fields: `(channels, 2)`.

    Centers and tuning are fitted without a gaze. A small shift then changes a predicted response by
    its slope along the screen, so that shifts are slopes of a linear regression of what tuning
    leaves of the responses (a step of Gauss and Newton).

    Args:
        reader: Reads the windows of the training tiers.
        core: Its stimulus shortcut has a gaze of 0.
        sessions: Keys, and the same windows.

    Returns:
        float32, right and down, in halves of the screen's width and height per standard deviation
        of a channel; 0 where no session has stimulus and behavior.
    """
    stimulus = core.linear_paths.stimulus
    assert stimulus is not None, "fitted tuning needs the stimulus shortcut"
    assert stimulus.gaze is not None, "the gaze is computed from behavior channels"
    num_shifts = stimulus.gaze.numel()
    square_KK = torch.zeros(num_shifts, num_shifts, dtype=torch.float64)
    cross_K = torch.zeros(num_shifts, dtype=torch.float64)
    for session, data in sessions:
        if data.contrasts is None or data.traces is None:
            continue
        field_N4 = fit_fields(reader, core, session, data)
        tuning_NF = fit_tuning(reader, core, session, data, field_N4)
        batches = reader.batches(session, reader.config.data.tiers)
        for x_SK, y_S in _slopes(batches, stimulus, data.responses, field_N4, tuning_NF):
            square_KK += (x_SK.T @ x_SK).double().cpu()
            cross_K += (x_SK.T @ y_S).double().cpu()
    scale = square_KK.diagonal().mean().clamp(min=torch.finfo(torch.float32).tiny)
    ridge_KK = square_KK + PENALTY * scale * torch.eye(num_shifts, dtype=torch.float64)
    shifts_K: Tensor = torch.linalg.solve(ridge_KK, cross_K)
    return shifts_K.view_as(stimulus.gaze).float()


def describe_gaze(gaze_C2: Tensor, channels: Sequence[str], video: VideoConfig) -> str:
    """Return the channel that shifts receptive fields most, and by how much, as a text."""
    halves_2 = torch.tensor([video.frame_width, video.frame_height], device=gaze_C2.device) / 2
    pixels_C = (gaze_C2 * halves_2).norm(dim=1)
    channel = int(pixels_C.argmax())
    return (
        f"a standard deviation of {channels[channel]} shifts receptive fields by "
        f"{float(pixels_C[channel]):.1f} pixels"
    )


def _slopes(
    batches: Iterable[Batch],
    stimulus: StimulusShortcut,
    responses_WSN: Tensor,
    field_N4: Tensor,
    tuning_NF: Tensor,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield slopes of responses along each shift `(S, K)`, and what tuning leaves of them `(S,)`.

    S are samples of all neurons.
    """
    every = slice(None, None, -(-len(tuning_NF) // MOST_NEURONS))
    mean_N = responses_WSN[..., every].flatten(0, 1).mean(0)
    where_PM = _where_and_slopes(field_N4[every, :GAZE_AXES].double(), stimulus)
    where_PM, tuning_FN = where_PM.to(mean_N), tuning_NF[every].to(mean_N).T
    filter_FAT = stimulus.filter((NUM_RESPONSE_SAMPLES // 2, NUM_RESPONSE_SAMPLES))
    filter_FAT = filter_FAT[:, :: TIMES.step]
    for batch in batches:
        assert batch.behavior is not None, "there is behavior"
        held_BTC = sample_and_hold(batch.behavior.nan_to_num())[:, TIMES.start :: TIMES.step]
        local_BTFM = retinal_energies(batch, stimulus).flatten(3) @ where_PM
        local_BTFGN = local_BTFM.view(*local_BTFM.shape[:3], 1 + GAZE_AXES, -1)
        local_BTFGN = local_BTFGN * tuning_FN[:, None]
        drive_BAN = torch.einsum("btfn,fat->ban", local_BTFGN[..., 0, :], filter_FAT)
        # Behavior shifts energies before they are filtered in time.
        slope_BANCG = torch.einsum(
            "btfgn,fat,btc->bancg", local_BTFGN[..., 1:, :], filter_FAT, held_BTC
        )
        left_BAN = clipped_deviations(batch, every, mean_N) - drive_BAN
        # Slopes and what is left may have an offset.
        slope_BANCG = slope_BANCG - slope_BANCG.mean((0, 1))
        left_BAN = left_BAN - left_BAN.mean((0, 1))
        # A neuron without numbers says nothing.
        yield slope_BANCG.flatten(3).flatten(0, 2), left_BAN.nan_to_num().flatten()


def _where_and_slopes(center_N2: Tensor, stimulus: StimulusShortcut) -> Tensor:
    """Return weights of positions and their slopes along the axes of the gaze: `(P, 3 x N)`."""
    parts = [weights_about(center_N2, stimulus)]
    # The gaze is right and down, centers are rows and columns.
    for axis in (1, 0):
        step_2 = STEP * torch.eye(GAZE_AXES, dtype=center_N2.dtype)[axis]
        before, after = (
            weights_about(center_N2 - step_2, stimulus),
            weights_about(center_N2 + step_2, stimulus),
        )
        parts.append((after - before) / (2 * STEP) * stimulus.energy.grid[axis] / 2)
    return torch.cat(parts, dim=1)
