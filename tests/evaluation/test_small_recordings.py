"""The smallest recordings, and sessions with different channels, are evaluated in every regime."""

import numpy as np
import pytest

from omnimouse_cli.evaluation.evaluate import evaluate
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.load import load_run

SMALL = ("model.d_model=16", "model.layers=1", "model.d_embedding=16")


def movie(tier, seconds):
    frames = np.random.default_rng(0).integers(0, 256, (30 * seconds, 36, 64), dtype=np.uint8)
    return {"modality": "video", "num_frames": len(frames), "tier": tier, "frames": frames}


@pytest.fixture
def evaluate_sessions(experanto_session, shards_of_paths, moving_average, write_run, tmp_path):
    """Return a function that evaluates sessions with random weights.

    It takes the number of neurons, and for each session whether it has an eye tracker and a
    treadmill, and the channels of its eye tracker.
    """

    def make(regime, neurons, **devices):
        responses, paths = moving_average(750, neurons), []
        for name, (eye_channels, treadmill) in devices.items():
            path = experanto_session(
                name,
                responses=responses,
                trials=[movie("train", 10), movie("none", 2), movie("test", 8), movie("none", 5)],
                seconds=len(responses) / 30,
                responses_start=0.0,
                frame_size=(36, 64),
                eye_tracker=eye_channels > 0,
                treadmill=treadmill,
            )
            if eye_channels == 2:
                gaze = np.random.default_rng(0).normal(size=(530, 2))
                experanto_session.sequence(
                    path / "eye_tracker", gaze, start=1_600_000_000.25 - 1.5, rate_hz=20.0
                )
            paths.append(path)
        dataset = shards_of_paths(paths)
        run = load_run(write_run(tmp_path / "run", dataset, sets=SMALL))
        return evaluate(
            run, dataset, EvalOptions(regime=regime, draws=2, stride_samples=150), Silent()
        )

    return make


def rows_of(found, session):
    return {
        (record.strategy, record.target)
        for record in found.records
        if record.session == session and record.metric == "single_trial_correlation"
    }


@pytest.mark.parametrize("neurons", [1, 2])
def test_few_neurons_and_one_channel(evaluate_sessions, neurons):
    found = evaluate_sessions("all", neurons, a=(0, True))
    rows = rows_of(found, "a")
    assert {("predict", "neurons"), ("decode", "running"), ("forecast", "neurons")} <= rows
    population = {name for name, _ in rows if name.startswith("population")}
    reasons = {item.strategy: item.reason for item in found.unavailable}
    if neurons == 1:
        assert not population
        assert reasons["population-16"] == "one neuron has no others as context"
    else:
        assert population
    values = [record.value for record in found.records if record.value is not None]
    assert np.isfinite(values).all()


def test_sessions_with_other_channels_are_scored_by_their_own(evaluate_sessions):
    found = evaluate_sessions("decode", 3, a=(4, True), b=(0, True), c=(0, False), d=(2, False))
    decoded = {key: {target for _, target in rows_of(found, key)} for key in "abcd"}
    assert decoded == {
        "a": {"gaze", "pupil", "running"},
        "b": {"running"},
        "c": set(),
        "d": {"gaze"},
    }
    assert {target for _, target in rows_of(found, "overall")} == decoded["a"]
    assert [(item.strategy, item.session) for item in found.unavailable] == [("decode", "c")]
