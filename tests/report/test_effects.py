"""Effects of subsets of data: their size is found, and they widen what rests on few of them."""

from dataclasses import replace

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


def test_drawn_effects_vary_as_far_as_their_interval_says():
    generator = np.random.default_rng(2)
    groups = np.repeat(np.arange(400), 6)
    residuals = generator.normal(0, 0.5, 400)[groups] + generator.normal(0, 1.0, 2400)
    many = estimate_effects(residuals, groups, fitted_between=3, fitted_within=2)
    # As uncertain as of 12 groups, although there are 400 to measure each draw by.
    few = replace(many, degrees=(9, 130))
    drawn = few.draw(4000, generator).reshape(4000, 400, 6)
    within = drawn.var(axis=2, ddof=1).mean(axis=1)
    between = drawn.mean(axis=2).var(axis=1) - within / 6
    interval = few.estimate()
    found = np.quantile(between.clip(min=0), [0.025, 0.975]) ** 0.5
    # Of 400 groups a variance is known to 7 %, of 4,000 draws a quantile to 4 %.
    assert found[1] == pytest.approx(interval.high, rel=0.1)
    assert found[0] == pytest.approx(interval.low, abs=0.1)


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
