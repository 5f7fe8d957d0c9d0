"""The law of a sweep, and what further runs measured beside it (scaling_corpus.sh)."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from machine import benchmark_parser, chosen_device, print_rows, write_result

from omnimouse_cli.metrics.intervals import percentile_interval
from omnimouse_cli.report.analysis import ScalingReport, analyze, build_document
from omnimouse_cli.report.goodness import compute_replicate_noise
from omnimouse_cli.report.runs import read_run_table
from omnimouse_cli.report.table import RunRow, get_column, get_log_sizes
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


def main() -> None:
    """Analyze the sweep, compare it with further runs and write the result."""
    parser = benchmark_parser(__doc__ or "")
    parser.add_argument("runs", type=Path, help="folder of the sweep")
    parser.add_argument("check", type=Path, help="folder of the further runs")
    parser.add_argument("--resamples", type=int, default=1000)
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
    content = {
        "command": "sh benchmarks/scaling_corpus.sh FOLDER",
        "report_command": " ".join(sys.argv),
        "report": document,
        "check": checked,
    }
    write_result(options.out, "scaling-corpus", chosen_device("cpu"), content)


if __name__ == "__main__":
    main()
