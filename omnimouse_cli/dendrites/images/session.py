"""One training of a network on images, all trainees at once, the best epoch of each kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.dendrites.images.adam import StackedAdam
from omnimouse_cli.dendrites.images.network import INNER, Weights, logits_of
from omnimouse_cli.dendrites.images.plan import Plan
from omnimouse_cli.dendrites.images.trainees import Data, Trainee, dropout_of, generators_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """What a session leaves.

    Args:
        weights: Of each trainee's epoch with the lowest validation loss.
        losses: float32 `(trainees, epochs)`: on validation images, in evaluation mode.
        accuracies: The same, share of images that are right.
        best: int64 `(trainees,)`: that epoch, from 1; 0 where no loss was finite.
    """

    weights: Weights
    losses: Tensor
    accuracies: Tensor
    best: Tensor


def train_session(
    plan: Plan,
    weights: Weights,
    trainees: Sequence[Trainee],
    data: Data,
    *,
    session: int,
    epochs: int,
    batch: int,
    frozen_inner: bool,
    tick: Callable[[], None],
) -> Trained:
    """Train with Adam on cross-entropy.

    Args:
        plan: Which network.
        weights: Where to begin, of all trainees; they are left as they are.
        trainees: Seeds and settings.
        data: Their images.
        session: Its number, so that sessions differ in order and dropout.
        epochs: How many.
        batch: Images of a step.
        frozen_inner: Whether the inner network stays as it is.
        tick: Called after every epoch.
    """
    weights = {name: weight.clone() for name, weight in weights.items()}
    trained = {
        name: weight.requires_grad_()
        for name, weight in weights.items()
        if not (frozen_inner and name.startswith(INNER))
    }
    device = data.pixels.device
    optimizer = StackedAdam(
        trained,
        torch.tensor([one.setting.learning_rate for one in trainees], device=device),
        torch.tensor([one.setting.weight_decay for one in trainees], device=device),
    )
    drop = dropout_of(
        trainees, generators_of(trainees, "dropout", session, plan.network, device=device.type)
    )
    orders = generators_of(trainees, "order", session)
    kept = _Best(weights, len(trainees), device)
    for _ in range(epochs):
        for some in _batches(data.train, orders, batch):
            logits = logits_of(plan, weights, data.pixels[some], dropout=drop)
            loss = functional.cross_entropy(
                logits.flatten(0, 1), data.labels[some].flatten(), reduction="sum"
            )
            # The sum over trainees gives each the gradient of its own mean loss.
            optimizer.step(torch.autograd.grad(loss / some.shape[1], list(trained.values())))
        kept.see(weights, *measured(plan, weights, data, data.validation))
        tick()
    return kept.result()


def _batches(
    train: Tensor, generators: Sequence[torch.Generator], batch: int
) -> tuple[Tensor, ...]:
    """Give indices `(trainees, batch)` of one epoch; the rest that fills no batch is left out."""
    orders = [torch.randperm(train.shape[1], generator=one) for one in generators]
    shuffled = train.gather(1, torch.stack(orders).to(train.device))
    num_whole = max(1, train.shape[1] // batch)
    return torch.split(shuffled[:, : num_whole * batch], batch, dim=1)


@torch.no_grad()
def measured(plan: Plan, weights: Weights, data: Data, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Give mean loss and share of right answers of each trainee, in evaluation mode."""
    loss = torch.zeros(indices.shape[0], device=indices.device)
    right = torch.zeros_like(loss)
    for pixels, labels in data.batches(indices):
        logits = logits_of(plan, weights, pixels)
        losses = functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="none"
        ).view(labels.shape)
        loss += losses.sum(dim=1)
        right += (logits.argmax(dim=2) == labels).sum(dim=1)
    return loss / indices.shape[1], right / indices.shape[1]


class _Best:
    """Keeps curves, and each trainee's weights at its best epoch."""

    def __init__(self, weights: Weights, num_trainees: int, device: torch.device) -> None:
        self._weights = {name: weight.detach().clone() for name, weight in weights.items()}
        self._lowest = torch.full((num_trainees,), torch.inf, device=device)
        self._best = torch.zeros(num_trainees, dtype=torch.int64, device=device)
        self._losses: list[Tensor] = []
        self._accuracies: list[Tensor] = []

    @torch.no_grad()
    def see(self, weights: Weights, loss: Tensor, accuracy: Tensor) -> None:
        """Look at the end of an epoch."""
        self._losses.append(loss)
        self._accuracies.append(accuracy)
        better = loss < self._lowest
        self._lowest = torch.where(better, loss, self._lowest)
        self._best[better] = len(self._losses)
        for name, weight in weights.items():
            self._weights[name][better] = weight[better]

    def result(self) -> Trained:
        """Give what was kept."""
        return Trained(
            weights=self._weights,
            losses=torch.stack(self._losses, dim=1).cpu(),
            accuracies=torch.stack(self._accuracies, dim=1).cpu(),
            best=self._best.cpu(),
        )
