"""One optimizer step: every rank's batches, the sum of all gradients, the update."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omnimouse_cli.batch.batch import Batch, to_device
from omnimouse_cli.batch.dataset import SessionInfo
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.batch.masking import applies
from omnimouse_cli.batch.selection import select
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import WINDOW_SECONDS, DataConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.seeds import derive_seed
from omnimouse_cli.train.forward import Forward, forward_losses
from omnimouse_cli.train.optimizer import set_core_learning_rate, set_learning_rate
from omnimouse_cli.train.parallel.world import World
from omnimouse_cli.train.schedule import Pace
from omnimouse_cli.train.state import TrainState


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What stays the same from step to step.

    Args:
        config: Of the run, complete.
        sessions: What is trained on.
        loader: This rank's batches, from the first that is not used yet.
        session_of: Number of the session that a batch, by its number, is of.
        world: The ranks.
        forward: The core.
        short_forward: The core's ways past its transformer.
        batches_per_step: Batches of a step, over all ranks.
    """

    config: RunConfig
    sessions: tuple[SessionInfo, ...]
    loader: Loader
    session_of: Callable[[int], int]
    world: World
    forward: Forward
    short_forward: Forward
    batches_per_step: int

    def past_transformer(self) -> "Work":
        """Give the same work for the short ways alone."""
        return dataclasses.replace(self, forward=self.short_forward)

    def sessions_of_step(self, step: int) -> list[SessionInfo]:
        """Give the sessions of a step's batches, over all ranks, each once."""
        first = step * self.batches_per_step
        numbers = {self.session_of(first + later) for later in range(self.batches_per_step)}
        return [self.sessions[number] for number in sorted(numbers)]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step did; the tensors are still on the device, so that nobody waits for it.

    Args:
        strategy: The masking strategy.
        sums: float32 `(3, 2)`: sums over batches of the total, neural and behavior loss, and over
            how many batches each of them is.
        gradient_norm: Of the core, before clipping.
        learning_rate: Of the core's short ways; of all of it where it learns whole.
        is_short: Whether the step went past the transformer.
        wait_seconds: How long this rank waited for its loader.
    """

    strategy: Strategy
    sums: Tensor
    gradient_norm: Tensor
    learning_rate: float
    is_short: bool
    wait_seconds: float

    def losses(self) -> list[float | None]:
        """Give the means over batches: total, neural, behavior; None where nothing was asked."""
        return [value / count if count else None for value, count in self.sums.tolist()]


def train_step(state: TrainState, work: Work, strategy: Strategy, pace: Pace) -> StepResult:
    """Train on the batches of one step.

    Args:
        state: Model, tables, optimizers and counters; changed.
        work: Data and settings.
        strategy: What is seen and asked in every batch of the step.
        pace: From the schedule.

    Returns:
        What the step did.
    """
    if pace.is_short:
        work = work.past_transformer()
    config = work.config.train
    state.gradient.clear()
    asked: list[int] = []
    wait_seconds = 0.0
    for numbers in _rounds(state.counters.step, work):
        sessions = [_session_of(number, work, strategy) for number in numbers]
        mine = numbers[work.world.rank]
        started = time.perf_counter()
        batch = None if mine is None else next(work.loader)
        wait_seconds += time.perf_counter() - started
        assert batch is None or batch.number == mine, "the loader has lost its place"
        _train_round(state, work, strategy, batch, sessions)
        asked += [index for index in sessions if index is not None]
    finish_sum = state.gradient.start_all_reduce(work.world)
    # While the gradients of the core travel, tables, which nobody else needs, are updated.
    set_learning_rate(state.table_optimizer, config.table_learning_rate * pace.factor)
    state.tables.close_step(config.clip_norm)
    if state.table_optimizer is not None:
        state.table_optimizer.step()
    state.tables.forget_gradients()
    finish_sum()
    sums = state.gradient.extra.view(-1, 2).clone()
    norm = state.gradient.average(sums[0, 1].clamp(min=1), config.clip_norm)
    set_core_learning_rate(state.core_optimizer, config.learning_rate, pace)
    if asked:
        state.core_optimizer.step()
    learned = [work.sessions[index] for index in asked]
    state.count_step(
        windows=len(asked) * work.config.data.batch_size,
        tokens=sum(tokens_of_batch(session, work.config.data) for session in learned),
        is_short=pace.is_short,
    )
    return StepResult(
        strategy=strategy,
        sums=sums,
        gradient_norm=norm,
        learning_rate=config.learning_rate * pace.factor,
        is_short=pace.is_short,
        wait_seconds=wait_seconds,
    )


def _rounds(step: int, work: Work) -> list[list[int | None]]:
    """Give the numbers of a step's batches, round by round for every rank; None is no batch."""
    num_ranks, count = work.world.num_ranks, work.batches_per_step
    first = step * count
    mine = [first + (rank - first) % num_ranks for rank in range(num_ranks)]
    rounds = range(0, num_ranks * -(-count // num_ranks), num_ranks)
    return [
        [start + later if start + later < first + count else None for start in mine]
        for later in rounds
    ]


def _session_of(number: int | None, work: Work, strategy: Strategy) -> int | None:
    """Give the session of a batch, if the strategy has something to do there."""
    if number is None:
        return None
    index = work.session_of(number)
    return index if applies(strategy, work.sessions[index]) else None


def _train_round(
    state: TrainState,
    work: Work,
    strategy: Strategy,
    batch: Batch | None,
    wanted: Sequence[int | None],
) -> None:
    """Add one batch of every rank to the gradients.

    Args:
        state: Model, tables and their gradients.
        work: Data and settings.
        strategy: What is seen and asked.
        batch: Of this rank.
        wanted: Number of the session that each rank learns from, None for nothing to learn.
    """
    config = work.config.train
    table = state.tables.borrow(wanted)
    if table is not None:
        assert batch is not None
        neural, behavior = _batch_losses(work, table, strategy, batch)
        parts = [neural, None if behavior is None else config.behavior_weight * behavior]
        asked = [part for part in parts if part is not None]
        total = torch.stack(asked).sum() if asked else None
        # What is decoded from video alone does not depend on any short way.
        if total is not None and total.requires_grad:
            total.backward()  # type: ignore[no-untyped-call]
        for place, loss in enumerate((total, neural, behavior)):
            if loss is not None:
                state.gradient.extra[2 * place] += loss.detach()
                state.gradient.extra[2 * place + 1] += 1
    state.tables.give_back(wanted)


def _batch_losses(
    work: Work, table: SessionEmbeddings, strategy: Strategy, batch: Batch
) -> tuple[Tensor | None, Tensor | None]:
    """Give neural and behavior loss of a batch; None where nothing of it is asked."""
    config = work.config
    selection = select(
        strategy,
        num_neurons=batch.responses.shape[2],
        num_windows=batch.num_windows,
        generator=torch.Generator().manual_seed(derive_seed(config.seed, "neurons", batch.number)),
        max_targets=config.model.max_targets,
    )
    animal = next(item.animal for item in work.sessions if item.key == batch.session)
    # Dropout draws from torch's own generators; the batch decides what they give.
    torch.manual_seed(derive_seed(config.seed, "dropout", batch.number))
    return forward_losses(
        work.forward,
        batch=to_device(batch, work.world.device, work.config.data),
        table=table,
        animal=animal,
        strategy=strategy,
        selection=selection.to(work.world.device),
        config=config,
    )


def tokens_of_batch(session: SessionInfo, config: DataConfig) -> int:
    """Count the tokens of a batch: its neurons times the stored samples of its windows."""
    rate = session.shard.description.responses.clock.rate_hz
    num_neurons = min(session.num_neurons, config.max_neurons)
    return config.batch_size * num_neurons * round(WINDOW_SECONDS * rate)
