"""Example traces of an evaluation: what was measured and predicted, to choose from."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.evaluation.records import CEILING, MODEL
from omnimouse_cli.report.evaluations import INDEX, Arrays, OutputArrays, StoredEvaluation
from omnimouse_cli.report.html import escape, render_choices

F64 = NDArray[np.float64]
MEASURED, SECONDS, LABEL = "measured", "seconds", "label"
NAMES = ("evaluation", "session", "strategy", "trace")
# A drawing is stretched to the width of the page; its lines keep their width.
HEIGHT = 300
# Values further from the mean, in standard deviations of what was measured, are cut off.
LOWEST, HIGHEST = -2.5, 6.0
# A page with more traces would be slow to open.
MAX_TRACES = 400
# Distances of labels on the axes, of which the first is taken that gives few enough.
STEPS = tuple(one * 10.0**power for power in range(-3, 7) for one in (1, 2, 5))
MOST_TICKS = 6


class Item(NamedTuple):
    """A trace: its keys in the choice of traces, and its HTML."""

    keys: Sequence[str]
    body: str


def render_traces(evaluations: Sequence[StoredEvaluation]) -> str:
    """Return the HTML of all example traces, of which the reader chooses one; empty without any."""
    items = [item for one in evaluations for item in _items(one)]
    if not items:
        return ""
    shown, left_out = items[:MAX_TRACES], len(items) - MAX_TRACES
    note = (
        "Neurons whose correlation is high, fair and low among those of the session. Scored "
        "windows are drawn side by side, with a gap where time was skipped."
    )
    if left_out > 0:
        note += f" {left_out} more traces are in the files traces.npz of the evaluations."
    return f'<p class="note">{note}</p>{render_choices(NAMES, shown)}'


def _items(evaluation: StoredEvaluation) -> Iterator[Item]:
    scored = {(one.session, one.strategy, one.kind): one for one in evaluation.scored}
    for trace in evaluation.traces:
        if not {MEASURED, SECONDS, LABEL, MODEL} <= trace.values.keys():
            continue
        of_outputs = scored.get((trace.session, trace.strategy, trace.kind))
        for number, output in enumerate(trace.values[INDEX].tolist()):
            scores = {} if of_outputs is None else _scores_of(of_outputs.values, output)
            label = str(trace.values[LABEL][number])
            if MODEL in scores:
                label += f" (correlation {scores[MODEL]:.3f})"
            keys = (evaluation.title, trace.session, trace.strategy, label)
            yield Item(keys, _render_trace(trace, number, label, scores))


def _scores_of(values: Arrays, output: int) -> dict[str, float]:
    """Return the correlation of one output by predictor."""
    (positions,) = np.nonzero(values[INDEX] == output)
    if not len(positions):
        return {}
    found = {name: float(column[positions[0]]) for name, column in values.items() if name != INDEX}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _render_trace(trace: OutputArrays, number: int, label: str, scores: dict[str, float]) -> str:
    """Return the figure of one trace, with a caption that is its legend."""
    values = trace.values
    seconds = values[SECONDS].astype(np.float64)
    known = (MEASURED, SECONDS, LABEL, MODEL, CEILING, INDEX)
    baseline = next((name for name in values if name not in known), None)
    lines = [(MEASURED, "measured", MEASURED), (MODEL, "model", "model")]
    if baseline is not None:
        lines.insert(1, (baseline, "other", baseline.replace("_", " ")))
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    is_gap = np.diff(seconds, prepend=seconds[:1]) > 1.5 * step
    scaled, ends = _scale([values[name][:, number].astype(np.float64) for name, _, _ in lines])
    paths = "".join(
        f'<path class="{style}" vector-effect="non-scaling-stroke" d="{_path(heights, is_gap)}"/>'
        for heights, (_, style, _) in zip(scaled, lines, strict=True)
    )
    legend = ", ".join(
        f'<span class="{style}">&#9472; {escape(text)}'
        + (f" ({scores[name]:.3f})" if name in scores else "")
        + "</span>"
        for name, style, text in lines
    )
    ceiling = f"; noise ceiling {scores[CEILING]:.3f}" if CEILING in scores else ""
    about = f"{trace.session}, {trace.strategy}, {label}"
    return (
        f'<figure class="trace" role="img" aria-label="{escape(about)}">'
        f"{_render_axes(seconds, is_gap, ends, paths)}<figcaption>{legend}{ceiling}. "
        f"{len(seconds) * step:.1f} s, from second {seconds[0]:.1f} of the recording; "
        f"{escape(about)}.</figcaption></figure>"
    )


def _render_axes(
    seconds: F64, is_gap: NDArray[np.bool_], ends: tuple[float, float], paths: str
) -> str:
    """Return a drawing with labels of time and response as text of the page.

    Text inside the drawing would be stretched with it.

    Args:
        seconds: Time of each sample.
        is_gap: Whether time was skipped before it.
        ends: Responses at the lower and the upper edge.
        paths: The lines.
    """
    width = max(1, len(seconds) - 1)
    times = {at / width: f"{text}" for at, text in _time_ticks(seconds, is_gap)}
    low, high = ends
    heights = {(high - one) / (high - low): f"{one:g}" for one in _ticks(low, high)}
    grid = "".join(f"M{at * width:.0f} 0v{HEIGHT}" for at in times)
    grid += "".join(f"M0 {at * HEIGHT:.0f}h{width}" for at in heights)
    labels = "".join(
        f'<span class="x" style="left:{at:.1%}">{one}</span>' for at, one in times.items()
    )
    labels += "".join(
        f'<span class="y" style="top:{at:.1%}">{one}</span>' for at, one in heights.items()
    )
    return (
        '<p class="axis">response (standard deviations of the training data)</p><div class="plot">'
        f'<svg viewBox="0 0 {width} {HEIGHT}" preserveAspectRatio="none">'
        f'<path class="grid" vector-effect="non-scaling-stroke" d="{grid}"/>{paths}</svg>'
        f'{labels}</div><p class="axis">time (s from the start of the recording)</p>'
    )


def _time_ticks(seconds: F64, is_gap: NDArray[np.bool_]) -> Iterator[tuple[int, str]]:
    """Yield samples at whole multiples of a round time, and that time, far enough apart to read."""
    # Time that is skipped takes no space.
    drawn = len(seconds) * float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    step = next((one for one in STEPS if drawn <= one * MOST_TICKS), STEPS[-1])
    number = np.floor(seconds / step)
    last = -len(seconds)
    for at in np.flatnonzero((np.diff(number, prepend=number[:1]) > 0) & ~is_gap).tolist():
        if at - last >= len(seconds) / MOST_TICKS / 1.5 and at < 0.97 * len(seconds):
            yield at, f"{number[at] * step:g}"
            last = at


def _ticks(low: float, high: float) -> list[float]:
    """Return a few round responses between the edges."""
    step = next(one for one in (*STEPS, high - low) if high - low <= one * 4)
    ticks = (step * np.arange(np.ceil(low / step), np.floor(high / step) + 1)).round(9)
    # Without a negative zero.
    return [float(one) for one in ticks + 0.0]


def _scale(lines: Sequence[F64]) -> tuple[list[F64], tuple[float, float]]:
    """Return heights in the drawing, from the mean and the deviation of the first line.

    Also the values of its lower and its upper edge.
    """
    measured = lines[0][np.isfinite(lines[0])]
    mean = float(measured.mean()) if len(measured) else 0.0
    deviation = (float(measured.std()) if len(measured) else 1.0) or 1.0
    scores = [np.clip((line - mean) / deviation, LOWEST, HIGHEST) for line in lines]
    finite = np.concatenate([line[np.isfinite(line)] for line in scores])
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    span = high - low or 1.0
    ends = (mean + float(low) * deviation, mean + float(low + span) * deviation)
    return [HEIGHT * (high - line) / span for line in scores], ends


def _path(heights: F64, is_gap: NDArray[np.bool_]) -> str:
    """Return the path of a line in whole pixels, interrupted at gaps and unknown values."""
    known = np.isfinite(heights)
    rows = np.rint(np.where(known, heights, 0)).astype(np.int64)
    breaks = np.flatnonzero(is_gap[1:] | (known[1:] != known[:-1])) + 1
    parts = []
    for piece in np.split(np.arange(len(rows)), breaks):
        if len(piece) and known[piece[0]]:
            steps = " ".join(f"1 {step}" for step in np.diff(rows[piece]).tolist())
            parts.append(f"M{piece[0]} {rows[piece[0]]}l{steps or '0 0'}")
    return "".join(parts)
