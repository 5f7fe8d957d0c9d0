"""Which parameters of a core learn, and which an adaptation freezes."""

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


def learns(name: str, config: TrainConfig) -> bool:
    """Whether a parameter of the core, by its name, is not frozen by an adaptation."""
    if config.adapt_from is None or "all" in config.unfreeze:
        return True
    return name == ANIMALS or name.partition(".")[0] in config.unfreeze
