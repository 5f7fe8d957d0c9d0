"""Figures of the scores of an evaluation: each masking strategy, and perturbed video."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from omnimouse_cli.evaluation.records import CEILING, MODEL, OVERALL, SINGLE_TRIAL
from omnimouse_cli.report.evaluations import Score
from omnimouse_cli.report.svg import INK, Figure, draw_figure
from omnimouse_cli.text import escape_math

BLUE, RED, GREY = "#3b7dd8", "#d1495b", "#8a949e"
CLEAN, NEURONS = "clean", "neurons"
MAX_PANELS = 12
LABEL_LETTERS = 32


def draw_scores(scores: Sequence[Score], name: str) -> Figure | None:
    """Draw the single-trial correlation of each strategy beside baselines and ceiling.

    Args:
        scores: Of one evaluation; decoded behavior has a row for each target.
        name: Name of the figure on the page.

    Returns:
        None without a score of the model.
    """
    known = [one for one in scores if one.metric == SINGLE_TRIAL and one.value is not None]
    rows = list(dict.fromkeys(_name_row(one) for one in known if one.predictor == MODEL))
    if not rows:
        return None

    def draw(axes: Any) -> None:  # noqa: ANN401 - Matplotlib axes
        labeled: set[str] = set()
        for row, label in enumerate(reversed(rows)):
            for one in known:
                if _name_row(one) == label:
                    _plot_score(axes, one, row, labeled)
        axes.set_yticks(range(len(rows)), [escape_math(one) for one in rows[::-1]])
        axes.set(xlabel="single-trial correlation", ylim=(-0.6, len(rows) - 0.4))
        axes.axvline(0, color=INK, linewidth=0.5)
        axes.figure.legend(loc="outside lower center", ncols=3)

    return draw_figure(
        name,
        "Mean over all sessions, weighted by neurons or channels, with 95 % interval; the small "
        "dots are the sessions.",
        draw,
        width=5.0,
        height=1.7 + 0.32 * len(rows),
    )


def _name_row(one: Score) -> str:
    return one.strategy if one.target == NEURONS else f"{one.strategy} ({one.target})"


def _plot_score(axes: Any, one: Score, row: int, labeled: set[str]) -> None:  # noqa: ANN401
    """Plot one score in a row; the first of its kind has a label for the legend."""
    if one.session != OVERALL:
        if one.predictor == MODEL:
            axes.plot(one.value, row - 0.22, ".", color=BLUE, markersize=3, alpha=0.6)
        return
    kind = one.predictor if one.predictor in (MODEL, CEILING) else "baselines"
    label = None if kind in labeled else kind.replace(CEILING, "noise ceiling")
    labeled.add(kind)
    if kind == MODEL:
        if one.low is not None and one.high is not None:
            axes.plot([one.low, one.high], [row, row], color=BLUE, linewidth=2)
        axes.plot(one.value, row, "o", color=BLUE, markersize=6, label=label)
    elif kind == CEILING:
        axes.plot(one.value, row, "|", color=RED, markersize=14, markeredgewidth=2, label=label)
    else:
        axes.plot(one.value, row, "d", color=GREY, markersize=4, label=label)


def draw_perturbations(scores: Sequence[Score], strategy: str, name: str) -> Figure | None:
    """Draw the score of a strategy against the severity of each perturbation.

    Args:
        scores: Under perturbed and clean video, of one evaluation.
        strategy: Name of the masking strategy.
        name: Name of the figure on the page.

    Returns:
        None without a score under perturbed video.
    """
    own = [one for one in scores if (one.strategy, one.metric) == (strategy, SINGLE_TRIAL)]
    families = list(dict.fromkeys(one.perturbation for one in own if one.perturbation != CLEAN))
    if not families:
        return None
    families, left_out = families[:MAX_PANELS], families[MAX_PANELS:]
    others = f" In the table alone: {', '.join(left_out)}." if left_out else ""

    def draw(axes: Any) -> None:  # noqa: ANN401 - Matplotlib axes, or a list of them
        panels = axes if isinstance(axes, list) else [axes]
        values = [one.value for one in own if one.value is not None]
        whole = [one for one in own if one.session == OVERALL]
        values += [end for one in whole for end in (one.low, one.high) if end is not None]
        margin = 0.05 * (max(values) - min(values)) + 1e-3
        for panel, family in zip(panels, families, strict=True):
            curves: dict[str, dict[int, Score]] = {}
            for one in own:
                if one.perturbation in (CLEAN, family) and one.value is not None:
                    curves.setdefault(one.session, {})[one.severity] = one
            _plot_curves(panel, curves)
            unit = next((one.level_unit for one in own if one.perturbation == family), "")
            label = textwrap.fill(f"{family} ({unit})" if unit else family, LABEL_LETTERS)
            panel.set(xlabel=escape_math(label), ylabel="single-trial correlation")
            panel.set_ylim(min(values) - margin, max(values) + margin)
            _label_levels(panel, own, family)

    return draw_figure(
        name,
        f"{strategy}: single-trial correlation against the severity of the perturbation, over all "
        f"sessions with 95 % interval; thin lines are the sessions. On the left the clean "
        f"video.{others}",
        draw,
        columns=len(families),
        width=3.2,
        height=2.6,
    )


def _plot_curves(panel: Any, curves: Mapping[str, Mapping[int, Score]]) -> None:  # noqa: ANN401
    """Plot the scores of each session by severity, and those over all sessions."""
    for session, by_severity in curves.items():
        severities = sorted(by_severity)
        values = [by_severity[severity].value for severity in severities]
        if session != OVERALL:
            panel.plot(severities, values, color=GREY, linewidth=0.7, alpha=0.6)
            continue
        panel.plot(severities, values, "o-", color=BLUE, markersize=4)
        known = [one for one in severities if by_severity[one].low is not None]
        panel.fill_between(
            known,
            [by_severity[one].low for one in known],
            [by_severity[one].high for one in known],
            color=BLUE,
            alpha=0.2,
            linewidth=0,
        )


def _label_levels(panel: Any, scores: Sequence[Score], family: str) -> None:  # noqa: ANN401
    """Label each severity with the strength that it stands for."""
    levels = {one.severity: one.level for one in scores if one.perturbation == family}
    ticks = {0: "clean"} | {severity: f"{levels[severity]:g}" for severity in sorted(levels)}
    panel.set_xticks(list(ticks), list(ticks.values()))
