"""Goodness of fit, the law per task, and the sentences about what the numbers rest on."""

import dataclasses

import numpy as np
import pytest

from omnimouse_cli.report.facts import check_subsets, rises_with_data, state_facts
from omnimouse_cli.report.fitting import fit, make_problem
from omnimouse_cli.report.forms import JOINT
from omnimouse_cli.report.goodness import assess_fit, compute_replicate_noise
from omnimouse_cli.report.law import fit_joint_law
from omnimouse_cli.report.table import get_column, get_log_sizes
from omnimouse_cli.report.tasks import fit_tasks, read_tasks
from omnimouse_cli.reporter import Silent


def fitted(rows):
    return fit_joint_law(rows, num_resamples=20, seed=0, reporter=Silent())


def test_a_law_that_fits_says_how_well(grid):
    table, _ = grid(noise=0.01)
    law, reasons = fitted(table.rows)
    assert reasons == []
    assert law.goodness.r2 > 0.98
    assert law.goodness.rms == pytest.approx(0.01, rel=0.3)
    assert law.goodness.noise == pytest.approx(0.01, rel=0.3)
    assert law.goodness.misfit < 0.01


def test_a_form_that_does_not_fit_gives_no_numbers(grid):
    table, _ = grid(noise=0.0)
    # Every other amount of data is off by 15 %.
    amounts = sorted({row.tokens for row in table.rows})
    rows = [
        dataclasses.replace(row, loss=row.loss * (1.15 if amounts.index(row.tokens) % 2 else 0.85))
        for row in table.rows
    ]
    law, reasons = fitted(rows)
    assert law is None
    assert "the joint law does not fit these rows" in reasons[0]
    assert "% of the variance of ln loss" in reasons[0]


def test_noise_alone_is_not_a_misfit(grid):
    table, _ = grid(noise=0.1, seeds=6)
    x, y = get_log_sizes(table.rows), np.log(get_column(table.rows, "loss"))
    goodness = assess_fit(fit(make_problem(JOINT, x, y), num_starts=16), table.rows)
    assert goodness.r2 < 0.9
    assert goodness.fits


def test_subsets_of_one_amount_are_equal_runs(grid):
    table, _ = grid(noise=0.002, seeds=1, subsets=3, effect=0.01)
    assert compute_replicate_noise(table.rows) == pytest.approx(0.01, rel=0.4)
    table, _ = grid(seeds=1)
    assert compute_replicate_noise(table.rows) is None


def record(value, regime, target="neurons", inputs=("responses",), session="overall"):
    return {
        "regime": regime,
        "target": target,
        "inputs": list(inputs),
        "session": session,
        "metric": "loss",
        "value": value,
    }


def test_the_loss_of_a_task_is_the_mean_over_its_strategies():
    records = [
        record(1.0, "predict", inputs=("stimulus",)),
        record(9.0, "predict", inputs=("stimulus",), session="a"),
        record(2.0, "forecast"),
        record(8.0, "forecast") | {"predictor": "persistence"},
        record(3.0, "forecast", inputs=("responses", "stimulus")),
        record(4.0, "population"),
        record(6.0, "population"),
        record(7.0, "decode", target="behavior"),
        record(None, "decode", target="pupil"),
        record(5.0, "decode", target="running"),
    ]
    assert read_tasks(records) == {
        "predict": 1.0,
        "forecast without stimulus": 2.0,
        "forecast with stimulus": 3.0,
        "population without stimulus": 5.0,
        "behavior": 7.0,
        "behavior: running": 5.0,
    }


def test_runs_without_losses_of_channels_are_counted(grid):
    rows = grid(seeds=1)[0].rows
    older = [dataclasses.replace(row, tasks={"behavior": 1.0}) for row in rows]
    newer = [
        dataclasses.replace(row, tasks={"behavior": 1.0, "behavior: pupil_x": 1.0}) for row in rows
    ]
    said = "16 runs of an earlier version recorded the mean over the channels of behavior alone"
    assert said in " ".join(state_facts(older, None))
    assert "of an earlier version" not in " ".join(state_facts(newer, None))


def test_every_task_has_a_law_of_its_own(grid):
    table, truth = grid(noise=0.001, seeds=2)
    other, _ = grid(noise=0.001, seeds=2, ratio=1 / 8)
    rows = [
        dataclasses.replace(row, tasks={"predict": row.loss, "behavior": one.loss, "gaze": -1.0})
        for row, one in zip(table.rows, other.rows, strict=True)
    ]
    rows[0] = dataclasses.replace(rows[0], tasks={**rows[0].tasks, "pupil": 1.0})
    laws = {one.task: one for one in fit_tasks(rows, num_resamples=20, seed=0, reporter=Silent())}
    assert list(laws) == ["predict", "behavior", "gaze", "pupil"]
    assert laws["predict"].law.estimates["alpha"].value == pytest.approx(truth["alpha"], abs=0.05)
    factors = [laws[name].law.estimates["A"].value for name in ("predict", "behavior")]
    assert factors[1] > 3 * factors[0]
    assert laws["gaze"].reasons == ("its loss is not above zero in 32 runs",)
    assert laws["pupil"].reasons == ("31 runs did not validate it",)


def test_equal_steps_are_said_and_why_loss_then_rises(grid):
    table, _ = grid(seeds=1)
    rows = [
        dataclasses.replace(
            row,
            loss=row.loss * (row.tokens / 1e9) ** 0.2,
            steps=200.0,
            epochs=1e9 / row.tokens,
            learning_rate=0.002,
            neuron_hours=row.tokens / 1e6,
        )
        for row in table.rows
    ]
    assert rises_with_data(rows)
    facts = " ".join(state_facts(rows, None))
    assert "all runs took equal steps (200)" in facts
    assert "at equal steps a run with more data sees each session less often" in facts
    assert "all runs have the learning rate 0.002" in facts
    assert "neuron-hours" in facts
    equal = [dataclasses.replace(row, epochs=2.0, learning_rate=1 / row.parameters) for row in rows]
    facts = " ".join(state_facts(equal, None))
    assert "equal epochs: 2 to" not in facts
    assert "learning rates depend on the size" in facts
    assert not rises_with_data(table.rows)


def test_one_subset_of_each_amount_is_warned_of(grid):
    table, _ = grid(subsets=1)
    (warning,) = check_subsets(table.rows)
    assert "how much their choice changes the loss is unknown" in warning
    assert check_subsets(grid(subsets=3)[0].rows) == []
    assert check_subsets(grid()[0].rows) == []
