"""Scores a run on the windows of a tier: every session, every row, every predictor."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from omnimouse_cli.batch.dataset import Dataset, SessionInfo, require_tiers
from omnimouse_cli.batch.reader import warn_if_not_mapped
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluate.network import Network
from omnimouse_cli.evaluate.records import EvalOptions, Evaluation, Unavailable
from omnimouse_cli.evaluate.rows import require_regime, rows_of
from omnimouse_cli.evaluate.session import TASK, RowScores, SessionEvaluation
from omnimouse_cli.evaluate.tabulate import records_of
from omnimouse_cli.evaluate.traces import Trace, traces_of
from omnimouse_cli.evaluate.windows import EvalWindows, evaluation_windows
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.load import LoadedRun


def evaluate(
    run: LoadedRun, dataset: Dataset, options: EvalOptions, reporter: Reporter
) -> Evaluation:
    """Score a run.

    The same run, shards and options give the same numbers.

    Args:
        run: The model.
        dataset: Sessions that the run knows.
        options: What is evaluated, and how.
        reporter: Hears of progress.

    Returns:
        Records, what the recordings cannot have, correlations of every neuron, traces.

    Raises:
        OmniMouseError: A tier that no trial has or no window fits in, an unknown regime, a device
            that is not there, or nothing to score.
    """
    require_regime(options.regime)
    require_tiers(dataset.sessions, (options.tier,))
    warn_if_not_mapped(dataset, run.config.data, reporter)
    network = Network(
        run=run,
        dataset=dataset,
        device=torch.device(options.device),
        batch_windows=options.batch_windows,
    )
    windows = windows_of(dataset.sessions, options)
    rows: list[RowScores] = []
    unavailable: list[Unavailable] = []
    traces: list[Trace] = []
    sessions = [session for session in dataset.sessions if len(windows[session.key])]
    reporter.start(TASK, sum(len(rows_of(session, options)[0]) for session in sessions))
    for session in dataset.sessions:
        if session not in sessions:
            unavailable += _without_windows(session, options)
            continue
        evaluation = SessionEvaluation(
            network, options, session.key, windows[session.key], reporter
        )
        result = evaluation.run()
        if not traces:
            traces = traces_of(result.rows)
        rows += [row.without_traces() for row in result.rows]
        unavailable += result.unavailable
    reporter.finish(TASK)
    if not rows:
        raise _nothing(options, unavailable)
    return Evaluation(
        records=tuple(records_of(rows, options.tier)),
        unavailable=tuple(unavailable),
        neurons=_neurons(rows),
        traces=tuple(traces),
    )


def windows_of(sessions: Sequence[SessionInfo], options: EvalOptions) -> Mapping[str, EvalWindows]:
    """Find the windows of every session that an evaluation scores.

    Raises:
        OmniMouseError: There is none.
    """
    windows = {
        session.key: evaluation_windows(
            session,
            tier=options.tier,
            include_blanks=options.include_blanks,
            stride_samples=options.stride_samples,
        )
        for session in sessions
    }
    if not any(len(found) for found in windows.values()):
        raise OmniMouseError(
            f"no window of two seconds fits in the trials of tier {options.tier}",
            hint="`omnimouse inspect` lists windows per tier; name another with --tier",
        )
    return windows


def _without_windows(session: SessionInfo, options: EvalOptions) -> list[Unavailable]:
    reason = f"no window of two seconds fits in its trials of tier {options.tier}"
    return [
        Unavailable(strategy=row.name, session=session.key, reason=reason)
        for row in rows_of(session, options)[0]
    ]


def _nothing(options: EvalOptions, unavailable: Sequence[Unavailable]) -> OmniMouseError:
    if unavailable:
        first = unavailable[0]
        return OmniMouseError(
            f"no row of {options.regime} can be scored: {first.strategy} in session "
            f"{first.session}: {first.reason}",
            hint="choose another regime with --regime",
        )
    return OmniMouseError(
        f"--no-stimulus and --no-behavior leave no row of {options.regime}",
        hint="leave one of the two out, or choose another regime",
    )


def _neurons(rows: Sequence[RowScores]) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for row in rows:
        asked = row.asked
        kind = "channels" if asked.behavior else "neurons"
        place = f"{asked.signals.session.key}/{asked.row}/{kind}"
        arrays[f"{place}/index"] = asked.columns
        for predictor, score in row.scores.items():
            arrays[f"{place}/{predictor}"] = score.per_output
    return arrays
