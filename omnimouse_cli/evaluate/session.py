"""One session, row by row: every predictor's score on the same windows."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.evaluate.baselines.ceiling import ceiling_problem, known_truth, predict_ceiling
from omnimouse_cli.evaluate.baselines.psth import TrialAverages, predict_psth, trial_averages
from omnimouse_cli.evaluate.baselines.ridge import predict_ridge
from omnimouse_cli.evaluate.baselines.simple import (
    last_seen_sample,
    predict_persistence,
    predict_train_mean,
)
from omnimouse_cli.evaluate.network import Network, predict_network
from omnimouse_cli.evaluate.records import CEILING, MODEL, EvalOptions, Unavailable
from omnimouse_cli.evaluate.rows import rows_of
from omnimouse_cli.evaluate.scorer import Piece, PredictorScore, Scorer
from omnimouse_cli.evaluate.signals import SessionSignals
from omnimouse_cli.evaluate.stimulus import RepeatCells, repeat_cells, stimulus_phases
from omnimouse_cli.evaluate.targets import Asked, asked_of
from omnimouse_cli.evaluate.windows import EvalWindows
from omnimouse_cli.recording.simulated.truth import Truth
from omnimouse_cli.reporter import Reporter

TRAIN_MEAN, PERSISTENCE, PSTH, RIDGE = "train_mean", "persistence", "psth", "ridge"
BASELINES = (RIDGE, PERSISTENCE, PSTH, TRAIN_MEAN)
TASK = "evaluating"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowScores:
    """The scores of one kind of output of a row in one session.

    Args:
        asked: What was predicted.
        scores: By name of the predictor.
        repeat_ceiling: Whether `ceiling` of a score bounds this row.
    """

    asked: Asked
    scores: dict[str, PredictorScore]
    repeat_ceiling: bool

    def without_traces(self) -> "RowScores":
        """The same scores in less memory."""
        scores = {
            name: replace(score, trace=score.trace[:0]) for name, score in self.scores.items()
        }
        return replace(self, scores=scores)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SessionResult:
    """Everything that was scored in a session, and what could not be."""

    rows: tuple[RowScores, ...]
    unavailable: tuple[Unavailable, ...]


class SessionEvaluation:
    """Evaluates the rows of one session; what rows share is computed once.

    Args:
        network: The model.
        options: What is evaluated.
        key: Session key.
        windows: Which windows are scored.
        reporter: Hears of progress, one step for each row.
    """

    def __init__(
        self,
        network: Network,
        options: EvalOptions,
        key: str,
        windows: EvalWindows,
        reporter: Reporter,
    ) -> None:
        self._network = network
        self._options = options
        self._windows = windows
        self._reporter = reporter
        self._signals = SessionSignals(network.dataset, network.run.config.data, key)
        self._averages: TrialAverages | str | None = None
        self._unavailable: list[Unavailable] = []

    def run(self) -> SessionResult:
        """Score every row that the recording has."""
        rows, missing = rows_of(self._signals.session, self._options)
        self._unavailable.extend(missing)
        scores = [score for row in rows for score in self._row(row)]
        return SessionResult(rows=tuple(scores), unavailable=tuple(self._unavailable))

    def _row(self, row: Strategy) -> Iterator[RowScores]:
        asked = [
            part
            for part in asked_of(row.name, row, self._signals, self._windows)
            if self._can_be_scored(part)
        ]
        if asked:
            yield from self._scored(asked)
        self._reporter.advance(TASK, note=f"{self._signals.session.key} {row.name}")

    def _can_be_scored(self, asked: Asked) -> bool:
        if asked.hidden is not None and asked.hidden.all():
            self._miss(asked, None, "every neuron that is asked for is seen")
            return False
        return asked.num_outputs > 0

    def _scored(self, asked: Sequence[Asked]) -> Iterator[RowScores]:
        repeats = [self._repeats(part) for part in asked]
        scorers = [self._scorer(part, cells) for part, cells in zip(asked, repeats, strict=True)]
        for pieces in predict_network(self._network, asked):
            for scorer, piece in zip(scorers, pieces, strict=True):
                scorer.add(piece)
        for part, cells, scorer in zip(asked, repeats, scorers, strict=True):
            scores = {MODEL: scorer.result()}
            if self._options.baselines:
                for name, pieces_of in self._baselines(part):
                    baseline = self._scorer(part, cells)
                    for piece in pieces_of:
                        baseline.add(piece)
                    scores[name] = baseline.result()
            bounded = part.inputs == ("stimulus",) and CEILING not in scores
            yield RowScores(
                asked=part,
                scores=scores,
                repeat_ceiling=bounded and cells is not None and cells.covers_most,
            )

    def _scorer(self, asked: Asked, repeats: RepeatCells | None) -> Scorer:
        return Scorer(
            asked,
            response_loss=self._network.run.response_loss,
            repeats=repeats,
            seed=bootstrap_seed(self._options, self._signals.session.key),
        )

    def _baselines(self, asked: Asked) -> Iterator[tuple[str, Iterator[Piece]]]:
        tiers = self._network.run.config.data.tiers
        truth = known_truth(asked)
        if truth is not None:
            yield from self._known_ceiling(asked, truth)
        ridge = predict_ridge(asked, tiers)
        if isinstance(ridge, str):
            self._miss(asked, RIDGE, ridge)
        else:
            yield RIDGE, ridge
        last_seen = last_seen_sample(asked)
        if last_seen is not None:
            yield PERSISTENCE, predict_persistence(asked, last_seen)
        if "stimulus" in asked.inputs and not asked.behavior:
            averages = self._trial_averages(asked, tiers)
            if isinstance(averages, str):
                self._miss(asked, PSTH, averages)
            else:
                yield PSTH, predict_psth(asked, averages)
        yield TRAIN_MEAN, predict_train_mean(asked)

    def _known_ceiling(self, asked: Asked, truth: Truth) -> Iterator[tuple[str, Iterator[Piece]]]:
        problem = ceiling_problem(asked)
        if problem is None:
            yield CEILING, predict_ceiling(asked, truth)
        else:
            self._miss(asked, CEILING, problem)

    def _trial_averages(self, asked: Asked, tiers: tuple[str, ...]) -> TrialAverages | str:
        if self._averages is None:
            times = self._signals.times(self._windows.grid, asked.samples)
            wanted = stimulus_phases(self._signals.shard, times)
            self._averages = trial_averages(self._signals, tiers, wanted)
        return self._averages

    def _repeats(self, asked: Asked) -> RepeatCells | None:
        # Windows that overlap in what is scored would make repeats out of one trial.
        if asked.behavior or self._options.stride_samples < asked.num_samples:
            return None
        times = self._signals.times(self._windows.grid, asked.samples)
        return repeat_cells(self._signals.shard, times)

    def _miss(self, asked: Asked, predictor: str | None, reason: str) -> None:
        self._unavailable.append(
            Unavailable(
                strategy=asked.row,
                session=self._signals.session.key,
                reason=reason,
                predictor=predictor,
            )
        )


def bootstrap_seed(options: EvalOptions, session: str) -> int:
    """Seed the draws of a session: those of sessions differ, those of its predictors do not."""
    return zlib.crc32(f"{options.seed} {session}".encode())
