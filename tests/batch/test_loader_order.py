"""One order for every world: 7 shards, two epochs, any ranks and threads, resumed anywhere."""

from collections import Counter

import numpy as np
import pytest

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.loader import Loader, build_schedule
from omnimouse_cli.config.data import DataConfig

NUM_SESSIONS = 7
BATCH_SIZE = 4


def config_with(threads=1, sampling="proportional"):
    return DataConfig(
        batch_size=BATCH_SIZE, max_neurons=5, stride_samples=40, threads=threads, sampling=sampling
    )


@pytest.fixture(scope="module")
def seven(tmp_path_factory, write_shard):
    folder = tmp_path_factory.mktemp("seven")
    for number in range(NUM_SESSIONS):
        write_shard(
            folder,
            key=f"1-1-{number}",
            neurons=5 + number,
            seed=number,
            seconds=12.0 + 2 * number,
            trials=((0.0, 12.0 + 2 * number, "train", "video"),),
            valid=((0.5, 11.5 + 2 * number),),
        )
    return open_dataset(folder)


def drawn(loader, count):
    """Session, starts, neurons and responses of the next batches."""
    found = []
    for _ in range(count):
        batch = next(loader)
        parts = (batch.neuron_index, batch.responses)
        content = b"".join(part.numpy().tobytes() for part in parts)
        found.append((batch.number, batch.session, batch.start_seconds.tobytes(), content))
    return found


@pytest.fixture(scope="module")
def two_epochs(seven):
    with Loader(seven, config_with(), seed=5) as loader:
        return drawn(loader, 2 * loader.batches_of_all_windows)


def test_two_epochs_have_every_window_twice(seven, two_epochs):
    found = Counter(
        (session, start) for _, session, starts, _ in two_epochs for start in np.frombuffer(starts)
    )
    for session in seven.sessions:
        table = seven.windows(config_with(), session.key)
        for start in table.start_seconds(np.arange(table.num_windows)):
            # The last batch of an epoch is filled up from the session's next one.
            assert 2 <= found[session.key, start] <= 3 + BATCH_SIZE // table.num_windows


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_ranks_and_threads_change_nothing(seven, two_epochs, num_ranks, threads):
    for rank in range(num_ranks):
        expected = two_epochs[rank::num_ranks]
        options = {"seed": 5, "rank": rank, "num_ranks": num_ranks}
        with Loader(seven, config_with(threads), **options) as loader:
            assert drawn(loader, len(expected)) == expected


def test_every_position_is_a_place_to_resume(seven, two_epochs):
    for first in range(len(two_epochs)):
        with Loader(seven, config_with(2), seed=5, first_batch=first) as loader:
            assert drawn(loader, 2) == two_epochs[first : first + 2] or first == len(two_epochs) - 1
            assert loader.state() == {"next_batch": first + 2}


@pytest.mark.parametrize("sampling", ["balanced", "proportional"])
def test_the_schedule_is_what_is_drawn(seven, sampling):
    config = config_with(sampling=sampling)
    order = build_schedule(seven, config, seed=5)
    with Loader(seven, config, seed=5, first_batch=3) as loader:
        for number in range(3, 23):
            batch = next(loader)
            session, grid = order.batch(number)
            assert loader.session_index(number) == session
            assert batch.session == seven.sessions[session].key
            np.testing.assert_array_equal(np.rint(batch.start_seconds * 30), grid)
