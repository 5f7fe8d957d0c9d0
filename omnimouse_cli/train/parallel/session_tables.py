"""Session tables, each owned by one rank and lent for a batch to the rank that computes it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.seeds import derive_seed
from omnimouse_cli.train.optimizer import clip
from omnimouse_cli.train.parallel.world import Transfer, World


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """What a session's table is made from.

    Args:
        session: Session key.
        num_neurons: Neurons of the session.
    """

    session: str
    num_neurons: int


class SessionTables:
    """The tables of a data set, spread over the ranks.

    A step is made of rounds; in a round each rank computes at most one batch, of any session.

    Args:
        sizes: Every session of the data set, in its order; session i is rank `i % num_ranks`'s.
        d_embedding: Width of the vectors.
        seed: Of the tables' first values; a table's values depend on it and the session only.
        world: The ranks.
    """

    def __init__(
        self, sizes: Sequence[TableSize], *, d_embedding: int, seed: int, world: World
    ) -> None:
        self._sizes = tuple(sizes)
        self._d_embedding = d_embedding
        self._world = world
        self.owned: dict[str, SessionEmbeddings] = {}
        for index in owned_sessions(len(self._sizes), world.rank, world.num_ranks):
            size = self._sizes[index]
            torch.manual_seed(derive_seed(seed, "table", size.session))
            self.owned[size.session] = SessionEmbeddings(size.num_neurons, d_embedding).to(
                world.device
            )
        self._gradients: dict[str, Tensor] = {}
        self._num_batches: dict[str, int] = {}
        self._borrowed_gradient: Tensor | None = None

    @property
    def sizes(self) -> tuple[TableSize, ...]:
        """Every session of the data set."""
        return self._sizes

    def parameters(self) -> dict[str, nn.Parameter]:
        """Give the parameters that this rank owns, as `<session>.<name>`."""
        return {
            f"{session}.{name}": parameter
            for session, table in self.owned.items()
            for name, parameter in table.named_parameters()
        }

    def borrow(self, wanted: Sequence[int | None]) -> SessionEmbeddings | None:
        """Get the table of the batch that this rank computes in a round.

        Args:
            wanted: `(num_ranks,)`: number of the session that each rank computes, None if it has
                no batch; the same on every rank.

        Returns:
            The table, whose gradients `give_back` takes; None for a rank without a batch.
        """
        mine = wanted[self._world.rank]
        for index in wanted:
            if index is not None and self._is_mine(index):
                self._open_gradient(index)
        receives: list[Transfer] = []
        if mine is not None and not self._is_mine(mine):
            receives = [Transfer(peer=self._owner(mine), tensor=self._empty(mine))]
        sends = [
            Transfer(peer=rank, tensor=_flat(self.owned[self._sizes[index].session].parameters()))
            for rank, index in self._loans(wanted)
        ]
        self._world.send_and_receive(sends, receives)
        if mine is None:
            return None
        if self._is_mine(mine):
            return self.owned[self._sizes[mine].session]
        return self._copy_of(mine, receives[0].tensor)

    def give_back(self, wanted: Sequence[int | None]) -> None:
        """Return the gradients of a round to the owners, who add them up.

        Args:
            wanted: As it was borrowed.
        """
        mine = wanted[self._world.rank]
        sends: list[Transfer] = []
        if self._borrowed_gradient is not None and mine is not None:
            sends = [Transfer(peer=self._owner(mine), tensor=self._borrowed_gradient)]
        loans = self._loans(wanted)
        receives = [Transfer(peer=rank, tensor=self._empty(index)) for rank, index in loans]
        self._world.send_and_receive(sends, receives)
        for (_, index), transfer in zip(loans, receives, strict=True):
            self._gradients[self._sizes[index].session].add_(transfer.tensor)
        self._borrowed_gradient = None

    def close_step(self, max_norm: float | None) -> None:
        """Turn the step's sums into each session's mean over its batches, clipped on its own.

        Args:
            max_norm: Largest L2 norm of one session's gradient; None is no limit.
        """
        for session, gradient in self._gradients.items():
            gradient.div_(self._num_batches[session])
            clip([gradient], max_norm)

    def forget_gradients(self) -> None:
        """Leave no gradient behind, so that the optimizer does not touch idle sessions."""
        for session in self._gradients:
            for parameter in self.owned[session].parameters():
                parameter.grad = None
        self._gradients.clear()
        self._num_batches.clear()

    def collect(self, index: int) -> SessionEmbeddings | None:
        """Bring a session's table to the first rank; every rank takes part.

        Args:
            index: Number of the session.

        Returns:
            The table on the first rank, None on the others.
        """
        wanted = [index, *([None] * (self._world.num_ranks - 1))]
        table = self.borrow(wanted)
        self._borrowed_gradient = None
        self.forget_gradients()
        return table

    def _owner(self, index: int) -> int:
        return index % self._world.num_ranks

    def _is_mine(self, index: int) -> bool:
        return self._owner(index) == self._world.rank

    def _loans(self, wanted: Sequence[int | None]) -> list[tuple[int, int]]:
        """Ranks that compute a session of mine, with that session, in the order of ranks."""
        return [
            (rank, index)
            for rank, index in enumerate(wanted)
            if index is not None and self._is_mine(index) and rank != self._world.rank
        ]

    def _open_gradient(self, index: int) -> None:
        """Count a batch of a session of mine; its first one gets the parameters a gradient."""
        session = self._sizes[index].session
        self._num_batches[session] = self._num_batches.get(session, 0) + 1
        if session not in self._gradients:
            self._gradients[session] = _with_gradient(self.owned[session])

    def _empty(self, index: int) -> Tensor:
        size = sum(parameter.numel() for parameter in self._bare(index).parameters())
        return torch.empty(size, device=self._world.device)

    def _bare(self, index: int) -> SessionEmbeddings:
        """A table of the right shapes without memory or values."""
        with torch.device("meta"):
            return SessionEmbeddings(self._sizes[index].num_neurons, self._d_embedding)

    def _copy_of(self, index: int, values: Tensor) -> SessionEmbeddings:
        table = self._bare(index).to_empty(device=self._world.device)
        for parameter, piece in zip(
            table.parameters(), _split(values, table.parameters()), strict=True
        ):
            parameter.data = piece
        self._borrowed_gradient = _with_gradient(table)
        return table


def owned_sessions(num_sessions: int, rank: int, num_ranks: int) -> range:
    """Give the numbers of the sessions whose tables a rank owns."""
    return range(rank, num_sessions, num_ranks)


def all_owned_sessions(num_sessions: int, num_ranks: int) -> list[range]:
    """Return for each rank the numbers of the sessions whose tables it owns."""
    return [owned_sessions(num_sessions, rank, num_ranks) for rank in range(num_ranks)]


def _flat(parameters: Iterable[Tensor]) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in parameters])


def _split(flat: Tensor, like: Iterable[Tensor]) -> list[Tensor]:
    """Give views of one vector in the shapes of some tensors."""
    shapes = [item.shape for item in like]
    pieces = torch.split(flat, [shape.numel() for shape in shapes])
    return [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]


def _with_gradient(module: nn.Module) -> Tensor:
    """Give a module's parameters gradients that are views of one vector of zeros."""
    parameters = list(module.parameters())
    gradient = torch.zeros(
        sum(parameter.numel() for parameter in parameters), device=parameters[0].device
    )
    for parameter, piece in zip(parameters, _split(gradient, parameters), strict=True):
        parameter.grad = piece
    return gradient
