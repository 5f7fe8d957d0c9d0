"""What an evaluation is asked for, and the flat records that it gives."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from omnimouse_cli.config.checks import require_not_negative, require_positive
from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES

OVERALL = "overall"
MODEL = "model"
CEILING = "ceiling"
SINGLE_TRIAL = "single_trial_correlation"
TO_AVERAGE = "correlation_to_average"
FRACTION = "fraction_of_ceiling"
DIFFERENCE = "difference"
WITHOUT_STIMULUS = "model-without_stimulus"
LOSS = "loss"
NEURONS = "neurons"
# The second halves of windows this far apart tile the time line once.
TILING_STRIDE_SAMPLES = NUM_RESPONSE_SAMPLES // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRecord:
    """One number of an evaluation, with what it is of.

    Args:
        regime: `predict`, `decode`, `forecast` or `population`.
        strategy: Name of the row.
        inputs: Which of `responses`, `stimulus` and `behavior` were seen.
        session: Session key, or `overall`.
        tier: Whose trials.
        target: `neurons`, `gaze`, `pupil`, `running` or a channel's name.
        metric: What the number measures.
        predictor: Whose prediction; `model-ridge` is a difference of two, and
            `model-without_stimulus` the model's from itself in the same row without the stimulus.
        value: The number; None where it does not exist.
        low: Lower end of the 95 % interval over windows, if there is one.
        high: Upper end.
        neurons: Neurons (or channels) that it is over.
        windows: Windows that it is over.
        samples: Scored samples of each neuron.
        undefined: Neurons without a correlation (constant), which count as 0.
    """

    regime: str
    strategy: str
    inputs: tuple[str, ...]
    session: str
    tier: str
    target: str
    metric: str
    predictor: str
    value: float | None
    low: float | None = None
    high: float | None = None
    neurons: int
    windows: int
    samples: int
    undefined: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """A row, or a predictor of a row, that a recording cannot have.

    Args:
        strategy: Name of the row.
        session: Session key.
        reason: Why, as a sentence.
        predictor: Whose score is missing; None where the whole row is.
    """

    strategy: str
    session: str
    reason: str
    predictor: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The statement as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalOptions:
    """What is evaluated, and how.

    Args:
        regime: A regime, `all`, a strategy's name or a file with strategies.
        stimulus: Whether rows may see the stimulus.
        behavior: Whether rows may see behavior or be asked for it.
        tier: Whose trials.
        include_blanks: Whether blank screens without a tier between trials of the tier count.
        stride_samples: Steps between windows, in 1/30 s.
        baselines: Whether the model is set beside baselines.
        device: `cpu` or `cuda`.
        batch_windows: Windows of a forward pass; None decides by the number of neurons.
        seed: Of the bootstrap, of what baselines draw, and of perturbations.
        perturb: Families of perturbations of the video under which rows are scored once more.
    """

    regime: str = "all"
    stimulus: bool = True
    behavior: bool = True
    tier: str = "test"
    include_blanks: bool = True
    stride_samples: int = TILING_STRIDE_SAMPLES
    baselines: bool = True
    device: str = "cpu"
    batch_windows: int | None = None
    seed: int = 0
    perturb: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        require_positive(stride_samples=self.stride_samples, batch_windows=self.batch_windows)
        require_not_negative(seed=self.seed)
        if not self.tier:
            raise ValueError("`tier` must be named")


@dataclass(frozen=True, slots=True, kw_only=True)
class PerturbedRecord:
    """One number of the model under a perturbed video.

    Args:
        perturbation: Its family; `clean` where nothing is perturbed.
        severity: From 1 to 5; 0 where nothing is perturbed.
        level: What that is, in `level_unit`.
        level_unit: Of the family.
        record: The number; `difference` is against the clean video.
    """

    perturbation: str
    severity: int
    level: float
    level_unit: str
    record: EvalRecord

    def to_dict(self) -> dict[str, Any]:
        """The record as a flat JSON object."""
        own = {field.name: getattr(self, field.name) for field in fields(self)[:-1]}
        return {**own, **self.record.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackCheck:
    """Whether an attack does what it is to do.

    Args:
        strategy: Name of the row.
        loss: What the attack raises: the run's own loss of responses.
        budgets: Grey levels by which a pixel may change, rising; the first is 0.
        losses: Overall loss under each.
        rises: Whether each is larger than the one before: an attack that is masked does not see
            which way to go.
    """

    strategy: str
    loss: str
    budgets: tuple[float, ...]
    losses: tuple[float, ...]
    rises: bool

    def to_dict(self) -> dict[str, Any]:
        """The check as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The result of an evaluation.

    Args:
        records: One for each number.
        unavailable: Rows and predictors that recordings cannot have.
        neurons: Arrays of `neurons.npz`: per row and session the columns that were scored, and
            every predictor's correlation of each, as `<session>/<row>/<what>`.
        traces: What the figure shows, per row.
        perturbed: Numbers under perturbed video, if it was asked for.
        attack_checks: Of the rows that were attacked.
    """

    records: tuple[EvalRecord, ...]
    unavailable: tuple[Unavailable, ...]
    neurons: dict[str, Any] = field(default_factory=dict)
    traces: tuple[Any, ...] = ()
    perturbed: tuple[PerturbedRecord, ...] = ()
    attack_checks: tuple[AttackCheck, ...] = ()
