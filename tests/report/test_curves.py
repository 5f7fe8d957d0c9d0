"""Learning curves: what is read from metrics.jsonl, and what the figure says."""

import io
import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from omnimouse_cli.config.load import load_config
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.report.curves import read_curves, smooth
from omnimouse_cli.report.curves_figure import draw_curves, plot_curves
from omnimouse_cli.run.folder import write_config


def training_line(step, neural, behavior=None):
    losses = {"neural": neural, "behavior": behavior}
    amounts = {"epoch": step / 10, "windows": 8 * step, "tokens": 100 * step}
    return {"step": step, **amounts, "loss": neural, "losses": losses, "shortcuts_only": step < 3}


def validation_lines(step, **losses):
    amounts = {"epoch": step / 10, "windows": 8 * step, "tokens": 100 * step}
    for strategy, value in losses.items():
        for session, of_session in (("1-1-1", value + 1), ("overall", value)):
            record = {"strategy": strategy, "session": session, "target": "neurons"}
            yield {"step": step, **amounts, "validation": {**record, "value": of_session}}


@pytest.fixture
def write_log(tmp_path):
    def write(lines, name="run", end="", loss="poisson"):
        run = tmp_path / name
        write_config(run, load_config(sets=(f"model.response_loss={loss}",)))
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (run / "metrics.jsonl").write_text(text + end)
        return run

    return write


LINES = [training_line(1, 4.0), training_line(2, None, behavior=0.5), training_line(3, 2.0)]


def test_curves_have_the_losses_of_steps_and_the_mean_over_strategies_of_validations(write_log):
    lines = [*LINES, *validation_lines(3, predict=3.0, forecast=1.0), training_line(4, 1.0)]
    curves = read_curves(write_log([*lines, *validation_lines(4, predict=2.0, forecast=0.5)]))
    assert curves.training["neural"].progress["step"].tolist() == [1, 3, 4]
    assert curves.training["neural"].loss.tolist() == [4.0, 2.0, 1.0]
    assert curves.training["behavior"].loss.tolist() == [0.5]
    assert curves.validation["neural"].loss.tolist() == [2.0, 1.25]
    assert curves.validation["neural"].progress["windows"].tolist() == [24, 32]
    assert curves.by_strategy["neural"]["forecast"].loss.tolist() == [1.0, 0.5]
    assert curves.shortcuts_until == 2
    assert curves.last_step == 4


@pytest.mark.parametrize("end", ['{"step": 5, "los', "\x00\x00\n", '{"step": 5\n'])
def test_a_bad_last_line_is_ignored(write_log, end):
    curves = read_curves(write_log([training_line(1, 4.0)], end=end))
    assert curves.training["neural"].loss.tolist() == [4.0]


def test_a_validation_with_a_loss_that_is_not_finite_has_no_mean(write_log):
    lines = [*validation_lines(3, predict=3.0, forecast=1.0), *validation_lines(4, predict=2.0)]
    lines.append({**lines[-1], "validation": {**lines[-1]["validation"], "strategy": "forecast"}})
    lines[-1]["validation"]["value"] = None
    curves = read_curves(write_log(lines))
    assert curves.validation["neural"].progress["step"].tolist() == [3]
    assert curves.by_strategy["neural"]["predict"].loss.tolist() == [3.0, 2.0]


def test_a_folder_without_a_run_or_without_a_loss_is_refused(write_log, tmp_path):
    with pytest.raises(OmniMouseError, match="is not a run"):
        read_curves(tmp_path)
    with pytest.raises(OmniMouseError, match="has no loss yet"):
        read_curves(write_log([]))


def test_the_running_mean_keeps_a_constant_and_follows_a_ramp(write_log):
    lines = [training_line(step, float(step)) for step in range(1, 101)]
    means = smooth(read_curves(write_log(lines)).training["neural"])
    # A twentieth of 100 steps: the mean of five.
    assert means.loss[-1] == 98.0
    assert len(means.loss) == 100
    assert np.all(np.diff(means.loss) > 0)


def test_axes_are_named_with_units_and_every_run_is_in_the_legend(write_log):
    names = ("first", "second $x^{")
    curves = [read_curves(write_log(LINES, name)) for name in names]
    stream = io.BytesIO()
    draw_curves(curves, stream, axis="windows", image_format="svg")
    svg = stream.getvalue().decode()
    for text in ("windows of 2 s", "nats per sample", "squared error", *names):
        # The letters of a text are paths, and the text is kept as a comment.
        assert f"<!-- {text}" in svg or text in svg, text


def test_runs_with_different_losses_do_not_share_an_axis(write_log):
    runs = [write_log(LINES[:1], loss, loss=loss) for loss in ("poisson", "gaussian")]
    with pytest.raises(OmniMouseError, match="poisson has poisson, gaussian has gaussian"):
        draw_curves(
            [read_curves(run) for run in runs], io.BytesIO(), axis="step", image_format="png"
        )


def test_a_training_with_one_logged_loss_has_a_marker(write_log):
    curves = read_curves(write_log([training_line(1, 4.0)]))
    panel = Figure().subplots()
    plot_curves(panel, [curves], "neural")
    (line,) = panel.lines
    assert line.get_marker() == "x"
