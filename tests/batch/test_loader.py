"""The loader: the scheduled batches with NumPy's values, whatever threads, ranks and resumes."""

import gc
import time

import numpy as np
import pytest
import torch

from omnimouse_cli.batch import loader as loader_module
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.batch.memory import BatchMemory
from omnimouse_cli.config.data import DataConfig

CONFIG = DataConfig(batch_size=3, max_neurons=6)
SIGNALS = ("responses", "video", "behavior", "neuron_index")


def numbers_of(batch):
    """Everything of a batch, as bytes."""
    parts = [batch.number, batch.session, batch.start_seconds.tobytes()]
    for name in SIGNALS:
        tensor = getattr(batch, name)
        parts.append(None if tensor is None else tensor.numpy().tobytes())
    return parts


def take(dataset, count, *, config=CONFIG, **options):
    with Loader(dataset, config, seed=7, **options) as loader:
        return [numbers_of(next(loader)) for _ in range(count)]


def config_with(**changes):
    fields = {name: getattr(CONFIG, name) for name in CONFIG.__dataclass_fields__}
    return DataConfig(**{**fields, **changes})


@pytest.fixture(scope="module")
def undisturbed(tiny_dataset):
    return take(tiny_dataset, 24)


def test_every_batch_equals_numpy_bit_by_bit(tiny_shards, tiny_dataset):
    channels = tiny_dataset.behavior_channels
    with Loader(tiny_dataset, CONFIG, seed=3) as loader:
        for number in range(25):
            batch = next(loader)
            assert batch.number == number
            shard = tiny_shards[batch.session]
            start = shard.session.start_seconds
            grid = np.rint((batch.start_seconds - start) * 30).astype(int)
            for window in range(3):
                neurons = batch.neuron_index[window].numpy()
                assert (np.diff(neurons) > 0).all()
                assert len(neurons) == min(6, shard.session.neurons)
                centred = shard.session.response_kind == "dff"
                expected = shard.window(grid[window], neurons, channels, centred=centred)
                for name in ("responses", "video", "behavior"):
                    tensor = getattr(batch, name)
                    assert (tensor is None) == (name not in expected)
                    if tensor is not None:
                        np.testing.assert_array_equal(tensor[window].numpy(), expected[name])


def test_windows_are_allowed_ones_and_none_repeats_in_an_epoch(tiny_dataset):
    config = config_with(sampling="proportional", stride_samples=30, batch_size=4)
    with Loader(tiny_dataset, config, seed=1) as loader:
        drawn = {session.key: [] for session in tiny_dataset.sessions}
        for _ in range(loader.batches_of_all_windows):
            batch = next(loader)
            drawn[batch.session].extend(batch.start_seconds)
    for key, found in drawn.items():
        table = tiny_dataset.windows(config, key)
        allowed = table.start_seconds(np.arange(table.num_windows))
        assert set(found) == set(allowed)
        # The last batch of an epoch is filled up from the session's next epoch.
        assert len(found) - len(allowed) == -len(allowed) % 4


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("prefetch_batches", [1, 5])
def test_threads_and_prefetch_change_no_byte(tiny_dataset, undisturbed, threads, prefetch_batches):
    config = config_with(threads=threads, prefetch_batches=prefetch_batches)
    assert take(tiny_dataset, 24, config=config) == undisturbed


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_ranks_share_one_order(tiny_dataset, undisturbed, num_ranks):
    for rank in range(num_ranks):
        share = take(tiny_dataset, 24 // num_ranks, rank=rank, num_ranks=num_ranks)
        assert share == undisturbed[rank::num_ranks]


@pytest.mark.parametrize("first_batch", range(20))
def test_resume_is_exact_at_every_position(tiny_dataset, undisturbed, first_batch):
    assert take(tiny_dataset, 4, first_batch=first_batch) == undisturbed[first_batch:][:4]


def test_the_state_of_one_number_of_ranks_resumes_on_another(tiny_dataset, undisturbed):
    for num_ranks, next_ranks in [(1, 3), (2, 1), (3, 2), (2, 3)]:
        states = []
        for rank in range(num_ranks):
            with Loader(tiny_dataset, CONFIG, seed=7, rank=rank, num_ranks=num_ranks) as loader:
                for _ in range(3):
                    next(loader)
                states.append(loader.state())
        assert states == [{"next_batch": 3 * num_ranks}] * num_ranks
        first = states[0]["next_batch"]
        resumed = [
            batch
            for rank in range(next_ranks)
            for batch in take(tiny_dataset, 2, rank=rank, num_ranks=next_ranks, first_batch=first)
        ]
        expected = undisturbed[first : first + 2 * next_ranks]
        assert sorted(resumed, key=lambda parts: parts[0]) == expected


def test_ranks_resumed_in_the_middle_of_a_round_agree_on_the_state(tiny_dataset):
    for rank in range(3):
        options = {"rank": rank, "num_ranks": 3, "first_batch": 4}
        with Loader(tiny_dataset, CONFIG, seed=7, **options) as loader:
            assert loader.state() == {"next_batch": 4}
            assert next(loader).number == {0: 6, 1: 4, 2: 5}[rank]
            assert loader.state() == {"next_batch": 7}


def test_seeds_give_different_orders(tiny_dataset, undisturbed):
    with Loader(tiny_dataset, CONFIG, seed=8) as loader:
        others = [numbers_of(next(loader)) for _ in range(5)]
    assert all(left != right for left, right in zip(others, undisturbed, strict=False))
    with Loader(tiny_dataset, CONFIG, seed=-1) as loader:
        assert numbers_of(next(loader)) not in others


def test_a_batch_that_is_held_is_never_overwritten(tiny_dataset, undisturbed):
    with Loader(tiny_dataset, config_with(threads=3), seed=7) as loader:
        held = [next(loader) for _ in range(24)]
        time.sleep(0.05)
        assert [numbers_of(batch) for batch in held] == undisturbed
    assert [numbers_of(batch) for batch in held] == undisturbed


def test_arrays_are_the_batches_in_memory_that_is_theirs(tiny_dataset):
    signals = ("responses", "neuron_index", "video", "behavior", "start_seconds")
    with (
        Loader(tiny_dataset, CONFIG, seed=7) as loader,
        Loader(tiny_dataset, CONFIG, seed=7) as other,
    ):
        held = [loader.take() for _ in range(12)]
        batches = [next(other) for _ in held]
        for arrays, batch in zip(held, batches, strict=True):
            assert (arrays.number, arrays.session) == (batch.number, batch.session)
            parts = {name: getattr(batch, name) for name in signals}
            for name, part in parts.items():
                assert (getattr(arrays, name) is None) == (part is None)
                np.testing.assert_array_equal(getattr(arrays, name), part)
            counted = [parts[name] for name in ("responses", "video", "behavior")]
            assert arrays.num_bytes == sum(part.nbytes for part in counted if part is not None)
        # The two of them may take turns.
        following = next(loader), other.take()
    np.testing.assert_array_equal(following[0].responses, following[1].responses)
    assert all(arrays.responses.ctypes.data % 64 == 0 for arrays in held)


def test_a_view_of_a_part_holds_its_batch(tiny_dataset):
    with Loader(tiny_dataset, CONFIG, seed=7) as loader:
        part = next(loader).responses[1, 5:7].T
        as_array = next(loader).responses.numpy()[0]
        before = part.clone(), as_array.copy()
        for _ in range(30):
            next(loader)
        assert torch.equal(part, before[0])
        np.testing.assert_array_equal(as_array, before[1])


def test_memory_that_nobody_holds_is_used_again(tiny_dataset):
    with Loader(tiny_dataset, CONFIG, seed=7) as loader:
        places = set()
        for _ in range(200):
            places.add(next(loader).responses.data_ptr())
    # Two batches ahead, and one that the caller's variable still shows.
    assert len(places) <= CONFIG.prefetch_batches + 1


def test_batches_outlive_their_loader(tiny_dataset, undisturbed):
    loader = Loader(tiny_dataset, CONFIG, seed=7)
    batch = next(loader)
    del loader
    gc.collect()
    assert numbers_of(batch) == undisturbed[0]


def test_impossible_places_are_refused(tiny_dataset):
    for options in ({"rank": 2, "num_ranks": 2}, {"rank": -1}, {"first_batch": -1}):
        with pytest.raises(ValueError, match=r"`(rank|first_batch)`"):
            Loader(tiny_dataset, CONFIG, seed=0, **options)


class UnfinishedCopy:
    """The event of a copy that a GPU finishes only when it is waited for."""

    def __init__(self):
        self.is_done = False
        self.waits = 0

    def query(self):
        return self.is_done

    def synchronize(self):
        self.waits += 1
        self.is_done = True


def test_the_host_does_not_wait_for_the_copies_of_the_last_steps(tiny_dataset, monkeypatch):
    events = []

    def record():
        events.append(UnfinishedCopy())
        return events[-1]

    def allocate(*arguments, pin_memory, **options):
        # Memory that is not page-locked is enough here: nothing copies it.
        return BatchMemory(*arguments, **options)

    monkeypatch.setattr(loader_module, "_record_event", record)
    monkeypatch.setattr(loader_module, "BatchMemory", allocate)
    expected = take(tiny_dataset, 16)
    with Loader(tiny_dataset, CONFIG, seed=7, pin_memory=True) as loader:
        found = []
        for _ in range(16):
            found.append(numbers_of(next(loader)))
            waiting = [event for event in events if not event.is_done]
            assert len(waiting) <= loader_module.MAX_BEING_COPIED
    assert found == expected
    # The first copies are waited for only when that many others are under way.
    assert [event.waits for event in events[:3]] == [1, 1, 1]
    assert sum(event.waits for event in events) == len(events) - loader_module.MAX_BEING_COPIED + 1
