"""Session embeddings, each owned by one rank and sent to the rank that computes a batch of it."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.seeds import derive_seed
from omnimouse_cli.training.optimizer import clip_gradient
from omnimouse_cli.training.parallel.world import Transfer, World


class DistributedEmbeddings:
    """The embeddings of all sessions of a data set, distributed over the ranks.

    A step consists of rounds. In a round each rank computes at most one batch, of any session: it
    receives the session's embeddings from their owner and sends their gradient back.

    Args:
        num_neurons: Number of neurons of each session, by session key, in the order of the data
            set; `owned_sessions` distributes them over the ranks.
        d_embedding: Width of the embeddings.
        num_weights: Weights of a neuron in the linear models; 0 without them.
        seed: Initial values of a session's embeddings depend on it and the session key only.
        world: The ranks.
    """

    def __init__(
        self,
        num_neurons: Mapping[str, int],
        *,
        d_embedding: int,
        num_weights: int = 0,
        seed: int,
        world: World,
    ) -> None:
        self.num_neurons = dict(num_neurons)
        self._sessions = tuple(num_neurons)
        self._d_embedding, self._num_weights = d_embedding, num_weights
        self._world = world
        self.owned: dict[str, SessionEmbeddings] = {}
        owned = owned_sessions(list(num_neurons.values()), world.num_ranks)
        self._owners = {index: rank for rank, indices in enumerate(owned) for index in indices}
        for index in owned[world.rank]:
            session = self._sessions[index]
            torch.manual_seed(derive_seed(seed, "table", session))
            embeddings = SessionEmbeddings(num_neurons[session], d_embedding, num_weights)
            self.owned[session] = embeddings.to(world.device)
        # Gradients of owned sessions, summed over the batches of a step, and how many those are.
        self._gradients: dict[str, Tensor] = {}
        self._num_batches: dict[str, int] = {}
        # Gradient of the received copy of another rank's session.
        self._copy_gradient: Tensor | None = None

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters that this rank owns, as `<session>.<name>`."""
        return {
            f"{session}.{name}": parameter
            for session, embeddings in self.owned.items()
            for name, parameter in embeddings.named_parameters()
        }

    def receive(
        self, session_of_rank: Sequence[int | None], *, trained: bool = True
    ) -> SessionEmbeddings | None:
        """Return the embeddings that this rank needs in a round; every rank takes part.

        Args:
            session_of_rank: `(num_ranks,)`: index of the session that each rank computes, None for
                a rank without a batch; the same on every rank.
            trained: Whether `send_gradients` follows; without, the embeddings have no gradients.

        Returns:
            Embeddings whose gradients `send_gradients` takes; None for a rank without a batch.
        """
        for index in session_of_rank if trained else ():
            if index is not None and self._owner(index) == self._world.rank:
                self._count_batch(self._sessions[index])
        index = session_of_rank[self._world.rank]
        embeddings, receives = None, []
        if index is not None and self._owner(index) == self._world.rank:
            embeddings = self.owned[self._sessions[index]]
        elif index is not None:
            embeddings, values = self._build_copy(index)
            if trained:
                self._copy_gradient = _attach_gradient(embeddings)
            receives = [Transfer(peer=self._owner(index), tensor=values)]
        sends = [
            Transfer(peer=rank, tensor=_flatten(self.owned[session]))
            for rank, session in self._users(session_of_rank)
        ]
        self._world.send_and_receive(sends, receives)
        return embeddings

    def send_gradients(self, session_of_rank: Sequence[int | None]) -> None:
        """Send the gradients of a round to the owners, who sum them; every rank takes part.

        Args:
            session_of_rank: The argument of `receive` in this round.
        """
        index = session_of_rank[self._world.rank]
        sends = []
        if self._copy_gradient is not None and index is not None:
            sends = [Transfer(peer=self._owner(index), tensor=self._copy_gradient)]
        users = self._users(session_of_rank)
        receives = [
            Transfer(peer=rank, tensor=torch.empty_like(self._gradients[session]))
            for rank, session in users
        ]
        self._world.send_and_receive(sends, receives)
        for (_, session), received in zip(users, receives, strict=True):
            self._gradients[session].add_(received.tensor)
        self._copy_gradient = None

    def average_gradients(self, max_norm: float | None) -> None:
        """Divide each session's gradient by its number of batches in this step, and clip it.

        Args:
            max_norm: Largest L2 norm of one session's gradient; None does not clip.
        """
        for session, gradient in self._gradients.items():
            gradient.div_(self._num_batches[session])
            clip_gradient(gradient, max_norm)

    def clear_gradients(self) -> None:
        """Remove all gradients: the optimizer leaves sessions without one as they are."""
        for session in self._gradients:
            self.owned[session].zero_grad(set_to_none=True)
        self._gradients.clear()
        self._num_batches.clear()

    def gather_on_first_rank(self, index: int) -> SessionEmbeddings | None:
        """Return a session's embeddings on the first rank, None on others; every rank takes part.

        Args:
            index: Index of the session.
        """
        others = [None] * (self._world.num_ranks - 1)
        return self.receive([index, *others], trained=False)

    def _owner(self, index: int) -> int:
        return self._owners[index]

    def _users(self, session_of_rank: Sequence[int | None]) -> list[tuple[int, str]]:
        """Return the other ranks that compute a session of this rank, with the session's key."""
        return [
            (rank, self._sessions[index])
            for rank, index in enumerate(session_of_rank)
            if index is not None
            and self._owner(index) == self._world.rank
            and rank != self._world.rank
        ]

    def _count_batch(self, session: str) -> None:
        self._num_batches[session] = self._num_batches.get(session, 0) + 1
        if session not in self._gradients:
            self._gradients[session] = _attach_gradient(self.owned[session])

    def _build_copy(self, index: int) -> tuple[SessionEmbeddings, Tensor]:
        """Return embeddings without values, and the vector that their parameters are views of."""
        with torch.device("meta"):
            copy = SessionEmbeddings(
                self.num_neurons[self._sessions[index]], self._d_embedding, self._num_weights
            )
        copy = copy.to_empty(device=self._world.device)
        values = _flatten(copy)
        vector_to_parameters(values, copy.parameters())
        return copy, values


def owned_sessions(num_neurons: Sequence[int], num_ranks: int) -> list[list[int]]:
    """Return for each rank the indices of the sessions whose embeddings it owns, ascending.

    Sessions are assigned from the largest to the smallest, each to the rank with the fewest neurons
    so far, so that all ranks own embeddings of about equal size.

    Args:
        num_neurons: Neurons of each session.
        num_ranks: World size.

    Example:
        >>> owned_sessions([10, 900, 500, 450], 2)
        [[0, 1], [2, 3]]
    """
    owned: list[list[int]] = [[] for _ in range(num_ranks)]
    totals = [0] * num_ranks
    for index in sorted(range(len(num_neurons)), key=lambda index: (-num_neurons[index], index)):
        rank = totals.index(min(totals))
        owned[rank].append(index)
        totals[rank] += num_neurons[index]
    return [sorted(indices) for indices in owned]


def _flatten(module: nn.Module) -> Tensor:
    return parameters_to_vector(parameter.detach() for parameter in module.parameters())


def _attach_gradient(module: nn.Module) -> Tensor:
    """Give a module's parameters gradients that are views of one vector of zeros; return it."""
    parameters = list(module.parameters())
    sizes = [parameter.numel() for parameter in parameters]
    gradient = torch.zeros(sum(sizes), device=parameters[0].device)
    for parameter, part in zip(parameters, torch.split(gradient, sizes), strict=True):
        parameter.grad = part.view(parameter.shape)
    return gradient
