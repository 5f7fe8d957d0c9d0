"""Effects of subsets of data: their size is found, and they widen what rests on few of them."""

import numpy as np
import pytest

from omnimouse_cli.report.effects import count_repeated_subsets, estimate_effects
from omnimouse_cli.report.law import fit_joint_law
from omnimouse_cli.report.table import compute_seed_noise
from omnimouse_cli.reporter import Silent


def test_variances_between_and_within_groups_are_those_of_the_simulation():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(400), 6)
    residuals = generator.normal(0, 0.5, 400)[groups] + generator.normal(0, 0.2, 2400)
    found = estimate_effects(residuals, groups, fitted_between=3, fitted_within=2)
    assert found.between == pytest.approx(0.25, rel=0.15)
    assert found.within == pytest.approx(0.04, rel=0.1)
    one = found.estimate()
    assert one.low < 0.5 < one.high
    assert one.high - one.low < 0.1
    draws = found.draw(200, generator)
    assert draws.shape == (200, 2400)
    means = draws.reshape(200, 400, 6).mean(axis=2)
    assert means.var(axis=1).mean() == pytest.approx(0.25 + 0.04 / 6, rel=0.15)
    assert (draws - np.repeat(means, 6, axis=1)).var() == pytest.approx(0.04 * 5 / 6, rel=0.1)


def test_independent_rows_have_no_effect_of_their_group():
    generator = np.random.default_rng(1)
    groups = np.repeat(np.arange(12), 12)
    found = [
        estimate_effects(generator.normal(0, 1, 144), groups, fitted_between=3, fitted_within=2)
        for _ in range(40)
    ]
    assert np.mean([one.estimate().low == 0 for one in found]) > 0.8


def test_without_degrees_of_freedom_there_is_no_estimate():
    values = np.arange(8.0)
    assert estimate_effects(values, np.arange(8), fitted_between=3, fitted_within=0) is None
    assert estimate_effects(values, np.arange(8) // 4, fitted_between=3, fitted_within=2) is None


def fitted(table):
    return fit_joint_law(table.rows, num_resamples=100, seed=0, reporter=Silent())[0]


def test_intervals_of_a_table_with_subsets_are_wider_and_say_why(grid):
    table, _ = grid(subsets=3, effect=0.005, seeds=2)
    assert count_repeated_subsets(table.rows) == 8
    law = fitted(table)
    one = law.effects.estimate()
    assert one.low < 0.005 < one.high
    # Runs of one seed differ by subset, which is not noise of seeds.
    assert compute_seed_noise(table.rows) == pytest.approx(0.002, rel=0.3)
    calm, _ = grid(subsets=3, effect=0.0, seeds=2)
    widths = [
        other.estimates["beta"].high - other.estimates["beta"].low for other in (law, fitted(calm))
    ]
    assert widths[0] > 2 * widths[1]


def test_one_subset_of_each_amount_tells_nothing_about_its_effect(grid):
    table, _ = grid(subsets=1, effect=0.005)
    assert count_repeated_subsets(table.rows) == 0
    assert fitted(table).effects is None
