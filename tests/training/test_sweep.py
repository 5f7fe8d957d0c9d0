"""Processes share the runs of a sweep: each is trained once, by whoever claims it first."""

import pytest

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.folder import is_finished, lock_run, write_summary
from omnimouse_cli.training.sweep import (
    claim,
    draw_subsets,
    grid,
    is_claimed,
    share,
    train_all,
    unfinished,
    warn_without_locks,
)
from tests.reporter import MessageReporter

CELLS = grid(["nano"], [1, 2, 4], [7])


@pytest.fixture
def root(tmp_path):
    return tmp_path / "sweep"


def finish(root, cell):
    write_summary(root / cell.name, {"by": "a test"})


def train(root, cells=CELLS, *, during=None, reporter=None):
    """Train cells with a training that only writes a summary; return the names of those trained."""
    trained = []

    def train_cell(cell):
        trained.append(cell)
        assert is_claimed(cell, root)
        if during is not None:
            during(cell)
        finish(root, cell)

    failures = train_all(cells, root, train_cell, reporter or Silent())
    return trained, failures


def test_subsets_differ_contain_the_smallest_and_are_the_same_everywhere():
    keys = [f"s{number}" for number in range(8)]
    subsets = draw_subsets(keys, [2, 4, 8], 3)
    assert subsets == draw_subsets(keys, [8, 2, 4], 3)
    assert [len(subsets[count]) for count in (2, 4, 8)] == [1, 3, 1]
    assert subsets[2] == (("s0", "s1"),)
    assert len(set(subsets[4])) == 3
    for one in subsets[4]:
        assert one[:2] == ("s0", "s1")
        assert list(one) == sorted(set(one))
        assert len(one) == 4
    # Where there are no more, all are taken; one alone has the first sessions.
    assert len(draw_subsets(keys, [2, 7], 10)[7]) == 6
    assert draw_subsets(keys, [2, 4], 1) == {2: (("s0", "s1"),), 4: (tuple(keys[:4]),)}


def test_runs_are_named_by_their_subset_where_there_are_several():
    cells = grid(["nano"], [1, 2], [7], {1: 1, 2: 2})
    assert [cell.name for cell in cells] == [
        "nano-sessions1-seed7",
        "nano-sessions2-subset1-seed7",
        "nano-sessions2-subset2-seed7",
    ]


def test_every_run_is_trained_once_and_finished_ones_are_kept(root):
    finish(root, CELLS[1])
    trained, failures = train(root)
    assert trained == [CELLS[0], CELLS[2]]
    assert failures == {}
    assert train(root)[0] == []


def test_a_run_that_another_process_claims_is_skipped_and_said_once(root):
    listener = MessageReporter()
    with claim(CELLS[0], root) as is_free:
        assert is_free
        trained, failures = train(root, reporter=listener)
    assert trained == list(CELLS[1:])
    assert failures == {}
    assert listener.said == [
        "nano-sessions1-seed7 is skipped: another process trains it",
    ]
    # The claim has ended with the block, and nothing was lost.
    assert unfinished(CELLS, root) == [CELLS[0]]
    assert train(root)[0] == [CELLS[0]]


def test_a_run_that_is_resumed_by_hand_is_skipped(root):
    with lock_run(root / CELLS[2].name):
        assert is_claimed(CELLS[2], root)
        assert train(root)[0] == list(CELLS[:2])
    assert not is_claimed(CELLS[2], root)


def test_what_another_process_finishes_meanwhile_is_not_trained_again(root):
    def other_process(cell):
        if cell == CELLS[0]:
            finish(root, CELLS[1])

    assert train(root, during=other_process)[0] == [CELLS[0], CELLS[2]]


def test_a_run_whose_process_was_killed_is_taken_over(root):
    """The other process holds its claim while the first runs are trained, then it dies."""
    other = claim(CELLS[0], root)
    other.__enter__()

    def dies(cell):
        if cell == CELLS[1]:
            other.__exit__(None, None, None)

    assert train(root, during=dies)[0] == [CELLS[1], CELLS[0], CELLS[2]]


def test_a_run_that_fails_is_tried_once_and_stops_no_other(root):
    def fails(cell):
        if cell == CELLS[0]:
            raise OmniMouseError("no luck")

    listener = MessageReporter()
    trained, failures = train(root, during=fails, reporter=listener)
    assert trained == list(CELLS)
    assert {cell.name: error.message for cell, error in failures.items()} == {
        "nano-sessions1-seed7": "no luck"
    }
    assert listener.warnings == ["nano-sessions1-seed7: no luck"]
    assert not is_finished(root / CELLS[0].name)


def test_an_interruption_says_what_is_kept(root):
    def stop(cell):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="run the same command again to continue"):
        train(root, during=stop)
    assert not is_claimed(CELLS[0], root)


@pytest.mark.parametrize("num_tasks", [1, 2, 3, 5])
def test_shares_are_the_grid_each_run_once(num_tasks):
    shares = [share(CELLS, task, num_tasks) for task in range(1, num_tasks + 1)]
    assert sorted(cell.name for cells in shares for cell in cells) == sorted(
        cell.name for cell in CELLS
    )


def test_a_file_system_without_locks_is_warned_of(root, monkeypatch):
    monkeypatch.setattr("omnimouse_cli.training.sweep.lock", lambda _, **options: not options)
    listener = MessageReporter()
    warn_without_locks(root, listener)
    assert "has no locks: do not run this sweep twice at once" in listener.warnings[0]
