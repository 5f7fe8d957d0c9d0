"""What a row of the score table conditions on, in words."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from omnimouse_cli.batch.strategy import WHOLE_WINDOW, Strategy
from omnimouse_cli.config.data import RESPONSE_RATE_HZ

LATER = "later ones included"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A strategy that is scored, and what its numbers are conditional on.

    Args:
        strategy: Name of the masking strategy, as in the records.
        regime: `predict`, `decode`, `forecast` or `population`.
        inputs: Which of `responses`, `stimulus` and `behavior` are inputs.
        conditioning: What is predicted from what, with times in the window.
        trained_on: Whether a training strategy of the run has inputs and targets of the same times;
            None where the run was trained with strategies of the user's own.
    """

    strategy: str
    regime: str
    inputs: tuple[str, ...]
    conditioning: str
    trained_on: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Return the row as a JSON object."""
        return asdict(self)


def make_row(strategy: Strategy, inputs: Sequence[str], training: Sequence[Strategy] | None) -> Row:
    """Describe a strategy.

    Args:
        strategy: The masking strategy.
        inputs: Its inputs that recordings have.
        training: Strategies that the run was trained on; None if they are not known.
    """
    return Row(
        strategy=strategy.name,
        regime=strategy.family,
        inputs=tuple(inputs),
        conditioning=describe_conditioning(strategy, inputs),
        trained_on=None
        if training is None
        else any(_same_inputs(strategy, other) for other in training),
    )


def describe_conditioning(strategy: Strategy, inputs: Sequence[str]) -> str:
    """Return what a strategy predicts, and from what.

    Args:
        strategy: The masking strategy.
        inputs: Its inputs that recordings have.

    Example:
        >>> describe_conditioning(
        ...     Strategy(name="s", family="predict", num_visible=0, video=(0, 60)), ["stimulus"]
        ... )
        'responses of 1-2 s from frames of 0-2 s (later ones included)'
    """
    first = strategy.targets[0] if strategy.targets else 0
    parts = []
    if "responses" in inputs and strategy.prefix is not None:
        parts += _response_parts(strategy, strategy.prefix)
    if "stimulus" in inputs and strategy.video is not None:
        parts.append(f"frames of {_seconds(strategy.video)}{_later(strategy.video, first)}")
    if "behavior" in inputs:
        behavior = strategy.behavior_range
        parts.append(f"behavior of {_seconds(behavior)}{_later(behavior, first)}")
    if strategy.targets is None:
        predicted = f"behavior of {_seconds(WHOLE_WINDOW)}"
    else:
        predicted = f"responses of {_seconds(strategy.targets)}"
    return f"{predicted} from {', '.join(parts)}"


def _response_parts(strategy: Strategy, prefix: tuple[int, int]) -> list[str]:
    if strategy.num_visible is None:
        return [f"responses of all neurons of {_seconds(prefix)}"]
    count = f"{strategy.num_visible} " if strategy.literal_counts else ""
    parts = [f"responses of {count}context neurons of {_seconds(prefix)}"]
    if strategy.full_population_prefix:
        whole = strategy.full_population_range
        parts.insert(0, f"responses of all neurons of {_seconds(whole)}")
    return parts


def _seconds(samples: tuple[int, int]) -> str:
    first, last = (f"{sample / RESPONSE_RATE_HZ:.2f}".rstrip("0").rstrip(".") for sample in samples)
    return f"{first}-{last} s"


def _later(samples: tuple[int, int], first_target: int) -> str:
    """Return a remark where inputs are later than the first target sample."""
    return f" ({LATER})" if samples[1] > first_target + 1 else ""


def _same_inputs(strategy: Strategy, other: Strategy) -> bool:
    def inputs(one: Strategy) -> tuple[object, ...]:
        some_visible = one.num_visible is not None
        behavior = one.behavior == "encoded"
        return (one.prefix, some_visible, one.video, behavior, one.behavior_range, one.targets)

    return inputs(strategy) == inputs(other)
