"""Neurons of the evaluated sessions: maps, and a table that the reader sorts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.evaluation.records import CEILING, MODEL, NEURONS, ORACLE
from omnimouse_cli.report.evaluations import (
    INDEX,
    Arrays,
    OutputArrays,
    StoredEvaluation,
    best_baseline,
)
from omnimouse_cli.report.html import escape, render_choices, render_figure, render_table
from omnimouse_cli.report.svg import Figure, draw_figure
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import escape_math, pluralize

F64 = NDArray[np.float64]
# Its scores are on the maps, where it was evaluated.
MAIN_STRATEGY = "predict"
MAX_STRATEGIES = 8
# Larger tables and pages would be slow to open.
MAX_ROWS = 1000
MAX_SESSIONS = 16
# More points than these are drawn as one picture.
MAX_VECTOR_POINTS = 400
COLORS = "viridis"
PROGRESS_TASK = "drawing"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SessionNeurons:
    """The neurons of one session in one evaluation.

    Args:
        evaluation: The evaluation.
        session: Session key.
        strategy: Strategy whose scores are on the maps.
        columns: Numbers of each neuron by heading, each `(neurons,)`, NaN where unknown.
        texts: Unit ids, areas and layers of each neuron by heading.
        order: Neurons from the highest score on.
    """

    evaluation: StoredEvaluation
    session: str
    strategy: str
    columns: Mapping[str, F64]
    texts: Mapping[str, Sequence[str]]
    order: Sequence[int]

    @property
    def score(self) -> F64:
        """Scores of the model that are on the maps."""
        return self.columns[self.strategy]


class Panel(NamedTuple):
    """A scatter plot of neurons: headings of its axes and of what its colors are."""

    x: str
    y: str
    color: str | None
    is_map: bool


X, Y, DEPTH = "x (µm)", "y (µm)", "depth (µm)"
RELIABILITY = "reliability"


def render_neurons(evaluations: Sequence[StoredEvaluation], reporter: Reporter) -> str:
    """Return the HTML of maps and tables, of which the reader chooses one; empty without scores."""
    found = [
        neurons
        for evaluation in evaluations
        for session in dict.fromkeys(one.session for one in evaluation.scored)
        if (neurons := find_neurons(evaluation, session)) is not None
    ]
    if not found:
        return ""
    shown = found[:MAX_SESSIONS]
    items = []
    reporter.start(PROGRESS_TASK, len(shown))
    for number, one in enumerate(shown):
        items.append(((one.evaluation.title, one.session), _render_session(one, f"n{number}")))
        reporter.advance(PROGRESS_TASK, note=one.session)
    reporter.finish(PROGRESS_TASK)
    note = ""
    if len(found) > len(shown):
        note = (
            f'<p class="note">{len(shown)} of {len(found)} sessions of evaluations are shown; the '
            "files neurons.csv have all.</p>"
        )
    return f"{note}{render_choices(('evaluation', 'session'), items)}"


def find_neurons(evaluation: StoredEvaluation, session: str) -> SessionNeurons | None:
    """Gather what is known of the neurons of a session; None where no strategy predicts them."""
    scored = [one for one in evaluation.scored if (one.session, one.kind) == (session, NEURONS)]
    if not scored:
        return None
    main = next((one for one in scored if one.strategy == MAIN_STRATEGY), scored[0])
    facts = evaluation.neurons.get(session, {})
    known = [len(values) for values in facts.values()]
    num_neurons = max([*known, *(int(one.values[INDEX].max(initial=-1)) + 1 for one in scored)])
    columns = _positions(facts)
    reliability = _reliability(scored, num_neurons)
    if reliability is not None:
        columns[RELIABILITY] = reliability
    columns[main.strategy] = _scatter(main, MODEL, num_neurons)
    baseline = best_baseline(evaluation.scores, main.strategy, NEURONS)
    if baseline is not None and baseline in main.values:
        heading = f"{main.strategy} by {baseline.replace('_', ' ')}"
        columns[heading] = _scatter(main, baseline, num_neurons)
    for one in [one for one in scored if one is not main][: MAX_STRATEGIES - 1]:
        columns[one.strategy] = _scatter(one, MODEL, num_neurons)
    order = np.argsort(-np.nan_to_num(columns[main.strategy], nan=-np.inf), kind="stable")
    return SessionNeurons(
        evaluation=evaluation,
        session=session,
        strategy=main.strategy,
        columns=columns,
        texts={
            title: [str(value) for value in facts[name].tolist()]
            for name, title in (("unit_id", "unit"), ("area", "area"), ("layer", "layer"))
            if name in facts
        },
        order=order.tolist(),
    )


def _positions(facts: Arrays) -> dict[str, F64]:
    position = facts.get("position_um")
    if position is None:
        return {}
    return {name: position[:, axis].astype(float) for axis, name in enumerate((X, Y, DEPTH))}


def _reliability(scored: Sequence[OutputArrays], num_neurons: int) -> F64 | None:
    """Return oracle scores, from repeats of the stimulus; else the ceilings of a simulation."""
    for name in (ORACLE, CEILING):
        for one in scored:
            if name in one.values:
                return _scatter(one, name, num_neurons)
    return None


def _scatter(one: OutputArrays, predictor: str, num_neurons: int) -> F64:
    """Return a value of every neuron; NaN where one has none."""
    values = np.full(num_neurons, np.nan)
    if predictor in one.values:
        values[one.values[INDEX]] = one.values[predictor]
    return values


def _render_session(found: SessionNeurons, name: str) -> str:
    shown = found.order[:MAX_ROWS]
    cells = {
        "neuron": [str(neuron) for neuron in shown],
        **{
            title: [texts[neuron] or "-" for neuron in shown]
            for title, texts in found.texts.items()
        },
        **{
            title: [_format(values[neuron], title) for neuron in shown]
            for title, values in found.columns.items()
        },
    }
    table = render_table(
        list(cells), zip(*cells.values(), strict=True), is_sortable=True, is_long=True
    )
    of_all = f"{len(shown):,} of " if len(shown) < len(found.order) else ""
    count = f"{of_all}{pluralize(len(found.order), 'neuron')}"
    return (
        f"{render_figure(_draw_maps(found, name))}"
        f'<p class="note">{count}, the highest score in {escape(found.strategy)} first. '
        "Columns named by a masking strategy have the single-trial correlation of the model; "
        f"{_describe_reliability(found)} neurons.csv of the evaluation has all neurons and "
        f"predictors.</p>{table}"
    )


def _describe_reliability(found: SessionNeurons) -> str:
    if RELIABILITY not in found.columns:
        return "no reliability is known, as no scored stimulus was repeated."
    is_oracle = any(
        ORACLE in one.values for one in found.evaluation.scored if one.session == found.session
    )
    what = (
        "the correlation of a trial with the mean of the other repeats (oracle score)"
        if is_oracle
        else "the score of the simulation's true rate"
    )
    return f"reliability is {what}."


def _format(value: float, title: str) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{value:.0f}" if title in (X, Y, DEPTH) else f"{value:.3f}"


def _panels(found: SessionNeurons) -> Iterator[Panel]:
    """Yield the plots that the known columns allow."""
    has_position, score = X in found.columns, found.strategy
    if has_position:
        yield Panel(X, Y, score, is_map=True)
        if np.unique(found.columns[DEPTH]).size > 1:
            yield Panel(X, Y, DEPTH, is_map=True)
    if RELIABILITY in found.columns:
        if has_position:
            yield Panel(X, Y, RELIABILITY, is_map=True)
        yield Panel(RELIABILITY, score, None, is_map=False)
    if has_position and np.unique(found.columns[DEPTH]).size > 1:
        yield Panel(DEPTH, score, None, is_map=False)


def _draw_maps(found: SessionNeurons, name: str) -> Figure:
    panels = list(_panels(found))

    def draw(axes: Any) -> None:  # noqa: ANN401 - Matplotlib axes, or a list of them
        drawn = axes if isinstance(axes, list) else [axes]
        drawn[0].hist(found.score[np.isfinite(found.score)], bins=24, color="#3b7dd8")
        drawn[0].set(xlabel=escape_math(f"score in {found.strategy}"), ylabel="neurons")
        for one, panel in zip(drawn[1:], panels, strict=True):
            _draw_panel(one, panel, found)

    return draw_figure(
        re.sub(r"[^A-Za-z0-9_-]", "-", name),
        f"Neurons of {found.session}: scores (single-trial correlation of the model in "
        f"{found.strategy}), and where they lie.",
        draw,
        columns=1 + len(panels),
        width=3.4,
        height=3.0,
    )


def _draw_panel(axes: Any, panel: Panel, found: SessionNeurons) -> None:  # noqa: ANN401
    columns = found.columns
    x, y = columns[panel.x], columns[panel.y]
    colors = "#3b7dd8" if panel.color is None else columns[panel.color]
    points = axes.scatter(
        x,
        y,
        c=colors,
        cmap=None if panel.color is None else COLORS,
        s=10 if len(x) <= MAX_VECTOR_POINTS else 4,
        linewidths=0,
        rasterized=len(x) > MAX_VECTOR_POINTS,
        plotnonfinite=False,
    )
    label = f"score in {panel.y}" if panel.y == found.strategy else panel.y
    axes.set(xlabel=panel.x, ylabel=escape_math(label))
    if panel.is_map:
        axes.set_aspect("equal", adjustable="datalim")
    if panel.color is not None:
        title = "score" if panel.color == found.strategy else panel.color
        axes.figure.colorbar(points, ax=axes, label=title, shrink=0.85)
