"""metrics.jsonl: one typed line per logged step and per validation record."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from omnimouse_cli.files import to_json_value, translate_full_disk, write_text

METRICS = "metrics.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How much training there was.

    Args:
        step: Optimizer steps done.
        epoch: Passes over the data, with fractions.
        windows: Windows seen, over all ranks.
        tokens: Neurons times stored samples seen, over all ranks.
    """

    step: int
    epoch: float
    windows: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """One logged step.

    Args:
        progress: How much training there was, this step included.
        loss: What was minimised in this step; None where nothing was asked.
        losses: The same per modality, `neural` and `behavior`; None where it was not asked.
        learning_rate: Of the shared core.
        gradient_norm: Of the shared core, before clipping.
        windows_per_second: Over all ranks, since the line before.
        wait_seconds: Waited for the loader on the first rank, since the line before.
        strategy: Name of the masking strategy.
        is_short: Whether only the ways past the transformer learned.
    """

    progress: Progress
    loss: float | None
    losses: Mapping[str, float | None]
    learning_rate: float
    gradient_norm: float
    windows_per_second: float
    wait_seconds: float
    strategy: str
    is_short: bool


class Journal:
    """Appends lines to a run's metrics.jsonl; what a killed run wrote too much is dropped first.

    Args:
        run: The run's folder.
        step: Lines of later steps are dropped: the checkpoint that training goes on from.
    """

    def __init__(self, run: Path, *, step: int) -> None:
        self._path = run / METRICS
        keep_until(self._path, step)
        self._stream = self._path.open("a")

    def log_step(self, line: StepLine) -> None:
        """Append a step."""
        values = asdict(line)
        self._append({**values.pop("progress"), **values})

    def log_validation(self, progress: Progress, records: list[dict[str, Any]]) -> None:
        """Append one line for each record of a validation.

        A run that was killed after its last validation makes it again: lines of before go.
        """
        lines = read_lines(self._path)
        kept = [x for x in lines if x["step"] != progress.step or "validation" not in x]
        if len(kept) < len(lines):
            self._stream.close()
            _write_lines(self._path, kept)
            self._stream = self._path.open("a")
        for record in records:
            self._append({**asdict(progress), "validation": record})

    def _append(self, values: Mapping[str, Any]) -> None:
        with translate_full_disk(self._path):
            self._stream.write(json.dumps(to_json_value(values), allow_nan=False) + "\n")
            # Whoever watches the file, or kills us, sees whole lines.
            self._stream.flush()

    def __enter__(self) -> Self:
        """Give the journal."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._stream.close()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read the whole lines of a metrics file; one that a kill cut short is not there yet."""
    if not path.exists():
        return []
    return [
        json.loads(line)
        for line in path.read_text().splitlines(keepends=True)
        if line.endswith("\n")
    ]


def keep_until(path: Path, step: int) -> None:
    """Drop the lines of steps after `step`, and a line that was cut short."""
    _write_lines(path, [line for line in read_lines(path) if line["step"] <= step])


def _write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
