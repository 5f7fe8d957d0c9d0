"""Alternatives: criteria, extrapolation, a winner only when clear, breaks found and not found."""

import dataclasses

import numpy as np
import pytest

from omnimouse_cli.report.alternatives import (
    compare_forms,
    compute_criteria,
    find_supported_breaks,
    find_winner,
    split_by_compute,
)
from omnimouse_cli.report.csv_table import read_csv_table
from omnimouse_cli.report.table import get_compute, parse_condition

pytestmark = pytest.mark.slow

MANY = np.geomspace(1e8, 1.28e10, 8)


def by_name(alternatives):
    return {one.form.name: one for one in alternatives}


def test_criteria_are_those_of_the_definitions(grid):
    table, _ = grid(noise=0.01)
    found = by_name(compare_forms(table.rows, seed=0))
    n = len(table.rows)
    for name, k in {"constant": 2, "power (tokens)": 3, "tied exponents": 5, "joint": 6}.items():
        aicc, bic = compute_criteria(found[name].fit)
        assert (aicc, bic) == (found[name].aicc, found[name].bic)
        penalty = 2 * k + 2 * k * (k + 1) / (n - k - 1)
        assert aicc - penalty == pytest.approx(bic - k * np.log(n))


def test_the_most_expensive_quarter_is_held_out_by_whole_levels(grid):
    table, _ = grid(seeds=3)
    lower, upper = split_by_compute(table.rows)
    compute, _ = get_compute(table.rows)
    assert sorted([*lower, *upper]) == list(range(48))
    assert compute[lower].max() < compute[upper].min()
    assert 12 <= len(upper) <= 24


def test_the_joint_law_beats_laws_of_one_variable_when_it_is_true(grid):
    table, _ = grid(noise=0.002)
    found = by_name(compare_forms(table.rows, seed=0))
    for name in ("power (tokens)", "saturating power (tokens)", "saturating power (parameters)"):
        assert found["joint"].aicc < found[name].aicc - 4
        assert found["joint"].heldout_error < found[name].heldout_error
    assert found["joint"].heldout_error < 0.01


def test_no_break_is_supported_where_there_is_none(grid):
    for draw in range(3):
        table, _ = grid(amounts=MANY, seeds=1, noise=0.005, draw=draw)
        assert find_supported_breaks(compare_forms(table.rows, seed=0)) == ()


@pytest.mark.parametrize("noise", [0.002, 0.01])
def test_a_break_along_the_data_is_found_where_it_is(grid, noise):
    law = {
        "E": 1.0,
        "A": 0.4 * 1e6**0.35,
        "alpha": 0.35,
        "B": 0.8 * 1e8**0.15,
        "beta": 0.15,
        "beta2": 0.6,
        "break": 1e9,
    }
    table, _ = grid(amounts=MANY, seeds=1, noise=noise, law=law)
    alternatives = compare_forms(table.rows, seed=0)
    (found,) = find_supported_breaks(alternatives)
    assert found.axis == "tokens"
    assert found.delta_aicc > 20
    assert found.low <= found.at <= found.high
    assert found.at == pytest.approx(1e9, rel=0.5)
    assert find_winner(alternatives) == "broken (tokens)"
    values = by_name(alternatives)["broken (tokens)"].fit.values
    assert values["beta"] < values["beta2"]


def test_one_subset_of_each_amount_does_not_look_like_a_break(grid):
    looks_better = 0
    for draw in range(2):
        table, _ = grid(draw=draw, effect=0.005, seeds=2)
        alternatives = compare_forms(table.rows, seed=0)
        broken = by_name(alternatives)["broken (tokens)"].breaks[0]
        looks_better += broken.delta_aicc > 4
        assert any("4 levels of tokens cannot tell" in reason for reason in broken.reasons)
        assert find_supported_breaks(alternatives) == ()
    assert looks_better > 0


def test_a_break_at_outliers_is_not_supported(grid):
    table, _ = grid(amounts=np.geomspace(1e8, 1.28e10, 12), seeds=1, noise=0.002)
    rows = [
        dataclasses.replace(row, loss=row.loss * (1.3 if row.tokens < 1.1e8 else 1))
        for row in table.rows
    ]
    alternatives = compare_forms(rows, seed=0)
    found = by_name(alternatives)["broken (tokens)"].breaks[0]
    assert found.delta_aicc > 4
    assert find_supported_breaks(alternatives) == ()
    assert any("reaches the edge of the data" in reason for reason in found.reasons)
    assert find_winner(alternatives) != "broken (tokens)"


def test_too_few_rows_or_levels_have_no_break(grid):
    table, _ = grid(seeds=1, sizes=np.geomspace(1e6, 1e8, 3), amounts=np.geomspace(1e9, 1e10, 3))
    found = by_name(compare_forms(table.rows, seed=0))
    for name in ("broken (tokens)", "broken (parameters)"):
        assert found[name].aicc is None
        assert "a break needs 12 rows and 4 levels" in found[name].reason


def test_a_form_with_fewer_than_k_plus_2_rows_has_no_criteria(grid):
    table, _ = grid(seeds=1)
    found = by_name(compare_forms(table.rows[:7:2], seed=0))
    assert found["constant"].aicc is not None
    for name in ("power (tokens)", "tied exponents", "joint"):
        assert found[name].aicc is None
        assert "fitted numbers need" in found[name].reason


def test_a_learning_curve_that_levels_off_is_saturating(translation):
    table = read_csv_table(
        translation,
        columns={"parameters": "3e8", "tokens": "seen_examples"},
        where=[parse_condition("model==6Enc28Dec")],
    )
    alternatives = compare_forms(table.rows, seed=0)
    assert set(by_name(alternatives)) == {
        "constant",
        "power (tokens)",
        "saturating power (tokens)",
        "broken (tokens)",
    }
    assert find_winner(alternatives) == "saturating power (tokens)"


def test_no_winner_is_called_between_laws_that_differ_little(grid):
    table, _ = grid(seeds=1, noise=0.02)
    assert find_winner(compare_forms(table.rows, seed=0)) != "joint"
    assert find_winner(()) is None
