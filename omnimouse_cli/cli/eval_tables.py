"""What `omnimouse eval` prints: scores, baselines, other metrics, and what rows condition on."""

from collections.abc import Iterator, Mapping, Sequence

from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns, text_columns
from omnimouse_cli.evaluation.records import (
    CC_MAX,
    CC_NORM,
    CEILING,
    DIFFERENCE,
    FEVE,
    FRACTION,
    MODEL,
    OF_GROUP,
    ORACLE,
    OVERALL,
    REPEATS,
    SINGLE_TRIAL,
    EvalOptions,
    EvalRecord,
    Evaluation,
)

_Key = tuple[str, str]
# By strategy, target, metric and predictor.
_Numbers = Mapping[tuple[str, str, str, str], EvalRecord]
SCORES = {
    "correlation_to_average": "to average",
    "r2": "R2",
    "deviance_explained": "deviance explained",
    "bits_per_sample": "bits/sample",
    "cc_norm": "CC norm",
    "cc_max": "CC max",
    "feve": "FEVE",
    "oracle": "oracle",
    "loss": "loss",
}
# Of predictive distributions.
CALIBRATION = {
    "log_likelihood": "log lik.",
    "log_likelihood_gain": "log lik. gain",
    "coverage_50": "cov. 50",
    "coverage_80": "cov. 80",
    "coverage_95": "cov. 95",
}


def score_tables(
    evaluation: Evaluation, options: EvalOptions, *, metrics: bool
) -> Iterator[ResultTable]:
    """Yield the tables of each session, after those over all sessions where there are several.

    Args:
        evaluation: The result.
        options: What was evaluated.
        metrics: Whether to print the other metrics and groups of neurons too.
    """
    sessions = list(dict.fromkeys(record.session for record in evaluation.records))
    ordered = [OVERALL, *(name for name in sessions if name != OVERALL)]
    if len(ordered) == 2:
        ordered = ordered[1:]
    for session in ordered:
        records = [record for record in evaluation.records if record.session == session]
        title = f"{session}, tier {options.tier}"
        yield _scores(title, records)
        if any(_is_baseline(record.predictor) for record in records):
            yield _baselines(title, records)
        if any(record.source == REPEATS for record in records):
            yield _repeats(title, records)
        if metrics:
            tables = (
                _metrics(f"{title}: all metrics", records, {SINGLE_TRIAL: "r", **SCORES}),
                _metrics(f"{title}: predictive distribution", records, CALIBRATION),
                _groups(title, records),
            )
            yield from (table for table in tables if table.rows)
    yield _rows(evaluation)


def _scores(title: str, records: Sequence[EvalRecord]) -> ResultTable:
    numbers = _index(records)
    has_draws = any(record.draws for record in records)
    overs = [r.interval_over for r in records if r.interval_over and r.metric == SINGLE_TRIAL]
    over = overs[0] if overs else "windows"
    seconds = max((r.scored_seconds or 0.0 for r in records), default=0.0)
    draws = ["SD of draws"] * has_draws
    table = ResultTable(
        f"{title}, {seconds:.0f} s: single-trial correlation r [95 % interval over {over}]; "
        "corrected: without the bias of the limited time",
        *name_columns("strategy", "target"),
        *number_columns("model", "corrected", *draws),
        *text_columns("best baseline"),
        *number_columns("model - best"),
        *text_columns("of noise ceiling"),
        omit=(*draws, "corrected", "of noise ceiling", "best baseline"),
    )
    for key in _keys(records):
        model = numbers[*key, SINGLE_TRIAL, MODEL]
        best = next(iter(_best_first(key, numbers)), None)
        corrected = "" if model.bias_corrected is None else _short(model.bias_corrected)
        cells = [*key, _with_interval(model), corrected]
        if has_draws:
            cells.append("" if model.draws_sd is None else _short(model.draws_sd))
        if best is None:
            cells += ["", ""]
        else:
            difference = numbers.get((*key, DIFFERENCE, f"{MODEL}-{best.predictor}"))
            cells += [f"{_label(best.predictor)} {_number(best)}", _with_interval(difference, "+")]
        cells.append(_share(numbers.get((*key, FRACTION, MODEL))))
        table.add_row(*cells)
    return table


def _baselines(title: str, records: Sequence[EvalRecord]) -> ResultTable:
    numbers = _index(records)
    table = ResultTable(
        f"{title}: r of every baseline, the best first",
        *name_columns("strategy", "target"),
        *text_columns("baselines"),
    )
    for key in _keys(records):
        found = [f"{_label(one.predictor)} {_number(one)}" for one in _best_first(key, numbers)]
        ceiling = numbers.get((*key, SINGLE_TRIAL, CEILING))
        if ceiling is not None:
            known = "exact" if ceiling.repeats is None else f"from {ceiling.repeats:.1f} repeats"
            found.append(f"({_label(CEILING)}, {known}, {_with_interval(ceiling)})")
        table.add_row(*key, ", ".join(found))
    return table


def _repeats(title: str, records: Sequence[EvalRecord]) -> ResultTable:
    """Return the table of noise ceilings from repeats, and of what is relative to them."""
    numbers = _index([record for record in records if record.source == REPEATS])
    table = ResultTable(
        f"{title}: relative to repeats of the stimulus [95 % interval]; FEVE excludes neurons "
        "with less than 15 % of explainable variance",
        *name_columns("strategy", "predictor"),
        *number_columns("CC norm", "FEVE", "excluded", "noise ceiling of r", "CC max", "oracle"),
        *number_columns("repeats"),
        omit=("repeats", "oracle", "excluded", "CC max", "FEVE"),
    )
    for (strategy, target, _, predictor), record in numbers.items():
        metrics = (CC_NORM, FEVE, SINGLE_TRIAL, CC_MAX, ORACLE)
        found = [numbers.get((strategy, target, metric, predictor)) for metric in metrics]
        # One line for each predictor: at the first of its numbers.
        if record is not next(one for one in found if one is not None):
            continue
        feve = found[1]
        cells = [_with_interval(one) for one in found]
        cells.insert(2, "" if feve is None else f"{feve.excluded} of {feve.neurons}")
        repeats = f"{record.repeats:.1f}" if predictor == CEILING and record.repeats else ""
        table.add_row(strategy, _label(predictor), *cells, repeats)
    return table


def _metrics(title: str, records: Sequence[EvalRecord], headings: Mapping[str, str]) -> ResultTable:
    numbers = _index(records)
    present = [name for name in headings if any(one.metric == name for one in records)]
    shown = [headings[name] for name in present]
    table = ResultTable(
        title,
        *name_columns("strategy", "target", "predictor"),
        *number_columns(*shown),
        omit=shown[:0:-1],
    )
    lines = [
        (record.strategy, record.target, record.predictor)
        for record in records
        if record.metric in present
    ]
    for strategy, target, predictor in dict.fromkeys(lines):
        values = [_number(numbers.get((strategy, target, name, predictor))) for name in present]
        table.add_row(strategy, target, _label(predictor), *values)
    return table


def _groups(title: str, records: Sequence[EvalRecord]) -> ResultTable:
    table = ResultTable(
        f"{title}: r of groups of neurons",
        *name_columns("strategy", "neurons", "predictor"),
        *number_columns("r"),
    )
    for record in records:
        if record.metric.startswith(SINGLE_TRIAL + OF_GROUP):
            group = record.metric.partition(OF_GROUP)[2]
            table.add_row(record.strategy, group, _label(record.predictor), _number(record))
    return table


def _rows(evaluation: Evaluation) -> ResultTable:
    """Return the table of what each strategy conditions on."""
    table = ResultTable(
        "what is predicted from what; predict and forecast see later frames and behavior, as "
        "published, the causal strategies do not",
        *name_columns("strategy"),
        *text_columns("condition", "stimulus in training"),
    )
    seen: dict[str, list[str]] = {}
    for record in evaluation.records:
        if "stimulus" in record.inputs and record.target == "neurons":
            word = record.stimulus_in_training or "not known"
            if word not in seen.setdefault(record.strategy, []):
                seen[record.strategy].append(word)
    for row in evaluation.rows:
        trained = " (inputs not trained on)" if row.trained_on is False else ""
        stimulus = ", ".join(seen.get(row.strategy, []))
        table.add_row(row.strategy, row.conditioning + trained, stimulus)
    return table


def _index(records: Sequence[EvalRecord]) -> _Numbers:
    return {(r.strategy, r.target, r.metric, r.predictor): r for r in records}


def _keys(records: Sequence[EvalRecord]) -> list[_Key]:
    """Return strategy and target of each row, without groups of neurons."""
    keys = [
        (record.strategy, record.target)
        for record in records
        if (record.metric, record.predictor) == (SINGLE_TRIAL, MODEL)
    ]
    return list(dict.fromkeys(keys))


def _is_baseline(predictor: str) -> bool:
    from omnimouse_cli.evaluation.baselines.table import BASELINES

    return predictor in BASELINES and predictor != CEILING


def _best_first(key: _Key, numbers: _Numbers) -> list[EvalRecord]:
    from omnimouse_cli.evaluation.baselines.table import BASELINES

    found = [
        numbers[*key, SINGLE_TRIAL, name]
        for name in BASELINES
        if _is_baseline(name) and (*key, SINGLE_TRIAL, name) in numbers
    ]
    return sorted(found, key=lambda one: -2.0 if one.value is None else one.value, reverse=True)


def _label(predictor: str) -> str:
    from omnimouse_cli.evaluation.baselines.table import BASELINES

    return BASELINES[predictor].label if predictor in BASELINES else predictor


def _number(record: EvalRecord | None) -> str:
    if record is None:
        return ""
    return "none" if record.value is None else _short(record.value)


def _with_interval(record: EvalRecord | None, sign: str = "") -> str:
    if record is None or record.value is None:
        return _number(record)
    value = _short(record.value, sign)
    if record.low is None or record.high is None:
        return value
    return f"{value} [{_short(record.low)}, {_short(record.high)}]"


def _share(record: EvalRecord | None) -> str:
    """Format a share of a noise ceiling, with the source of the ceiling."""
    if record is None or record.value is None:
        return ""
    source = {"repeats": " (repeats)", "simulation": " (exact)"}.get(record.source or "", "")
    return f"{round(100 * record.value)} %{source}"


def _short(value: float, sign: str = "") -> str:
    """Format a number without the zero before the point.

    Example:
        >>> _short(0.1234), _short(-0.5, "+"), _short(1.5)
        ('.123', '-.500', '1.500')
    """
    return (
        f"{value:{sign}.3f}".replace("0.", ".", 1) if abs(value) < 0.9995 else f"{value:{sign}.3f}"
    )
