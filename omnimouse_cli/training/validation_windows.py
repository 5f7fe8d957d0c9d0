"""The windows and neurons of a validation: the same for every run on the same data."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.batch.dataset import Dataset, SessionInfo
from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES, DataConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.config.training import TrainConfig
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.seeds import derive_seed

# By default a validation takes all windows up to this number over all sessions, and beyond it as
# many of each session as its share. A session's validation tier has 100 to 400 windows, so a dozen
# sessions are validated on all of theirs.
MAX_WINDOWS = 4096
# At least this many of a session: the standard error of its loss is then an eighth of the standard
# deviation over windows, and that of the mean over hundreds of sessions under a hundredth.
MIN_WINDOWS_PER_SESSION = 64


def validation_sessions(config: RunConfig, dataset: Dataset) -> tuple[SessionInfo, ...]:
    """Return the sessions that are used for validation.

    Raises:
        ShardError: The data set lacks a session of `train.validation_sessions`.
    """
    if config.train.validation_sessions is None:
        return dataset.sessions
    return tuple(dataset.session(key) for key in config.train.validation_sessions)


def validation_data(config: RunConfig) -> DataConfig:
    """Return the data configuration of validation: windows that do not overlap, no blanks."""
    return dataclasses.replace(
        config.data,
        tiers=config.train.validation_tiers,
        include_blanks=False,
        stride_samples=NUM_RESPONSE_SAMPLES,
    )


def resolve_validation_windows(
    config: RunConfig, dataset: Dataset, reporter: Reporter
) -> TrainConfig:
    """Return the training section with `validation_windows` resolved: a number, or `all`.

    Args:
        config: Configuration with the tiers of validation.
        dataset: Sessions that are trained on.
        reporter: Receives a line if windows are omitted.
    """
    train, sessions = config.train, validation_sessions(config, dataset)
    data = validation_data(config)
    counts = [dataset.windows(data, session.key).num_windows for session in sessions]
    limit = train.validation_windows
    if limit is None:
        limit = max(MIN_WINDOWS_PER_SESSION, MAX_WINDOWS // max(len(sessions), 1))
    if limit == "all" or max(counts, default=0) <= limit:
        return dataclasses.replace(train, validation_windows="all")
    used = sum(min(count, limit) for count in counts)
    reporter.say(
        f"validating on {used:,} of {sum(counts):,} windows: at most {limit} of each session, "
        "evenly spaced (train.validation_windows=all takes all)"
    )
    return dataclasses.replace(train, validation_windows=limit)


def windows_per_session(config: RunConfig) -> int | None:
    """Return the largest number of windows of a session that are used; None has no limit."""
    limit = config.train.validation_windows
    assert limit is not None, "resolved before training"
    return None if limit == "all" else limit


def sample_windows(num_windows: int, limit: int | None) -> NDArray[np.int64]:
    """Return the numbers of the windows that are used, ascending: int64 `(windows,)`.

    Args:
        num_windows: Windows of the session.
        limit: Largest number of windows that are used; None takes all.

    Example:
        >>> sample_windows(10, 3)
        array([1, 5, 8])
        >>> sample_windows(3, 10)
        array([0, 1, 2])
    """
    if limit is None or num_windows <= limit:
        return np.arange(num_windows)
    # The middles of equal parts of the session.
    return (2 * np.arange(limit) + 1) * num_windows // (2 * limit)


def validation_neurons(session: SessionInfo, max_neurons: int) -> NDArray[np.int64]:
    """Return the neurons of a session that are used: all, or a subset that no seed changes."""
    if session.num_neurons <= max_neurons:
        return np.arange(session.num_neurons)
    generator = np.random.default_rng(derive_seed("validation", session.key))
    return np.sort(generator.permutation(session.num_neurons)[:max_neurons])
