"""Life of a loader: its threads end, errors are raised, forks and Ctrl-C handled, nothing leaks."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.errors import OmniMouseError, ShardError

pytestmark = pytest.mark.slow

TASKS = Path("/proc/self/task")
CONFIG = DataConfig(batch_size=3, max_neurons=6)


def wait_until(condition):
    # A thread sets its name a moment after it was started.
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def native_threads():
    names = []
    for task in TASKS.iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            names.append((task / "comm").read_text())
    return sum(name.startswith("omnimouse-") for name in names)


@pytest.mark.skipif(not TASKS.is_dir(), reason="threads are counted in /proc")
def test_threads_end_with_their_loader(tiny_dataset):
    # Of the tests before.
    gc.collect()
    before = native_threads()
    loader = Loader(tiny_dataset, DataConfig(threads=3), seed=7)
    next(loader)
    assert wait_until(lambda: native_threads() == before + 3)
    del loader
    gc.collect()
    assert native_threads() == before
    with Loader(tiny_dataset, DataConfig(threads=3), seed=7):
        assert wait_until(lambda: native_threads() == before + 3)
    assert native_threads() == before


def test_a_closed_loader_raises(tiny_dataset):
    loader = Loader(tiny_dataset, CONFIG, seed=7)
    loader.close()
    loader.close()
    with pytest.raises(OmniMouseError, match="closed"):
        next(loader)


def test_a_shard_that_shrinks_is_an_error_at_its_batch(tmp_path, write_shard):
    for key in ("1-1-1", "1-1-2"):
        write_shard(tmp_path, key=key)
    config = DataConfig(batch_size=3, prefetch_batches=1)
    with Loader(open_dataset(tmp_path), config, seed=0) as loader:
        order = [next(loader).session for _ in range(40)]
    with Loader(open_dataset(tmp_path), config, seed=0) as loader:
        first = order.index("1-1-2")
        for _ in range(first):
            next(loader)
        path = tmp_path / "1-1-2.safetensors"
        os.truncate(path, path.stat().st_size - 1)
        expected = first
        with pytest.raises(ShardError, match=r"1-1-2\.safetensors is damaged: it shrank"):
            while True:
                # A batch assembled ahead may be whole; the others of the session are not.
                assert next(loader).number == expected
                expected += 1
        assert order[expected] == "1-1-2"
        assert loader.state() == {"next_batch": expected}
        with pytest.raises(OmniMouseError, match="closed"):
            next(loader)


@pytest.mark.training
def test_a_fork_is_refused_with_a_sentence(tiny_dataset):
    program = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        from omnimouse_cli.batch.dataset import open_dataset
        from omnimouse_cli.batch.loader import Loader
        from omnimouse_cli.config.data import DataConfig
        loader = Loader(open_dataset(Path(sys.argv[1])), DataConfig(), seed=0)
        next(loader)
        child = os.fork()
        if child == 0:
            try:
                next(loader)
            except Exception as error:
                print("child:", error, flush=True)
            loader.close()
            del loader
            sys.exit(5)
        print("code:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print("parent:", next(loader).number)
        """
    )
    arguments = [sys.executable, "-W", "ignore", "-c", program, str(tiny_dataset.folder)]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("child: a loader cannot be used after a fork")
    assert lines[1:] == ["code: 5", "parent: 1"]


def test_ctrl_c_ends_a_wait_within_half_a_second(tiny_dataset):
    loader = Loader(tiny_dataset, CONFIG, seed=0)
    next(loader)
    # Nothing can arrive any more: all memory was taken, and none is handed back.
    while loader._native.receive(1.0) is not None:
        pass
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    begin = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        loader._wait()
    assert time.monotonic() - begin < 0.8
    timer.join()
    loader.close()


@pytest.mark.skipif(not TASKS.is_dir(), reason="memory is read from /proc")
def test_thousands_of_batches_leak_no_memory(tiny_dataset):
    def resident_bytes():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    with Loader(tiny_dataset, DataConfig(batch_size=3, max_neurons=6, threads=2), seed=0) as loader:
        for _ in range(2000):
            next(loader)
        before = resident_bytes()
        for _ in range(10_000):
            next(loader)
        assert resident_bytes() - before < 4e6
