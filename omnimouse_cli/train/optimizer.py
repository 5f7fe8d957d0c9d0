"""AdamW for the shared core and for session tables, with a state that exists from the start."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import AdamW

from omnimouse_cli.config.training import TrainConfig

MOMENTS = ("exp_avg", "exp_avg_sq")
# A gradient norm of 0 must not divide by 0. The value is that of torch.nn.utils.clip_grad_norm_.
NORM_EPSILON = 1e-6


def core_optimizer(parameters: Mapping[str, Parameter], config: TrainConfig) -> AdamW:
    """Make the optimizer of what all sessions share; decay acts on every parameter."""
    return _adamw(list(parameters.values()), config, config.learning_rate, config.weight_decay)


def table_optimizer(parameters: Mapping[str, Parameter], config: TrainConfig) -> AdamW | None:
    """Make the optimizer of a rank's session tables; None for a rank that owns none."""
    if not parameters:
        return None
    return _adamw(
        list(parameters.values()), config, config.table_learning_rate, config.table_weight_decay
    )


def _adamw(
    parameters: list[Parameter], config: TrainConfig, learning_rate: float, weight_decay: float
) -> AdamW:
    optimizer = AdamW(
        parameters,
        lr=learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        weight_decay=weight_decay,
        fused=True,
    )
    # torch makes a parameter's state at its first step; a checkpoint needs the same names always.
    for parameter in parameters:
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
