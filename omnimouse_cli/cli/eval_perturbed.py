"""What `omnimouse eval --perturb` prints: scores of runs side by side for each severity."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns

if TYPE_CHECKING:
    from omnimouse_cli.api.evaluate import EvaluatedRun
    from omnimouse_cli.evaluation.records import PerturbedRecord


def perturbed_tables(results: Sequence["EvaluatedRun"]) -> Iterator[ResultTable]:
    """Yield one table per masking strategy: scores over all sessions under each perturbation."""
    strategies = dict.fromkeys(
        one.record.strategy for result in results for one in result.evaluation.perturbed
    )
    for strategy in strategies:
        yield _table(strategy, results)


def perturbation_notes(results: Sequence["EvaluatedRun"]) -> Iterator[str]:
    """Yield lines that state the severities and whether the attack raises the loss."""
    units: dict[tuple[str, str], dict[int, float]] = {}
    for result in results:
        for one in result.evaluation.perturbed:
            if one.severity:
                units.setdefault((one.perturbation, one.level_unit), {})[one.severity] = one.level
    for (family, unit), levels in units.items():
        yield f"{family}: {', '.join(f'{level:g}' for level in levels.values())} ({unit})"
    for result in results:
        for check in result.evaluation.attack_checks:
            losses = ", ".join(f"{loss:.4f}" for loss in check.losses)
            rises = "rises with every budget" if check.rises else "does not rise with every budget"
            yield (
                f"attack on {check.strategy} of {result.run.folder.name}: "
                f"{check.loss} loss {losses}, which {rises}"
            )


def _table(strategy: str, results: Sequence["EvaluatedRun"]) -> ResultTable:
    severities = sorted(
        {one.severity for result in results for one in result.evaluation.perturbed if one.severity}
    )
    options = results[0].options
    table = ResultTable(
        f"{strategy}, tier {options.tier}: single-trial correlation over all sessions by "
        "severity of the perturbed video",
        *name_columns("perturbation", "run", "feed-forward"),
        *number_columns("clean", *map(str, severities), f"{severities[-1]} - clean"),
        omit=("feed-forward", *map(str, severities[1:-1])),
    )
    for family in options.perturb:
        for result in results:
            table.add_row(
                family, result.run.folder.name, *_cells(strategy, family, result, severities)
            )
    return table


def _cells(
    strategy: str, family: str, result: "EvaluatedRun", severities: Sequence[int]
) -> list[str]:
    from omnimouse_cli.evaluation.records import DIFFERENCE, OVERALL, SINGLE_TRIAL
    from omnimouse_cli.evaluation.robustness.evaluate import CLEAN

    numbers = {
        (one.perturbation, one.severity, one.record.metric): one
        for one in result.evaluation.perturbed
        if (one.record.strategy, one.record.session) == (strategy, OVERALL)
    }
    keys = [(CLEAN, 0), *((family, severity) for severity in severities)]
    cells: list[str] = [result.run.config.model.feed_forward]
    cells += [_number(numbers.get((*key, SINGLE_TRIAL))) for key in keys]
    return [*cells, _number(numbers.get((family, severities[-1], DIFFERENCE)), sign="+")]


def _number(one: "PerturbedRecord | None", sign: str = "") -> str:
    if one is None or one.record.value is None:
        return "none"
    record = one.record
    if not sign or record.low is None or record.high is None:
        return f"{record.value:{sign}.3f}"
    return f"{record.value:{sign}.3f} [{record.low:{sign}.3f}, {record.high:{sign}.3f}]"
