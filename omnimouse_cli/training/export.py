"""model.safetensors of a finished training: the weights of all ranks, collected on the first."""

from pathlib import Path

from torch import Tensor

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.run.folder import WEIGHTS
from omnimouse_cli.run.weights import CORE, TABLES, RunDescription, RunSession, write_weights
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.resolve import response_kind
from omnimouse_cli.training.state import TrainState


def export_weights(
    run: Path, state: TrainState, *, config: RunConfig, dataset: Dataset, world: World
) -> None:
    """Write the weights of a training; every rank calls this.

    Args:
        run: Folder of the run.
        state: Core and session embeddings; the first rank receives those of one session at a time.
        config: Resolved configuration.
        dataset: Data set of the training.
        world: The ranks.
    """
    tensors: dict[str, Tensor] = {}
    if world.is_first:
        tensors = {f"{CORE}{name}": _copy(value) for name, value in state.core.state_dict().items()}
    for index, session in enumerate(dataset.sessions):
        embeddings = state.embeddings.gather_on_first_rank(index)
        if embeddings is not None:
            for name, value in embeddings.state_dict().items():
                tensors[f"{TABLES}{session.key}.{name}"] = _copy(value)
    if world.is_first:
        description = RunDescription(
            folder=run,
            config=config,
            sessions=tuple(
                RunSession(
                    session=item.key,
                    animal=item.animal,
                    neurons=item.num_neurons,
                    fingerprint=item.fingerprint,
                )
                for item in dataset.sessions
            ),
            behavior_channels=dataset.behavior_channels,
            animals=dataset.animals,
            response_kind=response_kind(dataset.sessions[0]),
            step=state.counters.step,
            shards=dataset.folder,
        )
        write_weights(run / WEIGHTS, tensors, description)
    world.barrier()


def _copy(value: Tensor) -> Tensor:
    # safetensors refuses tensors that share memory.
    return value.detach().to("cpu", copy=True).contiguous()
