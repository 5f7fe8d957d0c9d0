"""The rank that is the reason is named, not one of those that wait for it."""

from dataclasses import asdict, replace

import pytest

from omnimouse_cli.errors import OmniMouseError, Terminated
from omnimouse_cli.training.parallel.verdict import (
    Failure,
    RankFailedError,
    RankState,
    Status,
    is_reporter,
    judge,
)

SILENCE = 100.0


def status(rank: int, **changes) -> Status:
    """A rank that waits for the others at step 17."""
    waiting = Status(
        rank=rank,
        host=f"node{rank}",
        process=100 + rank,
        step=17,
        phase="training",
        is_waiting=True,
        idle_seconds=50.0,
        patience_seconds=SILENCE,
    )
    return replace(waiting, **changes)


def states(**of_rank) -> dict[int, RankState]:
    """Three ranks; those that are not given wait."""
    return {rank: of_rank.get(f"r{rank}", RankState(status=status(rank))) for rank in range(3)}


def test_ranks_that_wait_for_one_that_works_are_left_alone():
    busy = status(1, is_waiting=False, idle_seconds=99.0)
    assert judge(states(r1=RankState(status=busy)), 3, SILENCE) is None
    patient = replace(busy, idle_seconds=900.0, patience_seconds=1800.0)
    assert judge(states(r1=RankState(status=patient)), 3, SILENCE) is None


def test_a_silent_rank_is_named_though_the_others_stand_still_too():
    late = RankState(status=status(1, step=16), silent_seconds=101.0)
    others = {"r0": RankState(status=status(0, is_waiting=False, idle_seconds=100.5))}
    verdict = judge(states(r1=late, **others), 3, SILENCE)
    assert (verdict.kind, verdict.rank, verdict.step) == ("silent", 1, 16)
    assert verdict.message == (
        "rank 1 of 3 (node1, process 101) has been silent for 101 s at step 16 (training); "
        "the others are at step 17"
    )
    error = verdict.exception()
    assert isinstance(error, RankFailedError)
    assert "--restarts" in error.hint


def test_a_rank_has_reached_the_step_before_that_of_the_others_whatever_it_reported_last():
    reported = status(1, step=5, phase="checkpoint")
    for state in (
        RankState(status=reported, silent_seconds=101.0),
        RankState(status=reported, lost_seconds=2.5),
    ):
        verdict = judge(states(r1=state), 3, SILENCE)
        assert (verdict.rank, verdict.step) == (1, 16)
        assert "at step 16 (training)" in verdict.message


def test_while_a_rank_is_late_nobody_is_blamed():
    stuck = RankState(status=status(0, is_waiting=False, idle_seconds=150.0))
    assert (
        judge(states(r0=stuck, r1=RankState(status=status(1), silent_seconds=60.0)), 3, 100) is None
    )


def test_a_rank_that_is_stuck_outside_of_the_exchange_is_named():
    stuck = RankState(status=status(2, is_waiting=False, idle_seconds=130.0))
    shorter = RankState(status=status(0, is_waiting=False, idle_seconds=129.0))
    verdict = judge(states(r2=stuck, r0=shorter), 3, SILENCE)
    assert (verdict.kind, verdict.rank) == ("stuck", 2)
    assert "has made no progress for 130 s at step 17 (training)" in verdict.message


def test_where_all_wait_for_each_other_none_is_blamed_alone():
    waiting = {f"r{rank}": RankState(status=status(rank, idle_seconds=101.0)) for rank in range(3)}
    verdict = judge(states(**waiting), 3, SILENCE)
    assert verdict.rank is None
    assert "all 3 ranks have waited for each other for 101 s" in verdict.message
    assert "rank 2 at step 17" in verdict.message
    assert judge(states(), 3, SILENCE) is None


def test_a_dead_rank_is_the_reason_of_the_connections_that_broke():
    broken = Failure(kind="lost", message="RuntimeError: Connection closed by peer")
    victim = RankState(status=status(0, failure=broken), failed_seconds=2.1)
    dead = RankState(status=status(1), lost_seconds=1.9)
    assert judge(states(r0=replace(victim, failed_seconds=0.1)), 3, SILENCE) is None
    verdict = judge(states(r0=victim, r1=dead), 3, SILENCE)
    assert (verdict.kind, verdict.rank) == ("lost", 1)
    assert "rank 1 of 3 (node1, process 101) died at step 17" in verdict.message
    alone = judge(states(r0=victim), 3, SILENCE)
    assert (alone.kind, alone.rank) == ("lost", 0)


def test_a_bug_is_the_reason_of_the_connections_that_broke():
    bug = RankState(
        status=status(2, failure=Failure(kind="bug", message="KeyError: 'x'")), failed_seconds=1.0
    )
    victim = RankState(
        status=status(0, failure=Failure(kind="lost", message="")), failed_seconds=2.5
    )
    verdict = judge(states(r0=victim, r2=bug), 3, SILENCE)
    assert verdict.rank == 2
    assert verdict.message.endswith("failed at step 17 (training): KeyError: 'x'")


def test_an_error_of_the_user_is_the_same_on_every_rank():
    failure = Failure(kind="error", message="the disk is full", hint="free some space")
    full = RankState(status=status(1, failure=failure), failed_seconds=2.5)
    error = judge(states(r1=full), 3, SILENCE).exception()
    assert type(error) is OmniMouseError
    assert (error.message, error.hint) == ("the disk is full", "free some space")


def test_ranks_that_stop_together_are_not_waited_for():
    failure = Failure(kind="interrupted", message="step 17 is saved", number=15)
    stopped = {
        f"r{rank}": RankState(status=status(rank, failure=failure), failed_seconds=0.0)
        for rank in range(3)
    }
    error = judge(states(**stopped), 3, SILENCE).exception()
    assert isinstance(error, Terminated)
    assert (str(error), error.number) == ("step 17 is saved", 15)


@pytest.mark.parametrize(
    ("error", "reporter"),
    [
        (RankFailedError("rank 0 died", rank=0), 1),
        (RankFailedError("rank 1 died", rank=1), 0),
        (RankFailedError("all wait", rank=None), 0),
        # The first rank can still show an error that it has raised itself.
        (OmniMouseError("the disk is full"), 0),
        (Terminated("saved", number=15), 0),
    ],
)
def test_one_rank_shows_an_error(error, reporter):
    assert [rank for rank in range(3) if is_reporter(error, rank)] == [reporter]


def test_a_rank_that_has_finished_is_not_missed():
    done = RankState(status=status(1, has_left=True), silent_seconds=500.0)
    assert judge(states(r1=done), 3, SILENCE) is None


@pytest.mark.parametrize("failure", [None, Failure(kind="error", message="a", hint="b")])
def test_a_status_is_the_same_after_it_was_sent(failure):
    sent = status(3, failure=failure)
    assert Status.from_dict(asdict(sent)) == sent
