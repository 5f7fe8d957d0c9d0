"""The population, stimulus and behavior shortcuts of a model, each there if its option is set."""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.model.inputs import ModelInputs, TargetNeurons
from omnimouse_cli.model.motion_energy import TIMES, energy_grid
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.model.shortcuts.behavior import BehaviorShortcut
from omnimouse_cli.model.shortcuts.decoding import DecodingShortcut
from omnimouse_cli.model.shortcuts.encoding import Components, EncodingShortcut
from omnimouse_cli.model.shortcuts.factors import FactorShortcut, split_weights
from omnimouse_cli.model.shortcuts.population import PopulationShortcut
from omnimouse_cli.model.shortcuts.stimulus import FittedFields, StimulusShortcut

# B batch, A target samples, G target neurons, C channels, S samples, N neurons of the session

# Beginnings of the names of all shortcuts' parameters in the core. The filter of the history
# shortcut is part of the read-out, as the names of weights in existing files have it.
SHORTCUT_PARAMETERS = ("linear_paths.", "readout.own_history.filter")


def is_shortcut_parameter(name: str) -> bool:
    """Whether a parameter of the core, by its name, belongs to a shortcut.

    Example:
        >>> is_shortcut_parameter("linear_paths.population.write.weight")
        True
        >>> is_shortcut_parameter("readout.project.weight")
        False
    """
    return name.startswith(SHORTCUT_PARAMETERS)


def num_energy_steps(inputs: ModelInputs) -> int:
    """Return how many time steps reach to the last sample that is a target or a visible response.

    Later energies change no prediction. Samples between two steps are interpolated, so that the
    last step is not before the last sample.
    """
    targets = inputs.task.strategy.targets
    ends = [segment.last for segment in inputs.sequences.segments]
    last_sample: int = max([*ends, *(targets or ())]) - 1
    return min(sum(time < last_sample for time in TIMES) + 1, len(TIMES))


class Contributions(NamedTuple):
    """Terms that shortcuts add to the read-outs.

    Args:
        drives: Added to the drive of target neurons: stimulus and population. Each
            `(batch, target samples, targets)`.
        gains: Logarithms of factors of their responses, as `drives`: behavior and the state of the
            population change how much a neuron responds rather than to what.
        channels: Added to the session's behavior channels, each `(batch, channels, 40)`.
        deviation: Expected deviation of the responses from their means by the linear models, as
            `drives`, in the units of responses; None without them.
    """

    drives: list[Tensor]
    gains: list[Tensor]
    channels: list[Tensor]
    deviation: Tensor | None = None


class Shortcuts(nn.Module):
    """Population, stimulus and behavior shortcuts.

    Args:
        config: Configuration of the model.
        num_channels: Behavior channels of the data set.
    """

    def __init__(self, config: ModelConfig, num_channels: int) -> None:
        super().__init__()
        decoder, width = config.decoder, config.d_embedding
        self._decoder = decoder
        # Beside the linear decoder, sums that are learned for behavior overfit short recordings.
        num_decoded = 0 if decoder.linear_rank else num_channels
        self.population = (
            PopulationShortcut(width, decoder.population_rank, num_decoded)
            if decoder.population_rank
            else None
        )
        self.stimulus = (
            StimulusShortcut(
                width,
                decoder.motion_wavelengths,
                config.video,
                num_channels,
                time_constants=decoder.motion_time_constants,
                envelope=decoder.motion_envelope,
                transience=decoder.motion_transience,
                has_tuning=decoder.num_tuning_weights > 0,
                fitted_width=decoder.fitted_width,
                shared_filters=decoder.shared_filters,
            )
            if decoder.motion_wavelengths
            else None
        )
        self.behavior = (
            BehaviorShortcut(width, decoder.behavior_rank, num_channels)
            if decoder.behavior_rank and num_channels
            else None
        )
        self.encoding, self.factors, self.decoding = None, None, None
        if decoder.linear_rank:
            features = self.stimulus.energy.num_features if self.stimulus is not None else 0
            self.encoding = EncodingShortcut(
                features, energy_grid(config.video), num_channels, decoder.linear_rank
            )
            self.factors = FactorShortcut(decoder.linear_rank)
            self.decoding = DecodingShortcut(num_channels) if num_channels else None

    def forward(
        self,
        inputs: ModelInputs,
        embeddings: SessionEmbeddings,
        resting_rate_N: Tensor,
        targets: TargetNeurons | None,
    ) -> Contributions:
        """Compute the terms of all shortcuts whose inputs are visible.

        Args:
            inputs: Prepared forward pass.
            embeddings: Session embeddings.
            resting_rate_N: Response of each neuron of the session without any input.
            targets: Neurons whose responses are predicted; None if none are.
        """
        result = Contributions([], [], [])
        task, vectors_NE = inputs.task, embeddings.neuron_embeddings
        decodes = task.num_target_channels > 0 and self.decoding is None
        is_read = targets is not None or decodes
        if self.population is not None and inputs.sequences.segments and is_read:
            state_BSR = self.population(inputs, vectors_NE, resting_rate_N)
            if targets is not None:
                result.drives.append(self.population.drive(state_BSR, vectors_NE, targets))
                result.gains.append(self.population.gain(state_BSR, vectors_NE, targets))
            if decodes:
                traces_BCS = self.population.behavior(state_BSR, inputs.channels)
                result.channels.append(traces_BCS)
        if self.decoding is not None and inputs.sequences.segments and task.num_target_channels:
            assert self.factors is not None, "the linear models come together"
            weights = split_weights(embeddings.neuron_weights, self._decoder)
            result.channels.append(self.decoding(inputs, weights.decoding))
        if targets is None:
            return result
        behavior_BCS = inputs.batch.behavior if task.num_input_channels else None
        frames = task.strategy.video if self.stimulus is not None and task.has_video else None
        shown = task.strategy.behavior_samples if task.num_input_channels else None
        num_steps = num_energy_steps(inputs)
        energy = cache(partial(self._energy, inputs.batch.video, frames, num_steps))
        if self.stimulus is not None and frames is not None:
            drive = partial(self._drive, inputs, embeddings, energy)
            key = ("stimulus drive", frames, shown, num_steps, task.strategy.targets)
            result.drives.append(inputs.compute_once(key, targets, drive))
        if self.behavior is not None and behavior_BCS is not None:
            state_BSR = self.behavior(behavior_BCS, inputs.channels)
            result.gains.append(self.behavior.gain(state_BSR, vectors_NE, targets))
        if self.encoding is None:
            return result
        components = None
        if frames is not None or behavior_BCS is not None:
            encoding = self.encoding
            both = inputs.batch.compute_once(
                ("encoding", frames, shown, num_steps),
                lambda: torch.stack(encoding(energy(), behavior_BCS, inputs.channels)),
            )
            components = Components(*both)
        deviation_BAG = self._deviation(inputs, embeddings, resting_rate_N, targets, components)
        return result._replace(deviation=deviation_BAG)

    def _drive(
        self,
        inputs: ModelInputs,
        embeddings: SessionEmbeddings,
        energy: Callable[[], Tensor | None],
        targets: TargetNeurons,
    ) -> Tensor:
        """Return the term of the stimulus: `(batch, target samples, targets)`."""
        assert self.stimulus is not None, "the model has a stimulus shortcut"
        behavior_BCS = inputs.batch.behavior if inputs.task.num_input_channels else None
        # The gaze, a behavior channel, shifts the energies.
        state_BTFYX = self.stimulus(energy(), behavior_BCS, inputs.channels)
        vectors_NE, fitted = embeddings.neuron_embeddings, self._fitted(embeddings)
        return self.stimulus.drive(state_BTFYX, vectors_NE, targets, fitted)

    def _fitted(self, embeddings: SessionEmbeddings) -> FittedFields:
        if not self._decoder.fits_fields:
            return FittedFields()
        weights = split_weights(embeddings.neuron_weights, self._decoder)
        return FittedFields(weights.field, weights.tuning)

    def _energy(
        self, video_BTYX: Tensor | None, frames: tuple[int, int] | None, num_steps: int
    ) -> Tensor | None:
        """Return motion energies on the screen; None where the video is hidden."""
        if self.stimulus is None or frames is None:
            return None
        energy_BTFYX: Tensor = self.stimulus.energy(video_BTYX, frames, num_steps)
        return energy_BTFYX

    def _deviation(
        self,
        inputs: ModelInputs,
        embeddings: SessionEmbeddings,
        resting_rate_N: Tensor,
        targets: TargetNeurons,
        components: Components | None,
    ) -> Tensor | None:
        """Return the deviation that stimulus, behavior and visible responses predict."""
        assert self.factors is not None, "the linear models come together"
        assert targets.strategy.targets is not None, "responses are predicted"
        weights = split_weights(embeddings.neuron_weights, self._decoder)
        terms = []
        if components is not None:
            of_targets_BAP = components.beside_drive[:, slice(*targets.strategy.targets)]
            terms.append(of_targets_BAP @ weights.encoding[targets.neurons].transpose(1, 2))
        if inputs.sequences.segments:
            # The iterations would store much for a gradient that only an attack could use.
            with torch.no_grad():
                whole_BSP = None if components is None else components.whole
                terms.append(self.factors(inputs, targets, weights, resting_rate_N, whole_BSP))
        return torch.stack(terms).sum(0) if terms else None
