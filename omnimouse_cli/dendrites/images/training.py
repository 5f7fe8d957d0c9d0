"""One training session on images: networks of all seeds at once, the best epoch of each kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.dendrites.images.architecture import Architecture
from omnimouse_cli.dendrites.images.data import SplitData
from omnimouse_cli.dendrites.images.network import INNER, Dropout, Weights, compute_logits
from omnimouse_cli.dendrites.images.settings import Hyperparameters
from omnimouse_cli.seeds import derive_seed

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicate:
    """One of the trainings that run at once: its seed and its hyperparameters."""

    seed: int
    hyperparameters: Hyperparameters


@contextmanager
def use_one_thread() -> Iterator[None]:
    """Compute with one thread: sums that several threads share depend on their number."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def make_generators(
    replicates: Sequence[Replicate], *purpose: int | str, device: str = "cpu"
) -> list[torch.Generator]:
    """Return one random generator per replicate, which does not depend on the other replicates."""
    return [
        torch.Generator(device).manual_seed(derive_seed(replicate.seed, *purpose))
        for replicate in replicates
    ]


def make_dropout(replicates: Sequence[Replicate], generators: Sequence[torch.Generator]) -> Dropout:
    """Return dropout of activations `(batch, seeds, ...)`, with the probability of each seed."""
    kept = [1 - replicate.hyperparameters.dropout for replicate in replicates]

    def drop(activations: Tensor) -> Tensor:
        mask = torch.empty(
            (len(kept), activations.shape[0], *activations.shape[2:]),
            dtype=activations.dtype,
            device=activations.device,
        )
        for number, (share, generator) in enumerate(zip(kept, generators, strict=True)):
            mask[number].bernoulli_(share, generator=generator).div_(share)
        return activations * mask.transpose(0, 1)

    return drop


class StackedAdamW:
    """AdamW on weights whose first dimension is the seed, with hyperparameters for each seed.

    Args:
        weights: Trained weights, changed in place.
        learning_rates: float32 `(seeds,)`.
        weight_decays: float32 `(seeds,)`; biases do not decay.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], learning_rates: Tensor, weight_decays: Tensor
    ) -> None:
        self._weights = list(weights.values())
        self._means = [torch.zeros_like(weight) for weight in self._weights]
        self._squares = [torch.zeros_like(weight) for weight in self._weights]
        shapes = [(-1,) + (1,) * (weight.ndim - 1) for weight in self._weights]
        self._rates = [learning_rates.view(shape) for shape in shapes]
        self._kept = [
            1 - (learning_rates * weight_decays).view(shape) if len(shape) > 2 else None
            for shape in shapes
        ]
        self._steps = 0

    @torch.no_grad()
    def step(self, gradients: tuple[Tensor, ...]) -> None:
        """Update every weight with its gradient."""
        self._steps += 1
        torch._foreach_lerp_(self._means, gradients, 1 - BETA1)
        torch._foreach_mul_(self._squares, BETA2)
        torch._foreach_addcmul_(self._squares, gradients, gradients, 1 - BETA2)
        size = 1 / (1 - BETA1**self._steps)
        spread = torch._foreach_sqrt(self._squares)
        torch._foreach_mul_(spread, (1 - BETA2**self._steps) ** -0.5)
        torch._foreach_add_(spread, EPSILON)
        for weight, mean, root, rate, kept in zip(
            self._weights, self._means, spread, self._rates, self._kept, strict=True
        ):
            if kept is not None:
                weight.mul_(kept)
            weight.sub_(mean / root * (rate * size))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SessionResult:
    """Networks and learning curves of a training session.

    Args:
        weights: Weights of each seed's epoch with the lowest validation loss.
        losses: float32 `(seeds, epochs)`, mean cross-entropy on validation images.
        accuracies: float32 `(seeds, epochs)`, fraction of validation images that are right.
        best: int64 `(seeds,)`, the epoch of the weights, from 1; 0 where no loss was finite.
    """

    weights: Weights
    losses: Tensor
    accuracies: Tensor
    best: Tensor

    def get_at_best(self, curves: Tensor) -> Tensor:
        """Return values `(seeds,)` of curves `(seeds, epochs)` at the epoch of the weights."""
        return curves.gather(1, (self.best - 1).clamp(min=0)[:, None])[:, 0]


def train_session(
    architecture: Architecture,
    weights: Weights,
    replicates: Sequence[Replicate],
    data: SplitData,
    *,
    session: int,
    epochs: int,
    batch: int,
    freeze_inner: bool,
    on_epoch: Callable[[], None],
) -> SessionResult:
    """Minimize cross-entropy with AdamW.

    Args:
        architecture: Architecture of the networks.
        weights: Initial weights of all seeds; they are not changed.
        replicates: Seed and hyperparameters of each network.
        data: Images and their split for each seed.
        session: Number of the session; sessions differ in the order of images and in dropout.
        epochs: Passes over the training images.
        batch: Images per step.
        freeze_inner: Whether the weights of the inner network stay as they are.
        on_epoch: Called after every epoch.
    """
    weights = {name: weight.clone() for name, weight in weights.items()}
    trained = {
        name: weight.requires_grad_()
        for name, weight in weights.items()
        if not (freeze_inner and name.startswith(INNER))
    }
    device = data.pixels.device
    hyperparameters = [replicate.hyperparameters for replicate in replicates]
    optimizer = StackedAdamW(
        trained,
        torch.tensor([one.learning_rate for one in hyperparameters], device=device),
        torch.tensor([one.weight_decay for one in hyperparameters], device=device),
    )
    dropout = make_dropout(
        replicates,
        make_generators(replicates, "dropout", session, architecture.network, device=device.type),
    )
    orders = make_generators(replicates, "order", session)
    best = _BestEpochs(weights, len(replicates), device)
    for _ in range(epochs):
        for indices in _draw_batches(data.train, orders, batch):
            logits = compute_logits(architecture, weights, data.pixels[indices], dropout=dropout)
            loss = functional.cross_entropy(
                logits.flatten(0, 1), data.labels[indices].flatten(), reduction="sum"
            )
            # The sum over seeds gives each the gradient of its own mean loss.
            optimizer.step(torch.autograd.grad(loss / indices.shape[1], list(trained.values())))
        best.update(weights, *evaluate(architecture, weights, data, data.validation))
        on_epoch()
    return best.result()


def _draw_batches(
    train: Tensor, generators: Sequence[torch.Generator], batch: int
) -> tuple[Tensor, ...]:
    """Return indices `(seeds, batch)` of one epoch; an incomplete last batch is dropped."""
    orders = [torch.randperm(train.shape[1], generator=one) for one in generators]
    shuffled = train.gather(1, torch.stack(orders).to(train.device))
    num_batches = max(1, train.shape[1] // batch)
    return torch.split(shuffled[:, : num_batches * batch], batch, dim=1)


@torch.no_grad()
def evaluate(
    architecture: Architecture, weights: Weights, data: SplitData, indices: Tensor
) -> tuple[Tensor, Tensor]:
    """Return each seed's mean cross-entropy and accuracy `(seeds,)`, without dropout."""
    loss = torch.zeros(indices.shape[0], device=indices.device)
    correct = torch.zeros_like(loss)
    for pixels, labels in data.batches(indices):
        logits = compute_logits(architecture, weights, pixels)
        losses = functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="none"
        ).view(labels.shape)
        loss += losses.sum(dim=1)
        correct += (logits.argmax(dim=2) == labels).sum(dim=1)
    return loss / indices.shape[1], correct / indices.shape[1]


class _BestEpochs:
    """Learning curves, and each seed's weights at its best epoch."""

    def __init__(self, weights: Weights, num_seeds: int, device: torch.device) -> None:
        self._weights = {name: weight.detach().clone() for name, weight in weights.items()}
        self._lowest = torch.full((num_seeds,), torch.inf, device=device)
        self._best = torch.zeros(num_seeds, dtype=torch.int64, device=device)
        self._losses: list[Tensor] = []
        self._accuracies: list[Tensor] = []

    @torch.no_grad()
    def update(self, weights: Weights, loss: Tensor, accuracy: Tensor) -> None:
        """Add the end of an epoch; loss and accuracy are `(seeds,)`."""
        self._losses.append(loss)
        self._accuracies.append(accuracy)
        is_better = loss < self._lowest
        self._lowest = torch.where(is_better, loss, self._lowest)
        self._best[is_better] = len(self._losses)
        for name, weight in weights.items():
            self._weights[name][is_better] = weight[is_better]

    def result(self) -> SessionResult:
        """Return curves and best weights of the session."""
        return SessionResult(
            weights=self._weights,
            losses=torch.stack(self._losses, dim=1).cpu(),
            accuracies=torch.stack(self._accuracies, dim=1).cpu(),
            best=self._best.cpu(),
        )
