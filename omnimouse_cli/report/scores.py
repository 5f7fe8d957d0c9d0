"""Scores of evaluations as tables: every session beside baselines and noise ceilings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from omnimouse_cli.evaluation.records import (
    CEILING,
    DIFFERENCE,
    FRACTION,
    MODEL,
    OVERALL,
    SINGLE_TRIAL,
)
from omnimouse_cli.report.evaluations import Score, StoredEvaluation
from omnimouse_cli.report.html import escape, render_details, render_figure, render_table
from omnimouse_cli.report.score_figures import CLEAN, draw_perturbations, draw_scores
from omnimouse_cli.text import pluralize

# Options of an evaluation that the page names.
OPTIONS = ("tier", "regime", "stride_samples", "draws", "seed", "precision", "device")
Key = tuple[str, str, str]


def render_scores(evaluations: Sequence[StoredEvaluation]) -> str:
    """Return the HTML of the scores of all evaluations."""
    return "".join(
        _render_evaluation(evaluation, f"scores-{number}")
        for number, evaluation in enumerate(evaluations)
    )


def _render_evaluation(evaluation: StoredEvaluation, name: str) -> str:
    scores = evaluation.scores
    parts = [
        f"<h3>{escape(evaluation.title)}</h3><p class='note'>{escape(_describe(evaluation))}</p>",
        render_figure(draw_scores(scores, name)),
        _render_correlations(scores),
        _render_conditioning(evaluation.document.get("rows")),
        _render_other_metrics(scores),
        _render_unavailable(evaluation.document.get("unavailable")),
    ]
    return "".join(parts)


def _describe(evaluation: StoredEvaluation) -> str:
    """Return what was evaluated, in one sentence."""
    options = evaluation.document.get("options")
    options = options if isinstance(options, dict) else {}
    parts = [f"step {evaluation.document.get('step')}"]
    parts += [
        f"{name.replace('_samples', '').replace('_', ' ')} {options[name]}"
        for name in OPTIONS
        if name in options
    ]
    shards = options.get("shards")
    if isinstance(shards, dict):
        parts.append(f"shards {shards.get('path')} (fingerprint {shards.get('fingerprint')})")
    return f"Evaluated: {', '.join(parts)}."


def _render_correlations(scores: Sequence[Score]) -> str:
    """Return the table of single-trial correlations: one row per strategy, target and session."""
    rows: dict[Key, dict[str, Score]] = {}
    differences: dict[Key, dict[str, Score]] = {}
    for one in scores:
        key = (one.strategy, one.target, one.session)
        if one.metric in (SINGLE_TRIAL, FRACTION):
            name = FRACTION if one.metric == FRACTION else one.predictor
            rows.setdefault(key, {})[name] = one
        elif one.metric == DIFFERENCE:
            differences.setdefault(key, {})[one.predictor.removeprefix(f"{MODEL}-")] = one
    present = dict.fromkeys(
        name for row in rows.values() for name, one in row.items() if one.value is not None
    )
    baselines = [name for name in present if name not in (MODEL, CEILING, FRACTION)]
    own = [name for name in (CEILING, FRACTION) if name in present]
    gains = {key: _best_difference(row, differences.get(key, {})) for key, row in rows.items()}
    has_gains = any(gain is not None for gain in gains.values())
    headings = ["strategy", "target", "session", "model", "95 % interval"]
    headings += ["model - best baseline", "95 % interval of the difference"] * has_gains
    headings += [*own, *baselines, "outputs", "windows"]
    titles = {CEILING: "noise ceiling", FRACTION: "share of ceiling"}
    cells = (
        (
            *key,
            format_value(row.get(MODEL)),
            format_interval(row.get(MODEL)),
            *[format_value(gains[key], sign="+"), format_interval(gains[key], sign="+")]
            * has_gains,
            *(format_value(row.get(name)) for name in (*own, *baselines)),
            *_counts(row),
        )
        for key, row in rows.items()
    )
    shown = [titles.get(name, name.replace("_", " ")) for name in headings]
    return render_table(shown, cells, is_sortable=True, is_long=len(rows) > 40)


def _best_difference(row: Mapping[str, Score], differences: Mapping[str, Score]) -> Score | None:
    """Return the model's score less that of the best baseline; None where it is not kept."""
    known = {
        name: one.value
        for name, one in row.items()
        if name not in (MODEL, CEILING, FRACTION) and one.value is not None
    }
    best = max(known, key=lambda name: known[name], default=None)
    return None if best is None else differences.get(best)


def _counts(row: Mapping[str, Score]) -> list[str]:
    one = next(iter(row.values()))
    return ["-" if count is None else f"{count:,}" for count in (one.neurons, one.windows)]


def _render_other_metrics(scores: Sequence[Score]) -> str:
    rows = [
        (
            one.strategy,
            one.target,
            one.metric.replace("_", " "),
            one.predictor.replace("_", " "),
            format_value(one, digits=4),
            format_interval(one),
        )
        for one in scores
        if one.session == OVERALL and one.metric not in (SINGLE_TRIAL, FRACTION)
    ]
    if not rows:
        return ""
    names = ("strategy", "target", "metric", "predictor", "value", "95 % interval")
    table = render_table(names, rows, is_sortable=True, is_long=len(rows) > 20)
    return render_details(f"{pluralize(len(rows), 'other number')} over all sessions", table)


def _render_conditioning(rows: object) -> str:
    """Return the table of what each strategy predicts, and from what."""
    cells = [
        (str(row.get("strategy")), str(row.get("conditioning")), _is_trained(row))
        for row in _objects(rows)
    ]
    if not cells:
        return ""
    names = ("strategy", "what is predicted from what", "trained on")
    table = render_table(names, cells, text=names[1:2])
    return render_details("What each strategy sees", table)


def _is_trained(row: Mapping[str, Any]) -> str:
    return {True: "yes", False: "no"}.get(row.get("trained_on"), "-")  # type: ignore[arg-type]


def _render_unavailable(entries: object) -> str:
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for entry in _objects(entries):
        what = f"{entry['predictor']} of " if entry.get("predictor") else ""
        key = (f"{what}{entry.get('strategy')}", str(entry.get("reason")))
        reasons.setdefault(key, {})[str(entry.get("session"))] = None
    if not reasons:
        return ""
    cells = [(what, reason, ", ".join(sessions)) for (what, reason), sessions in reasons.items()]
    names = ("what", "why", "sessions")
    table = render_table(names, cells, text=names)
    return render_details(f"{pluralize(len(cells), 'number')} without a value, and why", table)


def _objects(values: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(values, list):
        yield from (value for value in values if isinstance(value, dict))


def render_perturbations(evaluations: Iterable[StoredEvaluation]) -> str:
    """Return the HTML of scores under perturbed video; empty where no evaluation has any."""
    parts = []
    for number, evaluation in enumerate(evaluations):
        strategies = list(dict.fromkeys(one.strategy for one in evaluation.perturbed))
        if strategies:
            parts.append(f"<h3>{escape(evaluation.title)}</h3>")
        for row, strategy in enumerate(strategies):
            figure = draw_perturbations(evaluation.perturbed, strategy, f"perturbed-{number}-{row}")
            parts.append(render_figure(figure))
            parts.append(_render_severities(evaluation.perturbed, strategy))
    return "".join(parts)


def _render_severities(scores: Iterable[Score], strategy: str) -> str:
    known = {
        (one.perturbation, one.severity, one.metric): one
        for one in scores
        if (one.strategy, one.session) == (strategy, OVERALL)
        and one.metric in (SINGLE_TRIAL, DIFFERENCE)
    }
    cells = []
    for (family, severity, metric), one in known.items():
        if metric == SINGLE_TRIAL:
            difference = known.get((family, severity, DIFFERENCE))
            level = "" if family == CLEAN else f"{one.level:g} {one.level_unit}"
            change = format_value(difference, sign="+"), format_interval(difference, sign="+")
            values = level, format_value(one), format_interval(one), *change
            cells.append((family, str(severity), *values))
    names = ["perturbation", "severity", "strength", "correlation", "95 % interval"]
    names += ["less clean", "95 % interval of the difference"]
    return render_table(names, cells, text=("strength",), is_sortable=True, is_long=len(cells) > 20)


def format_value(one: Score | None, *, digits: int = 3, sign: str = "") -> str:
    """Return a score as a cell; a dash where it does not exist."""
    if one is None or one.value is None:
        return "-"
    return f"{one.value:{sign}.{digits}f}"


def format_interval(one: Score | None, *, sign: str = "") -> str:
    """Return the interval of a score as a cell; a dash where it has none."""
    if one is None or one.low is None or one.high is None:
        return "-"
    return f"{one.low:{sign}.3f} to {one.high:{sign}.3f}"
