"""The stimulus shortcut: from motion energies in a receptive field to the drive of a neuron."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.config.model import FITTED_WIDTH, MOTION_ENVELOPE, VideoConfig
from omnimouse_cli.model.initialize import linear
from omnimouse_cli.model.inputs import TargetNeurons
from omnimouse_cli.model.motion_energy import TIME_CONSTANT_SECONDS, TIMES, MotionEnergy
from omnimouse_cli.model.shortcuts.behavior import sample_and_hold
from omnimouse_cli.model.shortcuts.filters import LagFilter

# B batch, T time steps, Y rows, X columns, P = Y x X positions, F features, A target samples,
# K target samples x features, G target neurons, N neurons of the session, C channels,
# E width of neuron embeddings, I windows x time steps; in `shift_by_gaze` K also rows x features
# and features x columns

# Responses follow the stimulus for 400 ms, at first with the decay of a calcium indicator.
LONGEST_LAG = 12
STIMULUS_LAGS = LONGEST_LAG + 1
INDICATOR_DECAY = 0.8
# Receptive fields start scattered about the middle, by this share of the rows and columns.
START_SPREAD = 0.15
# Their width, in positions, and the scatter of its logarithm.
START_WIDTH, WIDTH_SPREAD = 1.5, 0.3
# Smaller weights of positions are 0.
LEAST_WEIGHT = 1e-6
# Row, column and width of a receptive field; right and down.
FIELD_NUMBERS, GAZE_AXES = 3, 2


class FittedFields(NamedTuple):
    """What was computed of neurons before training; nothing where it is learned.

    Args:
        center: `(neurons, 4)`: centers from the middle of the screen, and logarithms of their
            uncertainties as a share of the spread of unknown ones.
        tuning: `(neurons, features)`: weights of motion energies about the center.
    """

    center: Tensor | None = None
    tuning: Tensor | None = None


NOTHING_FITTED = FittedFields()


class StimulusShortcut(nn.Module):
    """Weights motion energies in a Gaussian receptive field.

    Field and weights are linear in a neuron's embedding, unless they are fitted before training:
    then training scales the weights, and moves the center of the field unless its width is given.

    Through attention a neuron's tuning is learned slowly. A read-out that factorizes into where and
    what over a fixed basis, as in encoding models of visual cortex, finds it in minutes.

    Args:
        d_embedding: Width of neuron embeddings.
        wavelengths: Scales of the motion energies, in pixels.
        video: Configuration of the video encoder, with the size of frames.
        num_channels: Behavior channels of the data set, from which the gaze is computed.
        time_constants: Time constants of the motion energies, in seconds.
        envelope: Standard deviation of their Gabors over the wavelength.
        transience: Share of the area of their filters in time that a later phase takes back.
        has_tuning: Whether weights of motion energies are fitted before training.
        fitted_width: Width of receptive fields that stay as fitted, in positions; None trains them.
        shared_filters: Whether all energies of a time constant share a learned filter in time.
    """

    def __init__(
        self,
        d_embedding: int,
        wavelengths: tuple[float, ...],
        video: VideoConfig,
        num_channels: int,
        *,
        time_constants: tuple[float, ...] = (TIME_CONSTANT_SECONDS,),
        envelope: float = MOTION_ENVELOPE,
        transience: float = 0.0,
        has_tuning: bool = False,
        fitted_width: float | None = None,
        shared_filters: bool = False,
    ) -> None:
        super().__init__()
        self.fitted_width = FITTED_WIDTH if fitted_width is None else fitted_width
        self.energy = MotionEnergy(wavelengths, video, time_constants, envelope, transience)
        self.gaze = nn.Parameter(torch.zeros(num_channels, GAZE_AXES)) if num_channels else None
        is_fixed = has_tuning and fitted_width is not None
        self.field = None if is_fixed else linear(d_embedding, FIELD_NUMBERS, bias=False)
        # Weights are learned, or fitted weights are multiplied by exp(gain): they were fitted to
        # clipped responses, and are too small. Random ones would be noise that has to be unlearned.
        self.what, self.gain = None, None
        if has_tuning:
            self.gain = linear(d_embedding, 1, bias=True)
            nn.init.zeros_(self.gain.weight)
        else:
            self.what = linear(d_embedding, self.energy.num_features, bias=False)
            nn.init.zeros_(self.what.weight)
        # Embeddings start with a norm of 1: this scales weights to a variance of 1.
        self.scale = d_embedding**0.5
        decay = INDICATOR_DECAY ** torch.arange(float(STIMULUS_LAGS))
        self.filter = LagFilter(
            self.energy.num_features,
            earliest=LONGEST_LAG,
            times=TIMES,
            start=2 * decay / decay.sum(),
            shared_by=self.energy.num_features // len(time_constants) if shared_filters else 1,
        )

    def forward(
        self, energy_BTFYX: Tensor, behavior_BCS: Tensor | None, channels: Tensor
    ) -> Tensor:
        """Return the motion energies on the retina: `(batch, steps, features, rows, columns)`.

        Args:
            energy_BTFYX: Motion energies on the screen, from `energy`, of the first steps.
            behavior_BCS: Behavior `(batch, channels of the data set, 40)`; None if it is hidden.
            channels: Numbers of the session's channels.
        """
        if behavior_BCS is None or self.gaze is None:
            return energy_BTFYX
        # A slice, as an index would be copied to the device.
        held_BTC = sample_and_hold(behavior_BCS[:, channels])[:, TIMES.start :: TIMES.step]
        gaze_BT2 = held_BTC[:, : energy_BTFYX.shape[1]] @ self.gaze[channels]
        return shift_by_gaze(energy_BTFYX, gaze_BT2)

    def drive(
        self,
        state_BTFYX: Tensor,
        vectors_NE: Tensor,
        targets: TargetNeurons,
        fitted: FittedFields = NOTHING_FITTED,
    ) -> Tensor:
        """Return the term of the drive: `(batch, target samples, targets)`.

        Args:
            state_BTFYX: Motion energies on the retina, at least up to the last target sample.
            vectors_NE: Neuron embeddings of the session.
            targets: Neurons whose responses are predicted.
            fitted: Centers and tuning that training starts from.
        """
        assert targets.strategy.targets is not None
        filter_FAT: Tensor = self.filter(targets.strategy.targets)[..., : state_BTFYX.shape[1]]
        filtered_BFAP = filter_FAT @ state_BTFYX.transpose(1, 2).flatten(3)
        where_NP = self.receptive_fields(vectors_NE, fitted)
        where_BGP = functional.embedding(targets.neurons, where_NP)
        # First where, then what: weights of both for every neuron of every window are large.
        features, filtered_BKP = filter_FAT.shape[0], filtered_BFAP.flatten(1, 2)
        local_BGK = where_BGP @ filtered_BKP.transpose(1, 2)
        local_BGFA = local_BGK.view(*targets.neurons.shape, features, -1)
        what_BGF = functional.embedding(targets.neurons, self._tuning(vectors_NE, fitted))
        drive_BGA = (what_BGF[:, :, None] @ local_BGFA)[:, :, 0]
        return drive_BGA.transpose(1, 2)

    def _tuning(self, vectors_NE: Tensor, fitted: FittedFields) -> Tensor:
        """Return the weight of each motion energy: `(neurons, features)`."""
        if self.what is not None:
            what_NF: Tensor = self.what(vectors_NE) * (self.scale / self.energy.num_features**0.5)
            return what_NF
        assert self.gain is not None, "tuning is learned or fitted"
        assert fitted.tuning is not None, "tuning is fitted"
        gain_N1: Tensor = self.gain(vectors_NE).exp()
        return fitted.tuning * gain_N1

    def receptive_fields(self, vectors_NE: Tensor, fitted: FittedFields = NOTHING_FITTED) -> Tensor:
        """Return a Gaussian over positions of sum 1 for every neuron: `(neurons, positions)`.

        Args:
            vectors_NE: Neuron embeddings of the session.
            fitted: Centers, which training moves by about their uncertainty unless fields are
                fixed; None learns centers from the middle of the screen.
        """
        center_N2, width_N1 = self._centers_and_widths(vectors_NE, fitted)
        sides = []
        for axis, size in enumerate(self.energy.grid):
            position = torch.arange(size, device=vectors_NE.device) - (size - 1) / 2
            distance = position - center_N2[:, axis, None]
            sides.append((-0.5 * (distance / width_N1).square()).softmax(dim=1))
        return without_tiny((sides[0][:, :, None] * sides[1][:, None]).flatten(1))

    def _centers_and_widths(
        self, vectors_NE: Tensor, fitted: FittedFields
    ) -> tuple[Tensor, Tensor | float]:
        if self.field is None:
            assert fitted.center is not None, "fixed fields have fitted centers"
            return fitted.center[:, :GAZE_AXES], self.fitted_width
        field_N3: Tensor = self.field(vectors_NE) * self.scale
        start_width = START_WIDTH if self.gain is None else self.fitted_width
        width_N1 = start_width * torch.exp(WIDTH_SPREAD * field_N3[:, 2:])
        sizes = self.energy.grid
        columns = [START_SPREAD * size * field_N3[:, axis] for axis, size in enumerate(sizes)]
        center_N2 = torch.stack(columns, dim=1)
        if fitted.center is not None:
            uncertainty_N2 = fitted.center[:, GAZE_AXES:].exp()
            center_N2 = fitted.center[:, :GAZE_AXES] + uncertainty_N2 * center_N2
        return center_N2, width_N1


def without_tiny(weights_NP: Tensor) -> Tensor:
    """Replace weights below LEAST_WEIGHT by 0.

    A product with numbers too small for float32 takes a CPU twenty times as long.
    """
    return weights_NP.where(weights_NP > LEAST_WEIGHT, 0.0)


def shift_by_gaze(energy_BTFYX: Tensor, gaze_BT2: Tensor) -> Tensor:
    """Shift a map against the gaze by bilinear interpolation; edges are repeated outwards.

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
    shifted_IKX = across_IKX @ _interpolation(right_BT, columns).transpose(1, 2)
    return shifted_IKX.view(energy_BTYFX.shape).transpose(2, 3)


def _interpolation(shift_BT: Tensor, size: int) -> Tensor:
    """Return interpolation matrices that shift a line of `size` by shares of its half.

    Returns:
        `(windows x steps, shifted positions, positions)`.
    """
    position_P = torch.arange(size, device=shift_BT.device)
    source_IP = position_P + shift_BT.reshape(-1, 1) * (size / 2)
    source_IP = source_IP.clamp(0, size - 1)
    before_IP = source_IP.detach().floor().clamp(max=max(size - 2, 0))
    fraction_IP1 = (source_IP - before_IP)[..., None]
    distance_IPP = position_P - before_IP[..., None]
    zero = fraction_IP1.new_zeros(())
    return torch.where(
        distance_IPP == 0, 1 - fraction_IP1, torch.where(distance_IPP == 1, fraction_IP1, zero)
    )
