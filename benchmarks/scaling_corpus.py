"""The law of a sweep, and what further runs measured beside it (scaling_corpus.sh)."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from machine import benchmark_parser, chosen_device, print_rows, write_result
from matplotlib.figure import Figure

from omnimouse_cli.metrics.intervals import percentile_interval
from omnimouse_cli.report.analysis import ScalingReport, analyze, build_document
from omnimouse_cli.report.goodness import compute_replicate_noise
from omnimouse_cli.report.runs import read_run_table
from omnimouse_cli.report.table import RunRow, find_levels, get_column, get_log_sizes
from omnimouse_cli.reporter import Silent

KEPT = ("run", "parameters", "tokens", "neuron_hours", "loss", "seed", "subset", "learning_rate")


def predict(report: ScalingReport, row: RunRow) -> dict[str, Any]:
    """Return the loss that each form predicts for a run, and the interval of the joint law.

    The interval holds one run: the uncertainty of the law, and the noise between equal runs.
    """
    x = get_log_sizes([row])
    forms = {
        one.form.name: float(np.exp(one.fit.predict(x))[0])
        for one in report.alternatives
        if one.fit is not None and one.fits
    }
    interval = None
    if report.law is not None:
        samples = report.law.samples
        by_parameters = samples["A"] * row.parameters ** -samples["alpha"]
        by_tokens = samples["B"] * row.tokens ** -samples["beta"]
        noise = compute_replicate_noise(report.table.rows) or 0.0
        scatter = np.random.default_rng(0).normal(0, noise, len(by_tokens))
        interval = percentile_interval((samples["E"] + by_parameters + by_tokens) * np.exp(scatter))
    return {"forms": forms, "interval": interval}


def compare(report: ScalingReport, rows: tuple[RunRow, ...]) -> list[dict[str, Any]]:
    """Return what each further run measured, and what was predicted."""
    grid = report.table.rows
    largest = max(get_column(grid, "parameters")), max(get_column(grid, "tokens"))
    checked = []
    for row in rows:
        predicted = predict(report, row)
        interval = predicted["interval"]
        checked.append(
            {
                **{name: getattr(row, name) for name in KEPT},
                "larger_model": row.parameters > 1.1 * largest[0],
                "more_data": row.tokens > 1.1 * largest[1],
                "predicted": predicted["forms"],
                "interval": interval,
                "inside": None if interval is None else interval[0] <= row.loss <= interval[1],
            }
        )
    return checked


def draw(report: ScalingReport, checked: list[dict[str, Any]], path: Path) -> None:
    """Draw losses over the amount of data: the sweep, its law, and the further runs."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    rows = report.table.rows
    sizes = find_levels(get_column(rows, "parameters"))
    amounts = np.geomspace(min(get_column(rows, "tokens")), 2.2 * max(get_column(rows, "tokens")))
    for number, size in enumerate([*sizes, *(c["parameters"] for c in checked)]):
        color = f"C{sizes.index(size) if size in sizes else len(sizes)}"
        if number < len(sizes):
            here = [row for row in rows if row.parameters == size]
            label = f"{size:,.0f} parameters"
            axes.plot(
                *([getattr(row, name) for row in here] for name in ("tokens", "loss")),
                "o",
                color=color,
                markersize=4,
                alpha=0.6,
                label=label,
            )
            if report.law is not None:
                x = np.stack([np.full(len(amounts), np.log(size)), np.log(amounts)], axis=1)
                axes.plot(amounts, np.exp(report.law.fit.predict(x)), color=color, linewidth=1)
            continue
        one = checked[number - len(sizes)]
        label = None if size in sizes else f"{size:,.0f} parameters (not in the sweep)"
        axes.plot(one["tokens"], one["loss"], "*", color=color, markersize=12, label=label)
        if one["interval"] is not None:
            # Beside the run, so that both can be seen.
            axes.plot([1.06 * one["tokens"]] * 2, one["interval"], color=color, linewidth=2)
    axes.set_xscale("log")
    axes.set_xlabel("unique tokens")
    axes.set_ylabel("validation loss (Poisson)")
    axes.legend(fontsize=8, frameon=False)
    axes.set_title("Sweep (points), law (lines), further runs (stars), predictions (bars)", size=9)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Analyze the sweep, compare it with further runs and write the result."""
    parser = benchmark_parser(__doc__ or "")
    parser.add_argument("runs", type=Path, help="folder of the sweep")
    parser.add_argument("check", type=Path, help="folder of the further runs")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--figure", type=Path, help="PNG of the losses")
    options = parser.parse_args()
    table = read_run_table([options.runs])
    num_resamples = 10 if options.quick else options.resamples
    report = analyze(table, num_resamples=num_resamples, reporter=Silent())
    checked = compare(report, read_run_table([options.check]).rows)
    document = build_document(report)
    document["rows"] = [{name: row[name] for name in KEPT} for row in document["rows"]]
    print_rows(
        ["run", "N", "D", "measured", "joint law", "interval"],
        [
            [
                one["run"],
                f"{one['parameters']:,.0f}",
                f"{one['tokens']:,.0f}",
                f"{one['loss']:.4f}",
                f"{one['predicted'].get('joint', float('nan')):.4f}",
                "-" if one["interval"] is None else "{:.4f} to {:.4f}".format(*one["interval"]),
            ]
            for one in checked
        ],
    )
    if options.figure is not None:
        draw(report, checked, options.figure)
    content = {
        "command": "sh benchmarks/scaling_corpus.sh FOLDER",
        "report_command": " ".join(sys.argv),
        "report": document,
        "check": checked,
    }
    write_result(options.out, "scaling-corpus", chosen_device("cpu"), content)


if __name__ == "__main__":
    main()
