"""The verdict: given when every rule is met, else the rule that is not, and the runs to make."""

import dataclasses

import numpy as np
import pytest

from omnimouse_cli.report.analysis import analyze
from omnimouse_cli.report.frontier import compute_frontier, fit_isoflop_exponent
from omnimouse_cli.report.table import RunRow, RunTable, find_largest_run, get_compute
from omnimouse_cli.report.verdict import compute_gains, list_missing_levels
from omnimouse_cli.reporter import Silent

pytestmark = pytest.mark.slow


def analyze_table(table, **options):
    return analyze(table, num_resamples=options.pop("num_resamples", 200), reporter=Silent())


def failed(report):
    return {check.name for check in report.verdict.checks if not check.passed}


@pytest.mark.parametrize(("ratio", "limit"), [(8.0, "data-limited"), (1 / 8, "parameter-limited")])
def test_a_clear_case_is_called(grid, ratio, limit):
    for draw in range(2):
        table, _ = grid(ratio=ratio, draw=draw)
        report = analyze_table(table)
        assert report.verdict.limit == limit
        assert report.verdict.agreement >= 0.95
        assert report.verdict.gain_ratio == pytest.approx(ratio, rel=0.3)
        assert len(report.verdict.reasons) == len(report.verdict.checks) == 6
        assert report.proposals == ()


def test_a_balanced_case_is_undetermined_and_asks_both_questions(grid):
    table, _ = grid(ratio=1.3)
    report = analyze_table(table)
    assert report.verdict.limit == "undetermined"
    assert "ratio" in failed(report)
    top = find_largest_run(table.rows)
    proposed = {(one.parameters, one.tokens) for one in report.proposals}
    assert proposed == {
        ((top.parameters,), (1.28e11,)),
        ((4e8,), (top.tokens,)),
    }


def test_without_repeated_seeds_nothing_is_called(grid):
    table, _ = grid(seeds=1)
    report = analyze_table(table)
    assert report.verdict.limit == "undetermined"
    assert failed(report) == {"seed noise"}
    top = find_largest_run(table.rows)
    assert (report.proposals[0].parameters, report.proposals[0].tokens) == (
        (top.parameters,),
        (top.tokens,),
    )
    assert report.proposals[0].seeds == 3


def test_three_levels_are_too_few_and_the_missing_one_is_named(grid):
    sizes = np.geomspace(1e6, 1.6e7, 3)
    table, _ = grid(sizes=sizes)
    report = analyze_table(table)
    assert report.verdict.limit == "undetermined"
    assert "levels of parameters" in failed(report)
    assert report.proposals[0].parameters == pytest.approx((6.4e7,))


def test_a_narrow_range_is_too_little(grid):
    table, _ = grid(amounts=np.geomspace(1e9, 8e9, 4))
    report = analyze_table(table)
    assert "levels of tokens" in failed(report)
    assert any("4 levels over a 8-fold range" in reason for reason in report.verdict.reasons)


def test_levels_are_added_upwards_until_number_and_range_suffice():
    assert list_missing_levels([1.0]) == (4.0, 16.0, 64.0)
    assert list_missing_levels([1.0, 2.0, 4.0, 8.0]) == (32.0,)
    assert list_missing_levels([1.0, 2.0, 4.0, 16.0]) == ()
    assert list_missing_levels([1.0, 2.0, 5.0, 15.9]) == ()


def test_the_published_omnimouse_table_carries_no_law():
    # Single-trial correlation of forecasts with the stimulus: five sizes on 323 sessions.
    published = {1e6: 0.31, 5e6: 0.32, 20e6: 0.33, 80e6: 0.34, 300e6: 0.34}
    rows = tuple(
        RunRow(run=f"{size:g}", source="paper", parameters=size, tokens=1.5e11, loss=1 - value)
        for size, value in published.items()
    )
    report = analyze_table(RunTable(title="published", rows=rows))
    assert report.law is None
    assert report.verdict.limit == "undetermined"
    assert any(
        "needs at least 8 rows, and the table has 5" in reason for reason in report.verdict.reasons
    )
    assert any("tokens have one level only" in reason for reason in report.verdict.reasons)
    saturating = next(one for one in report.alternatives if "saturating" in one.form.name)
    assert saturating.aicc is None
    assert report.winner is None


def test_the_largest_run_is_the_most_expensive_one(grid):
    table, _ = grid(seeds=1)
    assert find_largest_run(table.rows) == table.rows[-1]
    dear = dataclasses.replace(table.rows[3], compute=1e30)
    assert find_largest_run([*table.rows, dear]) == dear


def test_gains_are_the_slopes_of_the_law():
    values = {"E": 1.0, "A": 300.0, "alpha": 0.3, "B": 500.0, "beta": 0.25}
    row = RunRow(run="a", source="", parameters=1e7, tokens=1e9, loss=2.0)
    step = 1e-6

    def loss(size, tokens):
        return values["E"] + values["A"] * size**-0.3 + values["B"] * tokens**-0.25

    expected = [
        (loss(1e7, 1e9) - loss(1e7 * np.exp(step), 1e9)) / step,
        (loss(1e7, 1e9) - loss(1e7, 1e9 * np.exp(step))) / step,
    ]
    assert compute_gains(values, row) == pytest.approx(expected, rel=1e-4)


def test_the_frontier_is_the_best_of_each_budget(grid):
    table, law = grid()
    frontier = compute_frontier(table.rows, law)
    assert frontier.measured
    assert frontier.operations == pytest.approx(6.0)

    def loss(size, tokens):
        return law["A"] * size ** -law["alpha"] + law["B"] * tokens ** -law["beta"]

    best = loss(frontier.parameters, frontier.tokens)
    np.testing.assert_allclose(6 * frontier.parameters * frontier.tokens, frontier.compute)
    for factor in (0.9, 1.1):
        assert (loss(frontier.parameters * factor, frontier.tokens / factor) > best).all()


def test_parabolas_at_equal_compute_agree_with_the_law(grid):
    law = {"E": 1.0, "A": 300.0, "alpha": 0.35, "B": 600.0, "beta": 0.3}
    rows = []
    for budget in np.geomspace(1e16, 1e19, 4):
        center = (law["alpha"] * law["A"] / (law["beta"] * law["B"])) * (budget / 6) ** law["beta"]
        center **= 1 / (law["alpha"] + law["beta"])
        for size in center * np.geomspace(0.25, 4, 7):
            tokens = budget / 6 / size
            loss = law["E"] + law["A"] * size ** -law["alpha"] + law["B"] * tokens ** -law["beta"]
            rows.append(
                RunRow(
                    run=f"{budget}{size}",
                    source="",
                    parameters=size,
                    tokens=tokens,
                    loss=loss,
                    compute=budget,
                )
            )
    frontier = compute_frontier(rows, law)
    assert frontier.isoflop_levels == 4
    assert frontier.isoflop_exponent == pytest.approx(0.3 / 0.65, abs=0.02)


def test_parabolas_take_the_sizes_around_the_minimum():
    rows = []
    for budget in np.geomspace(1e16, 1e19, 5):
        best = 1e7 * (budget / 1e16) ** 0.6
        # Far below the best size loss rises far more steeply than a parabola does.
        for size in best * np.geomspace(1 / 60, 6, 12):
            distance = np.log(size / best)
            loss = 2 + 0.02 * distance**2 + 0.06 * max(0, -distance - 1.4) ** 3 * best / 1e7
            rows.append(
                RunRow(
                    run=f"{budget}{size}",
                    source="",
                    parameters=float(size),
                    tokens=float(budget / 6 / size),
                    loss=float(loss),
                    compute=float(budget),
                )
            )
    exponent, num_levels, r2 = fit_isoflop_exponent(rows, get_compute(rows)[0])
    assert num_levels == 5
    assert exponent == pytest.approx(0.6, abs=0.02)
    assert r2 > 0.99


@pytest.mark.parametrize(
    ("seen", "warning"),
    [
        (0.25, "16 runs ended before all of the data were seen (down to 0.25 epochs)"),
        (8.0, "runs saw their data for up to 8 epochs; beyond about 4 epochs"),
    ],
)
def test_tokens_that_were_seen_too_seldom_or_too_often_are_warned_of(grid, seen, warning):
    table, _ = grid(seeds=1)
    rows = tuple(
        dataclasses.replace(row, tokens_seen=row.tokens * seen, epochs=seen) for row in table.rows
    )
    report = analyze_table(RunTable(title="", rows=rows), num_resamples=20)
    assert any(said.startswith(warning) for said in report.warnings)
