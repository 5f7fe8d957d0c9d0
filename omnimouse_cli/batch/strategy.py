"""A masking strategy as data: what a forward pass sees, and what it is asked for."""

from dataclasses import dataclass
from typing import Literal

from omnimouse_cli.config.checks import require_not_negative, require_one_of
from omnimouse_cli.config.data import NUM_FRAMES, NUM_RESPONSE_SAMPLES

Family = Literal["predict", "decode", "forecast", "population"]
BehaviorRole = Literal["encoded", "reconstructed", "absent"]

# A response token is 10 samples, the next one starts 5 later; a query asks for 5 samples at once.
TOKEN_SAMPLES = 10
TOKEN_STRIDE_SAMPLES = 5
QUERY_SAMPLES = 5
# Stored responses were interpolated from slower imaging: this near to a visible sample a neuron's
# response is partly visible itself, and asking for it would be asking for a copy.
INTERPOLATION_BUFFER_SAMPLES = 5
REFERENCE_POPULATION = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """Which neurons, samples, frames and behavior are seen and asked.

    Source of the fields: omnimouse reference, section 5.1. Sample and frame numbers count from
    the window's start (60 of each in 2 s); ranges are half-open. Counts of neurons are those of a
    population of 4096 unless `literal_counts`.

    Args:
        name: Unique in its table.
        family: The regime that the strategy belongs to.
        num_visible: Neurons whose responses are seen; None is all of them, 0 none.
        prefix: First and last sample that visible neurons show; None when nobody does.
        full_population_prefix: Samples of the prefix, from its start, in which every neuron is
            seen, not only the visible ones.
        context: Samples that carry latents; None without responses.
        targets: Samples asked of the target neurons; None asks no responses.
        num_targets: Target neurons, the last of the population; None is all of them.
        video: First and last frame that is seen; None hides the screen.
        behavior: `encoded` is an input, `reconstructed` is asked for, `absent` is neither.
        literal_counts: Whether counts of neurons hold as they stand in any population; else they
            shrink with a population below 4096.
    """

    name: str
    family: Family
    num_visible: int | None = None
    prefix: tuple[int, int] | None = None
    full_population_prefix: int = 0
    context: tuple[int, int] | None = None
    targets: tuple[int, int] | None = (30, 60)
    num_targets: int | None = None
    video: tuple[int, int] | None = None
    behavior: BehaviorRole = "encoded"
    literal_counts: bool = False

    def __post_init__(self) -> None:
        """Refuse strategies that cannot work, with the rule that they break."""
        require_not_negative(
            num_visible=self.num_visible,
            full_population_prefix=self.full_population_prefix,
            num_targets=self.num_targets,
        )
        require_one_of(("predict", "decode", "forecast", "population"), family=self.family)
        require_one_of(("encoded", "reconstructed", "absent"), behavior=self.behavior)
        _require_range("prefix", self.prefix, NUM_RESPONSE_SAMPLES)
        _require_range("context", self.context, NUM_RESPONSE_SAMPLES)
        _require_range("targets", self.targets, NUM_RESPONSE_SAMPLES)
        _require_range("video", self.video, NUM_FRAMES)
        problem = _problem_of_prefix(self) or _problem_of_targets(self) or _problem_of_purpose(self)
        if problem:
            raise ValueError(f"strategy {self.name}: {problem}")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Which of `responses`, `stimulus` and `behavior` are seen."""
        seen = {
            "responses": self.prefix is not None,
            "stimulus": self.video is not None,
            "behavior": self.behavior == "encoded",
        }
        return tuple(name for name, is_seen in seen.items() if is_seen)

    @property
    def visible_range(self) -> tuple[int, int]:
        """Samples in which a visible neuron is seen; empty without responses."""
        return self.prefix or (0, 0)

    @property
    def everyone_range(self) -> tuple[int, int]:
        """Samples in which every neuron is seen; empty without a full-population prefix."""
        start = self.visible_range[0]
        return (start, start + self.full_population_prefix)


def _require_range(name: str, value: tuple[int, int] | None, length: int) -> None:
    if value is not None and not 0 <= value[0] < value[1] <= length:
        raise ValueError(f"`{name}` must be a range within 0 to {length}: {value}")


def _problem_of_prefix(strategy: Strategy) -> str | None:
    prefix, context = strategy.prefix, strategy.context
    whole = strategy.full_population_prefix
    if (strategy.num_visible == 0) != (prefix is None):
        return "`prefix` must be set exactly when neurons are visible"
    if prefix is None:
        return "`full_population_prefix` needs a `prefix`" if whole else None
    if context is None or not (context[0] <= prefix[0] and prefix[1] <= context[1]):
        return f"`prefix` {prefix} must lie in `context` {context}"
    length = prefix[1] - prefix[0]
    if whole > length:
        return f"`full_population_prefix` {whole} is longer than `prefix` {prefix}"
    pieces = [piece for piece in (whole, length - whole) if piece]
    # Everyone's piece and the visible neurons' piece are cut into tokens apart; a strategy that
    # shows all neurons is cut as a whole, and has to work too.
    for piece in [length, *pieces]:
        if piece < TOKEN_SAMPLES or (piece - TOKEN_SAMPLES) % TOKEN_STRIDE_SAMPLES:
            return (
                f"a visible piece of {piece} samples is not {TOKEN_SAMPLES} plus a multiple of "
                f"{TOKEN_STRIDE_SAMPLES} (`prefix` {prefix}, `full_population_prefix` {whole})"
            )
    return None


def _problem_of_targets(strategy: Strategy) -> str | None:
    if strategy.targets is None:
        return None
    first, last = strategy.targets
    if (last - first) % QUERY_SAMPLES:
        return f"`targets` {strategy.targets} must be a multiple of {QUERY_SAMPLES} samples long"
    if strategy.num_targets == 0:
        return "`num_targets` must be positive, or `targets` absent"
    everyone_seen = strategy.num_visible is None or (
        strategy.full_population_prefix > 0 and strategy.visible_range == strategy.everyone_range
    )
    if everyone_seen and all(
        is_seen(sample, strategy.visible_range) for sample in range(first, last)
    ):
        return (
            f"every neuron is visible in `prefix` {strategy.prefix}, which with the buffer of "
            f"{INTERPOLATION_BUFFER_SAMPLES} samples covers all `targets` {strategy.targets}"
        )
    return None


def _problem_of_purpose(strategy: Strategy) -> str | None:
    if strategy.targets is None and strategy.behavior != "reconstructed":
        return "neither responses nor behavior are asked for"
    if not strategy.inputs:
        return "neither responses nor stimulus nor behavior are seen"
    return None


def is_seen(sample: int, seen: tuple[int, int]) -> bool:
    """Whether a sample lies in a seen range or within the interpolation buffer around it."""
    buffer = INTERPOLATION_BUFFER_SAMPLES
    return seen[0] < seen[1] and seen[0] - buffer <= sample < seen[1] + buffer
