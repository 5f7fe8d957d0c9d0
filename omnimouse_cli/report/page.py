"""The report as report.json and one HTML page, which loads nothing from elsewhere."""

from collections.abc import Sequence
from pathlib import Path

from omnimouse_cli.files import require_folder, write_document, write_text
from omnimouse_cli.report.analysis import ScalingReport, build_document
from omnimouse_cli.report.figures import draw_figures
from omnimouse_cli.report.html import (
    escape,
    render_details,
    render_document,
    render_figure,
    render_section,
    render_table,
)
from omnimouse_cli.report.law import NAMES, JointLaw
from omnimouse_cli.report.svg import Figure
from omnimouse_cli.text import format_magnitude, format_number

MEANINGS = {
    "E": "loss that neither data nor parameters remove",
    "A": "factor of the parameters' term",
    "B": "factor of the data's term",
    "alpha": "exponent of parameters",
    "beta": "exponent of data",
    "a_opt": "beta / (alpha + beta): the best size grows as compute to this power",
}
PROPOSED = ("parameters", "unique tokens", "seeds", "to learn")
QUESTION = (
    "What would lower the loss of the largest run more: a factor of more unique tokens, or the "
    "same factor of more parameters?"
)
ANSWERS = {
    "data-limited": "data-limited: more unique tokens",
    "parameter-limited": "parameter-limited: more parameters",
    "undetermined": "undetermined: these runs do not tell",
}


def write_report(report: ScalingReport, folder: Path) -> tuple[Path, Path]:
    """Write report.html and report.json into a folder, and return their paths.

    Raises:
        OmniMouseError: The folder is a file.
    """
    require_folder(folder)
    document_path, page_path = folder / "report.json", folder / "report.html"
    write_document(document_path, "scaling-report", build_document(report))
    write_text(page_path, render_page(report, draw_figures(report)))
    return page_path, document_path


def render_page(report: ScalingReport, figures: Sequence[Figure]) -> str:
    """Return the HTML of the whole page."""
    drawn = {figure.name: figure for figure in figures}
    parts = [
        f"<header><h1>Scaling report</h1><p>{escape(report.table.title)}; "
        f"N: {escape(report.table.parameters_counted)}.</p></header>",
        _render_verdict(report),
        _render_warnings(report),
        render_section("Runs", render_figure(drawn.get("loss"))),
        render_section("The joint law", _render_law(report.law, drawn)) if report.law else "",
        render_section("A law per task", _render_tasks(report)) if report.tasks else "",
        render_section("Other laws", _render_alternatives(report)) if report.alternatives else "",
        render_section("Rows", _render_rows(report)),
        f"<footer>Fit: Huber loss of ln loss, many starts, "
        f"{report.num_resamples} {_name_resamples(report.law)}, seed {report.seed}. "
        "The same numbers are in report.json.</footer>",
    ]
    return render_document(f"Scaling report: {report.verdict.limit}", parts)


def _render_verdict(report: ScalingReport) -> str:
    verdict = report.verdict
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in verdict.reasons)
    intro = "Because" if verdict.limit != "undetermined" else "What is missing for a verdict"
    parts = [
        f'<section class="verdict {verdict.limit}"><p class="question">{QUESTION}</p>'
        f'<p class="word">{ANSWERS[verdict.limit]}</p><p>{intro}:</p><ul>{reasons}</ul>'
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
        parts.append(render_table(PROPOSED, rows, text=("to learn",)))
    return "".join(parts) + "</section>"


def _render_warnings(report: ScalingReport) -> str:
    sections = []
    named = {"What the numbers rest on": report.facts, "Limits": report.warnings}
    for name, sentences in named.items():
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
        sections.append(render_section(name, f"<ul>{items}</ul>") if items else "")
    return "".join(sections)


def _name_resamples(law: JointLaw | None) -> str:
    if law is None or law.effects is None:
        return "resamples of whole runs"
    return "draws of the effects of subsets and runs"


def _render_tasks(report: ScalingReport) -> str:
    rows = []
    for one in report.tasks:
        cells = ["-"] * 4
        if one.law is not None:
            cells = [
                f"{format_number(found.value)} ({format_number(found.low)} to "
                f"{format_number(found.high)})"
                for found in (one.law.estimates[name] for name in ("alpha", "beta", "E"))
            ]
            cells.append(f"{one.law.goodness.r2:.1%}")
        rows.append((one.task, *cells, "; ".join(one.reasons)))
    return (
        "<p>The joint law of the validation loss of each task; the law above is that of their "
        "mean over masking strategies of neurons.</p>"
        + render_table(
            ("task", "alpha", "beta", "E", "variance explained", "why not"), rows, text=("why not",)
        )
    )


def _render_law(law: JointLaw, drawn: dict[str, Figure]) -> str:
    formula = "L(N, D) = E + A / N<sup>alpha</sup> + B / D<sup>beta</sup>"
    estimates = render_table(
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
        text=("meaning",),
    )
    stability = render_table(
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
        + "".join(
            render_figure(drawn.get(name)) for name in ("residuals", "intervals", "map", "gains")
        )
        + f"<h3>Stability</h3>{stability}"
    )


def _render_alternatives(report: ScalingReport) -> str:
    best = min((one.aicc for one in report.alternatives if one.aicc is not None), default=None)
    rows = [
        (
            one.form.name,
            one.form.formula,
            str(one.form.num_fitted),
            "-" if one.aicc is None or best is None else f"{one.aicc - best:+.1f}",
            format_number(one.aicc),
            format_number(one.bic),
            one.r2,
            "-" if one.heldout_error is None else f"{one.heldout_error:.2%}",
            one.explain() or "",
        )
        for one in report.alternatives
    ]
    names = (
        *("form", "law", "k", "AICc over the best", "AICc", "BIC"),
        *("variance explained", "held-out error", "why not"),
    )
    conclusion = (
        f"{report.winner} is clearly the best: AICc lower by more than 4, smallest held-out error."
        if report.winner
        else "No form is clearly the best, with an AICc lower by more than 4 and the smallest "
        "held-out error."
    )
    breaks = "".join(
        f"<p>A break along {found.axis} at {format_magnitude(found.at)} "
        f"({format_magnitude(found.low)} to {format_magnitude(found.high)}): "
        f"AICc {found.delta_aicc:+.1f} in its favor; "
        f"{'not supported: ' + '; '.join(found.reasons) if found.reasons else 'supported'}.</p>"
        for one in report.alternatives
        for found in one.breaks
    )
    return (
        f"<p>{escape(conclusion)} Held-out error: root mean square of ln loss on the most "
        "expensive quarter of the runs, predicted from the others.</p>"
        f"{render_table(names, rows, text=('law', 'why not'))}{breaks}"
    )


def _render_rows(report: ScalingReport) -> str:
    names = ("run", "N", "D", "seen", "epochs", "seed", "split", "loss", "fitted", "residual")
    rows = []
    for row, fitted in zip(report.table.rows, report.list_fitted(), strict=True):
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
    excluded = ""
    if report.table.excluded:
        items = [(one.run, one.reason) for one in report.table.excluded]
        excluded = "<h3>Excluded</h3>" + render_table(("row", "why"), items, text=("row", "why"))
    table = render_table(names, rows, text=("run",))
    return render_details(f"{len(rows)} used", table, is_open=True) + excluded
