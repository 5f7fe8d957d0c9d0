"""Construction of a core from its configuration, and what a kind of core can predict."""

from collections.abc import Sequence

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.twin import CnnTwin, describe_twin, is_twin_strategy

Core = OmniMouse | CnnTwin


def build_core(
    config: ModelConfig, *, behavior_channels: Sequence[str], animals: Sequence[str]
) -> Core:
    """Return a core with initial weights, of the kind that `model.kind` names.

    Args:
        config: Configuration of the model; `response_loss` is set.
        behavior_channels: Channels of the data set, in the order of a batch's.
        animals: Animals of the data set.
    """
    kind = CnnTwin if config.kind == "cnn-twin" else OmniMouse
    return kind(config, behavior_channels=behavior_channels, animals=animals)


def unsupported_reason(config: ModelConfig, strategy: Strategy) -> str | None:
    """Return why a core cannot predict under a masking strategy; None if it can."""
    if config.kind == "cnn-twin" and not is_twin_strategy(strategy):
        return describe_twin()
    return None
