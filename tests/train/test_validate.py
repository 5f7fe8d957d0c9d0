"""Validation records mean what the records of an evaluation mean."""

from dataclasses import replace

import pytest

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.evaluate.evaluate import evaluate
from omnimouse_cli.evaluate.records import EvalOptions
from omnimouse_cli.files import read_document
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.load import load_run, open_run_data
from omnimouse_cli.train.parallel.world import World
from omnimouse_cli.train.run import TrainingJob, train

pytestmark = pytest.mark.training


def test_records_of_validation_and_evaluation_agree_for_one_run(
    make_shards, session, tiny, tmp_path
):
    shards = make_shards(
        [
            session(key="1-1-1", screen=True, behavior=True),
            # Every two seconds a sample of the treadmill is lost.
            session(key="1-1-2", num_neurons=40, screen=True, behavior=True, lost_every=40),
        ]
    )
    config = replace(
        tiny,
        data=replace(tiny.data, max_neurons=64),
        train=replace(tiny.train, steps=2, checkpoint_every=999),
    )
    run = tmp_path / "run"
    train(TrainingJob(config=config, shards=shards, run=run), World(), Silent())
    summary = read_document(run / "summary.json", "summary")["validation"]["records"]
    loaded = load_run(run)
    # Validation reads windows that do not overlap, and no blanks.
    options = EvalOptions(
        tier="validation",
        include_blanks=False,
        stride_samples=NUM_RESPONSE_SAMPLES,
        baselines=False,
    )
    evaluation = evaluate(loaded, open_run_data(loaded, None), options, Silent())
    evaluated = {
        (record.strategy, record.session, record.target): record
        for record in evaluation.records
        if record.metric == "loss" and record.predictor == "model"
    }
    # The one channel of behavior is a target of its own in an evaluation.
    names = {"neurons": "neurons", "behavior": "running"}
    found = {(record["strategy"], record["session"], names[record["target"]]) for record in summary}
    assert found == {*evaluated}
    for record in summary:
        other = evaluated[record["strategy"], record["session"], names[record["target"]]]
        for field in ("regime", "tier", "neurons", "windows", "samples"):
            assert record[field] == getattr(other, field), (field, record, other)
        assert record["value"] == pytest.approx(other.value, rel=1e-5)
    overall = evaluated["forecast", "overall", "neurons"]
    assert (overall.neurons, overall.samples) == (46, 30 * overall.windows)
