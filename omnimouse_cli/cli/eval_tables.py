"""What `omnimouse eval` prints: scores, baselines, other metrics, and what rows condition on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from omnimouse_cli.cli.tables import (
    Column,
    ResultTable,
    name_columns,
    number_columns,
    text_columns,
)
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
# The records of each session, and those over all sessions first where there are several.
_Sessions = Mapping[str, Sequence[EvalRecord]]
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
    """Yield the tables, in which all sessions stand below the numbers over all of them.

    Args:
        evaluation: The result.
        options: What was evaluated.
        metrics: Whether to print the other metrics and groups of neurons too.
    """
    sessions = list(dict.fromkeys(record.session for record in evaluation.records))
    ordered = [OVERALL, *(name for name in sessions if name != OVERALL)]
    if len(ordered) == 2:
        ordered = ordered[1:]
    found = {name: [r for r in evaluation.records if r.session == name] for name in ordered}
    title = f"tier {options.tier}" if len(found) > 1 else f"{ordered[0]}, tier {options.tier}"
    tables = [_scores(title, found), _baselines(title, found), _repeats(title, found)]
    if metrics:
        tables += [
            _metrics(f"{title}: all metrics", found, {SINGLE_TRIAL: "r", **SCORES}),
            _metrics(f"{title}: predictive distribution", found, CALIBRATION),
            _groups(title, found),
        ]
    yield from (table for table in tables if table.rows)
    yield _rows(evaluation)


def _names(sessions: _Sessions, *headings: str) -> list[Column]:
    """Return the columns of names, with one of sessions where there are several."""
    return name_columns(*["session"] * (len(sessions) > 1), *headings)


def _add_rows(
    table: ResultTable, sessions: _Sessions, session: str, rows: Iterable[Sequence[str]]
) -> None:
    """Add the rows of a session, with its key in front where there are several."""
    for cells in rows:
        table.add_row(*[session] * (len(sessions) > 1), *cells)


def _scores(title: str, sessions: _Sessions) -> ResultTable:
    every = [record for records in sessions.values() for record in records]
    draws = ["SD of draws"] * any(record.draws for record in every)
    several = ["seconds"] * (len(sessions) > 1)
    seconds = "" if several else f", {_seconds(every):.0f} s"
    overs = [r.interval_over for r in every if r.interval_over and r.metric == SINGLE_TRIAL]
    # The first is over all sessions.
    over = " or ".join(dict.fromkeys(reversed(overs))) or "windows"
    table = ResultTable(
        f"{title}{seconds}: single-trial correlation r [95 % interval over {over}]; "
        "corrected: without the bias of the limited time",
        *_names(sessions, "strategy", "target"),
        *number_columns("model", "corrected", *draws),
        *text_columns("best baseline"),
        *number_columns("model - best"),
        *text_columns("of noise ceiling"),
        *number_columns(*several),
        omit=(*several, *draws, "corrected", "of noise ceiling", "best baseline"),
    )
    for session, records in sessions.items():
        ends = [f"{_seconds(records):.0f}"] * len(several)
        rows = ([*cells, *ends] for cells in _score_rows(records, has_draws=bool(draws)))
        _add_rows(table, sessions, session, rows)
    return table


def _seconds(records: Sequence[EvalRecord]) -> float:
    return max((record.scored_seconds or 0.0 for record in records), default=0.0)


def _score_rows(records: Sequence[EvalRecord], *, has_draws: bool) -> Iterator[list[str]]:
    numbers = _index(records)
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
        yield cells


def _baselines(title: str, sessions: _Sessions) -> ResultTable:
    table = ResultTable(
        f"{title}: r of every baseline, the best first",
        *_names(sessions, "strategy", "target"),
        *text_columns("baselines"),
    )
    for session, records in sessions.items():
        _add_rows(table, sessions, session, _baseline_rows(records))
    return table


def _baseline_rows(records: Sequence[EvalRecord]) -> Iterator[list[str]]:
    numbers = _index(records)
    if not any(_is_baseline(record.predictor) for record in records):
        return
    for key in _keys(records):
        found = [f"{_label(one.predictor)} {_number(one)}" for one in _best_first(key, numbers)]
        ceiling = numbers.get((*key, SINGLE_TRIAL, CEILING))
        if ceiling is not None:
            known = "exact" if ceiling.repeats is None else f"from {ceiling.repeats:.1f} repeats"
            found.append(f"({_label(CEILING)}, {known}, {_with_interval(ceiling)})")
        yield [*key, ", ".join(found)]


def _repeats(title: str, sessions: _Sessions) -> ResultTable:
    """Return the table of noise ceilings from repeats, and of what is relative to them."""
    table = ResultTable(
        f"{title}: relative to repeats of the stimulus [95 % interval]; FEVE excludes neurons "
        "with less than 15 % of explainable variance",
        *_names(sessions, "strategy", "predictor"),
        *number_columns("CC norm", "FEVE", "excluded", "noise ceiling of r", "CC max", "oracle"),
        *number_columns("repeats"),
        omit=("repeats", "oracle", "excluded", "CC max", "FEVE"),
    )
    for session, records in sessions.items():
        _add_rows(table, sessions, session, _repeat_rows(records))
    return table


def _repeat_rows(records: Sequence[EvalRecord]) -> Iterator[list[str]]:
    numbers = _index([record for record in records if record.source == REPEATS])
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
        yield [strategy, _label(predictor), *cells, repeats]


def _metrics(title: str, sessions: _Sessions, headings: Mapping[str, str]) -> ResultTable:
    metrics = {record.metric for records in sessions.values() for record in records}
    present = [name for name in headings if name in metrics]
    shown = [headings[name] for name in present]
    table = ResultTable(
        title,
        *_names(sessions, "strategy", "target", "predictor"),
        *number_columns(*shown),
        omit=shown[:0:-1],
    )
    for session, records in sessions.items():
        _add_rows(table, sessions, session, _metric_rows(records, present))
    return table


def _metric_rows(records: Sequence[EvalRecord], present: Sequence[str]) -> Iterator[list[str]]:
    numbers = _index(records)
    lines = [
        (record.strategy, record.target, record.predictor)
        for record in records
        if record.metric in present
    ]
    for strategy, target, predictor in dict.fromkeys(lines):
        values = [_number(numbers.get((strategy, target, name, predictor))) for name in present]
        yield [strategy, target, _label(predictor), *values]


def _groups(title: str, sessions: _Sessions) -> ResultTable:
    table = ResultTable(
        f"{title}: r of groups of neurons",
        *_names(sessions, "strategy", "neurons", "predictor"),
        *number_columns("r"),
    )
    for session, records in sessions.items():
        rows = (
            [r.strategy, r.metric.partition(OF_GROUP)[2], _label(r.predictor), _number(r)]
            for r in records
            if r.metric.startswith(SINGLE_TRIAL + OF_GROUP)
        )
        _add_rows(table, sessions, session, rows)
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
