"""The progress of one recording: a bar of its own where it is alone, else a share of `sessions`."""

from types import TracebackType

from omnimouse_cli.reporter import Reporter
from omnimouse_cli.shard.jobs import Check


class RecordingProgress:
    """Tells a reporter how far a recording is; as a context it begins and ends with the work.

    Args:
        session: Session key.
        reporter: Has a task `sessions`, in which this recording counts for 1.
        check: Called before anything is told; raises where the work should end.
        is_alone: Whether no other recording is worked on meanwhile.
    """

    def __init__(self, session: str, reporter: Reporter, check: Check, *, is_alone: bool) -> None:
        self._session = session
        self._reporter = reporter
        self._check = check
        self._is_alone = is_alone
        self._share = 0.0

    def __enter__(self) -> "RecordingProgress":
        """Begin."""
        if self._is_alone:
            self._reporter.start(self._session, 1.0)
        return self

    def advance(self, share: float) -> None:
        """Add a share of the recording."""
        self._check()
        if self._is_alone:
            self._reporter.advance(self._session, share)
        else:
            self._share += share
            self._reporter.advance("sessions", share)

    def end(self) -> None:
        """Count the recording as done, whatever was told before."""
        self._reporter.advance("sessions", 1.0 - self._share)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End; a recording that failed counts as done, and what was interrupted does not."""
        if self._is_alone:
            self._reporter.finish(self._session)
        if kind is None:
            self.end()
