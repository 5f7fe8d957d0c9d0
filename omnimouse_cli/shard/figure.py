"""A figure of some seconds of a session: stimulus, trials, responses and behavior."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.recording.recording import Clock, latest_index
from omnimouse_cli.shard.intervals import intersect_all, subtract
from omnimouse_cli.shard.read import Shard
from omnimouse_cli.shard.valid import trial_time
from omnimouse_cli.text import escape_math, pluralize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

FIGURE_SECONDS = 20.0
LEAST_SECONDS = 1.0
NUM_FRAMES_SHOWN = 8
MAX_NEURONS_SHOWN = 1000


def draw_session(
    shard: Shard, path: Path, *, seconds: float = FIGURE_SECONDS, at: float | None = None
) -> None:
    """Write a figure of a session to `path`: frames, trials, raster, population mean, behavior.

    Args:
        shard: The open shard of the session.
        path: Image file; its suffix selects the format (png, pdf, svg).
        seconds: Length of the time shown.
        at: Start of the time shown, in seconds from the recording's origin; None takes the first
            valid stretch.

    Raises:
        OmniMouseError: matplotlib is not installed, or has no such image format; or nothing was
            recorded at that time.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OmniMouseError(
            "a figure needs matplotlib, which is not installed",
            hint="pip install 'omnimouse[report]'",
        ) from error
    span = select_span(shard, seconds) if at is None else _span_at(shard, seconds, at)
    channels = [(d.name, i) for d in shard.description.behavior for i in range(len(d.channels))]
    heights = [1.4, 0.25, 4.0, 0.9] + [0.7] * len(channels)
    figure = Figure(figsize=(11, sum(heights) + 1.0), layout="constrained")
    title = f"{shard.description.session}, {span[0]:.1f} to {span[1]:.1f} s"
    figure.suptitle(escape_math(title), fontsize=11)
    rows = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    _draw_frames(figure, rows[0], shard, span)
    trials = figure.add_subplot(rows[1])
    _draw_trials(trials, shard, span)
    raster = figure.add_subplot(rows[2], sharex=trials)
    _draw_raster(raster, shard, span)
    _draw_mean(figure.add_subplot(rows[3], sharex=trials), shard, span)
    for row, (device, column) in enumerate(channels):
        axes = figure.add_subplot(rows[4 + row], sharex=trials)
        _draw_channel(axes, shard, device, column, span)
    panels = [axes for axes in figure.axes if axes.get_shared_x_axes().joined(axes, trials)]
    for axes in panels:
        axes.tick_params(labelsize=7, labelbottom=axes is panels[-1])
    panels[-1].set_xlabel("time from the recording's origin (s)", fontsize=8)
    _save(figure, path)


def select_span(shard: Shard, seconds: float) -> tuple[float, float]:
    """Return start and end of the first stretch of that length with responses, else the longest.

    Missing behavior does not matter here: it is drawn as a gap.
    """
    shown = [name for name in ("responses", "screen") if name in shard.description.modalities]
    with_signals = intersect_all(shard.valid(name) for name in shown)
    stretches = subtract(with_signals, trial_time(shard, kind="invalid"))
    lengths = stretches[:, 1] - stretches[:, 0]
    long_enough = np.flatnonzero(lengths >= seconds)
    chosen = int(long_enough[0]) if len(long_enough) else int(np.argmax(lengths))
    first = float(stretches[chosen, 0])
    return first, min(first + seconds, float(stretches[chosen, 1]))


def _span_at(shard: Shard, seconds: float, at: float) -> tuple[float, float]:
    """Return start and end of the time shown, which begins where the user wants it.

    Raises:
        OmniMouseError: The responses have no samples then.
    """
    clock = shard.description.responses.clock
    last = clock.start_seconds + clock.num_samples / clock.rate_hz
    if not clock.start_seconds <= at <= last - LEAST_SECONDS:
        raise OmniMouseError(
            f"--at {at:g} must lie in the responses of {shard.description.session}, which last "
            f"from {clock.start_seconds:.1f} to {last:.1f} s from the recording's origin",
            hint=f"for example --at {clock.start_seconds + (last - clock.start_seconds) / 2:.0f}",
        )
    return at, min(at + seconds, last)


def _rows(clock: Clock, span: tuple[float, float]) -> slice:
    low, high = np.clip(clock.row_at(np.array(span)), 0, clock.num_samples)
    return slice(int(low), int(high))


def _times(clock: Clock, rows: slice) -> NDArray[np.float64]:
    times: NDArray[np.float64] = (
        clock.start_seconds + np.arange(rows.start, rows.stop) / clock.rate_hz
    )
    return times


def _draw_frames(
    figure: "Figure", cell: "SubplotSpec", shard: Shard, span: tuple[float, float]
) -> None:
    times = np.linspace(*span, NUM_FRAMES_SHOWN, endpoint=False)
    cells = cell.subgridspec(1, NUM_FRAMES_SHOWN, wspace=0.05)
    if shard.description.screen is None:
        axes = figure.add_subplot(cells[0, :])
        axes.text(0.5, 0.5, "no screen", ha="center", va="center", fontsize=8)
        axes.set_axis_off()
        return
    flips = latest_index(shard.flip_seconds, times)
    for column, (time, flip) in enumerate(zip(times, flips, strict=True)):
        axes = figure.add_subplot(cells[0, column])
        # Before the first flip nothing is known of the screen.
        if flip >= 0:
            axes.imshow(shard.frames[shard.frame_index[flip]], cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{time:.1f} s", fontsize=7)
        axes.set_axis_off()


def _draw_trials(axes: "Axes", shard: Shard, span: tuple[float, float]) -> None:
    trials, description = shard.trials, shard.description
    first, last = span
    shown = (trials.end_seconds > first) & (trials.start_seconds < last)
    for trial in np.flatnonzero(shown):
        low = max(first, float(trials.start_seconds[trial]))
        high = min(last, float(trials.end_seconds[trial]))
        tier = int(trials.tier[trial])
        name = description.tiers[tier] if tier >= 0 else description.kinds[trials.kind[trial]]
        axes.axvspan(low, high, color=f"C{tier}" if tier >= 0 else "0.85", alpha=0.5, lw=0)
        axes.axvline(low, color="0.3", lw=0.5)
        if high - low > (last - first) / 25:
            axes.text(
                (low + high) / 2, 0.5, escape_math(name), ha="center", va="center", fontsize=6
            )
    axes.set_xlim(first, last)
    axes.set_yticks([])
    axes.set_ylabel("tier", fontsize=8)


def _standardized(shard: Shard, rows: slice) -> NDArray[np.float32]:
    std = np.where(shard.neuron_std > 0, shard.neuron_std, 1.0)
    values = (shard.read_responses(rows.start, rows.stop) - shard.neuron_mean) / std
    return np.nan_to_num(values).astype(np.float32)


def _draw_raster(axes: "Axes", shard: Shard, span: tuple[float, float]) -> None:
    clock = shard.description.responses.clock
    rows = _rows(clock, span)
    values = _standardized(shard, rows)
    step = -(-values.shape[1] // MAX_NEURONS_SHOWN)
    shown = values[:, ::step].T
    order = np.argsort(_first_component(shown), kind="stable")
    times = _times(clock, rows)
    image = axes.imshow(
        shown[order],
        aspect="auto",
        cmap="gray_r",
        vmin=0,
        vmax=3,
        interpolation="nearest",
        extent=(times[0], times[-1] + 1 / clock.rate_hz, len(shown), 0),
    )
    count = f"{len(shown)} of " * (step > 1) + pluralize(values.shape[1], "neuron")
    axes.set_ylabel(f"{count}\n(by 1st component)", fontsize=8)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.01, aspect=30, extend="both")
    bar.set_label("response (z-score)", fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _first_component(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the loading of each neuron on the first principal component of `(neurons, rows)`."""
    centred = values - values.mean(axis=1, keepdims=True)
    left, _, right = np.linalg.svd(centred, full_matrices=False)
    # The sign of a component is arbitrary: neurons that correlate with the mean come last.
    sign = np.sign(right[0] @ centred.mean(axis=0)) or 1.0
    loading: NDArray[np.float32] = (left[:, 0] * sign).astype(np.float32)
    return loading


def _draw_mean(axes: "Axes", shard: Shard, span: tuple[float, float]) -> None:
    rows = _rows(shard.description.responses.clock, span)
    times = _times(shard.description.responses.clock, rows)
    axes.plot(times, _standardized(shard, rows).mean(axis=1), color="k", lw=0.8)
    axes.set_ylabel("population\nmean (z)", fontsize=8)


def _draw_channel(
    axes: "Axes", shard: Shard, name: str, column: int, span: tuple[float, float]
) -> None:
    device = shard.device(name)
    rows = _rows(device.clock, span)
    axes.plot(
        _times(device.clock, rows),
        shard.behavior(name)[rows, column],
        color="C0",
        lw=0.8,
        drawstyle="steps-post",
    )
    # Most raw formats name no unit.
    unit = (device.units[column] if device.units else "") or "a.u."
    label = f"{device.channels[column].replace('_', chr(10), 1)} ({unit})"
    axes.set_ylabel(escape_math(label), fontsize=8)


def _save(figure: "Figure", path: Path) -> None:
    if path.suffix.lstrip(".").lower() not in figure.canvas.get_supported_filetypes():
        raise OmniMouseError(
            f"{path} is no image file: its name must end in .png, .pdf or .svg",
            hint=f"--plot {Path(path.name or 'session').with_suffix('.png')}",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
