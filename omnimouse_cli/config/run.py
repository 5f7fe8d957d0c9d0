"""The complete configuration of a run; `config.toml` in the run folder holds all of it."""

from dataclasses import dataclass, field

from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.config.training import MaskingConfig, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that decides what a run computes.

    Args:
        seed: Of weights, window order, neuron subsets and strategies.
        data: Which windows, how scaled.
        model: The transformer.
        masking: What is hidden and asked for.
        train: Length, optimizers and schedule.
    """

    seed: int = 42
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
