"""The order of batches: a pure function of data set, seed and number."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnimouse_cli._native import Schedule


def schedule(counts, *, batch_size=4, seed=0, balanced=True, stride_samples=1):
    sources = [
        (f"session-{number}", np.array([10]), np.array([count]))
        for number, count in enumerate(counts)
    ]
    return Schedule(
        sources,
        stride_samples=stride_samples,
        batch_size=batch_size,
        seed=seed,
        balanced=balanced,
    )


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 3000), seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 3))
def test_an_epoch_of_a_session_is_a_permutation_of_its_windows(length, seed, epoch):
    order = schedule([length], batch_size=1, seed=seed)
    drawn = [order.batch(number)[1][0] for number in range(epoch * length, (epoch + 1) * length)]
    assert sorted(drawn) == list(range(10, 10 + length))


@settings(max_examples=60, deadline=None)
@given(
    population=st.integers(1, 500),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**64 - 1),
    window=st.integers(0, 7),
)
def test_neurons_are_an_ascending_subset(population, share, seed, window):
    count = round(share * population)
    chosen = schedule([100], seed=seed).neurons(5, window, population, count)
    assert len(set(chosen)) == count
    assert chosen == sorted(chosen)
    assert not chosen or (chosen[0] >= 0 and chosen[-1] < population)


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    batch_size=st.integers(1, 8),
    seed=st.integers(0, 2**64 - 1),
)
def test_a_proportional_epoch_has_each_sessions_share_of_batches(counts, batch_size, seed):
    order = schedule(counts, batch_size=batch_size, seed=seed, balanced=False)
    shares = [-(-count // batch_size) for count in counts]
    assert order.batches_per_epoch == sum(shares)
    for epoch in range(2):
        first = epoch * sum(shares)
        drawn = Counter(order.batch(number)[0] for number in range(first, first + sum(shares)))
        assert [drawn[index] for index in range(len(counts))] == shares


@settings(max_examples=40, deadline=None)
@given(num_sessions=st.integers(1, 12), seed=st.integers(0, 2**64 - 1))
def test_every_balanced_cycle_has_every_session_once(num_sessions, seed):
    order = schedule([30] * num_sessions, seed=seed)
    for cycle in range(4):
        numbers = range(cycle * num_sessions, (cycle + 1) * num_sessions)
        sessions = [order.batch(number)[0] for number in numbers]
        assert sorted(sessions) == list(range(num_sessions))


def test_the_order_of_a_seed_never_changes():
    # Written down once: a run that is resumed with a later version must find the same batches.
    order = schedule([1000, 40], seed=42)
    assert [order.batch(number) for number in (0, 1, 1000)] == [
        (0, [595, 804, 333, 373]),
        (1, [25, 11, 29, 32]),
        (0, [950, 101, 464, 427]),
    ]
    assert order.neurons(0, 0, 50, 6) == [6, 12, 26, 29, 44, 48]


def test_every_stretch_of_time_is_drawn_early():
    # 1000 draws of 100 000 windows: a tenth of the windows gets 100 draws, with deviation 10.
    order = schedule([100_000], batch_size=1, seed=1)
    drawn = np.array([order.batch(number)[1][0] for number in range(1000)])
    counts = np.histogram(drawn, bins=10, range=(10, 100_010))[0]
    assert counts.min() > 50
    assert counts.max() < 150


def test_impossible_schedules_are_refused():
    with pytest.raises(ValueError, match="window in every session"):
        schedule([5, 0])
    with pytest.raises(ValueError, match="session-0: `stride_samples`"):
        schedule([5], stride_samples=0)
    with pytest.raises(ValueError, match="`count` must be at most 5: 6"):
        schedule([5]).neurons(0, 0, 5, 6)
