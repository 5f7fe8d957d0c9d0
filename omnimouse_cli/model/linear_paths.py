"""Ways past the transformer: from population, stimulus and behavior straight to read-outs."""

from typing import NamedTuple

from torch import Tensor, nn

from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.model.behavior_state import BehaviorState
from omnimouse_cli.model.population_state import PopulationState
from omnimouse_cli.model.prepare import Prepared
from omnimouse_cli.model.stimulus_state import StimulusState
from omnimouse_cli.model.table import SessionTable

# B batch, A asked samples, G target neurons, C channels, S samples, L tokens, N neurons,
# R rank of a state


class States(NamedTuple):
    """What was seen, in a few numbers per time; None where nothing was, or the way is closed.

    Args:
        population: `(batch, 60, rank)`.
        stimulus: `(batch, time steps, places, rank)`.
        behavior: `(batch, 40, rank)`.
    """

    population: Tensor | None
    stimulus: Tensor | None
    behavior: Tensor | None


class LinearPaths(nn.Module):
    """States of population, stimulus and behavior, each there if its rank is set.

    Args:
        config: Of the model.
        num_channels: Behavior channels of the data set.
    """

    def __init__(self, config: ModelConfig, num_channels: int) -> None:
        super().__init__()
        of_population, of_stimulus, of_behavior = (
            config.decoder.population_rank,
            config.decoder.stimulus_rank,
            config.decoder.behavior_rank,
        )
        self.population = (
            PopulationState(config.d_embedding, of_population, num_channels)
            if of_population
            else None
        )
        self.stimulus = (
            StimulusState(config.d_embedding, config.d_model, of_stimulus, config.video)
            if of_stimulus
            else None
        )
        self.behavior = (
            BehaviorState(config.d_embedding, of_behavior, num_channels)
            if of_behavior and num_channels
            else None
        )

    def forward(
        self, given: Prepared, video_BLM: Tensor | None, table: SessionTable, baseline_N: Tensor
    ) -> States:
        """Sum up what was seen.

        Args:
            given: The forward pass.
            video_BLM: Tokens of the video encoder, if anything is seen on the screen.
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
        if self.stimulus is not None and video_BLM is not None:
            stimulus = self.stimulus(video_BLM)
        if self.behavior is not None and given.request.channels_seen:
            assert given.batch.behavior is not None
            behavior = self.behavior(given.batch.behavior, given.channels)
        return States(population, stimulus, behavior)

    def responses(
        self, states: States, given: Prepared, table: SessionTable, neurons_BG: Tensor
    ) -> list[Tensor]:
        """Give what adds to the drive of asked neurons: each `(batch, asked samples, targets)`."""
        asked, vectors_NE, added = given.request.strategy.targets, table.neuron_embeddings, []
        assert asked is not None
        if states.population is not None and self.population is not None:
            added.append(
                self.population.responses(states.population, vectors_NE, neurons_BG, asked)
            )
        if states.stimulus is not None and self.stimulus is not None:
            assert given.layout.features is not None
            added.append(
                self.stimulus.responses(
                    states.stimulus, given.layout.features, vectors_NE, neurons_BG, asked
                )
            )
        if states.behavior is not None and self.behavior is not None:
            added.append(self.behavior.responses(states.behavior, vectors_NE, neurons_BG, asked))
        return added

    def channels(self, states: States, channels: Tensor) -> list[Tensor]:
        """Give what adds to the session's channels: each `(batch, channels, 40)`."""
        if states.population is None or self.population is None:
            return []
        return [self.population.behavior(states.population, channels)]
