"""Scores a run under perturbed video: every severity of every family, beside the clean video."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.batch.reader import warn_if_not_mapped
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluate.evaluate import windows_of
from omnimouse_cli.evaluate.network import Disturb, Network, predict_network
from omnimouse_cli.evaluate.records import (
    LOSS,
    MODEL,
    OVERALL,
    AttackCheck,
    EvalOptions,
    EvalRecord,
    Evaluation,
    PerturbedRecord,
)
from omnimouse_cli.evaluate.robustness.perturbations import (
    ADVERSARIAL,
    BUDGETS,
    Perturbation,
    perturbations_of,
)
from omnimouse_cli.evaluate.rows import rows_of
from omnimouse_cli.evaluate.scorer import PredictorScore, Scorer
from omnimouse_cli.evaluate.session import RowScores, bootstrap_seed
from omnimouse_cli.evaluate.signals import SessionSignals
from omnimouse_cli.evaluate.tabulate import records_of
from omnimouse_cli.evaluate.targets import Asked, asked_of
from omnimouse_cli.evaluate.windows import EvalWindows
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.load import LoadedRun

CLEAN = "clean"
TASK = "perturbing"

# Scores of a row in one session: without, and with each perturbation.
Scored = tuple[Asked, PredictorScore, list[PredictorScore]]


def with_perturbations(
    evaluation: Evaluation,
    run: LoadedRun,
    dataset: Dataset,
    options: EvalOptions,
    reporter: Reporter,
) -> Evaluation:
    """Score the responses of every row that sees the stimulus under perturbed video.

    Args:
        evaluation: To which the numbers are added.
        run: The model, in evaluation mode.
        dataset: Sessions that the run knows.
        options: What is evaluated; `perturb` names the families.
        reporter: Hears of progress, and of an attack that does not work.

    Raises:
        OmniMouseError: No row sees the stimulus and asks for responses.
    """
    perturbations = perturbations_of(options.perturb, options.seed, run.config.data)
    network = Network(
        run=run,
        dataset=dataset,
        device=torch.device(options.device),
        batch_windows=options.batch_windows,
    )
    asked = list(_asked(run, dataset, options))
    if not asked:
        raise OmniMouseError(
            f"no row of {options.regime} sees the stimulus and asks for responses, so there is "
            "nothing to perturb",
            hint="choose --regime predict, and leave out --no-stimulus",
        )
    warn_if_not_mapped(dataset, run.config.data, reporter)
    reporter.start(TASK, len(asked) * (1 + len(perturbations)))
    scored = [_scored(network, part, options, perturbations, reporter) for part in asked]
    reporter.finish(TASK)
    perturbed = tuple(_records(scored, perturbations, options.tier))
    checks = tuple(_checks(perturbed, run)) if ADVERSARIAL in options.perturb else ()
    for check in checks:
        if not check.rises:
            reporter.warn(
                f"{check.strategy}: the loss does not rise with every budget of the attack, which "
                "may not see which way to go"
            )
    return replace(evaluation, perturbed=perturbed, attack_checks=checks)


def _asked(run: LoadedRun, dataset: Dataset, options: EvalOptions) -> Iterator[Asked]:
    windows = windows_of(dataset.sessions, options)
    for session in dataset.sessions:
        if not len(windows[session.key]):
            continue
        signals = SessionSignals(dataset, run.config.data, session.key)
        for row in rows_of(session, options)[0]:
            if row.video is None or row.targets is None:
                continue
            yield from _responses(row, signals, windows[session.key])


def _responses(row: Strategy, signals: SessionSignals, windows: EvalWindows) -> Iterator[Asked]:
    for part in asked_of(row.name, row, signals, windows):
        all_seen = part.hidden is not None and part.hidden.all()
        if not part.behavior and part.num_outputs and not all_seen:
            yield part


def _scored(
    network: Network,
    asked: Asked,
    options: EvalOptions,
    perturbations: Sequence[Perturbation],
    reporter: Reporter,
) -> Scored:
    def score(disturb: Disturb | None) -> PredictorScore:
        scorer = Scorer(
            asked,
            response_loss=network.run.response_loss,
            repeats=None,
            seed=bootstrap_seed(options, asked.signals.session.key),
        )
        for (piece,) in predict_network(network, [asked], disturb):
            scorer.add(piece)
        reporter.advance(TASK, note=f"{asked.signals.session.key} {asked.row}")
        return scorer.result()

    return asked, score(None), [score(one) for one in perturbations]


def _records(
    scored: Sequence[Scored], perturbations: Sequence[Perturbation], tier: str
) -> Iterator[PerturbedRecord]:
    clean = [_row(asked, {MODEL: before}) for asked, before, _ in scored]
    for record in records_of(clean, tier):
        yield PerturbedRecord(
            perturbation=CLEAN, severity=0, level=0.0, level_unit="", record=record
        )
    for number, one in enumerate(perturbations):
        rows = [
            _row(asked, {MODEL: after[number], CLEAN: before}) for asked, before, after in scored
        ]
        for record in records_of(rows, tier):
            if record.predictor != CLEAN:
                yield PerturbedRecord(
                    perturbation=one.family,
                    severity=one.severity,
                    level=one.level,
                    level_unit=one.level_unit,
                    record=record,
                )


def _row(asked: Asked, scores: dict[str, PredictorScore]) -> RowScores:
    return RowScores(asked=asked, scores=scores, repeat_ceiling=False)


def _checks(perturbed: Sequence[PerturbedRecord], run: LoadedRun) -> Iterator[AttackCheck]:
    """Look whether the loss rises with the budget, row by row."""
    rows = dict.fromkeys(one.record.strategy for one in perturbed)
    for row in rows:
        losses = tuple(
            _number(one.record)
            for one in perturbed
            if one.perturbation in (CLEAN, ADVERSARIAL)
            and (one.record.strategy, one.record.session) == (row, OVERALL)
            and one.record.metric == LOSS
        )
        yield AttackCheck(
            strategy=row,
            loss=run.response_loss,
            budgets=(0.0, *BUDGETS),
            losses=losses,
            rises=all(after > before for before, after in itertools.pairwise(losses)),
        )


def _number(record: EvalRecord) -> float:
    assert record.value is not None, "a loss is a number"
    return record.value
