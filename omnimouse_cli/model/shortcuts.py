"""Ways past the transformer: from population, stimulus and behavior straight to read-outs."""

from typing import NamedTuple

from torch import Tensor, nn

from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.model.behavior_state import BehaviorState
from omnimouse_cli.model.population_state import PopulationState
from omnimouse_cli.model.prepare import Prepared
from omnimouse_cli.model.readout import Added
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.model.stimulus_state import StimulusState

# B batch, A asked samples, G target neurons, C channels, S samples, L tokens, N neurons,
# R rank of a state


# Beginnings of the names of their parameters in the core.
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


class States(NamedTuple):
    """What was seen, in a few numbers per time; None where nothing was, or the way is closed.

    Args:
        population: `(batch, 60, rank)`.
        stimulus: `(batch, 30, features, rows, columns)`.
        behavior: `(batch, 60, rank)`.
    """

    population: Tensor | None
    stimulus: Tensor | None
    behavior: Tensor | None


class LinearPaths(nn.Module):
    """States of population, stimulus and behavior, each there if its option is set.

    Args:
        config: Of the model.
        num_channels: Behavior channels of the data set.
    """

    def __init__(self, config: ModelConfig, num_channels: int) -> None:
        super().__init__()
        of_population, of_behavior = config.decoder.population_rank, config.decoder.behavior_rank
        wavelengths = config.decoder.motion_wavelengths
        self.population = (
            PopulationState(config.d_embedding, of_population, num_channels)
            if of_population
            else None
        )
        self.stimulus = (
            StimulusState(config.d_embedding, wavelengths, config.video, num_channels)
            if wavelengths
            else None
        )
        self.behavior = (
            BehaviorState(config.d_embedding, of_behavior, num_channels)
            if of_behavior and num_channels
            else None
        )

    def forward(self, given: Prepared, table: SessionEmbeddings, baseline_N: Tensor) -> States:
        """Sum up what was seen.

        Args:
            given: The forward pass.
            table: Of the session.
            baseline_N: What each neuron does on average.
        """
        population = stimulus = behavior = None
        if self.population is not None and given.layout.pieces:
            population = self.population(
                given.batch,
                given.selection,
                given.layout.pieces,
                table.neuron_embeddings,
                baseline_N,
            )
        if not given.request.targets_asked:
            return States(population, None, None)
        channels_BCS = given.batch.behavior if given.request.channels_seen else None
        if self.stimulus is not None and given.layout.features is not None:
            frames = given.request.strategy.video
            assert given.batch.video is not None
            assert frames is not None
            stimulus = self.stimulus(given.batch.video, frames, channels_BCS, given.channels)
        if self.behavior is not None and channels_BCS is not None:
            behavior = self.behavior(channels_BCS, given.channels)
        return States(population, stimulus, behavior)

    def responses(
        self, states: States, given: Prepared, table: SessionEmbeddings, neurons_BG: Tensor
    ) -> Added:
        """Give what the states do to asked neurons."""
        asked, vectors_NE = given.request.strategy.targets, table.neuron_embeddings
        added = Added([], [])
        assert asked is not None
        if states.population is not None and self.population is not None:
            read = (states.population, vectors_NE, neurons_BG, asked)
            added.drives.append(self.population.drive(*read))
            added.gains.append(self.population.gain(*read))
        if states.stimulus is not None and self.stimulus is not None:
            drive = self.stimulus.responses(states.stimulus, vectors_NE, neurons_BG, asked)
            added.drives.append(drive)
        if states.behavior is not None and self.behavior is not None:
            gain = self.behavior.responses(states.behavior, vectors_NE, neurons_BG, asked)
            added.gains.append(gain)
        return added

    def channels(self, states: States, channels: Tensor) -> list[Tensor]:
        """Give what adds to the session's channels: each `(batch, channels, 40)`."""
        if states.population is None or self.population is None:
            return []
        return [self.population.behavior(states.population, channels)]
