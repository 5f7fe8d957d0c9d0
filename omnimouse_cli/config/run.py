"""The complete configuration of a run; `config.toml` in the run folder holds all of it."""

from dataclasses import dataclass, field

from omnimouse_cli.config.checks import require_not_negative
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.config.training import MaskingConfig, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """All settings on which the result of a run depends.

    Args:
        seed: Seed of initial weights, window order, neuron subsets and masking strategies.
        data: Windows of the training data and their scaling.
        model: Shape of the transformer.
        masking: Masking strategies of the training.
        train: Duration, optimizers and schedule.
    """

    seed: int = 42
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        """Raise ValueError for a seed that generators refuse, or strategies that a model lacks."""
        require_not_negative(seed=self.seed)
        masking = self.masking
        if self.model.kind == "cnn-twin" and (masking.table != "predict" or masking.files):
            raise ValueError(
                "a cnn-twin is trained with `masking.table` predict and no `masking.files`: "
                f"{masking.table}, {list(masking.files)}"
            )
        if self.model.kind == "cnn-twin" and self.train.compile:
            raise ValueError(f"a cnn-twin is not compiled: `train.compile` is {self.train.compile}")
