"""Levels, compute and seed noise of a table."""

import dataclasses

import numpy as np
import pytest

from omnimouse_cli.report.table import (
    RunRow,
    compute_seed_noise,
    find_levels,
    get_compute,
    number_runs,
)


def row(**changes):
    facts = {"run": "a", "source": "here", "parameters": 1e6, "tokens": 1e9, "loss": 0.5}
    return RunRow(**(facts | changes))


def test_values_within_ten_percent_are_one_level():
    assert find_levels(np.array([1.0, 100.0, 1.05, 10.0, 104.0, 108.9])) == [1.05, 10.0, 104.0]
    assert find_levels(np.array([5.0])) == [5.0]


def test_seed_noise_is_the_pooled_standard_deviation_of_ln_loss():
    generator = np.random.default_rng(0)
    rows = [
        row(parameters=size, seed=seed, loss=float(np.exp(size / 1e9 + generator.normal(0, 0.01))))
        for size in np.geomspace(1e6, 1e8, 200)
        for seed in range(3)
    ]
    assert compute_seed_noise(rows) == pytest.approx(0.01, rel=0.1)


def test_seed_noise_is_unknown_from_one_pair_or_from_rows_without_seeds():
    assert compute_seed_noise([row(seed=1), row(seed=2, loss=0.6)]) is None
    assert compute_seed_noise([row(), row(loss=0.6), row(loss=0.7)]) is None
    # The same seed twice is no repetition, and another length of training is another run.
    assert (
        compute_seed_noise([row(seed=1), row(seed=1), row(seed=1), row(seed=2, epochs=2)]) is None
    )


def test_seeds_of_one_length_see_slightly_other_tokens():
    losses = {1: 0.5, 2: 0.51, 3: 0.52, 4: 0.49}
    equal = [row(seed=seed, loss=loss, epochs=2.0) for seed, loss in losses.items()]
    varied = [dataclasses.replace(one, epochs=2.0 + 0.01 * one.seed) for one in equal]
    assert compute_seed_noise(varied) == compute_seed_noise(equal) is not None


def test_compute_is_measured_only_when_every_row_has_it():
    values, measured = get_compute([row(compute=6.0), row(compute=7.0)])
    assert (values.tolist(), measured) == ([6.0, 7.0], True)
    values, measured = get_compute([row(compute=6.0), row()])
    assert (values.tolist(), measured) == ([1e15, 1e15], False)


def test_rows_of_one_run_form_a_group():
    assert number_runs([row(), row(run="b"), row()]).tolist() == [0, 1, 0]


@pytest.mark.parametrize("name", ["parameters", "tokens", "loss", "compute", "epochs"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_row_refuses_what_has_no_logarithm(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a finite number above zero"):
        dataclasses.replace(row(), **{name: value})
