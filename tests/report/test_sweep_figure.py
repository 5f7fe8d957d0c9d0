"""The figure of a sweep: loss against data for each size, beside the learning curves."""

import io
import json

import matplotlib as mpl

from omnimouse_cli.config.load import load_config
from omnimouse_cli.report.curves import read_curves
from omnimouse_cli.report.sweep_figure import draw_sweep
from omnimouse_cli.report.table import RunRow
from omnimouse_cli.run.folder import write_config


def test_axes_are_named_and_sizes_and_runs_are_in_the_legends(tmp_path):
    rows, curves = [], []
    for number, (parameters, tokens) in enumerate([(1e6, 1e4), (1e6, 1e5), (3e6, 1e5)]):
        run = tmp_path / f"run-{number}"
        write_config(run, load_config(sets=("model.response_loss=poisson",)))
        amounts = {"step": 2, "epoch": 0.1, "windows": 16, "tokens": tokens}
        losses = {"neural": 2.0, "behavior": None}
        (run / "metrics.jsonl").write_text(json.dumps({**amounts, "losses": losses}) + "\n")
        curves.append(read_curves(run))
        rows.append(
            RunRow(
                run=run.name, source=str(run), parameters=parameters, tokens=tokens,
                loss=2.0 - number / 4, metric="poisson loss",
            )
        )  # fmt: skip
    stream = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw_sweep(rows, curves, stream, title="sweep $x^{", image_format="svg")
    svg = stream.getvalue().decode()
    labels = ("unique tokens of the training data (neurons x samples)", "core parameters")
    names = ("run-0", "run-2", "1M", "3M", "validation, poisson loss", "sweep $x^{")
    for text in (*labels, *names, "tokens (neurons x samples)"):
        assert f">{text}<" in svg, text
