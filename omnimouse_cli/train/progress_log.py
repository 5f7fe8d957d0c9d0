"""What training tells while it runs: lines of metrics.jsonl, and progress for who watches."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.metrics_log import MetricsLog, Progress, StepMetrics
from omnimouse_cli.text import format_magnitude
from omnimouse_cli.train.schedule import Length
from omnimouse_cli.train.state import Counters
from omnimouse_cli.train.step import StepResult
from omnimouse_cli.train.validate import Validation

TASK = "training"
# Reading a loss waits for the GPU; a watcher does not read faster than this.
NOTE_SECONDS = 0.5
# Where there is no bar, in the log of a job queue, a line now and then shows that it goes on.
SAY_SECONDS = 300.0
# Weight of the newest loss in the running mean that a watcher sees.
SMOOTHING = 0.05


class ProgressLogger:
    """Measures rates, writes the journal and moves the progress bar, on the first rank only.

    Args:
        log: Where lines go; None on other ranks.
        reporter: Who watches.
        log_every: Steps between lines.
        epoch_of: Passes over the data after so many steps.
        start: Where training stands at the beginning.
        look_always: Whether every loss is checked, which on a GPU would cost time.
    """

    def __init__(
        self,
        log: MetricsLog | None,
        reporter: Reporter,
        *,
        log_every: int,
        epoch_of: Callable[[int], float],
        start: Counters,
        look_always: bool,
    ) -> None:
        self._log, self._reporter = log, reporter
        self._log_every, self._epoch_of, self._look_always = log_every, epoch_of, look_always
        self._first_step = start.step
        self._wait_seconds = 0.0
        self._line_windows, self._line_time = start.windows, time.perf_counter()
        self._note_time, self._note = 0.0, ""
        self._say_time = time.perf_counter()
        self._rates = _Rates(start)
        self._smoothed: list[float | None] = [None, None]
        self._reported = 0.0

    @contextmanager
    def shown(self, counters: Counters, length: Length) -> Iterator[None]:
        """Show a bar from where training stands, for as long as the block."""
        self._reporter.start(TASK, 1.0)
        self._advance(counters, length)
        try:
            yield
        finally:
            self._reporter.finish(TASK)

    def tell_step(self, result: StepResult, counters: Counters, length: Length) -> None:
        """Take in a step that was done.

        Raises:
            OmniMouseError: The loss is no number any more.
        """
        self._wait_seconds += result.wait_seconds
        is_logged = counters.step % self._log_every == 0 or counters.step == 1
        is_noted = time.perf_counter() - self._note_time > NOTE_SECONDS
        if is_logged or is_noted or self._look_always:
            losses = result.losses()
            _require_number(losses[0], counters.step)
            self._smooth(losses[1:])
            if is_logged and self._log is not None:
                self._log.log_step(self._line(result, losses, counters))
            if is_noted:
                self._note_time = time.perf_counter()
                self._note = self._describe(counters)
                if self._note_time - self._say_time > SAY_SECONDS:
                    self._say_time = self._note_time
                    self._reporter.say(self._note)
        self._advance(counters, length)

    def tell_validation(self, validation: Validation, counters: Counters) -> None:
        """Take in a validation."""
        if self._log is not None:
            self._log.log_validation(
                self._progress(counters), [record.to_dict() for record in validation.records]
            )
        if validation.neural_loss is not None:
            self._reporter.say(
                f"step {counters.step}: validation loss {validation.neural_loss:.4f}"
            )

    def _line(
        self, result: StepResult, losses: list[float | None], counters: Counters
    ) -> StepMetrics:
        now = time.perf_counter()
        rate = (counters.windows - self._line_windows) / max(now - self._line_time, 1e-9)
        line = StepMetrics(
            progress=self._progress(counters),
            loss=losses[0],
            losses={"neural": losses[1], "behavior": losses[2]},
            learning_rate=result.learning_rate,
            gradient_norm=float(result.gradient_norm),
            windows_per_second=rate,
            wait_seconds=self._wait_seconds,
            strategy=result.strategy.name,
            is_short=result.is_short,
        )
        self._line_windows, self._line_time, self._wait_seconds = counters.windows, now, 0.0
        return line

    def _progress(self, counters: Counters) -> Progress:
        return Progress(
            step=counters.step,
            epoch=self._epoch_of(counters.step),
            windows=counters.windows,
            tokens=counters.tokens,
        )

    def _smooth(self, losses: list[float | None]) -> None:
        for place, loss in enumerate(losses):
            before = self._smoothed[place]
            if loss is not None:
                self._smoothed[place] = (
                    loss if before is None else before + SMOOTHING * (loss - before)
                )

    def _describe(self, counters: Counters) -> str:
        words = [
            f"{name} {loss:.3f}"
            for name, loss in zip(("neural", "behavior"), self._smoothed, strict=True)
            if loss is not None
        ]
        windows, tokens = self._rates.read(counters)
        return " · ".join(
            [
                f"step {counters.step}",
                *words,
                f"{windows:.0f} windows/s",
                f"{format_magnitude(tokens)} tokens/s",
            ]
        )

    def _advance(self, counters: Counters, length: Length) -> None:
        done = min(length.share_done(counters.step, counters.elapsed_seconds), 1.0)
        self._reporter.advance(TASK, done - self._reported, self._note)
        self._reported = done


class _Rates:
    """Windows and tokens per second since the beginning of this sitting."""

    def __init__(self, start: Counters) -> None:
        self._windows, self._tokens = start.windows, start.tokens
        self._time = time.perf_counter()

    def read(self, counters: Counters) -> tuple[float, float]:
        seconds = max(time.perf_counter() - self._time, 1e-9)
        return (
            (counters.windows - self._windows) / seconds,
            (counters.tokens - self._tokens) / seconds,
        )


def _require_number(loss: float | None, step: int) -> None:
    if loss is not None and not math.isfinite(loss):
        raise OmniMouseError(
            f"the loss of step {step} is not a finite number: {loss}",
            hint="lower train.learning_rate, or set train.clip_norm, and resume from the last "
            "checkpoint",
        )
