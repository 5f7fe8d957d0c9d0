"""AdamW for the core and for session embeddings, and the clipping of gradients."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import AdamW

from omnimouse_cli.config.training import TrainConfig
from omnimouse_cli.model.shortcuts import is_shortcut_parameter
from omnimouse_cli.training.schedule import Schedule

MOMENTS = ("exp_avg", "exp_avg_sq")
# Names of parameter groups; the warm-up of the transformer starts later than that of the others.
SHORTCUTS, TRANSFORMER, SESSIONS = "shortcuts", "transformer", "sessions"
# Weights of neurons that are computed in closed form.
LINEAR_MODELS = "linear models"
# A gradient norm of 0 must not divide by 0. The value is that of torch.nn.utils.clip_grad_norm_.
NORM_EPSILON = 1e-6


def build_core_optimizer(parameters: Mapping[str, Parameter], config: TrainConfig) -> AdamW:
    """Return the optimizer of the core; weight decay acts on every parameter.

    Args:
        parameters: Trained parameters by name; shortcuts and transformer become a group each.
        config: Learning rate, weight decay and AdamW's constants are used.
    """
    groups = {
        SHORTCUTS: [value for name, value in parameters.items() if is_shortcut_parameter(name)],
        TRANSFORMER: [
            value for name, value in parameters.items() if not is_shortcut_parameter(name)
        ],
    }
    return _build_adamw(groups, config, config.learning_rate, config.weight_decay)


def build_session_optimizer(
    parameters: Mapping[str, Parameter], config: TrainConfig
) -> AdamW | None:
    """Return the optimizer of a rank's session embeddings; None for a rank that owns none."""
    if not parameters:
        return None
    fixed = [value for name, value in parameters.items() if name.endswith(".neuron_weights")]
    learned = [value for name, value in parameters.items() if not name.endswith(".neuron_weights")]
    optimizer = _build_adamw(
        {SESSIONS: learned, LINEAR_MODELS: fixed},
        config,
        config.table_learning_rate,
        config.table_weight_decay,
    )
    for group in optimizer.param_groups:
        if group["name"] == LINEAR_MODELS:
            # At a learning rate of 0 there is no decay either.
            group["lr"] = group["initial_lr"] = 0.0
    return optimizer


def _build_adamw(
    groups: Mapping[str, list[Parameter]],
    config: TrainConfig,
    learning_rate: float,
    weight_decay: float,
) -> AdamW:
    optimizer = AdamW(
        [
            {"params": values, "name": name, "initial_lr": learning_rate}
            for name, values in groups.items()
            if values
        ],
        lr=learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        weight_decay=weight_decay,
        fused=True,
    )
    # torch makes a parameter's state at its first step; a checkpoint needs the same names always.
    for parameter in (each for values in groups.values() for each in values):
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            **{name: torch.zeros_like(parameter) for name in MOMENTS},
        }
    return optimizer


def set_learning_rates(optimizer: AdamW | None, schedule: Schedule, progress: float) -> None:
    """Set the learning rate of every parameter group; at 0 weight decay is 0, too.

    Args:
        optimizer: Changed in place.
        schedule: Warm-up and cool-down.
        progress: Fraction of the run that is over.
    """
    group: dict[str, Any]
    for group in [] if optimizer is None else optimizer.param_groups:
        is_transformer = group["name"] == TRANSFORMER
        factor = schedule.transformer_factor if is_transformer else schedule.factor
        group["lr"] = group["initial_lr"] * factor(progress)


def optimizer_tensors(optimizer: AdamW, parameters: Mapping[str, Parameter]) -> dict[str, Tensor]:
    """Return the optimizer's own state tensors as `<parameter's name>.<moment>`."""
    return {
        f"{name}.{key}": optimizer.state[parameter][key]
        for name, parameter in parameters.items()
        for key in ("step", *MOMENTS)
    }


def clip_gradient(gradient: Tensor, max_norm: float | None) -> Tensor:
    """Scale a gradient vector down to an L2 norm, in place, without waiting for the device.

    Args:
        gradient: float32 `(parameters,)`.
        max_norm: Largest norm that is left as it is; None does not clip.

    Returns:
        float32 `()`: the norm before clipping.
    """
    norm: Tensor = torch.linalg.vector_norm(gradient)
    if max_norm is not None:
        gradient.mul_((max_norm / (norm + NORM_EPSILON)).clamp(max=1.0))
    return norm
