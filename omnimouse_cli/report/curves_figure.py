"""The figure of learning curves: training and validation losses of several runs."""

from collections.abc import Sequence
from typing import Any, BinaryIO

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.report.curves import TARGETS, Axis, LearningCurves, Target, smooth
from omnimouse_cli.text import escape_math, format_magnitude

AXIS_LABELS: dict[Axis, str] = {
    "step": "optimizer steps",
    "epoch": "passes over the training data",
    "windows": "windows of 2 s",
    "tokens": "tokens (neurons x samples)",
}
NEURAL_LABELS = {
    "poisson": "neural loss (Poisson, nats per sample)",
    "gamma": "neural loss (gamma, nats per sample)",
    "gaussian": "neural loss (squared error, SD$^2$)",
}
BEHAVIOR_LABEL = "behavior loss (squared error, SD$^2$)"
# Points of a training of fewer logged steps are marked: a line alone would not show a single one.
FEW_POINTS = 30
# More names would hide the curves.
MAX_NAMED_RUNS = 20


def draw_curves(
    curves: Sequence[LearningCurves], stream: BinaryIO, *, axis: Axis, image_format: str
) -> None:
    """Write the figure of learning curves.

    Args:
        curves: One for each run.
        stream: File opened for writing.
        axis: What the horizontal axis counts.
        image_format: `png`, `pdf` or `svg`.

    Raises:
        OmniMouseError: The runs have different losses.
    """
    from matplotlib.figure import Figure

    require_one_loss(curves)
    targets = drawn_targets(curves)
    figure = Figure(figsize=(5.2 * len(targets) + 1.8, 4.2), layout="constrained")
    panels = figure.subplots(1, len(targets), squeeze=False)[0]
    for panel, target in zip(panels, targets, strict=True):
        plot_curves(panel, curves, target, axis=axis)
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    figure.suptitle(
        "thin, crosses: training, running mean; dots: validation, mean over masking "
        "strategies, all sessions",
        fontsize=8,
    )
    figure.savefig(stream, format=image_format, dpi=150)


def drawn_targets(curves: Sequence[LearningCurves]) -> list[Target]:
    """Return the targets that any of the runs has a loss of."""
    return [
        target
        for target in TARGETS
        if any(target in one.training or target in one.validation for one in curves)
    ]


def require_one_loss(curves: Sequence[LearningCurves]) -> None:
    """Check that the neural losses of runs can share an axis.

    Raises:
        OmniMouseError: They are different losses.
    """
    names: dict[str, LearningCurves] = {}
    for one in curves:
        names.setdefault(one.response_loss, one)
    if len(names) > 1:
        found = ", ".join(f"{one.run.name} has {name}" for name, one in names.items())
        raise OmniMouseError(
            f"the losses of these runs differ and cannot share an axis: {found}",
            hint="draw the runs of each loss for themselves",
        )


def plot_curves(
    panel: Any,  # noqa: ANN401 - matplotlib axes
    curves: Sequence[LearningCurves],
    target: Target,
    *,
    axis: Axis = "step",
) -> None:
    """Plot the losses of one target, with labels of both axes.

    Args:
        panel: Matplotlib axes.
        curves: One for each run, with one loss.
        target: `neural` or `behavior`.
        axis: What the horizontal axis counts.
    """
    import matplotlib as mpl

    colors = mpl.colormaps["tab10" if len(curves) <= 10 else "turbo"]
    for number, one in enumerate(curves):
        color = colors(number if len(curves) <= 10 else number / len(curves))
        name = escape_math(one.run.resolve().name) if number < MAX_NAMED_RUNS else None
        training, validation = one.training.get(target), one.validation.get(target)
        if training is not None:
            means = smooth(training)
            panel.plot(
                means.progress[axis],
                means.loss,
                color=color,
                linewidth=0.9,
                alpha=0.7,
                marker="x" if len(means) < FEW_POINTS else None,
                markersize=4,
                label=None if validation is not None else name,
            )
        if validation is not None:
            panel.plot(
                validation.progress[axis],
                validation.loss,
                color=color,
                linewidth=1.6,
                marker="o",
                markersize=3.5,
                label=name,
            )
    panel.set_xlabel(AXIS_LABELS[axis])
    panel.xaxis.set_major_formatter(lambda value, _: format_magnitude(value) if value else "0")
    neural = NEURAL_LABELS.get(curves[0].response_loss, "neural loss")
    panel.set_ylabel(neural if target == "neural" else BEHAVIOR_LABEL)
