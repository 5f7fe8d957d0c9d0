"""Training where a treadmill loses samples: now and then, or in all of the training time."""

from dataclasses import replace

import numpy as np
import pytest

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.config.training import MaskingConfig
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.metrics_log import read_metrics
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.run import train

pytestmark = pytest.mark.training


@pytest.fixture
def metrics_of(make_shards, tiny, tmp_path):
    """Train on one session and return its data set and the logged steps and validations."""

    def make(session):
        shards = make_shards([session])
        config = replace(
            tiny,
            masking=MaskingConfig(table="families"),
            train=replace(tiny.train, steps=12, checkpoint_every=999),
        )
        train(TrainingJob(config=config, shards=shards, run=tmp_path / "run"), World(), Silent())
        return open_dataset(shards), config, read_metrics(tmp_path / "run")

    return make


def steps_with_behavior(metrics):
    return [line for line in metrics if "decode" in str(line.get("strategy"))]


def test_windows_with_lost_samples_are_trained_on(metrics_of, session):
    dataset, config, metrics = metrics_of(session(behavior=True, lost_every=40))
    strict = replace(config.data, require_behavior=True)
    assert dataset.windows(strict, "1-1-1").num_windows == 0
    assert dataset.windows(config.data, "1-1-1").num_windows > 1000
    losses = [line["losses"]["behavior"] for line in steps_with_behavior(metrics)]
    assert losses
    assert np.isfinite(np.array(losses, float)).all()
    assert (np.array(losses) > 0).all()


def test_a_step_whose_batches_lost_all_behavior_has_no_behavior_loss(metrics_of, session):
    # The trials of the train tier end after 42 s.
    _, _, metrics = metrics_of(session(behavior=True, lost_until_seconds=43.0))
    lines = steps_with_behavior(metrics)
    assert lines
    assert {line["losses"]["behavior"] for line in lines} == {None}
    norms = [line["gradient_norm"] for line in metrics if "gradient_norm" in line]
    assert np.isfinite(norms).all()
