"""Everything that a step changes, in one object that gives and takes its tensors by name."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import AdamW

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.model.freeze import freeze
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.session_embeddings import initialize_biases
from omnimouse_cli.seeds import derive_seed
from omnimouse_cli.train.optimizer import core_optimizer, optimizer_tensors, table_optimizer
from omnimouse_cli.train.parallel.core_gradient import CoreGradient
from omnimouse_cli.train.parallel.session_tables import SessionTables, TableSize
from omnimouse_cli.train.parallel.world import World

# Numbers that ranks sum beside the gradients: the total, neural and behavior loss, and how many
# batches had one.
NUM_SUMS = 6


@dataclass(slots=True, kw_only=True)
class Counters:
    """How much training there was.

    Args:
        step: Optimizer steps done; the loader's place and all that is random follow from it.
        windows: Windows trained on, over all ranks.
        short_windows: Those of them that went past the transformer.
        tokens: Neurons times stored samples trained on, over all ranks.
        elapsed_seconds: Seconds trained, over all resumes.
    """

    step: int = 0
    windows: int = 0
    short_windows: int = 0
    tokens: int = 0
    elapsed_seconds: float = 0.0


class TrainState:
    """Model, tables, optimizers and counters of one rank.

    Args:
        config: Of the run.
        dataset: What is trained on.
        world: The ranks.
    """

    def __init__(self, config: RunConfig, dataset: Dataset, world: World) -> None:
        self.fingerprint = dataset.fingerprint
        torch.manual_seed(derive_seed(config.seed, "core"))
        self.core = OmniMouse(
            config.model, behavior_channels=dataset.behavior_channels, animals=dataset.animals
        ).to(world.device)
        freeze(self.core, config.train)
        self.tables = SessionTables(
            [
                TableSize(session=session.key, num_neurons=session.num_neurons)
                for session in dataset.sessions
            ],
            d_embedding=config.model.d_embedding,
            seed=config.seed,
            world=world,
        )
        for session, table in self.tables.owned.items():
            assert config.model.response_loss is not None
            initialize_biases(
                table,
                mean_responses(dataset, config.data, session).to(world.device),
                config=config.model,
                response_loss=config.model.response_loss,
            )
        self._core_parameters = {
            name: parameter
            for name, parameter in self.core.named_parameters()
            if parameter.requires_grad
        }
        self.gradient = CoreGradient(self._core_parameters.values(), num_extra=NUM_SUMS)
        self.core_optimizer: AdamW = core_optimizer(self._core_parameters, config.train)
        self.table_optimizer = table_optimizer(self.tables.parameters(), config.train)
        self.counters = Counters()

    def count_step(self, *, windows: int, tokens: int, is_short: bool) -> None:
        """Count a step that was done."""
        self.counters.step += 1
        self.counters.windows += windows
        self.counters.short_windows += windows * is_short
        self.counters.tokens += tokens

    def tensors(self) -> dict[str, Tensor]:
        """Give every tensor that training changes; writing into them restores the state.

        Returns:
            `core.*` and `core_optimizer.*`, the same on every rank, and `tables.*` and
            `table_optimizer.*` of the sessions that this rank owns.
        """
        tables = self.tables.parameters()
        tensors: dict[str, Tensor] = {}
        for section, values in (
            ("core", {name: value.detach() for name, value in self.core.state_dict().items()}),
            ("core_optimizer", optimizer_tensors(self.core_optimizer, self._core_parameters)),
            ("tables", {name: value.detach() for name, value in tables.items()}),
            (
                "table_optimizer",
                {}
                if self.table_optimizer is None
                else optimizer_tensors(self.table_optimizer, tables),
            ),
        ):
            tensors.update({f"{section}.{name}": value for name, value in values.items()})
        return tensors

    def numbers(self) -> dict[str, Any]:
        """Give the counters as plain numbers."""
        return asdict(self.counters)

    def restore_numbers(self, numbers: dict[str, Any]) -> None:
        """Take the counters from plain numbers."""
        self.counters = Counters(**numbers)


def mean_responses(dataset: Dataset, config: DataConfig, session: str) -> Tensor:
    """Give each neuron's mean in the units of a batch's responses: float32 `(neurons,)`."""
    shift, scale = dataset.normalization(config, session)
    mean = np.nan_to_num(np.asarray(dataset.session(session).shard.neuron_mean))
    return torch.from_numpy((mean - shift) / scale)
