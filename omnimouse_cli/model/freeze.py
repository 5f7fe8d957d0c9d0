"""Parameters of the core that an adaptation freezes."""

from omnimouse_cli.config.training import TrainConfig
from omnimouse_cli.model.build import Core

ANIMALS = "identities.animals"


def freeze(core: Core, config: TrainConfig) -> None:
    """Freeze the core of an adaptation, except for animal embeddings and unfrozen parts.

    Args:
        core: Its parameters are changed in place.
        config: `adapt_from` and `unfreeze` are used.
    """
    for name, parameter in core.named_parameters():
        if not learns(name, config):
            parameter.requires_grad = False


def learns(name: str, config: TrainConfig) -> bool:
    """Return whether a parameter of the core, by its name, is trained."""
    if config.adapt_from is None or "all" in config.unfreeze:
        return True
    return name == ANIMALS or name.partition(".")[0] in config.unfreeze
