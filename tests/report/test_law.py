"""The joint law with intervals: coverage, resampling by runs, refusals, sensitivity."""

import dataclasses

import pytest

from omnimouse_cli.report.csv_table import read_csv_table
from omnimouse_cli.report.law import find_refusals, fit_joint_law
from omnimouse_cli.reporter import Silent
from omnimouse_cli.text import format_magnitude

pytestmark = pytest.mark.slow


def fitted(rows, *, num_resamples=200, seed=0):
    return fit_joint_law(rows, num_resamples=num_resamples, seed=seed, reporter=Silent())


def test_a_known_law_is_recovered_within_its_intervals(grid):
    inside = {"alpha": 0, "beta": 0, "E": 0, "a_opt": 0}
    for draw in range(6):
        table, truth = grid(draw=draw, noise=0.002)
        truth = truth | {"a_opt": truth["beta"] / (truth["alpha"] + truth["beta"])}
        law, reasons = fitted(table.rows)
        assert reasons == []
        assert abs(law.estimates["alpha"].value - truth["alpha"]) < 0.05
        assert abs(law.estimates["beta"].value - truth["beta"]) < 0.05
        for name in inside:
            one = law.estimates[name]
            assert one.low <= one.value <= one.high
            inside[name] += one.low <= truth[name] <= one.high
    # 95 % of the intervals hold the truth in the long run; 4 of 6 leaves room for chance.
    assert min(inside.values()) >= 4


def test_the_same_seed_gives_the_same_numbers(grid):
    table, _ = grid(noise=0.01, seeds=1)
    first, second = fitted(table.rows)[0], fitted(table.rows)[0]
    assert first.estimates == second.estimates
    other = fitted(table.rows, seed=1)[0]
    assert other.estimates["alpha"].low != first.estimates["alpha"].low
    assert other.estimates["alpha"].low == pytest.approx(first.estimates["alpha"].low, abs=0.1)


def test_whole_runs_are_resampled(grid):
    table, _ = grid(seeds=1, noise=0.01)
    widths = []
    for rows in (table.rows, [row for row in table.rows for _ in range(4)]):
        one = fitted(rows)[0].estimates["beta"]
        widths.append(one.high - one.low)
    # Every row four times under the same name says no more than once.
    assert widths[1] == pytest.approx(widths[0], rel=0.25)
    apart = [
        dataclasses.replace(row, run=f"{row.run}-{copy}") for row in table.rows for copy in range(4)
    ]
    one = fitted(apart)[0].estimates["beta"]
    assert one.high - one.low < 0.75 * widths[0]


def test_the_law_of_the_language_models_is_stable(openlm):
    table = read_csv_table(openlm, columns={"parameters": "params_no_embed", "loss": "loss_c4_val"})
    law, reasons = fitted(table.rows, num_resamples=300)
    assert reasons == []
    assert law.fit.agreeing > 0.3
    assert law.bound_share < 0.02
    for name in ("alpha", "beta"):
        one = law.estimates[name]
        assert one.high - one.low < 0.15
        for variant in law.variants:
            assert variant.values[name] == pytest.approx(one.value, abs=0.05)
    assert [variant.name for variant in law.variants] == [
        "without the 5 worst residuals",
        "delta 0.0001",
        "delta 0.01",
    ]
    assert law.variants[0].rows == 99


def refused(rows):
    law, reasons = fitted(rows, num_resamples=50)
    assert law is None
    return reasons


def test_too_few_rows_are_refused(grid):
    table, _ = grid(seeds=1)
    rows = table.rows[:3] + table.rows[5:7] + table.rows[13:]
    assert len(rows) == 8
    assert fitted(rows)[0] is not None
    (reason,) = refused(rows[1:])
    assert reason.endswith("needs at least 8 rows, and the table has 7")


@pytest.mark.parametrize("axis", ["parameters", "tokens"])
def test_one_level_is_refused(grid, axis):
    table, _ = grid()
    value = getattr(table.rows[0], axis)
    reasons = refused([row for row in table.rows if getattr(row, axis) == value])
    assert f"{axis} have one level only ({format_magnitude(value)})" in reasons[0]


def test_two_levels_are_refused(grid):
    table, _ = grid(sizes=[1e6, 1e8])
    (reason,) = refused(table.rows)
    assert reason.startswith("parameters have 2 levels only, from which a factor and an exponent")


@pytest.mark.parametrize(("name", "word"), [("metric", "metrics"), ("split", "splits")])
def test_mixed_metrics_and_splits_are_refused(grid, name, word):
    table, _ = grid()
    rows = [
        dataclasses.replace(row, **{name: "first" if number % 2 else "second"})
        for number, row in enumerate(table.rows)
    ]
    (reason,) = refused(rows)
    assert reason == (
        f"the rows mix {word}, which have no common law: first, second; "
        f"choose one with --where '{name}==first'"
    )


def test_a_loss_that_does_not_fall_is_refused(grid):
    table, _ = grid()
    upside_down = [dataclasses.replace(row, loss=1 / row.loss) for row in table.rows]
    assert refused(upside_down) == [
        "loss does not fall from the cheapest to the most expensive third of the runs"
    ]


def test_a_fall_within_seed_noise_is_refused(grid):
    flat = {"E": 1.0, "A": 1.0, "alpha": 0.3, "B": 1.0, "beta": 0.3}
    table, _ = grid(law=flat, noise=0.05, draw=1)
    reasons = find_refusals(table.rows)
    assert len(reasons) == 1
    assert "seed noise" in reasons[0] or "does not fall" in reasons[0]


def test_an_optimum_at_a_bound_is_refused(grid):
    without_parameters = {"E": 1.0, "A": 0.0, "alpha": 0.3, "B": 500.0, "beta": 0.3}
    table, _ = grid(law=without_parameters, noise=0.0, seeds=1)
    (reason,) = refused(table.rows)
    assert reason.startswith("the optimum of the joint law lies at a bound: ")
