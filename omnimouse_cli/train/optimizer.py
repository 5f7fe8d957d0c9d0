"""AdamW for the shared core and for session tables, with a state that exists from the start."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import AdamW

from omnimouse_cli.config.training import TrainConfig
from omnimouse_cli.train.schedule import Pace

MOMENTS = ("exp_avg", "exp_avg_sq")
SHORT_WAYS = ("linear_paths.", "readout.own_history.filter")
# Marks the group of parameters that act past the transformer.
SHORT = "is_short"
# A gradient norm of 0 must not divide by 0. The value is that of torch.nn.utils.clip_grad_norm_.
NORM_EPSILON = 1e-6


def core_optimizer(parameters: Mapping[str, Parameter], config: TrainConfig) -> AdamW:
    """Make the optimizer of what all sessions share; decay acts on every parameter.

    The short ways are a group of their own, as they learn alone at first.
    """
    groups: list[dict[str, Any]] = [
        {
            "params": [value for name, value in parameters.items() if is_short_way(name) is short],
            SHORT: short,
        }
        for short in (True, False)
    ]
    groups = [group for group in groups if group["params"]]
    return _adamw(groups, config, config.learning_rate, config.weight_decay)


def is_short_way(name: str) -> bool:
    """Whether a parameter of the core, by its name, acts past the transformer."""
    return name.startswith(SHORT_WAYS)


def table_optimizer(parameters: Mapping[str, Parameter], config: TrainConfig) -> AdamW | None:
    """Make the optimizer of a rank's session tables; None for a rank that owns none."""
    if not parameters:
        return None
    groups = [{"params": list(parameters.values())}]
    return _adamw(groups, config, config.table_learning_rate, config.table_weight_decay)


def _adamw(
    groups: list[dict[str, Any]], config: TrainConfig, learning_rate: float, weight_decay: float
) -> AdamW:
    optimizer = AdamW(
        groups,
        lr=learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        weight_decay=weight_decay,
        fused=True,
    )
    # torch makes a parameter's state at its first step; a checkpoint needs the same names always.
    for parameter in (each for group in groups for each in group["params"]):
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            **{name: torch.zeros_like(parameter) for name in MOMENTS},
        }
    return optimizer


def set_learning_rate(optimizer: AdamW | None, learning_rate: float) -> None:
    """Set the learning rate of every group."""
    if optimizer is not None:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate


def set_core_learning_rate(optimizer: AdamW, learning_rate: float, pace: Pace) -> None:
    """Set the learning rates of short ways and of all else; at 0 decay rests, too."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * (pace.factor if group[SHORT] else pace.transformer_factor)


def optimizer_tensors(optimizer: AdamW, parameters: Mapping[str, Parameter]) -> dict[str, Tensor]:
    """Give the optimizer's state as `<parameter's name>.<moment>`; the tensors are its own."""
    return {
        f"{name}.{key}": optimizer.state[parameter][key]
        for name, parameter in parameters.items()
        for key in ("step", *MOMENTS)
    }


def clip(gradients: list[Tensor], max_norm: float | None) -> Tensor:
    """Scale gradients down together to an L2 norm, in place, without waiting for the device.

    Args:
        gradients: Tensors that are one vector.
        max_norm: Largest norm that is left as it is; None is no limit.

    Returns:
        The norm before, a tensor without dimensions.
    """
    norm: Tensor = torch.linalg.vector_norm(
        torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
    )
    if max_norm is not None:
        scale = (max_norm / (norm + NORM_EPSILON)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale)
    return norm
