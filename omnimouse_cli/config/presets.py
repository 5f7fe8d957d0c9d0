"""What a run of each size starts from, beside the shape of its model."""

from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.config.training import MaskingConfig, TrainConfig

# Sizes meant for recordings of minutes on a CPU, not for corpora of thousands of hours.
SMALL_SIZES = ("nano", "tiny")


def default_run_config(size: str) -> RunConfig:
    """Give the run that a size starts from; the published sizes follow the published recipe."""
    model = SIZES[size]
    if size not in SMALL_SIZES:
        return RunConfig(model=model, data=DataConfig(std_floor_absolute=1.0), train=TrainConfig())
    return RunConfig(
        model=model,
        masking=MaskingConfig(table="families"),
        # In minutes of training behavior is learned only if it is heard beside the responses.
        train=TrainConfig(
            learning_rate=2e-3,
            table_learning_rate=5e-3,
            behavior_weight=0.2,
        ),
    )
