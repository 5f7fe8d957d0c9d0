"""Finds the rank because of which training ends: dead, failed, silent or stuck."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.training.interrupt import interruption

# Interval of heartbeats, and the longest delay of one on a busy machine.
BEAT_SECONDS = 1.0
LATE_SECONDS = 10.0
# Time in which the consequences of a failure on other ranks are reported, too.
GATHER_SECONDS = 2.0
RESTART_HINT = "--resume continues from the last checkpoint, --restarts N does so by itself"


class RankFailedError(OmniMouseError):
    """A rank died, hangs or failed; starting again may help.

    Args:
        message: One sentence.
        hint: What the user can do about it.
        rank: The rank that is the reason; None if no single one is.
        step: Last step of that rank.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, rank: int | None, step: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.rank = rank
        self.step = step


def is_reporter(error: BaseException, rank: int) -> bool:
    """Return whether a rank is the one that shows an error to the user.

    Args:
        error: What ends all ranks.
        rank: Number of the rank. The first one shows errors; if it is the one that failed, the
            second.
    """
    failed = error.rank if isinstance(error, RankFailedError) else None
    return rank == (1 if failed == 0 else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a rank leaves before the end.

    Args:
        kind: `error` is the user's, `bug` any other exception, `lost` a connection to another rank
            that broke, `interrupted` a signal.
        message: One sentence.
        hint: What the user can do about it.
        number: Number of the signal; 0 without.
    """

    kind: Literal["error", "bug", "lost", "interrupted"]
    message: str
    hint: str | None = None
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a rank reports about itself with every heartbeat.

    Args:
        rank: Number of the rank among all, from 0.
        host: Name of its machine.
        process: Process number on that machine.
        step: Last optimizer step that it has begun or finished.
        phase: What its main thread does.
        is_waiting: Whether its main thread waits for other ranks.
        idle_seconds: Time since its main thread has made progress.
        patience_seconds: Longest time without progress that is normal in this phase.
        signal: Number of the signal that asked it to stop; 0 without.
        failure: Why it leaves before the end; None if it does not.
        has_left: Whether it has finished.
    """

    rank: int
    host: str
    process: int
    step: int
    phase: str
    is_waiting: bool
    idle_seconds: float
    patience_seconds: float
    signal: int = 0
    failure: Failure | None = None
    has_left: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Status":
        """Build a status from what `dataclasses.asdict` made of it."""
        failure = values["failure"]
        return cls(**{**values, "failure": None if failure is None else Failure(**failure)})


@dataclass(frozen=True, slots=True, kw_only=True)
class RankState:
    """State of a rank as another one knows it.

    Args:
        status: What it reported with its last heartbeat.
        silent_seconds: Time since that heartbeat.
        lost_seconds: Time since its connection broke without a reason; None if it did not.
        failed_seconds: Time since it reported a failure; None if it did not.
    """

    status: Status
    silent_seconds: float = 0.0
    lost_seconds: float | None = None
    failed_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why the training ends, the same on every rank that receives it.

    Args:
        kind: As in `Failure`, or `silent` and `stuck` for a rank that does not fail by itself.
        rank: The rank that is the reason; None if no single one is.
        step: Its last step.
        message: One sentence.
        hint: What the user can do about it.
        number: Number of the signal; 0 without.
    """

    kind: Literal["error", "bug", "lost", "interrupted", "silent", "stuck"]
    rank: int | None
    step: int
    message: str
    hint: str | None = None
    number: int = 0

    def exception(self) -> BaseException:
        """Return the exception that ends a rank."""
        if self.kind == "interrupted":
            return interruption(self.number, self.message)
        if self.kind == "error":
            return OmniMouseError(self.message, hint=self.hint)
        return RankFailedError(self.message, hint=self.hint, rank=self.rank, step=self.step)


def judge(
    states: Mapping[int, RankState], num_ranks: int, silence_seconds: float
) -> Verdict | None:
    """Return why the training cannot go on; None if it can, or if it is too early to say.

    Args:
        states: State of each rank, of all or of some.
        num_ranks: World size.
        silence_seconds: Longest time without a heartbeat.
    """
    present = {rank: item for rank, item in states.items() if not item.status.has_left}
    ended = {
        rank: (item.failed_seconds or 0.0, item.lost_seconds or 0.0)
        for rank, item in present.items()
        if item.failed_seconds is not None or item.lost_seconds is not None
    }
    if ended:
        return _judge_failures(present, ended, num_ranks)
    silent = [item for item in present.values() if item.silent_seconds > silence_seconds]
    if silent:
        longest = _catch_up(max(silent, key=lambda item: item.silent_seconds), present)
        return _verdict(
            longest,
            num_ranks,
            "silent",
            f"has been silent for {longest.silent_seconds:.0f} s{_where(longest, present)}",
        )
    if any(item.silent_seconds > LATE_SECONDS for item in present.values()):
        # What a silent rank reported last may no longer be true.
        return None
    return _judge_progress(present, num_ranks, silence_seconds)


def _judge_failures(
    present: Mapping[int, RankState], ended: Mapping[int, tuple[float, float]], num_ranks: int
) -> Verdict | None:
    """Judge ranks that have ended: the times since they failed and since they were lost."""
    is_complete = len(ended) == num_ranks == len(present)
    if not is_complete and max(max(seconds) for seconds in ended.values()) < GATHER_SECONDS:
        return None
    lost = [present[rank] for rank in ended if present[rank].status.failure is None]
    if lost:
        item = _catch_up(max(lost, key=lambda item: item.lost_seconds or 0.0), present)
        return _verdict(item, num_ranks, "lost", f"died{_at(item.status)}")
    order = ("error", "bug", "interrupted", "lost")
    failed = [(rank, present[rank].status.failure) for rank in ended]
    rank, failure = min(
        ((rank, failure) for rank, failure in failed if failure is not None),
        key=lambda pair: (order.index(pair[1].kind), -ended[pair[0]][0]),
    )
    item = present[rank]
    if failure.kind in ("error", "interrupted"):
        # The user's error says what is wrong, on whichever rank it was seen.
        return Verdict(
            kind=failure.kind,
            rank=rank,
            step=item.status.step,
            message=failure.message,
            hint=failure.hint,
            number=failure.number,
        )
    kind: Literal["bug", "lost"] = "bug" if failure.kind == "bug" else "lost"
    return _verdict(item, num_ranks, kind, f"failed{_at(item.status)}: {failure.message}")


def _judge_progress(
    present: Mapping[int, RankState], num_ranks: int, silence_seconds: float
) -> Verdict | None:
    idle = {rank: item.status.idle_seconds + item.silent_seconds for rank, item in present.items()}
    stuck = {
        rank: seconds
        for rank, seconds in idle.items()
        if not present[rank].status.is_waiting and seconds > present[rank].status.patience_seconds
    }
    if stuck:
        rank = max(stuck, key=stuck.__getitem__)
        return _verdict(
            present[rank],
            num_ranks,
            "stuck",
            f"has made no progress for {stuck[rank]:.0f} s{_where(present[rank], present)}",
        )
    if len(present) < num_ranks or not all(item.status.is_waiting for item in present.values()):
        return None
    if min(idle.values()) <= silence_seconds:
        return None
    first = present[min(present)]
    states = "; ".join(f"rank {rank}{_at(item.status)}" for rank, item in sorted(present.items()))
    return Verdict(
        kind="stuck",
        rank=None,
        step=first.status.step,
        message=f"all {num_ranks} ranks have waited for each other for "
        f"{min(idle.values()):.0f} s: {states}",
        hint=f"the network between them may be broken; {RESTART_HINT}",
    )


def _verdict(
    item: RankState, num_ranks: int, kind: Literal["bug", "lost", "silent", "stuck"], text: str
) -> Verdict:
    status = item.status
    return Verdict(
        kind=kind,
        rank=status.rank,
        step=status.step,
        message=f"rank {status.rank} of {num_ranks} ({status.host}, process {status.process}) "
        f"{text}",
        hint=RESTART_HINT,
    )


def _catch_up(item: RankState, present: Mapping[int, RankState]) -> RankState:
    """Return the state of a rank that has ended without a report, with the step that it reached.

    A step needs all ranks: this one has begun the step before that of the others, if no later one.
    """
    rank = item.status.rank
    others = [other.status.step for other in present.values() if other.status.rank != rank]
    step = min(others, default=0) - 1
    if step <= item.status.step:
        return item
    return replace(item, status=replace(item.status, step=step, phase="training"))


def _at(status: Status) -> str:
    """Return where a rank is, to be appended to a sentence about it."""
    return f" in {status.phase}" if status.step == 0 else f" at step {status.step} ({status.phase})"


def _where(item: RankState, present: Mapping[int, RankState]) -> str:
    """Return where a rank is, and the others, to be appended to a sentence about it."""
    steps = {rank: other.status.step for rank, other in sorted(present.items())}
    del steps[item.status.rank]
    if len(set(steps.values())) == 1:
        others = f"; the others are at step {next(iter(steps.values()))}"
    else:
        others = "".join(f"; rank {rank} is at step {step}" for rank, step in steps.items())
    return _at(item.status) + others
