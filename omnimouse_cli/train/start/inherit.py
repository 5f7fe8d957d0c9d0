"""What an adaptation takes from the weights of a run, and where it starts what the run lacks."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.model.freeze import ANIMALS
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.run.weights import (
    CORE,
    TABLES,
    RunDescription,
    explain_mismatch,
    read_tensors,
)
from omnimouse_cli.train.parallel.session_embeddings import DistributedEmbeddings


def start_from(
    source: RunDescription, core: OmniMouse, tables: DistributedEmbeddings, dataset: Dataset
) -> None:
    """Take the weights of a run; what it does not know starts in the middle of what it does.

    Animals and sessions that the run knows start from their vectors and tables, others from the
    mean over all animals, sessions and neurons of the run.

    Args:
        source: The run.
        core: Changed in place.
        tables: Those that this rank owns are changed in place.
        dataset: Whose animals the core has.

    Raises:
        CheckpointError: The weights are damaged or not those of the model that they describe.
    """
    tensors = read_tensors(source.folder, CORE)
    with explain_mismatch(source.folder):
        if ANIMALS in tensors:
            vectors = tensors[ANIMALS]
            tensors[ANIMALS] = _animal_vectors(vectors, source.animals, dataset.animals)
        core.load_state_dict(tensors)
        _start_tables(source, tables.owned, core.config)


def _animal_vectors(vectors: Tensor, known: Sequence[str], wanted: Sequence[str]) -> Tensor:
    mean = vectors.mean(0)
    return torch.stack(
        [vectors[known.index(animal)] if animal in known else mean for animal in wanted]
    )


@torch.no_grad()
def _start_tables(
    source: RunDescription, tables: Mapping[str, SessionEmbeddings], config: ModelConfig
) -> None:
    """Give known sessions their tables, and new ones the mean of all.

    A frozen core reads vectors of the kind that it was trained with, and random ones are not.
    """
    known = {entry.session for entry in source.sessions}
    middle = None
    for session, table in tables.items():
        if session in known:
            table.load_state_dict(read_tensors(source.folder, f"{TABLES}{session}."))
            continue
        middle = middle or _middle(source)
        table.neuron_embeddings.copy_(middle["neuron_embeddings"])
        table.session_embedding.copy_(middle["session_embedding"])
        if not config.decoder.start_at_mean:
            table.neuron_biases.copy_(middle["neuron_biases"])


def _middle(source: RunDescription) -> dict[str, Tensor]:
    """Give the mean over all neurons of a run of what a neuron has, and over its sessions."""
    total: dict[str, Tensor] = {}
    for entry in source.sessions:
        for name, value in read_tensors(source.folder, f"{TABLES}{entry.session}.").items():
            summed = value if name == "session_embedding" else value.sum(0)
            total[name] = total.get(name, 0) + summed
    num_neurons = sum(entry.neurons for entry in source.sessions)
    return {
        name: summed / (len(source.sessions) if name == "session_embedding" else num_neurons)
        for name, summed in total.items()
    }
