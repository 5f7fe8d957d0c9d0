"""Heartbeats between ranks that are threads here, and a store that was used before."""

import threading
import time

import pytest
from torch._C._distributed_c10d import TCPStore

from omnimouse_cli.training.parallel import heartbeat, verdict
from omnimouse_cli.training.parallel.heartbeat import Activity, Failure, Heartbeat
from omnimouse_cli.training.parallel.meet import Hub, connect, meet
from omnimouse_cli.training.parallel.verdict import Verdict

HOST = "127.0.0.1"


@pytest.fixture(autouse=True)
def short_times(monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(verdict, "GATHER_SECONDS", 0.2)
    # A machine under load delays beats; no rank is late here.
    monkeypatch.setattr(verdict, "LATE_SECONDS", 1e9)


@pytest.fixture
def ends(monkeypatch) -> list[Verdict]:
    """What ranks would have ended their process with."""
    ended: list[Verdict] = []
    monkeypatch.setattr(heartbeat, "end_process", lambda verdict, _rank: ended.append(verdict))
    monkeypatch.setattr(heartbeat, "LEAVE_SECONDS", 0.3)
    return ended


def in_threads(*functions):
    """Return the results of functions that run at the same time."""
    results = [None] * len(functions)

    def run(index):
        results[index] = functions[index]()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def start(num_ranks, silence_seconds=1e9):
    """Return activities and heartbeats of ranks, and the connections of all but the first."""
    hub = Hub(HOST)
    joins = [lambda rank=rank: connect(hub.address, hub.token, rank) for rank in range(num_ranks)]
    links, *members = in_threads(lambda: hub.accept(num_ranks), *joins[1:])
    activities = [Activity(silence_seconds) for _ in range(num_ranks)]
    links_of = [links, *({0: link} for link in members)]
    beats = [
        Heartbeat(activities[rank], rank, num_ranks, links_of[rank]) for rank in range(num_ranks)
    ]
    return activities, beats, members


def test_ranks_that_finish_leave_without_a_verdict(ends):
    activities, beats, _ = start(3)
    activities[1].begin("training", step=5)
    assert in_threads(*(lambda beat=beat: beat.leave(None) for beat in beats)) == [None] * 3
    assert not ends


def test_a_signal_of_one_rank_reaches_all(ends):
    activities, beats, _ = start(3)
    activities[2].interrupt.number = 10
    deadline = time.monotonic() + 30
    while not all(activity.remote_signal for activity in activities[:2]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    in_threads(*(lambda beat=beat: beat.leave(None) for beat in beats))
    assert not ends


def test_a_failure_of_one_rank_ends_those_that_are_stuck(ends):
    activities, beats, _ = start(3)
    activities[1].begin("training", step=5)
    own = beats[1].leave(Failure(kind="bug", message="KeyError: 'x'"))
    assert (own.rank, own.kind) == (1, "bug")
    for beat in (beats[0], beats[2]):
        beat._thread.join(30)
    assert [item.message for item in ends] == [own.message] * 2
    assert "failed at step 5 (training): KeyError: 'x'" in own.message


def test_a_rank_that_dies_is_named_to_the_others(ends):
    activities, beats, members = start(3)
    activities[1].begin("training", step=7)
    time.sleep(0.2)
    # As the system does when a process dies.
    beats[1]._decided.set()
    beats[1]._left.set()
    beats[1]._thread.join()
    members[0].close()
    reason = beats[2].leave(Failure(kind="lost", message="Connection closed by peer"))
    assert (reason.kind, reason.rank, reason.step) == ("lost", 1, 7)
    beats[0]._thread.join(30)
    assert ends == [reason]


def test_a_stuck_rank_is_told_itself(ends):
    activities, beats, _ = start(2, silence_seconds=0.5)
    for activity in activities:
        activity._longest_step = 0.0
        activity.begin("training", step=3)
    activities[0].is_waiting = True
    for beat in beats:
        beat._thread.join(30)
    assert [item.rank for item in ends] == [1, 1]
    assert "has made no progress" in ends[0].message


def test_whoever_does_not_know_the_token_is_no_rank():
    hub = Hub(HOST)

    def join():
        stranger = connect(hub.address, "wrong", 1)
        rank = connect(hub.address, hub.token, 1)
        return stranger, rank

    links, (_, rank) = in_threads(lambda: hub.accept(2), join)
    links[1].send_bytes(b"hello")
    assert rank.recv_bytes() == b"hello"


def test_ranks_meet_again_at_a_store_that_an_attempt_before_has_used():
    store = TCPStore(HOST, 0, is_master=True, wait_for_workers=False)

    def attempt(num_ranks):
        def join(rank):
            own = TCPStore(HOST, store.port, is_master=False, wait_for_workers=False)
            shared, links = meet(own, HOST, rank, num_ranks)
            if rank == 0:
                shared.set("word", str(num_ranks))
            shared.wait(["word"])
            return shared.get("word"), sorted(links)

        return in_threads(*(lambda rank=rank: join(rank) for rank in range(num_ranks)))

    for num_ranks in (3, 3, 2, 3):
        first, *others = attempt(num_ranks)
        assert first == (str(num_ranks).encode(), [*range(1, num_ranks)])
        assert others == [(str(num_ranks).encode(), [0])] * (num_ranks - 1)


def test_a_phase_that_may_take_long_is_given_time():
    activity = Activity(100.0)
    assert activity.patience_seconds == heartbeat.LONG_SECONDS
    activity.begin("training", step=1)
    assert activity.patience_seconds == heartbeat.LONG_SECONDS
    activity.begin("training", step=2)
    assert activity.patience_seconds == 100.0
    activity._set_compiling(True)
    assert activity.patience_seconds == heartbeat.LONG_SECONDS
    assert activity.status(0).phase == "compilation"
    activity._set_compiling(False)
    activity.begin("validation")
    assert activity.patience_seconds == heartbeat.LONG_SECONDS
