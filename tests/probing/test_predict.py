"""Responses to movies: windows, their mean, context, behavior and ensembles."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.probing import movie as movie_module
from omnimouse_cli.probing.movie_open import open_movie
from omnimouse_cli.probing.predict import STRIDE_SAMPLES, describe_context, predict_movie
from omnimouse_cli.probing.predict_behavior import make_behavior, read_behavior
from omnimouse_cli.probing.session_model import SessionModel


@pytest.fixture(scope="module")
def model(runs, small_mouse):
    return SessionModel(runs[:1], small_mouse.sessions[0].key, dataset=small_mouse)


def film(frames, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, 36, 64), dtype=np.uint8)


def predicted(model, frames, *, stride_samples=30, **options):
    movie = open_movie(frames, fps=30)
    return predict_movie(model, movie, stride_samples=stride_samples, **options).responses


def mean_of_windows(model, frames, stride, level):
    """Every window by itself, and the mean of those that predict a sample."""
    lead, tail = np.full((60, 36, 64), level), np.repeat(frames[-1:], 60, axis=0)
    padded = np.concatenate([lead, frames, tail]).astype(np.float32)
    sums, counts = np.zeros((len(frames), model.num_neurons)), np.zeros(len(frames))
    for start in range(-59, len(frames)):
        if start % stride == 0 and start + 30 < len(frames):
            window = torch.from_numpy(padded[None, start + 60 : start + 120])
            with torch.inference_mode():
                values = model.predict_windows(model.scale_frames(window))[0, 0].numpy()
            for sample in range(30, 60):
                if 0 <= start + sample < len(frames):
                    sums[start + sample] += values[sample - 30]
                    counts[start + sample] += 1
    return model.to_unit((sums / counts[:, None]).astype(np.float32))


@pytest.mark.parametrize(
    ("frames", "stride", "before", "level"),
    [(60, 10, "grey", 113.0), (47, 7, 20.0, 20.0), (5, 30, "grey", 113.0), (1, 10, 0.0, 0.0)],
)
def test_a_sample_is_the_mean_of_the_windows_that_predict_it(model, frames, stride, before, level):
    movie = film(frames)
    found = predicted(model, movie, stride_samples=stride, before=before)
    assert found.shape == (frames, model.num_neurons)
    expected = mean_of_windows(model, movie, stride, level)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_screen_before_a_movie_may_be_its_first_frame(model):
    movie = film(20)
    movie[0] = 200
    np.testing.assert_array_equal(
        predicted(model, movie, before="first"), predicted(model, movie, before=200.0)
    )
    assert not np.allclose(predicted(model, movie, before="first"), predicted(model, movie))


def test_a_later_start_by_whole_strides_changes_nothing_after_two_seconds(model):
    movie = film(100)
    whole = predicted(model, movie, stride_samples=10)
    later = predicted(model, movie[20:], stride_samples=10)
    np.testing.assert_allclose(later[60:], whole[80:], rtol=1e-4, atol=1e-5)


def test_blocks_of_a_movie_change_no_bit(model, monkeypatch):
    movie = film(400)
    whole = predicted(model, movie)
    monkeypatch.setattr(movie_module, "FRAMES_AT_ONCE", 7)
    doubled = movie.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    found = predict_movie(model, open_movie(doubled, fps=60), stride_samples=30)
    np.testing.assert_array_equal(found.responses, whole)
    np.testing.assert_array_equal(found.time_seconds, np.arange(400) / 30)


def test_an_ensemble_has_the_mean_and_the_spread_of_its_runs(runs, small_mouse):
    key, movie = small_mouse.sessions[0].key, film(40)
    ensemble = SessionModel(runs, key, dataset=small_mouse)
    single = [predicted(SessionModel([run], key, dataset=small_mouse), movie) for run in runs]
    found = predict_movie(ensemble, open_movie(movie, fps=30), stride_samples=30)
    np.testing.assert_allclose(found.responses, np.mean(single, axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.std, np.std(single, axis=0, ddof=1), rtol=1e-3, atol=1e-6)
    assert (found.std > 0).any()


def test_scaled_responses_are_those_of_the_recording_over_their_deviation(model):
    movie = film(30)
    scaled = predict_movie(model, open_movie(movie, fps=30), stride_samples=30, scaled=True)
    assert scaled.responses.dtype == np.float32
    assert scaled.unit == "standard deviations"
    np.testing.assert_array_equal(model.to_unit(scaled.responses), predicted(model, movie))


def channels_of(shard):
    return {
        channel: (device.mean[column], device.std[column])
        for device in shard.description.behavior
        for column, channel in enumerate(device.channels)
    }


def test_constant_behavior_equals_its_state(small_mouse, runs):
    info = small_mouse.sessions[0]
    mean = SessionModel(runs[:1], info.key, dataset=small_mouse, state="mean")
    seconds = np.arange(-1.0, 2.0, 0.05)
    values = {name: np.full(60, mean) for name, (mean, _) in channels_of(info.shard).items()}
    trace = make_behavior(seconds, values, mean.channels, info.shard)
    movie = film(40)
    np.testing.assert_allclose(
        predicted(mean, movie, behavior=trace), predicted(mean, movie), rtol=1e-5
    )
    missing = SessionModel(runs[:1], info.key, dataset=small_mouse, state="missing")
    nothing = {name: np.full(60, np.nan) for name in values}
    trace = make_behavior(seconds, nothing, mean.channels, info.shard)
    np.testing.assert_array_equal(predicted(mean, movie, behavior=trace), predicted(missing, movie))


def test_behavior_is_held_at_20_hz_and_beyond_its_ends(small_mouse):
    info = small_mouse.sessions[0]
    scales = channels_of(info.shard)
    names = tuple(scales)
    seconds = np.array([0.0, 0.5, 1.0])
    values = {name: mean + std * np.array([1.0, 2.0, 3.0]) for name, (mean, std) in scales.items()}
    trace = make_behavior(seconds, values, names, info.shard)
    (window,) = trace.windows(np.array([-0.5]))
    assert window.shape == (len(names), 40)
    expected = np.repeat([1.0, 2.0, 3.0], [20, 10, 10])
    np.testing.assert_allclose(window, np.tile(expected, (len(names), 1)), rtol=1e-5)


def test_bad_behavior_is_refused_in_one_sentence(small_mouse, tmp_path):
    info = small_mouse.sessions[0]
    names = tuple(channels_of(info.shard))
    header, zeros = ",".join(names), ",".join("0" for _ in names)
    rows = {
        "unknown": (f"time_seconds,{header},whisking\n0,{zeros},1\n", "unknown channel `whisking`"),
        "missing": ("time_seconds,running\n0,1\n", "lacks the channels "),
        "no time": (f"{header}\n{zeros}\n", "has no column `time_seconds`"),
        "order": (f"time_seconds,{header}\n1,{zeros}\n0,{zeros}\n", "must ascend"),
        "text": (f"time_seconds,{header}\n0,{zeros[:-1]}x\n", "is no number: 'x'"),
        "empty": ("", "is empty"),
    }
    for name, (text, message) in rows.items():
        path = tmp_path / f"{name}.csv"
        path.write_text(text)
        with pytest.raises(OmniMouseError) as error:
            read_behavior(path, names, info.shard)
        assert message in error.value.message
        assert error.value.hint
    with pytest.raises(OmniMouseError, match="is not a file"):
        read_behavior(tmp_path / "nowhere.csv", names, info.shard)
    values = {name: np.zeros(3) for name in names}
    with pytest.raises(OmniMouseError, match="has 2 rows and `time_seconds` 3"):
        make_behavior(np.arange(3.0), {**values, names[0]: np.zeros(2)}, names, info.shard)
    trace = make_behavior(np.arange(3.0), values, names, info.shard)
    trace.require_span(3.0)
    for seconds in (9.0, 0.5):
        with pytest.raises(OmniMouseError, match=f"ends at 3 s and the movie at {seconds:g} s"):
            trace.require_span(seconds)
    late = make_behavior(np.arange(1.0, 4.0), values, names, info.shard)
    with pytest.raises(OmniMouseError, match="begins at 1 s, after the first frame"):
        late.require_span(3.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride_samples": 0}, "`stride_samples` must lie between 1 and 30: 0"),
        ({"stride_samples": 31}, "`stride_samples` must lie between 1 and 30: 31"),
        ({"before": "white"}, "`before` must be grey, first or a grey level: white"),
        ({"before": 300.0}, "`before` must be a grey level from 0 to 255: 300"),
        ({"before": np.nan}, "`before` must be a grey level from 0 to 255: nan"),
    ],
)
def test_options_out_of_range_are_refused(model, options, message):
    with pytest.raises(OmniMouseError) as error:
        predicted(model, film(3), **options)
    assert error.value.message == message


def test_the_rule_of_context_is_a_sentence():
    assert "the mean of the 3 windows" in describe_context("grey", 10)
    assert "the mean of the 4 or 5 windows" in describe_context("grey", 7)
    assert "predicted by the one window" in describe_context("grey", 30)
    assert "grey level 20" in describe_context(20.0, 10)


def test_the_stated_bound_of_late_starts_is_the_measured_one():
    path = Path(__file__).resolve().parents[2] / "benchmarks/results/predict_stride-cpu.json"
    for study in json.loads(path.read_text())["studies"]:
        changes = {row["stride_samples"]: row["largest_change"] for row in study["strides"]}
        assert changes[STRIDE_SAMPLES] < 0.02
        assert changes[2] > 0.04
