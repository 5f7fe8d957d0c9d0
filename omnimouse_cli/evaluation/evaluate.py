"""Scores a run on the windows of a tier: every session, masking strategy and predictor.

The path of a number: `evaluate` -> `score_strategies`, in `map_sessions` -> `_score_strategy` -> a
predictor, which takes `Targets` and yields `Piece`s of predictions -> a `Scorer`, which returns
`PredictorScores` with `ScoredValue`s -> comparisons and `EvalRecord`s (tabulate.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from omnimouse_cli.batch.dataset import Dataset, require_tiers
from omnimouse_cli.batch.reader import warn_if_not_mapped
from omnimouse_cli.batch.strategies import training_table
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.baselines.choose import describe_choices
from omnimouse_cli.evaluation.baselines.table import select_baselines
from omnimouse_cli.evaluation.calibration import (
    PREDICTIVE,
    Calibration,
    fit_predictive,
    with_calibration,
)
from omnimouse_cli.evaluation.ceilings import no_repeats_reason
from omnimouse_cli.evaluation.draws import (
    combine_numbers,
    combine_outputs,
    draw_targets,
    draws_at_once,
)
from omnimouse_cli.evaluation.forward import predict_draws
from omnimouse_cli.evaluation.jobs import map_sessions, sessions_at_once
from omnimouse_cli.evaluation.kept import KeptPredictions
from omnimouse_cli.evaluation.records import (
    CEILING,
    MODEL,
    ORACLE,
    EvalOptions,
    Evaluation,
    Unavailable,
)
from omnimouse_cli.evaluation.row import Row, make_row
from omnimouse_cli.evaluation.scored_value import ScoredValue
from omnimouse_cli.evaluation.scorer import PredictorScores, Scorer, no_average_reason
from omnimouse_cli.evaluation.session_reader import F64, I64, SessionReader
from omnimouse_cli.evaluation.stimulus import describe_seen
from omnimouse_cli.evaluation.strategies import evaluated_strategies, require_regime
from omnimouse_cli.evaluation.tabulate import compare_predictors, compare_stimulus, make_records
from omnimouse_cli.evaluation.targets import Targets
from omnimouse_cli.evaluation.traces import Trace, make_trace
from omnimouse_cli.evaluation.windows import (
    EvalWindows,
    describe_held_rows,
    find_windows,
    windows_of_strategy,
)
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.load import LoadedRun
from omnimouse_cli.shard.jobs import Check

PROGRESS_TASK = "evaluating"
NOTHING_RECORDED = "every sample of its targets is lost in the scored windows"


def evaluate(
    run: LoadedRun, dataset: Dataset, options: EvalOptions, reporter: Reporter
) -> Evaluation:
    """Score a run.

    The same run, shards and options give the same numbers.

    Args:
        run: The model.
        dataset: Sessions that the run knows.
        options: What is evaluated, and how.
        reporter: Receives progress, one step for each strategy of a session.

    Returns:
        Records, unavailable strategies and baselines, correlations of every neuron, and traces.

    Raises:
        OmniMouseError: A tier without trials or windows, an unknown regime, or nothing to score.
    """
    require_regime(options.regime)
    select_baselines(options.baselines)
    require_tiers(dataset.sessions, (options.tier,))
    for line in describe_seen([session.shard for session in dataset.sessions], options.tier):
        reporter.say(line)
    for line in describe_held_rows(dataset.sessions):
        reporter.say(line)
    warn_if_not_mapped(dataset, run.config.data, reporter)
    windows = find_windows(
        dataset.sessions, options, require_behavior=run.config.data.require_behavior
    )
    model = run.config.model
    found = {one.key: evaluated_strategies(one, options, model) for one in dataset.sessions}
    reporter.start(PROGRESS_TASK, sum(len(found[key][0]) for key in windows))
    if options.baselines:
        tiers = run.config.data.tiers
        for line in describe_choices(dataset.sessions, tiers, scored_tier=options.tier):
            reporter.say(line)
    kept = KeptPredictions(run.config.data.tiers, reporter)

    def score(key: str, check: Check) -> _SessionScores:
        reader = SessionReader(dataset, run.config.data, key)
        scores = _SessionScores(run, options, reporter, kept, check)
        scores.score_strategies(reader, found[key][0], windows[key])
        return scores

    jobs = sessions_at_once(run, options, len(windows))
    scored = dict(map_sessions(score, list(windows), jobs))
    reporter.finish(PROGRESS_TASK)
    described = kept.describe()
    if described is not None:
        reporter.say(described)
    unavailable: list[Unavailable] = []
    for key, (strategies, reasons) in found.items():
        if key in scored:
            unavailable += [*reasons, *scored[key].unavailable]
        else:
            unavailable += _no_windows(key, strategies, options)
    of_sessions = [scored[key] for key in found if key in scored]
    numbers = [number for one in of_sessions for number in one.numbers]
    if not numbers:
        raise _nothing_scored(options, unavailable)
    return Evaluation(
        records=tuple(make_records(numbers)),
        unavailable=tuple(unavailable),
        neurons={name: array for one in of_sessions for name, array in one.arrays.items()},
        traces=tuple(trace for one in of_sessions for trace in one.traces),
        rows=_rows(run, of_sessions),
        numbers=numbers,
    )


# A strategy, and which of responses, stimulus and behavior it sees.
_Inputs = tuple[Strategy, tuple[str, ...]]
# What is predicted, and the scores of each predictor.
_Scored = tuple[Targets, dict[str, PredictorScores]]


class _SessionScores:
    """Scores the strategies of one session and keeps the results.

    Args:
        run: The model.
        options: What is evaluated.
        reporter: Receives progress.
        kept: Predictions of baselines.
        check: Called for every batch that is scored; raises once another session failed or the user
            interrupted.
    """

    def __init__(
        self,
        run: LoadedRun,
        options: EvalOptions,
        reporter: Reporter,
        kept: KeptPredictions,
        check: Check,
    ) -> None:
        self._run = run
        self._options = options
        self._reporter = reporter
        self._kept = kept
        self._check = check
        self.numbers: list[ScoredValue] = []
        self.unavailable: list[Unavailable] = []
        self.arrays: dict[str, Any] = {}
        self.traces: list[Trace] = []
        # What each scored strategy sees, by its name.
        self.inputs: dict[str, _Inputs] = {}

    def score_strategies(
        self, reader: SessionReader, strategies: Sequence[Strategy], windows: EvalWindows
    ) -> None:
        """Score the strategies of the session."""
        numbers: list[ScoredValue] = []
        for strategy in strategies:
            of_strategy = windows_of_strategy(
                reader.session,
                windows,
                strategy,
                self._options,
                require_behavior=reader.require_behavior,
            )
            draws = list(draw_targets(strategy, reader, of_strategy, self._options))
            together = draws_at_once(reader.session.num_neurons, of_strategy)
            scored: list[list[_Scored]] = []
            for first in range(0, len(draws), together):
                scored += self._score_strategy(draws[first : first + together])
            # A draw scores responses, behavior or both.
            for of_draws in zip(*scored, strict=True):
                numbers += self._combine_draws(of_draws)
                self.traces.append(make_trace(*of_draws[0]))
            self._reporter.advance(PROGRESS_TASK, note=f"{reader.session.key} {strategy.name}")
        self.arrays |= _neuron_arrays(reader)
        self.numbers += [*numbers, *compare_stimulus(numbers)]

    def _combine_draws(self, draws: Sequence[_Scored]) -> Sequence[ScoredValue]:
        """Return the numbers of a strategy over its draws, and keep those of every output."""
        targets, first = draws[0]
        self.inputs.setdefault(targets.strategy.name, (targets.strategy, targets.inputs))
        self.arrays |= _per_output_arrays(
            targets,
            {name: combine_outputs([scores[name] for _, scores in draws]) for name in first},
            first[MODEL].repeats.oracle,
        )
        numbers = [
            [number for score in scores.values() for number in score.numbers]
            + list(compare_predictors(scores))
            for _, scores in draws
        ]
        return numbers[0] if targets.order is None else combine_numbers(numbers)

    def _score_strategy(self, draws: Sequence[Sequence[Targets]]) -> list[list[_Scored]]:
        """Score the model and the baselines in each draw: responses, behavior, or both."""
        scorable = [[one for one in targets if self._is_scorable(one)] for targets in draws]
        scorable = [targets for targets in scorable if targets]
        if not scorable:
            return []
        scorers = [
            [[self._scorer(view, MODEL) for view in one.views] for one in targets]
            for targets in scorable
        ]
        calibrations = self._calibrations(scorable)
        for number, pieces in predict_draws(self._run, scorable, self._options):
            self._check()
            gathered = zip(scorers[number], calibrations[number], pieces, strict=True)
            for of_views, calibrated, piece in gathered:
                for scorer in of_views:
                    scorer.add(piece)
                for calibration in calibrated:
                    calibration.add(piece)
        gathered_draws = zip(scorable, scorers, calibrations, strict=True)
        return [list(self._scores(*of_draw)) for of_draw in gathered_draws]

    def _scores(
        self,
        targets: Sequence[Targets],
        scorers: Sequence[Sequence[Scorer]],
        calibrations: Sequence[Sequence[Calibration]],
    ) -> Iterator[_Scored]:
        """Yield the scores of the model, from its scorers of each view, and of the baselines."""
        for one, of_views, calibrated in zip(targets, scorers, calibrations, strict=True):
            if not of_views[0].has_samples:
                self._add_unavailable(one, NOTHING_RECORDED)
                continue
            models = with_calibration([scorer.score() for scorer in of_views], calibrated)
            baselines = self._score_baselines(one)
            for number, (view, model) in enumerate(zip(one.views, models, strict=True)):
                of_baselines = {name: scores[number] for name, scores in baselines.items()}
                of_predictors = {MODEL: model, **of_baselines}
                self._explain_repeats(view, of_predictors)
                yield view, of_predictors

    def _calibrations(self, draws: Sequence[Sequence[Targets]]) -> list[list[list[Calibration]]]:
        """Return what scores the model's predictive distributions, for each draw, target and view.

        There is none for behavior, or where no distributions could be fitted.
        """
        responses = [one for targets in draws for one in targets if not one.is_behavior]
        fits = fit_predictive(self._run, responses, self._options) if responses else []
        if isinstance(fits, str):
            self._add_unavailable(responses[0], fits, predictor=PREDICTIVE)
            fits = []
        fit_of = dict(zip(responses, fits, strict=False))
        return [
            [
                [Calibration(view, fit_of[one]) for view in one.views if one in fit_of]
                for one in each
            ]
            for each in draws
        ]

    def _score_baselines(self, targets: Targets) -> dict[str, list[PredictorScores]]:
        """Return the scores of each baseline, one for each view of the targets."""
        scores: dict[str, list[PredictorScores]] = {}
        for name, baseline in select_baselines(self._options.baselines).items():
            pieces = self._kept.predict(name, baseline.predict, targets)
            if isinstance(pieces, str):
                self._add_unavailable(targets, pieces, predictor=name)
            elif pieces is not None:
                scorers = [self._scorer(view, name) for view in targets.views]
                for piece in pieces:
                    for scorer in scorers:
                        scorer.add(piece)
                scores[name] = [scorer.score() for scorer in scorers]
        return scores

    def _explain_repeats(self, targets: Targets, scores: Mapping[str, PredictorScores]) -> None:
        """Record which numbers from repeats of the stimulus do not exist, and why."""
        if targets.is_behavior:
            return
        if (no_average := no_average_reason(targets)) is not None:
            self._add_unavailable(targets, no_average, predictor=MODEL)
        if CEILING in scores:
            return
        no_repeats = no_repeats_reason(targets)
        for reason in [no_repeats] if no_repeats else scores[MODEL].repeats.missing:
            self._add_unavailable(targets, reason, predictor=CEILING)

    def _is_scorable(self, targets: Targets) -> bool:
        if targets.visible is not None and targets.visible.all():
            reason = "every target neuron is visible in all target samples"
            self._add_unavailable(targets, reason)
            return False
        return targets.num_outputs > 0

    def _scorer(self, targets: Targets, predictor: str) -> Scorer:
        return Scorer(
            targets,
            predictor=predictor,
            response_loss=self._run.response_loss,
            repeats=targets.repeats,
        )

    def _add_unavailable(self, targets: Targets, reason: str, predictor: str | None = None) -> None:
        item = Unavailable(
            strategy=targets.strategy.name,
            session=targets.reader.session.key,
            reason=reason,
            predictor=predictor,
        )
        # Every draw of context neurons has the same reason.
        if item not in self.unavailable:
            self.unavailable.append(item)


def _per_output_arrays(
    targets: Targets, correlations: Mapping[str, tuple[I64, F64]], oracle: F64 | None
) -> dict[str, Any]:
    """Return the arrays of `neurons.npz`, from outputs and correlations of each predictor.

    With the oracle scores of the outputs, where the stimulus was repeated.
    """
    kind = "channels" if targets.is_behavior else "neurons"
    folder = f"{targets.reader.session.key}/{targets.strategy.name}/{kind}"
    arrays = {f"{folder}/{name}": values for name, (_, values) in correlations.items()}
    if oracle is not None:
        arrays[f"{folder}/{ORACLE}"] = oracle
    return {f"{folder}/index": correlations[MODEL][0], **arrays}


def _neuron_arrays(reader: SessionReader) -> dict[str, Any]:
    """Return what is known of every neuron of a session, for `neurons.npz`."""
    shard = reader.shard
    known = {
        "unit_id": shard.unit_id,
        "position_um": shard.position_um,
        "area": shard.area,
        "layer": shard.layer,
    }
    return {
        f"{reader.session.key}/{name}": values
        for name, values in known.items()
        if values is not None
    }


def _no_windows(
    key: str, strategies: Sequence[Strategy], options: EvalOptions
) -> list[Unavailable]:
    reason = f"no window of two seconds fits in its trials of tier {options.tier}"
    return [Unavailable(strategy=one.name, session=key, reason=reason) for one in strategies]


def _rows(run: LoadedRun, sessions: Sequence[_SessionScores]) -> tuple[Row, ...]:
    masking = run.config.masking
    # Strategy files of a training may be gone.
    training = None if masking.files else training_table(masking.table)
    if training is not None and not run.behavior_channels:
        # Behavior that no session has is no input, whatever a strategy says.
        usable = (one for one in training if one.applies(stimulus=True, behavior=False))
        training = tuple(replace(one, behavior="absent") for one in usable)
    inputs: dict[str, _Inputs] = {}
    for session in sessions:
        for name, of_strategy in session.inputs.items():
            inputs.setdefault(name, of_strategy)
    return tuple(make_row(strategy, seen, training) for strategy, seen in inputs.values())


def _nothing_scored(options: EvalOptions, unavailable: Sequence[Unavailable]) -> OmniMouseError:
    if unavailable:
        first = unavailable[0]
        return OmniMouseError(
            f"no strategy of {options.regime} can be scored: {first.strategy} in session "
            f"{first.session}: {first.reason}",
            hint="choose another regime with --regime",
        )
    return OmniMouseError(
        f"--no-stimulus and --no-behavior leave no strategy of {options.regime}",
        hint="leave one of the two out, or choose another regime",
    )
