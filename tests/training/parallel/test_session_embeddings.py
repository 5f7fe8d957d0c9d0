"""Session embeddings are sent to the rank that computes a batch, and gradients are sent back."""

import itertools
import queue
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch

from omnimouse_cli.training.parallel.session_embeddings import DistributedEmbeddings, owned_sessions
from omnimouse_cli.training.parallel.world import Transfer, World

NUM_NEURONS = {"a": 3, "b": 5, "c": 2}


# Queues between threads that play ranks, by sender and receiver.
Queues = dict[tuple[int, int], queue.Queue[torch.Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadWorld(World):
    queues: Queues

    def send_and_receive(self, sends: Sequence[Transfer], receives: Sequence[Transfer]) -> None:
        for transfer in sends:
            self.queues[self.rank, transfer.peer].put(transfer.tensor.clone())
        for transfer in receives:
            transfer.tensor.copy_(self.queues[transfer.peer, self.rank].get(timeout=20))


def _embeddings(world: World, seed: int = 1) -> DistributedEmbeddings:
    return DistributedEmbeddings(NUM_NEURONS, d_embedding=4, seed=seed, world=world)


def _loss(embeddings: torch.nn.Module, batch: int) -> torch.Tensor:
    """Something whose gradient depends on the values and on the batch."""
    return sum(((batch + 1) * parameter.sin()).sum() for parameter in embeddings.parameters())


def _step(embeddings: DistributedEmbeddings, world: World, sessions: Sequence[int | None]) -> None:
    """Compute batch b of session sessions[b] on rank b mod num_ranks."""
    for first in range(0, len(sessions), world.num_ranks):
        session_of_rank = [
            sessions[batch] if batch < len(sessions) else None
            for batch in range(first, first + world.num_ranks)
        ]
        received = embeddings.receive(session_of_rank)
        if received is not None:
            _loss(received, first + world.rank).backward()
        embeddings.send_gradients(session_of_rank)


def _run(num_ranks: int, sessions: Sequence[int | None], max_norm: float | None = None) -> dict:
    """Return every gradient after one step, whichever rank owns it."""
    found, errors = {}, []
    queues = {pair: queue.Queue() for pair in itertools.product(range(num_ranks), repeat=2)}
    worlds = [
        ThreadWorld(rank=number, num_ranks=num_ranks, queues=queues) for number in range(num_ranks)
    ]
    # Made one after the other: threads share torch's generator, which real ranks do not.
    everyone = [_embeddings(world) for world in worlds]

    def rank(number: int) -> None:
        try:
            embeddings = everyone[number]
            _step(embeddings, worlds[number], sessions)
            embeddings.average_gradients(max_norm)
            for name, parameter in embeddings.parameters().items():
                found[name] = None if parameter.grad is None else parameter.grad.clone()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=rank, args=(number,)) for number in range(num_ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not errors
    return found


@pytest.mark.parametrize("num_ranks", [2, 3, 5])
@pytest.mark.parametrize("sessions", [[0, 1], [1, 1, 1, 1, 1], [2, None, 0, 2], [None, 1], [0]])
def test_gradients_do_not_depend_on_the_number_of_ranks(num_ranks, sessions):
    alone, together = _run(1, sessions), _run(num_ranks, sessions)
    assert alone.keys() == together.keys()
    for name, gradient in alone.items():
        if gradient is None:
            assert together[name] is None
        else:
            torch.testing.assert_close(together[name], gradient)


def test_the_gradient_is_the_mean_over_the_batches_of_the_session():
    found = _run(2, [0, 0, 1])
    embeddings = _embeddings(World())
    value = embeddings.owned["a"].neuron_embeddings
    torch.testing.assert_close(found["a.neuron_embeddings"], value.detach().cos() * (1 + 2) / 2)


def test_idle_sessions_have_no_gradient_so_that_they_are_not_decayed():
    found = _run(3, [0, 0])
    assert found["b.neuron_embeddings"] is None
    assert found["c.session_embedding"] is None
    assert found["a.session_embedding"] is not None


def test_each_session_is_clipped_on_its_own():
    found = _run(2, [0, 1], max_norm=0.5)
    for session in ("a", "b"):
        pieces = [value.flatten() for name, value in found.items() if name.startswith(session)]
        assert float(torch.cat(pieces).norm()) == pytest.approx(0.5, rel=1e-4)


def test_first_values_depend_on_seed_and_session_only():
    def values(world: World, seed: int) -> dict[str, torch.Tensor]:
        return _embeddings(world, seed).parameters()

    alone = values(World(), 1)
    parts = [values(World(rank=rank, num_ranks=2), 1) for rank in range(2)]
    assert alone.keys() == parts[0].keys() | parts[1].keys()
    for part in parts:
        for name, value in part.items():
            assert torch.equal(value, alone[name])
    other = values(World(), 2)
    assert not torch.equal(other["a.neuron_embeddings"], alone["a.neuron_embeddings"])
    assert not torch.equal(alone["a.session_embedding"], alone["b.session_embedding"])


def test_every_session_has_one_owner_also_with_more_ranks_than_sessions():
    for num_sessions, num_ranks in ((3, 2), (2, 5), (7, 7)):
        owned = owned_sessions(range(1, num_sessions + 1), num_ranks)
        assert len(owned) == num_ranks
        assert sorted(index for part in owned for index in part) == list(range(num_sessions))


def test_ranks_own_about_equal_numbers_of_neurons():
    # In turns, the first rank would own all large sessions.
    num_neurons = [8000, 200] * 20
    owned = owned_sessions(num_neurons, 2)
    totals = [sum(num_neurons[index] for index in part) for part in owned]
    assert totals == [82_000, 82_000]
    generator = random.Random(0)
    num_neurons = [generator.randint(100, 9000) for _ in range(323)]
    totals = [sum(num_neurons[i] for i in part) for part in owned_sessions(num_neurons, 8)]
    assert max(totals) < 1.001 * sum(totals) / 8
    assert owned_sessions([5, 5, 5], 2) == [[0, 2], [1]]


def test_embeddings_that_are_only_read_get_no_gradient():
    embeddings = _embeddings(World())
    received = embeddings.receive([0], trained=False)
    assert received is embeddings.owned["a"]
    assert received.neuron_biases.grad is None
    embeddings.average_gradients(1.0)
