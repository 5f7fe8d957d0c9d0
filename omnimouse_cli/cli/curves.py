"""`omnimouse curves`: learning curves of runs, as a figure and a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnimouse_cli.api.libraries import require_libraries
from omnimouse_cli.cli.console import print_document, print_next, print_table, reporter
from omnimouse_cli.cli.options import JsonOption, QuietOption
from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.text import pluralize, suggest_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omnimouse_cli.report.curves import Curve, LearningCurves
    from omnimouse_cli.reporter import Reporter

FIGURE = "curves.png"
FORMATS = ("png", "pdf", "svg")


def command_curves(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN...", help="Runs, or folders of runs; by default all of runs/."),
    ] = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Image file: .png, .pdf or .svg; by default curves.png in the folder of the run, "
            "and in the working folder for several.",
        ),
    ] = None,
    axis: Annotated[
        str,
        typer.Option(
            "--against", help="What the horizontal axis counts: step, epoch, windows or tokens."
        ),
    ] = "step",
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Draw training and validation losses of runs, finished or not, from their metrics.jsonl."""
    from omnimouse_cli.cli.runs import find_named_runs

    with reporter(quiet=quiet) as progress:
        folders = find_named_runs(runs or [], progress)
        file = out or (folders[0] / FIGURE if len(folders) == 1 else Path(FIGURE))
        curves = draw(folders, file, axis, named=runs or [], progress=progress)
        progress.say(f"wrote {file}")
    if json_output:
        content = {"file": file, "runs": [_describe(one) for one in curves]}
        print_document("curves", content)
        return
    print_table(_table(curves))
    if len(folders) > 1:
        print_next("compare", *folders[-2:], quiet=quiet)


def draw(
    runs: "Sequence[Path]",
    file: Path,
    axis: str,
    *,
    named: "Sequence[Path]",
    progress: "Reporter",
) -> "list[LearningCurves]":
    """Write the figure of the learning curves of runs, and return the curves.

    Args:
        runs: Folders of the runs.
        file: Image file; its suffix selects the format.
        axis: What the horizontal axis counts.
        named: Those that the user has named; others are left out where they have no curve.
        progress: Is warned of what is left out.

    Raises:
        OmniMouseError: Matplotlib is missing, a run has no curve, or the axis or the format is
            unknown.
    """
    from omnimouse_cli.files import write_atomically
    from omnimouse_cli.report.curves import AXES, read_curves
    from omnimouse_cli.report.curves_figure import draw_curves, require_one_loss

    require_libraries("a figure of learning curves", "matplotlib")
    chosen = next((one for one in AXES if one == axis), None)
    if chosen is None:
        raise OmniMouseError(
            f"--against must be one of {', '.join(AXES)}: {axis!r}", hint=suggest_name(axis, AXES)
        )
    image_format = file.suffix.removeprefix(".").lower()
    if image_format not in FORMATS:
        raise OmniMouseError(
            f"{file} is no image file: its name must end in .png, .pdf or .svg",
            hint=f"for example {Path(file.name or 'curves').with_suffix('.png')}",
        )
    curves = []
    for run in runs:
        try:
            curves.append(read_curves(run))
        except OmniMouseError as error:
            if run in named or (run == runs[-1] and not curves):
                raise
            progress.warn(f"left out: {error.message}")
    require_one_loss(curves)
    with write_atomically(file) as stream:
        draw_curves(curves, stream, axis=chosen, image_format=image_format)
    return curves


def _describe(curves: "LearningCurves") -> dict[str, Any]:
    from omnimouse_cli.report.curves import smooth

    def validations(curve: "Curve") -> list[dict[str, float]]:
        steps = curve.progress["step"].astype(int).tolist()
        return [
            {"step": step, "loss": loss}
            for step, loss in zip(steps, curve.loss.tolist(), strict=True)
        ]

    return {
        "run": curves.run.resolve().name,
        "response_loss": curves.response_loss,
        "step": curves.last_step,
        "shortcuts_until": curves.shortcuts_until,
        "training": {
            target: {
                "steps_logged": len(curve),
                "first": float(curve.loss[0]),
                "last": float(smooth(curve).loss[-1]),
            }
            for target, curve in curves.training.items()
        },
        "validation": {target: validations(one) for target, one in curves.validation.items()},
        "validation_by_strategy": {
            target: {name: validations(curve) for name, curve in of_strategies.items()}
            for target, of_strategies in curves.by_strategy.items()
        },
    }


def _table(curves: "Sequence[LearningCurves]") -> ResultTable:
    from omnimouse_cli.report.curves_figure import drawn_targets

    table = ResultTable(
        f"losses of {pluralize(len(curves), 'run')}; training: mean of the last twentieth of the "
        "logged steps",
        *name_columns("run", "target"),
        *number_columns("step", "training", "validation", "best", "at step"),
        omit=("step",),
    )
    for one in curves:
        for target in drawn_targets([one]):
            table.add_row(*_cells(one, target))
    return table


def _cells(one: "LearningCurves", target: Any) -> list[str]:  # noqa: ANN401 - a Target
    from omnimouse_cli.report.curves import smooth

    training, validation = one.training.get(target), one.validation.get(target)
    cells = [
        one.run.resolve().name,
        target,
        f"{one.last_step:,}",
        "-" if training is None else f"{smooth(training).loss[-1]:.4f}",
    ]
    if validation is None:
        return [*cells, "-", "-", "-"]
    best = int(validation.loss.argmin())
    return [
        *cells,
        f"{validation.loss[-1]:.4f}",
        f"{validation.loss[best]:.4f}",
        f"{validation.progress['step'][best]:,.0f}",
    ]
