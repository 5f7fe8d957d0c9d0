"""Schedule and duration: shapes, ends, and what the configuration means."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnimouse_cli.config.training import TrainConfig
from omnimouse_cli.training.schedule import Duration, Schedule, build_duration

schedules = st.builds(
    Schedule,
    warmup_fraction=st.floats(0, 0.5),
    cooldown_fraction=st.floats(0, 0.5),
    shape=st.sampled_from(["1-sqrt", "linear"]),
)


@given(schedules, st.floats(0, 1))
def test_the_factor_stays_between_nothing_and_the_base(schedule: Schedule, progress: float):
    assert 0 <= schedule.factor(progress) <= 1


@given(schedules, st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_it_rises_then_stays_then_falls(schedule: Schedule, shares: list[float]):
    for earlier, later in itertools.pairwise(sorted(shares)):
        if later <= schedule.warmup_fraction:
            assert schedule.factor(earlier) <= schedule.factor(later)
        if earlier >= schedule.warmup_fraction:
            assert schedule.factor(earlier) >= schedule.factor(later)


@given(schedules, st.floats(0, 1))
def test_between_warm_up_and_cool_down_it_is_the_base(schedule: Schedule, share: float):
    first, last = schedule.warmup_fraction, 1 - schedule.cooldown_fraction
    assert schedule.factor(first + share * (last - first)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("shape", ["1-sqrt", "linear"])
def test_a_cool_down_ends_at_zero(shape):
    schedule = Schedule(warmup_fraction=0.1, cooldown_fraction=0.3, shape=shape)
    assert schedule.factor(1.0) == pytest.approx(0, abs=1e-12)
    assert schedule.factor(1.5) == pytest.approx(0, abs=1e-12)


def test_the_shapes_have_their_known_values_in_the_middle():
    half = {
        shape: Schedule(warmup_fraction=0.0, cooldown_fraction=0.5, shape=shape).factor(0.75)
        for shape in ("linear", "1-sqrt")
    }
    assert half == {"linear": 0.5, "1-sqrt": pytest.approx(1 - 0.5**0.5)}


@given(st.integers(1, 10_000))
def test_no_step_of_a_run_is_wasted_on_a_zero_rate(steps: int):
    schedule = Schedule(warmup_fraction=0.02, cooldown_fraction=0.3)
    duration = Duration(steps=steps)
    for step in {0, steps // 2, steps - 1}:
        assert schedule.factor(duration.progress(step, 0.0)) > 0


def test_minutes_end_when_they_are_over_whatever_the_steps():
    duration = Duration(seconds=90)
    assert not duration.is_over(10**9, 89.9)
    assert duration.is_over(0, 90.0)
    assert duration.progress(5, 45.0) == 0.5


def test_steps_end_when_they_are_done_whatever_the_time():
    duration = Duration(steps=3)
    assert [duration.is_over(step, 1e9) for step in range(4)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (TrainConfig(steps=7), Duration(steps=7)),
        (TrainConfig(minutes=2), Duration(seconds=120)),
    ],
)
def test_the_configuration_says_the_duration(config, expected):
    assert build_duration(config) == expected


def test_a_duration_is_exactly_one_of_two():
    with pytest.raises(ValueError, match="one of `steps` and `seconds`"):
        Duration()
    with pytest.raises(ValueError, match="one of `steps` and `seconds`"):
        Duration(steps=1, seconds=1)
