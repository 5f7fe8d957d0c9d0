"""Predictions for recorded windows: those that an evaluation scores, bit for bit."""

import numpy as np
import pytest

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation import evaluate as evaluate_module
from omnimouse_cli.evaluation.evaluate import evaluate
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.probing.movie_open import open_movie
from omnimouse_cli.probing.predict import predict_movie
from omnimouse_cli.probing.predict_behavior import make_behavior
from omnimouse_cli.probing.predict_recorded import predict_recording
from omnimouse_cli.probing.session_model import SessionModel
from omnimouse_cli.recording.recording import latest_index
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.ensemble import make_ensemble


def evaluated(run, dataset, options, monkeypatch):
    """Return the predictions of the model in an evaluation, by strategy, target and draw."""
    pieces = {}

    def record(run, draws, options):
        for number, of_draw in predict(run, draws, options):
            for targets, piece in zip(draws[number], of_draw, strict=True):
                key = (targets.strategy.name, targets.is_behavior, targets.draw)
                pieces.setdefault(key, []).append(piece.values)
            yield number, of_draw

    predict = evaluate_module.predict_draws
    with monkeypatch.context() as patch:
        patch.setattr(evaluate_module, "predict_draws", record)
        evaluation = evaluate(run, dataset, options, Silent())
    return {key: np.concatenate(parts) for key, parts in pieces.items()}, evaluation


@pytest.mark.parametrize("regime", ["predict", "decode", "forecast", "population"])
def test_predictions_are_those_of_an_evaluation_bit_for_bit(runs, small_mouse, monkeypatch, regime):
    # Windows of `forecast` tile the time, as by default; others are few.
    stride = 30 if regime == "forecast" else 300
    options = EvalOptions(regime=regime, baselines=(), draws=2, stride_samples=stride)
    key = small_mouse.sessions[0].key
    expected, evaluation = evaluated(runs[0], small_mouse, options, monkeypatch)
    found = list(predict_recording(runs[:1], small_mouse, key, options=options, scaled=True))
    assert len(found) == len(expected)
    for one in found:
        values = expected[one.strategy, one.target == "behavior", one.draw or 0]
        np.testing.assert_array_equal(one.predicted, values.reshape(one.predicted.shape))
        assert len(one.time_seconds) == len(one.window) == len(one.scored) == len(one.predicted)
        assert one.measured.shape == one.predicted.shape
    records = {
        record.strategy: record.value
        for record in evaluation.records
        if record.metric == "single_trial_correlation"
        and record.session == key
        and record.target == "neurons"
        and record.predictor == "model"
    }
    for one in found:
        if one.draw is None and one.target == "responses":
            columns = zip(one.predicted[one.scored].T, one.measured[one.scored].T, strict=True)
            values = [_correlation(*column) for column in columns]
            assert np.mean(np.nan_to_num(values)) == pytest.approx(records[one.strategy], abs=1e-5)


def _correlation(predicted, measured):
    known = np.isfinite(measured)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(predicted[known].astype(float), measured[known].astype(float))[0, 1]


def test_measurements_are_those_of_the_recording_at_their_times(runs, small_mouse):
    info = small_mouse.sessions[0]
    options = EvalOptions(regime="predict-decode", stride_samples=300)
    responses, behavior = predict_recording(runs[:1], small_mouse, info.key, options=options)
    clock = info.shard.description.responses.clock
    rows = clock.row_at(responses.time_seconds)
    recorded = info.shard.read_responses(0, clock.num_samples)[rows]
    np.testing.assert_allclose(responses.measured, recorded, rtol=1e-5, atol=1e-6)
    assert responses.units == (info.response_kind,) * info.num_neurons
    assert responses.neurons.tolist() == list(range(info.num_neurons))
    for device in info.shard.description.behavior:
        rows = device.clock.row_at(behavior.time_seconds)
        for column, channel in enumerate(device.channels):
            at = behavior.channels.index(channel)
            values = info.shard.behavior(device.name)[rows, column]
            np.testing.assert_allclose(behavior.measured[:, at], values, rtol=1e-4, atol=1e-4)
            assert behavior.units[at] == (device.units[column] if device.units else "")


@pytest.mark.parametrize("strategy", ["predict", "population"])
def test_an_ensemble_predicts_the_mean_that_its_evaluation_scores(
    runs, small_mouse, monkeypatch, strategy
):
    options = EvalOptions(regime=strategy, baselines=(), draws=2, stride_samples=300)
    key = small_mouse.sessions[0].key
    expected, _ = evaluated(make_ensemble(runs), small_mouse, options, monkeypatch)
    found = list(predict_recording(runs, small_mouse, key, options=options, scaled=True))
    single = [
        list(predict_recording([run], small_mouse, key, options=options, scaled=True))
        for run in runs
    ]
    assert len(found) == len(expected)
    for number, one in enumerate(found):
        values = expected[one.strategy, one.target == "behavior", one.draw or 0]
        np.testing.assert_array_equal(one.predicted, values.reshape(one.predicted.shape))
        both = np.stack([of_run[number].predicted for of_run in single])
        np.testing.assert_allclose(one.std, both.std(axis=0, ddof=1), rtol=1e-5)
        assert (one.std > 0).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (EvalOptions(regime="forcast"), "there is no regime or strategy forcast"),
        (EvalOptions(regime="predict", tier="final"), "no trial has tier final"),
        (EvalOptions(regime="predict", stimulus=False), "no strategy of predict is available"),
    ],
)
def test_what_cannot_be_predicted_is_refused(runs, small_mouse, options, message):
    key = small_mouse.sessions[0].key
    with pytest.raises(OmniMouseError, match=message) as error:
        list(predict_recording(runs[:1], small_mouse, key, options=options))
    assert error.value.hint


def test_a_recorded_window_given_as_a_movie_with_behavior_is_predicted_alike(runs, small_mouse):
    info = small_mouse.sessions[0]
    shard, options = info.shard, EvalOptions(regime="predict", stride_samples=150)
    recorded = next(predict_recording(runs[:1], small_mouse, info.key, options=options))
    model = SessionModel(runs[:1], info.key, dataset=small_mouse)
    for window in np.unique(recorded.window)[:3]:
        samples = recorded.window == window
        start = recorded.time_seconds[samples][0] - 1.0
        flips = latest_index(shard.flip_seconds, start + np.arange(60) / 30)
        seconds = np.arange(40) / 20
        values = {
            channel: shard.behavior(device.name)[device.clock.row_at(start + seconds), column]
            for device in shard.description.behavior
            for column, channel in enumerate(device.channels)
        }
        found = predict_movie(
            model,
            open_movie(shard.frames[shard.frame_index[flips]], fps=30),
            behavior=make_behavior(seconds, values, model.channels, shard),
            stride_samples=30,
        )
        expected = recorded.predicted[samples]
        np.testing.assert_allclose(found.responses[30:], expected, rtol=1e-4, atol=1e-5)
