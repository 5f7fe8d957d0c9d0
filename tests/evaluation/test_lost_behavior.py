"""Recordings whose eye tracker or treadmill loses samples: windows, scores and baselines."""

import numpy as np
import pytest

from omnimouse_cli.evaluation.baselines.ridge import predict_ridge
from omnimouse_cli.evaluation.evaluate import NOTHING_RECORDED, evaluate
from omnimouse_cli.evaluation.figure import draw
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.traces import make_trace
from omnimouse_cli.evaluation.windows import evaluation_windows
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.load import load_run, open_run_data

BEHAVIOR_START = -1.5
# As `shard/valid.py` has it: .05 s and two rows around a missing one.
EYE_VICINITY = 0.15


@pytest.fixture
def make_lossy(experanto_session, quiet_trials, moving_average, shards_of_paths):
    """Make a data set of one session; `eye` and `running` map times to values with NaN."""

    def make(*, responses=None, eye=None, running=None):
        responses = moving_average() if responses is None else responses
        path = experanto_session(
            responses=responses,
            trials=quiet_trials,
            seconds=len(responses) / 30,
            responses_start=0.0,
            behavior_start=BEHAVIOR_START,
            eye_tracker=eye is not None,
            treadmill=running is not None,
        )
        for name, rate, values_at in (("eye_tracker", 20.0, eye), ("treadmill", 100.0, running)):
            if values_at is None:
                continue
            rows = round((len(responses) / 30 - BEHAVIOR_START) * rate)
            values = np.array(values_at(BEHAVIOR_START + np.arange(rows) / rate), np.float64)
            columns = values[:, None]
            if name == "eye_tracker":
                columns = np.repeat(columns, 4, axis=1)
            experanto_session.sequence(
                path / name, columns, start=1_600_000_000.25 + BEHAVIOR_START, rate_hz=rate
            )
        return shards_of_paths([path])

    return make


def blinks(times, every=2.5):
    """A signal that loses one sample every 2.5 s."""
    values = np.sin(times)
    values[np.round(times * 20) % round(every * 20) == 0] = np.nan
    return values


def test_blinks_cost_samples_and_no_windows(make_lossy):
    session = make_lossy(eye=blinks).sessions[0]
    count = {}
    for require_behavior in (False, True):
        count[require_behavior] = len(
            evaluation_windows(
                session,
                tier="test",
                include_blanks=True,
                stride_samples=1,
                require_behavior=require_behavior,
            )
        )
    # Between two blinks 2.2 s are left, of which a window needs 1.97 s.
    assert count[False] == 1126
    assert 0 < count[True] < 0.15 * count[False]


def test_a_perfect_predictor_has_correlation_1_whatever_it_says_of_lost_samples(
    make_lossy, targets_of, score_pieces
):
    targets = targets_of(make_lossy(eye=blinks, running=np.cos), "decode", stimulus=False)

    def perfect():
        for windows in targets.window_slices():
            values = targets.truth(targets.windows.grid[windows])
            yield Piece(windows, slice(None), np.where(np.isnan(values), 1e6, values))

    scores = score_pieces(targets, perfect())
    samples = targets.windows.start_seconds[:, None] + np.arange(40) / 20
    distance = np.abs(samples - 2.5 * np.round(samples / 2.5))
    num_known = int((distance > EYE_VICINITY + 0.001).sum())
    found = {
        (number.record.target, number.record.metric): number.record for number in scores.numbers
    }
    for target, expected in (("gaze", num_known), ("pupil", num_known), ("running", samples.size)):
        assert found[target, "single_trial_correlation"].value == pytest.approx(1.0)
        assert found[target, "loss"].value == 0.0
        # Borders lie on samples: half of them may fall on either side.
        assert found[target, "loss"].samples == pytest.approx(expected, rel=0.03)
    assert num_known < 0.9 * samples.size


def test_ridge_is_fitted_on_what_was_recorded(make_lossy, moving_average, targets_of, score_pieces):
    responses = moving_average(keep=0.98)

    def running(times):
        # Averages that all of a window's responses tell.
        smooth = np.convolve(responses[:, 0], np.ones(15) / 15, "same")
        values = np.interp(times, np.arange(len(smooth)) / 30, smooth)
        # Lost where it is high, so that zeros in its place would be learned.
        return np.where(values > np.quantile(values, 0.8), np.nan, values)

    dataset = make_lossy(responses=responses, running=running, eye=blinks)
    targets = targets_of(dataset, "decode", stimulus=False)
    truth = targets.truth(targets.windows.grid)
    running_at = targets.reader.channels.index("running")
    assert 0.05 < np.isnan(truth[:, :, running_at]).mean() < 0.6
    pieces = list(predict_ridge(targets, ("train",)))
    scores = score_pieces(targets, pieces)
    assert scores.correlations["running"].record.value > 0.9
    predicted = np.concatenate([piece.values for piece in pieces])
    known = ~np.isnan(truth[:, :, running_at])
    slope = np.polyfit(predicted[:, :, running_at][known], truth[:, :, running_at][known], 1)[0]
    assert slope == pytest.approx(1.0, abs=0.15)


def test_one_neuron_and_one_channel_have_every_number(
    make_lossy, moving_average, write_run, tmp_path
):
    dataset = make_lossy(responses=moving_average(neurons=1), running=np.cos)
    run = load_run(write_run(tmp_path / "run", dataset))
    options = EvalOptions(stride_samples=90, baselines=("ridge",))
    evaluation = evaluate(run, open_run_data(run, None), options, Silent())
    found = {(record.strategy, record.target, record.predictor) for record in evaluation.records}
    for strategy, target in (
        ("predict", "neurons"),
        ("forecast", "neurons"),
        ("decode", "running"),
    ):
        assert {(strategy, target, name) for name in ("model", "ridge")} <= found


def test_behavior_that_is_lost_in_all_scored_windows_is_named_and_not_scored(
    make_lossy, write_run, tmp_path
):
    def lost_in_test(times):
        # The treadmill runs to the end, so that windows lie in the whole tier.
        return np.where((times > 55) & (times < times[-1] - 1), np.nan, np.cos(times))

    dataset = make_lossy(running=lost_in_test)
    run = load_run(write_run(tmp_path / "run", dataset))
    options = EvalOptions(stimulus=False, baselines=(), stride_samples=90)
    evaluation = evaluate(run, open_run_data(run, None), options, Silent())
    assert {record.target for record in evaluation.records} == {"neurons"}
    assert all(
        np.isfinite(record.value)
        for record in evaluation.records
        if (record.metric, record.predictor) == ("loss", "model")
    )
    reasons = {(entry.strategy, entry.reason) for entry in evaluation.unavailable}
    assert ("decode", NOTHING_RECORDED) in reasons


def test_a_channel_that_is_lost_where_it_is_shown_can_be_drawn(
    make_lossy, targets_of, score_pieces, tmp_path
):
    def late(times):
        return np.where((times > 1) & (times < 90), np.nan, np.cos(times))

    targets = targets_of(make_lossy(eye=blinks, running=late), "decode", stimulus=False)
    pieces = [
        Piece(windows, slice(None), np.zeros((windows.stop - windows.start, 40, 5), np.float32))
        for windows in targets.window_slices()
    ]
    trace = make_trace(targets, {"model": score_pieces(targets, pieces)})
    running_at = targets.reader.channels.index("running")
    assert np.isnan(trace.truth[:, running_at]).all()

    class Traces:
        traces, records = (trace,), ()

    with (tmp_path / "figure.png").open("wb") as stream:
        draw(Traces(), title="lost", stream=stream)
    assert (tmp_path / "figure.png").stat().st_size > 10_000
