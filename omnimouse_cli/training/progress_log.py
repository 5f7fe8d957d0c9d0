"""Progress of a training: lines of metrics.jsonl, the progress bar, messages to the user."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.metrics_log import MetricsLog, Progress, StepMetrics
from omnimouse_cli.text import format_magnitude, format_percent
from omnimouse_cli.training.data_checks import explain_infinite_loss
from omnimouse_cli.training.schedule import Phase
from omnimouse_cli.training.state import Counters
from omnimouse_cli.training.step import StepResult, TrainingSetup
from omnimouse_cli.training.throughput import Throughput, report_unknown_peak
from omnimouse_cli.training.validation_records import (
    Validation,
    describe_infinite_records,
    describe_validation,
)

PROGRESS_TASK = "training"
# Reading a loss waits for the GPU, so the note beside the progress bar is not renewed every step.
NOTE_SECONDS = 0.5
_JOINS = (
    "the transformer joins the shortcuts (train.shortcuts_first_fraction): the loss may step up "
    "before it falls"
)
_FALLS = "the learning rate begins to fall (train.cooldown_fraction): the loss may step down"
# What is said between two parts of the schedule; nothing about the end of a warm-up.
PHASE_CHANGES: dict[tuple[Phase | None, Phase], str] = {
    (None, "shortcuts"): "only the shortcuts are trained at first (train.shortcuts_first_fraction)",
    ("shortcuts", "warm-up"): _JOINS,
    ("shortcuts", "constant"): _JOINS,
    ("shortcuts", "cool-down"): f"{_JOINS}; {_FALLS}",
    ("warm-up", "cool-down"): _FALLS,
    ("constant", "cool-down"): _FALLS,
}
# Weight of the newest loss in the running mean that the note shows.
SMOOTHING = 0.05


class ProgressLogger:
    """Writes metrics.jsonl and reports progress; every rank has one, the first one writes.

    Args:
        log: metrics.jsonl; None on other ranks.
        reporter: Shows progress.
        setup: `train.log_every` and the duration are used.
        counters: Amount of training, which the training loop updates.
    """

    def __init__(
        self, log: MetricsLog | None, reporter: Reporter, setup: TrainingSetup, counters: Counters
    ) -> None:
        self._log, self._reporter, self._setup, self._counters = log, reporter, setup, counters
        config, world = setup.config.train, setup.world
        # Since this process began for the note, since the line before for metrics.jsonl.
        self._throughput = Throughput(counters, config, world)
        self._since_line = Throughput(counters, config, world)
        report_unknown_peak(config, world, reporter)
        self._note, self._note_time = "", 0.0
        self._phase: Phase | None = None
        self._running_means: dict[str, float] = {}
        self._fraction_shown = 0.0

    @contextmanager
    def progress_bar(self) -> Iterator[None]:
        """Show a progress bar for as long as the block."""
        self._reporter.start(PROGRESS_TASK, 1.0)
        self._advance()
        try:
            yield
        finally:
            self._reporter.finish(PROGRESS_TASK)

    def measure(self, part: Literal["validation", "checkpoint"]) -> AbstractContextManager[None]:
        """Count the time of the block, in which nothing is trained, in the next line.

        Args:
            part: What takes the time.
        """
        return self._since_line.measure(part)

    def log_step(self, result: StepResult) -> None:
        """Log a step that the counters include.

        Raises:
            OmniMouseError: The loss is not finite.
        """
        step = self._counters.step
        self._report_phase()
        self._since_line.add_wait(result.wait_seconds)
        is_logged = step == 1 or step % self._setup.config.train.log_every == 0
        is_noted = time.perf_counter() - self._note_time > NOTE_SECONDS
        # On a CPU, reading the loss costs nothing, and a loss that is not finite shows at once.
        if is_logged or is_noted or self._setup.world.device.type == "cpu":
            loss, neural, behavior = result.losses()
            if loss is not None and not math.isfinite(loss):
                raise explain_infinite_loss(
                    loss,
                    step=step,
                    config=self._setup.config,
                    dataset=self._setup.dataset,
                    exact=self._setup.world.device.type == "cpu",
                )
            self._smooth(neural=neural, behavior=behavior)
            if is_logged and self._log is not None:
                self._log.log_step(self._metrics(result, loss, neural, behavior))
            if is_noted:
                self._renew_note()
        self._advance()

    def log_validation(self, validation: Validation) -> None:
        """Log a validation after the step that the counters include."""
        if self._log is not None:
            records = [record.to_dict() for record in validation.records]
            self._log.log_validation(self._progress(), records)
        problem = describe_infinite_records(validation)
        if problem is not None:
            self._reporter.warn(f"step {self._counters.step}: {problem}")
        elif validation.neural_loss is not None:
            self._reporter.say(
                f"step {self._counters.step}: validation loss {describe_validation(validation)}"
            )

    def _metrics(
        self,
        result: StepResult,
        loss: float | None,
        neural: float | None,
        behavior: float | None,
    ) -> StepMetrics:
        metrics = StepMetrics(
            progress=self._progress(),
            loss=loss,
            losses={"neural": neural, "behavior": behavior},
            learning_rate=result.learning_rate,
            gradient_norm=float(result.gradient_norm),
            rates=self._since_line.rates(),
            strategy=result.strategy.name,
            shortcuts_only=result.shortcuts_only,
        )
        self._since_line.start_over()
        return metrics

    def _progress(self) -> Progress:
        counters = self._counters
        return Progress(
            step=counters.step,
            epoch=self._setup.epochs(counters.tokens),
            windows=counters.windows,
            tokens=counters.tokens,
        )

    def _report_phase(self) -> None:
        """Report a change of the schedule that may show in the loss."""
        before, counters = self._phase, self._counters
        progress = self._setup.duration.progress(counters.step - 1, counters.elapsed_seconds)
        self._phase = self._setup.schedule.phase(progress)
        if self._phase != before and (before, self._phase) in PHASE_CHANGES:
            change = PHASE_CHANGES[before, self._phase]
            self._reporter.say(f"step {counters.step}: {change}")

    def _smooth(self, **losses: float | None) -> None:
        for name, loss in losses.items():
            if loss is not None:
                mean = self._running_means.get(name, loss)
                self._running_means[name] = mean + SMOOTHING * (loss - mean)

    def _renew_note(self) -> None:
        """Describe losses and rates, the rates since this process began."""
        means, rates = self._running_means, self._throughput.rates()
        losses = [f"{name} {means[name]:.3f}" for name in ("neural", "behavior") if name in means]
        parts = [
            f"step {self._counters.step}",
            *losses,
            f"{rates.windows_per_second:.0f} windows/s",
            f"{format_magnitude(rates.tokens_per_second)} tokens/s",
        ]
        if rates.mfu is not None:
            parts.append(f"MFU {format_percent(rates.mfu)}")
        self._note = " · ".join(parts)
        self._note_time = time.perf_counter()

    def _advance(self) -> None:
        counters = self._counters
        fraction = self._setup.duration.fraction_done(counters.step, counters.elapsed_seconds)
        fraction = min(fraction, 1.0)
        self._reporter.advance(PROGRESS_TASK, fraction - self._fraction_shown, self._note)
        self._fraction_shown = fraction
