"""Where the hyper-parameters of baselines are chosen: on windows of the validation tier."""

import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from omnimouse_cli.batch.dataset import SessionInfo
from omnimouse_cli.batch.windows import window_table
from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.evaluation.records import TILING_STRIDE_SAMPLES
from omnimouse_cli.evaluation.session_reader import F32, I64, SessionReader
from omnimouse_cli.evaluation.targets import Targets
from omnimouse_cli.evaluation.windows import EvalWindows, evaluation_windows
from omnimouse_cli.metrics.moments import correlation, moments_of
from omnimouse_cli.text import pluralize

VALIDATION_TIER = "validation"
# Without a validation tier, so much of the training time is held out while something is chosen.
HELD_OUT_SHARE = 0.2
MIN_WINDOWS = 20
NO_LIBRARY = "scikit-learn is not installed: pip install 'omnimouse[report]'"
MAX_CHOICE_SAMPLES = 9_000
MAX_CHOICE_VALUES = 4_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """Windows on which hyper-parameters are compared, none of which is fitted on meanwhile.

    Args:
        targets: What is predicted, in the windows of the comparison.
        training: int64 `(windows,)`: grid indices of the training windows to fit on meanwhile.
        is_held_out: Whether the windows of the comparison are training windows too, so that the
            last fit is repeated on all of these.
    """

    targets: Targets
    training: I64
    is_held_out: bool

    @property
    def grid(self) -> I64:
        """int64 `(windows,)`: first samples of the windows of the comparison."""
        return self.targets.windows.grid

    @cached_property
    def outputs(self) -> slice:
        """Outputs that are compared: every so many of a large population."""
        values = len(self.grid) * self.targets.num_samples * self.targets.num_outputs
        return slice(0, self.targets.num_outputs, max(1, -(-values // MAX_CHOICE_VALUES)))

    @cached_property
    def truth(self) -> F32:
        """float32 `(windows, samples, outputs)`: what was measured, NaN where it is not scored."""
        return self.targets.truth(self.grid, self.outputs)

    def score(self, predictions: F32) -> float:
        """Return the mean over outputs of the single-trial correlation.

        Args:
            predictions: float32 `(windows, samples, outputs)`, or samples of windows in one axis.
        """
        num_outputs = self.truth.shape[2]
        return mean_score(self.truth.reshape(-1, num_outputs), predictions)


def mean_score(truth: F32, predictions: F32) -> float:
    """Return the mean over outputs of the correlation; an undefined one counts as 0.

    Args:
        truth: float32 `(samples, outputs)`, NaN where it is not scored.
        predictions: As many values.
    """
    correlations = correlation(moments_of(truth, predictions.reshape(truth.shape)))
    return float(np.nan_to_num(correlations).mean())


def make_choice(targets: Targets, tiers: tuple[str, ...]) -> Choice | None:
    """Return where the hyper-parameters for some targets are chosen.

    Returns:
        Windows of the validation tier; where there is none, or where it is a training tier, the
        last training windows; None where these are too few.
    """
    training = training_windows(targets.reader, tiers)
    windows = validation_windows(targets, tiers)
    is_held_out = windows is None
    if windows is None and not len(training):
        return None
    if windows is None:
        border = int(len(training) * (1 - HELD_OUT_SHARE))
        held_out = training[border:]
        # Windows next to the border overlap with those beyond it.
        training = training[training <= training[border] - NUM_RESPONSE_SAMPLES]
        held_out = held_out[:: max(1, TILING_STRIDE_SAMPLES // 2)]
        if not len(training) or not len(held_out):
            return None
        windows = _unblocked(targets.reader, held_out)
    positions = evenly_spaced(np.arange(len(windows)), MAX_CHOICE_SAMPLES // targets.num_samples)
    windows = windows.subset(positions.tolist())
    return Choice(
        targets=replace(targets, windows=windows), training=training, is_held_out=is_held_out
    )


def evenly_spaced(grid: I64, most: int) -> I64:
    """Return at most so many windows, at least one if there are any."""
    count = min(max(1, most), len(grid))
    return grid[np.linspace(0, len(grid) - 1, count).astype(np.int64)]


def find_choice(
    targets: Targets,
    tiers: tuple[str, ...],
    *,
    fewest: int = MIN_WINDOWS,
    with_sklearn: bool = True,
) -> Choice | str:
    """Return where hyper-parameters are chosen, or the reason why nothing can be fitted.

    Args:
        targets: What is predicted.
        tiers: Training tiers.
        fewest: Training windows that are needed.
        with_sklearn: Whether scikit-learn is needed.
    """
    if with_sklearn and importlib.util.find_spec("sklearn") is None:
        return NO_LIBRARY
    choice = make_choice(targets, tiers)
    if choice is None or len(choice.training) < fewest:
        number = len(training_windows(targets.reader, tiers))
        return f"the tiers {', '.join(tiers)} have only {pluralize(number, 'window')} to fit on"
    return choice


def training_windows(reader: SessionReader, tiers: tuple[str, ...]) -> I64:
    """Return the grid indices of all training windows, ascending."""
    table = window_table(
        reader.shard, tiers=tiers, include_blanks=True, require_behavior=reader.require_behavior
    )
    return np.sort(table.grid_index(np.arange(table.num_windows)))


def validation_windows(targets: Targets, tiers: tuple[str, ...]) -> EvalWindows | None:
    """Return the windows of the validation tier, as they are scored; None where there are none."""
    if VALIDATION_TIER in tiers:
        return None
    reader = targets.reader
    windows = evaluation_windows(
        reader.session,
        tier=VALIDATION_TIER,
        include_blanks=True,
        stride_samples=min(TILING_STRIDE_SAMPLES, targets.num_samples),
        require_behavior=reader.require_behavior,
    )
    return windows if len(windows) else None


def _unblocked(reader: SessionReader, grid: I64) -> EvalWindows:
    return EvalWindows(
        grid=grid,
        start_seconds=reader.sample_seconds(grid, (0, 1))[:, 0],
        block=np.zeros(len(grid), np.int64),
        stride_samples=TILING_STRIDE_SAMPLES,
        tier=VALIDATION_TIER,
    )


def describe_choices(
    sessions: Iterable[SessionInfo], tiers: tuple[str, ...], *, scored_tier: str
) -> Iterator[str]:
    """Yield sentences on choices of baselines on other time than an unscored validation tier.

    Args:
        sessions: What is evaluated.
        tiers: Training tiers.
        scored_tier: Tier of the evaluation.
    """
    keys = []
    for session in sessions:
        known = session.shard.description.tiers
        number = known.index(VALIDATION_TIER) if VALIDATION_TIER in known else None
        if VALIDATION_TIER in tiers or not (session.shard.trials.tier == number).any():
            keys.append(session.key)
    if keys:
        named = ", ".join(keys[:5]) + (", ..." if len(keys) > 5 else "")
        yield (
            f"penalties of baselines are chosen on the last {HELD_OUT_SHARE:.0%} of the training "
            f"time, for lack of a validation tier: {named}"
        )
    if scored_tier == VALIDATION_TIER and VALIDATION_TIER not in tiers:
        yield (
            f"penalties of baselines are chosen on tier {VALIDATION_TIER}, which is scored here: "
            "this favors the baselines"
        )
