"""The page of runs: what was trained on what, curves, scores, neurons, traces, environment."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omnimouse_cli.evaluation.records import MODEL, OVERALL, SINGLE_TRIAL
from omnimouse_cli.files import write_text
from omnimouse_cli.report.curves import LearningCurves
from omnimouse_cli.report.curves_figure import drawn_targets, plot_curves
from omnimouse_cli.report.evaluations import StoredEvaluation
from omnimouse_cli.report.html import (
    escape,
    render_details,
    render_document,
    render_figure,
    render_section,
    render_table,
)
from omnimouse_cli.report.neurons import render_neurons
from omnimouse_cli.report.run_files import RunFiles, describe_missing
from omnimouse_cli.report.score_figures import NEURONS
from omnimouse_cli.report.scores import format_value, render_perturbations, render_scores
from omnimouse_cli.report.svg import Figure, draw_figure
from omnimouse_cli.report.traces import render_traces
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import format_count, format_duration, format_number, pluralize

PAGE = "report.html"
NO_EVALUATION = "No evaluation yet: omnimouse eval RUN makes one."
NO_TRACES = "The evaluations have kept no traces: omnimouse eval RUN keeps some."


def write_run_page(runs: Sequence[RunFiles], path: Path, reporter: Reporter) -> None:
    """Write the page of some runs.

    Args:
        runs: At least one run.
        path: The HTML file.
        reporter: Receives progress: maps of many sessions take a while.
    """
    write_text(path, render_run_page(runs, reporter))


def render_run_page(runs: Sequence[RunFiles], reporter: Reporter) -> str:
    """Return the HTML of the page."""
    names = ", ".join(run.name for run in runs)
    evaluations = [one for run in runs for one in run.evaluations]
    sections = {
        "Runs": _render_runs(runs),
        "Data": _render_data(runs),
        "Learning curves": _render_curves(runs),
        "Scores": _render_side_by_side(runs) + render_scores(evaluations)
        if evaluations
        else _note(NO_EVALUATION),
        "Neurons": render_neurons(evaluations, reporter) or _note(NO_EVALUATION),
        "Traces": render_traces(evaluations) or _note(NO_TRACES if evaluations else NO_EVALUATION),
        "Perturbed video": render_perturbations(evaluations),
        "Configuration and environment": "".join(_render_environment(run) for run in runs),
    }
    sections = {title: body for title, body in sections.items() if body}
    identifiers = {title: title.lower().replace(" ", "-") for title in sections}
    links = "".join(
        f'<a href="#{identifier}">{escape(title)}</a>' for title, identifier in identifiers.items()
    )
    count = f"{pluralize(len(runs), 'run')}, {pluralize(len(evaluations), 'evaluation')}"
    parts = [
        f"<header><h1>{escape(names)}</h1><p>{count}</p></header><nav>{links}</nav>",
        *(render_section(title, body, name=identifiers[title]) for title, body in sections.items()),
        "<footer>Made by omnimouse report from the files of the runs. Scores are in eval.json, "
        "neurons in neurons.csv, traces in traces.npz of each evaluation.</footer>",
    ]
    return render_document(f"Report: {names}", parts, has_script=True)


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _render_runs(runs: Sequence[RunFiles]) -> str:
    """Return the table of runs: one column for each, so that many facts fit a narrow page."""
    rows = [(title, *cells) for title, cells in _facts(runs) if any(cell != "-" for cell in cells)]
    names = ("", *(run.name for run in runs))
    return render_table(names, rows, text=names)


def _facts(runs: Sequence[RunFiles]) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of the table of runs."""

    def of_summary(name: str) -> list[Any]:
        return [run.summary.get(name) for run in runs]

    def counts(name: str) -> list[str]:
        return [_count(value) for value in of_summary(name)]

    yield "state", ["finished" if run.summary else "unfinished" for run in runs]
    yield "model", [_text(value) for value in of_summary("model")]
    parameters = [value if isinstance(value, dict) else {} for value in of_summary("parameters")]
    yield "parameters of the core", [_count(one.get("core")) for one in parameters]
    yield (
        "all parameters",
        [_count(one.get("total")) for one in parameters],
    )
    yield "sessions", counts("sessions")
    yield "animals", counts("animals")
    yield "neurons", [_count(sum(_number(one, "neurons") for one in run.data)) for run in runs]
    yield "optimizer steps", counts("steps")
    yield "passes over the data", [_decimal(value) for value in of_summary("epochs")]
    yield "tokens seen", counts("tokens_seen")
    yield "unique tokens", counts("unique_tokens")
    validation = [value if isinstance(value, dict) else {} for value in of_summary("validation")]
    losses = [_decimal(one.get("neural_loss")) for one in validation]
    yield "neural validation loss", losses
    yield "response loss", [_text(value) for value in of_summary("response_loss")]
    yield "seed", [_text(value) for value in of_summary("seed")]
    yield "adapted from", [_text(value) for value in of_summary("adapted_from")]
    yield "device", [_text(value) for value in of_summary("device")]
    seconds = of_summary("wall_seconds")
    yield "time of training", [_duration(value) for value in seconds]
    yield "tags", [", ".join(run.labels.tags) or "-" for run in runs]
    yield "note", [run.labels.note or "-" for run in runs]


def _count(value: object) -> str:
    is_number = type(value) in (int, float) and value
    return format_count(value) if is_number else "-"  # type: ignore[arg-type]


def _decimal(value: object) -> str:
    return format_number(value) if isinstance(value, int | float) else "-"


def _duration(seconds: object) -> str:
    return format_duration(seconds) if isinstance(seconds, int | float) else "-"


def _number(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    return value if type(value) is int else 0


def _text(value: object) -> str:
    return "-" if value in (None, "", []) else str(value)


def _render_data(runs: Sequence[RunFiles]) -> str:
    """Return the table of the sessions that the runs were trained on."""
    missing = [text for run in runs if (text := describe_missing(run)) is not None]
    trained: dict[tuple[str, str], tuple[Mapping[str, Any], list[str]]] = {}
    for run in runs:
        for one in run.data:
            key = (_text(one.get("session")), _text(one.get("fingerprint")))
            trained.setdefault(key, (one, []))[1].append(run.name)
    rows = []
    for (session, fingerprint), (one, names) in trained.items():
        source = [one[name] for name in ("citation", "doi") if isinstance(one.get(name), str)]
        rows.append(
            (
                session,
                _text(one.get("animal")),
                _count(one.get("neurons")),
                _text(one.get("response_kind")),
                _text(one.get("licence")) if one.get("licence") else "not stated",
                "; ".join(source) or "not stated",
                fingerprint,
                *([", ".join(names)] if len(runs) > 1 else []),
            )
        )
    headings = ["session", "animal", "neurons", "responses", "licence", "citation", "fingerprint"]
    headings += ["runs"] if len(runs) > 1 else []
    table = ""
    if rows:
        long = ("licence", "citation", "fingerprint", "runs")
        table = render_table(headings, rows, text=long, is_sortable=True, is_long=len(rows) > 20)
    return "".join(map(_note, missing)) + table


def _render_curves(runs: Sequence[RunFiles]) -> str:
    """Return the figures of the learning curves, one for each kind of neural loss."""
    curves = [run.curves for run in runs if run.curves is not None]
    parts = []
    for loss in dict.fromkeys(one.response_loss for one in curves):
        same = [one for one in curves if one.response_loss == loss]
        parts.append(render_figure(_draw_curves(same, f"curves-{loss}")))
    absent = [run.name for run in runs if run.curves is None]
    if absent:
        parts.append(_note(f"No losses were logged by {', '.join(absent)}."))
    return "".join(parts)


def _draw_curves(curves: Sequence[LearningCurves], name: str) -> Figure:
    targets = drawn_targets(curves)

    def draw(axes: Any) -> None:  # noqa: ANN401 - Matplotlib axes, or a list of them
        panels = axes if isinstance(axes, list) else [axes]
        for panel, target in zip(panels, targets, strict=True):
            plot_curves(panel, curves, target)
            panel.legend()

    return draw_figure(
        name,
        "Thin, crosses: loss of training steps, running mean. Dots: validation, mean over masking "
        "strategies and all sessions.",
        draw,
        columns=len(targets),
        width=4.8,
        height=3.4,
    )


def _render_side_by_side(runs: Sequence[RunFiles]) -> str:
    """Return the overall scores of several runs beside each other; empty for one run."""
    if len(runs) < 2:
        return ""
    table: dict[tuple[str, str], dict[str, str]] = {}
    for run in runs:
        for evaluation in run.evaluations:
            for strategy, value in _overall_scores(evaluation).items():
                table.setdefault((evaluation.name, strategy), {})[run.name] = value
    names = [run.name for run in runs]
    rows = [(*key, *(cells.get(name, "-") for name in names)) for key, cells in table.items()]
    note = (
        "Single-trial correlation of neurons over all sessions of each evaluation. Runs are "
        "compared on equal windows, with intervals, by: omnimouse compare RUN RUN."
    )
    return _note(note) + render_table(("evaluation", "strategy", *names), rows, is_sortable=True)


def _overall_scores(evaluation: StoredEvaluation) -> dict[str, str]:
    return {
        one.strategy: format_value(one)
        for one in evaluation.scores
        if (one.session, one.target, one.metric, one.predictor)
        == (OVERALL, NEURONS, SINGLE_TRIAL, MODEL)
    }


def _render_environment(run: RunFiles) -> str:
    """Return versions, command line and the resolved configuration of a run."""
    trainings = [run.environment, *(run.environment.get("resumes") or [])]
    rows = []
    for number, facts in enumerate(one for one in trainings if isinstance(one, dict) and one):
        when = "training" if number == 0 else f"resumed, {number}"
        rows += [(when, name, text) for name, text in _environment_facts(facts)]
    table = render_table(("", "what", "value"), rows, text=("value",)) if rows else ""
    text = f"<pre>{escape(run.config)}</pre>"
    config = render_details("config.toml", text, is_open=True) if run.config else ""
    return f"<h3>{escape(run.name)}</h3>{table}{config}"


def _environment_facts(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and text of what environment.json says of one start of a training."""
    for name, value in facts.items():
        if name in ("format", "version", "resumes") or value in (None, [], {}):
            continue
        if isinstance(value, dict):
            text = ", ".join(f"{key} {one}" for key, one in value.items())
        elif isinstance(value, list):
            text = " ".join(map(str, value))
        else:
            text = str(value)
        yield name.replace("_", " "), text
