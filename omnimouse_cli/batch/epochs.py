"""Epochs: passes over the data of the training windows, tokens seen over unique tokens.

A token is one neuron at one stored sample. Unique tokens are those that some training window
covers; tokens seen are those of the windows that were drawn, each time that they were drawn:

    epochs = tokens seen / unique tokens

Windows overlap: all windows once, at the default stride of a sample, are about 60 epochs.
"""

import math
from collections.abc import Mapping

import numpy as np

from omnimouse_cli.batch.dataset import Dataset, SessionInfo
from omnimouse_cli.batch.windows import WindowTable
from omnimouse_cli.config.data import (
    NUM_RESPONSE_SAMPLES,
    RESPONSE_RATE_HZ,
    WINDOW_SECONDS,
    DataConfig,
)


def tokens_per_batch(session: SessionInfo, config: DataConfig) -> int:
    """Return the tokens of a batch: its neurons times the stored samples of its windows."""
    rate = session.shard.description.responses.clock.rate_hz
    num_neurons = min(session.num_neurons, config.max_neurons)
    return config.batch_size * num_neurons * round(WINDOW_SECONDS * rate)


def unique_tokens(dataset: Dataset, config: DataConfig) -> int:
    """Return the number of tokens that training windows cover.

    Raises:
        ShardError: A session has no window, or no trial has a tier.
    """
    tables = dataset.require_windows(config)
    return sum(_covered_tokens(dataset.session(key), table) for key, table in tables.items())


def unique_neuron_hours(dataset: Dataset, config: DataConfig) -> float:
    """Return the hours that training windows cover, times the neurons recorded in them.

    Raises:
        ShardError: A session has no window, or no trial has a tier.
    """
    tables = dataset.require_windows(config)
    return sum(
        dataset.session(key).num_neurons * _covered_seconds(table) / 3600
        for key, table in tables.items()
    )


def _covered_tokens(session: SessionInfo, table: WindowTable) -> int:
    rate = session.shard.description.responses.clock.rate_hz
    return session.num_neurons * round(_covered_seconds(table) * rate)


def _covered_seconds(table: WindowTable) -> float:
    """Return the time in a session's windows; no sample is in two runs of windows."""
    step = min(table.stride_samples, NUM_RESPONSE_SAMPLES)
    samples = int(((table.run_windows - 1) * step + NUM_RESPONSE_SAMPLES).sum())
    return samples / RESPONSE_RATE_HZ


def tokens_per_step(dataset: Dataset, config: DataConfig, batches_per_step: int) -> float:
    """Return the mean tokens of a training step, as sessions are sampled.

    Raises:
        ShardError: A session has no window, or no trial has a tier.
    """
    tables = dataset.require_windows(config)
    tokens = [tokens_per_batch(session, config) for session in dataset.sessions]
    return batches_per_step * float(np.average(tokens, weights=_shares(tables, config)))


def _shares(tables: Mapping[str, WindowTable], config: DataConfig) -> list[int]:
    """Return in which proportion batches are drawn from the sessions."""
    if config.sampling == "balanced":
        return [1] * len(tables)
    return [-(-table.num_windows // config.batch_size) for table in tables.values()]


def steps_of_epochs(
    epochs: float, dataset: Dataset, config: DataConfig, batches_per_step: int
) -> int:
    """Return the number of training steps after which so many epochs are over.

    Raises:
        ShardError: A session has no window, or no trial has a tier.
    """
    tokens = epochs * unique_tokens(dataset, config)
    return max(1, math.ceil(tokens / tokens_per_step(dataset, config, batches_per_step)))
