"""Arrays that Python passes to the extension: checked before anything is written."""

import gc
import threading
import weakref

import numpy as np
import pytest

from omnimouse_cli import _native


def slot_with(**arrays):
    memory = {
        "grid_indices": np.zeros(1, np.int64),
        "neuron_index": np.arange(2),
        "responses": np.full(120, np.nan, np.float32),
        "video": np.full(360, np.nan, np.float32),
        "behavior": np.full(40, np.nan, np.float32),
    }
    return _native.Slot(**(memory | arrays))


def fixed(array):
    array.flags.writeable = False
    return array


@pytest.fixture
def session(write_file, good_table):
    return session_with(write_file(good_table))


def session_with(path, **changes):
    options = {
        "shift": np.zeros(2, np.float32),
        "scale": np.ones(2, np.float32),
        "video_mean": 0.0,
        "video_std": 1.0,
        "channel_rows": [0],
        "num_channels": 1,
    }
    return _native.Session(_native.Shard(path), **(options | changes))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("responses", np.zeros(120, np.float64)),
        ("responses", np.zeros(240, np.float32)[::2]),
        ("responses", fixed(np.zeros(120, np.float32))),
        ("neuron_index", np.zeros(2, np.int32)),
        ("grid_indices", np.zeros(1, np.float32)),
        ("video", "not an array"),
    ],
)
def test_memory_that_cannot_be_written_as_it_is_is_refused_by_name(name, array):
    with pytest.raises(ValueError, match=f"`{name}`"):
        slot_with(**{name: array})


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("responses", np.zeros(119, np.float32)),
        ("neuron_index", np.zeros(1, np.int64)),
        ("grid_indices", np.zeros(0, np.int64)),
        ("video", np.zeros(359, np.float32)),
        ("video", None),
        ("behavior", None),
    ],
)
def test_memory_that_is_too_small_is_refused_by_name_and_can_be_used_again(session, name, array):
    slot = slot_with(**{name: array})
    for _ in range(2):
        with pytest.raises(RuntimeError, match=f"`{name}` must have at least"):
            session.read(slot, 1, 2)


def test_nothing_is_written_beyond_what_was_asked_for(session):
    responses = np.full(200, np.nan, np.float32)
    session.read(slot_with(responses=responses), 1, 2)
    assert (responses[:120] == 0).all()
    assert np.isnan(responses[120:]).all()


def test_a_slot_can_be_in_one_place_only(session):
    schedule = _native.Schedule(
        [("1-1-1", np.array([0]), np.array([5]))],
        stride_samples=1,
        batch_size=1,
        seed=0,
        balanced=True,
    )
    loader = _native.Loader(schedule, [session], max_neurons=2, first_batch=0, step=1, threads=1)
    slot = slot_with()
    loader.submit(slot)
    for use in (loader.submit, lambda submitted: session.read(submitted, 1, 2)):
        with pytest.raises(ValueError, match="with a loader already"):
            use(slot)
    received = loader.receive(10.0)
    assert received is not None
    assert received[:3] == (0, 0, 2)
    assert received[3] is slot
    session.read(slot, 1, 2)
    assert loader.receive(0.01) is None
    loader.close()
    with pytest.raises(RuntimeError, match="closed"):
        loader.receive(0.01)


def test_memory_lives_as_long_as_its_slot(session):
    responses = np.full(2_000_000, np.nan, np.float32)
    is_freed = threading.Event()
    weakref.finalize(responses, is_freed.set)
    slot = slot_with(responses=responses)
    del responses
    gc.collect()
    assert not is_freed.is_set()
    session.read(slot, 1, 2)
    del slot
    gc.collect()
    assert is_freed.is_set()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shift": np.zeros(3, np.float32)}, "must have 2 values"),
        ({"scale": np.zeros(1, np.float32)}, "must have 2 values"),
        ({"shift": np.zeros(2)}, "`shift`"),
        ({"channel_rows": [0, 0]}, "must have 1 values"),
        ({"channel_rows": [1]}, "must be below 1: 1"),
    ],
)
def test_scaling_of_another_size_is_refused(write_file, good_table, changes, reason):
    path = write_file(good_table)
    with pytest.raises(ValueError, match=reason):
        session_with(path, **changes)
