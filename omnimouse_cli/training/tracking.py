"""Feeds experiment trackers from the metrics log: the same numbers, one curve over all resumes.

Each start of a training writes the whole curve of metrics.jsonl into the tracker, in place of what
an earlier start wrote there: no step is in it twice and none is missing, also after a kill.
"""

import contextlib
import io
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omnimouse_cli.config.convert import flatten, to_dict
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.evaluation.records import LOSS, MODEL, NEURONS, OVERALL
from omnimouse_cli.files import read_document, write_document
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.metrics_log import MetricsLog, read_metrics
from omnimouse_cli.training.trackers import (
    NONE,
    TRACKERS,
    TrackedRun,
    Tracker,
    is_installed,
)

TRACKING = "tracking.json"
# Fields of a line that are its position.
_STEP, _VALIDATION = "step", "validation"


@contextlib.contextmanager
def track_run(
    log: MetricsLog | None,
    run: Path,
    config: RunConfig,
    names: Sequence[str],
    reporter: Reporter,
) -> Iterator[None]:
    """Feed trackers with every line of the metrics log for as long as the block.

    Args:
        log: The metrics log; None on ranks that write none.
        run: Folder of the run; tracking.json in it keeps its id and its trackers.
        config: Resolved configuration.
        names: Trackers that are added to those of earlier starts; `none` ends all of them.
        reporter: Is warned of a tracker that cannot go on; the training does.
    """
    if log is None or not (names or (run / TRACKING).exists()):
        yield
        return
    identity, chosen = _remember(run, names)
    tracked = TrackedRun(folder=run, id=identity, config=flatten(to_dict(config)))
    feeds = [_Feed(name, tracked, reporter) for name in chosen]
    lines = read_metrics(run)
    for feed in feeds:
        feed.add(lines)
        log.listeners.append(feed.add)
    try:
        yield
    finally:
        log.listeners.clear()
        for feed in feeds:
            feed.close()


def _remember(run: Path, names: Sequence[str]) -> tuple[str, list[str]]:
    """Return the id and the trackers of a run, those of earlier starts first, and keep them."""
    path = run / TRACKING
    stored = read_document(path, "tracking") if path.exists() else {}
    identity = str(stored.get("id") or secrets.token_hex(4))
    before = [name for name in stored.get("trackers", ()) if name in TRACKERS]
    chosen = [] if NONE in names else list(dict.fromkeys([*before, *names]))
    write_document(path, "tracking", {"id": identity, "trackers": chosen})
    return identity, chosen


class _Feed:
    """Passes lines of the metrics log to one tracker, until that fails.

    Args:
        name: Name of the tracker.
        run: The run.
        reporter: Is warned when the tracker fails.
    """

    def __init__(self, name: str, run: TrackedRun, reporter: Reporter) -> None:
        self._name, self._reporter = name, reporter
        self._tracker: Tracker | None = None
        self._seen: set[tuple[int, bool]] = set()
        if not is_installed(name):
            reporter.warn(
                f"this run is tracked with {name}, which is not installed here: its next start "
                f"with pip install 'omnimouse[{name}]' writes what is missing there"
            )
            return
        with self._guard():
            self._tracker = TRACKERS[name](run)
            reporter.say(f"tracked with {name}: {self._tracker.view}")

    def add(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Log lines in their order; a step, and the validation after it, count once."""
        for step, values in tracked_values(lines, self._seen):
            if self._tracker is not None:
                with self._guard():
                    self._tracker.log(step, values)

    def close(self) -> None:
        """Close the tracker."""
        if self._tracker is not None:
            with self._guard():
                self._tracker.close()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            # stdout is for results, and libraries print there.
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except Exception as error:
            # Whatever a foreign library raises, the training is worth more than its picture.
            self._tracker = None
            self._reporter.warn(
                f"{self._name} has failed and is left alone until the next start: {error}; "
                "metrics.jsonl has every number"
            )


def tracked_values(
    lines: Iterable[Mapping[str, Any]], seen: set[tuple[int, bool]]
) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the numbers of each step and of each validation of the metrics log.

    Args:
        lines: Lines of metrics.jsonl; those of a validation follow each other.
        seen: Steps and validations that are left out; those that are yielded are added.

    Yields:
        The step, and numbers by names such as `training/losses/neural` and
        `validation/forecast/neurons/loss`, which are over all sessions.
    """
    groups: dict[tuple[int, bool], list[Mapping[str, Any]]] = {}
    for line in lines:
        groups.setdefault((line[_STEP], _VALIDATION in line), []).append(line)
    for key, group in groups.items():
        if key in seen:
            continue
        seen.add(key)
        step, is_validation = key
        values = _validation_values(group) if is_validation else _training_values(group[-1])
        if values:
            yield step, values


def _training_values(line: Mapping[str, Any]) -> dict[str, float]:
    flat = flatten({name: value for name, value in line.items() if name != _STEP})
    return {
        f"training/{name.replace('.', '/')}": value
        for name, value in flat.items()
        if type(value) in (int, float)
    }


def _validation_values(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the values over all sessions, and the mean neural loss over masking strategies."""
    records = [line[_VALIDATION] for line in lines]
    overall = [
        record for record in records if record["session"] == OVERALL and record["value"] is not None
    ]
    values = {
        "/".join(
            [
                "validation",
                *(record[name] for name in ("strategy", "target", "metric")),
                *([record["predictor"]] if record["predictor"] != MODEL else []),
            ]
        ): record["value"]
        for record in overall
    }
    wanted = (NEURONS, LOSS, MODEL)
    neural = [
        record["value"]
        for record in overall
        if (record["target"], record["metric"], record["predictor"]) == wanted
    ]
    return {**values, **({"validation/neural_loss": float(np.mean(neural))} if neural else {})}
