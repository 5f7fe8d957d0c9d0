"""The report as one HTML page: words, tables and figures, nothing loaded from elsewhere."""

import html
from collections.abc import Iterable, Sequence

from omnimouse_cli.report.analysis import ScalingReport
from omnimouse_cli.report.canvas import Figure
from omnimouse_cli.report.law import NAMES, Law
from omnimouse_cli.report.style import STYLE
from omnimouse_cli.text import format_magnitude, format_number

MEANINGS = {
    "E": "loss that neither data nor parameters remove",
    "A": "factor of the parameters' term",
    "B": "factor of the data's term",
    "alpha": "exponent of parameters",
    "beta": "exponent of data",
    "a_opt": "beta / (alpha + beta): the best size grows as compute to this power",
}


def page(report: ScalingReport, figures: Sequence[Figure]) -> str:
    """Give the whole page.

    Args:
        report: What to tell.
        figures: What to show.
    """
    drawn = {figure.name: figure for figure in figures}
    parts = [
        f"<header><h1>Scaling report</h1><p>{_text(report.table.title)}; "
        f"N: {_text(report.table.counted)}.</p></header>",
        _verdict(report),
        _warnings(report),
        _section("Runs", _figure(drawn.get("loss"))),
        _section("The joint law", _law(report.law, drawn)) if report.law else "",
        _section("Other laws", _alternatives(report)) if report.alternatives else "",
        _section("Rows", _rows(report)),
        f"<footer>Fit: Huber loss of ln loss, many starts, "
        f"{report.num_resamples} resamples of whole runs, seed {report.seed}. The same numbers "
        "are in report.json.</footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Scaling report: {_text(report.verdict.word)}</title>"
        f"<style>{STYLE}</style></head><body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def _verdict(report: ScalingReport) -> str:
    verdict = report.verdict
    reasons = "".join(f"<li>{_text(reason)}</li>" for reason in verdict.reasons)
    intro = "because" if verdict.word != "undetermined" else "what is missing for a verdict"
    parts = [
        f'<section class="verdict {verdict.word}"><p class="word">{verdict.word}</p>'
        f"<p>{intro}:</p><ul>{reasons}</ul>"
    ]
    if report.proposals:
        rows = [
            (
                ", ".join(format_magnitude(value) for value in one.parameters),
                ", ".join(format_magnitude(value) for value in one.tokens),
                str(one.seeds),
                one.why,
            )
            for one in report.proposals
        ]
        parts.append("<h3>Runs that would decide</h3>")
        parts.append(_table(("parameters", "unique tokens", "seeds", "to learn"), rows))
    return "".join(parts) + "</section>"


def _warnings(report: ScalingReport) -> str:
    if not report.warnings:
        return ""
    items = "".join(f"<li>{_text(warning)}</li>" for warning in report.warnings)
    return _section("Keep in mind", f"<ul>{items}</ul>")


def _law(law: Law | None, drawn: dict[str, Figure]) -> str:
    if law is None:
        return ""
    formula = "L(N, D) = E + A / N<sup>alpha</sup> + B / D<sup>beta</sup>"
    estimates = _table(
        ("", "value", "95 % interval", "meaning"),
        [
            (
                name,
                format_number(one.value),
                f"{format_number(one.low)} to {format_number(one.high)}",
                MEANINGS[name],
            )
            for name, one in law.estimates.items()
        ],
    )
    firmness = _table(
        ("fit", "rows", *NAMES),
        [
            (one.name, str(one.rows), *(format_number(one.values[name]) for name in NAMES))
            for one in law.variants
        ],
    )
    return (
        f'<p class="formula">{formula}</p>{estimates}'
        f"<p>{law.fit.agreeing:.0%} of the starts reached this optimum. A and B are strongly "
        "correlated with the exponents; read alpha, beta, E and a_opt.</p>"
        + "".join(_figure(drawn.get(name)) for name in ("residuals", "intervals", "map", "gains"))
        + f"<h3>How firm it is</h3>{firmness}"
    )


def _alternatives(report: ScalingReport) -> str:
    best = min((one.aicc for one in report.alternatives if one.aicc is not None), default=None)
    rows = [
        (
            one.form.name,
            one.form.formula,
            str(one.form.num_fitted),
            "-" if one.aicc is None or best is None else f"{one.aicc - best:+.1f}",
            format_number(one.aicc),
            format_number(one.bic),
            "-" if one.heldout_error is None else f"{one.heldout_error:.2%}",
            one.reason or "",
        )
        for one in report.alternatives
    ]
    names = ("form", "law", "k", "AICc over the best", "AICc", "BIC", "held-out error", "")
    called = (
        f"{report.winner} is clearly the best: AICc lower by more than 4, smallest held-out error."
        if report.winner
        else "No form is clearly the best, with an AICc lower by more than 4 and the smallest "
        "held-out error."
    )
    breaks = "".join(
        f"<p>A break along {found.axis} at {format_magnitude(found.at)} "
        f"({format_magnitude(found.low)} to {format_magnitude(found.high)}): "
        f"AICc {found.delta_aicc:+.1f} in its favor.</p>"
        for one in report.alternatives
        for found in one.breaks
    )
    return (
        f"<p>{_text(called)} Held-out error: the most expensive quarter of the runs, predicted "
        f"from the others, root mean square of ln loss.</p>{_table(names, rows)}{breaks}"
    )


def _rows(report: ScalingReport) -> str:
    names = ("run", "N", "D", "seen", "epochs", "seed", "split", "loss", "fitted", "residual")
    rows = []
    for place, row in enumerate(report.table.rows):
        fitted = None if report.fitted is None else float(report.fitted[place])
        rows.append(
            (
                row.run,
                format_magnitude(row.parameters),
                format_magnitude(row.tokens),
                "-" if row.tokens_seen is None else format_magnitude(row.tokens_seen),
                format_number(row.epochs),
                "-" if row.seed is None else str(row.seed),
                row.split or "-",
                format_number(row.loss),
                format_number(fitted),
                "-" if fitted is None else f"{row.loss / fitted - 1:+.2%}",
            )
        )
    left_out = ""
    if report.table.left_out:
        items = [(one.run, one.reason) for one in report.table.left_out]
        left_out = "<h3>Left out</h3>" + _table(("row", "why"), items)
    used = f"<summary>{len(rows)} used</summary>{_table(names, rows)}"
    return f"<details open>{used}</details>{left_out}"


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return ""
    caption = _text(figure.caption)
    return (
        f'<figure role="img" aria-label="{caption}">{figure.svg}'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{body}</section>"


def _table(names: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _text(value: str) -> str:
    return html.escape(value, quote=True)
