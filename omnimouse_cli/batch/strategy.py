"""A masking strategy as data: the inputs and the targets of a forward pass. Read from TOML too."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from omnimouse_cli.config.checks import require_not_negative, require_one_of
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES, NUM_FRAMES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.text import suggest_name

Family = Literal["predict", "decode", "forecast", "population"]
BehaviorRole = Literal["encoded", "reconstructed", "absent"]

# A response token covers 10 samples, the next one starts 5 later; a query predicts 5 samples.
TOKEN_SAMPLES = 10
TOKEN_STRIDE_SAMPLES = 5
QUERY_SAMPLES = 5
# Stored responses were interpolated from imaging at 6 to 8 Hz: a target within one scan (1/6 s) of
# a visible sample of the same neuron is partly a copy of it.
INTERPOLATION_BUFFER_SAMPLES = 5
# Population that the neuron counts of published strategies refer to.
REFERENCE_POPULATION = 4096

WHOLE_WINDOW = (0, NUM_RESPONSE_SAMPLES)

_RANGES = ("prefix", "context", "targets", "video", "behavior_range")
_COUNTS = ("num_visible", "full_population_prefix", "num_targets")
_HINT = (
    'a strategy reads: [[strategy]] name = "past" prefix = [0, 25] context = [0, 60] '
    'targets = [30, 60] behavior = "absent"; a range that is omitted is hidden or not a target'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """Which neurons, samples, frames and behavior are inputs, and which are targets.

    Source of the fields: OmniMouse (ICLR 2026, arXiv 2604.18827). Sample and frame numbers count
    from the window's start (60 of each in 2 s); ranges are half-open. Counts of neurons are those
    of a population of 4096 unless `literal_counts`.

    Args:
        name: Unique in its table.
        family: Regime that the strategy belongs to.
        num_visible: Neurons whose responses are inputs; None is all of them, 0 none.
        prefix: Samples in which input neurons are visible; None if no responses are inputs.
        full_population_prefix: Number of samples, from the start of the prefix, in which every
            neuron is an input, not only the visible ones.
        context: Samples that have latents (inside the response context); None without responses.
        targets: Samples of the target neurons to predict; None predicts no responses.
        num_targets: Number of target neurons, the last of the population; None is all of them.
        video: Frames that are inputs; None hides the screen.
        behavior: `encoded`: input; `reconstructed`: target; `absent`: neither.
        behavior_range: Time in which behavior is an input, in samples of 1/30 s; behavior samples
            outside it are hidden. Only for `encoded` behavior.
        literal_counts: Whether neuron counts are taken literally in any population; otherwise
            they are scaled down with a population below 4096.
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
    behavior_range: tuple[int, int] = WHOLE_WINDOW
    literal_counts: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for a strategy that cannot work, with the rule that it breaks."""
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
        _require_range("behavior_range", self.behavior_range, NUM_RESPONSE_SAMPLES)
        problem = _prefix_problem(self) or _targets_problem(self)
        first, last = self.behavior_samples
        if self.behavior_range != WHOLE_WINDOW and self.behavior != "encoded":
            problem = problem or "`behavior_range` needs behavior that is `encoded`"
        elif first == last:
            problem = (
                problem or f"no behavior sample lies in `behavior_range` {self.behavior_range}"
            )
        if not self.inputs:
            problem = problem or "neither responses nor stimulus nor behavior are inputs"
        if problem:
            raise ValueError(f"strategy {self.name}: {problem}")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Which of `responses`, `stimulus` and `behavior` are inputs."""
        has = {
            "responses": self.prefix is not None,
            "stimulus": self.video is not None,
            "behavior": self.behavior == "encoded",
        }
        return tuple(name for name, is_input in has.items() if is_input)

    @property
    def visible_range(self) -> tuple[int, int]:
        """Samples in which visible neurons are inputs; empty without responses."""
        return self.prefix or (0, 0)

    @property
    def full_population_range(self) -> tuple[int, int]:
        """Samples in which every neuron is an input; empty without a full-population prefix."""
        start = self.visible_range[0]
        return (start, start + self.full_population_prefix)

    @property
    def behavior_samples(self) -> tuple[int, int]:
        """Behavior samples (of 1/20 s) whose time lies in `behavior_range`, half-open.

        Example:
            >>> strategy = Strategy(name="s", family="predict", num_visible=0, video=(0, 60))
            >>> strategy.behavior_samples
            (0, 40)
        """
        first, last = self.behavior_range
        return _behavior_sample_from(first), _behavior_sample_from(last)

    def applies(self, *, stimulus: bool, behavior: bool) -> bool:
        """Return whether an input and a target are left where modalities are missing.

        Args:
            stimulus: Whether there is a screen.
            behavior: Whether there is behavior.
        """
        has_target = self.targets is not None or behavior
        has_input = (
            self.prefix is not None
            or (stimulus and self.video is not None)
            or (behavior and self.behavior == "encoded")
        )
        return has_target and has_input


def _behavior_sample_from(sample: int) -> int:
    """Return the first behavior sample at or after the time of a response sample."""
    return -(-sample * NUM_BEHAVIOR_SAMPLES // NUM_RESPONSE_SAMPLES)


def _require_range(name: str, value: tuple[int, int] | None, length: int) -> None:
    if value is not None and not 0 <= value[0] < value[1] <= length:
        raise ValueError(f"`{name}` must be a range within 0 to {length}: {value}")


def _prefix_problem(strategy: Strategy) -> str | None:
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
    parts = [part for part in (whole, length - whole) if part]
    # The part of the full population and the part of the visible neurons are cut into tokens
    # separately; where all neurons are visible the prefix is cut as a whole.
    for part in [length, *parts]:
        if part < TOKEN_SAMPLES or (part - TOKEN_SAMPLES) % TOKEN_STRIDE_SAMPLES:
            return (
                f"a visible part of {part} samples is not {TOKEN_SAMPLES} plus a multiple of "
                f"{TOKEN_STRIDE_SAMPLES} (`prefix` {prefix}, `full_population_prefix` {whole})"
            )
    return None


def _targets_problem(strategy: Strategy) -> str | None:
    if strategy.targets is None:
        is_target = strategy.behavior == "reconstructed"
        return None if is_target else "neither responses nor behavior are targets"
    first, last = strategy.targets
    if (last - first) % QUERY_SAMPLES:
        return f"`targets` {strategy.targets} must be a multiple of {QUERY_SAMPLES} samples long"
    if strategy.num_targets == 0:
        return "`num_targets` must be positive, or `targets` absent"
    all_visible = strategy.num_visible is None or (
        strategy.full_population_prefix > 0
        and strategy.visible_range == strategy.full_population_range
    )
    if all_visible and all(
        is_visible(sample, strategy.visible_range) for sample in range(first, last)
    ):
        return (
            f"every neuron is visible in `prefix` {strategy.prefix}, which with the buffer of "
            f"{INTERPOLATION_BUFFER_SAMPLES} samples covers all `targets` {strategy.targets}"
        )
    return None


def is_visible(sample: int, visible: tuple[int, int]) -> bool:
    """Return whether a sample lies in a visible range or in the interpolation buffer around it."""
    buffer = INTERPOLATION_BUFFER_SAMPLES
    return visible[0] < visible[1] and visible[0] - buffer <= sample < visible[1] + buffer


def read_strategies(path: Path) -> tuple[Strategy, ...]:
    """Read the strategies of a TOML file: one `[[strategy]]` table each.

    Keys are the fields of `Strategy`; ranges are pairs of numbers. `family` may be omitted, and is
    then inferred from inputs and targets.

    Raises:
        ConfigError: The file cannot be read, or a strategy breaks a rule, which the message names.
    """
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the strategy file {path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}", hint=_HINT) from error
    tables = content.pop("strategy", None)
    if content:
        raise ConfigError(f"{path}: unknown key `{next(iter(content))}`", hint=_HINT)
    if not isinstance(tables, list) or not tables:
        raise ConfigError(f"{path} has no [[strategy]] table", hint=_HINT)
    strategies = tuple(_parse_strategy(path, table) for table in tables)
    names = [strategy.name for strategy in strategies]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ConfigError(f"{path}: two strategies are named {repeated}")
    return strategies


def _parse_strategy(path: Path, table: object) -> Strategy:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: a strategy is a table: {table!r}", hint=_HINT)
    known = [field.name for field in fields(Strategy)]
    for key in table:
        if key not in known:
            raise ConfigError(f"{path}: unknown key `{key}`", hint=suggest_name(key, known))
    if not isinstance(table.get("name"), str):
        raise ConfigError(f"{path}: a strategy needs a `name`", hint=_HINT)
    values = {key: _checked_value(path, table["name"], key, value) for key, value in table.items()}
    values.setdefault("targets", None)
    if "prefix" not in values:
        values.setdefault("num_visible", 0)
    values.setdefault("family", _infer_family(values))
    try:
        return Strategy(**values)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}", hint=_HINT) from error


def _checked_value(path: Path, name: str, key: str, value: object) -> Any:  # noqa: ANN401
    if key in _RANGES:
        if not (isinstance(value, list) and len(value) == 2 and all(map(_is_count, value))):
            raise ConfigError(
                f"{path}: strategy {name}: `{key}` must be a pair of whole numbers: {value}"
            )
        return (value[0], value[1])
    if key in _COUNTS and not _is_count(value):
        raise ConfigError(f"{path}: strategy {name}: `{key}` must be a whole number: {value}")
    if key == "literal_counts" and not isinstance(value, bool):
        raise ConfigError(f"{path}: strategy {name}: `{key}` must be true or false: {value}")
    if key in ("family", "behavior") and not isinstance(value, str):
        raise ConfigError(f"{path}: strategy {name}: `{key}` must be a word: {value}")
    return value


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _infer_family(values: Mapping[str, Any]) -> Family:
    prefix, targets = values.get("prefix"), values.get("targets")
    if targets is None:
        return "decode"
    if prefix is None:
        return "predict"
    return "forecast" if prefix[1] <= targets[0] else "population"
