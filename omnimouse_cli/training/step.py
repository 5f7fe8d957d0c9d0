"""One optimizer step: batches of all ranks, the mean of their gradients, the update."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from omnimouse_cli.batch.batch import Batch, to_device
from omnimouse_cli.batch.dataset import Dataset, SessionInfo
from omnimouse_cli.batch.epochs import tokens_per_batch
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.batch.masking import applies
from omnimouse_cli.batch.selection import Selection, select
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.cost.training import WindowFlops
from omnimouse_cli.model.build import Core
from omnimouse_cli.model.losses import Losses, compute_losses
from omnimouse_cli.model.precision import autocast
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.seeds import derive_seed
from omnimouse_cli.training.data_checks import ShardFiles
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.schedule import Duration, Schedule
from omnimouse_cli.training.state import LOSS_SUM, LOSSES, NUM_BATCHES, TrainState


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetup:
    """Everything that is constant over a training.

    Args:
        run: Folder of the run.
        config: Resolved configuration.
        dataset: Sessions that are trained on.
        strategies: Masking strategies of which each step draws one.
        world: The ranks.
        shard_files: Finds out whether a shard was replaced.
        loader: Batches of this rank, from the first that is not used yet.
        duration: When training ends.
        schedule: Learning rates.
        unique_tokens: Tokens of the training windows.
        window_flops: Floating-point operations of training on one window of a session under a
            strategy, through the whole model and through the shortcuts alone.
    """

    run: Path
    config: RunConfig
    dataset: Dataset
    strategies: tuple[Strategy, ...]
    world: World
    shard_files: ShardFiles
    loader: Loader
    duration: Duration
    schedule: Schedule
    unique_tokens: int
    window_flops: Callable[[SessionInfo, Strategy], WindowFlops]

    @property
    def batches_per_step(self) -> int:
        """Batches of a step, over all ranks."""
        assert self.config.train.batches_per_step is not None, "resolved before training"
        return self.config.train.batches_per_step

    def epochs(self, tokens: int) -> float:
        """Return the epochs after a number of tokens (batch/epochs.py)."""
        return tokens / self.unique_tokens

    def sessions_of_step(self, step: int) -> list[SessionInfo]:
        """Return the sessions of a step's batches, over all ranks, each once."""
        first = step * self.batches_per_step
        batches = range(first, first + self.batches_per_step)
        indices = {self.loader.session_index(number) for number in batches}
        return [self.dataset.sessions[index] for index in sorted(indices)]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """Results of a step; tensors stay on the device, so that nothing waits for it.

    Args:
        strategy: Masking strategy.
        loss_sums: float32 `(3, 2)`: sum over batches of the total, the neural and the behavior
            loss, and the number of batches that have one.
        gradient_norm: float32 `()`: L2 norm of the core's gradient before clipping.
        learning_rate: Learning rate of the shortcuts, or of the whole core if it has none.
        shortcuts_only: Whether the transformer was neither computed nor trained.
        wait_seconds: Time that this rank waited for its loader.
    """

    strategy: Strategy
    loss_sums: Tensor
    gradient_norm: Tensor
    learning_rate: float
    shortcuts_only: bool
    wait_seconds: float

    def losses(self) -> list[float | None]:
        """Return the mean total, neural and behavior loss; None for one without a batch."""
        return [value / count if count else None for value, count in self.loss_sums.tolist()]


def train_step(state: TrainState, setup: TrainingSetup, strategy: Strategy) -> StepResult:
    """Train on the batches of one step, with the learning rates that the optimizers have.

    Args:
        state: Core, session embeddings, optimizers and counters; changed.
        setup: Data and settings.
        strategy: Masking strategy of every batch of the step.
    """
    config, world, sessions = setup.config.train, setup.world, setup.dataset.sessions
    state.gradient.clear()
    trained: list[SessionInfo] = []
    wait_seconds = 0.0
    rounds = _rounds(state.counters.step, setup.batches_per_step, world.num_ranks)
    for batch_of_rank in rounds:
        is_last = batch_of_rank is rounds[-1]
        session_of_rank = [_session_index(batch, setup, strategy) for batch in batch_of_rank]
        trained += [sessions[index] for index in session_of_rank if index is not None]
        expected = batch_of_rank[world.rank]
        started = time.perf_counter()
        batch = None if expected is None else next(setup.loader)
        wait_seconds += time.perf_counter() - started
        assert batch is None or batch.number == expected, "the loader is at another batch"
        embeddings = state.embeddings.receive(session_of_rank)
        if embeddings is not None:
            assert batch is not None
            _add_gradients(state, setup, strategy, batch, embeddings, is_last=is_last)
        if is_last:
            # Before any other communication: a rank with a batch starts these sums in its backward
            # pass, one without a batch starts them here, in the same order.
            wait_for_core_gradient = state.gradient.start_all_reduce()
        state.embeddings.send_gradients(session_of_rank)
    # The core's gradient is summed over ranks while each rank updates the embeddings it owns.
    state.embeddings.average_gradients(config.clip_norm)
    if state.session_optimizer is not None:
        state.session_optimizer.step()
    state.embeddings.clear_gradients()
    wait_for_core_gradient()
    loss_sums = state.loss_sums.clone()
    num_batches = loss_sums[LOSSES.index("total"), NUM_BATCHES]
    norm = state.gradient.average(num_batches.clamp(min=1), config.clip_norm)
    if trained:
        state.core_optimizer.step()
    _count(state, setup, strategy, trained)
    return StepResult(
        strategy=strategy,
        loss_sums=loss_sums,
        gradient_norm=norm,
        learning_rate=state.core_optimizer.param_groups[0]["lr"],
        shortcuts_only=state.core.shortcuts_only,
        wait_seconds=wait_seconds,
    )


def _rounds(step: int, batches_per_step: int, num_ranks: int) -> list[list[int | None]]:
    """Return the batch number of each rank in each round of a step; None is no batch.

    In a round every rank computes at most one batch: a step with more batches than ranks takes
    several rounds, whose gradients add up. Batch b is computed by rank b % num_ranks.
    """
    first, last = step * batches_per_step, (step + 1) * batches_per_step
    starts = [first + (rank - first) % num_ranks for rank in range(num_ranks)]
    return [
        [start + later if start + later < last else None for start in starts]
        for later in range(0, batches_per_step, num_ranks)
    ]


def _session_index(number: int | None, setup: TrainingSetup, strategy: Strategy) -> int | None:
    """Return the session of a batch; None without a batch or if the strategy does not apply."""
    if number is None:
        return None
    index = setup.loader.session_index(number)
    return index if applies(strategy, setup.dataset.sessions[index]) else None


def _add_gradients(
    state: TrainState,
    setup: TrainingSetup,
    strategy: Strategy,
    batch: Batch,
    embeddings: SessionEmbeddings,
    *,
    is_last: bool,
) -> None:
    """Add gradients and losses of a batch to those of the step; `is_last`: in its last round."""
    config = setup.config
    selection = select(
        strategy,
        num_neurons=batch.responses.shape[2],
        num_windows=batch.num_windows,
        generator=torch.Generator().manual_seed(derive_seed(config.seed, "neurons", batch.number)),
        max_targets=config.model.max_targets,
        device=embeddings.neuron_biases.device,
    )
    # Dropout draws from torch's global generators: seeded by the batch, it needs no saved state.
    torch.manual_seed(derive_seed(config.seed, "dropout", batch.number))
    neural, behavior, _ = compute_batch_losses(
        state.core,
        batch,
        embeddings=embeddings,
        animal=setup.dataset.session(batch.session).animal,
        strategy=strategy,
        selection=selection,
        config=config,
    )
    if batch.behavior_fraction == 0:
        # A batch that lost all of its behavior has no behavior loss to average.
        behavior = None
    parts = [neural, None if behavior is None else config.train.behavior_weight * behavior]
    present = [part for part in parts if part is not None]
    total = torch.stack(present).sum() if present else None
    for position, loss in enumerate((total, neural, behavior)):
        if loss is not None:
            state.loss_sums[position, LOSS_SUM] += loss.detach()
            state.loss_sums[position, NUM_BATCHES] += 1
    # Behavior that is decoded from video alone does not depend on any shortcut.
    if total is not None and total.requires_grad:
        if is_last:
            state.gradient.overlap_with_backward(total)
        total.backward()  # type: ignore[no-untyped-call]


def compute_batch_losses(
    core: Core,
    batch: Batch,
    *,
    embeddings: SessionEmbeddings,
    animal: str,
    strategy: Strategy,
    selection: Selection,
    config: RunConfig,
    by_channel: bool = False,
) -> Losses:
    """Predict the targets of a batch and return the losses, in the precision of the run.

    Args:
        core: The model.
        batch: Windows of one session; copied to the core's device.
        embeddings: Embeddings of the session, on the core's device.
        animal: Animal of the session.
        strategy: Inputs and targets.
        selection: Neurons that are inputs and targets.
        config: `model.response_loss`, `train.precision` and `data` are used.
        by_channel: Whether the loss of each behavior channel is wanted too.

    Returns:
        Neural and behavior loss, float32 `()`; None for one without a target.
    """
    assert config.model.response_loss is not None, "resolved before training"
    device = embeddings.neuron_biases.device
    batch, selection = to_device(batch, device, config.data), selection.to(device)
    with autocast(config.train.precision, device):
        prediction = core(batch, embeddings, animal, strategy, selection)
        return compute_losses(
            prediction,
            batch,
            strategy,
            selection,
            config.model.response_loss,
            by_channel=by_channel,
        )


def _count(
    state: TrainState, setup: TrainingSetup, strategy: Strategy, trained: Sequence[SessionInfo]
) -> None:
    """Count a step in which one batch of each of `trained` was computed."""
    counters, config, shortcuts_only = state.counters, setup.config, state.core.shortcuts_only
    num_windows = len(trained) * config.data.batch_size
    counters.step += 1
    counters.windows += num_windows
    counters.shortcut_windows += num_windows * shortcuts_only
    counters.tokens += sum(tokens_per_batch(session, config.data) for session in trained)
    if counters.flops is not None:
        flops = [setup.window_flops(session, strategy) for session in trained]
        trained_flops = [one.shortcuts if shortcuts_only else one.whole_model for one in flops]
        counters.flops += config.data.batch_size * sum(trained_flops)
