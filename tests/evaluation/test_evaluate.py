"""A whole evaluation: the records' fields, what they say of known predictors, and what is kept."""

import csv
import dataclasses
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation import evaluate as evaluate_module
from omnimouse_cli.evaluation.evaluate import evaluate
from omnimouse_cli.evaluation.identity import evaluation_name
from omnimouse_cli.evaluation.records import EvalOptions, EvalRecord, is_correlation
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.store import make_document, store
from omnimouse_cli.metrics.intervals import interval, resample_spread
from omnimouse_cli.report.comparison import compare_runs
from omnimouse_cli.report.kept_scores import read_scores
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.folder import evaluation_folder
from omnimouse_cli.run.load import load_run, open_run_data

pytestmark = pytest.mark.slow

FIELDS = [
    "regime",
    "strategy",
    "inputs",
    "session",
    "tier",
    "target",
    "metric",
    "predictor",
    "value",
    "low",
    "high",
    "neurons",
    "windows",
    "samples",
    "undefined",
    "draws",
    "draws_sd",
    "stimulus_in_training",
    "interval_over",
    "bias_corrected",
    "scored_seconds",
    "runs",
    "source",
    "repeats",
    "excluded",
    "distribution",
]

FILES = ["eval.json", "neurons.npz", "neurons.csv", "traces.npz", "resamples.npz"]
FORECAST = EvalOptions(
    regime="forecast",
    stimulus=False,
    baselines=("ridge", "persistence", "train_mean", "ceiling"),
)


@pytest.fixture(scope="module")
def run(simulated_run):
    return load_run(simulated_run)


@pytest.fixture(scope="module")
def data(run):
    return open_run_data(run, None)


@pytest.fixture(scope="module")
def forecast(run, data):
    return evaluate(run, data, FORECAST, Silent())


def find(evaluation, **wanted):
    found = [
        record
        for record in evaluation.records
        if ("strategy" in wanted or not record.strategy.endswith("-causal"))
        and all(getattr(record, name) == value for name, value in wanted.items())
    ]
    assert len(found) == 1, (wanted, found)
    return found[0]


def test_the_fields_of_a_record_are_the_contract(forecast):
    record = forecast.records[0]
    assert [field.name for field in dataclasses.fields(EvalRecord)] == FIELDS
    assert list(record.to_dict()) == FIELDS
    assert json.loads(json.dumps(record.to_dict()))["inputs"] == ["responses", "behavior"]


def test_every_session_and_overall_have_every_number(forecast, data):
    keys = [session.key for session in data.sessions]
    assert {record.session for record in forecast.records} == {*keys, "overall"}
    for session in (*keys, "overall"):
        numbers = {
            (record.metric, record.predictor)
            for record in forecast.records
            if record.session == session
        }
        assert {
            ("single_trial_correlation", name)
            for name in ("model", "ridge", "persistence", "train_mean", "ceiling")
        } <= numbers
        assert {("loss", "model"), ("loss", "train_mean"), ("difference", "model-ridge")} <= numbers
        assert ("fraction_of_ceiling", "model") in numbers


def test_overall_weighs_sessions_by_their_neurons(forecast, data):
    keys = [session.key for session in data.sessions]
    same = {"metric": "single_trial_correlation", "predictor": "persistence"}
    values = [find(forecast, session=key, **same) for key in keys]
    overall = find(forecast, session="overall", **same)
    assert overall.value == pytest.approx(np.mean([record.value for record in values]))
    assert overall.neurons == 40
    assert overall.windows == sum(record.windows for record in values)


def test_intervals_hold_their_values(forecast):
    bounded = [record for record in forecast.records if record.low is not None]
    assert len(bounded) > 10
    assert all(record.low <= record.value <= record.high for record in bounded)


def test_the_training_mean_has_no_correlation_and_no_interval(forecast):
    record = find(
        forecast,
        session="overall",
        predictor="train_mean",
        metric="single_trial_correlation",
    )
    assert (record.value, record.low, record.high) == (None, None, None)
    assert record.undefined == 40


def test_differences_are_differences(forecast):
    for predictor in ("ridge", "persistence"):
        single = {"session": "overall", "metric": "single_trial_correlation"}
        model = find(forecast, predictor="model", **single).value
        other = find(forecast, predictor=predictor, **single).value
        record = find(
            forecast, session="overall", metric="difference", predictor=f"model-{predictor}"
        )
        assert record.value == pytest.approx(model - other)


def test_what_the_stimulus_adds_is_paired(run, data):
    both = evaluate(run, data, EvalOptions(regime="forecast", baselines=()), Silent())
    for session in (*(session.key for session in data.sessions), "overall"):
        single = {"session": session, "metric": "single_trial_correlation", "predictor": "model"}
        seen = find(both, strategy="forecast+stimulus", **single)
        blind = find(both, strategy="forecast", **single)
        record = find(both, session=session, predictor="model-without_stimulus")
        assert (record.strategy, record.metric) == ("forecast+stimulus", "difference")
        assert record.value == pytest.approx(seen.value - blind.value)
        # Paired: narrower than two independent intervals would be together.
        assert record.high - record.low < (seen.high - seen.low) + (blind.high - blind.low)


def test_the_same_evaluation_gives_the_same_numbers(run, data, forecast):
    again = evaluate(run, data, FORECAST, Silent())
    assert again.records == forecast.records
    for name, values in forecast.neurons.items():
        np.testing.assert_array_equal(again.neurons[name], values)


def test_a_model_that_knows_the_answer_scores_one(run, data, monkeypatch):
    def oracle(run, draws, options):
        for number, targets in enumerate(draws):
            for windows in targets[0].window_slices(8):
                yield (
                    number,
                    [
                        Piece(
                            windows, slice(None), 2.0 * one.truth(one.windows.grid[windows]) + 1.0
                        )
                        for one in targets
                    ],
                )

    monkeypatch.setattr(evaluate_module, "predict_draws", oracle)
    found = evaluate(run, data, EvalOptions(regime="all", baselines=()), Silent())
    singles = [r for r in found.records if r.metric == "single_trial_correlation"]
    assert {record.target for record in singles} == {"neurons", "gaze", "pupil", "running"}
    assert all(record.value == pytest.approx(1.0, abs=1e-6) for record in singles)
    differences = [r for r in found.records if r.predictor == "model-without_stimulus"]
    assert differences
    assert all(record.value == pytest.approx(0.0, abs=1e-6) for record in differences)
    others = [r for r in found.records if r not in differences and r.source != "repeats"]
    assert {r.predictor for r in others} == {"model"}


def test_population_rows_are_means_over_draws_of_context_neurons(run, data):
    options = EvalOptions(regime="population", baselines=(), draws=3, stride_samples=90)
    found = evaluate(run, data, options, Silent())
    key = data.sessions[0].key
    single = {"session": key, "metric": "single_trial_correlation", "predictor": "model"}
    record = find(found, strategy="population-10", **single)
    assert record.draws == 3
    assert record.draws_sd > 0
    overall = find(found, strategy="population-10", **{**single, "session": "overall"})
    # Two sessions of equal size draw independently.
    others = find(found, strategy="population-10", **{**single, "session": data.sessions[1].key})
    both = record.draws_sd**2 + others.draws_sd**2
    assert overall.draws_sd == pytest.approx(both**0.5 / 2)
    # Every neuron of 20 is a target in one of three draws of 10 context neurons, or nearly so.
    assert 15 < record.neurons <= 20
    index = found.neurons[f"{key}/population-10/neurons/index"]
    assert len(index) == record.neurons == len(found.neurons[f"{key}/population-10/neurons/model"])
    one = evaluate(run, data, replace(options, draws=1), Silent())
    single_draw = find(one, strategy="population-10", **single)
    assert (single_draw.draws, single_draw.draws_sd, single_draw.neurons) == (1, None, 10)
    assert single_draw.value != record.value
    # The draws with and without the stimulus are the same: their difference is paired.
    assert find(found, session=key, predictor="model-without_stimulus").draws == 3


def test_every_row_says_what_it_conditions_on(forecast, run):
    rows = {row.strategy: row for row in forecast.rows}
    assert list(rows) == ["forecast", "forecast-causal"]
    assert rows["forecast"].conditioning == (
        "responses of 1-2 s from responses of all neurons of 0-0.83 s, "
        "behavior of 0-2 s (later ones included)"
    )
    assert rows["forecast-causal"].conditioning.endswith("behavior of 0-0.83 s")
    written = make_document(forecast, EvalOptions(), run)["rows"]
    assert [row["strategy"] for row in written] == list(rows)


def test_stimuli_of_no_training_trial_are_scored_apart(make_session, write_run, tmp_path):
    rng = np.random.default_rng(0)
    shown = {name: rng.integers(0, 256, (120, 36, 64), dtype=np.uint8) for name in "abc"}
    trials = [
        {
            "modality": "video",
            "num_frames": 120,
            "tier": tier,
            "condition": name,
            "frames": shown[name],
        }
        for tier, names in (("train", "abab"), ("test", "acac"))
        for name in names
    ]
    dataset = make_session(
        rng.normal(size=(970, 3)), trials, frame_size=(36, 64), eye_tracker=False, treadmill=False
    )
    run = load_run(write_run(tmp_path / "run", dataset))
    options = EvalOptions(regime="predict", baselines=("train_mean",))
    found = evaluate(run, dataset, options, Silent())
    single = {"metric": "loss", "predictor": "train_mean", "session": dataset.sessions[0].key}
    whole, unseen = (find(found, strategy=name, **single) for name in ("predict", "predict-unseen"))
    assert (whole.stimulus_in_training, unseen.stimulus_in_training) == ("mixed", "unseen")
    # Half of the time of the tier, and the second before it that no window scores.
    assert 0.4 * whole.samples < unseen.samples < 0.7 * whole.samples
    assert {row.strategy for row in found.rows} >= {"predict", "predict-unseen"}
    model = find(
        found, strategy="predict-unseen", metric="single_trial_correlation", predictor="model",
        session=dataset.sessions[0].key,
    )  # fmt: skip
    assert model.value is not None


def test_causal_predictions_tile_the_time_line_by_five_samples(run, data):
    options = EvalOptions(regime="predict", baselines=())
    found = evaluate(run, data, options, Silent())
    key = data.sessions[0].key
    single = {"session": key, "metric": "single_trial_correlation", "predictor": "model"}
    published = find(found, strategy="predict", **single)
    causal = find(found, strategy="predict-causal", **single)
    assert causal.windows > 5 * published.windows
    # The last 25 samples of a stretch of windows are nobody's first five.
    assert 0.8 * published.samples < causal.samples <= published.samples


def test_numbers_of_every_neuron_are_kept(forecast, data):
    key = data.sessions[0].key
    index = forecast.neurons[f"{key}/forecast/neurons/index"]
    model = forecast.neurons[f"{key}/forecast/neurons/model"]
    assert index.tolist() == list(range(20))
    record = find(forecast, session=key, metric="single_trial_correlation", predictor="model")
    assert record.value == pytest.approx(np.nan_to_num(model).mean())


def test_files_are_written_whole_and_read_back(run, forecast, tmp_path):
    options = EvalOptions(regime="forecast", stimulus=False)
    name = evaluation_name(options)
    assert name == "test-forecast-no-stimulus"
    folder = evaluation_folder(tmp_path, name)
    files = store(folder, forecast, options, run)
    assert [path.name for path in files] == [*FILES, "eval.png"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(p.name for p in files)
    content = json.loads((folder / "eval.json").read_text())
    assert (content["format"], content["version"]) == ("omnimouse-eval", 1)
    assert len(content["records"]) == len(forecast.records)
    assert content["records"][0].keys() == set(FIELDS)
    assert content["unavailable"] == [item.to_dict() for item in forecast.unavailable]
    with np.load(folder / "neurons.npz") as arrays:
        assert set(arrays) == set(forecast.neurons)
    with (folder / "neurons.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 40
    assert {"x_um", "unit_id", "forecast/model", "forecast/ridge", "forecast/ceiling"} <= set(
        rows[0]
    )
    _require_traces(folder / "traces.npz", forecast)
    assert (folder / "eval.png").read_bytes().startswith(b"\x89PNG")
    assert make_document(forecast, options, run)["step"] == 7


def test_kept_resamples_give_the_intervals_of_the_records_and_pair_runs(
    run, simulated_run, forecast, tmp_path
):
    runs = [tmp_path / name for name in ("first", "second")]
    for folder in runs:
        store(evaluation_folder(folder, "forecast"), forecast, FORECAST, run)
        shutil.copy(simulated_run / "config.toml", folder)
    scores = read_scores(runs[0])
    checked = 0
    for key, (score,) in scores.items():
        record = find(forecast, predictor="model", **key._asdict())
        assert score.value == record.value
        if record.low is not None:
            spread = resample_spread(score.value, score.resamples, score.num_blocks)
            known = interval(score.value, spread, is_correlation=is_correlation(key.metric))
            assert known == pytest.approx((record.low, record.high), abs=1e-5)
            checked += 1
    assert checked > 10
    comparison = compare_runs(runs)
    assert {one.value for one in comparison.differences} == {0.0}
    assert {one.high for one in comparison.differences if one.high is not None} == {0.0}
    assert len(comparison.differences) > len(scores)


def _require_traces(path, evaluation):
    """Traces are those of every session: measured, model, ceiling and the best baseline."""
    with np.load(path) as arrays:
        folders = {name.rpartition("/")[0] for name in arrays}
        assert folders == {
            name.rpartition("/")[0] for name in evaluation.neurons if "/fore" in name
        }
        for folder in folders:
            shown = arrays[f"{folder}/index"]
            names = {name.rpartition("/")[2] for name in arrays if name.startswith(folder)}
            assert len(names - {"index", "label", "seconds", "measured", "model", "ceiling"}) == 1
            shape = (len(arrays[f"{folder}/seconds"]), len(shown))
            assert arrays[f"{folder}/measured"].shape == arrays[f"{folder}/model"].shape == shape
            scores = evaluation.neurons[f"{folder}/model"][shown]
            assert sorted(scores, reverse=True) == scores.tolist()


def test_an_unknown_tier_lists_those_that_there_are(run, data):
    with pytest.raises(OmniMouseError, match="no trial has tier nothing; tiers are"):
        evaluate(run, data, EvalOptions(tier="nothing"), Silent())


def test_nothing_to_score_says_why(run, data):
    options = EvalOptions(regime="predict", stimulus=False)
    with pytest.raises(OmniMouseError, match="leave no strategy of predict"):
        evaluate(run, data, options, Silent())


def test_a_recording_without_behavior_is_evaluated_with_the_reasons(
    make_session, quiet_trials, moving_average, write_run, tmp_path
):
    dataset = make_session(
        moving_average(),
        quiet_trials,
        eye_tracker=False,
        treadmill=False,
        frame_size=(36, 64),
    )
    run = load_run(write_run(tmp_path / "run", dataset))
    assert run.response_loss == "gaussian"
    found = evaluate(run, dataset, EvalOptions(regime="all", baselines=("ridge", "psth")), Silent())
    reasons = {item.strategy: item.reason for item in found.unavailable if item.predictor is None}
    assert "no behavior was recorded" in reasons["decode"]
    rows = {record.strategy for record in found.records}
    assert {"predict", "forecast", "forecast+stimulus"} <= rows
    missing = {(item.predictor, item.strategy) for item in found.unavailable}
    assert ("psth", "predict") in missing


def test_the_precision_of_the_run_is_used_and_recorded(data, write_run, tmp_path):
    options = EvalOptions(regime="forecast", stimulus=False, baselines=())
    precise = write_run(tmp_path / "float32", data)
    coarse = write_run(tmp_path / "bfloat16", data, sets=("train.precision=bfloat16",))
    losses = {}
    for name, folder in (("float32", precise), ("bfloat16", coarse)):
        run = load_run(folder)
        found = evaluate(run, data, options, Silent())
        assert make_document(found, options, run)["options"]["precision"] == name
        losses[name] = find(found, session="overall", metric="loss").value
    assert losses["float32"] != losses["bfloat16"]
    assert losses["float32"] == pytest.approx(losses["bfloat16"], rel=0.02)
