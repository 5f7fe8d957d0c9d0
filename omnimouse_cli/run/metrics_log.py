"""metrics.jsonl: one line per logged training step and per validation record."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import parse_json, to_json_value, translate_full_disk, write_text
from omnimouse_cli.run.folder import METRICS


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Amount of training so far, over all ranks.

    Args:
        step: Optimizer steps.
        epoch: Epochs: `tokens` over the unique tokens of the training windows.
        windows: Windows trained on.
        tokens: Neurons times stored samples trained on.
    """

    step: int
    epoch: float
    windows: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Throughput since the line before, and memory so far.

    Args:
        windows_per_second: Mean rate over all ranks.
        tokens_per_second: Neurons times stored samples per second, over all ranks.
        flops_per_second: Estimated floating-point operations of forward and backward passes per
            second, over all ranks; None where the estimate does not hold.
        mfu: Model FLOPs utilization: `flops_per_second` over the peak of all GPUs in bfloat16;
            None where that is not known.
        wait_seconds: Time that the first rank waited for the loader.
        validation_seconds: Time in validations.
        checkpoint_seconds: Time in which checkpoints held up the training.
        peak_memory_bytes: Most memory of the first rank since it began: on a GPU that of PyTorch's
            allocator, on a CPU resident memory.
        peak_reserved_bytes: Most memory that PyTorch's allocator held on the GPU; None on a CPU.
    """

    windows_per_second: float
    tokens_per_second: float
    flops_per_second: float | None
    mfu: float | None
    wait_seconds: float
    validation_seconds: float
    checkpoint_seconds: float
    peak_memory_bytes: int
    peak_reserved_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics:
    """Metrics of one logged step.

    Args:
        progress: Amount of training, including this step.
        loss: Training loss of this step; None if the step had no target.
        losses: Loss per modality, `neural` and `behavior`; None where it had no target.
        learning_rate: Learning rate of the core.
        gradient_norm: L2 norm of the core's gradient before clipping.
        rates: Throughput and memory.
        strategy: Name of the masking strategy.
        shortcuts_only: Whether only the shortcuts and session embeddings were trained.
    """

    progress: Progress
    loss: float | None
    losses: Mapping[str, float | None]
    learning_rate: float
    gradient_norm: float
    rates: Rates
    strategy: str
    shortcuts_only: bool


class MetricsLog:
    """Appends lines to the metrics.jsonl of a run.

    Args:
        run: Folder of the run.
        step: Step of the checkpoint from which training goes on. Lines of later steps, and a last
            line that was cut short, are removed.
    """

    def __init__(self, run: Path, *, step: int) -> None:
        self._run = run
        self._path = run / METRICS
        # Called with the lines that were appended.
        self.listeners: list[Callable[[Sequence[Mapping[str, Any]]], None]] = []
        self._replace(line for line in read_metrics(run) if line["step"] <= step)

    def log_step(self, metrics: StepMetrics) -> None:
        """Append a line with the metrics of a step."""
        values = asdict(metrics)
        self._append([{**values.pop("progress"), **values.pop("rates"), **values}])

    def log_validation(self, progress: Progress, records: Sequence[Mapping[str, Any]]) -> None:
        """Append one line per validation record; lines of an earlier validation at this step go.

        Args:
            progress: Amount of training at the validation.
            records: Fields of each record, as in the output contract.
        """
        lines = read_metrics(self._run)
        kept = [x for x in lines if x["step"] != progress.step or "validation" not in x]
        if len(kept) < len(lines):
            self._replace(kept)
        self._append([{**asdict(progress), "validation": record} for record in records])

    def _append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        stored = [to_json_value(line) for line in lines]
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in stored)
        with translate_full_disk(self._path), self._path.open("a") as stream:
            stream.write(text)
        for listener in self.listeners:
            listener(stored)

    def _replace(self, lines: Iterable[Mapping[str, Any]]) -> None:
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in lines))


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl; a last line that was cut short or damaged is ignored.

    Args:
        run: Folder of the run; without metrics.jsonl the result is empty.

    Raises:
        OmniMouseError: A line before the last one is damaged.
    """
    path = run / METRICS
    if not path.exists():
        return []
    *texts, _cut_short = path.read_bytes().split(b"\n")
    lines = []
    for number, text in enumerate(texts, start=1):
        line = _parse_line(text)
        if line is not None:
            lines.append(line)
        elif number < len(texts):
            # A power failure leaves a damaged end, and nothing else.
            raise OmniMouseError(
                f"line {number} of {path} is damaged: it is no JSON object with a `step`",
                hint="copy the file again, or remove the line",
            )
    return lines


def _parse_line(text: bytes) -> dict[str, Any] | None:
    """Return the object of a line; None if it is damaged."""
    try:
        line = parse_json(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("step"), int) else None
