"""How a competitor is trained: in three sessions where the activation is learned, else in one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omnimouse_cli.dendrites.images.network import (
    INNER,
    Weights,
    named_inner,
    outer_weights,
)
from omnimouse_cli.dendrites.images.plan import Plan
from omnimouse_cli.dendrites.images.pretrain import pretrain_inner
from omnimouse_cli.dendrites.images.session import Trained, train_session
from omnimouse_cli.dendrites.images.trainees import Data, Trainee, generators_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What every competitor may spend: epochs of a session, images of a step, pretraining."""

    epochs: int
    batch: int
    pretrain_steps: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """What the training of a competitor leaves.

    Args:
        last: The session whose networks compete.
        joint: Session II, in which inner and outer network learn together; None where the
            activation is fixed.
        pretrained: float32 `(trainees,)`: how well session I met its noise, as R2.
    """

    last: Trained
    joint: Trained | None
    pretrained: Tensor | None


def course_of(
    plan: Plan,
    trainees: Sequence[Trainee],
    data: Data,
    budget: Budget,
    *,
    tick: Callable[[], None],
) -> Course:
    """Train a competitor.

    Args:
        plan: Which network.
        trainees: Seeds and settings, all with the plan's profile.
        data: Their images.
        budget: What may be spent.
        tick: Called after every epoch.
    """

    def run(session: int, weights: Weights, *, frozen: bool) -> Trained:
        return train_session(
            plan,
            weights,
            trainees,
            data,
            session=session,
            epochs=budget.epochs,
            batch=budget.batch,
            frozen_inner=frozen,
            tick=tick,
        )

    device = data.pixels.device
    if not plan.activation.learned:
        weights = _outer(plan, trainees, session=3, device=device)
        return Course(last=run(3, weights, frozen=False), joint=None, pretrained=None)
    inner, pretrained = pretrain_inner(
        plan.inner_sizes, trainees, steps=budget.pretrain_steps, device=device, tick=_nothing
    )
    outer = _outer(plan, trainees, session=2, device=device)
    joint = run(2, outer | named_inner(inner), frozen=False)
    # The inner network of the best epoch stays; the outer one begins anew.
    best = {name: weight for name, weight in joint.weights.items() if name.startswith(INNER)}
    outer = _outer(plan, trainees, session=3, device=device)
    return Course(last=run(3, outer | best, frozen=True), joint=joint, pretrained=pretrained)


def _outer(
    plan: Plan, trainees: Sequence[Trainee], *, session: int, device: torch.device
) -> Weights:
    generators = generators_of(trainees, "outer", plan.network, session)
    return {name: weight.to(device) for name, weight in outer_weights(plan, generators).items()}


def _nothing() -> None:
    """Pretraining is short and shows no progress."""
