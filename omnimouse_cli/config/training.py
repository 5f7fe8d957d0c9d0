"""How long and how a model is trained."""

from dataclasses import dataclass
from typing import Literal

from omnimouse_cli.config.checks import require_fraction, require_not_negative, require_positive

# What of a core can be opened when it is adapted: its parts by their names in the model.
CorePart = Literal[
    "all",
    "identities",
    "response_tokens",
    "behavior",
    "latents",
    "video",
    "encoder",
    "fusion",
    "decoder",
    "readout",
    "linear_paths",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskingConfig:
    """Which masking strategies a step may draw.

    Args:
        table: `published` is the 120 training strategies; `families` a dozen that weigh the four
            regimes equally, with and without stimulus.
        files: TOML files with strategies of the user's own, drawn beside the table.
    """

    table: Literal["published", "families"] = "published"
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Length, optimizers and schedule. Source: omnimouse reference, section 5.

    Args:
        adapt_from: Finished run whose core is taken and frozen: vectors of animals and tables of
            sessions learn. None trains everything from its beginning.
        unfreeze: Parts of that core that learn too; `all` opens it whole.
        steps: Optimizer steps; one of `steps`, `epochs` and `minutes` is set.
        epochs: Passes over the longest session (balanced) or over all windows (proportional).
        minutes: Wall-clock minutes; the cool-down ends when they do.
        batches_per_step: Batches whose gradients are averaged in a step, over all ranks; None is
            one for each rank.
        learning_rate: Of the shared core.
        weight_decay: Of the shared core.
        table_learning_rate: Of neuron, session tables.
        table_weight_decay: Of neuron, session tables.
        beta1: AdamW's first decay.
        beta2: AdamW's second decay.
        epsilon: AdamW's epsilon.
        warmup_fraction: Share of the run with a rising learning rate.
        short_ways_fraction: Share of the run, at its beginning, in which the ways past the
            transformer and the session tables learn alone: cheap steps that find most of what is
            linear. Then the transformer begins to learn, its learning rate rising again. None of
            it where a run begins with another's weights (`--init-from`, `adapt_from`).
        cooldown_fraction: Share of the run with a falling learning rate, at its end.
        cooldown_shape: How it falls to 0: `linear`, or `1-sqrt`, which falls fast first.
        clip_norm: L2 norm to which gradients are clipped; None is off.
        behavior_weight: Weight of the behavior loss beside the neural loss.
        validate_every: Steps between validations; None validates only at the end.
        validation_tiers: Trials whose windows validate.
        validation_sessions: Sessions that validate; None takes all that are trained. Runs on
            nested subsets are comparable when they validate on the same sessions.
        checkpoint_every: Steps between checkpoints.
        log_every: Steps between lines of metrics.jsonl.
        keep_checkpoints: Newest checkpoints that are kept.
        precision: Of the forward pass; None is bfloat16 on a GPU and float32 on a CPU.
        compile: Whether the model is compiled; None compiles on a GPU.
    """

    adapt_from: str | None = None
    unfreeze: tuple[CorePart, ...] = ()
    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None
    batches_per_step: int | None = None
    learning_rate: float = 7e-4
    weight_decay: float = 0.1
    table_learning_rate: float = 3e-3
    table_weight_decay: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-6
    warmup_fraction: float = 0.02
    short_ways_fraction: float = 0.0
    cooldown_fraction: float = 0.3
    cooldown_shape: Literal["1-sqrt", "linear"] = "1-sqrt"
    clip_norm: float | None = 1.0
    behavior_weight: float = 0.1
    validate_every: int | None = None
    validation_tiers: tuple[str, ...] = ("validation",)
    validation_sessions: tuple[str, ...] | None = None
    checkpoint_every: int = 500
    log_every: int = 20
    keep_checkpoints: int = 2
    precision: Literal["float32", "bfloat16"] | None = None
    compile: bool | None = None

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        require_positive(
            steps=self.steps,
            epochs=self.epochs,
            minutes=self.minutes,
            batches_per_step=self.batches_per_step,
            learning_rate=self.learning_rate,
            table_learning_rate=self.table_learning_rate,
            epsilon=self.epsilon,
            clip_norm=self.clip_norm,
            validate_every=self.validate_every,
            checkpoint_every=self.checkpoint_every,
            log_every=self.log_every,
            keep_checkpoints=self.keep_checkpoints,
        )
        require_not_negative(
            weight_decay=self.weight_decay,
            table_weight_decay=self.table_weight_decay,
            behavior_weight=self.behavior_weight,
        )
        require_fraction(
            beta1=self.beta1,
            beta2=self.beta2,
            warmup_fraction=self.warmup_fraction,
            short_ways_fraction=self.short_ways_fraction,
            cooldown_fraction=self.cooldown_fraction,
        )
        lengths = [name for name in ("steps", "epochs", "minutes") if getattr(self, name)]
        if len(lengths) > 1:
            raise ValueError(f"only one of `steps`, `epochs`, `minutes` may be set: {lengths}")
        if self.unfreeze and self.adapt_from is None:
            raise ValueError(f"`unfreeze` needs a run to `adapt_from`: {', '.join(self.unfreeze)}")
