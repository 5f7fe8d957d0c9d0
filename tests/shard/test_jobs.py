"""Several jobs at once have the result of one after the other, and all end together."""

import threading

import numpy as np
import pytest

from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard.catalogue import open_catalogue
from omnimouse_cli.shard.jobs import JobCancelledError, map_as_completed, number_of_jobs
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess


class Counting(Silent):
    """Adds up the progress of each task; raises KeyboardInterrupt at an advance, if set."""

    def __init__(self, interrupt_at=None):
        self.progress = {}
        self.num_advances = 0
        self.interrupt_at = interrupt_at
        self.lock = threading.Lock()

    def advance(self, task, amount=1.0, note=""):  # noqa: ARG002 - the reporter's signature
        with self.lock:
            self.progress[task] = self.progress.get(task, 0.0) + amount
            self.num_advances += 1
            if self.num_advances == self.interrupt_at:
                raise KeyboardInterrupt


@pytest.fixture
def recordings(make_recording):
    """Five recordings, of which the second and the fourth cannot be used."""
    missing = np.full((900, 6), np.nan, dtype=np.float32)
    bad = {1: {"responses": missing}, 3: {"responses": missing}}
    return [make_recording(session=f"7-1-{n}", seed=n, **bad.get(n, {})) for n in range(5)]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_any_number_of_jobs_gives_the_same_files_in_the_same_order(recordings, tmp_path):
    one = preprocess(recordings, tmp_path / "1", PreprocessOptions(), Silent())
    assert one.jobs == 1
    for jobs in (2, 3, 9):
        out, reporter = tmp_path / str(jobs), Counting()
        result = preprocess(recordings, out, PreprocessOptions(jobs=jobs), reporter)
        assert result.jobs == min(jobs, 5)
        assert (result.written, result.kept) == (("7-1-0", "7-1-2", "7-1-4"), ())
        assert [failure.session for failure in result.failed] == ["7-1-1", "7-1-3"]
        assert [str(f.error) for f in result.failed] == [str(f.error) for f in one.failed]
        assert files(out) == files(tmp_path / "1")
        assert result.catalogue == open_catalogue(out)
        # One bar, which every recording moves by one in all.
        assert reporter.progress == pytest.approx({"sessions": 5.0})
        assert preprocess(recordings, out, PreprocessOptions(jobs=jobs), Silent()).kept == (
            "7-1-0",
            "7-1-2",
            "7-1-4",
        )


@pytest.mark.parametrize("advance", [1, 5, 12])
def test_an_interruption_ends_all_jobs_and_leaves_nothing_half_written(
    make_recording, tmp_path, advance
):
    recordings = [make_recording(session=f"7-1-{number}", seed=number) for number in range(4)]
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt, match=r"sessions in .* kept: \d of 4"):
        preprocess(recordings, out, PreprocessOptions(jobs=2), Counting(advance))
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    assert not [t for t in threading.enumerate() if t.name.startswith("omnimouse-job")]
    kept = {path.stem for path in out.glob("*.safetensors")}
    again = preprocess(recordings, out, PreprocessOptions(jobs=2), Silent())
    assert set(again.kept) == kept
    preprocess(recordings, tmp_path / "one", PreprocessOptions(), Silent())
    assert files(out) == files(tmp_path / "one")


def test_the_work_that_still_runs_is_stopped_when_one_fails():
    running, ended = threading.Event(), []

    def work(number, check):
        if number == 0:
            running.wait()
            raise RuntimeError("the first")
        running.set()
        try:
            while True:
                check()
        except JobCancelledError:
            ended.append(number)
            raise

    with pytest.raises(RuntimeError, match="the first"):
        list(map_as_completed(work, [0, 1, 2, 3], 2))
    # The thread of the first may have begun another item before all were cancelled.
    assert 1 in ended


def test_one_job_works_in_the_calling_thread_and_in_order():
    def work(number, _check):
        return number, threading.current_thread()

    results = list(map_as_completed(work, [3, 1, 2], 1))
    assert results == [(number, (number, threading.current_thread())) for number in (3, 1, 2)]


def test_there_are_never_more_jobs_than_recordings():
    assert number_of_jobs(8, 3) == 3
    assert number_of_jobs(2, 3) == 2
    assert number_of_jobs(None, 1) == 1
    assert number_of_jobs(None, 10**6) >= 1
    with pytest.raises(ValueError, match="`jobs` must be positive: 0"):
        PreprocessOptions(jobs=0)
