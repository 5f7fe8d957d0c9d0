"""Scores of a fixed prediction on a converted Sensorium set are the competition's."""

import numpy as np
import pytest

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.strategy import read_strategies
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.evaluation.records import SINGLE_TRIAL, TO_AVERAGE
from omnimouse_cli.evaluation.scorer import Piece, Scorer
from omnimouse_cli.evaluation.session_reader import SessionReader
from omnimouse_cli.evaluation.targets import select_targets
from omnimouse_cli.evaluation.windows import evaluation_windows
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard.convert import Storage
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess

NEURONS = 6
PADDED = 150
SKIPPED = 50
# Tier, clip and length of each trial; the repeats of clip 2 end at different frames.
TRIALS = (
    ("train", 0, 120),
    ("oracle", 1, 130),
    ("oracle", 2, 97),
    ("train", 3, 110),
    ("oracle", 1, 130),
    ("oracle", 2, 101),
    ("oracle", 1, 130),
    ("oracle", 4, 66),
)
# The 50 frames that the competition does not score, and ten more: a window is 60 frames long.
STRATEGY = """
[[strategy]]
name = "sensorium"
num_visible = 0
video = [0, 60]
targets = [50, 60]
"""


@pytest.fixture
def responses():
    rng = np.random.default_rng(0)
    return [rng.gamma(0.5, 2.0, (NEURONS, length)).astype(np.float32) for _, _, length in TRIALS]


@pytest.fixture
def dataset(tmp_path, responses):
    """The set, written as the competition has it and converted, with single-precision responses."""
    folder = tmp_path / "dynamic1-2-3-Video"
    rng = np.random.default_rng(1)
    clips = rng.integers(0, 256, (5, 36, 64, PADDED)).astype(np.float32)
    for variable in ("videos", "responses", "behavior", "pupil_center"):
        (folder / "data" / variable).mkdir(parents=True)
    (folder / "meta/trials").mkdir(parents=True)
    np.save(folder / "meta/trials/tiers.npy", np.array([tier for tier, _, _ in TRIALS]))
    for number, (_, clip, length) in enumerate(TRIALS):
        for variable, values in (
            ("videos", clips[clip]),
            ("responses", np.pad(responses[number], ((0, 0), (0, PADDED - length)))),
            ("behavior", rng.random((2, PADDED)) + 1),
            ("pupil_center", rng.random((2, PADDED))),
        ):
            padded = values.astype(np.float32)
            padded[..., length:] = np.nan
            np.save(folder / "data" / variable / f"{number}.npy", padded)
    options = PreprocessOptions(storage=Storage(dtype="float32"))
    result = preprocess([open_recording(folder)], tmp_path / "shards", options, Silent())
    assert result.failed == ()
    return open_dataset(tmp_path / "shards")


def predicted(responses):
    """A prediction of every frame of every trial, (neurons, frames), that knows a little."""
    rng = np.random.default_rng(2)
    return [
        (0.3 * trial + rng.gamma(1.0, 1.0, trial.shape) + 5.0).astype(np.float32)
        for trial in responses
    ]


def correlations(truth, prediction):
    """The competition's correlation of each neuron, over (frames, neurons)."""
    x = (truth - truth.mean(0)) / truth.std(0)
    y = (prediction - prediction.mean(0)) / prediction.std(0)
    return (x * y).mean(0)


def competition_scores(responses, prediction):
    """Single-trial correlation and correlation to average of the oracle trials, from the arrays."""
    oracle = [number for number, (tier, _, _) in enumerate(TRIALS) if tier == "oracle"]
    late = {
        number: (
            responses[number][:, SKIPPED:].T.astype(np.float64),
            prediction[number][:, SKIPPED:].T.astype(np.float64),
        )
        for number in oracle
    }
    single = correlations(*(np.concatenate(part) for part in zip(*late.values(), strict=True)))
    means = []
    for clip in (1, 2):
        shown = [late[number] for number in oracle if TRIALS[number][1] == clip]
        # Frames after the end of the shorter repeat were seen once: they have no average.
        length = min(len(truth) for truth, _ in shown)
        means.append(
            [np.mean([pair[which][:length] for pair in shown], axis=0) for which in (0, 1)]
        )
    average = correlations(*(np.concatenate(part) for part in zip(*means, strict=True)))
    return float(single.mean()), float(average.mean())


def test_a_fixed_prediction_has_the_competitions_scores(dataset, responses, tmp_path):
    (tmp_path / "sensorium.toml").write_text(STRATEGY)
    (strategy,) = read_strategies(tmp_path / "sensorium.toml")
    (session,) = dataset.sessions
    windows = evaluation_windows(session, tier="oracle", include_blanks=True, stride_samples=10)
    reader = SessionReader(dataset, DataConfig(), session.key)
    (targets,) = select_targets(strategy, reader, windows)
    prediction = predicted(responses)
    # Trials lie one after the other on the grid of the windows.
    rows = np.concatenate(prediction, axis=1).T
    samples = windows.grid[:, None] + np.arange(50, 60)
    scorer = Scorer(
        targets,
        predictor="fixed",
        response_loss="gaussian",
        repeats=targets.repeats,
    )
    for part in targets.window_slices(windows_at_once=5):
        scorer.add(Piece(part, slice(None), rows[samples[part]]))
    found = {number.record.metric: number.record for number in scorer.score().numbers}
    single, average = competition_scores(responses, prediction)
    assert found[SINGLE_TRIAL].samples == sum(
        length - SKIPPED for tier, _, length in TRIALS if tier == "oracle"
    )
    assert found[SINGLE_TRIAL].value == pytest.approx(single, abs=1e-6)
    assert found[TO_AVERAGE].value == pytest.approx(average, abs=1e-6)
    assert min(single, average) > 0.1
