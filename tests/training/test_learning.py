"""Training learns what can be known: oscillating neurons follow from their own past."""

import math
from dataclasses import replace

import numpy as np
import pytest

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.files import read_document
from omnimouse_cli.reporter import Silent
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.resolve import resolve_response_loss
from omnimouse_cli.training.run import train
from omnimouse_cli.training.validation_windows import validation_data

pytestmark = pytest.mark.training


@pytest.mark.parametrize("negative", [False, True])
def test_forecasts_become_much_better_than_the_mean(make_shards, session, tiny, tmp_path, negative):
    shards = make_shards([session(negative=negative)])
    config = replace(
        tiny,
        model=replace(tiny.model, dropout=0.0, neuron_dropout=0.0),
        data=replace(tiny.data, batch_size=8, max_neurons=6),
        train=replace(
            tiny.train,
            steps=150,
            learning_rate=1e-2,
            table_learning_rate=1e-2,
            log_every=50,
            checkpoint_every=999,
        ),
    )
    train(TrainingJob(config=config, shards=shards, run=tmp_path / "run"), World(), Silent())
    records = read_document(tmp_path / "run" / "summary.json", "summary")["validation"]["records"]
    (loss,) = [
        item["value"]
        for item in records
        if (item["strategy"], item["session"]) == ("forecast", "overall")
        and item["predictor"] == "model"
    ]
    recorded = _validation_samples(shards, config)
    mean, best = _losses_of_mean_and_truth(recorded, negative)
    assert loss < mean - 0.5 * (mean - best)


def _validation_samples(shards, config):
    dataset = open_dataset(shards)
    data = validation_data(resolve_response_loss(config, dataset.sessions))
    table = dataset.windows(data, "1-1-1")
    grid = table.grid_index(np.arange(table.num_windows))
    batch = WindowReader(dataset, data).read("1-1-1", grid)
    return batch.responses[:, 30:].numpy().astype(float)


def _losses_of_mean_and_truth(recorded, negative):
    mean = recorded.mean((0, 1))
    if negative:
        return float(((recorded - mean) ** 2).mean()), 0.0
    truth = np.maximum(recorded, 1e-3)
    losses = [
        guess - recorded * np.log(guess) for guess in (np.broadcast_to(mean, truth.shape), truth)
    ]
    assert all(math.isfinite(loss.mean()) for loss in losses)
    return float(losses[0].mean()), float(losses[1].mean())
