"""Epochs are passes over the data: tokens that batches hold, over tokens that windows cover."""

from dataclasses import replace

import pytest

from omnimouse_cli.batch.epochs import steps_of_epochs, tokens_per_batch, unique_tokens
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.config.data import DataConfig

CONFIG = DataConfig(batch_size=3, max_neurons=4)


@pytest.mark.parametrize("sampling", ["balanced", "proportional"])
@pytest.mark.parametrize("stride", [1, 90])
def test_batches_of_so_many_epochs_hold_each_token_so_often(tiny_dataset, sampling, stride):
    config = replace(CONFIG, sampling=sampling, stride_samples=stride)
    epochs, batches_per_step = 10.0, 2
    steps = steps_of_epochs(epochs, tiny_dataset, config, batches_per_step)
    seen, most = 0, max(tokens_per_batch(one, config) for one in tiny_dataset.sessions)
    with Loader(tiny_dataset, config, seed=1) as loader:
        for _ in range(steps * batches_per_step):
            batch = next(loader)
            session = tiny_dataset.session(batch.session)
            seconds = 2 * batch.num_windows * batch.responses.shape[2]
            seen += round(seconds * session.shard.description.responses.clock.rate_hz)
    found = seen / unique_tokens(tiny_dataset, config)
    rounding = len(tiny_dataset.sessions) * batches_per_step * most
    assert abs(found - epochs) <= rounding / unique_tokens(tiny_dataset, config)


def test_all_windows_once_are_about_as_many_epochs_as_a_window_has_samples(tiny_dataset):
    config = replace(CONFIG, sampling="proportional", max_neurons=1000)
    with Loader(tiny_dataset, config, seed=1) as loader:
        batches = loader.batches_of_all_windows
    seen = (
        batches
        / len(tiny_dataset.sessions)
        * sum(tokens_per_batch(one, config) for one in tiny_dataset.sessions)
    )
    assert seen / unique_tokens(tiny_dataset, config) > 20


def test_a_part_of_an_epoch_is_at_least_one_step(tiny_dataset):
    assert steps_of_epochs(1e-9, tiny_dataset, CONFIG, 1) == 1
