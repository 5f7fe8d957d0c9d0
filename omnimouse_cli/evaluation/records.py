"""Options and result of an evaluation, and its flat records, one for each number."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from omnimouse_cli.config.checks import require_not_negative, require_positive
from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.evaluation.row import Row

OVERALL = "overall"
MODEL = "model"
CEILING = "ceiling"
SINGLE_TRIAL = "single_trial_correlation"
# Correlation to the trial average (Sensorium's metric).
TO_AVERAGE = "correlation_to_average"
FRACTION = "fraction_of_ceiling"
# Scores relative to repeats of the stimulus, and bounds of the correlation to the average.
CC_NORM = "cc_norm"
CC_MAX = "cc_max"
FEVE = "feve"
ORACLE = "oracle"
# Sources of noise ceilings, and of what is relative to them.
SIMULATION = "simulation"
REPEATS = "repeats"
DIFFERENCE = "difference"
WITHOUT_STIMULUS = "model-without_stimulus"
LOSS = "loss"
# Metrics by their definitions: metrics/explained.py.
R2 = "r2"
DEVIANCE_EXPLAINED = "deviance_explained"
BITS_PER_SAMPLE = "bits_per_sample"
LOG_LIKELIHOOD = "log_likelihood"
# Less the log-likelihood of the mean of the training trials.
LOG_LIKELIHOOD_GAIN = "log_likelihood_gain"
# Nominal coverage of central predictive intervals.
COVERAGES = {"coverage_50": 0.5, "coverage_80": 0.8, "coverage_95": 0.95}
# Metrics in [-1, 1] whose intervals are taken on Fisher's z.
CORRELATIONS = frozenset({SINGLE_TRIAL, TO_AVERAGE, ORACLE})
OVER_WINDOWS = "windows"
OVER_STIMULI = "stimuli"
OVER_TRIALS = "trials"
OVER_SEEDS = ", seeds"
NEURONS = "neurons"
INPUTS = ("responses", "stimulus", "behavior")
# The second halves of windows this far apart tile the time line once.
TILING_STRIDE_SAMPLES = NUM_RESPONSE_SAMPLES // 2


# Between a metric and the group of neurons that it is over.
OF_GROUP = "."


def is_correlation(metric: str) -> bool:
    """Return whether a metric is a correlation, of all neurons or of a group.

    Example:
        >>> is_correlation("single_trial_correlation.area:VISp"), is_correlation("loss")
        (True, False)
    """
    return metric.partition(OF_GROUP)[0] in CORRELATIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRecord:
    """One number of an evaluation.

    To add a field to the records of `eval.json`, add it here and fill it in
    `Scorer._blank_record` (scorer.py) and, over sessions, in `tabulate.overall_record`.
    training/validation_records.py also constructs records.

    Args:
        regime: `predict`, `decode`, `forecast` or `population`.
        strategy: Name of the masking strategy.
        inputs: Which of `responses`, `stimulus` and `behavior` the model saw.
        session: Session key, or `overall`.
        tier: Tier of the scored trials.
        target: `neurons`, `gaze`, `pupil`, `running` or a channel's name.
        metric: What the value measures; `single_trial_correlation.area:VISp` is the one of the
            neurons of an area alone, likewise of a `layer` and a `depth`.
        predictor: `model` or a baseline; `model-ridge` is the difference of the two, and
            `model-without_stimulus` that of the model with and without the stimulus.
        value: The number; None where it does not exist.
        low: Lower end of the 95 % interval, if there is one.
        high: Upper end.
        interval_over: What the interval is over: `windows` (or `stimuli`, where repeats are
            averaged), `windows, sessions` or `windows, sessions, animals`, with `, seeds` where
            runs of several seeds are combined; None without an interval. Sessions and animals
            count from three on.
        bias_corrected: The value less its bias, which comes from the limited time that is scored;
            the middle of the interval. None without an interval.
        neurons: Neurons (or channels) that it is over.
        windows: Windows that it is over.
        samples: Scored samples of each neuron (or channel); overall, their sum over sessions.
        undefined: Neurons with undefined correlation (constant trace or prediction), counted as 0.
        draws: Random draws of context neurons that the value is the mean over; None where no
            neurons are drawn.
        draws_sd: Standard deviation of the value over draws; None with fewer than two.
        stimulus_in_training: Whether the scored stimuli are shown in training trials too: `seen`,
            `unseen`, `mixed`; None for behavior or where it is not known.
        scored_seconds: Time that is scored, each moment once; overall, the sum over sessions.
        runs: Runs, which differ in their seed alone, whose mean the value is.
        source: Of noise ceilings and of what is relative to them: `simulation`, where the ceiling
            is known exactly, or `repeats` of the stimulus, from which it is estimated.
        repeats: Mean number of repeats of a time point, where the source is `repeats`.
        excluded: Neurons that a number leaves out: of a FEVE, those with less than 15 % explainable
            variance; of log-likelihoods and coverages, those without a fitted distribution.
        distribution: Of log-likelihoods and coverages: the family of predictive distributions,
            `normal`, `poisson` or `zero-inflated gamma` (evaluation/distributions.py); `mixed` over
            sessions that differ.
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
    draws: int | None = None
    draws_sd: float | None = None
    stimulus_in_training: Literal["seen", "unseen", "mixed"] | None = None
    interval_over: str | None = None
    bias_corrected: float | None = None
    scored_seconds: float | None = None
    runs: int = 1
    source: str | None = None
    repeats: float | None = None
    excluded: int | None = None
    distribution: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """A strategy that cannot be evaluated in a session, or a predictor of it that does not exist.

    Args:
        strategy: Name of the masking strategy.
        session: Session key.
        reason: What is missing.
        predictor: The baseline that is unavailable, or `predictive distribution` of the model; None
            where the whole strategy is.
    """

    strategy: str
    session: str
    reason: str
    predictor: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredShards:
    """The data that are scored.

    Args:
        path: Folder of the shards.
        fingerprint: Fingerprint of the sessions that are scored, with their keys.
        sessions: Fingerprint of each session.
        other_data: Sessions whose data are not those that the run was trained on.
        is_default: Whether they are all sessions and data that the run was trained on; of runs that
            do not record their data, whether the folder is that of the training.
    """

    path: str
    fingerprint: str
    sessions: Mapping[str, str]
    other_data: tuple[str, ...]
    is_default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalOptions:
    """What is evaluated, and how.

    Args:
        regime: A regime, `all`, a strategy's name or a file with strategies.
        stimulus: Whether strategies that see the stimulus are evaluated.
        behavior: Whether strategies may use behavior, as an input or as a target.
        tier: Tier of the scored trials.
        include_blanks: Whether windows may reach into blank screens without a tier.
        stride_samples: Steps between windows, in 1/30 s.
        baselines: Baselines that are scored beside the model: `fast`, `all` or names.
        device: `cpu` or `cuda`.
        batch_windows: Windows of a forward pass; None decides by the number of neurons.
        seed: Of the draws of context neurons, and of perturbations.
        perturb: Families of perturbations of the video under which the model is scored too.
        draws: Random draws of context neurons of strategies in which some neurons are visible.
        shards: The data; None before they are opened.
    """

    regime: str = "all"
    stimulus: bool = True
    behavior: bool = True
    tier: str = "test"
    include_blanks: bool = True
    stride_samples: int = TILING_STRIDE_SAMPLES
    baselines: tuple[str, ...] = ("fast",)
    device: str = "cpu"
    batch_windows: int | None = None
    seed: int = 0
    perturb: tuple[str, ...] = ()
    draws: int = 8
    shards: ScoredShards | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        require_positive(
            stride_samples=self.stride_samples,
            batch_windows=self.batch_windows,
            draws=self.draws,
        )
        require_not_negative(seed=self.seed)
        if not self.tier:
            raise ValueError("`tier` must be named")


@dataclass(frozen=True, slots=True, kw_only=True)
class PerturbedRecord:
    """One number of the model under a perturbed video.

    Args:
        perturbation: Its family; `clean` for the unchanged video.
        severity: From 1 to 5; 0 for the unchanged video.
        level: The strength of the perturbation, in `level_unit`.
        level_unit: Unit of `level`, for example grey levels.
        record: The number; a `difference` is from the unchanged video.
    """

    perturbation: str
    severity: int
    level: float
    level_unit: str
    record: EvalRecord

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a flat JSON object."""
        own = {field.name: getattr(self, field.name) for field in fields(self)[:-1]}
        return {**own, **self.record.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackCheck:
    """Whether an adversarial attack raises the loss with its budget.

    Args:
        strategy: Name of the masking strategy.
        loss: The loss that the attack raises: the run's own loss of responses.
        budgets: Grey levels by which a pixel may change, rising; the first is 0.
        losses: Overall loss under each.
        rises: Whether each is larger than the one before; if not, the gradient may be masked.
    """

    strategy: str
    loss: str
    budgets: tuple[float, ...]
    losses: tuple[float, ...]
    rises: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the check as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The result of an evaluation.

    Args:
        records: One for each number.
        unavailable: Strategies and predictors that recordings do not allow, with the reason.
        neurons: Arrays of `neurons.npz`, as `<session>/<strategy>/<neurons or channels>/<what>`:
            the outputs that were scored, every predictor's correlation of each and, where the
            stimulus was repeated, its oracle score; and of every neuron, as `<session>/<what>`,
            unit id, position, area and layer where they are known.
        traces: Examples of what was predicted, for each strategy of each session.
        rows: What each strategy conditions on.
        perturbed: Numbers under perturbed video.
        attack_checks: Of the strategies that were attacked.
        numbers: The records of sessions with their resamples, from which runs are combined; not
            written.
    """

    records: tuple[EvalRecord, ...]
    unavailable: tuple[Unavailable, ...]
    neurons: dict[str, Any] = field(default_factory=dict)
    traces: tuple[Any, ...] = ()
    rows: tuple[Row, ...] = ()
    perturbed: tuple[PerturbedRecord, ...] = ()
    attack_checks: tuple[AttackCheck, ...] = ()
    numbers: Sequence[Any] = ()
