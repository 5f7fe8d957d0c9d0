"""Evaluations of runs that are written without a model, from series over blocks of windows."""

from dataclasses import replace

import numpy as np

from omnimouse_cli.config.load import load_config
from omnimouse_cli.evaluation.records import OVER_WINDOWS, EvalRecord
from omnimouse_cli.evaluation.scored_value import ScoredValue, with_interval
from omnimouse_cli.evaluation.store import resample_arrays
from omnimouse_cli.files import write_document
from omnimouse_cli.metrics.resamples import block_weights
from omnimouse_cli.run.folder import write_config

NUM_BLOCKS = 60
WEIGHTS = block_weights(NUM_BLOCKS)
OPTIONS = {"regime": "forecast", "tier": "test", "stride_samples": 30, "draws": 8, "seed": 0}


def number_of(series, *, session="1", metric="score", scored="a", animal="m", neurons=10):
    """A score of the model that is the mean of a series over blocks of windows."""
    record = EvalRecord(
        regime="forecast", strategy="forecast", inputs=("responses",), session=session,
        tier="test", target="neurons", metric=metric, predictor="model",
        value=float(series.mean()), neurons=neurons, windows=NUM_BLOCKS, samples=1800,
    )  # fmt: skip
    number = ScoredValue(
        record=record, outputs=np.arange(neurons), resamples=WEIGHTS @ series / WEIGHTS.sum(axis=1),
        num_blocks=NUM_BLOCKS, num_neurons=neurons, animal=animal, scored=scored,
    )  # fmt: skip
    return replace(number, record=with_interval(number.record, number.spread, OVER_WINDOWS))


def write_evaluation(folder, numbers, name="test-forecast", sets=(), **options):
    """Write the run `folder` with an evaluation of these numbers; returns the folder."""
    write_config(folder, load_config(sets=sets))
    records = [number.record.to_dict() for number in numbers]
    content = {"options": {**OPTIONS, **options}, "records": records}
    write_document(folder / "eval" / name / "eval.json", "eval", content)
    np.savez(folder / "eval" / name / "resamples.npz", **resample_arrays(numbers))
    return folder
