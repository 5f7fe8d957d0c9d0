"""The named models: five published sizes, two for a laptop, two models to compare them with."""

from dataclasses import replace

from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.config.model import DecoderConfig, LatentConfig, ModelConfig, VideoConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.config.training import MaskingConfig, TrainConfig

# Sizes for recordings of minutes on a CPU, not for data sets of thousands of hours.
SMALL_SIZES = ("nano", "tiny", "nano-plain", "cnn-twin")


def _published(
    size: str, *, d_model: int, layers: int, pattern: str, stages: tuple[int, int]
) -> ModelConfig:
    return ModelConfig(
        size=size,
        d_model=d_model,
        num_heads=d_model // 64,
        layers=layers,
        pattern=pattern,
        experiment_time=True,
        video=VideoConfig(stages=stages),
    )


# The laptop sizes have video features at 15 times and 4 x 8 positions, and shortcuts from history,
# population, stimulus and behavior, which an hour of training is too short to learn without.
_NANO = ModelConfig(
    size="nano",
    d_model=64,
    num_heads=2,
    layers=2,
    pattern="LG",
    d_embedding=64,
    feed_forward_multiple=32,
    rope_shortest_seconds=0.1,
    latents=LatentConfig(per_group=16, num_global=16),
    video=VideoConfig(
        d_embed=32,
        num_heads=2,
        stages=(1, 1),
        stride=(4, 4, 4),
        padding=(1, 0, 2),
        mask_unit=(4, 8),
        drop_path=0.0,
        start="scaled",
    ),
    decoder=DecoderConfig(
        own_history=True,
        population_rank=24,
        motion_wavelengths=(8.0, 11.5, 16.5),
        motion_time_constants=(0.022, 0.09),
        linear_rank=24,
        motion_envelope=0.3,
        motion_transience=0.6,
        fitted_fields=True,
        fitted_tuning=True,
        fitted_width=0.5,
        shared_filters=True,
        behavior_rank=8,
        feed_forward_multiplier=2.67,
        softplus_beta=1.0,
        start_at_mean=True,
    ),
)
_TINY = ModelConfig(
    size="tiny",
    d_model=80,
    num_heads=2,
    layers=3,
    pattern="LG",
    d_embedding=96,
    feed_forward_multiple=32,
    rope_shortest_seconds=0.1,
    latents=LatentConfig(per_group=32, num_global=32),
    video=VideoConfig(
        d_embed=48,
        num_heads=2,
        stages=(1, 1),
        stride=(4, 4, 4),
        padding=(1, 0, 2),
        mask_unit=(4, 8),
        drop_path=0.1,
        start="scaled",
    ),
    decoder=DecoderConfig(
        own_history=True,
        population_rank=48,
        motion_wavelengths=(8.0, 11.5, 16.5),
        motion_time_constants=(0.022, 0.09),
        linear_rank=24,
        motion_envelope=0.3,
        motion_transience=0.6,
        fitted_fields=True,
        fitted_tuning=True,
        fitted_width=0.5,
        shared_filters=True,
        behavior_rank=8,
        feed_forward_multiplier=2.67,
        softplus_beta=1.0,
        start_at_mean=True,
    ),
)

# Source of the published sizes: OmniMouse (ICLR 2026, arXiv 2604.18827).
SIZES: dict[str, ModelConfig] = {
    "nano": _NANO,
    "tiny": _TINY,
    "1M": _published("1M", d_model=256, layers=2, pattern="LG", stages=(2, 2)),
    "5M": _published("5M", d_model=256, layers=6, pattern="LLLLLG", stages=(2, 2)),
    "20M": _published("20M", d_model=512, layers=6, pattern="LLLLLG", stages=(2, 8)),
    "80M": _published("80M", d_model=768, layers=12, pattern="LLLLLG", stages=(2, 8)),
    "300M": _published("300M", d_model=1024, layers=24, pattern="LLLLLG", stages=(2, 8)),
}

# What `--model` names: the sizes, and two models that they are compared with. A transformer without
# shortcuts stands for masked models of populations. A convolutional digital twin only predicts.
MODELS: dict[str, ModelConfig] = {
    **SIZES,
    "nano-plain": replace(
        _NANO,
        size="nano-plain",
        decoder=replace(
            _NANO.decoder,
            own_history=False,
            population_rank=None,
            motion_wavelengths=(),
            linear_rank=None,
            fitted_fields=False,
            fitted_tuning=False,
            behavior_rank=None,
        ),
    ),
    "cnn-twin": ModelConfig(
        size="cnn-twin",
        kind="cnn-twin",
        d_embedding=64,
        decoder=DecoderConfig(softplus_beta=1.0, start_at_mean=True),
    ),
}


def default_run_config(size: str) -> RunConfig:
    """Return the default configuration of a model; published sizes have the published recipe."""
    model = MODELS[size]
    if model.kind == "cnn-twin":
        return RunConfig(
            model=model,
            masking=MaskingConfig(table="predict"),
            train=TrainConfig(learning_rate=2e-3, table_learning_rate=5e-3),
        )
    if size not in SMALL_SIZES:
        return RunConfig(model=model, data=DataConfig(std_floor_absolute=1.0))
    return RunConfig(
        model=model,
        masking=MaskingConfig(table="families"),
        # With the published behavior weight, minutes of training are too short to learn behavior.
        train=TrainConfig(learning_rate=2e-3, table_learning_rate=5e-3, behavior_weight=0.2),
    )
