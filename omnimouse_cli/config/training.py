"""Settings of training: masking strategies, duration, optimizers, schedule."""

from dataclasses import dataclass
from typing import Literal

from omnimouse_cli.config.checks import require_fraction, require_not_negative, require_positive

TrainingTable = Literal["published", "families", "predict"]

# Parts of a frozen core that can be trained in an adaptation, by their names in the model.
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
    """Masking strategies from which one is drawn per step.

    Args:
        table: `published` has the 120 published training strategies; `families` has 16 that
            weigh the four regimes equally, with and without stimulus; `predict` has one, responses
            from stimulus and behavior, and is the only one of a cnn-twin.
        files: TOML files with further strategies.
    """

    table: TrainingTable = "published"
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Duration, optimizers and schedule. Source: OmniMouse (ICLR 2026, arXiv 2604.18827).

    The core is what all sessions share; a session's embeddings (keys `table_*`) are the embeddings
    and biases of its neurons and the embedding of the session.

    Args:
        adapt_from: Finished run whose core is used and frozen: only embeddings of animals and of
            sessions are trained. None trains the whole model.
        unfreeze: Parts of that core that are trained too; `all` trains all of it.
        steps: Optimizer steps; at most one of `steps`, `epochs` and `minutes` is set.
        epochs: Passes over the data of the training windows: tokens seen over unique tokens
            (batch/epochs.py). A run stores the steps that follow from it.
        minutes: Wall-clock minutes; the cool-down ends with them.
        batches_per_step: Batches whose gradients are averaged in a step, over all ranks; None
            takes one per rank.
        learning_rate: Peak learning rate of the core.
        weight_decay: AdamW's weight decay of the core.
        table_learning_rate: Peak learning rate of session embeddings.
        table_weight_decay: AdamW's weight decay of session embeddings.
        beta1: AdamW's decay of the mean gradient.
        beta2: AdamW's decay of the mean squared gradient.
        epsilon: AdamW's epsilon.
        warmup_fraction: Fraction of the run in which a learning rate rises from 0 to its peak.
        shortcuts_first_fraction: Fraction of the run, at its beginning, in which only the shortcuts
            and the session embeddings are trained: cheap steps that find most of what is linear.
            Then the transformer is trained too, with a warm-up of its own. None takes .1 for `nano`
            and `tiny`, and 0 for other sizes and where weights of another run are the start
            (`--init-from`, `adapt_from`).
        cooldown_fraction: Fraction of the run, at its end, in which learning rates fall to 0.
        cooldown_shape: `linear`, or `1-sqrt`, which falls fast first.
        clip_norm: L2 norm to which gradients are clipped; None does not clip.
        behavior_weight: Weight of the behavior loss relative to the neural loss.
        validate_every: Steps between validations; None validates only at the end.
        validation_tiers: Tiers of the trials that are used for validation.
        validation_sessions: Sessions used for validation; None takes all that are trained. Runs on
            nested subsets are comparable when they validate on the same sessions.
        validation_windows: Largest number of windows of a session that are used for validation,
            evenly spaced; `all` takes all. None takes 4,096 divided by the number of sessions, but
            at least 64: all windows of a dozen sessions, a sample of hundreds.
        checkpoint_every: Steps between checkpoints; None goes by `checkpoint_minutes` only.
        checkpoint_minutes: Minutes of training between checkpoints, counted from the one before;
            None goes by `checkpoint_every` only. The end and an interrupt have one in any case.
        log_every: Steps between lines of metrics.jsonl.
        keep_checkpoints: Number of newest checkpoints that are kept.
        keep_checkpoint_hours: Hours of training between older checkpoints that are kept too; None
            keeps the newest only.
        silence_seconds: Seconds after which a rank that gives no sign of life, or makes no progress
            while the others wait for it, ends the training; None waits for ever. A phase that may
            take longer, as a compilation, a validation or a slow step, is given more.
        precision: Precision of the forward pass; None is bfloat16 on a GPU and float32 on a CPU.
        compile: Whether the model is compiled; None compiles on a GPU. `cuda-graphs` also captures
            the fusion layers of published sizes as CUDA graphs, which may spare a host that is
            slower than its GPU, and takes more memory; it has not run on a GPU yet.
        activation_checkpointing: Whether encoder, fusion layers and video blocks are computed again
            in the backward pass, instead of storing what it needs: less memory for about a third
            more time.
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
    shortcuts_first_fraction: float | None = None
    cooldown_fraction: float = 0.3
    cooldown_shape: Literal["1-sqrt", "linear"] = "1-sqrt"
    clip_norm: float | None = 1.0
    behavior_weight: float = 0.1
    validate_every: int | None = None
    validation_tiers: tuple[str, ...] = ("validation",)
    validation_sessions: tuple[str, ...] | None = None
    validation_windows: Literal["all"] | int | None = None
    checkpoint_every: int | None = None
    checkpoint_minutes: float | None = 10.0
    log_every: int = 20
    keep_checkpoints: int = 2
    keep_checkpoint_hours: float | None = None
    silence_seconds: float | None = 80.0
    precision: Literal["float32", "bfloat16"] | None = None
    compile: Literal["cuda-graphs"] | bool | None = None
    activation_checkpointing: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for values out of range or in conflict."""
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
            checkpoint_minutes=self.checkpoint_minutes,
            log_every=self.log_every,
            keep_checkpoints=self.keep_checkpoints,
            keep_checkpoint_hours=self.keep_checkpoint_hours,
            silence_seconds=self.silence_seconds,
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
            shortcuts_first_fraction=self.shortcuts_first_fraction,
            cooldown_fraction=self.cooldown_fraction,
        )
        if isinstance(self.validation_windows, int):
            require_positive(validation_windows=self.validation_windows)
        durations = [name for name in ("steps", "epochs", "minutes") if getattr(self, name)]
        if len(durations) > 1:
            raise ValueError(f"only one of `steps`, `epochs`, `minutes` may be set: {durations}")
        if self.unfreeze and self.adapt_from is None:
            raise ValueError(f"`unfreeze` needs a run to `adapt_from`: {', '.join(self.unfreeze)}")
