"""The page of a probe: distributions of each session, pictures of its best predicted neurons."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.files import write_text
from omnimouse_cli.probing.behavior_state import describe_state
from omnimouse_cli.probing.session_probe import PROPERTIES, SessionProbe
from omnimouse_cli.report.html import (
    escape,
    render_document,
    render_figure,
    render_section,
    render_table,
)
from omnimouse_cli.report.svg import INK, Figure, draw_figure
from omnimouse_cli.text import pluralize

I64 = NDArray[np.int64]
PAGE = "probe.html"
COLOR, MARK = "#3b7dd8", "#d1495b"
# Half axes of the ellipse of a receptive field, in standard deviations.
ELLIPSE_DEVIATIONS = 2.0
TITLES = {
    "receptive_field": "receptive field",
    "orientation": "orientation and direction",
    "spatial_frequency": "spatial frequency",
    "temporal_frequency": "temporal frequency",
    "size": "size",
    "contrast": "contrast",
}
DEFINITIONS = (
    ("R", "response above that to a grey screen; 0 where it is below"),
    ("direction", "of motion, counter-clockwise from rightward"),
    ("orientation", "of bars, counter-clockwise from horizontal"),
    ("OSI", "1 - circular variance: |sum R(d) exp(2 i d)| / sum R(d)"),
    ("OSI ratio", "(preferred - orthogonal) / (preferred + orthogonal)"),
    ("DSI", "(preferred - opposite) / (preferred + opposite)"),
    ("width", "half width at half height, counted from the minimum of the curve"),
    (
        "size of a receptive field",
        "standard deviations of the Gaussian envelope of a linear filter with this map",
    ),
    ("suppression", "1 - R(largest disc) / R(best disc)"),
    ("half saturation", "h of R(c) = R_max c^n / (c^n + h^n)"),
)


def write_page(probes: Sequence[SessionProbe], folder: Path, *, pictures: int = 24) -> Path:
    """Write one page of all sessions and return its path.

    Args:
        probes: At least one session.
        folder: Where to.
        pictures: Number of neurons of each session that are drawn, the best predicted ones.
    """
    path = folder / PAGE
    write_text(path, render_page(probes, pictures=pictures))
    return path


def render_page(probes: Sequence[SessionProbe], *, pictures: int) -> str:
    """Return the HTML of the page."""
    runs = ", ".join(dict.fromkeys(run for found in probes for run in found.runs))
    parts = [
        f"<header><h1>Receptive fields and tuning</h1><p>{escape(runs)}</p></header>",
        *(_render_session(found, f"s{number}", pictures) for number, found in enumerate(probes)),
        render_section(
            "Definitions", render_table(("term", "definition"), DEFINITIONS, text=("definition",))
        ),
        "<footer>Numbers of all neurons are in probe.csv and probe.json, curves and maps in "
        "probe.npz.</footer>",
    ]
    return render_document("Receptive fields and tuning", parts)


def best_neurons(found: SessionProbe, count: int) -> I64:
    """Return rows of the reliable neurons with the highest scores, best first."""
    order = np.argsort(-np.nan_to_num(found.score, nan=-np.inf), kind="stable")
    return order[found.reliable[order]][:count]


def _name_best(count: int) -> str:
    return "The best predicted neuron" if count == 1 else f"The {count} best predicted neurons"


def _describe_apertures(found: SessionProbe) -> str:
    """Return a sentence on the gratings by which the tuning for direction was measured."""
    aperture_px, in_disc = found.options.aperture_px, int(found.in_disc.sum())
    if aperture_px is None or not in_disc:
        return "Tuning for direction was measured with gratings that fill the screen."
    sentence = (
        f"Tuning for direction of {pluralize(in_disc, 'neuron')} was measured in discs of "
        f"{aperture_px:g} pixels about the receptive fields"
    )
    others = len(found.neuron) - in_disc
    if others:
        sentence += f", that of {pluralize(others, 'other')} with gratings that fill the screen"
    return f"{sentence}."


def _render_session(found: SessionProbe, name: str, pictures: int) -> str:
    chosen = best_neurons(found, pictures)
    sentences = [
        f"Neurons that are given numbers: {found.reliable.sum()} of {len(found.neuron)}. Score: "
        f"{found.score_source}.",
        _as_sentence(describe_state(found.state)),
        f"Responses in {found.unit}. Stimuli have a mean grey level of {found.mean_grey:g}, "
        f"gratings a contrast of {found.options.contrast:g}.",
        _describe_apertures(found),
        "Visual angle of a pixel at the center of the screen: "
        + (
            "not known, as the shard does not describe the monitor."
            if found.degrees_per_pixel is None
            else f"{found.degrees_per_pixel:.3g} degrees."
        ),
        *(_as_sentence(note) for note in found.notes),
    ]
    body = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    body += _render_known(found)
    if found.reliable.any():
        body += render_figure(_draw_distributions(found, f"{name}-all"))
    else:
        sentence = f"No neuron passed: none has a score of at least {found.least_score:g}."
        body += f"<p>{escape(sentence)}</p>"
    if len(chosen):
        body += f"<h3>{_name_best(len(chosen))}</h3>"
        body += "".join(
            render_figure(_draw_neuron(found, int(row), f"{name}-{row}")) for row in chosen
        )
    return render_section(f"Session {found.session}", body)


def _as_sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _render_known(found: SessionProbe) -> str:
    rows = []
    for name in PROPERTIES:
        values = found.reliability[name]
        values = values[found.reliable & np.isfinite(values)]
        rows.append(
            (
                TITLES[name],
                str(int(found.known[name].sum())),
                "-" if not values.size else f"{np.median(values):.2f}",
                found.reliability_source[name],
            )
        )
    names = ("property", "neurons with numbers", "median reliability", "between")
    return render_table(names, rows, text=("between",))


def _draw_distributions(found: SessionProbe, name: str) -> Figure:
    center = found.receptive_field.fit.center_px
    panels: tuple[tuple[str, NDArray[np.float64], Any], ...] = (
        ("preferred orientation\n(degrees)", found.orientation.orientation_deg, (0, 180)),
        ("OSI", found.orientation.osi, (0, 1)),
        ("DSI", found.orientation.dsi, (0, 1)),
        ("spatial frequency\n(cycles/pixel)", found.spatial_frequency.preferred, None),
        ("preferred diameter\n(pixels)", found.size.preferred_px, None),
    )

    def draw(axes: Any) -> None:  # noqa: ANN401 - an array of Matplotlib axes
        height, width = found.frame_shape
        axes[0].scatter(center[:, 1], center[:, 0], s=8, color=COLOR)
        axes[0].set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")
        axes[0].set(xlabel="column (pixels)", ylabel="row (pixels)")
        for one, (label, values, limits) in zip(axes[1:], panels, strict=True):
            one.hist(values[np.isfinite(values)], bins=18, range=limits, color=COLOR)
            one.set(xlabel=label, ylabel="neurons")

    return draw_figure(
        name,
        "Centers of receptive fields and distributions of preferences, of the neurons that are "
        "given numbers.",
        draw,
        columns=6,
        width=2.4,
        height=2.4,
    )


def _draw_neuron(found: SessionProbe, row: int, name: str) -> Figure:
    def draw(axes: Any) -> None:  # noqa: ANN401 - an array of Matplotlib axes
        _draw_field(axes[0], found, row)
        directions = [*found.options.directions_deg, 360.0]
        curve = found.orientation.curve[row]
        axes[1].plot(directions, [*curve, curve[0]], color=COLOR)
        axes[1].set(xlabel="direction (degrees)", xticks=(0, 90, 180, 270, 360), ylabel="response")
        _mark(axes[1], found.orientation.direction_deg[row])
        for axis, tuning, label in (
            (axes[2], found.spatial_frequency, "cycles/pixel"),
            (axes[3], found.temporal_frequency, "Hz"),
        ):
            axis.semilogx(tuning.axis, tuning.curve[row], ".-", color=COLOR)
            axis.set(xlabel=label)
            _mark(axis, tuning.preferred[row])
        size, contrast = found.size, found.contrast
        axes[4].plot(size.diameter_px, size.curve[row], ".-", color=COLOR, label="disc")
        axes[4].plot(size.inner_px, size.annulus_curve[row], ".--", color=INK, label="annulus")
        axes[4].set(xlabel="diameter (pixels)")
        axes[4].legend()
        _mark(axes[4], size.preferred_px[row])
        axes[5].plot(contrast.contrast, contrast.curve[row], ".-", color=COLOR)
        axes[5].set(xlabel="contrast")
        for axis in axes[1:]:
            axis.axhline(0, color=INK, linewidth=0.5)
        _plain_ticks(axes[2], found.spatial_frequency.axis)
        _plain_ticks(axes[3], found.temporal_frequency.axis)

    return draw_figure(
        re.sub(r"[^A-Za-z0-9_-]", "-", name),
        _caption(found, row),
        draw,
        columns=6,
        width=2.4,
        height=2.0,
    )


def _caption(found: SessionProbe, row: int) -> str:
    """Return the neuron's name and its numbers; unknown ones are a dash."""

    def number(value: float, unit: str = "") -> str:
        return f"{value:.3g}{unit}" if np.isfinite(value) else "-"

    name = f"Neuron {found.neuron[row]}"
    if found.unit_id is not None:
        name += f" (unit {found.unit_id[row]})"
    tuning = found.orientation
    return (
        f"{name}: score {number(found.score[row])}; orientation "
        f"{number(tuning.orientation_deg[row])}°, direction {number(tuning.direction_deg[row])}°, "
        f"OSI {number(tuning.osi[row])}, DSI {number(tuning.dsi[row])}; "
        f"{number(found.spatial_frequency.preferred[row])} cycles/pixel, "
        f"{number(found.temporal_frequency.preferred[row])} Hz; diameter "
        f"{number(found.size.preferred_px[row])} pixels, suppression "
        f"{number(found.size.suppression[row])}; half saturation "
        f"{number(found.contrast.half[row])}."
    )


def _draw_field(axes: Any, found: SessionProbe, row: int) -> None:  # noqa: ANN401
    field = found.receptive_field
    height, width = found.frame_shape
    one, fit = field.maps[field.reported], field.fit
    half = (one.row_px[1] - one.row_px[0]) / 2 if len(one.row_px) > 1 else 0.5
    extent = (
        one.column_px[0] - half,
        one.column_px[-1] + half,
        one.row_px[-1] + half,
        one.row_px[0] - half,
    )
    axes.imshow(one.values[row], cmap="Greys", extent=extent, aspect="equal")
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=(), yticks=())
    axes.set(xlabel=f"receptive field ({field.reported})")
    axes.spines[["left", "bottom"]].set_visible(False)
    if np.isfinite(fit.center_px[row]).all():
        turn = np.linspace(0, 2 * np.pi, 100)
        long, short = fit.size_px[row] * ELLIPSE_DEVIATIONS
        angle = np.deg2rad(fit.orientation_deg[row])
        right = long * np.cos(turn) * np.cos(angle) - short * np.sin(turn) * np.sin(angle)
        up = long * np.cos(turn) * np.sin(angle) + short * np.sin(turn) * np.cos(angle)
        axes.plot(fit.center_px[row, 1] + right, fit.center_px[row, 0] - up, color=MARK)


def _mark(axes: Any, value: float) -> None:  # noqa: ANN401
    if np.isfinite(value):
        axes.axvline(value, color=MARK, linewidth=0.8)


def _plain_ticks(axes: Any, values: NDArray[np.float64]) -> None:  # noqa: ANN401
    from matplotlib.ticker import NullLocator

    shown = values[:: max(1, len(values) // 3)]
    axes.set_xticks(shown, [f"{value:.2g}" for value in shown])
    axes.xaxis.set_minor_locator(NullLocator())
