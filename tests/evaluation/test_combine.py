"""Means over sessions, animals and seeds: what their intervals are over, and that they cover."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from omnimouse_cli.config.load import load_config
from omnimouse_cli.evaluation.combine import combine_seeds, group_by_seed
from omnimouse_cli.evaluation.records import DIFFERENCE, OVER_WINDOWS, EvalRecord, Evaluation
from omnimouse_cli.evaluation.scored_value import ScoredValue, with_interval
from omnimouse_cli.evaluation.tabulate import overall_record
from omnimouse_cli.metrics.resamples import block_weights

NUM_BLOCKS = 60
WEIGHTS = block_weights(NUM_BLOCKS)


def record_of(session="1", predictor="model"):
    return EvalRecord(
        regime="predict", strategy="predict", inputs=("stimulus",), session=session, tier="test",
        target="neurons", metric=DIFFERENCE, predictor=predictor, value=None, neurons=10,
        windows=NUM_BLOCKS, samples=1800, scored_seconds=60.0,
    )  # fmt: skip


def number_of(series, *, session="1", animal="a", predictor="model", neurons=10):
    """A value that is the mean of a series over blocks."""
    value = float(series.mean())
    number = ScoredValue(
        record=replace(record_of(session, predictor), value=value),
        outputs=np.arange(10), resamples=WEIGHTS @ series / WEIGHTS.sum(axis=1),
        num_blocks=NUM_BLOCKS, num_neurons=neurons, animal=animal,
    )  # fmt: skip
    return replace(number, record=with_interval(number.record, number.spread, OVER_WINDOWS))


def series(rng, *levels):
    """Independent blocks with a mean that is the sum of the levels."""
    return sum(levels) + rng.normal(size=NUM_BLOCKS)


def test_two_sessions_are_over_windows_and_three_over_sessions_or_animals():
    rng = np.random.default_rng(0)
    numbers = [
        number_of(series(rng, level), session=str(level), animal=f"animal {level}")
        for level in (0, 10, 20)
    ]
    two, three = overall_record(numbers[:2]), overall_record(numbers)
    assert two.interval_over == "windows"
    assert two.high - two.low < 1.0
    assert three.interval_over == "windows, sessions, animals"
    assert three.scored_seconds == 180.0
    # Student's interval of 0, 10 and 20: 4.303 x 10 / sqrt(3) on either side.
    assert three.high - three.low == pytest.approx(2 * 24.84, rel=0.05)
    same = [replace(number, animal="a") for number in numbers]
    assert overall_record(same).interval_over == "windows, sessions"


def test_a_session_too_short_for_an_interval_counts_among_three():
    rng = np.random.default_rng(5)
    numbers = [number_of(series(rng, level), session=str(level)) for level in (0, 1, 2)]
    short = replace(numbers[0], resamples=None)
    assert overall_record([short, numbers[1]]).low is None
    found = overall_record([short, *numbers[1:]])
    assert found.interval_over == "windows, sessions"
    assert found.low < found.value < found.high


def test_sessions_that_agree_by_chance_keep_the_interval_over_windows():
    rng = np.random.default_rng(1)
    levels = [series(rng) for _ in range(3)]
    alike = [number_of(one - one.mean(), session=str(number)) for number, one in enumerate(levels)]
    found = overall_record(alike)
    assert found.interval_over == "windows, sessions"
    assert found.high - found.low == pytest.approx(
        overall_record(alike[:2]).high - overall_record(alike[:2]).low, rel=0.5
    )


def test_an_interval_over_animals_covers_the_mean_of_all_animals():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(300):
        numbers = []
        for animal in "abcde":
            of_animal = 0.3 * rng.normal()
            for key in (f"{animal}1", f"{animal}2"):
                levels = of_animal, 0.3 * rng.normal()
                numbers.append(number_of(series(rng, *levels), session=key, animal=animal))
        found = overall_record(numbers)
        held += found.low <= 0 <= found.high
    assert 0.92 <= held / 300 <= 0.98


def evaluations(rng, seeds, *, spread_of_seeds):
    """One evaluation per seed, of the same windows of two sessions."""
    windows = {session: series(rng) for session in "xy"}
    for _ in range(seeds):
        of_seed = spread_of_seeds * rng.normal()
        yield Evaluation(
            records=(), unavailable=(),
            numbers=[number_of(windows[key] + of_seed, session=key) for key in windows],
        )  # fmt: skip


def test_the_mean_over_seeds_covers_windows_and_seeds():
    rng = np.random.default_rng(3)
    held = np.zeros(2)
    for _ in range(300):
        found = combine_seeds(list(evaluations(rng, 3, spread_of_seeds=0.2)))
        for record in found.records:
            assert (record.interval_over, record.runs) == ("windows, seeds", 3)
        overall = found.records[-1]
        held += overall.low <= 0 <= overall.high, found.records[0].low <= 0 <= found.records[0].high
    assert (held / 300 >= 0.92).all()
    assert (held / 300 <= 0.985).all()


def test_a_mean_over_runs_is_that_of_values_and_of_baselines_alike():
    rng = np.random.default_rng(4)
    both = list(evaluations(rng, 2, spread_of_seeds=0.5))
    found = combine_seeds(both)
    values = [[number.record.value for number in one.numbers] for one in both]
    assert [r.value for r in found.records[:2]] == pytest.approx(np.mean(values, axis=0))
    # A baseline is the same in every run: its interval is that over windows, within rounding.
    alone = next(evaluations(rng, 1, spread_of_seeds=0.0))
    fixed = combine_seeds([alone, alone]).records[0]
    assert (fixed.low, fixed.high) == pytest.approx(
        (alone.numbers[0].record.low, alone.numbers[0].record.high)
    )
    fewer = replace(both[1], numbers=both[1].numbers[:1])
    common = combine_seeds([both[0], fewer]).records
    assert {record.session for record in common} == {"x", "overall"}


def test_runs_are_grouped_by_all_but_their_seed():
    config = load_config(size="nano")
    sessions = (SimpleNamespace(session="1", fingerprint="f"),)
    other = replace(config, model=replace(config.model, response_loss="poisson"))
    runs = [
        SimpleNamespace(config=one, sessions=sessions)
        for one in (config, other, replace(config, seed=7), replace(config, seed=8))
    ]
    assert group_by_seed(runs) == [[0, 2, 3]]
    assert group_by_seed(runs[:2]) == []
    # A copy of a run is no other seed.
    assert group_by_seed([runs[0], runs[0]]) == []
    assert group_by_seed([runs[0], runs[0], runs[2]]) == [[0, 2]]
