"""Which parameters of a core learn, and which an adaptation freezes."""

import torch

from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.config.training import TrainConfig
from omnimouse_cli.model.omnimouse import OmniMouse

ANIMALS = "identities.animals"


def freeze(core: OmniMouse, config: TrainConfig) -> None:
    """Leave learning to vectors of animals and to the parts that are opened.

    Args:
        core: Changed in place, if a run is adapted.
        config: `adapt_from` and `unfreeze` are used.
    """
    for name, parameter in core.named_parameters():
        if not learns(name, config):
            parameter.requires_grad = False


def frozen_parameters(config: RunConfig, *, num_channels: int, num_animals: int) -> int:
    """Count the core's parameters that an adaptation freezes, without memory for them."""
    if config.train.adapt_from is None:
        return 0
    with torch.device("meta"):
        core = OmniMouse(
            config.model,
            behavior_channels=tuple(map(str, range(num_channels))),
            animals=tuple(map(str, range(num_animals))),
        )
    return sum(
        parameter.numel()
        for name, parameter in core.named_parameters()
        if not learns(name, config.train)
    )


def learns(name: str, config: TrainConfig) -> bool:
    """Whether a parameter of the core, by its name, is not frozen by an adaptation."""
    if config.adapt_from is None or "all" in config.unfreeze:
        return True
    return name == ANIMALS or name.partition(".")[0] in config.unfreeze
