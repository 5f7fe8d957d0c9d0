"""The stimulus on a short way to every read-out: motion energies in a receptive field."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.config.model import VideoConfig
from omnimouse_cli.model.behavior_state import held
from omnimouse_cli.model.initialize import linear
from omnimouse_cli.model.lags import LagFilter
from omnimouse_cli.model.motion_energy import TIMES, MotionEnergy

# B batch, T frames, P places, F features, A asked samples, K samples x features, G target neurons,
# N neurons of the session, E width of neuron vectors, C channels, X windows x places,
# I windows x frames; K also rows x features, of one, and features x columns

# Responses follow what is seen for 400 ms, at first as a calcium indicator does.
LONGEST_LAG = 12
STIMULUS_LAGS = LONGEST_LAG + 1
INDICATOR_KEEPS = 0.8
# Receptive fields start scattered about the middle, by this share of the rows and columns.
START_SPREAD = 0.15
# Their width, in places, and how much its logarithm scatters.
START_WIDTH, WIDTH_SPREAD = 1.5, 0.3
# Row, column and width of a receptive field; right and down.
FIELD_NUMBERS, GAZE_AXES = 3, 2


class StimulusState(nn.Module):
    """Each neuron weighs motion energies in a Gaussian field; its vector decides which and where.

    Through attention a neuron's tuning is learned slowly. A read-out that factorizes into where and
    what over a known basis, as encoding models of visual cortex have it, finds it in minutes.

    Args:
        d_embedding: Width of neuron vectors.
        wavelengths: Scales of the motion energies, in pixels.
        video: Gives the frame's size.
        num_channels: Behavior channels of the data set, from which the gaze is read.
    """

    def __init__(
        self,
        d_embedding: int,
        wavelengths: tuple[float, ...],
        video: VideoConfig,
        num_channels: int,
    ) -> None:
        super().__init__()
        self.energy = MotionEnergy(wavelengths, video)
        self.gaze = nn.Parameter(torch.zeros(num_channels, GAZE_AXES)) if num_channels else None
        self.field = linear(d_embedding, FIELD_NUMBERS, bias=False)
        self.what = linear(d_embedding, self.energy.num_features, bias=False)
        # Random tuning would be noise that has to be unlearned.
        nn.init.zeros_(self.what.weight)
        # Vectors start at a norm of 1: this brings what they weigh to a variance of 1.
        self.scale = d_embedding**0.5
        kept = INDICATOR_KEEPS ** torch.arange(float(STIMULUS_LAGS))
        self.filter = LagFilter(
            self.energy.num_features,
            earliest=LONGEST_LAG,
            times=TIMES,
            start=2 * kept / kept.sum(),
        )

    def forward(
        self,
        video_BTYX: Tensor,
        frames: tuple[int, int],
        behavior_BCS: Tensor | None,
        present: Tensor,
    ) -> Tensor:
        """Give the motion energies on the retina: `(batch, 30, features, rows, columns)`.

        Args:
            video_BTYX: float32 `(batch, 60, height, width)`.
            frames: First and last frame that is seen.
            behavior_BCS: Behavior, if it is seen: `(batch, channels of the data set, 40)`.
            present: Numbers of the session's channels.
        """
        energy_BTFYX: Tensor = self.energy(video_BTYX, frames)
        if behavior_BCS is not None and self.gaze is not None:
            gaze_BT2 = held(behavior_BCS[:, present])[:, TIMES] @ self.gaze[present]
            energy_BTFYX = look(energy_BTFYX, gaze_BT2)
        return energy_BTFYX

    def responses(
        self, state_BTFYX: Tensor, vectors_NE: Tensor, neurons_BG: Tensor, asked: tuple[int, int]
    ) -> Tensor:
        """Give what the stimulus adds to the drive of asked neurons: `(batch, asked, targets)`."""
        filter_FAT: Tensor = self.filter(asked)
        lagged_BFAP = filter_FAT @ state_BTFYX.transpose(1, 2).flatten(3)
        where_NP = self.where(vectors_NE).to(lagged_BFAP.dtype)
        where_BGP = functional.embedding(neurons_BG, where_NP)
        # First where, then what: weights of both for every neuron of every window are large. A
        # neuron's numbers come to lie together, so that what it weighs is read in one go.
        features, lagged_BKP = filter_FAT.shape[0], lagged_BFAP.flatten(1, 2)
        seen_BGK = where_BGP @ lagged_BKP.transpose(1, 2)
        seen_BGFA = seen_BGK.view(*neurons_BG.shape, features, -1)
        what_NF: Tensor = self.what(vectors_NE) * (self.scale / features**0.5)
        what_BGF = functional.embedding(neurons_BG, what_NF.to(seen_BGFA.dtype))
        drive_BGA = (what_BGF[:, :, None] @ seen_BGFA)[:, :, 0]
        return drive_BGA.transpose(1, 2)

    def where(self, vectors_NE: Tensor) -> Tensor:
        """Give every neuron's receptive field, a Gaussian over places of sum 1: `(N, places)`."""
        field_N3: Tensor = self.field(vectors_NE) * self.scale
        width_N1 = START_WIDTH * torch.exp(WIDTH_SPREAD * field_N3[:, 2:])
        sides = []
        for axis, size in enumerate(self.energy.grid):
            place = torch.arange(size, device=vectors_NE.device) - (size - 1) / 2
            distance = place - START_SPREAD * size * field_N3[:, axis, None]
            sides.append((-0.5 * (distance / width_N1).square()).softmax(dim=1))
        return (sides[0][:, :, None] * sides[1][:, None]).flatten(1)


def look(energy_BTFYX: Tensor, gaze_BT2: Tensor) -> Tensor:
    """Move a map against the gaze, by bilinear interpolation; beyond its edge it goes on.

    Args:
        energy_BTFYX: `(batch, steps, features, rows, columns)`.
        gaze_BT2: Right and down, `(batch, steps, 2)`, in halves of the map's width and height.
    """
    rows, columns = energy_BTFYX.shape[3:]
    right_BT, down_BT = gaze_BT2.unbind(-1)
    energy_BTYFX = energy_BTFYX.transpose(2, 3)
    energy_IYK = energy_BTYFX.reshape(right_BT.numel(), rows, -1)
    down_IYK = _interpolation(down_BT, rows) @ energy_IYK
    across_IKX = down_IYK.view(right_BT.numel(), -1, columns)
    moved_IKX = across_IKX @ _interpolation(right_BT, columns).transpose(1, 2)
    return moved_IKX.view(energy_BTYFX.shape).transpose(2, 3)


def _interpolation(shift_BT: Tensor, size: int) -> Tensor:
    """Give what each place takes from every one, a line of `size` moved by a share of its half.

    Returns:
        `(batch * steps, places, places)`.
    """
    place_P = torch.arange(size, device=shift_BT.device)
    position_IP = place_P + shift_BT.reshape(-1, 1) * (size / 2)
    position_IP = position_IP.clamp(0, size - 1)
    before_IP = position_IP.detach().floor().clamp(max=max(size - 2, 0))
    of_next_IP1 = (position_IP - before_IP)[..., None]
    distance_IPP = place_P - before_IP[..., None]
    zero = of_next_IP1.new_zeros(())
    return torch.where(
        distance_IPP == 0, 1 - of_next_IP1, torch.where(distance_IPP == 1, of_next_IP1, zero)
    )
