"""The state of a training: everything that a step changes and a checkpoint saves."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.model.build import build_core
from omnimouse_cli.model.freeze import freeze
from omnimouse_cli.model.session_embeddings import initialize_biases
from omnimouse_cli.seeds import derive_seed
from omnimouse_cli.training.optimizer import (
    build_core_optimizer,
    build_session_optimizer,
    optimizer_tensors,
)
from omnimouse_cli.training.parallel.core_gradient import CoreGradient
from omnimouse_cli.training.parallel.session_embeddings import DistributedEmbeddings
from omnimouse_cli.training.parallel.world import World

# Rows and columns of `TrainState.loss_sums`.
LOSSES = ("total", "neural", "behavior")
LOSS_SUM, NUM_BATCHES = 0, 1
# Sections of `TrainState.tensors` that are the same on every rank.
REPLICATED = ("core", "core_optimizer")
# Names of counters in checkpoints of earlier versions.
RENAMED_COUNTERS = {"short_windows": "shortcut_windows"}


@dataclass(slots=True, kw_only=True)
class Counters:
    """Amount of training so far.

    Args:
        step: Optimizer steps; the loader's position and everything random follow from it.
        windows: Windows trained on, over all ranks.
        shortcut_windows: Number of them in steps that trained only the shortcuts.
        tokens: Neurons times stored samples trained on, over all ranks.
        flops: Estimated floating-point operations of forward and backward passes, over all ranks;
            None after a checkpoint of an earlier version, which did not count them.
        elapsed_seconds: Seconds trained, over all resumes.
    """

    step: int = 0
    windows: int = 0
    shortcut_windows: int = 0
    tokens: int = 0
    flops: float | None = 0.0
    elapsed_seconds: float = 0.0


class TrainState:
    """Core, session embeddings, optimizers and counters of one rank.

    Args:
        config: Resolved configuration.
        dataset: Sessions that are trained on.
        world: The ranks.
    """

    def __init__(self, config: RunConfig, dataset: Dataset, world: World) -> None:
        self.fingerprint = dataset.fingerprint
        self.counters = Counters()
        torch.manual_seed(derive_seed(config.seed, "core"))
        self.core = build_core(
            config.model, behavior_channels=dataset.behavior_channels, animals=dataset.animals
        ).to(world.device)
        freeze(self.core, config.train)
        self.embeddings = DistributedEmbeddings(
            {session.key: session.num_neurons for session in dataset.sessions},
            d_embedding=config.model.d_embedding,
            num_weights=config.model.decoder.num_neuron_weights(len(dataset.behavior_channels)),
            seed=config.seed,
            world=world,
        )
        assert config.model.response_loss is not None, "resolved before training"
        for session, embeddings in self.embeddings.owned.items():
            initialize_biases(
                embeddings,
                _mean_responses(dataset, config.data, session).to(world.device),
                config=config.model,
                response_loss=config.model.response_loss,
            )
        self._core_parameters = {
            name: parameter
            for name, parameter in self.core.named_parameters()
            if parameter.requires_grad
        }
        self.gradient = CoreGradient(
            self._core_parameters.values(), num_extra=2 * len(LOSSES), world=world
        )
        self.core_optimizer = build_core_optimizer(self._core_parameters, config.train)
        self.session_optimizer = build_session_optimizer(self.embeddings.parameters(), config.train)

    @property
    def loss_sums(self) -> Tensor:
        """Losses of the step, which ranks sum with the gradients: a view, float32 `(3, 2)`.

        For each of `LOSSES` the sum over batches and the number of batches that have it.
        """
        return self.gradient.extra.view(len(LOSSES), 2)

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor that training changes; writing into them restores the state.

        Returns:
            `core.*` and `core_optimizer.*`, the same on every rank, and `tables.*` and
            `table_optimizer.*` of the sessions that this rank owns.
        """
        parameters = self.embeddings.parameters()
        sections = {
            "core": {name: value.detach() for name, value in self.core.state_dict().items()},
            "core_optimizer": optimizer_tensors(self.core_optimizer, self._core_parameters),
            "tables": {name: value.detach() for name, value in parameters.items()},
        }
        if self.session_optimizer is not None:
            sections["table_optimizer"] = optimizer_tensors(self.session_optimizer, parameters)
        return {
            f"{section}.{name}": value
            for section, values in sections.items()
            for name, value in values.items()
        }

    def counter_values(self) -> dict[str, Any]:
        """Return the counters as plain values for a checkpoint."""
        return asdict(self.counters)

    def restore_counters(self, values: Mapping[str, Any]) -> None:
        """Take the counters from the plain values of a checkpoint, also of an earlier version."""
        values = {RENAMED_COUNTERS.get(name, name): value for name, value in values.items()}
        names = asdict(Counters(flops=None))
        self.counters = Counters(**{name: values.get(name, names[name]) for name in names})


def _mean_responses(dataset: Dataset, config: DataConfig, session: str) -> Tensor:
    """Return each neuron's mean in the units of a batch's responses: float32 `(neurons,)`."""
    shift, scale = dataset.normalization(config, session)
    mean = np.nan_to_num(np.asarray(dataset.session(session).shard.neuron_mean))
    return torch.from_numpy((mean - shift) / scale)
