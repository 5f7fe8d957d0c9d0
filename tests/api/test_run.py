"""`om.load_run`: predictions, neurons and embeddings are those of the layers below."""

import os

import numpy as np
import pytest

import omnimouse_cli as om
from omnimouse_cli.api.neurons import describe_neurons
from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.files import write_document
from omnimouse_cli.metrics.moments import correlation, moments_of

KEY = "20001-1-1"
GREY = np.full((30, 36, 64), 113, np.uint8)


@pytest.fixture(scope="module")
def run(api_folder):
    return om.load_run(api_folder / "runs/demo", device="cpu")


@pytest.fixture(scope="module")
def movie():
    return np.random.default_rng(0).integers(0, 256, (45, 36, 64), dtype=np.uint8)


@pytest.fixture(scope="module")
def runs(api_folder, write_run, tmp_path_factory):
    """Two runs that differ in a weight, as of two seeds."""
    folder = tmp_path_factory.mktemp("runs")
    dataset = open_dataset(api_folder / "shards")

    def shift(tensors):
        tensors[f"tables.{KEY}.neuron_biases"] += 0.5

    return [
        write_run(folder / "first", dataset),
        write_run(folder / "second", dataset, sets=("seed=1",), weights=shift),
    ]


def test_a_run_says_what_it_is(run, api_folder):
    assert (run.sessions, run.animals, run.model) == ((KEY,), ("20001",), "nano")
    assert run.shards == api_folder / "shards"
    for word in ("runs/demo", "nano", "frames of 36 x 64", "pupil_size", "on cpu"):
        assert word in repr(run)


def test_predictions_are_an_array_with_times_unit_and_neurons(run, movie):
    rates = run.predict(movie, fps=30, session=KEY)
    assert (rates.shape, rates.dtype, rates.unit) == ((45, 6), np.float32, "rate")
    np.testing.assert_allclose(rates.time_seconds, np.arange(45) / 30)
    assert (rates.session, len(rates.neurons), rates.std) == (KEY, 6, None)
    assert np.mean(rates, axis=0).shape == rates[3].shape == (6,)
    for word in ("30 frames per second", "windows of 2 s", "behavior stays at its median"):
        assert any(word in note for note in rates.notes)
    # A movie of twice the size and rate, which shows the same.
    larger = movie.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(run.predict(larger, 60), rates, rtol=1e-5, atol=1e-6)


def test_a_movie_may_be_a_file(run, movie, tmp_path):
    np.save(tmp_path / "movie.npy", movie)
    of_file = run.predict(tmp_path / "movie.npy", 30, stride=30)
    np.testing.assert_array_equal(of_file, run.predict(movie, 30, stride=30))
    np.testing.assert_array_equal(run.predict(str(tmp_path / "movie.npy"), stride=30), of_file)


def test_behavior_is_a_state_or_given_for_each_frame(run, movie, api_folder, tmp_path):
    session = om.open_shards(api_folder / "shards")[KEY]
    shard = session._shard
    mean = {
        name: device.mean[column]
        for device in shard.description.behavior
        for column, name in enumerate(device.channels)
    }

    def ask(behavior):
        return run.predict(movie, stride=30, behavior=behavior)

    expected = ask("mean")
    by_name = {name: np.full(45, value) for name, value in mean.items()}
    np.testing.assert_allclose(ask(by_name), expected, atol=1e-5)
    array = np.stack([by_name[name] for name in run.behavior_channels], axis=1)
    np.testing.assert_allclose(ask(array), expected, atol=1e-5)
    table = tmp_path / "behavior.csv"
    lines = [f"{second},{','.join(str(one) for one in mean.values())}" for second in (0, 1, 1.4)]
    table.write_text(f"time_seconds,{','.join(mean)}\n" + "\n".join(lines))
    np.testing.assert_allclose(ask(table), expected, atol=1e-5)
    nothing = ask(np.full_like(array, np.nan))
    np.testing.assert_allclose(ask("missing"), nothing, atol=1e-5)
    assert not np.allclose(nothing, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": GREY[:0]}, "frames has no frames"),
        ({"frames": GREY.astype(float) * np.nan}, "grey levels must be finite"),
        ({"frames": np.stack([GREY] * 2, axis=-1)}, r"its shape is .30, 36, 64, 2."),
        ({"fps": 0}, "`fps` must be a positive number: 0"),
        ({"session": "20001-1-9"}, "runs/demo has no session 20001-1-9"),
        ({"behavior": "asleep"}, "there is no state of behavior 'asleep'"),
        ({"behavior": np.zeros((30, 2))}, r"behavior must be \(frames, 5\): \(30, 2\)"),
        ({"behavior": np.zeros((29, 5))}, "behavior pupil_x must have one value for each of 30"),
        ({"behavior": {"running": np.zeros(30)}}, "behavior lacks the channels pupil_x"),
        ({"stride": 0}, "`stride_samples` must lie between 1 and 30: 0"),
    ],
)
def test_what_cannot_be_predicted_is_one_sentence_with_a_hint(run, changes, message):
    with pytest.raises(om.OmniMouseError, match=message) as caught:
        run.predict(**{"frames": GREY, "fps": 30, **changes})
    assert caught.value.hint


def test_several_runs_predict_their_mean_with_its_spread(runs, movie):
    one, other = (om.load_run(folder, device="cpu").predict(movie, stride=30) for folder in runs)
    mean = om.load_run(runs, device="cpu").predict(movie, stride=30)
    each = np.stack([one, other])
    np.testing.assert_allclose(mean, each.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(mean.std, each.std(axis=0, ddof=1), rtol=1e-4, atol=1e-6)
    with pytest.raises(om.OmniMouseError, match="2 runs have no common embeddings"):
        om.load_run(runs, device="cpu").embeddings()


def test_recorded_windows_have_the_numbers_of_an_evaluation(runs):
    run = om.load_run(runs[0], device="cpu")
    scores = om.evaluate(
        run, regime="predict", tier="validation", stride=60, no_baselines=True, device="cpu"
    )
    predictions = run.predict_recording(om.open_shards(run.shards), tier="validation", stride=60)
    assert [one.strategy for one in predictions] == ["predict", "predict-causal"]
    for one in predictions:
        measured = np.where(one.scored[:, None], one.measured, np.nan)
        found = correlation(moments_of(measured, one.predicted))
        known = scores.evaluation.neurons[f"{KEY}/{one.strategy}/neurons/model"]
        np.testing.assert_allclose(found, known, atol=1e-5)
        # The evaluation that was written gives the scores of the neurons.
        np.testing.assert_array_equal(run.neurons().scores[one.strategy], known)
    assert run.neurons().evaluation == runs[0] / "eval/validation-predict-no-baselines-stride-60"
    assert om.load_run(runs, device="cpu").neurons().scores == {}


def test_scores_are_those_of_the_newest_evaluation_that_has_the_session(tmp_path):
    for age, (name, session) in enumerate((("old", KEY), ("new", "2-1-1"), ("newest", "3-1-1"))):
        folder = tmp_path / "run" / "eval" / name
        folder.mkdir(parents=True)
        key = f"{session}/predict/neurons"
        values = {f"{key}/index": np.array([2, 0]), f"{key}/model": np.array([0.3, 0.1])}
        np.savez(folder / "neurons.npz", **values)
        write_document(folder / "eval.json", "eval", {})
        os.utime(folder / "eval.json", (age, age))
    found = describe_neurons(KEY, 3, runs=[tmp_path / "run"])
    assert found.evaluation == tmp_path / "run" / "eval" / "old"
    np.testing.assert_array_equal(found.scores["predict"], [0.1, np.nan, 0.3])


def test_without_shards_responses_are_in_standard_deviations(runs, movie, write_run, api_folder):
    gone = write_run(
        runs[0].parent / "gone", open_dataset(api_folder / "shards"), shards="/nowhere/shards"
    )
    run = om.load_run(gone, device="cpu")
    assert (run.shards, run.neurons().unit_id) == (None, None)
    scaled = run.predict(movie, stride=30)
    assert scaled.unit == "standard deviations"
    same = om.load_run(gone, shards=api_folder / "shards", device="cpu")
    np.testing.assert_allclose(
        same.predict(movie, stride=30, behavior="mean", scaled=True), scaled, atol=1e-6
    )
    with pytest.raises(om.OmniMouseError, match="are not at /nowhere/shards"):
        run.predict_recording()
    with pytest.raises(om.OmniMouseError, match="behavior needs the shard of session"):
        run.predict(movie, stride=30, behavior=np.zeros((45, 5)))


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(om.OmniMouseError, match="is not a run folder: there is no such folder"):
        om.load_run(tmp_path / "none")
    with pytest.raises(om.OmniMouseError, match="no run was named"):
        om.load_run([])
