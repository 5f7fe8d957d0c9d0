"""Scores a run under perturbed video: every severity of every family, and the clean video."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.batch.strategies import CAUSAL
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.draws import draw_targets
from omnimouse_cli.evaluation.forward import Variants, predict_variants
from omnimouse_cli.evaluation.records import (
    LOSS,
    MODEL,
    OVERALL,
    AttackCheck,
    EvalOptions,
    Evaluation,
    PerturbedRecord,
)
from omnimouse_cli.evaluation.robustness.perturbations import (
    ADVERSARIAL,
    Perturbation,
    make_perturbations,
    perturb,
)
from omnimouse_cli.evaluation.scored_value import ScoredValue
from omnimouse_cli.evaluation.scorer import PredictorScores, Scorer
from omnimouse_cli.evaluation.session_reader import SessionReader
from omnimouse_cli.evaluation.strategies import evaluated_strategies
from omnimouse_cli.evaluation.tabulate import compare_predictors, make_records
from omnimouse_cli.evaluation.targets import Targets
from omnimouse_cli.evaluation.windows import find_windows, space_evenly, windows_of_strategy
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.load import LoadedRun

CLEAN = "clean"
PROGRESS_TASK = "perturbing"
# Evenly spaced windows of a session that are scored, clean and perturbed: an attack takes dozens of
# passes over each.
MOST_WINDOWS = 96


def with_perturbations(
    evaluation: Evaluation,
    run: LoadedRun,
    dataset: Dataset,
    options: EvalOptions,
    reporter: Reporter,
) -> Evaluation:
    """Score the responses of every strategy that sees the stimulus under perturbed video.

    At most 96 windows of a session are scored, so that clean numbers may differ from the
    evaluation's own.

    `predict-causal`, which has a part of the frames of `predict`, is not among them.

    Args:
        evaluation: To which the numbers are added.
        run: The model, in evaluation mode.
        dataset: Sessions that the run knows.
        options: What is evaluated; `perturb` names the families.
        reporter: Receives progress, and a warning of an attack that does not raise the loss.

    Raises:
        OmniMouseError: No strategy sees the stimulus and predicts responses.
    """
    perturbations = make_perturbations(options.perturb, options.seed, run.config.data)
    targets = list(_perturbed_targets(run, dataset, options, reporter))
    if not targets:
        raise OmniMouseError(
            f"no strategy of {options.regime} sees the stimulus and predicts responses, so there "
            "is nothing to perturb",
            hint="choose --regime predict, and leave out --no-stimulus",
        )
    reporter.start(PROGRESS_TASK, len(targets))
    clean: list[ScoredValue] = []
    perturbed: list[list[ScoredValue]] = [[] for _ in perturbations]
    for one in targets:
        before, *others = _score(run, one, options, partial(perturb, perturbations))
        clean += before.numbers
        for numbers, after in zip(perturbed, others, strict=True):
            numbers += [*after.numbers, *compare_predictors({MODEL: after, CLEAN: before})]
        note = f"{one.reader.session.key} {one.strategy.name}"
        reporter.advance(PROGRESS_TASK, note=note)
    reporter.finish(PROGRESS_TASK)
    records = tuple(_records(clean, perturbed, perturbations))
    checks = tuple(_check_attacks(records, run)) if ADVERSARIAL in options.perturb else ()
    for check in checks:
        if not check.rises:
            reporter.warn(
                f"{check.strategy}: the loss does not rise with every budget of the attack; the "
                "gradient may be masked"
            )
    return replace(evaluation, perturbed=records, attack_checks=checks)


def _perturbed_targets(
    run: LoadedRun, dataset: Dataset, options: EvalOptions, reporter: Reporter
) -> Iterator[Targets]:
    windows = find_windows(
        dataset.sessions, options, require_behavior=run.config.data.require_behavior
    )
    for key, every in windows.items():
        of_session = every.subset(space_evenly(len(every), MOST_WINDOWS))
        if len(of_session) < len(every):
            reporter.say(
                f"perturbed video: {len(of_session)} of {len(every)} windows of {key}, evenly "
                "spaced, are scored, with the clean and the perturbed video"
            )
        reader = SessionReader(dataset, run.config.data, key)
        for strategy in evaluated_strategies(reader.session, options, run.config.model)[0]:
            if strategy.video is None or strategy.targets is None:
                continue
            # Every perturbation would be scored twice for frames that are left out in one of them.
            if strategy.name == "predict" + CAUSAL:
                continue
            of_strategy = windows_of_strategy(
                reader.session,
                of_session,
                strategy,
                options,
                require_behavior=reader.require_behavior,
            )
            # The first draw of context neurons; every perturbation has the same.
            targets = next(draw_targets(strategy, reader, of_strategy, options))[0]
            all_visible = targets.visible is not None and targets.visible.all()
            if targets.num_outputs and not all_visible:
                yield targets


def _score(
    run: LoadedRun, targets: Targets, options: EvalOptions, variants: Variants
) -> list[PredictorScores]:
    """Return the scores of the clean video and of each variant of it."""
    scorers: list[Scorer] = []
    for number, piece in predict_variants(run, targets, options, variants):
        if number == len(scorers):
            scorers.append(Scorer(targets, predictor=MODEL, response_loss=run.response_loss))
        scorers[number].add(piece)
    return [scorer.score() for scorer in scorers]


def _records(
    clean: Sequence[ScoredValue],
    perturbed: Sequence[Sequence[ScoredValue]],
    perturbations: Sequence[Perturbation],
) -> Iterator[PerturbedRecord]:
    for record in make_records(clean):
        yield PerturbedRecord(
            perturbation=CLEAN, severity=0, level=0.0, level_unit="", record=record
        )
    for numbers, perturbation in zip(perturbed, perturbations, strict=True):
        for record in make_records(numbers):
            yield PerturbedRecord(
                perturbation=perturbation.family,
                severity=perturbation.severity,
                level=perturbation.level,
                level_unit=perturbation.level_unit,
                record=record,
            )


def _check_attacks(records: Sequence[PerturbedRecord], run: LoadedRun) -> Iterator[AttackCheck]:
    """Check for every strategy whether the loss rises with the budget."""
    for strategy in dict.fromkeys(one.record.strategy for one in records):
        losses, budgets = [], []
        for one in records:
            key = (one.record.strategy, one.record.session, one.record.metric)
            if key == (strategy, OVERALL, LOSS) and one.perturbation in (CLEAN, ADVERSARIAL):
                assert one.record.value is not None, "a loss is a number"
                losses.append(one.record.value)
                budgets.append(one.level)
        yield AttackCheck(
            strategy=strategy,
            loss=run.response_loss,
            budgets=tuple(budgets),
            losses=tuple(losses),
            rises=all(after > before for before, after in itertools.pairwise(losses)),
        )
