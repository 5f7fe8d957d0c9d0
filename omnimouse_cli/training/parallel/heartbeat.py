"""Heartbeats: every rank reports its state to the first one, which reports failures to all."""

import dataclasses
import json
import multiprocessing
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import write_text
from omnimouse_cli.training.interrupt import Interrupt, exit_code, signal_of
from omnimouse_cli.training.parallel.verdict import (
    BEAT_SECONDS,
    Failure,
    RankFailedError,
    RankState,
    Status,
    Verdict,
    is_reporter,
    judge,
)

# Longest time without progress before the first step and where a phase cannot say how long it
# takes: loading, compilation, a validation, a checkpoint.
LONG_SECONDS = 1800.0
# A step that takes this many times the longest one so far counts as stuck.
SLOW_STEPS = 10.0
# Time between the verdict and the end of a process whose main thread is stuck.
LEAVE_SECONDS = 3.0
LEAVE_STOPPED_SECONDS = 20.0
# Longest wait of a rank that fails for the verdict.
VERDICT_SECONDS = 8.0
TORCHRUN_SECONDS = 18.0
# Environment variable: the file into which a rank writes why it ends.
REPORT_FILE = "OMNIMOUSE_RANK_REPORT"


class Activity:
    """What the main thread of a rank is doing; its heartbeat thread reads it.

    Args:
        silence_seconds: Longest time that another rank may be silent or without progress; None
            for any time.
    """

    def __init__(self, silence_seconds: float | None = None) -> None:
        self.silence_seconds = silence_seconds
        self.interrupt = Interrupt()
        # Of the first signal that another rank got; 0 before.
        self.remote_signal = 0
        self.step = 0
        self.phase = "loading"
        self.is_waiting = False
        self.failure: Failure | None = None
        self.has_left = False
        self._is_compiling = False
        self._changed = time.monotonic()
        self._step_begun: float | None = None
        self._longest_step = LONG_SECONDS

    def begin(self, phase: str, *, step: int | None = None) -> None:
        """Begin a phase of training, in messages as `at step 7 (validation)`.

        Args:
            phase: Noun: `training`, `validation`, `checkpoint`.
            step: Optimizer steps so far; None if it has not changed.
        """
        now = time.monotonic()
        if self.phase == "training" and self._step_begun is not None:
            longest = 0.0 if self._longest_step == LONG_SECONDS else self._longest_step
            self._longest_step = max(longest, now - self._step_begun)
        self._step_begun = now if phase == "training" else None
        self.phase, self.step = phase, self.step if step is None else step
        self._changed = now

    def tick(self) -> None:
        """Record progress of the main thread in a long phase."""
        self._changed = time.monotonic()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Mark the block as waiting for other ranks; the mark stays if the connection breaks."""
        self.is_waiting, self._changed = True, time.monotonic()
        yield
        self.is_waiting, self._changed = False, time.monotonic()

    def watch_compilation(self) -> None:
        """Allow for the time of compilation, whenever it happens."""
        from torch._dynamo.callback import callback_handler

        callback_handler.register_start_callback(lambda _: self._set_compiling(True))
        callback_handler.register_end_callback(lambda _: self._set_compiling(False))

    def _set_compiling(self, is_compiling: bool) -> None:  # noqa: FBT001 - called above only
        self._is_compiling, self._changed = is_compiling, time.monotonic()

    @property
    def patience_seconds(self) -> float:
        """Longest time without progress that is normal now."""
        silence = self.silence_seconds or LONG_SECONDS
        if self.phase != "training" or self._is_compiling:
            return max(silence, LONG_SECONDS)
        return max(silence, min(LONG_SECONDS, SLOW_STEPS * self._longest_step))

    def status(self, rank: int) -> Status:
        """Return what this rank reports about itself."""
        return Status(
            rank=rank,
            host=socket.gethostname(),
            process=os.getpid(),
            step=self.step,
            phase="compilation" if self._is_compiling else self.phase,
            is_waiting=self.is_waiting,
            idle_seconds=time.monotonic() - self._changed,
            patience_seconds=self.patience_seconds,
            signal=self.interrupt.number,
            failure=self.failure,
            has_left=self.has_left,
        )


@dataclasses.dataclass(slots=True, kw_only=True)
class _Peer:
    """A rank whose heartbeats this one receives."""

    link: Connection | None
    status: Status
    received_at: float
    lost_at: float | None = None
    failed_at: float | None = None


class Heartbeat:
    """The thread of a rank that sends its heartbeats and ends the process when a rank has failed.

    The first rank receives the heartbeats of all others and decides; the others receive those of
    the first one, with its decision.

    Args:
        activity: What the main thread does.
        rank: Number of this rank.
        num_ranks: World size.
        links: Connection to each rank whose heartbeats this one receives.
    """

    def __init__(
        self, activity: Activity, rank: int, num_ranks: int, links: Mapping[int, Connection]
    ) -> None:
        self._activity, self._rank, self._num_ranks = activity, rank, num_ranks
        now, unknown = time.monotonic(), activity.status(rank)
        self._peers = {
            peer: _Peer(
                link=link,
                status=dataclasses.replace(
                    unknown, rank=peer, host="unknown", process=0, patience_seconds=LONG_SECONDS
                ),
                received_at=now,
            )
            for peer, link in links.items()
        }
        self._failed_at: float | None = None
        self._verdict: Verdict | None = None
        self._decided = threading.Event()
        self._left = threading.Event()
        self._woken, self._wake = multiprocessing.Pipe(duplex=False)
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def leave(self, failure: Failure | None) -> Verdict | None:
        """End the heartbeats.

        Args:
            failure: Why this rank leaves before the end; None if it has finished.

        Returns:
            Why the training has ended; None if this rank has finished or no verdict has arrived.
        """
        self._activity.failure, self._activity.has_left = failure, failure is None
        self._wake.send_bytes(b".")
        if failure is not None:
            self._decided.wait(VERDICT_SECONDS)
        self._left.set()
        self._thread.join(LEAVE_SECONDS)
        return self._verdict

    def _run(self) -> None:
        beat_at = 0.0
        while not self._decided.is_set():
            links = {peer.link: peer for peer in self._peers.values() if peer.link is not None}
            pause = max(0.0, beat_at - time.monotonic())
            for ready in wait([*links, self._woken], timeout=pause):
                if ready is self._woken:
                    self._woken.recv_bytes()
                    beat_at = 0.0
                else:
                    self._receive(links[ready])  # type: ignore[index]
            if time.monotonic() >= beat_at:
                self._send()
                beat_at = time.monotonic() + BEAT_SECONDS
            if self._activity.has_left:
                return
            self._verdict = self._verdict or self._judge()
            if self._verdict is not None:
                # Passed on before this process can end.
                self._send()
                self._decided.set()
        is_stopping = self._verdict is not None and self._verdict.kind == "interrupted"
        grace = LEAVE_STOPPED_SECONDS if is_stopping else LEAVE_SECONDS
        if not self._left.wait(grace) and self._verdict is not None:
            end_process(self._verdict, self._rank)

    def _receive(self, peer: _Peer) -> None:
        assert peer.link is not None
        try:
            message = json.loads(peer.link.recv_bytes())
        except (EOFError, OSError):
            peer.link.close()
            peer.link = None
            if not peer.status.has_left:
                peer.lost_at = time.monotonic()
            return
        peer.status, peer.received_at = Status.from_dict(message["status"]), time.monotonic()
        if peer.status.failure is not None and peer.failed_at is None:
            peer.failed_at = peer.received_at
        self._activity.remote_signal = self._activity.remote_signal or message["signal"]
        if message["verdict"] is not None:
            self._verdict = Verdict(**message["verdict"])

    def _send(self) -> None:
        status = self._activity.status(self._rank)
        if status.failure is not None and self._failed_at is None:
            self._failed_at = time.monotonic()
        verdict = self._verdict
        message = {
            "status": dataclasses.asdict(status),
            "signal": status.signal or self._activity.remote_signal,
            "verdict": None if verdict is None else dataclasses.asdict(verdict),
        }
        content = json.dumps(message).encode()
        for peer in self._peers.values():
            if peer.link is not None:
                try:
                    peer.link.send_bytes(content)
                except OSError:
                    # Its end is read, too.
                    continue

    def _judge(self) -> Verdict | None:
        now = time.monotonic()
        own = RankState(
            status=self._activity.status(self._rank), failed_seconds=_age(self._failed_at)
        )
        states = {
            rank: RankState(
                status=peer.status,
                silent_seconds=now - peer.received_at,
                lost_seconds=_age(peer.lost_at),
                failed_seconds=_age(peer.failed_at),
            )
            for rank, peer in self._peers.items()
        }
        silence = self._activity.silence_seconds or float("inf")
        if self._rank == 0:
            return judge({self._rank: own, **states}, self._num_ranks, silence)
        # The first rank judges all others, unless it is the one that does not answer.
        (first,) = states.values()
        if first.lost_seconds is None and first.silent_seconds <= silence:
            return None
        if own.failed_seconds is None:
            states[self._rank] = own
        return judge(states, self._num_ranks, silence)


def _age(moment: float | None) -> float | None:
    return None if moment is None else time.monotonic() - moment


def end_process(verdict: Verdict, rank: int) -> NoReturn:
    """End this process at once, whatever its main thread waits for.

    Args:
        verdict: Why; written to the file that OMNIMOUSE_RANK_REPORT names, or else to stderr.
        rank: Number of this rank; only one rank writes to stderr.
    """
    error = verdict.exception()
    if REPORT_FILE in os.environ:
        write_report(error)
    elif is_reporter(error, rank):
        kind = "interrupted" if verdict.kind == "interrupted" else "error"
        hint = f"\n\nhint: {verdict.hint}" if verdict.hint else ""
        sys.stderr.write(f"{kind}: {verdict.message}{hint}\n")
        sys.stderr.flush()
    wait_for_torchrun(error)
    os._exit(exit_code(error) if isinstance(error, KeyboardInterrupt) else 1)


def wait_for_torchrun(error: BaseException) -> None:
    """Wait until torchrun has noticed that a node is gone, where it starts the ranks again.

    It would meet with the dead node once more and give up: it takes a node for alive until 15
    seconds after its last sign. A signal ends the waiting.

    Args:
        error: Why this rank ends.
    """
    has_other_nodes = int(os.environ.get("GROUP_WORLD_SIZE", "1")) > 1
    starts_again = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0
    if isinstance(error, RankFailedError) and has_other_nodes and starts_again:
        with suppress(KeyboardInterrupt):
            time.sleep(TORCHRUN_SECONDS)


def write_report(error: BaseException) -> None:
    """Write why this rank ends, for the launcher, if it has named a file for that."""
    content: dict[str, Any] = dataclasses.asdict(failure_of(error))
    if isinstance(error, RankFailedError):
        content |= {"kind": "failed", "rank": error.rank, "step": error.step}
    elif content["kind"] == "bug":
        content["trace"] = "".join(traceback.format_exception(error))
    # Atomically: the heartbeat thread may write at the same time, and the process may be killed.
    write_text(Path(os.environ[REPORT_FILE]), json.dumps(content))


def failure_of(error: BaseException, *, is_waiting: bool = False) -> Failure:
    """Return the failure that an exception is.

    Args:
        error: The exception.
        is_waiting: Whether it was raised while this rank waited for others: one may have died.
    """
    if isinstance(error, OmniMouseError):
        return Failure(kind="error", message=error.message, hint=error.hint)
    if isinstance(error, KeyboardInterrupt):
        return Failure(kind="interrupted", message=str(error), number=signal_of(error))
    text = f"{type(error).__name__}: {error}".strip()
    return Failure(kind="lost" if is_waiting else "bug", message=text.splitlines()[0])
